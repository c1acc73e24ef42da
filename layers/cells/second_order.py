"""Giles's second-order network."""

import keras
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class SecondOrderCell(Cell):
    r"""Second-order network: products of state and input drive the state, so that an input chooses a transition.

        s_i(t) = σ(Σ_j Σ_k W_ijk s_j(t-1) x_k(t) + b_i)

    With one-hot inputs, x_k picks a matrix of transitions, as a symbol does in a finite automaton.

    Source: C. L. Giles et al., "Learning and Extracting Finite State Automata with Second-Order Recurrent Neural
    Networks", Neural Computation 4(3), 1992, equation 1. Departure: a bias, which `use_bias=False` removes.

    Weights: `transition_kernel` `(units * features, units)`, with W_ijk in row j * features + k and column i; `bias`
    `(units,)`.

    Args: those of `Cell`, by default a logistic `activation`; those of `kernel` and `recurrent_dropout` are not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[s]`, `(batch, units)`; with a state of zeros, only the bias acts.

    Returns:
        `(s, [s])`, both `(batch, units)`. The first s is (1, 0, ..., 0), as in the source.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import Recurrent, SecondOrderCell
    >>> tuple(Recurrent(SecondOrderCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    has_recurrent_kernel = False

    def __init__(self, units, activation="sigmoid", **kwargs):
        super().__init__(units, activation=activation, **kwargs)

    def build(self, input_shape):
        rows = self.units * input_shape[-1]
        self.transition_kernel = self.new_weight("transition_kernel", (rows, self.units), "recurrent")
        self.bias = self.new_weight("bias", self.bias_shape, "bias", self.initial_bias) if self.use_bias else None

    def initial_carry(self, batch):
        return (ops.one_hot(ops.zeros((batch,), dtype="int32"), self.units, dtype=self.compute_dtype),)

    def project(self, inputs):
        return inputs

    def step(self, x, carry, recur):
        (s,) = carry
        products = ops.expand_dims(s, 2) * ops.expand_dims(x, 1)  # (batch, units, features)
        s = recur(ops.reshape(products, (-1, self.units * x.shape[1])), "transition_kernel")
        s = self.update(self.activation(s if self.bias is None else s + self.bias))
        return s, (s,)
