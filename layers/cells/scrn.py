"""The structurally constrained network."""

import keras
from keras import ops

from layers.cell import Cell, product


@keras.saving.register_keras_serializable(package="layers")
class SCRNCell(Cell):
    r"""Structurally constrained network: Elman's network beside slow context units that only average their inputs.

        s_t = (1 - α) B x_t + α s_{t-1}                  context
        h_t = σ(P s_t + A x_t + R h_{t-1} + b)           hidden

    Source: T. Mikolov et al., "Learning Longer Memory in Recurrent Neural Networks", ICLR 2015, arXiv:1412.7753,
    equations 3 to 5. The output is h_t and s_t side by side: the paper's output layer reads both. Departure: a bias,
    which `use_bias=False` removes.

    Weights: `kernel` A `(features, units)`, `recurrent_kernel` R `(units, units)`, `bias` `(units,)`, `context_kernel`
    B `(features, context_units)`, `hidden_kernel` P `(context_units, units)`.

    Args: those of `Cell`, by default with a logistic `activation`; `recurrent_activation` is not used; and
        context_units: Width of s, a positive integer; None for a third of `units`.
        decay: α, in [0, 1).

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, s]`, `(batch, units)` and `(batch, context_units)`.

    Returns:
        `(output, [h, s])`, the output `(batch, units + context_units)`.

    Raises:
        ValueError: as `Cell`, or if `context_units` or `decay` is out of its range.

    Example:

    >>> from layers import Recurrent, SCRNCell
    >>> tuple(Recurrent(SCRNCell(8, context_units=2))(np.ones((2, 5, 3))).shape)
    (2, 10)
    """

    carry = ("hidden", "context")

    def __init__(self, units, context_units=None, decay=0.95, activation="sigmoid", **kwargs):
        super().__init__(units, activation=activation, **kwargs)
        self.context_units = self.positive("context_units", context_units, default=max(1, self.units // 3))
        self.decay = self.within("decay", decay, 0, 1)
        self.state_size = [self.units, self.context_units]
        self.output_size = self.units + self.context_units

    def build(self, input_shape):
        super().build(input_shape)
        self.context_kernel = self.new_weight("context_kernel", (input_shape[-1], self.context_units), "kernel")
        self.hidden_kernel = self.new_weight("hidden_kernel", (self.context_units, self.units), "kernel")

    def project(self, inputs):
        return ops.concatenate([super().project(inputs), product(inputs, self.context_kernel)], axis=-1)

    def step(self, x, carry, recur):
        h, s = carry
        s = (1 - self.decay) * self.update(x[:, self.units :]) + self.decay * s
        h = recur(s, "hidden_kernel") + x[:, : self.units] + recur(h, "candidate")
        h = self.update(self.activation(h))
        return ops.concatenate([h, s], axis=-1), (h, s)

    def get_config(self):
        return {**super().get_config(), "context_units": self.context_units, "decay": self.decay}
