"""Williams and Zipser's fully recurrent network."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class FullyRecurrentCell(Cell):
    r"""Fully recurrent network: every unit sees the inputs and all units; some of the units are the outputs.

        s_t = W x_t + U y_{t-1} + b        what reaches the units
        y_t = σ(s_t)                       the units; the first of them are the output

    Source: R. J. Williams and D. Zipser, "A Learning Algorithm for Continually Running Fully Recurrent Neural
    Networks", Neural Computation 1(2), 1989, equations 1 to 3. Departure: the paper's y(t + 1) is the y_t that input
    x_t gives here.

    Weights: `kernel` `(features, units)`, `recurrent_kernel` `(units, units)`, `bias` `(units,)`: U and W are the
    paper's one matrix, split in two.

    Args: those of `Cell`, by default with a logistic `activation`; `recurrent_activation` is not used; and
        outputs: Number of units that are outputs, in 1 ... units; None for all.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[y]`, `(batch, units)`.

    Returns:
        `(output, [y])`: `(batch, outputs)` and `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `outputs` is not in 1 ... units.

    Example:

    >>> from layers import FullyRecurrentCell, Recurrent
    >>> tuple(Recurrent(FullyRecurrentCell(8, outputs=2))(np.ones((2, 5, 3))).shape)
    (2, 2)
    """

    carry = ("units",)

    def __init__(self, units, outputs=None, activation="sigmoid", **kwargs):
        super().__init__(units, activation=activation, **kwargs)
        self.outputs = self.positive("outputs", outputs, default=self.units, most=self.units)
        self.output_size = self.outputs

    def step(self, x, carry, recur):
        (y,) = carry
        y = self.update(self.activation(x + recur(y)))
        return y if self.outputs == self.units else y[:, : self.outputs], (y,)

    def get_config(self):
        return {**super().get_config(), "outputs": self.outputs}
