"""The continuous-time recurrent network."""

import math

import keras
from keras import ops

from layers.cell import product
from layers.timed import TimedCell


@keras.saving.register_keras_serializable(package="layers")
class CTRNNCell(TimedCell):
    r"""Continuous-time recurrent network: leaky units with their own time constants, in Euler's steps.

        τ ⊙ dy/dt = -y + U σ(y + θ) + W x
        y_t = y_{t-1} + Δt / τ ⊙ (-y_{t-1} + U σ(y_{t-1} + θ) + W x_t)        state
        o_t = σ(y_t + θ)                                                      output

    Source: R. D. Beer, "On the Dynamics of Small Continuous-Time Recurrent Neural Networks", Adaptive Behavior 3(4),
    1995, equation 1. The time constants are learnt: τ = exp(`log_time_constant`). Steps are stable while Δt < 2 τ.

    Weights: `kernel` W `(features, units)`, `recurrent_kernel` U `(units, units)`, `bias` θ and `log_time_constant`
    `(units,)`.

    Args: those of `Cell`, by default with a logistic `activation`; `recurrent_activation` is not used; and
        elapsed: Whether the last feature of the inputs is Δt; otherwise it is `step_size` at every timestep.
        step_size: Δt, a positive number, in the unit of τ.
        time_constant: Initial value of τ, a positive number.

    Call arguments:
        inputs: `(batch, features)`, one timestep; with `elapsed` the last feature is Δt.
        states: `[y]`, `(batch, units)`.

    Returns:
        `(o, [y])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `step_size` or `time_constant` is negative.

    Example:

    >>> from layers import CTRNNCell, Recurrent
    >>> tuple(Recurrent(CTRNNCell(8, elapsed=True))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    carry = ("state",)

    def __init__(self, units, activation="sigmoid", step_size=0.1, time_constant=1.0, **kwargs):
        super().__init__(units, activation=activation, step_size=step_size, **kwargs)
        self.time_constant = self.within("time_constant", time_constant, 1e-6)

    def build(self, input_shape):
        super().build(input_shape)
        begin = keras.initializers.Constant(math.log(self.time_constant))
        self.log_time_constant = self.new_weight("log_time_constant", (self.units,), "bias", begin)

    def drive(self, inputs):
        return product(inputs, self.kernel)

    def step(self, x, carry, recur):
        (y,) = carry
        x, span = self.span(x)
        rate = span * ops.exp(-self.log_time_constant)
        y = y + rate * (-y + self.update(recur(self.activation(self.shifted(y))) + x))
        return self.activation(self.shifted(y)), (y,)

    def shifted(self, y):
        return y if self.bias is None else y + self.bias

    def get_config(self):
        return {**super().get_config(), "time_constant": self.time_constant}
