"""Layers under policies of 16 bits: what they count, sum up and look up is that of 32 bits."""

import keras
import numpy as np
import pytest
from cells import DRIVEN, MAKERS
from keras import ops

from layers import (
    BidirectionalAssociativeMemory,
    ChildSumTreeLSTM,
    ElmanCell,
    GRUCell,
    HistoryCompressor,
    Hopfield,
    ModernHopfield,
    NaiveBayesBag,
    Pooling,
    Recurrent,
    Sentences,
    Strands,
    TermProfile,
    WordDropout,
)

POLICIES = ("mixed_float16", "mixed_bfloat16")


def plain(x):
    return ops.convert_to_numpy(ops.cast(x, "float32"))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("how", ["mean", "max", "attention"])
def test_pooling_of_many_timesteps_stays_in_its_range(how, policy):
    x = np.random.default_rng(0).normal(90, 10, size=(2, 5000, 3)).astype("float32")
    mask = np.arange(5000) < np.array([[5000], [3001]])
    exact, layer = Pooling(how), Pooling(how, dtype=policy)
    expected = plain(exact(x, mask=mask))
    layer.build(x.shape)
    layer.set_weights(exact.get_weights())
    if how != "attention":  # whose scores are sums of large products
        np.testing.assert_allclose(plain(layer(x, mask=mask)), expected, rtol=0.01)
    assert np.isfinite(plain(layer(x, mask=mask))).all()
    constant = np.full_like(x, 3)
    np.testing.assert_allclose(plain(layer(constant, mask=mask)), 3, rtol=0.01)


@pytest.mark.parametrize("policy", POLICIES)
def test_a_bag_of_a_long_text_has_the_logits_of_32_bits(policy):
    rng = np.random.default_rng(0)
    exact, layer = (NaiveBayesBag(20_000, 2, pairs=1000, dtype=dtype) for dtype in ("float32", policy))
    for one in (exact, layer):
        one.build()
        one.ratios.assign(np.random.default_rng(1).normal(size=one.ratios.shape))
    words = rng.permutation(np.arange(1, 19_001))[None, :6000].astype("float32")
    np.testing.assert_allclose(plain(layer(words)), plain(exact(words)), rtol=0.01, atol=0.02)


@pytest.mark.parametrize("policy", POLICIES)
def test_ids_that_come_as_floats_are_not_rounded(policy):
    ids = np.array([[2049, 4099, 257, 0]], "float32")
    found = plain(WordDropout(0.1, dtype=policy)(ids))
    np.testing.assert_array_equal(found, ids)
    np.testing.assert_array_equal(Sentences(ends=[9], longest=4, dtype=policy)(ids), [[[2049, 4099, 257]]])
    profile = plain(TermProfile([5000], dtype=policy)([ids]))[0]
    assert (np.flatnonzero(profile) + 1).tolist() == [257, 2049, 4099]
    given = keras.Input([None], dtype="int32")
    looked_up = keras.layers.Embedding(5000, 4, dtype="float32")(given)
    network = keras.Model(given, ops.sum(looked_up, axis=1))
    np.testing.assert_array_equal(Strands(network, dtype=policy)([ids, ids]), network(ids.astype("int32")))


def test_the_loss_of_a_compressor_over_many_timesteps_is_finite():
    symbols = np.random.default_rng(0).integers(0, 5, size=(256, 300))
    cells = [ElmanCell(4, dtype="mixed_float16", seed=seed) for seed in (0, 1)]
    layer = HistoryCompressor(*cells, symbols=5, dtype="mixed_float16")
    layer(symbols, training=True)
    assert 1 < float(layer.losses[0]) < 10


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_every_cell_runs_where_no_number_has_more_than_16_bits(policy):
    x = np.random.default_rng(0).normal(size=(2, 3, 5)).astype("float32")
    for name in DRIVEN:
        layer = Recurrent(MAKERS[name](4, dtype=policy), dtype=policy)
        found = layer(x)
        assert keras.backend.standardize_dtype(found.dtype) == policy
        exact = Recurrent(MAKERS[name](4))
        exact.build(x.shape)
        exact.set_weights(layer.get_weights())
        np.testing.assert_allclose(plain(found), plain(exact(x)), atol=0.05, err_msg=name)


def test_the_input_is_projected_in_16_bits_and_the_bias_added_in_32():
    cell = GRUCell(8, dtype="mixed_bfloat16", bias_initializer="random_normal")
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    Recurrent(cell, dtype="mixed_bfloat16")(x[None])
    rounded = lambda value: plain(ops.cast(value, "bfloat16"))
    with cell.bound([weight.value for weight in cell.weights], "bfloat16"):
        found = cell.project(ops.cast(x, "bfloat16"))
    product = rounded(rounded(x).astype("float64") @ rounded(cell.kernel).astype("float64"))
    np.testing.assert_allclose(plain(found), product + rounded(cell.bias)[0], rtol=0.01, atol=1e-3)
    assert keras.backend.standardize_dtype(found.dtype) == "float32"


@pytest.mark.parametrize("policy", POLICIES)
def test_numbers_of_nodes_that_come_as_floats_are_not_rounded(policy):
    x = np.random.default_rng(0).normal(size=(1, 2100, 3)).astype("float32")
    children = np.zeros((1, 2100, 1), "float32")
    children[0, 0, 0] = 2051  # the neighbours of 2051 are all that 16 bits know
    layer = ChildSumTreeLSTM(4, dtype=policy)
    levels = np.ones((1, 1, 1), "float32")
    expected = plain(layer(x, children.astype("int32"), levels.astype("int32")))
    np.testing.assert_array_equal(plain(layer(x, children, levels)), expected)
    np.testing.assert_array_equal(plain(layer(x, children=children, levels=levels)), expected)


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_hopfield_s_couplings_keep_the_sign_of_each_sum(policy):
    rng = np.random.default_rng(0)
    patterns, begun = rng.choice([-1, 1], (60, 200)), rng.choice([-1, 0, 1], (50, 200))
    sums = begun @ (patterns.T @ patterns - 60 * np.eye(200))
    memory = Hopfield(200, updates="synchronous", sweeps=1, dtype=policy)
    memory.store(patterns)
    np.testing.assert_array_equal(plain(memory(begun)), np.where(sums == 0, begun, np.sign(sums)))


@pytest.mark.parametrize("policy", ["float16", "bfloat16"])
def test_pairs_are_counted_exactly(policy):
    memory = BidirectionalAssociativeMemory(2, 1, dtype=policy)
    memory.store(np.ones((3001, 2)), np.ones((3001, 1)))
    np.testing.assert_array_equal(plain(memory.kernel), 3001)


@pytest.mark.parametrize("policy", (*POLICIES, "float16", "bfloat16"))
def test_a_modern_hopfield_network_recalls_long_patterns(policy):
    patterns = np.random.default_rng(0).integers(-40, 41, size=(5, 64)).astype("float32")
    memory, exact = (ModernHopfield(64, 10, beta=8.0, dtype=dtype) for dtype in (policy, "float32"))
    for one in (memory, exact):
        one.store(patterns)
    np.testing.assert_array_equal(plain(memory(patterns)), patterns)
    states = patterns / 2
    np.testing.assert_allclose(plain(memory.energy(states)), plain(exact.energy(states)), rtol=0.01)
