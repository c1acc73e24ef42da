"""What a cell's step does, seen by tracing it once."""

import dataclasses

import keras
from keras import ops

from layers.backend import backend
from layers.cell import updates
from layers.tracing import like, traced, traced_step


def look_at_a_step(cell, features, constants=()):
    """Runs the step of a built cell once, symbolically.

    Args:
        cell: A `Cell`.
        features: Width of its inputs.
        constants: Shapes of the tensors that are the same at all timesteps, if it reads such.

    Returns:
        `(place, widths, fuses)`: index of the carry's tensor that is also the output, one past the last where it is
        none of them; the widths of the candidates passed to `update`, in the order of the calls; and whether
        `backend.kernels` may run the step.
    """
    found, dtype = [], cell.state_dtype

    def probe(inputs, weights, given):
        widths, count = [], len(cell.variables_in_use)

        def through(candidate):
            widths.append(keras.tree.flatten(candidate)[0].shape[-1])
            return candidate

        def step(x, extras, carry, recur, weights, fixed):
            return cell.step(x, tuple(carry), recur, *weights[count:])

        columns = lambda gates, weights: cell.recurrent_columns(gates)
        constants = [ops.cast(x, dtype) for x in cell.constants_of(*given)]
        carry = [ops.cast(state, dtype) for state in cell.initial_carry(ops.shape(inputs)[0], *constants)]
        with updates(through), cell.bound(weights, dtype):
            x = cell.project(inputs)
            step = traced_step(step, columns, dtype, inputs, x, [], carry, [*weights, *constants], [])
        same = [index for index, state in enumerate(step.new) if state is step.output]
        if not same:  # the loop carries the output too
            carry, new = [*carry, ops.zeros_like(step.output)], [*step.new, step.output]
            step = dataclasses.replace(step, carry=carry, new=new)
        found.append((same[0] if same else len(cell.carry), tuple(widths), backend.fuses(step, cell.compute_dtype)))
        return step.output

    given = [keras.KerasTensor((None, *shape[1:]), dtype) for shape in constants]
    weights = [like(weight) for weight in cell.variables_in_use]
    traced(probe, keras.KerasTensor((None, features), dtype), weights, given)
    return found[-1]
