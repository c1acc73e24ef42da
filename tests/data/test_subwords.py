"""Texts to pieces and back."""

import collections
import functools
import io
import json
import math
import time
import unicodedata

import hypothesis
import numpy as np
import pytest
import sentencepiece
import tensorflow as tf
from hypothesis import strategies

from data.transforms.subwords import FIRST_BYTE, FIRST_PIECE, SPACE, Subwords, _count, _sentences, learn

SYLLABLES = ["low", "new", "wid", "er", "est", "ing", "ly", "un", "re", "schön", "ça", "naïv", "œuvre", "猫", "ё"]


@functools.cache
def corpus():
    """Sentences of made-up words, frequent ones far more often."""
    rng = np.random.default_rng(5)
    words = ["".join(rng.choice(SYLLABLES, size=rng.integers(1, 5))) for _ in range(300)] + ["!", ",", "(x)", "1998"]
    words = np.array(words)
    share = 1 / np.arange(1, len(words) + 1)
    return [" ".join(rng.choice(words, size=rng.integers(1, 12), p=share / share.sum())) for _ in range(800)]


def dataset(texts):
    return tf.data.Dataset.from_tensor_slices(tf.constant(texts, tf.string))


@functools.cache
def vocabulary(size=400):
    return learn(dataset(corpus()), size)


@functools.cache
def trained():
    return Subwords(vocabulary())


@functools.cache
def their_model(size=400):
    """The library on whole sentences, by itself."""
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus()),
        model_writer=written,
        vocab_size=size - 2,
        hard_vocab_limit=False,
        byte_fallback=True,
        bos_id=-1,
        eos_id=-1,
        character_coverage=1.0,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())


def total(scores, names):
    """The score of a segmentation; a character in bytes counts once, 10 below the worst piece."""
    firsts = [name for name in names if name.startswith("<0x") and not 0x80 <= int(name[3:5], 16) < 0xC0]
    whole = [name for name in names if not name.startswith("<0x")]
    return sum(scores[name] for name in whole) + len(firsts) * (min(scores.values()) - 10)


def names_of(subwords, ids):
    return [[name.decode() for name in row] for row in subwords.pieces(ids).to_list()]


def best_score(text, scores):
    """The greatest score over all ways to cut `text`, each tried."""
    if not text:
        return 0.0
    cuts = (scores.get(text[:end], -math.inf) + best_score(text[end:], scores) for end in range(1, len(text) + 1))
    unknown = min(scores.values()) - 10 if text[0] not in scores else -math.inf
    return max(max(cuts), unknown + best_score(text[1:], scores))


def theirs_as_ours():
    theirs = their_model()
    return [[theirs.id_to_piece(n), theirs.get_score(n)] for n in range(257, theirs.get_piece_size())]


def test_scores_of_segmentations_are_the_library_s():
    theirs, pieces = their_model(), theirs_as_ours()
    scores, subwords = dict(pieces), Subwords(pieces)
    texts = [*corpus()[:300], "lowlowestnewing", "  two  spaces ", "unheard zebra 99 Ω ñ", "x" * 300, "a\tb\nc"]
    for text, names in zip(texts, names_of(subwords, subwords(texts)), strict=True):
        expected = theirs.encode(text, out_type=str)
        assert total(scores, names) == pytest.approx(total(scores, expected), abs=1e-2)


def test_texts_are_about_as_likely_and_short_as_with_the_library_on_whole_sentences():
    found = []
    for pieces in (vocabulary(), theirs_as_ours()):
        subwords = Subwords(pieces)
        names = names_of(subwords, subwords(corpus()))
        found.append((len(pieces), sum(map(len, names)), -sum(total(dict(pieces), row) for row in names)))
    ours, theirs = np.array(found)
    assert (ours <= 1.03 * theirs).all()


def test_a_word_that_is_always_followed_by_a_space_has_a_piece():
    texts = [f"their {word}" for word in "abcdefghijklmnopqrstuvwxyz"] * 20
    assert "▁their" in {piece for piece, _ in learn(dataset(texts), 400)}


