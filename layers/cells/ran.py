"""The recurrent additive network."""

import keras

from layers.cell import Cell, product


@keras.saving.register_keras_serializable(package="layers")
class RANCell(Cell):
    r"""Recurrent additive network: the cell is a weighted sum of inputs; only the gates are recurrent.

        c~_t = W_c x_t                                   content
        i_t = σ(W_i x_t + U_i h_{t-1} + b_i)             input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + b_f)             forget gate
        c_t = i_t ⊙ c~_t + f_t ⊙ c_{t-1}                 cell
        h_t = tanh(c_t)                                  hidden

    Source: K. Lee, O. Levy and L. Zettlemoyer, "Recurrent Additive Networks", 2017, arXiv:1705.07393, equation 1; with
    `activation="linear"`, h_t = c_t, the paper's other form.

    Weights: `kernel` `(features, 3 * units)`, in the order content, input, forget; `recurrent_kernel`
    `(units, 2 * units)` and `bias` `(2 * units,)`, in the order input, forget.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import RANCell, Recurrent
    >>> tuple(Recurrent(RANCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("content", "input", "forget")
    recurrent_gates = ("input", "forget")
    carry = ("hidden", "cell")

    @property
    def bias_shape(self):
        return (2 * self.units,)

    def project(self, inputs):
        return product(inputs, self.kernel)

    def step(self, x, carry, recur):
        h, c = carry
        content, x = x[:, : self.units], x[:, self.units :]
        i, f = self.split(x + recur(h) if self.bias is None else x + recur(h) + self.bias)
        c = self.recurrent_activation(i) * self.update(content) + self.recurrent_activation(f) * c
        h = self.activation(c)
        return h, (h, c)
