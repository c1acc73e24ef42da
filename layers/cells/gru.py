"""The gated recurrent unit, in both of its published orders."""

import keras

from layers.cell import Cell, plus_bias, product


@keras.saving.register_keras_serializable(package="layers")
class GRUCell(Cell):
    r"""Gated recurrent unit: one gate mixes old and new, the other sets how much of the old the candidate sees.

        z_t = σ(W_z x_t + U_z h_{t-1} + b_z)                          update gate
        r_t = σ(W_r x_t + U_r h_{t-1} + b_r)                          reset gate
        h~_t = tanh(W_h x_t + U_h (r_t ⊙ h_{t-1}) + b_h)              candidate, reset_after=False
        h~_t = tanh(W_h x_t + b_h + r_t ⊙ (U_h h_{t-1} + b'_h))       candidate, reset_after=True
        h_t = z_t ⊙ h_{t-1} + (1 - z_t) ⊙ h~_t                        hidden

    With `reset_after` each of the three products with U has a bias of its own, b'.

    Source: K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for Statistical Machine
    Translation", 2014, arXiv:1406.1078, equations 5 to 8 (v3: reset before the product; v1: after it, the form that
    vendor kernels compute).

    Weights: those of `keras.layers.GRU`: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and
    `bias` `(3 * units,)`, or `(2, 3 * units)` with `reset_after`, in the order update, reset, candidate.

    Args: those of `Cell`, and
        reset_after: Whether r acts after the product with U_h (True) or before it.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import GRUCell, Recurrent
    >>> tuple(Recurrent(GRUCell(8, reset_after=False))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("update", "reset", "candidate")
    carry = ("hidden",)

    def __init__(self, units, reset_after=True, **kwargs):
        super().__init__(units, **kwargs)
        self.reset_after = reset_after

    @property
    def bias_shape(self):
        return (2, 3 * self.units) if self.reset_after else (3 * self.units,)

    def project(self, inputs):
        x = product(inputs, self.kernel)
        if self.bias is None:
            return x
        return plus_bias(x, self.bias[0] if self.reset_after else self.bias)

    def step(self, x, carry, recur):
        (h,) = carry
        x_z, x_r, x_h = self.split(x)
        if self.reset_after:
            u = recur(h)
            u_z, u_r, u_h = self.split(u if self.bias is None else u + self.bias[1])
        else:
            u_z, u_r = self.split(recur(h, "update", "reset"))
        z, r = self.recurrent_activation(x_z + u_z), self.recurrent_activation(x_r + u_r)
        if not self.reset_after:
            u_h = recur(r * h, "candidate")
        candidate = self.update(self.activation(x_h + (r * u_h if self.reset_after else u_h)))
        h = z * h + (1 - z) * candidate
        return h, (h,)

    def get_config(self):
        return {**super().get_config(), "reset_after": self.reset_after}
