"""The hierarchical multiscale LSTM."""

import keras
from keras import ops

from layers.cell import Cell, product


@keras.saving.register_keras_serializable(package="layers")
class HierarchicalMultiscaleCell(Cell):
    r"""Hierarchical multiscale LSTM: each level finds where a segment ends, and only then updates the level above.

        s^l = U^l h^l_{t-1} + z^l_{t-1} V^l h^{l+1}_{t-1} + z^{l-1}_t W^l h^{l-1}_t + b^l    for f, i, o, g and z~
        f, i, o = σ(...),  g = tanh(...),  z~ = max(0, min(1, (a s_z + 1) / 2))
        c^l_t = f ⊙ c + i ⊙ g    update:  z^l_{t-1} = 0 and z^{l-1}_t = 1
                c                 copy:    z^l_{t-1} = 0 and z^{l-1}_t = 0
                i ⊙ g            flush:   z^l_{t-1} = 1
        h^l_t = h^l_{t-1} where it copies, o ⊙ tanh(c^l_t) elsewhere
        z^l_t = 1 where z~ > 0.5, else 0                                                      boundary

    with h^0_t = x_t and z^0 = 1; the last level has no boundary and no level above. The gradient of z^l is that of z~
    (the straight-through estimator).

    Source: J. Chung, S. Ahn and Y. Bengio, "Hierarchical Multiscale Recurrent Neural Networks", ICLR 2017,
    arXiv:1609.01704, equations 1 to 11. The output is the levels' h side by side; the paper's output module (equations
    12 and 13) is left to the layers above. Its slope a, which rises in training, is constant here.

    Weights: `kernel` W^1; `recurrent_kernel_l` U^l, `above_kernel_l` V^l and `below_kernel_l` W^l; `bias_l`; columns in
    the order f, i, o, g (`units` each), z~ (one, but for the last level).

    Args: those of `Cell`, where `units` is the width of a level; `recurrent_dropout` acts on all levels' h; and
        depth: Number of levels, at least 2.
        slope: a, a positive number.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h^1, c^1, z^1, ..., h^L, c^L]`; h and c `(batch, units)`, z `(batch, 1)`.

    Returns:
        `(output, states)`, the output `(batch, depth * units)`.

    Raises:
        ValueError: as `Cell`, or if `depth` is under 2 or `slope` negative.

    Example:

    >>> from layers import HierarchicalMultiscaleCell, Recurrent
    >>> tuple(Recurrent(HierarchicalMultiscaleCell(8))(np.ones((2, 5, 3))).shape)
    (2, 16)
    """

    def __init__(self, units, depth=2, slope=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.depth = self.positive("depth", depth, least=2)
        self.slope = self.within("slope", slope, 0)
        levels = range(1, self.depth + 1)
        names = [(f"hidden_{level}", f"cell_{level}", f"boundary_{level}") for level in levels]
        self.carry = tuple(name for level in names for name in level)[:-1]
        self.state_size = [1 if name.startswith("boundary") else self.units for name in self.carry]
        self.output_size = self.depth * self.units
        self.recurrent_gates = tuple(f"recurrent_kernel_{level}" for level in levels)

    def build(self, input_shape):
        u = self.units
        for level in range(1, self.depth + 1):
            columns = 4 * u + (level < self.depth)
            if level == 1:
                self.kernel = self.new_weight("kernel", (input_shape[-1], columns), "kernel")
            self._add("recurrent_kernel", level, (u, columns), "recurrent")
            if level > 1:
                self._add("below_kernel", level, (u, columns), "kernel")
            if level < self.depth:
                self._add("above_kernel", level, (u, columns), "recurrent")
            if self.use_bias:
                self._add("bias", level, (columns,), "bias")

    def _add(self, name, level, shape, kind):
        setattr(self, f"{name}_{level}", self.new_weight(f"{name}_{level}", shape, kind))

    def recurrent_columns(self, gates):
        return getattr(self, gates[0]).value

    def project(self, inputs):
        return product(inputs, self.kernel)

    def step(self, x, carry, recur):
        levels = [carry[3 * level : 3 * level + 3] for level in range(self.depth)]
        new, outputs, z_below, u = [], [], 1.0, self.units
        for level, (h, c, *z) in enumerate(levels, start=1):
            s = x if level == 1 else z_below * recur(outputs[-1], f"below_kernel_{level}")
            s = s + recur(h, f"recurrent_kernel_{level}")
            s = s + getattr(self, f"bias_{level}") if self.use_bias else s
            if level < self.depth:
                s = s + z[0] * recur(levels[level][0], f"above_kernel_{level}")
            f, i, o = (self.recurrent_activation(s[:, k * u : (k + 1) * u]) for k in range(3))
            g = self.update(self.activation(s[:, 3 * u : 4 * u]))
            flush = z[0] if z else 0.0
            move = (1 - flush) * z_below
            copy = (1 - flush) * (1 - z_below)
            c = flush * (i * g) + move * (f * c + i * g) + copy * c
            h = copy * h + (1 - copy) * o * self.activation(c)
            new += [h, c]
            outputs.append(h)
            if z:
                soft = ops.clip((self.slope * s[:, 4 * u :] + 1) / 2, 0, 1)
                z_below = soft + ops.stop_gradient(ops.cast(soft > 0.5, soft.dtype) - soft)
                new.append(z_below)
        return ops.concatenate(outputs, axis=-1), tuple(new)

    def get_config(self):
        return {**super().get_config(), "depth": self.depth, "slope": self.slope}
