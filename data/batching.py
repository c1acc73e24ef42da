"""Examples to batches: shuffled with a seed, in buckets of similar length, padded.

The order of an epoch is a function of (seed, epoch) alone. Resumed training rebuilds the epoch and skips the batches
that it has seen.
"""

import numpy as np
import tensorflow as tf

from data.examples import NO_TARGET, dense, prepared, prepared_splits, untuned
from data.kept import MEMORY, Cached, cached, temporary

__all__ = [
    "MEMORY",
    "NO_TARGET",
    "Cached",
    "batches",
    "boundaries",
    "bounds_of",
    "cached",
    "count",
    "dense",
    "held_out",
    "padding_share",
    "prepared",
    "prepared_splits",
    "temporary",
]

POOL = 50  # batches whose examples are sorted by the lengths of their targets, if these differ from the features'
MEASURED = 200_000  # examples from whose lengths the boundaries are computed, at most


def held_out(examples, *, share, seed, labels=None):
    """Splits a data set in two: the held-out part is chosen by the position of each example and the seed.

    Args:
        examples: `tf.data.Dataset`, of any elements, in a fixed order.
        share: Share held out, in (0, 1), approximately.
        seed: An integer; the same seed holds out the same examples.
        labels: Maps the second component of an element, as NumPy has it, to the labels in it: an example with a label
            that no kept one has is kept too. The examples are then read once.

    Returns:
        `(kept, held out)`, both in the order of `examples`.

    Example:
        >>> kept, held = held_out(tf.data.Dataset.range(1000), share=0.1, seed=0)
        >>> len(list(kept)) + len(list(held))
        1000
    """

    def drawn(place):
        return tf.strings.to_hash_bucket_strong(tf.strings.as_string(place), 1000, [seed, 0]) < round(1000 * share)

    def held(place, example):
        return drawn(place) if not only else drawn(place) & tf.reduce_all(place != only)

    def kept(place, example):
        return tf.logical_not(held(place, example))

    def alone(place, example):
        return example

    numbered = examples.enumerate()
    only = []  # places of drawn examples that are kept, as they alone have a label
    if labels:
        seen, waiting = set(), []
        pairs = numbered.map(lambda place, example: (place, drawn(place), example[1]))
        for place, is_drawn, label in pairs.as_numpy_iterator():
            if is_drawn:
                waiting.append((place, set(labels(label))))
            else:
                seen.update(labels(label))
        for place, names in waiting:
            if not names <= seen:
                only.append(place)
                seen |= names
    return numbered.filter(kept).map(alone), numbered.filter(held).map(alone)


def count(examples):
    """Number of examples; a `tf.data.Dataset` of unknown cardinality is read once."""
    known = len(examples) if isinstance(examples, Cached) else int(examples.cardinality())
    return known if known >= 0 else int(examples.reduce(np.int64(0), lambda found, *example: found + 1))


def bounds_of(examples):
    """The `boundaries` for `Cached` examples; an empty list if their features hold no sequence."""
    return boundaries(examples.lengths[:MEASURED]) if examples.lengths is not None and len(examples) else []


def padding_share(lengths, boundaries):
    """Share of padding among all timesteps, in [0, 1), when each sequence is padded to its bucket's boundary.

    Example:
        >>> round(padding_share([3, 4, 9], [4, 10]), 2)
        0.11
    """
    lengths = np.asarray(lengths)
    place = np.searchsorted(boundaries, lengths)  # sequences past the last boundary count as not padded
    padded = np.where(place < len(boundaries), np.take(boundaries, place, mode="clip"), lengths)
    return float(1 - lengths.sum() / max(1, padded.sum()))


def boundaries(lengths, buckets=12, *, share=0.10):
    """The lengths to pad to: the fewest that keep padding under `share`, placed so that padding is least.

    XLA compiles once for each shape, so fewer buckets start faster; padding is wasted work. For each number of
    buckets the best boundaries are found exactly, by dynamic programming over the histogram of the lengths.

    Args:
        lengths: `(examples,)` timesteps, positive integers.
        buckets: Largest number of boundaries, even if padding is then above `share`.
        share: Share of padding among all timesteps, in [0, 1).

    Returns:
        Increasing list of `int`; the last one is the longest length.

    Raises:
        ValueError: if there are no lengths.

    Example:
        >>> boundaries([3, 3, 4, 20, 20, 21])
        [4, 21]
    """
    lengths = np.maximum(np.asarray(lengths, "int64"), 1)
    if not len(lengths):
        raise ValueError("`lengths` must hold at least one length. Received: none.")
    lengths = np.sort(lengths)
    bounds = np.unique(lengths)
    if len(bounds) > 1024:  # fewer candidates: quantiles, dense where sequences are many, and steps where they are few
        steps = np.geomspace(lengths[0], lengths[-1], 512).astype("int64")
        few = lengths[np.searchsorted(lengths, steps).clip(max=len(lengths) - 1)]
        bounds = np.unique(np.concatenate([np.quantile(lengths, np.linspace(0, 1, 512), method="higher"), few]))
    upto = np.searchsorted(lengths, bounds, side="right")  # sequences that fit under each candidate
    # padded[i, j]: timesteps if the sequences longer than candidate i - 1, up to candidate j, are padded to j.
    before = np.concatenate([[0], upto[:-1]])
    padded = np.where(
        np.arange(len(bounds))[:, None] <= np.arange(len(bounds)), (upto - before[:, None]) * bounds, np.inf
    )
    least, chosen = padded[0], []
    for used in range(1, max(1, min(buckets, len(bounds))) + 1):
        if used > 1:
            total = least[:-1, None] + padded[1:]  # (last boundary before, this boundary)
            chosen.append(total.argmin(axis=0))
            least = total.min(axis=0)
        if 1 - lengths.sum() / least[-1] < share:
            break
    last, found = len(bounds) - 1, []
    for previous in reversed([None, *chosen]):
        found.append(int(bounds[last]))
        last = last if previous is None else previous[last]
    return found[::-1]


