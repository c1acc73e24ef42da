"""The LSTM whose gates look at its cell."""

import keras

from layers.cells.lstm import LSTMCell


@keras.saving.register_keras_serializable(package="layers")
class PeepholeLSTMCell(LSTMCell):
    r"""Long short-term memory with peepholes: the gates see the cell itself, not only what the output gate lets out.

        i_t = σ(W_i x_t + U_i h_{t-1} + p_i ⊙ c_{t-1} + b_i)     input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + p_f ⊙ c_{t-1} + b_f)     forget gate
        c~_t = tanh(W_c x_t + U_c h_{t-1} + b_c)                 candidate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ c~_t                         cell
        o_t = σ(W_o x_t + U_o h_{t-1} + p_o ⊙ c_t + b_o)         output gate
        h_t = o_t ⊙ tanh(c_t)                                    hidden

    Source: F. A. Gers and J. Schmidhuber, "Recurrent Nets that Time and Count", IJCNN 2000, equations 1 to 5; F. A.
    Gers, N. Schraudolph and J. Schmidhuber, "Learning Precise Timing with LSTM Recurrent Networks", 2002, section 2.
    Departure: gradients are exact; the source cuts them where they leave a memory cell.

    Weights: those of `LSTMCell`, and `peepholes`, `(3, units)`: p_i, p_f, p_o.

    Args: those of `LSTMCell`, and
        peephole_initializer: Initial values of the peepholes.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import PeepholeLSTMCell, Recurrent
    >>> tuple(Recurrent(PeepholeLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units, peephole_initializer="zeros", **kwargs):
        super().__init__(units, **kwargs)
        self.peephole_initializer = keras.initializers.get(peephole_initializer)

    def build(self, input_shape):
        super().build(input_shape)
        self.seeing = [gate for gate in ("input", "forget", "output") if gate in self.gates]
        shape = (len(self.seeing), self.units)
        self.peepholes = self.add_weight(
            dtype=self.state_dtype, name="peepholes", shape=shape, initializer=self.peephole_initializer, autocast=False
        )

    def seen(self, gate, z, c):
        """A gate's sum, with what its peephole adds."""
        return self.recurrent_activation(z[gate] + self.peepholes[self.seeing.index(gate)] * c)

    def input_gate(self, z, c):
        return self.seen("input", z, c)

    def forget_gate(self, z, c, i):
        return self.seen("forget", z, c)

    def output_gate(self, z, c):
        return self.seen("output", z, c)

    def get_config(self):
        config = {"peephole_initializer": keras.initializers.serialize(self.peephole_initializer)}
        return {**super().get_config(), **config}
