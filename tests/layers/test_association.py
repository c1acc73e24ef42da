"""Associative memories against their equations in float64, and what their papers promise."""

import keras
import numpy as np
import pytest
from keras import ops

from layers import BidirectionalAssociativeMemory, Hopfield, ModernHopfield

RULES = ("hebb", "pseudo_inverse", "storkey")
ATOL = 1e-12 if keras.backend.backend() == "tensorflow" else 3e-6  # JAX computes in 32 bits


def random_signs(*shape, seed=0):
    return np.random.default_rng(seed).choice([-1.0, 1.0], shape)


def noisy(patterns, share, seed=1):
    """The patterns with a share of their values turned."""
    flips = np.random.default_rng(seed).random(patterns.shape) < share
    return np.where(flips, -patterns, patterns)


def memory(patterns, **arguments):
    layer = Hopfield(patterns.shape[1], dtype="float64", **arguments)
    layer.store(patterns)
    return layer


def in_graph(layer, x):
    """The layer's output, of a graph: eagerly, each update of a unit would take a millisecond."""
    inputs = keras.Input(x.shape[1:], dtype="float64")
    return keras.Model(inputs, layer(inputs)).predict(x, verbose=0)


def as_written(patterns, rule):
    """The weights, entry by entry."""
    count, units = patterns.shape
    if rule == "pseudo_inverse":  # all patterns at once
        found = patterns.T @ np.linalg.inv(patterns @ patterns.T) @ patterns
    else:
        found = np.zeros((units, units))
        for pattern in patterns:
            before = found.copy()
            for i in range(units):
                for j in range(units):
                    h_ij = sum(before[i, k] * pattern[k] for k in range(units) if k not in (i, j))
                    h_ji = sum(before[j, k] * pattern[k] for k in range(units) if k not in (i, j))
                    change = pattern[i] * pattern[j]
                    if rule == "storkey":
                        change += -pattern[i] * h_ji - h_ij * pattern[j]
                    found[i, j] += change / units
    np.fill_diagonal(found, 0)
    return found


@pytest.mark.parametrize("rule", RULES)
def test_the_weights_are_those_of_the_rule(rule):
    patterns = random_signs(4, 11)
    one, two = memory(patterns, rule=rule), memory(patterns[:3], rule=rule)
    two.store(patterns[3:])
    for layer in (one, two):
        np.testing.assert_allclose(layer.couplings, as_written(patterns, rule), atol=ATOL)


def test_a_pattern_that_others_compose_adds_nothing_to_the_projection():
    patterns = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, 1, -1], [1, -1, -1, 1]], "float64")
    layer = memory(patterns, rule="pseudo_inverse")
    before = np.array(layer.kernel)
    layer.store(-patterns[:2])
    np.testing.assert_array_equal(layer.kernel, before)


@pytest.mark.parametrize("seed", [None, 3])
@pytest.mark.parametrize("rule", RULES)
def test_asynchronous_updates_are_one_unit_after_the_other_and_never_raise_the_energy(rule, seed):
    patterns = random_signs(5, 21)
    layer, begun = memory(patterns, rule=rule, seed=seed), random_signs(8, 21, seed=2)
    begun[:, 4:7] = 0
    w = as_written(patterns, rule)
    order = np.arange(21) if seed is None else np.random.default_rng(seed).permutation(21)
    expected = begun.copy()
    for state in expected:
        energy, still = -state @ w @ state / 2, 0
        while still < 21:
            for i in order:
                field = w[i] @ state
                new = np.sign(field) if abs(field) > 1e-12 else state[i]
                still = still + 1 if new == state[i] else 0
                state[i] = new
                lower = -state @ w @ state / 2
                assert lower <= energy + 1e-12
                energy = lower
    np.testing.assert_array_equal(in_graph(layer, begun), expected)
    np.testing.assert_allclose(layer.energy(expected), [-s @ w @ s / 2 for s in expected], atol=ATOL)
    assert (ops.convert_to_numpy(layer.energy(expected)) < ops.convert_to_numpy(layer.energy(begun))).all()


