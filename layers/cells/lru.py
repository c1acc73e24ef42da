"""The linear recurrent unit."""

import math

import keras
from keras import ops

from layers.cell import product
from layers.linear import LinearCell


@keras.saving.register_keras_serializable(package="layers")
class LRUCell(LinearCell):
    r"""Linear recurrent unit: a diagonal recurrence of complex numbers that begins near the unit circle.

        λ = exp(-exp(ν) + i exp(θ))
        c_t = λ ⊙ c_{t-1} + exp(γ) ⊙ (B x_t)                     state, complex
        y_t = Re(C c_t) + D x_t                                  output

    Source: A. Orvieto et al., "Resurrecting Recurrent Neural Networks for Long Sequences", ICML 2023, arXiv:2303.06349,
    equations 5 to 7 and section 3: |λ| begins between `smallest` and `largest`, its phase in [0, `largest_phase`), and
    exp(γ) at √(1 - |λ|²). Departure: D is a matrix and has a bias, as inputs need not be as wide as outputs.

    Weights: `kernel` `(features, 3 * units)`: Re B, Im B, D; `bias` `(units,)`; `output_kernel` `(2 * units, units)`:
    Re C over Im C; `ring` `(3, units)`: ν, θ, γ.

    Args: those of `Cell`; activations and the recurrent kernel's are not used; and
        smallest, largest: Bounds of the initial |λ|, in (0, 1).
        largest_phase: Bound of the initial phase of λ, in (0, 2 π], radians.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[Re c, Im c]`, both `(batch, units)`.

    Returns:
        `(y, [Re c, Im c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if a bound is out of its range.

    Example:

    >>> from layers import LRUCell, Recurrent
    >>> tuple(Recurrent(LRUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("real", "imaginary", "skip")
    carry = ("real", "imaginary")

    def __init__(self, units, smallest=0.9, largest=0.999, largest_phase=2 * math.pi, **kwargs):
        super().__init__(units, **kwargs)
        self.largest = self.within("largest", largest, 1e-6, 1)
        self.smallest = self.within("smallest", smallest, 1e-6, self.largest)
        self.largest_phase = self.within("largest_phase", largest_phase, 1e-6, 2 * math.pi, closed=True)

    @property
    def bias_shape(self):
        return (self.units,)

    def build(self, input_shape):
        super().build(input_shape)
        self.output_kernel = self.new_weight("output_kernel", (2 * self.units, self.units), "kernel")
        self.ring = self.new_weight("ring", (3, self.units), "bias", self.initial_ring)

    def initial_ring(self, shape, dtype=None):
        seed = keras.random.SeedGenerator(self.seed)
        area = keras.random.uniform(shape[1:], self.smallest**2, self.largest**2, dtype=dtype, seed=seed)
        phase = keras.random.uniform(shape[1:], 1e-3, self.largest_phase, dtype=dtype, seed=seed)
        return ops.stack([ops.log(-ops.log(area) / 2), ops.log(phase), ops.log(1 - area) / 2])

    def project(self, inputs):
        x = product(inputs, self.kernel)
        return x if self.bias is None else x + ops.pad(self.bias.value, [[2 * self.units, 0]])

    def coefficients(self, x):
        real, imaginary, _ = self.split(x)
        nu, theta, gamma = (ops.exp(self.ring[k]) for k in range(3))
        size, everywhere = ops.exp(-nu), ops.ones_like(real)
        a = size * ops.cos(theta) * everywhere, size * ops.sin(theta) * everywhere
        return a, (gamma * real, gamma * imaginary)

    def output(self, x, c, recur):
        real, imaginary = c
        return recur(ops.concatenate([real, -imaginary], axis=-1), "output_kernel") + self.split(x)[2]

    def get_config(self):
        config = {name: getattr(self, name) for name in ("smallest", "largest", "largest_phase")}
        return {**super().get_config(), **config}
