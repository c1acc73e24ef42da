"""The variants of the LSTM that the search space odyssey compares, around one vanilla LSTM.

K. Greff, R. K. Srivastava, J. Koutnik, B. R. Steunebrink and J. Schmidhuber, "LSTM: A Search Space Odyssey", 2015,
arXiv:1503.04069. The vanilla LSTM is `PeepholeLSTMCell` (section II); each class here names what it changes
(section III.C and its appendix). All take the arguments of `PeepholeLSTMCell`, and its inputs, states and errors.
"""

import keras
from keras import ops

from layers.cells.lstm import LSTMCell
from layers.cells.peephole import PeepholeLSTMCell


@keras.saving.register_keras_serializable(package="layers")
class NIGCell(PeepholeLSTMCell):
    r"""No input gate: the candidate is written in full.

        f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)     forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                 candidate
        c_t = f_t ⊙ c_{t-1} + c~_t                               cell
        o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o)         output gate
        h_t = o_t ⊙ tanh(c_t)                                    hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, NIG.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and `bias`, in the order
    forget, candidate, output; `peepholes` `(2, units)`: p_f, p_o.

    Args: those of `PeepholeLSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import NIGCell, Recurrent
    >>> tuple(Recurrent(NIGCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("forget", "candidate", "output")

    def input_gate(self, z, c):
        return 1.0


@keras.saving.register_keras_serializable(package="layers")
class NFGCell(PeepholeLSTMCell):
    r"""No forget gate: the cell forgets nothing.

        i_t = σ(W_i x_t + U_i h_{t-1} + p_i ⊙ c_{t-1} + b_i)     input gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                 candidate
        c_t = c_{t-1} + i_t ⊙ c~_t                               cell
        o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o)         output gate
        h_t = o_t ⊙ tanh(c_t)                                    hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, NFG.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and `bias`, in the order
    input, candidate, output; `peepholes` `(2, units)`: p_i, p_o.

    Args: those of `PeepholeLSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import NFGCell, Recurrent
    >>> tuple(Recurrent(NFGCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("input", "candidate", "output")

    def forget_gate(self, z, c, i):
        return 1.0


@keras.saving.register_keras_serializable(package="layers")
class NOGCell(PeepholeLSTMCell):
    r"""No output gate: the cell is read in full.

        i_t = σ(W_i x_t + U_i h_{t-1} + p_i ⊙ c_{t-1} + b_i)     input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)     forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                 candidate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t                         cell
        h_t = tanh(c_t)                                          hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, NOG.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and `bias`, in the order
    input, forget, candidate; `peepholes` `(2, units)`: p_i, p_f.

    Args: those of `PeepholeLSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import NOGCell, Recurrent
    >>> tuple(Recurrent(NOGCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("input", "forget", "candidate")

    def output_gate(self, z, c):
        return 1.0


@keras.saving.register_keras_serializable(package="layers")
class NIAFCell(PeepholeLSTMCell):
    r"""No input activation function: the candidate is not squashed.

        i_t = σ(W_i x_t + U_i h_{t-1} + p_i ⊙ c_{t-1} + b_i)     input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)     forget gate
        c~_t = W_c x_t + U_c h_{t-1} + b_c                       candidate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t                         cell
        o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o)         output gate
        h_t = o_t ⊙ tanh(c_t)                                    hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, NIAF.

    Weights: those of `PeepholeLSTMCell`.

    Args: those of `PeepholeLSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import NIAFCell, Recurrent
    >>> tuple(Recurrent(NIAFCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def candidate(self, z):
        return z["candidate"]


@keras.saving.register_keras_serializable(package="layers")
class NOAFCell(PeepholeLSTMCell):
    r"""No output activation function: the cell is not squashed.

        i_t = σ(W_i x_t + U_i h_{t-1} + p_i ⊙ c_{t-1} + b_i)     input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)     forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                 candidate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t                         cell
        o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o)         output gate
        h_t = o_t ⊙ c_t                                          hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, NOAF.

    Weights: those of `PeepholeLSTMCell`.

    Args: those of `PeepholeLSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import NOAFCell, Recurrent
    >>> tuple(Recurrent(NOAFCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def read(self, c):
        return c


@keras.saving.register_keras_serializable(package="layers")
class NPCell(LSTMCell):
    r"""No peepholes: what most of today's libraries call LSTM.

        i_t = σ(W_i x_t + U_i h_{t-1} + b_i)     input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + b_f)     forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c) candidate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t         cell
        o_t = σ(W_o x_t + U_o h_{t-1} + b_o)     output gate
        h_t = o_t ⊙ tanh(c_t)                    hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, NP.

    Weights: those of `LSTMCell`.

    Args: those of `LSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import NPCell, Recurrent
    >>> tuple(Recurrent(NPCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """


@keras.saving.register_keras_serializable(package="layers")
class CoupledLSTMCell(PeepholeLSTMCell):
    r"""Coupled input and forget gate: the forgotten share of a cell is overwritten.

        f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)     forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                 candidate
        c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ c~_t                   cell
        o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o)         output gate
        h_t = o_t ⊙ tanh(c_t)                                    hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, CIFG. The paper
    writes f_t = 1 - i_t; the remaining gate is called the forget gate here, so that its bias is a forget bias.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and `bias`, in the order
    forget, candidate, output; `peepholes` `(2, units)`: p_f, p_o.

    Args: those of `PeepholeLSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import CoupledLSTMCell, Recurrent
    >>> tuple(Recurrent(CoupledLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("forget", "candidate", "output")

    def forget_gate(self, z, c, i):
        return 1.0 - i

    def input_gate(self, z, c):
        return 1.0 - self.seen("forget", z, c)


@keras.saving.register_keras_serializable(package="layers")
class FGRCell(PeepholeLSTMCell):
    r"""Full gate recurrence: the gates also see the last values of all gates.

        i_t = σ(W_i x_t + U_i h_{t-1} + p_i ⊙ c_{t-1} + b_i + R_ii i_{t-1} + R_fi f_{t-1} + R_oi o_{t-1})    input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f + R_if i_{t-1} + R_ff f_{t-1} + R_of o_{t-1})    forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                                                             candidate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t                                                                     cell
        o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o + R_io i_{t-1} + R_fo f_{t-1} + R_oo o_{t-1})        output gate
        h_t = o_t ⊙ tanh(c_t)                                                                                hidden

    Source: K. Greff et al., "LSTM: A Search Space Odyssey", 2015, arXiv:1503.04069, section III.C, FGR.

    Weights: those of `PeepholeLSTMCell`, and `gate_kernel` `(3 * units, 3 * units)`, rows from and columns to input,
    forget and output gate.

    Args: those of `PeepholeLSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c, i, f, o]`, all `(batch, units)`.

    Returns:
        `(h, [h, c, i, f, o])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import FGRCell, Recurrent
    >>> tuple(Recurrent(FGRCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    carry = ("hidden", "cell", "input", "forget", "output")

    def build(self, input_shape):
        super().build(input_shape)
        self.gate_kernel = self.new_weight("gate_kernel", (3 * self.units, 3 * self.units), "recurrent")

    def step(self, x, carry, recur):
        h, c, *gates = carry
        r_i, r_f, r_o = self.split(recur(ops.concatenate(gates, axis=-1), "gate_kernel"))
        r = ops.concatenate([r_i, r_f, ops.zeros_like(r_i), r_o], axis=-1)
        i, f, o, c, h = self.remember(x + recur(h, *self.gates) + r, c)
        return h, (h, c, i, f, o)
