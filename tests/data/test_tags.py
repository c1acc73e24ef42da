"""Schemes of tags, and tags of the words of a text."""

import conlleval
import hypothesis
import hypothesis.strategies as st
import pytest
import tensorflow as tf

from data.transforms.tags import SCHEMES, Tags, convert, spans, tagged
from data.transforms.words import located

LABELS = ["PER", "LOC", "ORG"]


@st.composite
def some_entities(draw):
    """A number of words, and entities side by side or apart."""
    length, found, place = draw(st.integers(0, 12)), [], 0
    while place < length:
        end = draw(st.integers(place + 1, length))
        if draw(st.booleans()):
            found.append((place, end, draw(st.sampled_from(LABELS))))
        place = end
    return length, found


def left_by(entities, scheme):
    """The entities that a scheme can express: in IO, neighbours with one label are one entity."""
    found = []
    for start, end, label in entities:
        if scheme == "IO" and found and found[-1][1:] == (start, label):
            start = found.pop()[0]
        found.append((start, end, label))
    return found


@hypothesis.given(some_entities(), st.sampled_from(SCHEMES), st.sampled_from(SCHEMES))
def test_entities_survive_every_scheme_and_every_conversion(given, one, other):
    length, found = given
    tags = tagged(found, length, one)
    found = left_by(found, one)
    assert len(tags) == length
    assert spans(tags) == found
    converted = convert(tags, other)
    found = left_by(found, other)
    assert spans(converted) == found
    assert convert(converted, one) == tagged(found, length, one)


# By the rules of the conlleval script: where a chunk starts and where it ends.
@pytest.mark.parametrize(
    "tags, expected",
    [
        (["I-PER", "I-PER"], [(0, 2, "PER")]),
        (["O", "I-PER", "I-LOC"], [(1, 2, "PER"), (2, 3, "LOC")]),
        (["B-PER", "I-LOC", "I-LOC"], [(0, 1, "PER"), (1, 3, "LOC")]),
        (["B-PER", "B-PER", "O"], [(0, 1, "PER"), (1, 2, "PER")]),
        (["I-PER", "B-PER", "I-PER"], [(0, 1, "PER"), (1, 3, "PER")]),
        (["S-PER", "E-PER", "E-PER"], [(0, 1, "PER"), (1, 2, "PER"), (2, 3, "PER")]),
        (["B-PER", "E-PER", "I-PER"], [(0, 2, "PER"), (2, 3, "PER")]),
        ([], []),
    ],
)
def test_tags_that_break_their_scheme_are_read_as_conlleval_reads_them(tags, expected):
    assert spans(tags) == expected


def test_the_schemes_differ_as_they_should():
    found = [(0, 1, "PER"), (1, 3, "PER"), (4, 7, "LOC")]
    assert tagged(found, 8, "IOB1") == ["I-PER", "B-PER", "I-PER", "O", "I-LOC", "I-LOC", "I-LOC", "O"]
    assert tagged(found, 8, "BIO") == ["B-PER", "B-PER", "I-PER", "O", "B-LOC", "I-LOC", "I-LOC", "O"]
    assert tagged(found, 8, "BIOUL") == ["U-PER", "B-PER", "L-PER", "O", "B-LOC", "I-LOC", "L-LOC", "O"]
    with pytest.raises(ValueError, match="`scheme` must be one of .* Received: scheme='BILOU'"):
        tagged(found, 8, "BILOU")


any_tag = st.sampled_from(["O", *(f"{prefix}-{label}" for prefix in "BIES" for label in LABELS)])


@hypothesis.given(st.lists(st.tuples(any_tag, any_tag), min_size=1, max_size=12))
def test_malformed_tags_are_counted_as_the_conlleval_script_counts_them(pairs):
    counts = conlleval.evaluate([*(f"w {true} {guess}" for true, guess in pairs), ""])["overall"]["chunks"]["stats"]
    true, guess = (set(spans(tags)) for tags in zip(*pairs, strict=True))
    assert counts == {"gold": len(true), "pred": len(guess), "correct": len(true & guess)}


@hypothesis.settings(deadline=None, max_examples=50)  # the first call loads TensorFlow
@hypothesis.given(some_entities(), st.sampled_from(["BIO", "BIOES", "BIOUL", "BMES"]))
def test_tags_of_words_are_those_of_the_scheme_and_come_back(given, scheme):
    length, found = given
    words = [f"w{number}é" for number in range(length)]
    starts = [sum(len(word) + 1 for word in words[:place]) for place in range(length + 1)]
    tags = Tags(LABELS, scheme)
    table = [[str(starts[a]), str(starts[b] - 1), label] for a, b, label in found]
    _, first, last = located([" ".join(words), "", "w"])
    rows = tf.ragged.constant([[], table, []], ragged_rank=1, inner_shape=(3,), dtype=tf.string)
    rows = tf.gather(rows, [1, 0, 2])
    numbers = tags(first, last, rows)
    assert [tags.names[number] for number in numbers[0].numpy()] == tagged(found, length, scheme)
    row, start, end, label = (part.numpy().tolist() for part in tags.entities(numbers.to_tensor()))
    back = [(a, b + 1, tags.labels[number]) for a, b, number in zip(start, end, label, strict=True)]
    assert back == found and set(row) <= {0}


def test_entities_that_are_no_whole_words_reach_the_words_they_touch():
    tags = Tags(["PER", "LOC"], "BIO")
    _, starts, ends = located(["Ann-Lee went.", "Oslo"])
    entities = tf.ragged.constant([[["2", "6", "PER"], ["8", "9", "?"]], [["0", "4", "LOC"]]], ragged_rank=1)
    names = [[tags.names[number] for number in row] for row in tags(starts, ends, entities).to_list()]
    assert names == [["B-PER", "I-PER", "I-PER", "O", "O"], ["B-LOC"]]
    with pytest.raises(ValueError, match="`scheme` must be one of BIO, .* Received: scheme='IOB1'"):
        Tags(["PER"], "IOB1")
