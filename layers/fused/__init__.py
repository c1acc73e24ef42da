"""Kernels made of a cell's step, and the rule that says where they run."""

import contextlib

from layers.fused.graph import Unfused
from layers.fused.run import Kernels
from layers.fused.step import step_of

# Timesteps, times one more than the step's activations: for fewer, a call of kernels costs as much as they save. That
# is 10 timesteps of an LSTM, 15 of a GRU and 30 of an Elman network.
FEWEST = 60


def kernels(traced, sequences, dtype, fused, timesteps=None):
    """The kernels of a step, or None where the loop over time runs.

    Args:
        traced: A `TracedStep`.
        sequences: Whether the output of every timestep is asked for.
        dtype: Of the matrix products.
        fused: True: wherever it can be; "auto": not where measurements show no gain.
        timesteps: Their number, or None where the graph does not know it.
    """
    tensors = [traced.input, traced.unprojected, *traced.extras, *traced.carry, *traced.weights, *traced.constants]
    if dtype not in ("float32", "float64") or any(x.dtype != dtype for x in tensors):
        return None
    for project in (True, False):
        with contextlib.suppress(Unfused):
            found = Kernels(step_of(traced, sequences, project), dtype, project)
            few = timesteps is not None and timesteps * (1 + len(found.kept)) < FEWEST
            return None if few and fused == "auto" else found
    return None
