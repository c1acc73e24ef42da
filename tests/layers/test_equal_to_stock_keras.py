"""Each cell that stock Keras has too: outputs, final states and all gradients are the same."""

import keras
import numpy as np
import pytest
from cells import short_blocks
from keras import ops

from layers import ElmanCell, GRUCell, LSTMCell, Recurrent

PAIRS = [
    pytest.param(ElmanCell, keras.layers.SimpleRNN, {}, id="elman"),
    pytest.param(LSTMCell, keras.layers.LSTM, {}, id="lstm"),
    pytest.param(GRUCell, keras.layers.GRU, {}, id="gru"),
    pytest.param(GRUCell, keras.layers.GRU, {"reset_after": False}, id="gru-before"),
]
MASKS = {
    "none": lambda rng, shape: None,
    "right": lambda rng, shape: np.arange(shape[1]) < rng.integers(1, shape[1] + 1, shape[0])[:, None],
    "left": lambda rng, shape: np.arange(shape[1]) >= rng.integers(0, shape[1], shape[0])[:, None],
    "holes": lambda rng, shape: rng.random(shape) > 0.4,
    "a row all padding": lambda rng, shape: np.arange(shape[0])[:, None] + np.zeros(shape) > 0,
}


def gradients(layer, x, states, mask, weigh):
    """Outputs and the gradients of a random sum of them with respect to inputs, states and weights."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def run(x, states):
            with tf.GradientTape() as tape:
                tape.watch([x, states])
                outputs = layer(x, initial_state=states, mask=mask, training=True)
                loss = tf.add_n([tf.reduce_sum(o * w) for o, w in zip(outputs, weigh, strict=True)])
            return outputs, tape.gradient(loss, [x, *states, *(w.value for w in layer.trainable_variables)])

        if mask is None:  # tracing takes ten times as long as running once
            run = tf.function(run, autograph=False)
        return run(tf.constant(x), [tf.constant(state) for state in states])
    import jax

    def loss(trainable, x, states):
        held = [v.value for v in layer.non_trainable_variables]
        outputs, _ = layer.stateless_call(trainable, held, x, initial_state=states, mask=mask, training=True)
        return sum(ops.sum(o * w) for o, w in zip(outputs, weigh, strict=True)), outputs

    trainable = [v.value for v in layer.trainable_variables]
    found, outputs = jax.jit(jax.grad(loss, argnums=(0, 1, 2), has_aux=True))(trainable, x, states)
    return outputs, [found[1], *found[2], *found[0]]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    short_blocks(monkeypatch)


@pytest.mark.parametrize("backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("cell, stock, arguments", PAIRS)
def test_outputs_states_and_gradients_are_stock_keras_s(cell, stock, arguments, mask, backwards):
    compare(cell, stock, arguments, mask, backwards, features=4, units=5)


@pytest.mark.parametrize("features, units", [(4, 1), (1, 5)])
def test_one_unit_and_one_feature_are_enough(features, units):
    """oneDNN takes the sum of a matrix of one row and a product for a bias, and refuses it."""
    compare(LSTMCell, keras.layers.LSTM, {}, "none", False, features, units)


def compare(cell, stock, arguments, mask, backwards, features, units):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 5, features)).astype("float32")
    mask = MASKS[mask](rng, x.shape[:2])
    how = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    ours, theirs = Recurrent(cell(units, **arguments), **how), stock(units, **arguments, **how)
    ours.build(x.shape), theirs.build(x.shape)
    theirs.set_weights([rng.normal(size=w.shape) for w in theirs.get_weights()])
    ours.set_weights(theirs.get_weights())
    states = [rng.normal(size=(3, units)).astype("float32") for _ in ours.cell.carry]
    weigh = [rng.normal(size=shape).astype("float32") for shape in [(3, 5, units), *[(3, units)] * len(states)]]
    if keras.backend.backend() == "jax" and mask is not None:
        # Before the first real timestep stock Keras outputs zeros on TensorFlow, as we do, and the given state on JAX.
        states = [np.zeros_like(state) for state in states]
        weigh[0] = weigh[0] * (np.cumsum(mask[:, ::-1] if backwards else mask, axis=1) > 0)[..., None]

    outputs, found = gradients(ours, x, states, mask, weigh)
    expected, expected_gradients = gradients(theirs, x, states, mask, weigh)

    for one, other in zip([*outputs, *found], [*expected, *expected_gradients], strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def second_gradients(layer, x):
    """Gradients of how large the gradient with respect to the inputs is, as a gradient penalty has them."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        def run(x):
            with tf.GradientTape() as outer:
                outer.watch(x)
                with tf.GradientTape() as inner:
                    inner.watch(x)
                    loss = tf.reduce_sum(layer(x, training=True) ** 2)
                penalty = tf.reduce_sum(inner.gradient(loss, x) ** 2)
            return outer.gradient(penalty, [x, *(w.value for w in layer.trainable_variables)])

        graph = tf.function(run, autograph=False) if isinstance(layer, Recurrent) else run
        return graph(tf.constant(x))
    import jax

    held = [v.value for v in layer.non_trainable_variables]
    loss = lambda x, weights: (layer.stateless_call(weights, held, x, training=True)[0] ** 2).sum()
    penalty = lambda x, weights: (jax.grad(loss)(x, weights) ** 2).sum()
    by_x, by_weights = jax.jit(jax.grad(penalty, argnums=(0, 1)))(x, [v.value for v in layer.trainable_variables])
    return [by_x, *by_weights]


@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("cell, stock, arguments", PAIRS)
def test_gradients_of_gradients_are_stock_keras_s(cell, stock, arguments, jit_compile):
    if jit_compile and (keras.backend.backend() == "jax" or cell is not ElmanCell):
        pytest.skip("JAX compiles in any case; one cell is enough")
    if cell is GRUCell and not arguments:
        pytest.skip("its products are used as LSTM's are")
    x = np.random.default_rng(4).normal(size=(2, 4, 3)).astype("float32")
    ours, theirs = Recurrent(cell(4, **arguments), jit_compile=jit_compile), stock(4, **arguments)
    theirs.build(x.shape)
    ours.build(x.shape)
    ours.set_weights(theirs.get_weights())
    for found, expected in zip(second_gradients(ours, x), second_gradients(theirs, x), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
