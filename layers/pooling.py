"""Pooling of a sequence, without its padding, into one vector; and word dropout."""

import math

import keras
from keras import ops

from layers.masked import lowest
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class Pooling(Extensible, keras.layers.Layer):
    """A sequence as one vector: the mean, the largest value, or a learnt weighted mean of its timesteps.

    Args:
        how: "mean", "max", "mean-max" (both, side by side) or "attention": weights softmax(v · tanh(W h_t)) over the
            real timesteps (Z. Yang et al., "Hierarchical Attention Networks for Document Classification", 2016,
            equations 5 to 7).

    Call arguments:
        sequence: `(batch, timesteps, features)`.
        mask: `(batch, timesteps)` booleans, False where there is padding; every row needs a real timestep.

    Returns:
        `(batch, features)`, or `(batch, 2 * features)` for "mean-max".

    Raises:
        ValueError: if `how` is none of these.

    Example:

    >>> tuple(Pooling("mean-max")(np.ones((2, 5, 3))).shape)
    (2, 6)
    """

    KINDS = ("mean", "max", "mean-max", "attention")

    def __init__(self, how="mean-max", **kwargs):
        super().__init__(**kwargs)
        if how not in self.KINDS:
            raise ValueError(f"Pooling: `how` must be one of {', '.join(self.KINDS)}. Received: how={how!r}.")
        self.how = how
        self.supports_masking = True

    def build(self, sequence_shape):
        if self.how == "attention":
            features = sequence_shape[-1]
            self.kernel = self.add_weight(name="kernel", shape=(features, features), initializer="glorot_uniform")
            self.query = self.add_weight(name="query", shape=(features, 1), initializer="glorot_uniform")

    def call(self, sequence, mask=None):
        padded = mask is not None
        if mask is None:
            mask = ops.ones(ops.shape(sequence)[:2], dtype="bool")
        dtype = keras.backend.result_type(sequence.dtype, float)  # of integers too the mean is no integer
        # Sums over many timesteps leave the range of float16.
        sequence = ops.cast(sequence, keras.backend.result_type(dtype, "float32"))
        real = ops.expand_dims(ops.cast(mask, sequence.dtype), -1)  # (batch, timesteps, 1)
        if padded:  # 0 times NaN at padding would be NaN
            sequence = ops.where(real > 0, sequence, ops.cast(0, sequence.dtype))
        least = lowest(sequence)
        pooled = []
        if self.how in ("mean", "mean-max"):
            pooled.append(ops.sum(sequence * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1))
        if self.how in ("max", "mean-max"):
            pooled.append(ops.max(ops.where(real > 0, sequence, least), axis=1, initial=-math.inf))
        if self.how == "attention":
            scores = ops.matmul(ops.tanh(ops.matmul(sequence, self.kernel)), self.query)
            weights = ops.softmax(ops.where(real > 0, scores, least), axis=1)
            pooled.append(ops.sum(weights * sequence, axis=1))
        return ops.cast(pooled[0] if len(pooled) == 1 else ops.concatenate(pooled, axis=-1), dtype)

    def compute_mask(self, inputs, mask=None):
        return None

    def compute_output_shape(self, sequence_shape):
        return (sequence_shape[0], sequence_shape[-1] * (2 if self.how == "mean-max" else 1))

    def get_config(self):
        return {**super().get_config(), "how": self.how}


@keras.saving.register_keras_serializable(package="layers")
class WordDropout(Extensible, keras.layers.Layer):
    """Replaces words by the unknown word in training, so that no single word decides and the unknown word is trained.

    Source: M. Iyyer et al., "Deep Unordered Composition Rivals Syntactic Methods for Text Classification", 2015,
    section 3. Departure: the paper drops words, here their places are kept.

    Args:
        rate: Share of the words replaced, in [0, 1).
        unknown: Id of the unknown word; 0 is padding and stays.
        seed: An integer or None.

    Call arguments:
        word_ids: `(batch, timesteps)` integers.
        training: Whether words are replaced.

    Returns:
        As `word_ids`.

    Raises:
        ValueError: if `rate` is outside [0, 1).

    Example:

    >>> WordDropout(0.5)(np.array([[3, 4, 0]])).shape == (1, 3)
    True
    """

    def __init__(self, rate, unknown=1, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # ids may come as floats, which 16 bits would round
        if not 0 <= rate < 1:
            raise ValueError(f"WordDropout: `rate` must be in [0, 1). Received: rate={rate!r}.")
        self.rate, self.unknown, self.seed = rate, unknown, seed
        self.seed_generator = keras.random.SeedGenerator(seed)
        self.supports_masking = True

    def call(self, word_ids, training=False):
        if not training or not self.rate:
            return word_ids
        drawn = keras.random.uniform(ops.shape(word_ids), dtype="float32", seed=self.seed_generator)
        replaced = ops.logical_and(drawn < self.rate, word_ids != 0)
        return ops.where(replaced, ops.cast(self.unknown, word_ids.dtype), word_ids)

    def compute_output_spec(self, word_ids, training=False):
        return keras.KerasTensor(word_ids.shape, word_ids.dtype)

    def get_config(self):
        return {**super().get_config(), "rate": self.rate, "unknown": self.unknown, "seed": self.seed}
