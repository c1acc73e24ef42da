"""The gradient of each hidden state against differences of a loss computed by hand, in float64."""

import keras
import numpy as np
import pytest
from cells import MAKERS, TENSORFLOW, filled

from layers import ElmanCell, GradientFlow, LSTMCell, Recurrent, gradient_flow, stack

SHAPE = (3, 8, 2)
X = np.random.default_rng(0).normal(size=SHAPE)
MASK = np.arange(8) < np.array([8, 5, 1])[:, None]


def whole(kernel, recurrent, bias, reads, mask=None, backwards=False):
    """dL/dh_t of an Elman network, by small changes of each h_t; L is the mean of (reads · h)^2."""
    order = range(7, -1, -1) if backwards else range(8)

    def loss(changed_at, unit, row, step):
        h, states = np.zeros((3, 4)), np.zeros((3, 8, 4))
        for t in order:
            new = np.tanh(X[:, t] @ kernel + h @ recurrent + bias)
            if t == changed_at:
                new[row, unit] += step
            h = new if mask is None else np.where(mask[:, t : t + 1], new, h)
            states[:, t] = h
        return np.mean(np.sum(states * reads, axis=(1, 2)) ** 2)

    found = np.zeros((3, 8, 4))
    for row, t, unit in np.ndindex(3, 8, 4):
        found[row, t, unit] = (loss(t, unit, row, 1e-6) - loss(t, unit, row, -1e-6)) / 2e-6
    return np.linalg.norm(found, axis=2)


def squared(targets, outputs):
    return outputs**2


@pytest.mark.parametrize("kind", ["last", "all", "masked", "backwards", "stock"])
def test_the_norms_are_those_of_the_whole_derivative(kind):
    rng = np.random.default_rng(1)
    dense = keras.layers.Dense(1, use_bias=False, dtype="float64")
    reads = rng.normal(size=(8, 4))
    if kind != "all":
        reads[:-1] = 0
    arguments = {"return_sequences": kind == "all", "go_backwards": kind == "backwards", "dtype": "float64"}
    cell = ElmanCell(4, dtype="float64")
    layer = keras.layers.SimpleRNN(4, **arguments) if kind == "stock" else Recurrent(cell, **arguments)
    inputs, mask = keras.Input(SHAPE[1:], dtype="float64"), keras.Input([8], dtype="bool")
    h = layer(inputs, mask=mask) if kind == "masked" else layer(inputs)
    output = dense(keras.layers.Flatten()(h))
    model = keras.Model([inputs, mask] if kind == "masked" else inputs, output)
    filled(layer, SHAPE)
    dense.set_weights([reads.reshape(-1, 1) if kind == "all" else reads[-1][:, None]])
    if kind == "backwards":
        reads = reads[::-1]
    mask = MASK if kind == "masked" else None
    expected = whole(*(np.asarray(w, "float64") for w in layer.get_weights()), reads, mask, kind == "backwards")
    flow = gradient_flow(model, X if mask is None else [X, mask], np.zeros(3), loss=squared)
    if mask is not None:
        # The reference reads the state at the last place, where padding repeats it.
        expected = np.where(MASK, expected, np.nan)
    np.testing.assert_allclose(flow.norms["hidden"], expected, rtol=1e-5 if TENSORFLOW else 0.02, atol=1e-9)
    again = gradient_flow(model, X if mask is None else [X, mask], np.zeros(3), layer.name, squared)
    np.testing.assert_array_equal(again.norms["hidden"], flow.norms["hidden"])
    np.testing.assert_allclose(model(X if mask is None else [X, mask]).shape, (3, 1))  # the model is as before


