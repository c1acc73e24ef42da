"""The recurrent multilayer perceptron."""

import keras

from layers.cell import Cell, plus_bias, product


@keras.saving.register_keras_serializable(package="layers")
class RMLPCell(Cell):
    r"""Recurrent multilayer perceptron: a cascade of layers within one timestep, each with a memory of its own.

        h^1_t = tanh(W^1 x_t + U^1 h^1_{t-1} + b^1)
        h^l_t = tanh(W^l h^{l-1}_t + U^l h^l_{t-1} + b^l),    l = 2 ... depth

    Source: G. V. Puskorius and L. A. Feldkamp, "Neurocontrol of Nonlinear Dynamical Systems with Kalman Filter Trained
    Recurrent Networks", IEEE Transactions on Neural Networks 5(2), 1994, section II. The last layer is the output.

    Weights: `kernel` W^1 `(features, units)`, `recurrent_kernel` `(units, depth * units)`, the U^l side by side,
    `kernel_l` W^l `(units, units)`, `bias` `(depth * units,)`.

    Args: those of `Cell`; `recurrent_activation` is not used; and
        depth: Number of layers, a positive integer.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h^1, ..., h^depth]`, each `(batch, units)`.

    Returns:
        `(h^depth, [h^1, ..., h^depth])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `depth` is not a positive integer.

    Example:

    >>> from layers import RMLPCell, Recurrent
    >>> tuple(Recurrent(RMLPCell(8, depth=3))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units, depth=2, **kwargs):
        super().__init__(units, **kwargs)
        self.depth = self.positive("depth", depth)
        self.recurrent_gates = tuple(f"layer_{level}" for level in range(1, self.depth + 1))
        self.carry = tuple(f"hidden_{level}" for level in range(1, self.depth + 1))
        self.state_size = [self.units] * self.depth

    @property
    def bias_shape(self):
        return (self.depth * self.units,)

    def build(self, input_shape):
        super().build(input_shape)
        for level in range(2, self.depth + 1):
            name = f"kernel_{level}"
            setattr(self, name, self.new_weight(name, (self.units, self.units), "kernel"))

    def project(self, inputs):
        x = product(inputs, self.kernel)
        return x if self.bias is None else plus_bias(x, self.bias[: self.units])

    def step(self, x, carry, recur):
        new = []
        for level, h in enumerate(carry, start=1):
            if level > 1:
                x = recur(new[-1], f"kernel_{level}")
                x = x if self.bias is None else x + self.bias[(level - 1) * self.units : level * self.units]
            new.append(self.update(self.activation(x + recur(h, f"layer_{level}"))))
        return new[-1], tuple(new)

    def get_config(self):
        return {**super().get_config(), "depth": self.depth}
