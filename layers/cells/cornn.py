"""The coupled oscillatory network."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class CoRNNCell(Cell):
    r"""Coupled oscillatory network: units are springs, driven and damped; their gradients stay bounded.

        z_t = z_{t-1} + Δt (tanh(W y_{t-1} + Z z_{t-1} + V x_t + b) - γ y_{t-1} - ε z_{t-1})        velocity
        y_t = y_{t-1} + Δt z_t                                                                       position

    Source: T. K. Rusch and S. Mishra, "Coupled Oscillatory Recurrent Neural Network (coRNN)", ICLR 2021,
    arXiv:2010.00951, equation 3, with damping by the last velocity (the paper's n-bar = n - 1).

    Weights: `kernel` V `(features, units)`, `recurrent_kernel` W and `velocity_kernel` Z, both `(units, units)`,
    `bias`.

    Args: those of `Cell`; `recurrent_activation` is not used; the defaults below are the paper's for sequential MNIST;
        step_size: Δt, a positive number.
        frequency: γ, a number that is not negative.
        damping: ε, a number that is not negative.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[y, z]`, both `(batch, units)`.

    Returns:
        `(y, [y, z])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if one of the three numbers is negative.

    Example:

    >>> from layers import CoRNNCell, Recurrent
    >>> tuple(Recurrent(CoRNNCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    carry = ("position", "velocity")

    def __init__(self, units, step_size=0.042, frequency=2.7, damping=4.7, **kwargs):
        super().__init__(units, **kwargs)
        self.step_size = self.within("step_size", step_size, 0)
        self.frequency = self.within("frequency", frequency, 0)
        self.damping = self.within("damping", damping, 0)

    def build(self, input_shape):
        super().build(input_shape)
        self.velocity_kernel = self.new_weight("velocity_kernel", (self.units, self.units), "recurrent")

    def step(self, x, carry, recur):
        y, z = carry
        force = self.update(self.activation(x + recur(y, "candidate") + recur(z, "velocity_kernel")))
        z = z + self.step_size * (force - self.frequency * y - self.damping * z)
        y = y + self.step_size * z
        return y, (y, z)

    def get_config(self):
        config = {name: getattr(self, name) for name in ("step_size", "frequency", "damping")}
        return {**super().get_config(), **config}
