"""Pollack's sequential cascaded network."""

import keras
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class SequentialCascadedCell(Cell):
    r"""Sequential cascaded network: a context network writes, from the last state, the weights of a function network.

        W_ij(t) = Σ_k C_ijk z_k(t-1) + W_ij        context network: the weights of ...
        b_i(t) = Σ_k U_ik z_k(t-1) + b_i           ... and of the bias unit ...
        z_i(t) = σ(Σ_j W_ij(t) x_j(t) + b_i(t))    ... of the function network

    Source: J. B. Pollack, "The Induction of Dynamical Recognizers", Machine Learning 7, 1991, section 3 (W_ij and
    b_i(t) are what the paper's two bias units give). Departure: all outputs of the function network are state; in the
    paper one of them says whether a string is accepted.

    Weights: `kernel` W `(features, units)`, `recurrent_kernel` U `(units, units)`, `context_kernel` C
    `(units * features, units)`, with C_ijk in row k * features + j and column i; `bias` `(units,)`.

    Args: those of `Cell`, by default with a logistic `activation`; `recurrent_activation` is not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[z]`, `(batch, units)`.

    Returns:
        `(z, [z])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import Recurrent, SequentialCascadedCell
    >>> tuple(Recurrent(SequentialCascadedCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units, activation="sigmoid", **kwargs):
        super().__init__(units, activation=activation, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        rows = self.units * input_shape[-1]
        self.context_kernel = self.new_weight("context_kernel", (rows, self.units), "recurrent")

    def project(self, inputs):
        return ops.concatenate([super().project(inputs), inputs], axis=-1)

    def step(self, x, carry, recur):
        (z,) = carry
        first_order, x = x[:, : self.units], x[:, self.units :]
        products = ops.expand_dims(z, 2) * ops.expand_dims(x, 1)  # (batch, units, features)
        products = ops.reshape(products, (-1, self.units * x.shape[1]))
        z = first_order + recur(z, "candidate") + recur(products, "context_kernel")
        z = self.update(self.activation(z))
        return z, (z,)
