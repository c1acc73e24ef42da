"""Associative memories: how many patterns they hold, and what they recall beyond that."""

import keras
import numpy as np

from layers import BidirectionalAssociativeMemory, Hopfield, ModernHopfield

LOADS = (0.05, 0.1, 0.12, 0.13, 0.14, 0.15, 0.16, 0.2)


def random_signs(rng, *shape):
    return rng.choice([-1.0, 1.0], shape).astype("float32")


def noisy(rng, patterns, share):
    return np.where(rng.random(patterns.shape) < share, -patterns, patterns)


def answers(layer, x):
    """The layer's output, computed in a graph: eagerly each update of one unit would take a millisecond."""
    inputs = keras.Input(x.shape[1:])
    return keras.Model(inputs, layer(inputs)).predict(x, batch_size=len(x), verbose=0)


def wrong(layer, begun, patterns):
    return float((answers(layer, begun) != patterns).mean())


def hopfield(seed, units=1000, tested=100):
    """A Hopfield network's errors against its load: by Hebb's rule they jump near 0.138 patterns for each unit.

    J. J. Hopfield, 1982; the limit of 0.138 N: D. J. Amit, H. Gutfreund and H. Sompolinsky, 1985, for N without end,
    where errors jump from 1.6 % to a third and more. Figures are shares of wrong units at the fixed points that are
    reached from the stored patterns; the other rules and the modern network begin from patterns with a tenth of their
    units turned. "load" is patterns / units.
    """
    rng, found = np.random.default_rng(seed), {}
    for load in LOADS:
        patterns = random_signs(rng, int(load * units), units)
        layer = Hopfield(units, seed=seed)
        layer.store(patterns)
        found[f"Hebb, load {load}"] = wrong(layer, patterns[:tested], patterns[:tested])
    for rule, loads in (("storkey", (0.12, 0.2)), ("pseudo_inverse", (0.2, 0.5))):
        for load in loads:
            patterns = random_signs(rng, int(load * units / 4), units // 4)
            layer = Hopfield(units // 4, rule=rule, seed=seed)
            layer.store(patterns)
            begun = noisy(rng, patterns, 0.1)
            found[f"{rule.replace('_', '-')}, load {load}, a tenth turned"] = wrong(layer, begun, patterns)
    patterns = random_signs(rng, 5000, 100)
    layer = ModernHopfield(100, capacity=5000, beta=1.0)
    layer.store(patterns)
    recalled = np.sign(answers(layer, noisy(rng, patterns, 0.1)))
    return found | {"modern, load 50, a tenth turned": float((recalled != patterns).mean())}


def bam(seed, features=256, units=256):
    """A bidirectional memory recalls one side of a pair from the other while there are few pairs.

    B. Kosko, 1988. Figures are shares of wrong units of y, recalled from x with a tenth of its units turned; and of x,
    recalled from y.
    """
    rng, found = np.random.default_rng(seed), {}
    for count in (8, 16, 32, 64, 128):
        x, y = random_signs(rng, count, features), random_signs(rng, count, units)
        layer = BidirectionalAssociativeMemory(features, units)
        layer.store(x, y)
        recalled = layer(noisy(rng, x, 0.1)), layer(noisy(rng, y, 0.1), backwards=True)
        found[f"{count} pairs, y from x"] = float((np.asarray(recalled[0][1]) != y).mean())
        found[f"{count} pairs, x from y"] = float((np.asarray(recalled[1][0]) != x).mean())
    return found


ROWS = [(hopfield, "load"), (bam, "pairs")]