@pytest.mark.parametrize("name", ["jordan, two outputs that fade", "lstm", "gru", "mingru", "lru", "mlstm"])
def test_any_cell_has_a_norm_for_each_tensor_of_its_carry_at_each_timestep(name):
    layer = filled(Recurrent(MAKERS[name](4, dtype="float64"), dtype="float64"), SHAPE)
    flow = gradient_flow(layer, X, np.zeros(3), loss=squared)
    assert set(flow.norms) == set(layer.cell.carry)
    shown = [norms for norms in flow.norms.values() if np.any(norms > 0)]
    assert shown and all(norms.shape == (3, 8) and np.isfinite(norms).all() for norms in shown)
    assert any((norms[:, 0] > 0).all() for norms in shown)


def test_vanishing_and_exploding_gradients_are_named():
    x = 0.1 * np.random.default_rng(2).normal(size=(2, 40, 3))
    verdicts, factors = [], []
    for scale in (0.3, 1.0, 1.6):
        cell = ElmanCell(8, activation="linear", recurrent_initializer=keras.initializers.OrthogonalInitializer(scale))
        model = keras.Sequential([Recurrent(cell), keras.layers.Dense(1)])
        model.compile("sgd", "mse")
        flow = gradient_flow(model, x, np.ones((2, 1)))
        verdicts.append(flow.verdict("hidden"))
        factors.append(flow.factor("hidden"))
    assert verdicts == ["vanishing", "steady", "exploding"]
    np.testing.assert_allclose(factors, [0.3, 1.0, 1.6], rtol=1e-3)  # the singular values of the recurrent kernel


def test_what_is_not_a_number_or_not_there_has_a_verdict_too():
    inside = np.array([[np.nan, 1.0, 2.0], [4.0, 3.0, np.nan]])
    flow = GradientFlow({"hidden": inside})
    np.testing.assert_allclose(flow.mean("hidden"), [4, 2, 2])
    assert flow.reach("hidden") == 2 and flow.verdict("hidden") == "steady"
    assert GradientFlow({"hidden": np.zeros((1, 3))}).verdict("hidden") == "no gradient"
    assert GradientFlow({"hidden": np.array([[0.0, 0.0, 1.0]])}).verdict("hidden") == "vanishing"
    for last in (1.0, np.inf):
        flow = GradientFlow({"hidden": np.array([[np.inf, last]])})
        assert flow.verdict("hidden") == "exploding" and np.isnan(flow.factor("hidden"))


def test_a_network_that_overflows_explodes_but_for_its_padding():
    cell = ElmanCell(4, activation="linear", recurrent_initializer=keras.initializers.Constant(1e10))
    inputs = keras.Input((30, 3))
    model = keras.Model(inputs, keras.layers.Dense(1)(Recurrent(cell)(keras.layers.Masking()(inputs))))
    x = np.ones((1, 30, 3), "float32")
    x[:, 25:] = 0
    flow = gradient_flow(model, x, np.ones((1, 1), "float32"), loss=keras.losses.MeanSquaredError())
    assert flow.verdict("hidden") == "exploding"
    np.testing.assert_array_equal(np.isnan(flow.norms["hidden"][0]), np.arange(30) >= 25)


def test_the_layer_that_is_meant_has_to_be_named_where_there_are_several():
    model = keras.Sequential([stack(LSTMCell, 3, depth=2), keras.layers.GRU(2), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`layer` must be one of the model's recurrent layers, .*gru.* layer=None"):
        gradient_flow(model, X, np.zeros((3, 1)))
    first = model.layers[0].levels[0][0]
    assert set(gradient_flow(model, X, np.zeros((3, 1)), first).norms) == {"hidden", "cell"}
    assert gradient_flow(model, X, np.zeros((3, 1)), model.layers[1].name).norms["hidden"].shape == (3, 8)
    with pytest.raises(ValueError, match="`loss` must be a function"):
        gradient_flow(first, X, np.zeros(3))
    shared, inputs = Recurrent(ElmanCell(2), return_sequences=True), keras.Input(SHAPE[1:])
    with pytest.raises(ValueError, match="called once in the model, without constants. .* called 2 times"):
        gradient_flow(keras.Model(inputs, shared(shared(inputs))), X, np.zeros(3), loss=squared)
