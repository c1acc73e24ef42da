"""Elman's simple recurrent network."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class ElmanCell(Cell):
    r"""Elman's simple recurrent network: the hidden units see their own last values.

        h_t = tanh(W x_t + U h_{t-1} + b)

    Source: J. L. Elman, "Finding Structure in Time", Cognitive Science 14, 1990, figure 2. Departure: the paper
    squashes with a logistic function between 0 and 1; here it is `activation`, by default tanh, as in
    `keras.layers.SimpleRNN`.

    Weights: those of `keras.layers.SimpleRNN`: `kernel` `(features, units)`, `recurrent_kernel` `(units, units)` and
    `bias` `(units,)`.

    Args: those of `Cell`; `recurrent_activation` is not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import ElmanCell, Recurrent
    >>> tuple(Recurrent(ElmanCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("candidate",)
    carry = ("hidden",)

    def step(self, x, carry, recur):
        (h,) = carry
        h = self.update(self.activation(x + recur(h)))
        return h, (h,)