def batches(examples, batch_size, boundaries=None, *, seed=None, epoch=0, skip=0):
    """Batches of an epoch: each example once, sequences of similar length together; the last batches are smaller.

    The shuffle is exact and `skip` costs nothing. Buckets are made by the length of the main sequence, the first among
    the features; without one there is a single bucket. Sequences that always have as many timesteps as the main one are
    padded to the bucket's boundary, others to the longest in the batch. Where targets are sequences of another length,
    a batch holds targets of similar length.

    Args:
        examples: `Cached`.
        batch_size: Examples in a batch, a positive integer.
        boundaries: Lengths to pad to, increasing. Without them, or past the last of them, sequences are padded to the
            longest in the batch.
        seed: For the shuffle; None keeps the order: exactly without `boundaries`, within each bucket with them.
        epoch: Number of the epoch; each epoch has another order.
        skip: Number of batches to leave out at the beginning.

    Returns:
        `tf.data.Dataset` of known cardinality, the same for the same (seed, epoch), of (features, targets) or
        (features, targets, sample weights), as `dense` and `dense_targets` of `data.examples` give them.

    Raises:
        ValueError: if `batch_size` is not a positive integer.

    Example:
        >>> sequences = tf.ragged.constant([[5, 6], [7]], dtype="int64")
        >>> examples = tf.data.Dataset.from_tensor_slices((sequences, [0.0, 1.0]))
        >>> examples = prepared(examples, tf.identity, lambda ids, target: target)
        >>> for ids, target in batches(Cached(examples), batch_size=2, boundaries=[3]):
        ...     print(ids.numpy().tolist(), target.numpy().tolist())
        [[5, 6, 0], [7, 0, 0]] [0.0, 1.0]
    """
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be a positive integer. Received: batch_size={batch_size}.")
    bounds = np.asarray([] if boundaries is None else boundaries, "int64")
    plan = _plan(examples, batch_size, bounds, seed, epoch)

    def gather(number):
        rows, bucket = plan[number]
        if examples.lengths is None:
            timesteps = 0  # there is no sequence
        else:
            timesteps = bounds[bucket] if bucket < len(bounds) else examples.lengths[rows].max()
        return np.int64(timesteps), *examples.rows(rows)

    @tf.autograph.experimental.do_not_convert
    def batch(number):
        timesteps, *arrays = tf.numpy_function(gather, [number], [tf.int64, *examples.dtypes], stateful=False)
        return examples.batch(arrays, tf.ensure_shape(timesteps, []))

    return untuned(tf.data.Dataset.range(min(skip, len(plan)), len(plan)).map(batch).prefetch(4))


def _plan(examples, batch_size, bounds, seed, epoch):
    """(rows, number of the bucket) of each batch, in order."""
    rng = None if seed is None else np.random.default_rng([seed, epoch])
    order = np.arange(len(examples)) if rng is None else rng.permutation(len(examples))
    bucket = np.searchsorted(bounds, examples.lengths[order]) if examples.lengths is not None else np.zeros_like(order)
    plan = []
    for number in np.unique(bucket):
        rows = order[bucket == number]
        if examples.target_lengths is not None and not examples.one_for_each:
            rows = _by_length(rows, examples.target_lengths, POOL * batch_size)
        plan += [(rows[start : start + batch_size], number) for start in range(0, len(rows), batch_size)]
    return plan if rng is None else [plan[place] for place in rng.permutation(len(plan))]


def _by_length(rows, lengths, pool):
    """`rows`, sorted by length within each `pool` of them, so that batches hold targets of similar length too."""
    pools = [rows[start : start + pool] for start in range(0, len(rows), pool)]
    return np.concatenate([some[np.argsort(lengths[some], kind="stable")] for some in pools])
