"""Log probabilities of the tokens of a sequence, and the loss and the metric that are made of them."""

import math

import keras
from keras import ops

from layers import arguments
from layers.backend import backend

SCORES = ("log_p", "mean_log_p", "right", "token")
MOST_TOKENS = 2**24  # float32 holds each integer below this


def token_scores(parts, kernel, bias):
    r"""Log probabilities of tokens, for the loss and the metric.

        logits_v = kernel_v · hidden + bias_v
        log p_v = logits_v - log Σ_v' exp(logits_v')

    Logits of a large vocabulary are the largest tensor of a training step. Only p is kept of them, and their gradient
    is never stored: products of p give those of the hidden layer and the kernel.

    Args:
        parts: List of `(hidden (batch, timesteps, width), tokens (batch, timesteps))`, each for some of the sentences;
            tokens are integers in [0, vocabulary).
        kernel: `(vocabulary, width)`.
        bias: `(vocabulary,)`.

    Returns:
        float32 `(batch, timesteps, 4)`, of all parts. For each token: log p (nats); the mean of log p over the
        vocabulary; 1 where no token is more probable, else 0; and the token itself, NaN where it is outside the
        vocabulary. The last two have no gradient.
    """
    middle = ops.mean(kernel, axis=0), ops.mean(bias)  # the mean of all logits is the logit of the mean
    return ops.concatenate([_part_scores(hidden, tokens, kernel, bias, *middle) for hidden, tokens in parts])


def _part_scores(hidden, tokens, kernel, bias, mean_kernel, mean_bias):
    rows = ops.reshape(hidden, (-1, hidden.shape[-1]))
    places = ops.cast(ops.reshape(tokens, (-1,)), "float32")  # JAX takes gradients of floats alone
    logit, normalizer, right = backend.with_gradient(_scored, _gradient, True, [rows, kernel, bias, places])
    mean = ops.cast(ops.matmul(rows, mean_kernel) + mean_bias, "float32")
    token = ops.where(places < kernel.shape[0], places, math.nan)
    scores = ops.stack([logit - normalizer, mean - normalizer, right, token], axis=-1)
    return ops.reshape(scores, (*ops.shape(hidden)[:-1], len(SCORES)))


def _scored(keep, arguments):
    """For each row: the token's logit, log Σ exp(logits), and whether no logit is larger; p is kept."""
    hidden, kernel, bias, tokens = arguments
    logits = ops.cast(ops.matmul(hidden, ops.transpose(kernel)) + bias, "float32")
    p = ops.softmax(logits)
    largest = ops.max(logits, axis=-1, initial=-math.inf)  # `initial`: for no rows
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
        targets: `(batch, timesteps)` or `(batch, timesteps, 1)` tokens, the same that the `Decoder` was called with,
            not shifted; negative ones are padding. Or several targets for each example, `(batch, several, timesteps)`.
        scores: `(batch, timesteps, 4)`, the output of a `Decoder`; `(batch, several, timesteps, 4)`.
        sample_weight: Weights of the loss, `(batch,)` or, for each token, of the shape of the targets.

    Returns:
        A scalar, in nats a token: divided by the number of real tokens, whatever their weights, as in Keras's losses.
        Where a real target is not the token that the `Decoder` was called with, it has no score: there is an error, or
        a loss of NaN under XLA and in JAX's compiled functions, which cannot raise errors.

    Raises:
        ValueError: if `smoothing` is outside [0, 1), the scores have another shape, or `targets` has another shape or
            other tokens than the scores; within a graph of TensorFlow, `tf.errors.InvalidArgumentError` for the tokens.
    """

    def __init__(self, smoothing=0.0, name="token_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        self.smoothing = arguments.within("TokenCrossentropy", "smoothing", smoothing, 0, 1)

    def __call__(self, targets, scores, sample_weight=None):
        log_p, mean_log_p, _, real = compared(targets, scores, "TokenCrossentropy")
        loss = (self.smoothing - 1) * log_p - self.smoothing * mean_log_p
        return ops.sum(loss * weighted(real, sample_weight)) / ops.maximum(ops.sum(real), 1.0)

    def get_config(self):
        return {**super().get_config(), "smoothing": self.smoothing}


@keras.saving.register_keras_serializable(package="layers")
class TokenAccuracy(keras.metrics.Mean):
    """Share of the real tokens that are the most probable ones, in [0, 1]; called as `TokenCrossentropy` is."""

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, targets, scores, sample_weight=None):
        _, _, right, real = compared(targets, scores, "TokenAccuracy")
        super().update_state(right, sample_weight=weighted(real, sample_weight))


def compared(targets, scores, name):
    """Scores and targets, which must be of the same tokens.

    Returns:
        log p, mean log p and right, of the shape of the targets; and, of the same shape, 1 at real tokens, 0 at padding
        and NaN where a target is not the token scored.
    """
    scores, targets = ops.convert_to_tensor(scores), ops.convert_to_tensor(targets)
    if len(scores.shape) not in (3, 4) or scores.shape[-1] != len(SCORES):
        raise ValueError(
            f"{name}: expected the scores (batch, [several,] timesteps, {len(SCORES)}) that a Decoder returns "
            f"without logits. Received: shape {tuple(scores.shape)}."
        )
    log_p, mean_log_p, right, token = (scores[..., place] for place in range(len(SCORES)))
    expected, received = tuple(token.shape), tuple(targets.shape)
    fits = all(None in pair or pair[0] == pair[1] for pair in zip((*expected, 1), received, strict=False))
    if len(received) not in (len(expected), len(expected) + 1) or not fits:
        raise ValueError(
            f"{name}: `targets` must be the tokens that the Decoder was called with, integers (batch, timesteps) or "
            f"(batch, several, timesteps), perhaps with a last axis of 1, not one-hot. Received: "
            f"targets.shape={received} and scores of {expected} tokens."
        )
    targets = ops.reshape(targets, ops.shape(token))
    padding = targets < 0
    agrees = ops.logical_or(padding, ops.cast(targets, token.dtype) == token)
    backend.expect(
        ops.all(agrees),
        f"{name}: `targets` must be the tokens that the Decoder was called with, within its vocabulary, and negative "
        "at padding. Call the Decoder with the targets themselves: it puts `begin` before the first by itself.",
        {"targets": targets, "tokens of the Decoder": token},
    )
    return log_p, mean_log_p, right, ops.where(agrees, ops.cast(ops.logical_not(padding), "float32"), math.nan)


def weighted(real, sample_weight):
    """`real` times the user's weights of sentences or of tokens, if there are any."""
    if sample_weight is None:
        return real
    weights = ops.cast(sample_weight, "float32")
    if len(weights.shape) > len(real.shape):  # (batch, timesteps, 1)
        return real * ops.squeeze(weights, -1)
    for _ in range(len(real.shape) - len(weights.shape)):
        weights = ops.expand_dims(weights, -1)
    return real * weights
