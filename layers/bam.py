"""Kosko's bidirectional associative memory."""

import keras
import numpy as np
from keras import ops

from layers import arguments
from layers.hopfield import bipolar, signs
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class BidirectionalAssociativeMemory(Extensible, keras.layers.Layer):
    r"""Bidirectional associative memory: pairs of patterns, either of which recalls the other.

        M = Σ_k x_k^T y_k            the stored pairs
        y <- sign(x M)               where the sum is 0, a unit stays as it is
        x <- sign(y M^T)
        E(x, y) = -x M y^T           never rises; every M has such fixed points

    Source: B. Kosko, "Bidirectional Associative Memories", IEEE Transactions on Systems, Man, and Cybernetics 18(1),
    1988, sections III and IV. Departure: units are -1 and 1 from the beginning; a side that is not given begins at 0,
    which stands for an unknown value.

    Args:
        features: Width of x, a positive integer.
        units: Width of y, a positive integer. Recall is unreliable from about min(features, units) pairs on.
        passes: Most passes to and fro, a positive integer.

    Call arguments:
        inputs: x, `(batch, features)`, of -1 and 1, or 0 for what is not known; with `backwards` y, `(batch, units)`.
        backwards: Whether y is given and x recalled.

    Returns:
        `(x, y)` at the fixed point, `(batch, features)` and `(batch, units)`. They have no gradient.

    Raises:
        ValueError: if a width is not a positive integer, the inputs have another one, or `store` gets other than pairs
            of -1 and 1.

    Example:

    >>> from layers import BidirectionalAssociativeMemory
    >>> memory = BidirectionalAssociativeMemory(6, 2)
    >>> memory.store([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]], [[1, 1], [1, -1]])
    >>> _, y = memory(np.array([[1, 1, 0, -1, -1, 0]]))
    >>> x, _ = memory(np.array([[1, -1]]), backwards=True)
    >>> ops.convert_to_numpy(y).astype(int).tolist(), ops.convert_to_numpy(x).astype(int).tolist()
    ([[1, 1]], [[1, -1, 1, -1, 1, -1]])
    """

    def __init__(self, features, units, passes=100, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("features", features), ("units", units), ("passes", passes)):
            setattr(self, name, arguments.positive("BidirectionalAssociativeMemory", name, value))

    def build(self, inputs_shape=None):
        # Sums and products of 16 bits could turn a sign.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.features, self.units),
            dtype=keras.backend.result_type(self.variable_dtype, "float32"),
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def store(self, x, y):
        """Adds pairs to those that are stored.

        Args:
            x: `(pairs, features)` of -1 and 1.
            y: `(pairs, units)` of -1 and 1.
        """
        owner = "BidirectionalAssociativeMemory"
        x, y = bipolar(owner, "x", x, self.features), bipolar(owner, "y", y, self.units)
        if len(x) != len(y):
            raise ValueError(f"{owner}: `x` and `y` must be as many. Received: {len(x)} of x, {len(y)} of y.")
        if not self.built:
            self.build()
            self.built = True
        self.kernel.assign(np.asarray(ops.convert_to_numpy(self.kernel), "float64") + x.T @ y)

    def energy(self, x, y):
        """E of each pair: `(batch, features)` and `(batch, units)` -> `(batch,)`."""
        x, y = (ops.cast(side, self.kernel.dtype) for side in (x, y))
        return -ops.sum(ops.matmul(x, self.kernel) * y, axis=-1)

    def call(self, inputs, backwards=False):
        width = self.units if backwards else self.features
        if inputs.shape[-1] != width:
            raise ValueError(
                f"BidirectionalAssociativeMemory: `inputs` must be (batch, {width}). "
                f"Received: inputs.shape={tuple(inputs.shape)}."
            )
        kernel = ops.stop_gradient(self.kernel.value)
        kernel = ops.transpose(kernel) if backwards else kernel
        given = ops.stop_gradient(ops.cast(inputs, kernel.dtype))
        other = ops.zeros((ops.shape(given)[0], kernel.shape[1]), kernel.dtype)

        def there_and_back(given, other, moved, step):
            there = signs(ops.matmul(given, kernel), other)
            back = signs(ops.matmul(there, ops.transpose(kernel)), given)
            return back, there, ops.logical_or(ops.any(back != given), ops.any(there != other)), step + 1

        going_on = lambda given, other, moved, step: ops.logical_and(moved, step < self.passes)
        begin = (given, other, ops.ones((), "bool"), ops.zeros((), "int32"))
        given, other, *_ = ops.while_loop(going_on, there_and_back, begin)
        pair = (other, given) if backwards else (given, other)
        return tuple(ops.cast(side, self.compute_dtype) for side in pair)

    def get_config(self):
        names = ("features", "units", "passes")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
