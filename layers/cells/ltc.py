"""The liquid time-constant network."""

import keras
from keras import ops

from layers.timed import TimedCell


@keras.saving.register_keras_serializable(package="layers")
class LTCCell(TimedCell):
    r"""Liquid time-constant network: leaky units whose time constants depend on input and state.

        dx/dt = -(1/τ + f(x, I)) ⊙ x + f(x, I) ⊙ A,    f(x, I) = σ(W I + U x + b)
        x <- (x + δ f(x, I_t) ⊙ A) / (1 + δ (1/τ + f(x, I_t))),    `unfolds` times, with δ = Δt / unfolds

    Source: R. Hasani et al., "Liquid Time-constant Networks", AAAI 2021, arXiv:2006.04439, equations 1 to 3 and
    algorithm 1 (the fused step). τ = exp(`log_time_constant`) stays positive.

    Weights: `kernel` W, `recurrent_kernel` U, `bias` b; `log_time_constant` and `target` A, both `(units,)`.

    Args: those of `Cell`, where `recurrent_activation` is f's (it must not be negative) and `activation` is not used;
        elapsed: Whether the last feature of the inputs is Δt; otherwise it is `step_size` at every timestep.
        step_size: Δt, a positive number, in the unit of τ.
        unfolds: Steps of the solver in a timestep, a positive integer.

    Call arguments:
        inputs: `(batch, features)`, one timestep; with `elapsed` the last feature is Δt.
        states: `[x]`, `(batch, units)`.

    Returns:
        `(x, [x])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `step_size` is negative or `unfolds` not a positive integer.

    Example:

    >>> from layers import LTCCell, Recurrent
    >>> tuple(Recurrent(LTCCell(8, elapsed=True))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    carry = ("state",)

    def __init__(self, units, unfolds=6, **kwargs):
        super().__init__(units, **kwargs)
        self.unfolds = self.positive("unfolds", unfolds)

    def build(self, input_shape):
        super().build(input_shape)
        self.log_time_constant = self.new_weight("log_time_constant", (self.units,), "bias")
        between = keras.initializers.RandomUniform(-1.0, 1.0)
        self.target = self.new_weight("target", (self.units,), "bias", between)

    def step(self, x, carry, recur):
        (state,) = carry
        x, span = self.span(x)
        span = span / self.unfolds
        rate = ops.exp(-self.log_time_constant)
        target = self.update(self.target)  # A is the candidate: one mask for all of a timestep's unfolds
        for _ in range(self.unfolds):
            f = self.recurrent_activation(x + recur(state))
            state = (state + span * f * target) / (1 + span * (rate + f))
        return state, (state,)

    def get_config(self):
        return {**super().get_config(), "unfolds": self.unfolds}
