"""Both strands of a sequence give one answer; in training a strand is drawn, or both are read."""

import keras
import numpy as np
import pytest
from cells import filled
from keras import ops

from layers import Strands

LENGTHS = np.array([9, 4, 1, 7, 9, 2, 5, 8])


def ids(seed=0, repeat=1):
    """Bases 1 to 4, padded with 0, and their reverse complement: A and T, C and G are 1 and 4, 2 and 3."""
    rng = np.random.default_rng(seed)
    x = np.zeros((repeat * len(LENGTHS), LENGTHS.max()), "int32")
    other = x.copy()
    for row, length in enumerate(np.tile(LENGTHS, repeat)):
        x[row, :length] = rng.integers(1, 5, length)
        other[row, :length] = 5 - x[row, :length][::-1]
    return x, other


def network(outputs=1, seed=0):
    """A random network that tells strands apart; its logits are one tensor or a list."""
    given = keras.Input([None], dtype="int32")
    x = keras.layers.Embedding(5, 4)(given)
    x = keras.layers.Conv1D(6, 3, padding="same", activation="tanh")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    logits = [keras.layers.Dense(3)(x) for _ in range(outputs)]
    return filled(keras.Model(given, logits[0] if outputs == 1 else logits), None, seed)


def arrays(found):
    return [ops.convert_to_numpy(one) for one in (found if isinstance(found, (list, tuple)) else [found])]


@pytest.mark.parametrize("in_training", ["shared", "augment"])
@pytest.mark.parametrize("outputs", [1, 2])
def test_both_strands_give_exactly_the_same_mean(outputs, in_training):
    f = network(outputs)
    layer, (x, other) = Strands(f, in_training), ids()
    found = arrays(layer([x, other]))
    assert isinstance(layer([x, other]), list) == (outputs > 1)
    for one, swapped, a, b in zip(found, arrays(layer([other, x])), arrays(f(x)), arrays(f(other)), strict=True):
        np.testing.assert_array_equal(one, swapped)
        np.testing.assert_allclose(one, (a.astype("float64") + b) / 2, atol=1e-6)
        assert (np.abs(a - b).max(axis=1) > 1e-3).sum() >= 6  # else this would say nothing


def test_shared_strands_are_the_same_in_training():
    layer, strands = Strands(network(2)), ids()
    for one, expected in zip(layer(strands, training=True), layer(strands), strict=True):
        np.testing.assert_array_equal(one, expected)


def test_a_strand_is_drawn_for_each_sequence_in_training():
    """Several logits are those of one strand."""
    f, (x, other) = network(2), ids(repeat=10)
    layer = Strands(f, "augment", seed=4)
    forward, backward = (np.concatenate(arrays(f(one)), axis=1) for one in (x, other))
    differ = np.abs(forward - backward).max(axis=1) > 1e-3
    draws = []
    for _ in range(2):
        found = np.concatenate(arrays(layer([x, other], training=True)), axis=1)
        is_forward, is_backward = (np.isclose(found, one, atol=1e-5).all(axis=1) for one in (forward, backward))
        assert (is_forward | is_backward).all() and (is_forward ^ is_backward)[differ].all()
        draws.append(is_backward[differ])
        assert 0.3 < draws[-1].mean() < 0.7
    assert (draws[0] != draws[1]).any()


def test_the_strands_drawn_repeat_with_their_seed():
    f, strands = network(), ids(repeat=4)
    one, same, other = (Strands(f, "augment", seed=seed) for seed in (4, 4, 5))
    for _ in range(2):
        found = arrays(one(strands, training=True))[0]
        np.testing.assert_array_equal(same(strands, training=True), found)
        assert not np.allclose(arrays(other(strands, training=True))[0], found)


@pytest.mark.parametrize("outputs", [1, 2])
def test_strands_survive_saving(outputs, tmp_path):
    given = [keras.Input([None], dtype="int32") for _ in range(2)]
    layer = Strands(network(outputs), "augment", seed=4)
    model = keras.Model(given, layer(given))
    model.save(tmp_path / "strands.keras")
    again = keras.models.load_model(tmp_path / "strands.keras")
    strands = list(ids())
    for found, expected in zip(arrays(again(strands)), arrays(layer(strands)), strict=True):
        np.testing.assert_array_equal(found, expected)
    loaded = again.layers[-1]
    assert (loaded.in_training, loaded.seed) == ("augment", 4)
    assert len(again.trainable_variables) == len(layer.network.weights)
    for found, expected in zip(
        arrays(loaded(strands, training=True)), arrays(layer(strands, training=True)), strict=True
    ):
        np.testing.assert_array_equal(found, expected)


def test_shapes_and_dtypes_are_those_of_the_network():
    f = network(2)
    layer = Strands(f, dtype="mixed_bfloat16")
    told = layer([keras.Input([None], dtype="int32") for _ in range(2)])
    assert [(one.shape, one.dtype) for one in told] == [((None, 3), "float32")] * 2
    assert [keras.backend.standardize_dtype(one.dtype) for one in layer(ids())] == ["float32"] * 2
    assert list(layer.compute_output_shape([(8, 9), (8, 9)])) == [(8, 3)] * 2


@pytest.mark.parametrize("wrong", ["both", None, "Shared"], ids=repr)
def test_an_unknown_way_to_train_is_named(wrong):
    with pytest.raises(ValueError, match=f"Strands: `in_training` must be .* Received: in_training={wrong!r}"):
        Strands(network(), wrong)
