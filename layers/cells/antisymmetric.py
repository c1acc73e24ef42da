"""The antisymmetric network."""

import keras
import numpy as np
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class AntisymmetricCell(Cell):
    r"""Antisymmetric network: a stable differential equation in small steps; gradients neither vanish nor explode.

        A = M - M^T - γ I
        h_t = h_{t-1} + ε tanh(A h_{t-1} + V x_t + b)                              plain
        z_t = σ(A h_{t-1} + V_z x_t + b_z)                                         gate, with `gated`
        h_t = h_{t-1} + ε z_t ⊙ tanh(A h_{t-1} + V x_t + b)

    Source: B. Chang et al., "AntisymmetricRNN: A Dynamical System View on Recurrent Neural Networks", ICLR 2019,
    arXiv:1902.09689, equations 9 and 12. M is strictly upper triangular, which is enough for every A.

    Weights: `kernel` `(features, units)`, or `(features, 2 * units)` in the order gate, candidate; `recurrent_triangle`
    `(units * (units - 1) / 2,)`, M's rows one after the other; `bias`.

    Args: those of `Cell`; and
        gated: Whether the second form is used.
        step_size: ε, a positive number.
        diffusion: γ, a number that is not negative.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `step_size` or `diffusion` is out of its range.

    Example:

    >>> from layers import AntisymmetricCell, Recurrent
    >>> tuple(Recurrent(AntisymmetricCell(8, gated=True))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units, gated=False, step_size=0.01, diffusion=0.01, recurrent_initializer=None, **kwargs):
        super().__init__(units, **kwargs)
        spread = keras.initializers.RandomNormal(stddev=self.units**-0.5)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer or spread)
        self.gated = gated
        self.step_size = self.within("step_size", step_size, 0)
        self.diffusion = self.within("diffusion", diffusion, 0)
        self.gates = ("gate", "candidate") if gated else ("candidate",)

    def build_recurrent(self):
        count = self.units * (self.units - 1) // 2
        self.recurrent_triangle = self.new_weight("recurrent_triangle", (count,), "recurrent")

    def recurrent_columns(self, gates):
        """A, transposed, as `recur` multiplies from the right."""
        place = np.zeros((self.units, self.units), "int32")  # 0: the diagonal
        rows, columns = np.triu_indices(self.units, 1)
        place[rows, columns] = 1 + np.arange(len(rows))
        place += np.where(place.T > 0, place.T + len(rows), 0)
        m = self.recurrent_triangle.value
        diagonal = ops.full((1,), -self.diffusion, dtype=m.dtype)
        return ops.take(ops.concatenate([diagonal, m, -m]), place.T)

    def step(self, x, carry, recur):
        (h,) = carry
        r = recur(h)
        *gate, candidate = self.split(x)
        change = self.step_size * self.update(self.activation(candidate + r))
        for x_z in gate:
            change = self.recurrent_activation(x_z + r) * change
        h = h + change
        return h, (h,)

    def get_config(self):
        config = {name: getattr(self, name) for name in ("gated", "step_size", "diffusion")}
        return {**super().get_config(), **config}
