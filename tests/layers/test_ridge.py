"""The readout fitted in closed form against the normal equations in float64."""

import keras
import numpy as np
import pytest

from layers import RidgeReadout


def test_the_readout_is_that_of_the_normal_equations_without_a_penalty_on_the_bias():
    rng = np.random.default_rng(0)
    x, y = rng.normal(1, size=(50, 3)), rng.normal(2, size=(50, 2))
    readout = RidgeReadout(2, penalty=2.5)
    readout.adapt([(x[:20], y[:20]), (x[20:], y[20:])])
    centred = x - x.mean(axis=0)
    w = np.linalg.solve(centred.T @ centred + 2.5 * np.eye(3), centred.T @ (y - y.mean(axis=0)))
    np.testing.assert_allclose(readout.kernel, w, atol=1e-6)
    np.testing.assert_allclose(readout.bias, y.mean(axis=0) - x.mean(axis=0) @ w, atol=1e-6)


def test_what_was_fitted_is_not_trained_once_a_model_is_made_trainable_again():
    model = keras.Sequential([keras.Input((2,)), RidgeReadout(1)])
    model.trainable = False
    model.trainable = True
    assert not model.trainable_weights and len(model.non_trainable_weights) == 2


def test_batches_that_do_not_fit_are_named():
    x, y = np.ones((4, 2)), np.ones((4, 1))
    for batches, message in (
        ([(x, y, np.ones(3))], "`mask` must have one value for each of 4 rows of features. Received: 3"),
        ([(x, y), (np.ones((4, 3)), y)], r"`features` must be \(..., 2\), as before. Received: \(..., 3\)"),
    ):
        with pytest.raises(ValueError, match=message):
            RidgeReadout(1).adapt(batches)
    built = RidgeReadout(1)
    built.build((None, 5))
    with pytest.raises(ValueError, match=r"`features` must be \(..., 5\)"):
        built.adapt([(x, y)])
