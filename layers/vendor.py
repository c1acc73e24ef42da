"""LSTM and GRU by the kernels of a GPU's vendor, where these compute the same function.

The kernels are those that stock Keras calls; this file decides when to call them and adds what they leave out. The loop
runs every other cell, and these two with other activations, recurrent dropout or on a CPU.
"""

import types

import keras
from keras import ops

from layers.backend import backend
from layers.cells.gru import GRUCell
from layers.cells.lstm import LSTMCell

STOCK = {LSTMCell: keras.layers.LSTM, GRUCell: keras.layers.GRU}


def may_run(cell):
    """Whether there is a GPU whose vendor has a kernel for the cell."""
    plain = cell.activation is keras.activations.tanh and cell.recurrent_activation is keras.activations.sigmoid
    known = type(cell) in STOCK and plain and cell.use_bias and getattr(cell, "reset_after", True)
    return known and backend.vendor_has(cell)


def run(cell, inputs, mask, carry, weights, return_sequences, otherwise):
    """Outputs and last carry, from the vendor's kernel or, where it cannot, from `otherwise`.

    Args:
        cell: An `LSTMCell` or `GRUCell` for which `may_run` holds.
        inputs: `(timesteps, batch, features)`, in the dtype of the products.
        mask: `(timesteps, batch, 1)`, or None. Kernels take right padding alone, and no row that is all padding; each
            mask is checked at run time.
        carry: List of `(batch, units)`.
        weights: The values of `cell.variables_in_use`.
        return_sequences: Whether to return the outputs of all timesteps.
        otherwise: `() -> (outputs, carry)`, the loop.

    Returns:
        `(outputs, carry)`: `(timesteps, batch, units)`, or None without `return_sequences`; and a list.
    """

    def by_kernel():
        named = dict(zip((w.name for w in cell.variables_in_use), weights, strict=True))
        named = {name: ops.cast(value, inputs.dtype) for name, value in named.items()}
        fields = ("activation", "recurrent_activation", "reset_after")
        fields = {name: getattr(cell, name) for name in fields if hasattr(cell, name)}
        layer = types.SimpleNamespace(
            cell=types.SimpleNamespace(**named, **fields),
            use_cudnn=True,
            dropout=0.0,
            recurrent_dropout=0.0,
            return_sequences=True,
            go_backwards=False,
            unroll=False,
        )
        by_batch = None if mask is None else ops.transpose(ops.squeeze(mask, -1) > 0.5)
        states = [ops.cast(state, inputs.dtype) for state in carry]
        sequence = ops.transpose(inputs, (1, 0, 2))
        _, outputs, last = STOCK[type(cell)].inner_loop(layer, sequence, states, by_batch, training=False)
        last = [ops.cast(state, cell.state_dtype) for state in last]
        if not return_sequences:
            return last
        outputs = ops.transpose(outputs, (1, 0, 2))
        if mask is not None:  # the kernel puts zeros where the loop repeats the last output
            outputs = ops.where(mask > 0.5, outputs, ops.cast(last[0], outputs.dtype))
        return [outputs, *last]

    def by_loop():
        outputs, last = otherwise()
        return [outputs, *last] if return_sequences else list(last)

    if mask is None:
        found = by_kernel()
    elif not backend.VENDOR_MASKS:
        found = by_loop()
    else:
        flags = ops.cast(mask > 0.5, "int32")
        right = ops.logical_and(ops.all(flags[1:] <= flags[:-1]), ops.all(flags[:1] > 0))
        found = ops.cond(right, by_kernel, by_loop)
    return (found[0], list(found[1:])) if return_sequences else (None, list(found))
