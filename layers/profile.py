"""How often each of many terms occurs in a sequence, without their order."""

import keras
import numpy as np
from keras import ops

from layers import arguments
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class TermProfile(Extensible, keras.layers.Layer):
    """The weighted log counts of terms, as a vector of length 1.

        v_g = (1 + log(count of g)) · idf_g where g occurs, else 0;    p = v / |v|
        idf_g = 1 + log((1 + N) / (1 + N_g))

    N sequences were given to `adapt`, N_g of them with g; before `adapt` each idf is 1. Terms may be words, or k-mers
    of several lengths, each length with numbers of its own.

    Source: G. Salton and C. Buckley, "Term-weighting Approaches in Automatic Text Retrieval", 1988, table 1.
    Departure: the idf is never 0.

    Args:
        sizes: List of positive integers: how many numbers each kind of terms has.
        ignored: Numbers below this one are not counted, such as 0 for padding.

    Call arguments:
        numbers: List of `(batch, timesteps)` integers in [0, size), one for each of `sizes`; the timesteps may differ,
            also be none.

    Returns:
        `(batch, features)`, with a feature for each number that is not ignored, of each kind.

    Raises:
        ValueError: if `sizes` or `ignored` is out of range.

    Example:

    >>> profile = TermProfile([4], ignored=1)([np.array([[1, 3, 3, 0]])])
    >>> (100 * ops.convert_to_numpy(profile) ** 2).round().tolist()  # shares of 1, 0 and 1 + log(2)
    [[26.0, 0.0, 74.0]]
    """

    def __init__(self, sizes, ignored=1, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # ids may come as floats, which 16 bits would round
        self.ignored = arguments.positive("TermProfile", "ignored", ignored, least=0)
        if not sizes:
            raise ValueError(f"TermProfile: `sizes` must be one or more integers. Received: sizes={sizes!r}.")
        self.sizes = [arguments.positive("TermProfile", "sizes", size, least=self.ignored + 1) for size in sizes]
        self.features = sum(self.sizes) - len(self.sizes) * self.ignored

    def build(self, shapes=None):
        self.idf = self.add_weight(name="idf", shape=(self.features,), initializer="ones", trainable=False)

    def adapt(self, batches):
        """Sets idf from an iterable of call arguments."""
        if not self.built:
            self.build()
            self.built = True
        sequences, having = 0, np.zeros(self.features)
        for numbers in batches:
            counts = ops.convert_to_numpy(self.counts(numbers))
            sequences += len(counts)
            having += (counts > 0).sum(axis=0)
        self.idf.assign(1 + np.log((1 + sequences) / (1 + having)))

    def counts(self, numbers):
        """`(batch, features)` integers: how often each term occurs."""
        found = []
        for some, size in zip(numbers, self.sizes, strict=True):
            some = ops.pad(ops.cast(some, "int32"), [[0, 0], [0, 1]])  # so that there is a timestep
            found.append(ops.bincount(some, minlength=size)[:, self.ignored : size])
        return ops.cast(ops.concatenate(found, axis=1), "int32")

    def call(self, numbers):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")  # sums of squares leave the range of float16
        counts = ops.cast(self.counts(numbers), dtype)
        v = ops.where(counts > 0, 1 + ops.log(ops.maximum(counts, 1)), 0) * ops.cast(self.idf, dtype)
        length = ops.sqrt(ops.sum(ops.square(v), axis=1, keepdims=True))
        return ops.cast(v / ops.maximum(length, 1e-6), self.compute_dtype)

    def compute_output_shape(self, shapes):
        return (shapes[0][0], self.features)
