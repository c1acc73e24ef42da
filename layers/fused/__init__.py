"""Kernels made of a cell's step, and the rule that says where they run."""

from layers.fused.graph import Unfused
from layers.fused.run import Kernels
from layers.fused.step import step_of

LARGEST = 3 * 2**16  # numbers in the recurrent matrices: of larger ones, products are worth all cores, as in the loop
SHORTEST = 40  # timesteps: for fewer, what a call of kernels costs is as much as they save


def kernels(traced, sequences, dtype, fused, timesteps=None):
    """The kernels of a step, or None where the loop over time runs.

    Args:
        traced: A `TracedStep`.
        sequences: Whether the output of every timestep is asked for.
        dtype: Of the matrix products.
        fused: True: wherever it can be; "auto": not where measurements show no gain.
        timesteps: Their number, or None where the graph does not know it.
    """
    numbers = sum(a.shape[-1] * b.shape[-1] for a, b in zip(traced.arguments, traced.products, strict=True))
    if fused == "auto" and (numbers > LARGEST or (timesteps or SHORTEST) < SHORTEST):
        return None
    tensors = [traced.input, *traced.extras, *traced.carry, *traced.weights, *traced.constants]
    if dtype not in ("float32", "float64") or any(x.dtype != dtype for x in tensors):
        return None
    try:
        return Kernels(step_of(traced, sequences), dtype)
    except Unfused:
        return None
