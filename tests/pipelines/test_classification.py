import itertools

import keras
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from scipy.special import log_softmax

from data import batching
from data.sets import reviews
from pipelines import sentiment
from pipelines.engine import verbs
from pipelines.evaluation import classification


@pytest.fixture(scope="module")
def parts(trained):
    return verbs.restored(sentiment.TASK, trained)[2]


def test_an_answer_is_one_line_whatever_stands_in_it():
    answer = {"label": "very\ngood", "probability": 0.5, "text": "two\r\nlines\tand a tab"}
    assert list(classification.format_answers(None, [answer], False)) == ["very good\t0.5000\ttwo lines and a tab"]


def test_metrics_are_those_of_their_definitions():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet([1, 1, 1], 200)
    truth = rng.integers(0, 3, 200)

    found = classification.metrics_of(probabilities, truth, ["a", "b", "c"])

    guess = probabilities.argmax(axis=1)
    assert found["accuracy"] == pytest.approx(np.mean(guess == truth))
    assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(truth, guess, average="macro"))
    assert np.sum(found["confusion"]) == 200
    assert found["confusion"][1][2] == np.sum((truth == 1) & (guess == 2))
    assert "auroc" not in found
    error = 0
    for row in range(15):
        inside = [i for i in range(200) if row / 15 <= probabilities[i].max() < (row + 1) / 15]
        if inside:
            right = np.mean([guess[i] == truth[i] for i in inside])
            error += len(inside) / 200 * abs(right - np.mean([probabilities[i].max() for i in inside]))
    assert found["calibration_error"] == pytest.approx(error)


def test_examples_of_no_class_are_neither_right_nor_wrong(parts):
    """A fold of a cross-validation is tested on them too."""
    decided = [("a fine film", "positive"), ("a dull film", "negative"), ("what a bore", "negative")]
    found = []
    for rows in (decided, [("it has a plot", "neither"), *decided, ("it ends", "neither")]):
        examples = tf.data.Dataset.from_tensor_slices(tuple(map(list, zip(*rows, strict=True))))
        data = batching.cached(batching.prepared(examples, *parts.once))
        splits = {"train": examples, "test": examples}
        found.append((classification.evaluate(parts, data, examples), classification.baselines(parts, data, splits)))
    assert found[0] == found[1]
    assert found[0][0]["examples"] == 3


def test_two_classes_have_an_area_under_the_curve():
    rng = np.random.default_rng(1)
    p = rng.random(100)
    truth = (rng.random(100) < p).astype(int)
    found = classification.metrics_of(np.stack([1 - p, p], axis=1), truth, ["no", "yes"])
    pairs = [(a > b) + 0.5 * (a == b) for a in p[truth == 1] for b in p[truth == 0]]
    assert found["auroc"] == pytest.approx(np.mean(pairs))
    assert "auroc" not in classification.metrics_of(np.stack([1 - p, p], axis=1), np.ones(100, int), ["no", "yes"])


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_smoothed_cross_entropy_is_its_formula(smoothing):
    rng = np.random.default_rng(2)
    logits, target = rng.normal(size=(5, 3)), rng.integers(0, 3, 5)
    wanted = (1 - smoothing) * np.eye(3)[target] + smoothing / 3
    expected = np.mean(-np.sum(wanted * log_softmax(logits, axis=1), axis=1))
    found = classification.SmoothedCrossentropy(smoothing)(target, keras.ops.convert_to_tensor(logits, "float32"))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_without_a_class_the_target_is_spread_and_nothing_is_right_or_wrong():
    logits = np.random.default_rng(3).normal(size=(4, 3))
    target = np.array([2, -1, 0, -1])
    wanted = np.where(target[:, None] < 0, 1 / 3, np.eye(3)[target])
    expected = np.mean(-np.sum(wanted * log_softmax(logits, axis=1), axis=1))
    logits_in_single = keras.ops.convert_to_tensor(logits, "float32")
    assert float(classification.SmoothedCrossentropy()(target, logits_in_single)) == pytest.approx(expected, rel=1e-5)
    accuracy = classification.Accuracy()
    accuracy.update_state(keras.ops.convert_to_tensor(target), logits_in_single)
    assert float(accuracy.result()) == np.mean(logits[[0, 2]].argmax(axis=1) == target[[0, 2]])