def test_no_way_to_cut_a_word_has_a_greater_score():
    rng = np.random.default_rng(11)
    for _ in range(3):
        pieces = {"".join(rng.choice(list("ab"), size=size)) for size in rng.integers(1, 5, size=12)}
        pieces |= {SPACE + piece for piece in list(pieces)[:4]}
        scores = {piece: float(rng.uniform(-9, -1)) for piece in sorted(pieces)}
        subwords = Subwords([[*one] for one in scores.items()])
        words = ["".join(rng.choice(list("abc"), size=size)) for size in rng.integers(1, 11, size=60)]
        for word, names in zip(words, names_of(subwords, subwords(words)), strict=True):
            assert total(scores, names) == pytest.approx(best_score(SPACE + word, scores), abs=1e-3)


@hypothesis.settings(max_examples=150, deadline=None)
@hypothesis.given(
    strategies.lists(
        strategies.text(max_size=20)
        | strategies.text(" ▁\t\n\r\u00a0lowestçe\u0301\u0323é😀猫▅\ufeff\u200d<0x41>\x01", max_size=25)
        | strategies.lists(strategies.sampled_from(SYLLABLES), max_size=6).map(" ".join),
        max_size=4,
    )
)
def test_any_text_comes_back_in_normal_form(texts):
    subwords = trained()
    ids = subwords(tf.constant([text.encode() for text in texts], tf.string))
    expected = [unicodedata.normalize("NFC", text) for text in texts]
    assert [text.decode() for text in subwords.text(ids).numpy()] == expected
    assert [text.decode() for text in subwords.text(ids.to_tensor()).numpy()] == expected
    assert ids.dtype == tf.int64 and all(FIRST_BYTE <= one < subwords.size for row in ids.to_list() for one in row)
    assert [len(row) > 0 for row in ids.to_list()] == [text != "" for text in texts]


@pytest.mark.parametrize(
    "text", ["", " ", "  ", " a", "a ", "a  b", "▁", "▁a ▁", "\u0301", "\n\t", "\x00a", "\ufeff", "<s>"]
)
def test_edges_come_back(text):
    subwords = trained()
    assert subwords.text(subwords([text])).numpy()[0].decode() == text


def test_without_pieces_there_are_bytes():
    subwords = Subwords([])
    assert subwords.size == FIRST_PIECE == 259
    ids = subwords(["é a"])
    assert [one - FIRST_BYTE for one in ids.to_list()[0]] == list(" é a".encode())
    assert subwords.text(ids).numpy()[0].decode() == "é a"
    assert subwords([]).to_list() == [] and subwords([""]).to_list() == [[]]


def test_the_mark_of_a_space_in_a_text_is_not_a_space():
    subwords = Subwords([["▁", -1.0], ["▁a", -2.0], ["a", -3.0]])
    assert names_of(subwords, subwords(["a ▁a"])) == [["▁a", "▁", "<0xE2>", "<0x96>", "<0x81>", "a"]]


def test_what_is_no_text_is_left_out_and_shown():
    subwords = Subwords([["▁ab", -1.0], ["c", -2.0]])
    ids = tf.constant([[1, 259, 260, 2, 0], [1, 3 + 0xE2, 260, 259, 2], [2, 0, 0, 0, 0]])
    assert [text.decode() for text in subwords.text(ids).numpy()] == ["abc", "\ufffdc ab", ""]
    assert subwords.pieces(ids).numpy()[0].tolist() == [b"<s>", "▁ab".encode(), b"c", b"</s>", b""]
    assert subwords.pieces(260).numpy() == b"c"


def test_malformed_utf8_becomes_the_replacement_character():
    subwords = trained()
    assert subwords.text(subwords([b"low\xff"])).numpy()[0].decode() == "low\ufffd"


def test_learning_gives_the_same_twice_and_survives_as_json():
    pieces = learn(dataset(corpus()), 400)
    assert pieces == vocabulary() == json.loads(json.dumps(pieces))
    assert any(piece == "▁low" for piece, _ in pieces)
    texts = corpus()[:20]
    assert Subwords(pieces)(texts).to_list() == trained()(texts).to_list()


def test_case_is_kept_and_normal_form_is_learnt():
    pieces = {piece for piece, _ in learn(dataset(["Cafe\u0301 LOW low"] * 50), 300)}
    characters = set("".join(pieces))
    assert {"C", "é", "L", "l"} <= characters and "\u0301" not in characters


