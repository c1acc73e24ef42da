"""Evolution strategies on objectives with known optima, and on one that has no gradient."""

import keras
import numpy as np
import pytest

from layers import ElmanCell, Recurrent, evolve

CENTRE = np.arange(8.0) / 4


def dense(inputs=3, outputs=2):
    layer = keras.layers.Dense(outputs, dtype="float64")
    layer.build((None, inputs))
    layer.set_weights([np.zeros((inputs, outputs)), np.zeros(outputs)])
    return layer


def flat(layer):
    return np.concatenate([np.ravel(weight) for weight in layer.get_weights()])


def bowl(scales):
    return lambda layer: float(np.sum(scales * (flat(layer) - CENTRE) ** 2))


@pytest.mark.parametrize("method", ["cma", "es"])
def test_the_lowest_point_of_a_bowl_is_found_and_kept(method):
    layer = dense()
    found = evolve(layer, bowl(np.ones(8)), method, generations=300, target=1e-8)
    assert found.stopped == "target" and found.loss <= 1e-8 < found.history[0]
    np.testing.assert_allclose(flat(layer), CENTRE, atol=2e-4)
    assert bowl(np.ones(8))(layer) == pytest.approx(found.loss, rel=1e-3)
    assert found.evaluations == 10 * len(found.history)  # 4 + 3 ln 8


def test_the_covariance_is_what_long_valleys_need():
    valley = bowl(10.0 ** (np.arange(8) / 2))
    cma, es = (evolve(dense(), valley, method, generations=250, target=1e-6) for method in ("cma", "es"))
    assert cma.stopped == "target" and es.loss > 100 * cma.loss


def test_a_generation_at_once_is_the_same_and_the_global_random_numbers_are_left_alone():
    one, other = dense(), dense()
    centre = [CENTRE[:6].reshape(3, 2), CENTRE[6:]]

    def at_once(weights):
        assert [weight.shape for weight in weights] == [(7, 3, 2), (7, 2)]
        parts = zip(weights, centre, strict=True)
        return sum(((part - middle) ** 2).reshape(7, -1).sum(axis=1) for part, middle in parts)

    np.random.seed(1)
    expected = np.random.random()
    np.random.seed(1)
    first = evolve(one, bowl(np.ones(8)), generations=5, population=7, seed=3)
    second = evolve(other, at_once, generations=5, population=7, seed=3, together=True)
    assert np.random.random() == expected
    np.testing.assert_allclose(first.history, second.history, rtol=1e-5)
    np.testing.assert_allclose(flat(one), flat(other), rtol=1e-5)
    assert evolve(dense(), bowl(np.ones(8)), generations=5, population=7, seed=4).history != first.history
    assert first.stopped == "generations" and first.evaluations == 35


def test_candidates_without_a_number_are_worse_than_all():
    layer = dense()

    def half(layer):
        return np.nan if flat(layer)[0] > 0.1 else bowl(np.ones(8))(layer)

    found = evolve(layer, half, generations=60)
    assert np.isfinite(found.loss) and found.loss < 1 and flat(layer)[0] <= 0.1


@pytest.mark.parametrize("method", ["cma", "es"])
@pytest.mark.parametrize("plateau", [1.0, np.nan])
def test_a_plateau_at_the_beginning_is_left(plateau, method):
    far = lambda layer: 0.0 if np.abs(flat(layer)).max() > 4 else plateau
    found = evolve(dense(), far, method=method, generations=100, target=0)
    assert found.stopped == "target" and len(found.history) > 1


def test_an_error_leaves_the_best_weights_so_far():
    layer, seen = dense(), []

    def objective(layer):
        if len(seen) == 25:
            raise KeyboardInterrupt
        seen.append((bowl(np.ones(8))(layer), flat(layer)))
        return seen[-1][0]

    with pytest.raises(KeyboardInterrupt):
        evolve(layer, objective, generations=9)
    np.testing.assert_array_equal(flat(layer), min(seen[:20], key=lambda one: one[0])[1])  # of two generations


def test_a_recurrent_network_is_fitted_to_a_count_of_errors():
    layer = Recurrent(ElmanCell(3), dtype="float32")
    layer.build((None, None, 1))
    bits = np.random.default_rng(0).integers(0, 2, (64, 6, 1)).astype("float32")
    target = bits[:, 4, 0] > 0

    def errors(weights):
        h = np.zeros((len(weights[0]), 64, 3))
        for t in range(6):
            h = np.tanh(bits[:, t] @ weights[0] + h @ weights[1] + weights[2][:, None])
        return ((h[..., 0] > 0) != target).mean(axis=1)

    found = evolve(layer, errors, generations=200, population=16, target=0.02, together=True, seed=1)
    assert found.stopped == "target"
    assert ((np.asarray(layer(bits))[:, 0] > 0) != target).mean() == pytest.approx(found.loss, abs=0.02)


def test_wrong_arguments_of_evolution_are_named():
    loss = bowl(np.ones(8))
    cases = [
        ({"method": "ga"}, "`method` must be one of cma, es. Received: method='ga'"),
        ({"generations": 0}, "`generations` must be a positive integer"),
        ({"population": 2}, "`population` must be an integer of 4 or more"),
        ({"deviation": 0.0}, "`deviation` must be a positive number"),
        ({"deviation": np.inf}, "`deviation` must be a positive number"),
        ({"objective": lambda layer: None}, "a loss for each of 10 candidates. .* losses=\\[None"),
        ({"objective": lambda layer: [1.0, 2.0]}, r"a loss for each of 10 candidates. Received: shape=\(10, 2\)"),
        ({"model": keras.layers.Dense(2)}, "`model` must be built and have trainable weights"),
    ]
    for given, message in cases:
        with pytest.raises(ValueError, match=message):
            evolve(**{"model": dense(), "objective": loss, **given})
