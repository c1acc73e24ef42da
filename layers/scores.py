"""How good a network finds a sequence of tokens: their log probabilities, and the loss and the metric made of these."""

import math

import keras
from keras import ops

from layers import arguments
from layers.backend import backend

SCORES = ("log_p", "mean_log_p", "right")


def token_scores(parts, kernel, bias):
    r"""What the loss and the metric need of logits.

        logits_v = kernel_v · hidden + bias_v
        log p_v = logits_v - log Σ_v' exp(logits_v')

    Logits of a large vocabulary are the largest tensor of a training step. What is kept of them is p, and what they get
    as a gradient is never written down: products take p to the hidden layer and to the kernel.

    Args:
        parts: List of `(hidden (batch, timesteps, width), tokens (batch, timesteps))`, each for some of the sentences;
            tokens are integers in [0, vocabulary).
        kernel: `(vocabulary, width)`.
        bias: `(vocabulary,)`.

    Returns:
        float32 `(batch, timesteps, 3)`, of all parts: of each token log p (nats); the mean of log p over the
        vocabulary; and 1 where no token is more probable, else 0, which has no gradient.
    """
    middle = ops.mean(kernel, axis=0), ops.mean(bias)  # the mean of all logits is the logit of the mean
    return ops.concatenate([_part_scores(hidden, tokens, kernel, bias, *middle) for hidden, tokens in parts])


def _part_scores(hidden, tokens, kernel, bias, mean_kernel, mean_bias):
    rows = ops.reshape(hidden, (-1, hidden.shape[-1]))
    places = ops.cast(ops.reshape(tokens, (-1,)), "float32")  # JAX wants gradients of floats
    logit, normalizer, right = backend.with_gradient(_scored, _gradient, True, [rows, kernel, bias, places])
    mean = ops.cast(ops.matmul(rows, mean_kernel) + mean_bias, "float32")
    scores = ops.stack([logit - normalizer, mean - normalizer, right], axis=-1)
    return ops.reshape(scores, (*ops.shape(hidden)[:-1], len(SCORES)))


def _scored(keep, arguments):
    """Of each row the token's logit, log Σ exp(logits), and whether no logit is larger; kept is p."""
    hidden, kernel, bias, tokens = arguments
    logits = ops.cast(ops.matmul(hidden, ops.transpose(kernel)) + bias, "float32")
    p = ops.softmax(logits)
    largest = ops.max(logits, axis=-1, initial=-math.inf)  # of no rows too
    normalizer = largest - ops.log(ops.max(p, axis=-1, initial=0))
    places = ops.cast(ops.expand_dims(tokens, -1), "int32")
    logit = ops.squeeze(ops.take_along_axis(logits, places, axis=-1), -1)
    return [logit, normalizer, ops.cast(logit >= largest, "float32")], [p]


def _gradient(arguments, kept, gradients):
    hidden, kernel, bias, tokens = arguments
    d_logit, d_normalizer, _ = (ops.expand_dims(ops.cast(d, hidden.dtype), -1) for d in gradients)
    p = ops.cast(kept[0], hidden.dtype)
    by_token = ops.transpose(p)
    d_bias = ops.squeeze(ops.matmul(by_token, d_normalizer), -1)
    places = ops.cast(ops.expand_dims(tokens, -1), "int32")
    return [
        d_normalizer * ops.matmul(p, kernel) + d_logit * ops.take(kernel, ops.squeeze(places, -1), axis=0),
        ops.scatter_update(ops.matmul(by_token, d_normalizer * hidden), places, d_logit * hidden, reduction="add"),
        ops.scatter_update(d_bias, places, ops.squeeze(d_logit, -1), reduction="add"),
        ops.zeros_like(tokens),
    ]


@keras.saving.register_keras_serializable(package="layers")
class TokenCrossentropy(keras.losses.Loss):
    r"""Cross-entropy, averaged over the tokens of a batch that are real.

        -(1 - ε) log p(y) - ε / V Σ_v log p(v)

    Source: C. Szegedy et al., 2016, arXiv:1512.00567, section 7 (label smoothing).

    Args:
        smoothing: ε, the share of the target spread over all V tokens, in [0, 1).

    Call arguments:
        targets: `(batch, timesteps)` tokens; negative ones are padding.
        scores: `(batch, timesteps, 3)`, what a `Decoder` gives.
        sample_weight: What the loss is multiplied by, `(batch,)` or, for each token, `(batch, timesteps)`.

    Returns:
        A scalar, in nats a token: of all real tokens, whatever their weights, as Keras's losses.

    Raises:
        ValueError: if `smoothing` is outside [0, 1), or the scores are something else.
    """

    def __init__(self, smoothing=0.0, name="token_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smoothing = arguments.within("TokenCrossentropy", "smoothing", smoothing, 0, 1)

    def __call__(self, targets, scores, sample_weight=None):
        log_p, mean_log_p, _ = parts_of(scores, "TokenCrossentropy")
        loss = (self.smoothing - 1) * log_p - self.smoothing * mean_log_p
        real = real_tokens(targets)
        return ops.sum(loss * weighted(real, sample_weight)) / ops.maximum(ops.sum(real), 1.0)

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


@keras.saving.register_keras_serializable(package="layers")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the real tokens that are the most probable ones, in [0, 1]; called as `TokenCrossentropy` is."""

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, targets, scores, sample_weight=None):
        _, _, right = parts_of(scores, "TokenAccuracy")
        super().update_state(right, sample_weight=weighted(real_tokens(targets), sample_weight))


def real_tokens(targets):
    """`(batch, timesteps)`: 1, and 0 at padding."""
    return ops.cast(ops.convert_to_tensor(targets) >= 0, "float32")


def weighted(real, sample_weight):
    """The same times what the user said of sentences or of tokens, if anything."""
    if sample_weight is None:
        return real
    weights = ops.cast(sample_weight, "float32")
    return real * (ops.expand_dims(weights, -1) if len(weights.shape) == 1 else weights)


def parts_of(scores, name):
    scores = ops.convert_to_tensor(scores)
    if scores.shape[-1] != len(SCORES):
        raise ValueError(
            f"{name}: expected the scores (batch, timesteps, {len(SCORES)}) that a Decoder gives when called without "
            f"logits=True. Received: shape {tuple(scores.shape)}."
        )
    return [scores[..., place] for place in range(len(SCORES))]
