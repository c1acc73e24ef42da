"""The quasi-recurrent network."""

import keras

from layers.linear import LinearCell


@keras.saving.register_keras_serializable(package="layers")
class QRNNCell(LinearCell):
    r"""Quasi-recurrent network: gates that see the inputs alone, and a pooling over time without weights.

        z_t = tanh(W_z x_t + b_z)                                candidate
        f_t = σ(W_f x_t + b_f)                                   forget gate
        o_t = σ(W_o x_t + b_o)                                   output gate
        c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ z_t                    cell
        h_t = o_t ⊙ c_t                                          output

    Source: J. Bradbury et al., "Quasi-Recurrent Neural Networks", ICLR 2017, arXiv:1611.01576, equations 3 and 4
    (fo-pooling). Departure: W sees one timestep; for the paper's masked convolution over k of them put
    `keras.layers.Conv1D(filters, k, padding="causal")` below.

    Weights: `kernel` `(features, 3 * units)` and `bias` `(3 * units,)`, in the order candidate, forget, output.

    Args: those of `Cell`; the recurrent kernel's are not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[c]`, `(batch, units)`.

    Returns:
        `(h, [c])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import QRNNCell, Recurrent
    >>> tuple(Recurrent(QRNNCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("candidate", "forget", "output")
    carry = ("cell",)

    def coefficients(self, x):
        z, f, _ = self.split(x)
        f = self.recurrent_activation(f)
        return f, (1 - f) * self.activation(z)

    def output(self, x, c, recur):
        return self.recurrent_activation(self.split(x)[2]) * c
