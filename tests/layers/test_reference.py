"""Each cell is its paper's equation: outputs, carry and gradients against float64 NumPy."""

import keras
import numpy as np
import pytest
import reference
from cells import DRIVEN, MAKERS, TENSORFLOW, gradients, recurrent, short_blocks, states
from keras import ops

from layers import CELLS

PRECISIONS = [
    pytest.param("float32", 1e-5, id="float32"),
    pytest.param(
        "float64", 1e-10, id="float64", marks=pytest.mark.skipif(not TENSORFLOW, reason="JAX: 32 bits unless told")
    ),
]


@pytest.fixture(autouse=True)
def nothing_noted(monkeypatch):
    short_blocks(monkeypatch)
    reference.straight_through.begin(first=True)


def named_weights(layer):
    return {w.name: np.asarray(ops.convert_to_numpy(w.value), "float64") for w in layer.cell.weights}


def test_every_cell_has_a_reading_of_its_paper():
    assert set(MAKERS) == set(reference.STEPS) >= set(CELLS)


@pytest.mark.parametrize("name", MAKERS)
@pytest.mark.parametrize("dtype, tolerance", PRECISIONS)
def test_outputs_and_carry_are_the_paper_s(name, dtype, tolerance):
    """By our driver and by stock Keras's, over the same cell."""
    x = np.random.default_rng(2).normal(size=(3, 5, 5)).astype(dtype)
    layer = recurrent(name, shape=x.shape, dtype=dtype, return_sequences=True, return_state=True)
    carry = [state.astype("float64") for state in states(layer, 3)]
    expected, expected_last = reference.over_time(reference.STEPS[name], x, carry, named_weights(layer))
    for driver in (layer, keras.layers.RNN(layer.cell, return_sequences=True, return_state=True, dtype=dtype)):
        outputs, *last = driver(x, initial_state=[ops.cast(state, dtype) for state in carry])
        for one, other in zip([outputs, *last], [expected, *expected_last], strict=True):
            np.testing.assert_allclose(one, other, atol=tolerance)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX computes in 32 bits unless told; there the gradients are stock Keras's")
@pytest.mark.parametrize("name", MAKERS)
def test_gradients_are_the_slopes_of_the_paper_s_equation(name):
    """Central differences of the float64 reading, along random directions in inputs, carry and weights."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(2, 4, 3))
    layer = recurrent(name, units=3, shape=x.shape, dtype="float64", return_sequences=True, return_state=True)
    carry, weights = states(layer, 2), named_weights(layer)
    learnt = [weight.name for weight in layer.cell.trainable_weights]
    weigh = [rng.normal(size=(2, 4, layer.cell.output_size)), *(rng.normal(size=state.shape) for state in carry)]

    def loss(layer, x, *carry):
        found = layer(x, initial_state=list(carry), training=True)
        return sum(ops.sum(one * other) for one, other in zip(found, weigh, strict=True))

    def expected(x, *carry_and_weights):
        carry = carry_and_weights[: len(weigh) - 1]
        named = weights | dict(zip(learnt, carry_and_weights[len(weigh) - 1 :], strict=True))
        outputs, last = reference.over_time(reference.STEPS[name], x, carry, named)
        return sum(np.sum(one * other) for one, other in zip([outputs, *last], weigh, strict=True))

    found = gradients(layer, loss, x, *carry, graph=name in DRIVEN)
    point = [x, *carry, *(weights[name] for name in learnt)]
    assert [g.shape for g in found] == [p.shape for p in point]
    expected(*point)
    for place in range(len(point)):
        direction = [np.zeros_like(p) for p in point]
        direction[place] = rng.normal(size=point[place].shape)
        ahead, behind = ([p + sign * 1e-6 * d for p, d in zip(point, direction, strict=True)] for sign in (1, -1))
        totals = []
        for moved in (ahead, behind):
            reference.straight_through.begin(first=False)
            totals.append(expected(*moved))
        slope = (totals[0] - totals[1]) / 2e-6
        assert np.sum(found[place] * direction[place]) == pytest.approx(slope, rel=1e-6, abs=1e-7)
