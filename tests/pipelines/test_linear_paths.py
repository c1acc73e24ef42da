"""Logistic regression set into a Dense layer against scikit-learn's own probabilities."""

import keras
import numpy as np
import pytest
import scipy.special
import sklearn.linear_model

from pipelines.engine.linear_paths import use_logistic

FEATURES, STRENGTH = 5, 0.7
NEAR = 0.01  # probabilities; the solver stops before the reference does


def drawn(classes, number=120, seed=0):
    """Features, and classes that depend on them and on chance."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, FEATURES)).astype("float32")
    z = x @ rng.normal(size=(FEATURES, classes)) + rng.gumbel(size=(number, classes))
    return x, z.argmax(axis=1)


def several(labels, number=120, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(number, FEATURES)).astype("float32")
    z = x @ rng.normal(size=(FEATURES, labels)) + rng.logistic(size=(number, labels))
    return x, (z > 0).astype("float32")


def fitted(x, targets, classes, size=50, **settings):
    """The layer after `use_logistic`; inputs are halved and the features twice as large, so both must be used."""
    layer = keras.layers.Dense(classes)
    layer.build((None, x.shape[1]))
    layer.set_weights([np.random.default_rng(9).normal(size=weight.shape) for weight in layer.get_weights()])
    batches = ((x[start : start + size] / 2, targets[start : start + size]) for start in range(0, len(x), size))
    use_logistic(layer, lambda inputs: 2 * inputs, batches, STRENGTH, **settings)
    return layer


def reference(x, targets):
    return sklearn.linear_model.LogisticRegression(C=STRENGTH, max_iter=1000, tol=1e-6).fit(x, targets)


@pytest.mark.parametrize("classes", [2, 4])
def test_classes_have_the_probabilities_of_scikit_learn(classes):
    (x, targets), (new, _) = drawn(classes), drawn(classes, seed=1)
    found = scipy.special.softmax(np.asarray(fitted(x, targets, classes)(new)), axis=1)
    np.testing.assert_allclose(found, reference(x, targets).predict_proba(new), atol=NEAR)


def test_several_labels_are_a_regression_each():
    (x, targets), (new, _) = several(3), several(3, seed=1)
    found = scipy.special.expit(np.asarray(fitted(x, targets, 3)(new)))
    for label in range(3):
        np.testing.assert_allclose(found[:, label], reference(x, targets[:, label]).predict_proba(new)[:, 1], atol=NEAR)


@pytest.mark.parametrize("classes", [2, 3])
def test_a_class_that_does_not_occur_gets_the_smallest_probability(classes):
    """One more than occur; the others stay as they are among themselves."""
    x, targets = drawn(classes)
    numbers = np.array([0, 2, 3])[:classes]  # 1 does not occur
    found = scipy.special.softmax(np.asarray(fitted(x, numbers[targets], classes + 1)(x)), axis=1)
    assert found.mean(axis=0).argmin() == 1 and (found[:, 1] < 1 / len(x)).all()
    among = found[:, numbers] / found[:, numbers].sum(axis=1, keepdims=True)
    np.testing.assert_allclose(among, reference(x, targets).predict_proba(x), atol=NEAR)


def test_one_class_alone_is_nearly_certain():
    x, _ = drawn(2)
    found = scipy.special.softmax(np.asarray(fitted(x, np.full(len(x), 2), 3)(x)), axis=1)
    assert (found.argmax(axis=1) == 2).all() and (found[:, 2] > 0.95).all()


def test_labels_that_no_or_every_example_has_are_nearly_certain():
    x, targets = several(4)
    targets[:, 1], targets[:, 2] = 0, 1
    found = scipy.special.expit(np.asarray(fitted(x, targets, 4)(x)))
    assert (found[:, 1] < 1 / len(x)).all() and (found[:, 2] > 1 - 1 / len(x)).all()
    for label in (0, 3):
        np.testing.assert_allclose(found[:, label], reference(x, targets[:, label]).predict_proba(x)[:, 1], atol=NEAR)


@pytest.mark.parametrize("size", [13, 40, 200])
def test_no_more_than_the_first_examples_are_read(size):
    x, targets = drawn(3)
    found = scipy.special.softmax(np.asarray(fitted(x, targets, 3, size, most=40)(x)), axis=1)
    expected = reference(x[:40], targets[:40]).predict_proba(x)
    np.testing.assert_allclose(found, expected, atol=NEAR)
    for more in (52, 120):
        assert np.abs(reference(x[:more], targets[:more]).predict_proba(x) - expected).max() > 5 * NEAR
