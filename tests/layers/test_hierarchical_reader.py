"""Words, sentences, document: against one sentence at a time, and sentences against loops over words."""

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, filled
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


def test_a_reader_of_raw_ids_trains_is_saved_and_exported(tmp_path):
    keras.utils.set_random_seed(0)
    word_ids = keras.Input([None], dtype="int32")
    cut = Sentences([8, 9], 4, sentences=None if TENSORFLOW else 4)(word_ids)
    x = keras.layers.Embedding(10, 6)(cut)
    x = hierarchical(ElmanCell, 3, pooling="mean-max")(x, mask=ops.not_equal(cut, 0))
    model = keras.Model(word_ids, keras.layers.Dense(1)(x))
    assert x.shape == (None, 12)
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(IDS, np.ones((5, 1)), verbose=0)
    assert not any(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "reader.keras")
    found = [keras.models.load_model(tmp_path / "reader.keras")(IDS)]
    if TENSORFLOW:
        import tensorflow as tf

        model.export(tmp_path / "export", verbose=False)
        exported = tf.saved_model.load(str(tmp_path / "export"))
        found.append(exported.serve(tf.constant(IDS, "int32")))
    for result in found:
        np.testing.assert_allclose(result, model(IDS), atol=1e-6)
        assert np.isfinite(result).all()


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
