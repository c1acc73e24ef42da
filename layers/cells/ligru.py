"""The light GRU."""

import keras
from keras import ops

from layers.cell import Cell, plus_bias, product
from layers.cells.layernorm import normalized


@keras.saving.register_keras_serializable(package="layers")
class LiGRUCell(Cell):
    r"""Light GRU: no reset gate, rectified candidates, and normalised inputs to keep these in bounds.

        z_t = σ(N(W_z x_t) + U_z h_{t-1} + b_z)                  update gate
        h~_t = max(0, N(W_h x_t) + U_h h_{t-1} + b_h)            candidate
        h_t = z_t ⊙ h_{t-1} + (1 - z_t) ⊙ h~_t                   hidden

    Source: M. Ravanelli et al., "Light Gated Recurrent Units for Speech Recognition", 2018, arXiv:1803.10225, equations
    7 and 8. Departure: N normalises over the units of each gate; the paper normalises over the batch, which would make
    an answer depend on padding and on what else is in the batch.

    Weights: `kernel` `(features, 2 * units)`, `recurrent_kernel` `(units, 2 * units)`, `gain` of N and `bias`
    `(2 * units,)`, in the order update, candidate.

    Args: those of `Cell`, by default with a rectified `activation`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import LiGRUCell, Recurrent
    >>> tuple(Recurrent(LiGRUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("update", "candidate")

    def __init__(self, units, activation="relu", **kwargs):
        super().__init__(units, activation=activation, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        self.gain = self.new_weight("gain", (2 * self.units,), "bias", keras.initializers.Ones())

    def project(self, inputs):
        z, h = self.split(product(inputs, self.kernel))
        gain_z, gain_h = self.gain[: self.units], self.gain[self.units :]
        x = ops.concatenate([normalized(z, gain_z), normalized(h, gain_h)], axis=-1)
        return x if self.bias is None else plus_bias(x, self.bias)

    def step(self, x, carry, recur):
        (h,) = carry
        z, candidate = self.split(x + recur(h))
        z = self.recurrent_activation(z)
        h = z * h + (1 - z) * self.update(self.activation(candidate))
        return h, (h,)