@pytest.mark.parametrize("sweeps", [1, 2, 50])
def test_synchronous_updates_are_all_units_at_once_to_a_fixed_point_or_a_cycle_of_two(sweeps):
    patterns, begun = random_signs(6, 20), random_signs(40, 20, seed=2)
    layer = memory(patterns, updates="synchronous", sweeps=sweeps)
    step = lambda state: np.where(np.abs(state @ w) < 1e-12, state, np.sign(state @ w))
    w, expected = as_written(patterns, "hebb"), begun.copy()
    for _ in range(sweeps):
        expected = step(expected)
    found = ops.convert_to_numpy(layer(begun))
    if sweeps == 50:  # of a cycle either state is an answer
        np.testing.assert_array_equal(step(step(found)), found)
        expected = np.where((expected == found).all(axis=1, keepdims=True), expected, step(expected))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("updates", ["asynchronous", "synchronous"])
@pytest.mark.parametrize(("rule", "load", "noise"), [("hebb", 0.05, 0.15), ("storkey", 0.12, 0.1)])
def test_below_capacity_patterns_are_fixed_points_and_are_recalled_from_near(rule, load, noise, updates):
    patterns = random_signs(int(load * 200), 200)
    layer = memory(patterns, rule=rule, updates=updates, seed=0)
    np.testing.assert_array_equal(in_graph(layer, patterns), patterns)
    np.testing.assert_array_equal(in_graph(layer, noisy(patterns, noise)), patterns)


def test_the_pseudo_inverse_keeps_what_hebb_s_rule_has_lost():
    patterns = random_signs(60, 100)
    np.testing.assert_array_equal(in_graph(memory(patterns, rule="pseudo_inverse"), patterns), patterns)
    assert (in_graph(memory(patterns), patterns) != patterns).mean() > 0.05


def pairs(count=3, features=60, units=50):
    return random_signs(count, features), random_signs(count, units, seed=5)


def filled_bam():
    layer = BidirectionalAssociativeMemory(60, 50, dtype="float64")
    layer.store(*(side[:2] for side in pairs()))
    layer.store(*(side[2:] for side in pairs()))
    return layer


@pytest.mark.parametrize("backwards", [False, True])
def test_either_side_of_a_pair_recalls_the_other_and_the_energy_never_rises(backwards):
    layer, (x, y), m = filled_bam(), pairs(), sum(np.outer(a, b) for a, b in zip(*pairs(), strict=True))
    np.testing.assert_array_equal(layer.kernel, m)
    given = noisy(y if backwards else x, 0.15)
    found = layer(given, backwards=backwards)
    np.testing.assert_array_equal(found[0], x)
    np.testing.assert_array_equal(found[1], y)
    np.testing.assert_allclose(layer.energy(x, y), [-a @ m @ b for a, b in zip(x, y, strict=True)])
    for passes in (1, 2, 3):  # from anywhere
        far, m_from = random_signs(9, given.shape[1], seed=8), m.T if backwards else m
        short = BidirectionalAssociativeMemory(60, 50, passes=passes, dtype="float64")
        short.store(x, y)
        one, other = far, np.zeros((9, m_from.shape[1]))
        energies = []
        for _ in range(passes):
            other = np.where(one @ m_from == 0, other, np.sign(one @ m_from))
            energies.append(-np.sum(one @ m_from * other, axis=1))
            one = np.where(other @ m_from.T == 0, one, np.sign(other @ m_from.T))
            energies.append(-np.sum(one @ m_from * other, axis=1))
        sides = short(far, backwards=backwards)
        np.testing.assert_array_equal(sides[1] if backwards else sides[0], one)
        np.testing.assert_array_equal(sides[0] if backwards else sides[1], other)
        assert (np.diff(energies, axis=0) <= 0).all()


def modern(beta=None, steps=1, patterns=6):
    layer = ModernHopfield(7, capacity=10, beta=beta, steps=steps, dtype="float64")
    layer.store(np.random.default_rng(3).normal(size=(patterns, 7)))
    return layer


def modern_energy(state, patterns, beta):
    lse = np.log(np.sum(np.exp(beta * patterns @ state))) / beta
    largest = max(np.linalg.norm(pattern) for pattern in patterns)
    return -lse + state @ state / 2 + np.log(len(patterns)) / beta + largest**2 / 2


@pytest.mark.parametrize(("beta", "steps"), [(None, 1), (0.7, 3), (4.0, 2)])
def test_modern_updates_and_energies_follow_the_paper(beta, steps):
    layer, states = modern(beta, steps), np.random.default_rng(4).normal(size=(2, 5, 7))
    patterns, b = np.asarray(layer.patterns)[:6], beta or 7**-0.5
    for place in np.ndindex(2, 5):
        state, energies = states[place], []
        for _ in range(steps):
            energies.append(modern_energy(state, patterns, b))
            exponents = np.exp(b * patterns @ state)
            state = sum(share * pattern for share, pattern in zip(exponents / exponents.sum(), patterns, strict=True))
        energies.append(modern_energy(state, patterns, b))
        assert (np.diff(energies) <= ATOL).all() and min(energies) >= 0
        np.testing.assert_allclose(layer(states)[place], state, atol=ATOL)
        np.testing.assert_allclose(layer.energy(states)[place], energies[0], atol=ATOL)


