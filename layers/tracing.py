"""Functions and steps traced with symbolic tensors: shapes and graphs, nothing is computed."""

import dataclasses

import keras
from keras import ops


@dataclasses.dataclass
class TracedStep:
    """The symbolic tensors of one timestep.

    Attributes:
        unprojected: The input of one timestep, `(batch, features)`.
        input: What `step` gets of it, `(batch, width)`.
        extras: List of `(batch, ...)` tensors that it gets for this timestep.
        carry: List of `(batch, ...)`, the carry before it.
        weights: List of tensors that it may read.
        constants: List of tensors, the same at all timesteps, that get no gradient.
        calls: The gates that each call of `recur` names.
        arguments: What each call multiplies, `(batch, ...)`.
        products: What each call gives.
        new: List of tensors, the carry after it.
        output: Its output.
    """

    unprojected: object
    input: object
    extras: list
    carry: list
    weights: list
    constants: list
    calls: list = dataclasses.field(default_factory=list)
    arguments: list = dataclasses.field(default_factory=list)
    products: list = dataclasses.field(default_factory=list)
    new: list = None
    output: object = None


def traced_step(step, columns, dtype, *given):
    """The `TracedStep` of a step; call it within `traced`.

    Args:
        step: `(x, extras, carry, recur, weights, constants) -> (output, carry)`, see `loop.unroll`.
        columns: `(gates, weights) -> (width, columns)`, a matrix.
        dtype: Of the matrix products.
        *given: The first fields of the result, from `unprojected` to `constants`.
    """
    found = TracedStep(*given)

    def recur(hidden, *gates):
        found.calls.append(gates)
        found.arguments.append(hidden)
        found.products.append(ops.matmul(hidden, ops.cast(columns(gates, found.weights), dtype)))
        return found.products[-1]

    output, new = step(found.input, found.extras, found.carry, recur, found.weights, found.constants)
    return dataclasses.replace(found, output=output, new=list(new))


def traced(f, *arguments):
    """The shapes and dtypes that `f` returns for `keras.KerasTensor` arguments; nothing is computed."""

    class Traced(keras.Operation):
        def call(self, *arguments):
            return f(*arguments)

    return Traced().compute_output_spec(*arguments)


def like(x, shape=None):
    """A tensor's shape and dtype, without values."""
    return keras.KerasTensor(x.shape if shape is None else shape, dtype=keras.backend.standardize_dtype(x.dtype))
