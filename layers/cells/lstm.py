"""Long short-term memory with a forget gate."""

import keras
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class LSTMCell(Cell):
    r"""Long short-term memory: a cell that is written, kept and read through three gates.

        i_t = σ(W_i x_t + U_i h_{t-1} + b_i)             input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + b_f)             forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)         candidate
        o_t = σ(W_o x_t + U_o h_{t-1} + b_o)             output gate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t                 cell
        h_t = o_t ⊙ tanh(c_t)                            hidden

    Source: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997; the forget gate:
    F. A. Gers, J. Schmidhuber and F. Cummins, "Learning to Forget", Neural Computation 12(10), 2000; a forget bias of
    1: R. Jozefowicz, W. Zaremba and I. Sutskever, "An Empirical Exploration of Recurrent Network Architectures", 2015.

    Weights: those of `keras.layers.LSTM`: `kernel` `(features, 4 * units)`, `recurrent_kernel` `(units, 4 * units)` and
    `bias` `(4 * units,)`, in the order input, forget, candidate, output.

    Args: those of `Cell`, and
        unit_forget_bias: Whether b_f begins at 1, so that a new network remembers.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import LSTMCell, Recurrent
    >>> tuple(Recurrent(LSTMCell(8), return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 8)
    """

    gates = ("input", "forget", "candidate", "output")
    carry = ("hidden", "cell")

    def __init__(self, units, unit_forget_bias=True, **kwargs):
        super().__init__(units, **kwargs)
        self.unit_forget_bias = unit_forget_bias

    def initial_bias(self, shape, dtype=None):
        bias = super().initial_bias(shape, dtype)
        if not self.unit_forget_bias or "forget" not in self.gates:
            return bias
        first = self.gates.index("forget") * self.units
        return ops.concatenate([bias[:first], ops.ones((self.units,), bias.dtype), bias[first + self.units :]])

    def step(self, x, carry, recur):
        h, c = carry
        *_, c, h = self.remember(x + recur(h), c)
        return h, (h, c)

    def remember(self, z, c):
        """From the gates' sums and the last cell: input, forget and output gate, cell and hidden."""
        z = dict(zip(self.gates, self.split(z), strict=True))
        i = self.input_gate(z, c)
        f = self.forget_gate(z, c, i)
        c = f * c + i * self.update(self.candidate(z))
        o = self.output_gate(z, c)
        return i, f, o, c, o * self.read(c)

    # Variants override these methods: z are the gates' sums by name, c the cell that a gate sees.

    def input_gate(self, z, c):
        return self.recurrent_activation(z["input"])

    def forget_gate(self, z, c, i):
        return self.recurrent_activation(z["forget"])

    def candidate(self, z):
        return self.activation(z["candidate"])

    def output_gate(self, z, c):
        return self.recurrent_activation(z["output"])

    def read(self, c):
        return self.activation(c)

    def get_config(self):
        return {**super().get_config(), "unit_forget_bias": self.unit_forget_bias}
