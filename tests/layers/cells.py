"""The cells that promises are tested for, and what every such test needs."""

import functools

import keras
import numpy as np
from keras import ops

import layers
from layers import CELLS, AntisymmetricCell, CTRNNCell, FullyRecurrentCell, GRUCell, JordanCell, Recurrent

# Every cell in CELLS, and forms of them that differ in more than a number.
MAKERS = {
    **CELLS,
    "gru, reset before": functools.partial(GRUCell, reset_after=False),
    "jordan, two outputs that fade": functools.partial(JordanCell, outputs=2, decay=0.5),
    "fully_recurrent, two outputs": functools.partial(FullyRecurrentCell, outputs=2),
    "antisymmetric, gated": functools.partial(AntisymmetricCell, gated=True),
    "ctrnn, elapsed": functools.partial(CTRNNCell, elapsed=True),
}
# One of each kind that a driver may meet: one and two tensors of the carry, an output that is none of them, widths that
# differ, weights read element by element, other matrices, a loop within the step, time told and time counted, a carry
# that enters linearly, real and complex, a memory that is a matrix, a gradient of its own.
DRIVEN = (
    "elman",
    "jordan, two outputs that fade",
    "lstm",
    "gru",
    "projected",
    "peephole",
    "layernorm_lstm",
    "multiplicative",
    "ltc",
    "ctrnn, elapsed",
    "clockwork",
    "mingru",
    "lru",
    "mlstm",
    "hierarchical",
)
TENSORFLOW = keras.backend.backend() == "tensorflow"


def filled(layer, shape, seed=0):
    """`layer`, built for inputs of `shape`, with random weights, none of them zero."""
    rng = np.random.default_rng(seed)
    if not layer.built:
        layer.build(shape)
        layer.built = True
    layer.set_weights([rng.normal(scale=0.5, size=w.shape) for w in layer.get_weights()])
    return layer


def recurrent(name, units=4, shape=(3, 7, 5), seed=0, dtype=None, cell=None, **arguments):
    """`Recurrent` over the cell called `name`, built and filled."""
    made = MAKERS[name](units, dtype=dtype, **(cell or {}))
    return filled(Recurrent(made, dtype=dtype, **arguments), shape, seed)


# What a tensor of the carry sums up to over the rows of a memory; links do so for each row. A queue of strength 2 is
# read to its end, and a double-ended one is not emptied, in the few timesteps of a test.
SUMS = {"read_weights": 1, "write_weights": 1, "precedence": 1, "links": 1, "strengths": 2}


def states(layer, batch, seed=1):
    """A carry that is not zero; positive, as a normaliser or a boundary has to be, and with sums as in `SUMS`."""
    rng, cell = np.random.default_rng(seed), layer.cell
    drawn = [rng.uniform(0.2, 1.2, (batch, size)) for size in cell.carry_sizes]
    for name, state in zip(cell.carry, drawn, strict=True):
        if name in SUMS:
            shares = state.reshape(batch, round(state.shape[1] ** 0.5) if name == "links" else 1, -1)
            shares *= SUMS[name] / shares.sum(axis=2, keepdims=True)
    return [state.astype(cell.state_dtype) for state in drawn]


def short_blocks(monkeypatch):
    """Fewer timesteps an iteration: the same loop on shorter sequences, traced and compiled in a third of the time."""
    monkeypatch.setattr(layers.loop, "BLOCK", 2)
    monkeypatch.setattr(layers.linear, "CHUNK", 2)


def gradients(layer, loss, *given, graph=False):
    """Gradients of `loss(layer, *given)` with respect to `given` and to the layer's weights."""
    return results_and_gradients(layer, lambda layer, *given: (loss(layer, *given), []), *given, graph=graph)[1]


def results_and_gradients(layer, run, *given, graph=False):
    """Of `run(layer, *given)`, which returns a loss and a list of results: the results, and the loss's gradients.

    The gradients are those with respect to `given` and to the layer's weights. TensorFlow runs it all eagerly unless
    told: tracing a graph takes ten times as long as running it once.
    """
    given = [ops.convert_to_tensor(x) for x in given]
    if TENSORFLOW:
        import tensorflow as tf

        def once(*given):
            with tf.GradientTape() as tape:
                tape.watch(given)
                loss, results = run(layer, *given)
            sources = [*given, *(w.value for w in layer.trainable_variables)]
            return results, tape.gradient(loss, sources, unconnected_gradients="zero")  # as JAX does

        once = tf.function(once, autograph=False) if graph else once
        results, found = once(*given)
    else:
        import jax

        def once(given, weights):
            mapping = list(zip(layer.trainable_variables, weights, strict=True))
            with keras.StatelessScope(state_mapping=mapping, collect_losses=True):
                return run(layer, *given)

        weights = [w.value for w in layer.trainable_variables]
        (by_given, by_weight), results = jax.jit(jax.grad(once, argnums=(0, 1), has_aux=True))(given, weights)
        found = (*by_given, *by_weight)
    return [ops.convert_to_numpy(x) for x in results], [np.asarray(x) for x in found]
