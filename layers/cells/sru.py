"""The simple recurrent unit."""

import keras
from keras import ops

from layers.cell import product
from layers.linear import LinearCell


@keras.saving.register_keras_serializable(package="layers")
class SRUCell(LinearCell):
    r"""Simple recurrent unit: gates that see the input alone, and a highway around the cell.

        x~_t = W x_t                                             candidate
        f_t = σ(W_f x_t + b_f)                                   forget gate
        r_t = σ(W_r x_t + b_r)                                   reset gate
        c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ x~_t                   cell
        h_t = r_t ⊙ tanh(c_t) + (1 - r_t) ⊙ x_t                  output

    Where x_t is not as wide as the cell, the highway uses W_x x_t.

    Source: T. Lei et al., "Simple Recurrent Units for Highly Parallelizable Recurrence", 2018, arXiv:1709.02755, in the
    form of version 1, equations 3 to 7; later versions let the gates see c_{t-1}, which prevents a parallel run.

    Weights: `kernel` `(features, 3 * units)`, in the order candidate, forget, reset, and where features are not `units`
    a fourth block, W_x; `bias` `(2 * units,)`, b_f and b_r.

    Args: those of `Cell`; the recurrent kernel's are not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[c]`, `(batch, units)`.

    Returns:
        `(h, [c])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import Recurrent, SRUCell
    >>> tuple(Recurrent(SRUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("candidate", "forget", "reset")
    carry = ("cell",)

    @property
    def kernel_width(self):
        return (4 if self.highway else 3) * self.units

    @property
    def bias_shape(self):
        return (2 * self.units,)

    def build(self, input_shape):
        self.highway = input_shape[-1] != self.units
        super().build(input_shape)

    def project(self, inputs):
        x = product(inputs, self.kernel)
        if self.bias is not None:
            around = (x.shape[-1] // self.units - 3) * self.units
            x = x + ops.pad(self.bias.value, [[self.units, around]])
        return x if self.highway else ops.concatenate([x, inputs], axis=-1)

    def coefficients(self, x):
        candidate, f, _, _ = self.split(x)
        f = self.recurrent_activation(f)
        return f, (1 - f) * candidate

    def output(self, x, c, recur):
        _, _, r, x = self.split(x)
        r = self.recurrent_activation(r)
        return r * self.activation(c) + (1 - r) * x
