"""Self-critical training: a network that writes is rewarded for what is better than its other answers."""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from data.examples import NO_TARGET


class SelfCritical(keras.Model):
    r"""A model that `fit` trains on a reward, which need not have a gradient, instead of on the targets' likelihood.

        ∇ loss = -Σ_k (r(w_k) - b_k) ∇ log p(w_k)        w_1 ... w_K: drawn from p
        b_k = 1 / (K - 1) Σ_{j ≠ k} r(w_j)               the baseline; where K = 1, r(ŵ) of the greedy answer ŵ

    The loss is divided by the number of tokens drawn. Dropout is off where answers are drawn, and on where their p is
    computed. The metric `reward` is the mean reward of the drawn answers in training, and of the greedy answers in
    validation. Build the network without label smoothing for this stage.

    Source: S. Rennie et al., "Self-critical Sequence Training for Image Captioning", 2017, arXiv:1612.00563, equations
    7 to 9, where the greedy answer is the baseline; that of the other answers: R. Luo, "A Better Variant of
    Self-Critical Sequence Training", 2020, arXiv:2003.09971, equation 4.

    Args:
        inputs: The inputs of a functional model, `[features, targets]`; targets are `(batch, several, timesteps)`
            tokens, padded with negative numbers.
        outputs: The scores that a `layers.Decoder` returns for the targets.
        draw: Maps features, and a `keras.random.SeedGenerator` as `seed`, to tokens drawn at random, `(batch, several,
            timesteps)`, with `several` in the static shape; graph operations only.
        write: Maps features to the greedy answers, `(batch, timesteps)`; graph operations only.
        reward: Maps NumPy arrays of tokens `(n, timesteps)` and of the targets `(n, several, timesteps)` to `(n,)`.
        seed: An integer or None.
    """

    def __init__(self, inputs, outputs, draw, write, reward, seed=None, **kwargs):
        super().__init__(inputs=inputs, outputs=outputs, **kwargs)
        self.draw, self.write, self.reward = draw, write, reward
        self.generator = keras.random.SeedGenerator(seed)
        self.mean_reward = keras.metrics.Mean("reward")

    def train_step(self, data):
        (features, references), *_ = keras.utils.unpack_x_y_sample_weight(data)
        drawn = tf.stop_gradient(self.draw(features, seed=self.generator))
        several = drawn.shape[1]
        flat = tf.reshape(drawn, [-1, tf.shape(drawn)[-1]])
        rewards = tf.reshape(self.rewards(flat, tf.repeat(references, several, axis=0)), [-1, several])
        if several > 1:
            baseline = (tf.reduce_sum(rewards, axis=1, keepdims=True) - rewards) / (several - 1)
        else:
            baseline = self.rewards(self.write(features), references)[:, None]
        with tf.GradientTape() as tape:
            scores = self((features, drawn), training=True)
            loss = self.compute_loss(None, drawn, scores, sample_weight=rewards - baseline)
            scaled = self.optimizer.scale_loss(loss)
        self.optimizer.apply(tape.gradient(scaled, self.trainable_variables), self.trainable_variables)
        self.mean_reward.update_state(rewards)
        return self.get_metrics_result()

    def get_metrics_result(self):
        """The reward alone: the loss of a step is no likelihood, and must not be seen beside that of validation."""
        return {"reward": self.mean_reward.result()}

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        features, references = x
        self.mean_reward.update_state(self.rewards(self.write(features), references))
        return self.get_metrics_result()

    def rewards(self, tokens, references):
        """`(n, timesteps)` tokens and `(n, several, timesteps)` targets to `(n,)` float32."""
        given = [ops.cast(tokens, "int64"), ops.cast(references, "int64")]
        found = tf.numpy_function(lambda *arrays: self.reward(*arrays).astype(np.float32), given, tf.float32)
        return tf.ensure_shape(found, [None])


def as_targets(found, end):
    """Tokens of `layers.decode.Decoded` as targets: `end` after the last unless the sequence was cut, then padding.

    Returns:
        `(rows, timesteps)` of the best sequence of each row.
    """
    tokens, length = found.tokens[:, 0], found.lengths[:, 0, None]
    place = tf.range(tf.shape(tokens)[1])
    return tf.where(place < length, tokens, tf.where(place == length, end, NO_TARGET))
