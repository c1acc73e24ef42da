"""The modern Hopfield network, with continuous states."""

import keras
import numpy as np
from keras import ops

from layers import arguments
from layers.masked import lowest
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class ModernHopfield(Extensible, keras.layers.Layer):
    r"""Modern Hopfield network: a state moves to a mean of the stored patterns, weighted by how near they are.

        ξ <- X softmax(β X^T ξ)
        E(ξ) = -lse(β, X^T ξ) + 1/2 ξ^T ξ + (log N) / β + M^2 / 2,    lse(β, z) = log(Σ_i exp(β z_i)) / β

    X has the N stored patterns as columns, and M is the largest norm of a pattern. E never rises and is not negative.
    One update is attention over the patterns, which are keys and values at once; with well separated patterns it
    recalls one with an error that is exponentially small.

    Source: H. Ramsauer et al., "Hopfield Networks is All You Need", 2020, arXiv:2008.02217, equations 1 to 3 and
    theorem 4.

    Args:
        features: Width of a pattern, a positive integer.
        capacity: Most patterns that it can store, a positive integer.
        beta: β, a positive number: large recalls single patterns, small means of several; None: 1 / sqrt(features).
        steps: Number of updates, a positive integer.

    Call arguments:
        inputs: ξ, `(..., features)`.

    Returns:
        `(..., features)`; before any pattern is stored the inputs. Gradients pass to the inputs.

    Raises:
        ValueError: if an argument is out of its range, or `store` gets patterns of another width or too many.

    Example:

    >>> from layers import ModernHopfield
    >>> memory = ModernHopfield(features=3, capacity=10, beta=8.0)
    >>> memory.store([[1.0, 0.0, 0.0], [0.0, 1.0, 0.5]])
    >>> np.round(ops.convert_to_numpy(memory(np.array([[0.1, 0.8, 0.4]]))), 2).tolist()
    [[0.0, 1.0, 0.5]]
    """

    def __init__(self, features, capacity, beta=None, steps=1, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("features", features), ("capacity", capacity), ("steps", steps)):
            setattr(self, name, arguments.positive("ModernHopfield", name, value))
        if beta is not None and (isinstance(beta, bool) or not 0 < beta < float("inf")):
            raise ValueError(f"ModernHopfield: `beta` must be a positive number or None. Received: beta={beta!r}.")
        self.beta = beta

    def build(self, inputs_shape=None):
        fixed = {"initializer": "zeros", "trainable": False}
        self.patterns = self.add_weight(name="patterns", shape=(self.capacity, self.features), **fixed)
        self.count = self.add_weight(name="count", shape=(), dtype="int32", **fixed)

    def store(self, patterns):
        """Adds patterns to those that are stored.

        Args:
            patterns: `(patterns, features)`.
        """
        if not self.built:
            self.build()
            self.built = True
        patterns, count = np.asarray(ops.convert_to_numpy(patterns)), int(self.count)
        free = self.capacity - count
        if patterns.ndim != 2 or patterns.shape[1] != self.features or len(patterns) > free:
            raise ValueError(
                f"ModernHopfield: `patterns` must be (patterns, {self.features}), {free} at most, since {count} of "
                f"{self.capacity} are stored. Received: patterns.shape={patterns.shape}."
            )
        held = np.array(ops.convert_to_numpy(self.patterns))
        held[count : count + len(patterns)] = patterns
        self.patterns.assign(held)
        self.count.assign(count + len(patterns))

    @property
    def inverse_temperature(self):
        """β, a number."""
        return self.features**-0.5 if self.beta is None else float(self.beta)

    def _scores(self, states):
        """β X^T ξ, `(..., capacity)`; the lowest number where no pattern is stored."""
        dtype = keras.backend.result_type(states.dtype, "float32")  # scores leave the range of float16
        patterns = ops.cast(self.patterns, dtype)
        scores = self.inverse_temperature * ops.matmul(ops.cast(states, dtype), ops.transpose(patterns))
        stored = ops.arange(self.capacity) < self.count
        return ops.where(stored, scores, lowest(scores))

    def energy(self, states):
        """E of each state, `(..., features)` -> `(...)`; patterns must be stored."""
        dtype, beta = keras.backend.result_type(self.compute_dtype, "float32"), self.inverse_temperature
        states, patterns = (ops.cast(part, dtype) for part in (states, self.patterns))  # squares leave float16's range
        largest = ops.max(ops.sum(patterns**2, axis=1))
        offset = ops.log(ops.cast(self.count, states.dtype)) / beta + largest / 2
        return offset - ops.logsumexp(self._scores(states), axis=-1) / beta + ops.sum(states**2, axis=-1) / 2

    def call(self, inputs):
        if inputs.shape[-1] != self.features:
            raise ValueError(
                f"ModernHopfield: `inputs` must be (..., {self.features}). "
                f"Received: inputs.shape={tuple(inputs.shape)}."
            )
        states = inputs
        for _ in range(self.steps):
            weights = ops.softmax(self._scores(states), axis=-1)
            states = ops.matmul(ops.cast(weights, self.compute_dtype), self.patterns)
        return ops.where(self.count > 0, states, inputs)

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        names = ("features", "capacity", "beta", "steps")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