def test_more_random_patterns_than_units_are_recalled_in_one_modern_update():
    patterns = random_signs(500, 64)
    layer = ModernHopfield(64, capacity=500, beta=1.0)
    np.testing.assert_array_equal(layer(patterns[:2]), patterns[:2])  # nothing is stored yet
    layer.store(patterns[:100])
    layer.store(patterns[100:])
    np.testing.assert_allclose(layer(noisy(patterns, 0.05)), patterns, atol=0.05)


def models():
    hopfield, bam, hop = memory(random_signs(3, 21), seed=1), filled_bam(), modern()
    given = [keras.Input([width], dtype="float64") for width in (21, 50, 7)]
    outputs = [hopfield(given[0]), *bam(given[1], backwards=True), hop(given[2])]
    x = [random_signs(4, 21), random_signs(4, 50), np.random.default_rng(0).normal(size=(4, 7))]
    return keras.Model(given, outputs), x


def test_memories_survive_saving_and_run_in_an_export(tmp_path):
    model, x = models()
    model.save(tmp_path / "memories.keras")
    again = keras.models.load_model(tmp_path / "memories.keras")
    for layer, other in zip(model.layers, again.layers, strict=True):
        assert layer.get_config() == other.get_config()
    found = [again(x), again.predict(x, verbose=0)]
    if keras.backend.backend() == "tensorflow":
        model.export(tmp_path / "export", verbose=False)
        import tensorflow as tf

        exported = tf.saved_model.load(str(tmp_path / "export"))
        found.append(exported.serve(x))
    for results in found:
        for one, other in zip(results, model(x), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)  # `predict` hands over 32 bits


def test_wrong_arguments_and_patterns_are_named():
    cases = [
        (lambda: Hopfield(0), "Hopfield: `units` must be a positive integer. Received: units=0"),
        (lambda: Hopfield(3, rule="oja"), "`rule` must be one of hebb, pseudo_inverse, storkey. Received: rule='oja'"),
        (lambda: Hopfield(3, updates="all"), "`updates` must be one of asynchronous, synchronous"),
        (lambda: Hopfield(3).store([[1, 0, 1]]), r"\(patterns, 3\) of -1 and 1. .*shape=\(1, 3\), values=\[0.0, 1.0\]"),
        (lambda: Hopfield(3)(np.ones((2, 4))), r"`inputs` must be \(batch, 3\). Received: inputs.shape=\(2, 4\)"),
        (lambda: BidirectionalAssociativeMemory(3, 2.5), "`units` must be a positive integer"),
        (lambda: filled_bam().store(*(side[: 1 + i] for i, side in enumerate(pairs()))), "1 of x, 2 of y"),
        (lambda: filled_bam()(np.ones((2, 60)), backwards=True), r"`inputs` must be \(batch, 50\)"),
        (lambda: ModernHopfield(3, 4, beta=0), "`beta` must be a positive number or None. Received: beta=0"),
        (
            lambda: ModernHopfield(3, 4, beta=float("inf")),
            "`beta` must be a positive number or None. Received: beta=inf",
        ),
        (lambda: modern().store(np.ones((5, 7))), r"4 at most, since 6 of 10 are stored. .*shape=\(5, 7\)"),
        (lambda: modern()(np.ones((5, 6))), r"`inputs` must be \(..., 7\)"),
    ]
    for make, message in cases:
        with pytest.raises(ValueError, match=message):
            make()


def test_an_answer_does_not_depend_on_those_beside_it():
    """Some states go to and fro for ever, while others settle."""
    layer = memory(random_signs(6, 20), updates="synchronous")
    states = random_signs(50, 20, seed=2)
    together = ops.convert_to_numpy(layer(states))
    alone = np.concatenate([ops.convert_to_numpy(layer(state[None])) for state in states])
    np.testing.assert_array_equal(together, alone)


def test_places_without_a_pattern_never_answer():
    layer = ModernHopfield(3, capacity=5, beta=8.0)
    layer.store(np.full((1, 3), 100.0))
    np.testing.assert_allclose(layer(np.full((1, 3), -100.0)), np.full((1, 3), 100.0))
