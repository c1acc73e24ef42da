"""Naive Bayes over words and pairs against counting by hand; paths that vote."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

from layers import NaiveBayesBag, Vote

WORDS, PAIRS = 12, 7


def texts(seed, number=40, timesteps=9):
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, timesteps + 1, number)
    return rng.integers(1, WORDS, (number, timesteps)) * (np.arange(timesteps) < lengths[:, None])


def features(row):
    """The words and pairs of a text, each once."""
    words = [int(word) for word in row if word]
    return set(words) | {WORDS + (a * 31_337 + b) % PAIRS for a, b in itertools.pairwise(words)}


def ratios(rows, classes, number, smoothing):
    counts = {c: {} for c in range(number)}
    for row, c in zip(rows, classes, strict=True):
        for feature in features(row) if c >= 0 else ():
            counts[c][feature] = counts[c].get(feature, 0) + 1
    seen = sorted({feature for found in counts.values() for feature in found})
    p = np.array([[counts[c].get(feature, 0) + smoothing for feature in seen] for c in range(number)])
    r = np.log(p / p.sum(axis=1, keepdims=True))
    return dict(zip(seen, (r - r.mean(axis=0)).T, strict=True))


@pytest.mark.parametrize("number", [2, 3])
def test_a_bag_is_naive_bayes_of_wang_and_manning(number):
    rows, classes = texts(0), np.random.default_rng(1).integers(-1, number, 40)
    layer = NaiveBayesBag(WORDS, number, PAIRS, smoothing=0.5)
    layer.adapt([(rows[:25], classes[:25]), (rows[25:], classes[25:])])
    rng = np.random.default_rng(2)
    w, b = rng.normal(size=WORDS + PAIRS) / 10, rng.normal(size=number)
    layer.weights_of_features.assign(w)
    layer.bias.assign(b)
    expected_ratios = ratios(rows, classes, number, 0.5)

    new = texts(3)
    found = ops.convert_to_numpy(layer(new))

    for row, z in zip(new, found, strict=True):
        expected = sum((0.3 + 10 * w[f]) * expected_ratios.get(f, np.zeros(number)) for f in features(row))
        np.testing.assert_allclose(z, expected / np.sqrt(np.count_nonzero(row)) + b, atol=1e-5)


def test_a_bag_begins_with_the_classes_shares_and_survives_saving(tmp_path):
    rows, classes = texts(4), (np.arange(40) % 4 == 0).astype(int)
    word_ids = keras.Input([None], dtype="int32")
    layer = NaiveBayesBag(WORDS, 2, PAIRS)
    model = keras.Model(word_ids, layer(word_ids))
    layer.adapt([(rows, classes)])
    gap = np.log(31 / 11)
    np.testing.assert_allclose(ops.convert_to_numpy(layer.bias), [gap / 2, -gap / 2], atol=1e-6)
    model.save(tmp_path / "bag.keras")
    again = keras.models.load_model(tmp_path / "bag.keras")
    np.testing.assert_array_equal(again(rows), model(rows))
    assert layer.compute_output_shape((40, 9)) == model(rows).shape
    assert np.isfinite(ops.convert_to_numpy(layer(np.zeros((2, 3), int)))).all()


@pytest.mark.parametrize(
    "wrong", [{"words": 0}, {"classes": 1}, {"pairs": 2.5}, {"smoothing": 0.0}], ids=lambda wrong: next(iter(wrong))
)
def test_wrong_arguments_of_a_bag_are_named(wrong):
    with pytest.raises(ValueError, match=f"NaiveBayesBag: `{next(iter(wrong))}` must be"):
        NaiveBayesBag(**{"words": 5, "classes": 2, **wrong})


def test_paths_vote_by_their_shares_and_learn_apart():
    paths = list(np.random.default_rng(5).normal(size=(3, 4, 2)).astype("float32"))
    vote = Vote()
    np.testing.assert_allclose(vote(paths), np.mean(paths, axis=0), atol=1e-6)
    vote.shares.assign([0.2, 1.5, 0.0])
    np.testing.assert_allclose(vote(paths), 0.2 * paths[0] + 1.5 * paths[1], atol=1e-6)
    np.testing.assert_array_equal(vote(paths, training=True), np.stack(paths, axis=1))
