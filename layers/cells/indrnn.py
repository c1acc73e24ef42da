"""The independently recurrent network."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class IndRNNCell(Cell):
    r"""Independently recurrent network: each unit sees only its own state.

        h_t = max(0, W x_t + u ⊙ h_{t-1} + b)

    Source: S. Li et al., "Independently Recurrent Neural Network (IndRNN)", CVPR 2018, arXiv:1803.04831, equation 2.
    u begins uniform in [0, 1], as there for short sequences; over T timesteps |u| should stay under the T-th root of
    the largest factor that a gradient may grow by (section 4.1): use a `recurrent_constraint`.

    Weights: `kernel` `(features, units)`, `recurrent_weight` u `(units,)`, `bias` `(units,)`.

    Args: those of `Cell`; `recurrent_activation` and, without a recurrent kernel, `recurrent_dropout` are not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import IndRNNCell, Recurrent
    >>> tuple(Recurrent(IndRNNCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    has_recurrent_kernel = False

    def __init__(self, units, activation="relu", recurrent_initializer=None, **kwargs):
        recurrent_initializer = recurrent_initializer or keras.initializers.RandomUniform(0.0, 1.0)
        super().__init__(units, activation=activation, recurrent_initializer=recurrent_initializer, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        self.recurrent_weight = self.new_weight("recurrent_weight", (self.units,), "recurrent")

    def step(self, x, carry, recur):
        (h,) = carry
        h = self.update(self.activation(x + self.recurrent_weight * h))
        return h, (h,)
