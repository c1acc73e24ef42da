"""The built-in DNA: made-up bacterial promoters, and background with the same letters.

A promoter has the two boxes of E. coli's sigma 70, at -35 and at -10, with 15 to 19 bases between them, anywhere and on
either strand. All else is drawn from one composition. The letters of a background sequence are drawn in the same way,
boxes included, and then ordered otherwise, so the composition says nothing. About half of the background has
boxes, but never a pair of them in the right order and at the right distance, so that k-mers say little.

Source: the consensus TTGACA and TATAAT, and the distance of 17 bases, are those of "Compilation and analysis of
Escherichia coli promoter DNA sequences", Hawley and McClure, 1983, and "Analysis of E. coli promoter sequences", Harley
and Reynolds, 1987. The probabilities are not: in real promoters a base of the consensus occurs in about 50 to 95 % of
the sequences, and what is near a box helps too. With the boxes alone, such matrices identify few promoters in 100
bases; so the ones here are rounded, sharper ones, with the best conserved bases (TTG, and TA and the last T) ahead.
"""

import functools
import itertools
import random

import tensorflow as tf

from data.transforms.dna import reverse_complement

SPLITS = {"train": 4000, "validation": 500, "test": 500}  # sequences
BASES = "ACGT"
COMPOSITION = (0.27, 0.23, 0.23, 0.27)  # probabilities of A, C, G and T outside of the boxes
SHORTEST, LONGEST = 80, 120  # bases
SPACERS = {15: 0.1, 16: 0.2, 17: 0.4, 18: 0.2, 19: 0.1}  # bases between the boxes -> probability
WRONG_SPACERS = (*range(6, 11), *range(26, 31))
# The consensus of each box, and the probability of each of its bases; the other three share the rest equally.
MINUS_35 = ("TTGACA", (0.98, 0.98, 0.97, 0.96, 0.95, 0.95))
MINUS_10 = ("TATAAT", (0.97, 0.98, 0.95, 0.96, 0.95, 0.98))
# Kinds of background, with their weights: without boxes, with one of them, with a wrong distance, in the wrong order.
BACKGROUND = {"shuffled": 5, "minus 35": 1, "minus 10": 1, "distance": 2, "order": 1}


def matrix(box):
    """The position weight matrix of a box: for each of its bases the probabilities of A, C, G and T.

    Example:
        >>> [round(share, 4) for share in matrix(MINUS_35)[0]]
        [0.0067, 0.0067, 0.0067, 0.98]
    """
    return [[share if base == one else (1 - share) / 3 for base in BASES] for one, share in zip(*box, strict=True)]


def built_in(split, seed=0):
    """Sequences of 80 to 120 bases, half of them "promoter" and half "background".

    No sequence occurs twice, within a split or in two.

    Args:
        split: "train" (4,000 sequences), "validation" (500) or "test" (500).
        seed: Seed of the generator: another seed gives other sequences.

    Returns:
        A `tf.data.Dataset` of (sequence, label): scalar strings, in a fixed order.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> for sequence, label in built_in("train").take(1):
        ...     print(sequence.dtype, label.dtype)
        <dtype: 'string'> <dtype: 'string'>
    """
    sequences, labels, _ = zip(*_of(split, seed), strict=True)
    return tf.data.Dataset.from_tensor_slices((list(sequences), list(labels)))


def planted(split, seed=0):
    """Where the boxes of the promoters are.

    Args:
        split, seed: As for `built_in`.

    Returns:
        For each sequence, in the order of `built_in`, a list of (start, end, strand), first of the box at -35, then of
        that at -10: bases of the sequence as it is given, from 0, the end not included, and "+" or "-". The list is
        empty for background, whatever boxes it has.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> [len(boxes) for boxes in planted("validation")[:6]]
        [0, 0, 0, 0, 2, 0]
    """
    return [list(boxes) for _, _, boxes in _of(split, seed)]


def _of(split, seed):
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}.")
    return _made(seed)[split]


@functools.lru_cache(maxsize=2)
def _made(seed):
    """Split -> (sequence, label, boxes) of each example; every other one is a promoter before they are shuffled."""
    rng, seen, made = random.Random(seed), set(), {}
    for split, size in SPLITS.items():
        some = []
        while len(some) < size:
            label = "promoter" if len(some) % 2 else "background"
            sequence, boxes = _sequence(rng, label)
            if sequence not in seen:
                seen.add(sequence)
                some.append((sequence, label, boxes))
        rng.shuffle(some)
        made[split] = some
    return made


def _sequence(rng, label):
    """A sequence and its boxes; whatever its label, its letters are those of both boxes and of the composition."""
    length = rng.randint(SHORTEST, LONGEST)
    minus_35, minus_10 = (_drawn(rng, box) for box in _MATRICES)
    others = rng.choices(BASES, COMPOSITION, k=length - len(minus_35) - len(minus_10))
    spacer = rng.choices(list(SPACERS), list(SPACERS.values()))[0]
    kind = "promoter" if label == "promoter" else rng.choices(list(BACKGROUND), list(BACKGROUND.values()))[0]
    if kind in ("shuffled", "minus 35", "minus 10"):
        kept = {"shuffled": [], "minus 35": minus_35, "minus 10": minus_10}[kind]
        others += {"shuffled": minus_35 + minus_10, "minus 35": minus_10, "minus 10": minus_35}[kind]
        rng.shuffle(others)
        start = rng.randint(0, len(others))
        letters = others[:start] + kept + others[start:]
    else:
        spacer = rng.choice(WRONG_SPACERS) if kind == "distance" else spacer
        first, second = (minus_10, minus_35) if kind == "order" else (minus_35, minus_10)
        start = rng.randint(0, len(others) - spacer)
        letters = others[:start] + first + others[start : start + spacer] + second + others[start + spacer :]
    sequence, boxes = "".join(letters), []
    if kind == "promoter":
        boxes = [(start, start + 6, "+"), (start + 6 + spacer, start + 12 + spacer, "+")]
    if rng.random() < 0.5:
        sequence = reverse_complement(sequence)
        boxes = [(length - end, length - start, "-") for start, end, _ in boxes]
    return sequence, boxes


_MATRICES = [[list(itertools.accumulate(shares)) for shares in matrix(box)] for box in (MINUS_35, MINUS_10)]


def _drawn(rng, weights):
    """The letters of one box."""
    return [rng.choices(BASES, cum_weights=shares)[0] for shares in weights]
