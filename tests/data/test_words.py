"""Words, ids and vectors."""

import gzip
import pathlib
import time

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies

from data.files import InputError
from data.transforms.words import Tokenizer, learn_words, load_vectors, located, split, visible


def words_of(text, **settings):
    return [word.decode() for word in split([text], **settings)[0].numpy()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("I don't LIKE it!", "i do n't like it !"),
        ("can’t won't isn't", "ca n't wo n't is n't"),
        ("it's they'll we're I've I'd I'm", "it 's they 'll we 're i 've i 'd i 'm"),
        ("the 'dull' o'brien dogs'", "the ' dull ' o ' brien dogs '"),
        ("so bad!!!!!!! why????", "so bad ! ! ! why ? ? ?"),
        ("dull<br /><br/>and <b>long</b>", "dull and long"),
        ("8/10, 3.5 or 1,000.", "8/10 , 3.5 or 1,000 ."),
        ("well-made... :-) <3 :D", "well - made ... :-) <3 :d"),
        ("ca n't -lrb- sic -rrb- <unk>", "ca n't -lrb- sic -rrb- <unk>"),
        ("NAÏVE Été ÇA", "naïve été ça"),
        ("这部film很好", "这 部 film 很 好"),
        ("good😀👍🏽👨‍👩‍👧🇩🇪❤️", "good 😀 👍🏽 👨‍👩‍👧 🇩🇪 ❤️"),
        ("a\u00a0b\u3000c\x00d\te", "a b c d e"),
        ("", ""),
        (" \n ", ""),
    ],
)
def test_words_keep_what_carries_meaning(text, expected):
    assert words_of(text) == expected.split()


def test_case_is_an_option():
    assert words_of("I DON'T Care", lower=False) == ["I", "DO", "N'T", "Care"]


def test_invalid_utf8_is_replaced():
    assert words_of(b"caf\xe9 ok") == ["caf", "\ufffd", "ok"]


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(strategies.lists(strategies.text(max_size=30), min_size=1, max_size=4))
def test_splitting_again_changes_nothing_and_all_words_have_ids(texts):
    words = split(texts)
    assert split(tf.strings.reduce_join(words, axis=1, separator=" ")).to_list() == words.to_list()

    tokenizer = Tokenizer(sorted({word.decode() for row in words.to_list() for word in row}))
    ids = tokenizer(texts)
    assert ids.shape[1] >= 1 and bool(tf.reduce_all(ids[:, 0] > 0))
    back = [text.decode().split(" ") for text in tokenizer.inverse(ids).numpy()]
    assert back == [[word.decode() for word in row] or ["<unk>"] for row in words.to_list()]


def test_ids_are_padded_and_unknown_words_are_one():
    tokenizer = Tokenizer(["good", "not"])
    assert tokenizer.size == 4
    assert tokenizer(["Not good at all", "good", "", "  "]).numpy().tolist() == [
        [3, 2, 1, 1],
        [2, 0, 0, 0],
        [1, 0, 0, 0],
        [1, 0, 0, 0],
    ]
    assert tokenizer.ragged(["good", ""]).to_list() == [[2], [1]]
    assert tokenizer.inverse([[3, 2, 1, 0]]).numpy().tolist() == [b"not good <unk>"]


@pytest.mark.parametrize(("keep", "expected"), [("start", [[2, 3]]), ("end", [[3, 4]])])
def test_long_texts_are_cut_at_the_end_that_is_not_kept(keep, expected):
    tokenizer = Tokenizer(["a", "b", "c"], max_length=2, keep=keep)
    assert tokenizer(["a b c"]).numpy().tolist() == expected
    assert tokenizer.shown(["a b c"]).row_lengths().numpy().tolist() == [2]


@pytest.mark.parametrize(
    "text", ["", " \t", "\u200b", "\u200d\ufeff", "\u00ad", "\u3000\u00a0", "\u200e", "\u3164\ufe0f"]
)
def test_a_text_with_nothing_to_see_has_no_words_and_one_timestep(text):
    assert visible([text]).numpy() == [b""]
    assert words_of(text) == [] and located([text])[0].flat_values.shape == (0,)
    np.testing.assert_array_equal(Tokenizer(["a"])([text]), [[1]])


def test_what_shows_something_is_left_alone():
    texts = ["a", " \u00ad.", "👨\u200d👩", "\u0301", "\ufffd", "〇", "_"]
    assert [text.decode() for text in visible(texts).numpy()] == texts
    assert visible([b"\xff"]).numpy() == [b"\xff"]  # to become U+FFFD


def test_of_no_texts_there_is_one_timestep():
    assert Tokenizer(["a"])(np.array([], str)).shape == (0, 1)


def test_an_empty_vocabulary_knows_no_word():
    assert Tokenizer([])(["a b"]).numpy().tolist() == [[1, 1]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"words": ["a", "b", "a"]}, "Received twice: 'a'"),
        ({"words": ["a"], "max_length": 0}, "max_length=0"),
        ({"words": ["a"], "keep": "middle"}, "keep='middle'"),
    ],
)
def test_wrong_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Tokenizer(**arguments)