@pytest.mark.parametrize("texts", [["猫"], ["a\tb", "a\nb\x00c ▅▁"], ["x" * 10_000]], ids=range(3))
def test_small_and_odd_data_yield_what_they_can(texts):
    subwords = Subwords(learn(dataset(texts), 300))
    assert FIRST_PIECE < subwords.size <= 300
    assert [text.decode() for text in subwords.text(subwords(texts)).numpy()] == texts


def test_many_characters_need_a_larger_vocabulary():
    texts = [chr(code) * 3 for code in range(0x4E00, 0x4F00)]
    with pytest.raises(ValueError, match="at least 761.* 257 different characters.*size=300"):
        learn(dataset(texts), 300)
    pieces = {piece for piece, _ in learn(dataset(texts), 761)}
    assert 240 <= len(set("".join(pieces))) <= 251  # the others are bytes


def test_of_many_words_each_has_its_share(monkeypatch):
    def sampled(words):
        return collections.Counter(" ".join(_sentences(words)).split())

    assert list(_sentences({"a": 3, "b": 1})) == ["a a", "a", "b"]
    monkeypatch.setattr("data.transforms.subwords._MOST_CHARACTERS", 6430)
    found = sampled({"often": 50_000, "rarely": 49_000, "never": 5})
    assert found["often"] == pytest.approx(500, abs=1) and found["rarely"] == pytest.approx(490, abs=1)
    assert sum(sampled({f"{number:09}": 1 for number in range(1286)}).values()) == pytest.approx(643, abs=1)


def test_rare_words_are_forgotten_before_memory_runs_out():
    texts = ["often " * 9] * 50 + [f"once{number}" for number in range(3000)]
    total = _count(dataset(texts), held=600)
    assert len(total) <= 600 and total["often"] == 450


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match=r"`texts`.*at least one word"):
        learn(dataset([]), 1000)
    with pytest.raises(ValueError, match=r"`texts`.*at least one word"):
        learn(dataset(["", " \n ", "▁"]), 1000)
    with pytest.raises(ValueError, match="size=259"):
        learn(dataset(["a"]), 259)
    for pieces, wrong in [
        ([["", -1.0]], "''"),
        ([["a▁", -1.0]], "a▁"),
        ([["a b", -1.0]], "a b"),
        ([["a", -1.0], ["a", -2.0]], "twice: 'a'"),
        ([["a", math.nan]], "nan"),
    ]:
        with pytest.raises(ValueError, match=rf"`pieces`.*{wrong}"):
            Subwords(pieces)


def test_time_and_memory_of_a_long_word_grow_with_its_length_alone():
    subwords = trained()
    rng = np.random.default_rng(2)
    long = "".join(rng.choice(list("lowestning"), size=10_000))
    texts = [long, *corpus()[:500]]
    begin = time.process_time()
    ids = subwords(texts)
    assert time.process_time() - begin < 20
    assert subwords.text(ids).numpy()[0].decode() == long
    assert ids[1:].to_list() == subwords(texts[1:]).to_list()


def test_words_do_not_depend_on_what_stands_beside_them():
    subwords, texts = trained(), corpus()[:40]
    assert subwords(texts).to_list() == [subwords([text]).to_list()[0] for text in texts]


class Exported(tf.Module):
    def __init__(self, subwords):
        super().__init__()
        self.subwords = subwords

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def serve(self, texts):
        ids = self.subwords(texts)
        return {
            "ids": ids.to_tensor(),
            "text": self.subwords.text(ids),
            "pieces": self.subwords.pieces(ids.to_tensor()),
        }


def test_the_export_gives_the_same(tmp_path):
    subwords = trained()
    module = Exported(subwords)
    tf.saved_model.save(module, str(tmp_path), signatures=module.serve)
    texts = ["low e\u0301t newest  猫", "", "▁Ω"]
    found = tf.saved_model.load(str(tmp_path)).signatures["serving_default"](tf.constant(texts))
    ids, back = found["ids"].numpy().tolist(), [one.decode() for one in found["text"].numpy()]
    pieces = [[one.decode() for one in row] for row in found["pieces"].numpy().tolist()]
    expected = subwords(texts)
    assert ids == expected.to_tensor().numpy().tolist()
    assert back == [unicodedata.normalize("NFC", text) for text in texts]
    assert [[name for name in row if name] for row in pieces] == names_of(subwords, expected)
