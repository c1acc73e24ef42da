"""The rectified network that begins as the identity."""

import keras

from layers.cells.elman import ElmanCell


@keras.saving.register_keras_serializable(package="layers")
class IRNNCell(ElmanCell):
    r"""IRNN: Elman's network of rectified units, initialised to repeat its state.

        h_t = max(0, W x_t + U h_{t-1} + b),    U = I and b = 0 to begin with

    Source: Q. V. Le, N. Jaitly and G. E. Hinton, "A Simple Way to Initialize Recurrent Networks of Rectified Linear
    Units", 2015, arXiv:1504.00941, section 3: W begins with a standard deviation of 0.001.

    Weights: `kernel` `(features, units)`, `recurrent_kernel` `(units, units)`, `bias` `(units,)`.

    Args: those of `Cell`; `recurrent_activation` is not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import IRNNCell, Recurrent
    >>> tuple(Recurrent(IRNNCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units, activation="relu", kernel_initializer=None, recurrent_initializer="identity", **kwargs):
        kernel_initializer = kernel_initializer or keras.initializers.RandomNormal(stddev=0.001)
        arguments = {"kernel_initializer": kernel_initializer, "recurrent_initializer": recurrent_initializer}
        super().__init__(units, activation=activation, **arguments, **kwargs)
