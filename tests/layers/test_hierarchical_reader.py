"""Words, sentences, document: against one sentence at a time, and sentences against loops over words."""

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, filled, gradients
from keras import ops

from layers import ElmanCell, HierarchicalReader, Pooling, Sentences, hierarchical, stack

TEXTS = [[3, 4, 9, 9, 5, 6, 7, 2, 3, 8, 4], [9], [], [2, 3, 4, 5, 6, 7], [8, 9, 2, 2, 9]]
IDS = np.array([text + [0] * (12 - len(text)) for text in TEXTS])


def cut(text, longest, ends=(8, 9)):
    """The sentences of a text, word by word."""
    found = []
    for place, word in enumerate(text):
        after_an_end = place and text[place - 1] in ends and word not in ends
        if not found or after_an_end or len(found[-1]) == longest:
            found.append([])
        found[-1].append(word)
    return found


@pytest.mark.parametrize("sentences", [None, 2, 7])
@pytest.mark.parametrize("longest", [1, 3, 20])
def test_sentences_end_after_their_last_sign_or_when_they_are_long(longest, sentences):
    found = ops.convert_to_numpy(Sentences([8, 9], longest, sentences)(IDS))
    expected = [cut(text, longest) for text in TEXTS]
    words = max(len(sentence) for text in expected for sentence in text)
    assert found.shape == (5, sentences or max(map(len, expected)), longest if sentences else words)
    for row, text in zip(found, expected, strict=True):
        rows = [[int(word) for word in line if word] for line in row]
        assert [line for line in rows if line] == text[:sentences]
        assert all((line[len(kept) :] == 0).all() for line, kept in zip(row, rows, strict=True))


def test_a_document_is_read_sentence_by_sentence_without_its_padding():
    reader = hierarchical(ElmanCell, 3)
    x = np.random.default_rng(0).normal(size=(2, 4, 5, 6)).astype("float32")
    mask = np.arange(5) < np.array([[5, 2, 1, 4], [3, 3, 0, 0]])[:, :, None]
    filled(reader, x.shape)
    found = ops.convert_to_numpy(reader(np.where(mask[..., None], x, np.nan), mask=mask))
    for row in range(2):
        vectors = []
        for sentence, kept in zip(x[row], mask[row], strict=True):
            if kept.any():
                vectors.append(reader.word_pooling(reader.words(sentence[None, kept]))[0])
        document = ops.stack(vectors)[None]
        expected = reader.sentence_pooling(reader.sentences(document))[0]
        np.testing.assert_allclose(found[row], expected, atol=1e-6)
    np.testing.assert_allclose(
        reader(x[:, :1, :3]), reader(x[:, :1], mask=np.arange(5)[None, None] < [[[3]], [[3]]]), atol=1e-6
    )


@pytest.mark.parametrize("sentences", [None, 2])
def test_no_words_are_one_sentence_of_padding(sentences):
    found = ops.convert_to_numpy(Sentences([9], 3, sentences=sentences)(np.zeros((2, 0), int)))
    assert found.shape == ((2, 1, 1) if sentences is None else (2, 2, 3)) and not found.any()


def test_a_reader_of_raw_ids_is_saved_and_runs_in_a_graph_of_unknown_sizes(tmp_path):
    word_ids = keras.Input([None], dtype="int32")
    cut = Sentences([8, 9], 4, sentences=None if TENSORFLOW else 4)(word_ids)
    x = keras.layers.Embedding(10, 6)(cut)
    x = hierarchical(ElmanCell, 3, bidirectional=False, pooling="mean-max")(x, mask=ops.not_equal(cut, 0))
    model = keras.Model(word_ids, x)
    assert x.shape == (None, 6)
    model.save(tmp_path / "reader.keras")
    again = keras.models.load_model(tmp_path / "reader.keras")
    for part in (IDS, IDS[:2, :5]):
        found = [again(part), model.predict(part, verbose=0)] if TENSORFLOW else [again(part)]
        for result in found:
            np.testing.assert_allclose(result, model(part), atol=1e-6)
            assert np.isfinite(result).all()


def test_every_weight_of_a_reader_gets_a_gradient():
    reader = hierarchical(ElmanCell, 3)
    x = np.random.default_rng(0).normal(size=(2, 3, 4, 6)).astype("float32")
    mask = np.arange(4) < np.array([[4, 2, 1], [3, 4, 0]])[:, :, None]
    filled(reader, x.shape)
    found = gradients(reader, lambda reader, x: ops.sum(reader(x, mask=mask, training=True) ** 2), x)
    assert len(found) == 1 + 16 and all(np.isfinite(one).all() and one.any() for one in found)
    assert not found[0][~mask].any() and found[0][mask].any(axis=1).all()


def test_wrong_arguments_of_readers_are_named():
    cases = [
        (lambda: Sentences([1], longest=0), "Sentences: `longest` must be a positive integer"),
        (lambda: Sentences([1], sentences=0), "Sentences: `sentences` must be a positive integer"),
        (lambda: hierarchical(ElmanCell, 3, pooling="last"), "Pooling: `how` must be one of"),
        (lambda: hierarchical(ElmanCell, 3)(np.ones((2, 3, 4))), r"must be \(batch, sentences, words, features\)"),
        (
            lambda: HierarchicalReader(Pooling(), Pooling(), stack(ElmanCell, 2), Pooling()),
            "`words` must be a Stack. Received: <Pooling",
        ),
    ]
    for make, message in cases:
        with pytest.raises(ValueError, match=message):
            make()
