"""The update gate network."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class UGRNNCell(Cell):
    r"""Update gate network: Elman's network with one gate between old and new.

        g_t = σ(W_g x_t + U_g h_{t-1} + b_g)             update gate
        c_t = tanh(W_c x_t + U_c h_{t-1} + b_c)          candidate
        h_t = g_t ⊙ h_{t-1} + (1 - g_t) ⊙ c_t            hidden

    Source: J. Collins, J. Sohl-Dickstein and D. Sussillo, "Capacity and Trainability in Recurrent Neural Networks",
    ICLR 2017, arXiv:1611.09913, section 1.2, UGRNN.

    Weights: `kernel` `(features, 2 * units)`, `recurrent_kernel` `(units, 2 * units)` and `bias` `(2 * units,)`, in the
    order update, candidate.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import Recurrent, UGRNNCell
    >>> tuple(Recurrent(UGRNNCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("update", "candidate")

    def step(self, x, carry, recur):
        (h,) = carry
        g, c = self.split(x + recur(h))
        g = self.recurrent_activation(g)
        h = g * h + (1 - g) * self.update(self.activation(c))
        return h, (h,)
