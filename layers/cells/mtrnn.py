"""The multiple-timescale network."""

import keras
import numpy as np
from keras import ops

from layers.cell import Cell, plus_bias, product


@keras.saving.register_keras_serializable(package="layers")
class MTRNNCell(Cell):
    r"""Multiple-timescale network: fast units read the input and give the output, slow units do neither.

        u_i(t) = (1 - 1/τ_i) u_i(t-1) + 1/τ_i (Σ_j U_ij y_j(t-1) + Σ_k W_ik x_k(t) + b_i)        potential
        y_i(t) = tanh(u_i(t))                                                                    firing rate

    W feeds the fast units alone, and the fast units' y alone is the output; U connects all units.

    Source: Y. Yamashita and J. Tani, "Emergence of Functional Hierarchy in a Multiple Timescale Neural Network Model",
    PLoS Computational Biology 4(11), 2008, equations 1 to 3, with its time constants of 5 and 70 timesteps. Departures:
    the paper's input-output units, which are trained as such, are the layers around this one; the squashing function is
    an argument.

    Weights: `kernel` `(features, fast units)`, `recurrent_kernel` `(units, units)`, `bias` `(units,)`; fast units
    first.

    Args: those of `Cell`, where `units` counts fast and slow ones; `recurrent_activation` is not used; and
        slow_units: How many of them are slow, in 1 ... units - 1; None for a third.
        fast_time: Time constant of the fast units, in timesteps, at least 1.
        slow_time: Time constant of the slow units, in timesteps, at least 1.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[u]`, `(batch, units)`.

    Returns:
        `(y, [u])`: `(batch, fast units)` and `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `slow_units` or a time constant is out of its range.

    Example:

    >>> from layers import MTRNNCell, Recurrent
    >>> tuple(Recurrent(MTRNNCell(8, slow_units=3))(np.ones((2, 5, 3))).shape)
    (2, 5)
    """

    carry = ("potential",)

    def __init__(self, units, slow_units=None, fast_time=5.0, slow_time=70.0, **kwargs):
        super().__init__(units, **kwargs)
        self.positive("units", self.units, least=2)
        self.slow_units = self.positive("slow_units", slow_units, default=max(1, self.units // 3), most=self.units - 1)
        self.fast_time = self.within("fast_time", fast_time, 1)
        self.slow_time = self.within("slow_time", slow_time, 1)
        self.output_size = self.fast_units = self.units - self.slow_units

    @property
    def kernel_width(self):
        return self.fast_units

    def project(self, inputs):
        x = product(inputs, self.kernel)
        x = ops.concatenate([x, ops.zeros_like(x[..., :1]) * ops.ones((self.slow_units,), x.dtype)], axis=-1)
        return x if self.bias is None else plus_bias(x, self.bias)

    def step(self, x, carry, recur):
        (u,) = carry
        rates = np.repeat([1 / self.fast_time, 1 / self.slow_time], [self.fast_units, self.slow_units])
        rates = ops.cast(rates, u.dtype)
        u = (1 - rates) * u + rates * self.update(recur(self.activation(u)) + x)
        return self.activation(u[:, : self.fast_units]), (u,)

    def get_config(self):
        config = {name: getattr(self, name) for name in ("slow_units", "fast_time", "slow_time")}
        return {**super().get_config(), **config}
