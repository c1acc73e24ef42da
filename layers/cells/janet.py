"""The LSTM with nothing but a forget gate."""

import keras
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class JANETCell(Cell):
    r"""JANET ("just another network"): an LSTM with nothing but its forget gate.

        s_t = W_f x_t + U_f h_{t-1} + b_f
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                           candidate
        h_t = σ(s_t) ⊙ h_{t-1} + (1 - σ(s_t - β)) ⊙ c~_t                  hidden, which is the cell too

    Source: J. van der Westhuizen and J. Lasenby, "The unreasonable effectiveness of the forget gate", 2018,
    arXiv:1804.04849, equations 12 to 15, with its chrono initialisation (C. Tallec and Y. Ollivier, 2018,
    arXiv:1804.11188): b_f begins as log(v), v uniform in [1, longest - 1].

    Weights: `kernel` `(features, 2 * units)`, `recurrent_kernel` `(units, 2 * units)` and `bias` `(2 * units,)`, in the
    order forget, candidate.

    Args: those of `Cell`, and
        longest: The longest expected dependence, in timesteps, a number over 2; None for b_f from `bias_initializer`.
        offset: β.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `longest` is under 2.

    Example:

    >>> from layers import JANETCell, Recurrent
    >>> tuple(Recurrent(JANETCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("forget", "candidate")

    def __init__(self, units, longest=100, offset=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.longest = longest if longest is None else self.within("longest", longest, 2)
        self.offset = offset

    def initial_bias(self, shape, dtype=None):
        bias = super().initial_bias(shape, dtype)
        if self.longest is None:
            return bias
        spans = keras.random.uniform((self.units,), 1.0, self.longest - 1.0, dtype=bias.dtype, seed=self.seed)
        return ops.concatenate([ops.log(spans), bias[self.units :]])

    def step(self, x, carry, recur):
        (h,) = carry
        s, candidate = self.split(x + recur(h))
        write = 1 - self.recurrent_activation(s - self.offset)
        h = self.recurrent_activation(s) * h + write * self.update(self.activation(candidate))
        return h, (h,)

    def get_config(self):
        return {**super().get_config(), "longest": self.longest, "offset": self.offset}
