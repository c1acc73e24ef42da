"""The clockwork network."""

import keras
import numpy as np
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class ClockworkCell(Cell):
    r"""Clockwork network: Elman's network in modules, each with a clock; slow modules drive fast ones.

        h^i_t = tanh(W^i x_t + Σ_{j >= i} U^{ij} h^j_{t-1} + b^i)    where t mod T_i = 0
        h^i_t = h^i_{t-1}                                            elsewhere

    Source: J. Koutnik et al., "A Clockwork RNN", ICML 2014, arXiv:1402.3511, equations 1 to 5; modules are ordered by
    rising periods T_i, by default 1, 2, 4, ... The paper does not define the first timestep: here it is t = 0, so that
    all modules see it. Departure: inactive modules are computed too, and their results are not used.

    Weights: `kernel` `(features, units)`; `recurrent_kernel_i` `(units of modules i, i + 1, ..., units of module i)`;
    `bias` `(units,)`.

    Args: those of `Cell`; `recurrent_activation` is not used; and
        periods: The T_i, positive integers in rising order, one for each module; None for 1, 2, 4, ... in `units`
            modules, eight at most. Units are split evenly among modules; the first modules take the remainder.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, t]`, `(batch, units)` and `(batch, 1)`; t is the number of timesteps before; it is rounded.

    Returns:
        `(h, [h, t])`.

    Raises:
        ValueError: as `Cell`, or if `periods` are not positive and rising or more than `units`.

    Example:

    >>> from layers import ClockworkCell, Recurrent
    >>> tuple(Recurrent(ClockworkCell(8, periods=(1, 3, 9)))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    carry = ("hidden", "clock")

    def __init__(self, units, periods=None, **kwargs):
        super().__init__(units, **kwargs)
        periods = [2**i for i in range(min(self.units, 8))] if periods is None else [int(p) for p in periods]
        if not periods or periods[0] < 1 or sorted(set(periods)) != periods or len(periods) > self.units:
            raise ValueError(
                f"{type(self).__name__}: `periods` must be rising positive integers, at most `units` of them. "
                f"Received: periods={periods!r}, units={self.units}."
            )
        self.periods = periods
        self.sizes = [len(part) for part in np.array_split(np.arange(self.units), len(periods))]
        self.state_size = [self.units, 1]

    def build_recurrent(self):
        for i, size in enumerate(self.sizes):
            name = f"recurrent_kernel_{i}"
            setattr(self, name, self.new_weight(name, (sum(self.sizes[i:]), size), "recurrent"))

    def recurrent_columns(self, gates):
        """The modules' kernels side by side, with zeros where a fast module would drive a slow one."""
        kernels = [getattr(self, f"recurrent_kernel_{i}").value for i in range(len(self.sizes))]
        return ops.concatenate([ops.pad(k, [[self.units - k.shape[0], 0], [0, 0]]) for k in kernels], axis=1)

    def step(self, x, carry, recur):
        h, t = carry
        now = ops.stop_gradient(ops.round(t))
        periods = ops.cast(np.repeat(self.periods, self.sizes), h.dtype)
        new = self.update(self.activation(x + recur(h)))
        h = ops.where(ops.equal(ops.mod(now, periods), 0), new, h)
        return h, (h, t + 1)

    def get_config(self):
        return {**super().get_config(), "periods": list(self.periods)}
