"""Motifs along sequences against loops over places and timesteps in float64."""

import keras
import numpy as np
import pytest
from cells import filled
from keras import ops

from layers import Scan

SHAPE = (4, 11, 3)
LENGTHS = np.array([11, 6, 1, 7])
MASK = np.arange(11) < LENGTHS[:, None]


@pytest.fixture
def x():
    """Random at padding too."""
    return np.random.default_rng(3).normal(size=SHAPE).astype("float32")


def best_fits(x, kernel, bias, pool):
    """z of one sequence without padding, `(timesteps, features)`, as the docstring's two lines say."""
    x, kernel, bias = (np.asarray(one, "float64") for one in (x, kernel, bias))
    width, s = len(kernel), np.zeros((len(x), len(bias)))
    for t in range(len(x)):
        for f in range(len(bias)):
            fit = bias[f]
            for place, i in enumerate(range(-((width - 1) // 2), width // 2 + 1)):
                if 0 <= t + i < len(x):
                    fit += kernel[place, :, f] @ x[t + i]
            s[t, f] = max(0, fit)
    return np.stack([s[start : start + pool].max(axis=0) for start in range(0, len(s), pool)])


@pytest.mark.parametrize("pool", [1, 3])
@pytest.mark.parametrize("width", [1, 4, 5])
def test_a_scan_is_a_loop_over_the_real_timesteps(width, pool, x):
    layer = filled(Scan(6, width, pool), SHAPE)
    z, mask = (ops.convert_to_numpy(one) for one in layer(x, mask=MASK))
    for row, length in enumerate(LENGTHS):
        expected = best_fits(x[row, :length], *layer.get_weights(), pool)
        np.testing.assert_allclose(z[row, : len(expected)], expected, atol=1e-5)
        np.testing.assert_array_equal(mask[row], np.arange(z.shape[1]) < len(expected))
    assert mask.dtype == bool and (z > 0).any() and (z == 0).any()
    assert (z.shape, mask.shape) == layer.compute_output_shape(SHAPE)


@pytest.mark.parametrize("more", [1, 2, 3, 8])
@pytest.mark.parametrize("pool", [1, 3])
def test_more_padding_changes_nothing_at_real_timesteps(pool, more, x):
    layer = filled(Scan(6, 4, pool), SHAPE)
    rest = 9 * np.random.default_rng(4).normal(size=(4, more, 3)).astype("float32")
    longer = np.concatenate([x, rest], axis=1), np.pad(MASK, [[0, 0], [0, more]])
    (z, mask), (longer, longer_mask) = layer(x, mask=MASK), layer(longer[0], mask=longer[1])
    z, mask, longer, longer_mask = (ops.convert_to_numpy(one) for one in (z, mask, longer, longer_mask))
    np.testing.assert_allclose(longer[longer_mask], z[mask], atol=1e-6)
    np.testing.assert_array_equal(longer_mask.sum(axis=1), -(-LENGTHS // pool))
    assert longer.shape[1] == -(-(11 + more) // pool)


@pytest.mark.parametrize("timesteps", [None, 11])
def test_a_scan_in_a_functional_model_survives_saving(timesteps, tmp_path, x):
    given = keras.Input([timesteps, 3]), keras.Input([timesteps], dtype="bool")
    layer = Scan(np.int64(6), 4, pool=3, seed=8)
    z, mask = layer(*given)
    assert (z.shape, mask.shape) == ((None, timesteps and 4, 6), (None, timesteps and 4))
    assert (z.dtype, mask.dtype) == ("float32", "bool")
    model = keras.Model(given, [z, mask])
    filled(layer, SHAPE)
    model.save(tmp_path / "scan.keras")
    again = keras.models.load_model(tmp_path / "scan.keras")
    for found, expected in zip(again([x, MASK]), layer(x, mask=MASK), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert again.layers[-1].get_config() == layer.get_config()


def test_motifs_begin_as_the_seed_says():
    one, same, other = (Scan(6, 4, seed=seed) for seed in (1, 1, 2))
    for layer in (one, same, other):
        layer.build(SHAPE)
    np.testing.assert_array_equal(one.kernel, same.kernel)
    assert not np.allclose(one.kernel, other.kernel)


@pytest.mark.parametrize("name", ["filters", "width", "pool"])
@pytest.mark.parametrize("value", [0, 2.5, True, "3", None], ids=repr)
def test_wrong_arguments_of_a_scan_are_named(name, value):
    with pytest.raises(ValueError, match=f"Scan: `{name}` must be a positive integer. Received: {name}={value!r}"):
        Scan(**{"filters": 2, "width": 3, "pool": 1, name: value})


def test_what_stands_at_padding_does_not_matter_not_even_nan(x):
    layer = filled(Scan(4, 3, 2), SHAPE)
    padded = np.where(MASK[:, :, None], x, np.nan)
    np.testing.assert_array_equal(layer(padded, MASK)[0], layer(np.where(MASK[:, :, None], x, 0), MASK)[0])
