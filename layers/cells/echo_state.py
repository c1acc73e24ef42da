"""The echo state network's reservoir."""

import keras
import numpy as np
from keras import ops

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class EchoStateCell(Cell):
    r"""Echo state network: a reservoir of fixed random units that echo the inputs; only a readout is fitted.

        x_t = (1 - α) x_{t-1} + α tanh(W_in u_t + W x_{t-1} + b)

    Source: H. Jaeger, "The echo state approach to analysing and training recurrent neural networks", GMD Report 148,
    2001, equation 1.1; the leak α: section 1.4 there and H. Jaeger et al., 2007. W is sparse and scaled to a spectral
    radius under 1, so that states are echoes of the inputs and forget their initial value. The readout: `RidgeReadout`,
    fitted in closed form.

    Weights, none of them trainable: `kernel` W_in `(features, units)`, uniform in [-1, 1] times `input_scale`;
    `recurrent_kernel` W `(units, units)`; `bias` `(units,)`.

    Args: those of `Cell`; `recurrent_activation` is not used; and
        spectral_radius: The largest absolute eigenvalue of W, a positive number.
        leak: α, in [0, 1].
        density: Share of W that is not zero, in [0, 1].
        input_scale: Largest absolute value in W_in, a positive number.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[x]`, `(batch, units)`.

    Returns:
        `(x, [x])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if an argument is out of its range.

    Example:

    >>> from layers import EchoStateCell, Recurrent
    >>> tuple(Recurrent(EchoStateCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    carry = ("reservoir",)

    def __init__(
        self,
        units,
        spectral_radius=0.9,
        leak=1.0,
        density=0.1,
        input_scale=0.5,
        kernel_initializer=None,
        recurrent_initializer=None,
        seed=None,
        **kwargs,
    ):
        super().__init__(units, seed=seed, **kwargs)
        self.spectral_radius = self.within("spectral_radius", spectral_radius, 0)
        self.leak = self.within("leak", leak, 0, 1, closed=True)
        self.density = self.within("density", density, 0, 1, closed=True)
        self.input_scale = self.within("input_scale", input_scale, 0)
        uniform = keras.initializers.RandomUniform(-input_scale, input_scale, seed=seed)
        reservoir = Reservoir(spectral_radius, density, seed)
        self.kernel_initializer = keras.initializers.get(kernel_initializer or uniform)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer or reservoir)

    def new_weight(self, *arguments, **options):
        return super().new_weight(*arguments, **options, trainable=False)

    def step(self, x, carry, recur):
        (state,) = carry
        state = (1 - self.leak) * state + self.leak * self.update(self.activation(x + recur(state)))
        return state, (state,)

    def get_config(self):
        config = {name: getattr(self, name) for name in ("spectral_radius", "leak", "density", "input_scale")}
        return {**super().get_config(), **config}


@keras.saving.register_keras_serializable(package="layers")
class Reservoir(keras.initializers.Initializer):
    """A sparse random square matrix, scaled to a spectral radius.

    Args:
        spectral_radius: The largest absolute eigenvalue, a positive number.
        density: Share of entries that are not zero, in [0, 1]; every row keeps one at least.
        seed: An integer or None.
    """

    def __init__(self, spectral_radius=0.9, density=0.1, seed=None):
        self.spectral_radius, self.density, self.seed = spectral_radius, density, seed

    def __call__(self, shape, dtype=None):
        units, columns = shape
        if units != columns:
            raise ValueError(f"Reservoir: the matrix must be square. Received: shape={tuple(shape)}.")
        rng = np.random.default_rng(int(keras.random.randint((), 0, 2**31 - 1, seed=self.seed)))
        matrix = rng.uniform(-1, 1, shape) * (rng.random(shape) < self.density)
        rows = np.arange(units)
        matrix[rows, rng.permutation(units)] = rng.uniform(0.5, 1, units)  # a permutation: never nilpotent
        radius = np.abs(np.linalg.eigvals(matrix)).max()
        return ops.convert_to_tensor(matrix * (self.spectral_radius / radius), dtype=dtype)

    def get_config(self):
        return {"spectral_radius": self.spectral_radius, "density": self.density, "seed": self.seed}
