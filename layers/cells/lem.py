"""Long expressive memory."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class LEMCell(Cell):
    r"""Long expressive memory: two states, each with its own learnt time steps.

        Δ_t = Δt σ(W_1 y_{t-1} + V_1 x_t + b_1)                                          steps of z
        Δ'_t = Δt σ(W_2 y_{t-1} + V_2 x_t + b_2)                                         steps of y
        z_t = (1 - Δ_t) ⊙ z_{t-1} + Δ_t ⊙ tanh(W_z y_{t-1} + V_z x_t + b_z)
        y_t = (1 - Δ'_t) ⊙ y_{t-1} + Δ'_t ⊙ tanh(W_y z_t + V_y x_t + b_y)

    Source: T. K. Rusch et al., "Long Expressive Memory for Sequence Modeling", ICLR 2022, arXiv:2110.04744, equation 3.

    Weights: `kernel` `(features, 4 * units)`, `recurrent_kernel` `(units, 4 * units)` and `bias` `(4 * units,)`, in the
    order steps of z, steps of y, z, y.

    Args: those of `Cell`, and
        step_size: Δt, in (0, 1].

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[y, z]`, both `(batch, units)`.

    Returns:
        `(y, [y, z])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `step_size` is outside [0, 1].

    Example:

    >>> from layers import LEMCell, Recurrent
    >>> tuple(Recurrent(LEMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("steps_z", "steps_y", "z", "y")
    carry = ("y", "z")

    def __init__(self, units, step_size=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.step_size = self.within("step_size", step_size, 0, 1, closed=True)

    def step(self, x, carry, recur):
        y, z = carry
        x_1, x_2, x_z, x_y = self.split(x)
        r_1, r_2, r_z = self.split(recur(y, "steps_z", "steps_y", "z"))
        steps_z = self.step_size * self.recurrent_activation(x_1 + r_1)
        steps_y = self.step_size * self.recurrent_activation(x_2 + r_2)
        z = (1 - steps_z) * z + steps_z * self.update(self.activation(x_z + r_z))
        y = (1 - steps_y) * y + steps_y * self.update(self.activation(x_y + recur(z, "y")))
        return y, (y, z)

    def get_config(self):
        return {**super().get_config(), "step_size": self.step_size}
