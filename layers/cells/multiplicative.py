"""The multiplicative LSTM."""

import keras
from keras import ops

from layers.cell import product
from layers.cells.lstm import LSTMCell


@keras.saving.register_keras_serializable(package="layers")
class MultiplicativeLSTMCell(LSTMCell):
    r"""Multiplicative LSTM: each input has its own transitions, by multiplying an intermediate state.

        m_t = (W_m x_t) ⊙ (U_m h_{t-1})                  intermediate state
        i_t = σ(W_i x_t + U_i m_t + b_i)                 input gate
        f_t = σ(W_f x_t + U_f m_t + b_f)                 forget gate
        c~_t = tanh(W_c x_t + U_c m_t + b_c)             candidate
        o_t = σ(W_o x_t + U_o m_t + b_o)                 output gate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t                 cell
        h_t = o_t ⊙ tanh(c_t)                            hidden

    Source: B. Krause et al., "Multiplicative LSTM for sequence modelling", 2016, arXiv:1609.07959, equations 9 to 14.
    Departure: biases, which `use_bias=False` removes.

    Weights: `kernel` `(features, 5 * units)`, in the order input, forget, candidate, output, intermediate state;
    `recurrent_kernel` U `(units, 4 * units)`, `multiplier_kernel` U_m `(units, units)`, `bias` `(4 * units,)`.

    Args: those of `LSTMCell`; `recurrent_dropout` acts on m.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MultiplicativeLSTMCell, Recurrent
    >>> tuple(Recurrent(MultiplicativeLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    @property
    def kernel_width(self):
        return 5 * self.units

    def build(self, input_shape):
        super().build(input_shape)
        self.multiplier_kernel = self.new_weight("multiplier_kernel", (self.units, self.units), "recurrent")

    def project(self, inputs):
        x = product(inputs, self.kernel)
        return x if self.bias is None else x + ops.pad(self.bias.value, [[0, self.units]])

    def step(self, x, carry, recur):
        h, c = carry
        x, x_m = x[:, : 4 * self.units], x[:, 4 * self.units :]
        m = x_m * recur(h, "multiplier_kernel")
        return super().step(x, (m, c), recur)
