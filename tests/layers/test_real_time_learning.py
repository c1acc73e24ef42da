"""Real-time recurrent learning against backpropagation through time, and as a way to learn."""

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, filled, gradients
from keras import ops

from layers import ElmanCell, FullyRecurrentCell, RealTimeLearning, Recurrent


@pytest.mark.parametrize(
    ("activation", "outputs", "use_bias"), [("sigmoid", 2, True), ("tanh", None, True), ("linear", 1, False)]
)
def test_its_gradient_is_that_of_backpropagation_through_time(activation, outputs, use_bias):
    rng = np.random.default_rng(0)
    cell = FullyRecurrentCell(4, outputs=outputs, activation=activation, use_bias=use_bias, dtype="float64")
    layer = filled(Recurrent(cell, return_sequences=True, dtype="float64"), (3, 13, 2))
    x, d = rng.normal(size=(3, 13, 2)), rng.normal(size=(3, 13, outputs or 4))
    there = rng.random(d.shape) < 0.6  # targets come now and then
    losses, found = RealTimeLearning(cell).gradients(x, np.where(there, d, np.nan))

    def loss(layer, x):
        error = (ops.convert_to_tensor(d, "float64") - layer(x, training=True)) * ops.cast(there, "float64")
        return ops.sum(error**2) / 2

    _, *expected = gradients(layer, loss, x)
    assert len(found) == len(expected) == 2 + use_bias
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10 if TENSORFLOW else 2e-4, rtol=1e-10 if TENSORFLOW else 1e-3)
    np.testing.assert_allclose(losses.sum(), loss(layer, x), rtol=1e-10 if TENSORFLOW else 1e-5)


def test_weights_change_after_each_timestep_and_the_next_one_sees_them():
    rng = np.random.default_rng(1)
    x, d = rng.normal(size=(2, 2, 1)), rng.normal(size=(2, 2, 3))
    cell = filled(FullyRecurrentCell(3, activation="tanh", dtype="float64"), (2, 1))
    kernel, recurrent, bias = (np.array(w) for w in cell.get_weights())
    y1 = np.tanh(x[:, 0] @ kernel + bias)
    slope = (y1 - d[:, 0]) * (1 - y1**2)
    kernel1, bias1 = kernel - 0.3 * x[:, 0].T @ slope, bias - 0.3 * slope.sum(axis=0)
    y2 = np.tanh(x[:, 1] @ kernel1 + y1 @ recurrent + bias1)  # the recurrent kernel has not been used yet
    losses = RealTimeLearning(cell).learn(x, d, learning_rate=0.3)
    expected = [np.sum((y - d[:, t]) ** 2) / 2 for t, y in enumerate((y1, y2))]
    np.testing.assert_allclose(losses, expected, rtol=1e-10 if TENSORFLOW else 1e-5)
    assert not np.allclose(cell.get_weights()[1], recurrent)


def test_a_network_learns_an_exclusive_or_of_earlier_inputs_while_it_runs():
    bits = np.random.default_rng(2).integers(0, 2, (1, 4000, 2)).astype("float64")
    target = np.roll(bits[..., :1] != bits[..., 1:], 1, axis=1).astype("float64")  # of the last timestep
    cell = FullyRecurrentCell(
        4, outputs=1, seed=3, kernel_initializer=keras.initializers.RandomNormal(stddev=1.0, seed=3)
    )
    losses = RealTimeLearning(cell).learn(bits, target, learning_rate=2.0)
    layer = Recurrent(cell, return_sequences=True)
    found = ops.convert_to_numpy(layer(bits[:, :200])) > 0.5
    assert (found == (target[:, :200] > 0.5))[:, 2:].mean() > 0.95
    assert losses[-500:].mean() < 0.2 * losses[:500].mean()


def test_wrong_arguments_of_real_time_learning_are_named():
    with pytest.raises(ValueError, match="`cell` must be a FullyRecurrentCell"):
        RealTimeLearning(ElmanCell(3))
    with pytest.raises(ValueError, match="activations sigmoid, tanh, linear. Received: activation='relu'"):
        RealTimeLearning(FullyRecurrentCell(3, activation="relu"))
    with pytest.raises(ValueError, match=r"\(batch, timesteps, 3\). .* targets.shape=\(1, 5, 2\)"):
        RealTimeLearning(FullyRecurrentCell(3)).gradients(np.ones((1, 5, 2)), np.ones((1, 5, 2)))
    with pytest.raises(ValueError, match="`learning_rate` must be at least 0. Received: learning_rate=-1"):
        RealTimeLearning(FullyRecurrentCell(3)).learn(np.ones((1, 5, 2)), np.ones((1, 5, 3)), -1)


def test_a_network_that_diverges_says_so():
    cell = FullyRecurrentCell(2, activation="linear")
    losses, _ = RealTimeLearning(cell).gradients(np.full((1, 3, 2), np.nan), np.zeros((1, 3, 2)))
    assert np.isnan(losses).all()


def test_no_timesteps_have_gradients_of_zero():
    cell = FullyRecurrentCell(3, outputs=1, seed=0)
    losses, found = RealTimeLearning(cell).gradients(np.ones((2, 0, 4)), np.ones((2, 0, 1)))
    assert losses.shape == (0,) and [one.shape for one in found] == [tuple(weight.shape) for weight in cell.weights]
    assert not any(one.any() for one in found)
