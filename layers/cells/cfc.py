"""The closed-form continuous-time network."""

import keras

from layers.timed import TimedCell


@keras.saving.register_keras_serializable(package="layers")
class CfCCell(TimedCell):
    r"""Closed-form continuous-time network: the state of a liquid network after a time t, without a solver.

        b = tanh(W I_t + U x_{t-1} + b_b)                              backbone
        f, g, h = V_f b + c_f,  tanh(V_g b + c_g),  tanh(V_h b + c_h)        heads
        x_t = σ(-f t) ⊙ g + (1 - σ(-f t)) ⊙ h                          state

    Source: R. Hasani et al., "Closed-form Continuous-time Neural Networks", Nature Machine Intelligence 4, 2022,
    arXiv:2106.13898, equation 3, with one layer of `units` for the backbone that the three heads share.

    Weights: `kernel` W, `recurrent_kernel` U, `bias` b_b of the backbone; `head_kernel` `(units, 3 * units)` and
    `head_bias` `(3 * units,)` in the order f, g, h.

    Args: those of `Cell`, and
        elapsed: Whether the last feature of the inputs is t; otherwise it is `step_size` at every timestep.
        step_size: t, a positive number.

    Call arguments:
        inputs: `(batch, features)`, one timestep; with `elapsed` the last feature is t.
        states: `[x]`, `(batch, units)`.

    Returns:
        `(x, [x])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `step_size` is negative.

    Example:

    >>> from layers import CfCCell, Recurrent
    >>> tuple(Recurrent(CfCCell(8, elapsed=True))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    carry = ("state",)

    def build(self, input_shape):
        super().build(input_shape)
        self.head_kernel = self.new_weight("head_kernel", (self.units, 3 * self.units), "kernel")
        self.head_bias = self.new_weight("head_bias", (3 * self.units,), "bias") if self.use_bias else None

    def step(self, x, carry, recur):
        x, t = self.span(x)
        b = self.activation(x + recur(*carry))
        heads = recur(b, "head_kernel")
        f, g, h = self.split(heads if self.head_bias is None else heads + self.head_bias)
        gate = self.recurrent_activation(-f * t)
        x = self.update(gate * self.activation(g) + (1 - gate) * self.activation(h))
        return x, (x,)
