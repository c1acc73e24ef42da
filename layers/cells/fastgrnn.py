"""The fast, tiny gated network."""

import keras
from keras import ops

from layers.cell import Cell, product


@keras.saving.register_keras_serializable(package="layers")
class FastGRNNCell(Cell):
    r"""FastGRNN: gate and candidate share both matrices and differ in their biases alone.

        z_t = σ(W x_t + U h_{t-1} + b_z)                                         gate
        h~_t = tanh(W x_t + U h_{t-1} + b_h)                                     candidate
        h_t = (ζ (1 - z_t) + ν) ⊙ h~_t + z_t ⊙ h_{t-1},    0 < ζ, ν < 1          hidden

    Source: A. Kusupati et al., "FastGRNN: A Fast, Accurate, Stable and Tiny Kilobyte Sized Gated Recurrent Neural
    Network", NeurIPS 2018, arXiv:1901.02358, equations 4 and 5. ζ and ν are learnt through a logistic function and
    begin near 0.73 and 0.02, as there. Left out: the low rank, sparse and quantised forms of W and U.

    Weights: `kernel` W `(features, units)`, `recurrent_kernel` U `(units, units)`, `bias` b_z, b_h `(2 * units,)`,
    `scales` `(2,)`, of which ζ and ν are the logistic functions.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import FastGRNNCell, Recurrent
    >>> tuple(Recurrent(FastGRNNCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    @property
    def bias_shape(self):
        return (2 * self.units,)

    def build(self, input_shape):
        super().build(input_shape)
        self.scales = self.new_weight("scales", (2,), "bias", lambda shape, dtype=None: [1.0, -4.0])

    def project(self, inputs):
        return product(inputs, self.kernel)

    def step(self, x, carry, recur):
        (h,) = carry
        s = x + recur(h)
        b_z, b_h = (0.0, 0.0) if self.bias is None else self.split(self.bias)
        z, candidate = self.recurrent_activation(s + b_z), self.activation(s + b_h)
        zeta, nu = (ops.sigmoid(self.scales[i]) for i in (0, 1))
        h = (zeta * (1 - z) + nu) * self.update(candidate) + z * h
        return h, (h,)