def test_influence_is_what_the_answer_loses_without_the_word(parts):
    text = "the plot is not dull"
    found = classification.influence(parts, text)
    assert [word for word, _ in found] == text.split()
    (answer,) = classification.answers(parts, [text])
    for place, (_, loss) in enumerate(found):
        words = text.split()
        words[place] = "<unk>"
        (without,) = classification.answers(parts, [" ".join(words)])
        assert loss == pytest.approx(answer["probability"] - without["probabilities"][answer["label"]], abs=1e-5)


@pytest.mark.parametrize("text", ["", "   ", "😀", "\x00\x07", "xyzzy " * 3, "a" * 1_000_000, "long " * 200_000])
def test_any_text_gets_an_answer(parts, text):
    (answer,) = classification.answers(parts, [text])
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert len(classification.influence(parts, text)) <= classification.SHOWN_WORDS


def test_baselines_see_what_counting_words_can_see(parts, reviews_csv):
    splits = {"train": reviews.load(reviews_csv), "validation": reviews.load(reviews_csv)}
    found = classification.baselines(parts, None, splits)
    assert found["validation"]["tfidf_logistic_regression"] > 0.95  # on what it was fitted on
    assert 0.5 <= found["validation"]["majority_class"] < 0.6
    without_words = tf.data.Dataset.from_tensor_slices(([".", ";", "-"], ["negative", "positive", "negative"]))
    found = classification.baselines(parts, None, {"train": without_words, "validation": without_words})["validation"]
    assert found["tfidf_logistic_regression"] == found["majority_class"] == pytest.approx(2 / 3)


def test_each_path_is_to_be_right_and_the_first_one_shows_how_far_training_is():
    rng = np.random.default_rng(4)
    logits, target = rng.normal(size=(6, 2, 3)).astype("float32"), np.array([0, 2, 1, -1, 1, 0])
    loss = classification.SmoothedCrossentropy(0.1)
    alone = [float(loss(target, keras.ops.convert_to_tensor(logits[:, path]))) for path in (0, 1)]
    assert float(loss(target, keras.ops.convert_to_tensor(logits))) == pytest.approx(np.mean(alone), rel=1e-5)
    accuracy = classification.Accuracy()
    accuracy.update_state(target, keras.ops.convert_to_tensor(logits))
    right = logits[:, 0].argmax(axis=1) == target
    assert float(accuracy.result()) == pytest.approx(right[target >= 0].mean())


def test_shares_are_the_likeliest():
    rng = np.random.default_rng(5)
    target = rng.integers(0, 3, 400)
    good = np.eye(3)[target] * 2 + rng.normal(size=(400, 3))
    some = np.eye(3)[target] + rng.normal(size=(400, 3))
    noise = -np.eye(3)[target] + rng.normal(size=(400, 3))

    def likelihood(shares):
        z = sum(s * path for s, path in zip(shares, (good, some, noise), strict=True))
        return log_softmax(z, axis=1)[np.arange(400), target].sum() - np.sum((np.array(shares) - 1 / 3) ** 2)

    found = classification.shares([good, some, noise], target)
    assert (found >= 0).all()
    for other in itertools.product(*([max(0, s - 0.05), s, s + 0.05] for s in found)):
        assert likelihood(found) >= likelihood(other) - 1e-6
    assert found[0] > found[1] > found[2] == pytest.approx(0, abs=0.05)


def test_examples_of_no_class_have_no_say_in_the_shares():
    rng = np.random.default_rng(6)
    paths, target = list(rng.normal(size=(2, 50, 2))), rng.integers(0, 2, 50)
    kept = np.arange(50) % 3 > 0
    np.testing.assert_allclose(
        classification.shares(paths, np.where(kept, target, -1)),
        classification.shares([path[kept] for path in paths], target[kept]),
    )
