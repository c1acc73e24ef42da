"""Naive Bayes over a text's words and word pairs, without their order, with learnt weights."""

import keras
import numpy as np
from keras import ops

from layers import arguments
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class NaiveBayesBag(Extensible, keras.layers.Layer):
    """Logits of the classes from the distinct words and pairs of neighbours in a text.

        r_f,c = log p(f | c) - mean over the classes k of log p(f | k)
        z_c   = b_c + Σ_f r_f,c (β + γ w_f) / √T

    f runs over the distinct words and pairs; T is the number of words. `adapt` counts the ratios r; w, which starts at
    0, and b are learnt.

    Source: S. Wang and C. Manning, "Baselines and Bigrams: Simple, Good Sentiment and Topic Classification", 2012,
    section 2: r is equation 2, β + γ w their interpolation between naive Bayes and a discriminative model (section
    2.3). Departures: more than two classes; logistic loss, for any optimizer; the sum is divided by √T, so that answers
    to long texts are not overconfident; pairs share ratios by hashing.

    Args:
        words: Number of word ids, a positive integer.
        classes: Number of classes, 2 or more.
        pairs: Number of ratios that pairs share, a positive integer.
        smoothing: Added to each count, a positive number: α of the source.

    Call arguments:
        word_ids: `(batch, timesteps)` integers in [0, words); 0 is padding.

    Returns:
        `(batch, classes)`.

    Raises:
        ValueError: if an argument is out of range.

    Example:

    >>> layer = NaiveBayesBag(words=9, classes=2)
    >>> layer.adapt([(np.array([[3, 4], [5, 0]]), np.array([0, 1]))])
    >>> ops.convert_to_numpy(layer(np.array([[3, 4, 0], [5, 7, 8]]))).argmax(axis=1).tolist()
    [0, 1]
    """

    BASE = 0.3  # β
    PACE = 10.0  # γ: scales the optimizer's steps, which are too small for the weights of rare features

    def __init__(self, words, classes, pairs=2**18, smoothing=1.0, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # ids may come as floats, which 16 bits would round
        for name, value, least in (("words", words, 1), ("classes", classes, 2), ("pairs", pairs, 1)):
            setattr(self, name, arguments.positive("NaiveBayesBag", name, value, least=least))
        if not smoothing > 0:
            raise ValueError(f"NaiveBayesBag: `smoothing` must be a positive number. Received: {smoothing!r}.")
        self.smoothing = smoothing

    def build(self, word_ids_shape=None):
        features = self.words + self.pairs
        own = {"initializer": "zeros", "autocast": False}  # sums over many words leave the range of float16
        self.ratios = self.add_weight(name="ratios", shape=(features, self.classes), trainable=False, **own)
        self.weights_of_features = self.add_weight(name="features", shape=(features,), **own)
        self.bias = self.add_weight(name="bias", shape=(self.classes,), **own)

    def adapt(self, batches):
        """Computes the ratios, and the bias from the classes' shares.

        Args:
            batches: Iterable of (word ids `(batch, timesteps)`, classes `(batch,)`); texts with a negative class are
                ignored.
        """
        if not self.built:
            self.build()
        counts = np.full((self.classes, self.words + self.pairs), self.smoothing)
        texts = np.full(self.classes, self.smoothing)
        for word_ids, target in batches:
            target = np.asarray(target)
            features = ops.convert_to_numpy(self.features(word_ids))[target >= 0]
            target = target[target >= 0]
            np.add.at(counts, (target[:, None], features), 1)
            np.add.at(texts, target, 1)
        seen = counts.sum(axis=0) > self.classes * self.smoothing
        seen[0] = False
        log_p = np.log(counts / counts[:, seen].sum(axis=1, keepdims=True))
        ratios = np.where(seen, log_p - log_p.mean(axis=0), 0)
        self.ratios.assign(ratios.T.astype("float32"))
        self.bias.assign((np.log(texts) - np.log(texts).mean()).astype("float32"))

    def features(self, word_ids):
        """Ids of the distinct words and pairs of each text, `(batch, 2 * timesteps)`; 0 where there is none."""
        word_ids = ops.cast(word_ids, "int32")
        first, second = word_ids[:, :-1], word_ids[:, 1:]
        pairs = ops.mod(first * 31_337 + second, self.pairs) + self.words
        found = ops.concatenate([word_ids, ops.where(second == 0, 0, pairs)], axis=1)
        found = ops.sort(ops.pad(found, [[0, 0], [1, 0]]), axis=1)
        return ops.where(found[:, 1:] == found[:, :-1], 0, found[:, 1:])

    def call(self, word_ids):
        features = self.features(word_ids)
        ratios = ops.take(self.ratios, features, axis=0)  # (batch, features, classes)
        sharpened = self.BASE + self.PACE * ops.take(self.weights_of_features, features, axis=0)
        length = ops.sum(ops.cast(word_ids != 0, ratios.dtype), axis=1, keepdims=True)
        total = ops.sum(ratios * ops.expand_dims(sharpened, -1), axis=1)
        logits = total / ops.sqrt(ops.maximum(length, 1)) + self.bias
        return ops.cast(logits, self.compute_dtype)

    def compute_output_shape(self, word_ids_shape):
        return (word_ids_shape[0], self.classes)

    def get_config(self):
        names = ("words", "classes", "pairs", "smoothing")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
