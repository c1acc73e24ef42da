"""Scores of tokens, their gradients, and the loss and accuracy made of them, against float64 NumPy."""

import math

import keras
import numpy as np
import pytest
from cells import gradients
from keras import ops

from layers import TokenAccuracy, TokenCrossentropy
from layers.scores import compared, token_scores

TARGETS = np.array([[3, 8, 5, 2], [9, 2, -1, -1], [4, 4, 2, -1]])
TOKENS = np.maximum(TARGETS, 0)
REAL = TARGETS >= 0


def data(dtype="float32"):
    rng = np.random.default_rng(0)
    return [rng.normal(size=shape).astype(dtype) for shape in ((3, 4, 6), (10, 6), (10,))]


def scores_of(hidden, kernel, bias, tokens):
    """Of two parts, the first sentence and the others."""
    return token_scores([(hidden[:1], tokens[:1]), (hidden[1:], tokens[1:])], kernel, bias)


def logits_of(hidden, kernel, bias):
    return hidden.astype("float64") @ kernel.T.astype("float64") + bias


def expected_scores(logits):
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    wanted = np.take_along_axis(log_p, TOKENS[..., None], axis=-1)[..., 0]
    return np.stack([wanted, log_p.mean(axis=-1), logits.argmax(axis=-1) == TOKENS, TOKENS], axis=-1)


def test_scores_are_those_of_logits():
    given = data()
    np.testing.assert_allclose(scores_of(*given, TOKENS), expected_scores(logits_of(*given)), atol=1e-5)


@pytest.mark.parametrize("rows", [0, 1, 9])
def test_scores_of_any_number_of_rows(rows):
    hidden, kernel, bias = data()
    hidden, tokens = np.resize(hidden, (1, rows, 6)), np.resize(TOKENS, (1, rows))

    scores = scores_of(hidden, kernel, bias, tokens)

    assert scores.shape == (1, rows, 4)
    logits = logits_of(hidden, kernel, bias)[0]
    np.testing.assert_array_equal(np.asarray(scores)[0, :, 2], (logits.argmax(axis=-1) if rows else []) == tokens[0])


def test_scores_of_logits_that_no_exponential_holds():
    hidden, kernel, bias = data()
    scores = np.asarray(scores_of(300 * hidden, kernel, bias, TOKENS))

    logits = logits_of(300 * hidden, kernel, bias)
    largest = logits.max(axis=-1, keepdims=True)
    log_p = logits - largest - np.log(np.exp(logits - largest).sum(axis=-1, keepdims=True))
    np.testing.assert_allclose(scores[..., 0], np.take_along_axis(log_p, TOKENS[..., None], -1)[..., 0], rtol=1e-4)
    np.testing.assert_allclose(scores[..., 1], log_p.mean(axis=-1), rtol=1e-4)


def test_scores_of_sixteen_bits_are_nearly_those():
    hidden, kernel, bias = (ops.cast(x, "bfloat16") for x in data())
    scores = scores_of(hidden, kernel, bias, TOKENS)

    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    np.testing.assert_allclose(scores[..., :2], expected_scores(logits_of(*data()))[..., :2], atol=0.1)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_loss_is_the_mean_over_real_tokens(smoothing):
    logits = logits_of(*data())
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))

    found = TokenCrossentropy(smoothing)(TARGETS, scores_of(*data(), TOKENS))

    np.testing.assert_allclose(found, -(wanted(smoothing) * log_p).sum() / REAL.sum(), rtol=1e-5)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_the_gradient_of_the_loss_is_what_was_expected_less_what_was_wanted(smoothing):
    given = data()
    hidden, kernel, _ = (x.astype("float64") for x in given)
    p = np.exp(logits_of(*given))
    d = 3 * (p / p.sum(axis=-1, keepdims=True) * REAL[..., None] - wanted(smoothing)) / REAL.sum()

    def loss(_, hidden, kernel, bias):
        return 3 * TokenCrossentropy(smoothing)(TARGETS, scores_of(hidden, kernel, bias, TOKENS))

    d_hidden, d_kernel, d_bias = gradients(keras.layers.Identity(), loss, *given)

    np.testing.assert_allclose(d_hidden, d @ kernel, atol=1e-6)
    np.testing.assert_allclose(d_kernel, np.einsum("btv,btd->vd", d, hidden), atol=1e-6)
    np.testing.assert_allclose(d_bias, d.sum(axis=(0, 1)), atol=1e-6)


def wanted(smoothing):
    """What each real token wants p to be, `(batch, timesteps, vocabulary)`."""
    found = np.full((*TARGETS.shape, 10), smoothing / 10)
    np.put_along_axis(found, TOKENS[..., None], 1 - smoothing + smoothing / 10, axis=-1)
    return found * REAL[..., None]


def test_accuracy_counts_real_tokens():
    metric = TokenAccuracy()
    found = ops.convert_to_tensor(np.stack([0 * TOKENS, 0 * TOKENS, TOKENS != 2, TOKENS], axis=-1).astype("float32"))

    metric.update_state(ops.convert_to_tensor(TARGETS), found)

    np.testing.assert_allclose(metric.result(), 6 / 9)  # three ends are missed


