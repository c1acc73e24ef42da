"""Jordan's network."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class JordanCell(Cell):
    r"""Jordan's network: the hidden units see the network's last output, not their own values.

        h_t = tanh(W x_t + U s_{t-1} + b)        hidden
        y_t = f(V h_t + b_y)                     output
        s_t = μ s_{t-1} + y_t                    state

    Source: M. I. Jordan, "Attractor dynamics and parallelism in a connectionist sequential machine", 1986, figure 3:
    plan and state units, state units that feed themselves with weight μ. Departures: the squashing functions are
    arguments, where the paper's are logistic; the plan is the input, which may change from timestep to timestep.

    Weights: `kernel` `(features, units)`, `recurrent_kernel` `(outputs, units)`, `bias` `(units,)`, `output_kernel`
    `(units, outputs)`, `output_bias` `(outputs,)`.

    Args: those of `Cell`; `recurrent_activation` is not used; and
        outputs: Width of y, a positive integer; None for `units`.
        decay: μ, in [0, 1): how long outputs are held.
        output_activation: f.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[s]`, `(batch, outputs)`.

    Returns:
        `(y, [s])`, both `(batch, outputs)`.

    Raises:
        ValueError: as `Cell`, or if `outputs` is not a positive integer or `decay` is outside [0, 1).

    Example:

    >>> from layers import JordanCell, Recurrent
    >>> tuple(Recurrent(JordanCell(8, outputs=2))(np.ones((2, 5, 3))).shape)
    (2, 2)
    """

    carry = ("state",)

    def __init__(self, units, outputs=None, decay=0.0, output_activation="tanh", **kwargs):
        super().__init__(units, **kwargs)
        self.outputs = self.positive("outputs", outputs, default=self.units)
        self.decay = self.within("decay", decay, 0, 1)
        self.output_activation = keras.activations.get(output_activation)
        self.state_size = self.output_size = self.outputs

    @property
    def recurrent_width(self):
        return self.outputs

    def build(self, input_shape):
        super().build(input_shape)
        self.output_kernel = self.new_weight("output_kernel", (self.units, self.outputs), "kernel")
        self.output_bias = self.new_weight("output_bias", (self.outputs,), "bias") if self.use_bias else None

    def step(self, x, carry, recur):
        (s,) = carry
        h = self.activation(x + recur(s))
        y = recur(h, "output_kernel")
        y = self.output_activation(y if self.output_bias is None else y + self.output_bias)
        return y, (self.decay * s + self.update(y),)

    def get_config(self):
        activation = keras.activations.serialize(self.output_activation)
        config = {"outputs": self.outputs, "decay": self.decay, "output_activation": activation}
        return {**super().get_config(), **config}
