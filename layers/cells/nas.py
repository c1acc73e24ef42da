"""The cell that architecture search found."""

import keras
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class NASCell(Cell):
    r"""The cell of neural architecture search: a tree of sums and products found by a controller.

        a_k = W_k x_t + b_k,  r_k = U_k h_{t-1}                                                       k = 1 ... 8
        l_1 = σ(a_1 + r_1)    l_2 = max(0, a_2 + r_2)    l_3 = σ(a_3 + r_3)    l_4 = max(0, a_4 ⊙ r_4)
        l_5 = tanh(a_5 + r_5) l_6 = σ(a_6 + r_6)         l_7 = tanh(a_7 + r_7) l_8 = σ(a_8 + r_8)
        c_t = tanh(tanh(l_1 ⊙ l_2) + c_{t-1}) ⊙ tanh(l_3 + l_4)                                       cell
        h_t = tanh(c_t ⊙ tanh(tanh(l_5 ⊙ l_6) + σ(l_7 + l_8)))                                       hidden

    Source: B. Zoph and Q. V. Le, "Neural Architecture Search with Reinforcement Learning", ICLR 2017, arXiv:1611.01578,
    appendix A, figure 8, the cell of the "base 8" search. Departure: a bias, which `use_bias=False` removes.

    Weights: `kernel` `(features, 8 * units)`, `recurrent_kernel` `(units, 8 * units)` and `bias` `(8 * units,)`, in the
    order 1 ... 8.

    Args: those of `Cell`, where `activation` stands for each tanh and `recurrent_activation` for each σ.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import NASCell, Recurrent
    >>> tuple(Recurrent(NASCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = tuple(f"leaf_{k}" for k in range(1, 9))
    carry = ("hidden", "cell")

    def step(self, x, carry, recur):
        h, c = carry
        tanh, sigmoid = self.activation, self.recurrent_activation
        a, r = self.split(x), self.split(recur(h))
        s = [None, *(x_k + r_k for x_k, r_k in zip(a, r, strict=True))]
        one = tanh(self.update(tanh(sigmoid(s[1]) * ops.relu(s[2]))) + c)
        two = tanh(sigmoid(s[3]) + ops.relu(a[3] * r[3]))
        three = tanh(tanh(tanh(s[5]) * sigmoid(s[6])) + sigmoid(tanh(s[7]) + sigmoid(s[8])))
        c = one * two
        h = tanh(c * three)
        return h, (h, c)