@pytest.mark.parametrize(
    "text", ["word " * 200_000, "x" * 1_000_000, "<br " * 250_000, "!" * 1_000_000, "<" * 1_000_000]
)
def test_a_million_characters_take_seconds_at_most(text):
    started = time.monotonic()
    assert Tokenizer(["word"], max_length=100)([text]).shape[1] <= 100
    assert time.monotonic() - started < 10


def test_a_saved_tokenizer_gives_the_same_ids(tmp_path):
    class Served(tf.Module):
        def __init__(self):
            super().__init__()
            self.tokenizer = Tokenizer(["good", "n't", "été"])

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
        def __call__(self, texts):
            return self.tokenizer(texts)

    texts = tf.constant(["Isn't it good?", "", "ÉTÉ 😀", b"\xff"])
    served = Served()
    tf.saved_model.save(served, tmp_path)
    np.testing.assert_array_equal(tf.saved_model.load(tmp_path)(texts), served.tokenizer(texts))


def test_the_most_frequent_words_come_first_and_ties_are_alphabetical():
    texts = tf.data.Dataset.from_tensor_slices(["b a c c", "C d <unk> <unk> <unk>", "b a"])
    assert learn_words(texts, 3) == ["c", "a", "b"]
    assert learn_words(texts, 10, minimum=2) == ["c", "a", "b"]
    assert learn_words(texts, 10, lower=False)[-1] == "d"
    with pytest.raises(ValueError, match="size=0"):
        learn_words(texts, 0)


def test_rare_words_are_forgotten_when_there_are_too_many():
    rare = [f"w{number}" for number in range(3000)]
    texts = tf.data.Dataset.from_tensor_slices([f"often {word}" for word in rare])
    assert learn_words(texts, 1, held=100) == ["often"]


@pytest.mark.parametrize("name", ["glove.txt", "word2vec.txt", "glove.txt.gz"])
def test_vectors_stand_in_the_rows_of_their_words(tmp_path, name):
    path = f"tests/fixtures/{name}"
    if name.endswith(".gz"):
        path = tmp_path / name
        path.write_bytes(gzip.compress(pathlib.Path("tests/fixtures/glove.txt").read_bytes()))
    matrix, found = load_vectors(path, ["film", "unheard", "the"])
    assert matrix.shape == (5, 3) and matrix.dtype == np.float32 and found == 2
    np.testing.assert_allclose(matrix[[0, 2, 4]], [[0, 0, 0], [-0.5, 0.25, 1.5], [0.1, 0.2, 0.3]])
    np.testing.assert_array_equal(matrix, load_vectors(path, ["film", "unheard", "the"])[0])
    assert np.abs(matrix[3]).sum() > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("the 1 2 3\nfilm 1 2\n", ":2: expected a word and 3 numbers, received 2"),
        ("the 1 2\nfilm 1 2 3\n", ":2: expected a word and 2 numbers, received 3"),
        ("the 1 2\nfilm 1 x\n", ":2: expected 2 numbers, received 'x'"),
        ("the 1 2\nfilm 1 nan\n", ":2: expected finite numbers"),
        ("2 3\nthe 1 2\n", ":2: expected a word and 3 numbers, received 2"),
        ("", ": expected rows, received an empty file"),
        ("word\n", ":1: expected a word and 0 numbers"),
        ("2 3\n", ": expected a word and its numbers on each line, received none"),
    ],
)
def test_wrong_vectors_are_named_with_their_line(tmp_path, content, message):
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    with pytest.raises(InputError) as caught:
        load_vectors(path, ["the", "film"])
    assert message in str(caught.value)


def places_of(texts):
    words, starts, ends = located(texts)
    rows = zip(words.to_list(), starts.to_list(), ends.to_list(), strict=True)
    return [[(word.decode(), start, end) for word, start, end in zip(*row, strict=True)] for row in rows]


# Hangul fillers are letters that show nothing.
SHOWN = strategies.characters(exclude_characters="\u115f\u1160\u3164\uffa0", exclude_categories=["Cs"])


@hypothesis.given(strategies.lists(strategies.text(SHOWN, max_size=30), min_size=1, max_size=3))
@hypothesis.settings(deadline=None)
def test_a_word_is_the_text_from_its_start_to_its_end(texts):
    for text, found in zip(texts, places_of(texts), strict=True):
        last = 0
        for word, start, end in found:
            assert text[start:end] == word
            assert last <= start < end
            assert not text[last:start].strip() or not any(map(str.isalnum, text[last:start]))
            last = end
        assert not any(map(str.isalnum, text[last:]))


def test_words_with_places_keep_case_quotes_and_what_split_would_rewrite():
    text = "\ufeffAnn’s  “dog”\tcan't <b>bark</b>!!!!! 東京🙂\u200b8/10"
    (found,) = places_of([text])
    words = ["Ann", "’", "s", "“", "dog", "”", "ca", "n't", "<b>", "bark", "<", "/", "b", ">", *"!!!!!東京🙂", "8/10"]
    assert [word for word, _, _ in found] == words
    assert [text[start:end] for _, start, end in found] == words
    assert places_of(["", "  ", "a"]) == [[], [], [("a", 0, 1)]]


def test_invalid_bytes_are_a_character_each_in_the_places():
    words, starts, ends = located([b"a\xff b"])
    assert words.to_list() == [[b"a", "\ufffd".encode(), b"b"]]
    assert starts.to_list() == [[0, 1, 3]] and ends.to_list() == [[1, 2, 4]]