@pytest.mark.parametrize("shape", [(3,), (3, 1), (3, 4), (3, 4, 1)])
def test_weights_of_sentences_and_of_tokens(shape):
    weights = np.random.default_rng(1).random(shape).astype("float32")
    scores = np.asarray(scores_of(*data(), TOKENS))
    each = weights.reshape(3, -1) * REAL
    right = np.arange(12).reshape(3, 4) % 2
    metric = TokenAccuracy()
    judged = np.stack([0 * right, 0 * right, right, TOKENS], -1).astype("float32")

    loss = TokenCrossentropy()(TARGETS, scores, sample_weight=weights)
    metric.update_state(TARGETS, judged, sample_weight=weights)

    np.testing.assert_allclose(loss, -(each * scores[..., 0]).sum() / REAL.sum(), rtol=1e-5)
    np.testing.assert_allclose(metric.result(), (each * right).sum() / each.sum(), rtol=1e-5)


def test_what_is_no_scores_is_named():
    logits = np.zeros((3, 4, 10), "float32")
    with pytest.raises(ValueError, match=r"TokenCrossentropy: expected the scores .* \(3, 4, 10\)"):
        TokenCrossentropy()(TARGETS, logits)
    with pytest.raises(ValueError, match="`smoothing`"):
        TokenCrossentropy(1.0)


FORMS = {
    "floats": lambda: TARGETS.astype("float64"),
    "a last axis of one": lambda: TARGETS[..., None],
    "small integers": lambda: TARGETS.astype("int8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_targets_may_be_written_in_several_ways(form):
    scores = scores_of(*data(), TOKENS)
    metric = TokenAccuracy()

    metric.update_state(FORMS[form](), scores)

    expected = expected_scores(logits_of(*data()))
    np.testing.assert_allclose(TokenCrossentropy()(FORMS[form](), scores), -expected[..., 0][REAL].mean(), rtol=1e-5)
    np.testing.assert_allclose(metric.result(), expected[..., 2][REAL].mean(), rtol=1e-5)


def test_padding_is_what_the_targets_say():
    scores = scores_of(*data(), TOKENS)
    expected = -expected_scores(logits_of(*data()))[..., 0]
    np.testing.assert_allclose(TokenCrossentropy()(TOKENS, scores), expected.mean(), rtol=1e-5)
    np.testing.assert_allclose(
        TokenCrossentropy()(np.where(TOKENS == 2, -1, TOKENS), scores), expected[TOKENS != 2].mean(), rtol=1e-5
    )


OTHERS = {
    "shifted": lambda: np.concatenate([[[1]] * 3, TOKENS[:, :-1]], axis=1),
    "one other": lambda: np.where(np.arange(12).reshape(3, 4) == 5, 3, TARGETS),
    "beyond the vocabulary": lambda: np.full_like(TARGETS, 99),
    "no integers": lambda: TOKENS + 0.25,
    "not a number": lambda: np.where(REAL, TARGETS, math.nan),
}


@pytest.mark.parametrize("other", OTHERS)
def test_targets_that_are_other_tokens_are_refused_and_have_no_finite_loss_where_nothing_can_be_raised(other):
    scores, targets = scores_of(*data(), TOKENS), OTHERS[other]().astype("float32")
    for score in (TokenCrossentropy(), TokenAccuracy().update_state):
        with pytest.raises(ValueError, match="`targets` must be the tokens that the Decoder was called with"):
            score(targets, scores)

    for score in (TokenCrossentropy(), compiled_accuracy()):
        assert np.isnan(compiled(score)(targets, scores)) and np.isfinite(compiled(score)(TARGETS, scores))


def compiled_accuracy():
    right = lambda targets, scores: compared(targets, scores, "TokenAccuracy")[2:]
    return lambda targets, scores: ops.sum(ops.multiply(*right(targets, scores)))


def compiled(score):
    """The same by XLA, from tensors."""
    if keras.backend.backend() == "jax":
        import jax

        return jax.jit(score)
    import tensorflow as tf

    return tf.function(score, jit_compile=True, autograph=False)


def test_a_token_outside_the_vocabulary_agrees_with_no_target():
    scores = np.asarray(scores_of(*data(), TOKENS)).copy()
    hidden, kernel, bias = data()
    assert np.isnan(compiled(lambda: scores_of(hidden, kernel, bias, ops.full((3, 4), 10, "int32")))()[..., 3]).all()
    scores[0, 1, 3] = math.nan
    with pytest.raises(ValueError, match="within its vocabulary"):
        TokenCrossentropy()(TARGETS, scores)


@pytest.mark.parametrize(
    "targets",
    [np.eye(10)[TOKENS], TARGETS[:, :3], TARGETS[:, :1], TARGETS[0], np.eye(4)[TOKENS % 4]],
    ids=["one-hot", "shorter", "one timestep", "one sentence", "one-hot, as wide as it is long"],
)
def test_targets_of_another_shape_are_refused(targets):
    scores = scores_of(*data(), TOKENS)
    for score in (TokenCrossentropy(), TokenAccuracy().update_state):
        with pytest.raises(ValueError, match=r"`targets` must be .* integers \(batch, timesteps\)"):
            score(targets, scores)
