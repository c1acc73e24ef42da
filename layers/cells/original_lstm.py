"""The LSTM as it was first published."""

import keras

from layers.cells.lstm import LSTMCell


@keras.saving.register_keras_serializable(package="layers")
class OriginalLSTMCell(LSTMCell):
    r"""The first long short-term memory: a cell that is written and read through gates, and forgets nothing.

        i_t = σ(W_i x_t + U_i h_{t-1} + b_i)             input gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)         candidate
        c_t = c_{t-1} + i_t ⊙ c~_t                       cell
        o_t = σ(W_o x_t + U_o h_{t-1} + b_o)             output gate
        h_t = o_t ⊙ tanh(c_t)                            hidden

    Source: S. Hochreiter and J. Schmidhuber, "Long Short-Term Memory", Neural Computation 9(8), 1997, section 4.
    Departures: squashing by `activation`, by default tanh, where the paper has logistic functions scaled to [-2, 2]
    (candidate) and [-1, 1] (cell); gradients are exact, where the paper cuts them as they leave a memory cell.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and `bias` `(3 * units,)`, in the
    order input, candidate, output.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import OriginalLSTMCell, Recurrent
    >>> tuple(Recurrent(OriginalLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("input", "candidate", "output")

    def forget_gate(self, z, c, i):
        return 1.0
