"""Examples to batches: prepared in chunks, cached, shuffled from a seed, in buckets of like length.

The order of an epoch is a function of (seed, epoch) alone. Training that was killed rebuilds the epoch and skips the
batches that it has seen.
"""

import numpy as np
import tensorflow as tf

TOKENS_IN_MEMORY = 200_000_000  # 4 bytes each
NO_TARGET = -1  # at padding, where a target is a sequence
POOL = 50  # batches whose examples are put in the order of their targets' lengths, where these are their own


def prepared(examples, prepare, target, *, chunk=512):
    """Raw examples to sequences and targets, a chunk at a time: what a call costs is shared by `chunk` examples.

    Args:
        examples: `tf.data.Dataset` of (input, label).
        prepare: Inputs `(chunk, ...)` -> ids `(chunk, timesteps)` or `(chunk, timesteps, features)`, ragged or padded
            with 0 at the right.
        target: Inputs, labels `(chunk, ...)`, ragged where they differ in size -> targets `(chunk, ...)`, or a sequence
            of targets for each, `(chunk, timesteps)` ragged integers, as many as there are ids or others.
        chunk: Examples at a time.

    Returns:
        `tf.data.Dataset` of (ids `(timesteps, ...)`, target), in the order of `examples`.
    """

    def transform(inputs, labels):
        ids = prepare(inputs)
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids, padding=tf.zeros(ids.shape[2:], ids.dtype))
        return ids, target(inputs, labels)

    return examples.ragged_batch(chunk).map(transform, num_parallel_calls=2).unbatch()


def held_out(examples, *, share, seed):
    """Two data sets from one: a part held out, chosen by the place of each example and the seed.

    Args:
        examples: `tf.data.Dataset`, of any elements, in a fixed order.
        share: Share held out, in (0, 1); what is held out comes close to it.
        seed: An integer; the same one holds out the same examples.

    Returns:
        `(kept, held out)`, both in the order of `examples`.

    Example:
        >>> kept, held = held_out(tf.data.Dataset.range(1000), share=0.1, seed=0)
        >>> len(list(kept)) + len(list(held))
        1000
    """

    def held(place, example):
        return tf.strings.to_hash_bucket_strong(tf.strings.as_string(place), 1000, [seed, 0]) < round(1000 * share)

    def kept(place, example):
        return tf.logical_not(held(place, example))

    def alone(place, example):
        return example

    numbered = examples.enumerate()
    return numbered.filter(kept).map(alone), numbered.filter(held).map(alone)


class Cached:
    """Prepared examples in memory: all ids in one array, so that an exact shuffle is a permutation.

    Args:
        examples: `tf.data.Dataset` of (ids `(timesteps, ...)`, target), as `prepared` gives it, read once, here.
        limit: Ids that may be held; with more of them `MemoryError` is raised, see `cached`.

    Attributes:
        lengths: `(examples,)` timesteps of each.
        targets: `(examples, ...)`, or, where they are sequences, those of all examples in a row.
        target_lengths: `(examples,)` their timesteps, where they are sequences; else None.

    Raises:
        MemoryError: if there are more than `limit` ids.
    """

    def __init__(self, examples, limit=TOKENS_IN_MEMORY):
        ids, lengths, targets, target_lengths, held = [], [], [], [], 0
        for some_ids, some_targets in examples.ragged_batch(1024).prefetch(1):
            ids.append(some_ids.flat_values.numpy().astype("int32"))
            lengths.append(some_ids.row_lengths().numpy())
            targets.append(getattr(some_targets, "flat_values", some_targets).numpy())
            if isinstance(some_targets, tf.RaggedTensor):
                target_lengths.append(some_targets.row_lengths().numpy())
            held += ids[-1].size
            if held > limit:
                raise MemoryError(f"the examples have more than {limit} ids.")
        ids_spec, spec = examples.element_spec
        shape = [size or 0 for size in spec.shape]
        self.ids = np.concatenate([np.zeros([0, *ids_spec.shape[1:]], "int32"), *ids])
        self.lengths = np.concatenate([np.zeros(0, "int64"), *lengths])
        sequences = spec.shape.rank == 1 and spec.shape[0] is None
        none = np.zeros(shape if sequences else [0, *shape], spec.dtype.as_numpy_dtype)
        self.targets = np.concatenate([none, *targets])
        self.target_lengths = np.concatenate([np.zeros(0, "int64"), *target_lengths]) if sequences else None
        self.starts, self.target_starts = _starts(self.lengths), _starts(self.target_lengths)
        self.one_for_each = sequences and np.array_equal(self.lengths, self.target_lengths)
        self.specs = tf.TensorSpec([None, *ids_spec.shape], "int64"), tf.TensorSpec([None, *spec.shape], spec.dtype)

    def __len__(self):
        return len(self.lengths)

    def batch(self, rows, timesteps):
        """`(ids, targets)` of the examples `rows`, padded with 0 and -1: ids to `timesteps`, and so are targets where
        there is one for each timestep; others to the longest of their own.
        """
        ids = _padded(self.ids, self.starts[rows], self.lengths[rows], timesteps, 0).astype("int64")
        if self.target_lengths is None:
            return ids, self.targets[rows]
        lengths = self.target_lengths[rows]
        longest = timesteps if self.one_for_each else lengths.max(initial=0)
        return ids, _padded(self.targets, self.target_starts[rows], lengths, longest, NO_TARGET)


def _starts(lengths):
    return None if lengths is None else np.cumsum(lengths) - lengths


def _padded(values, starts, lengths, timesteps, padding):
    """The sequences of `values` that begin at `starts`, `(len(starts), timesteps, ...)`."""
    step = np.arange(timesteps)
    real = step < lengths[:, None]  # (batch, timesteps)
    found = np.full(real.shape + values.shape[1:], padding, values.dtype)
    found[real] = values[(starts[:, None] + step)[real]]
    return found


def cached(examples, limit=TOKENS_IN_MEMORY):
    """`examples` in memory if they fit, else as they came; `batches` takes both.

    Args:
        examples: `tf.data.Dataset` of (ids `(timesteps, ...)`, target).
        limit: Ids that may be held.

    Returns:
        `Cached`, or `examples`.
    """
    try:
        return Cached(examples, limit)
    except MemoryError:
        return examples


def lengths(examples, most=200_000):
    """Timesteps of the first `most` examples, `(examples,)` int64: what `boundaries` wants to know."""
    if isinstance(examples, Cached):
        return examples.lengths[:most]
    some = examples.take(most).map(lambda ids, target: tf.shape(ids, "int64")[0]).batch(4096)
    return np.concatenate([np.zeros(0, "int64"), *some.as_numpy_iterator()])


def count(examples):
    """Number of examples; those that are not cached are read once more."""
    if isinstance(examples, Cached):
        return len(examples)
    return int(examples.reduce(np.int64(0), lambda found, *example: found + 1))


def padding_share(lengths, boundaries):
    """Share of padding among all timesteps, in [0, 1), when each sequence is padded to its bucket's boundary.

    Example:
        >>> round(padding_share([3, 4, 9], [4, 10]), 2)
        0.11
    """
    lengths = np.asarray(lengths)
    place = np.searchsorted(boundaries, lengths)  # those past the last boundary are counted as they are
    padded = np.where(place < len(boundaries), np.take(boundaries, place, mode="clip"), lengths)
    return float(1 - lengths.sum() / max(1, padded.sum()))


def boundaries(lengths, buckets=12, *, share=0.10):
    """The lengths to pad to: as few as keep padding under `share`, and placed so that padding is least.

    XLA compiles once for each shape, so fewer buckets start faster; padding is work for nothing. For each number of
    buckets the best boundaries are found exactly, by dynamic programming over the histogram of the lengths.

    Args:
        lengths: `(examples,)` timesteps, positive integers.
        buckets: Boundaries at most, even if padding is then above `share`.
        share: Padding among all timesteps, in [0, 1).

    Returns:
        Increasing list of `int`; the last is the longest length.

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
    if len(bounds) > 1024:  # candidates close enough together, where the sequences are many and where they are few
        steps = np.geomspace(lengths[0], lengths[-1], 512).astype("int64")
        few = lengths[np.searchsorted(lengths, steps).clip(max=len(lengths) - 1)]
        bounds = np.unique(np.concatenate([np.quantile(lengths, np.linspace(0, 1, 512), method="higher"), few]))
    upto = np.searchsorted(lengths, bounds, side="right")  # sequences that fit under each candidate
    # padded[i, j]: timesteps when the sequences above candidate i - 1 up to candidate j are padded to j.
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


def batches(examples, batch_size, boundaries=None, *, seed=None, epoch=0, skip=0, buffer=20_000):
    """Batches of an epoch: each example once, sequences of like length together, the last ones smaller.

    Cached examples are shuffled exactly and `skip` costs nothing; others are streamed through a shuffle buffer.

    Args:
        examples: `Cached`, or a `tf.data.Dataset` of (ids `(timesteps, ...)`, target).
        batch_size: Examples in a batch, a positive integer.
        boundaries: Lengths to pad to, increasing; None, and sequences longer than the last, pad to the longest in
            the batch.
        seed: For the shuffle; None keeps the order: exactly without `boundaries`, within each bucket with them.
        epoch: Number of the epoch: each has an order of its own.
        skip: Batches to leave out at the beginning.
        buffer: Examples in the shuffle buffer, for examples that are not cached.

    Returns:
        `tf.data.Dataset` of (ids `(batch, timesteps, ...)` int64, targets `(batch, ...)`), the same for the same
        (seed, epoch).

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
    if isinstance(examples, Cached):
        made = _cached_batches(examples, batch_size, bounds, seed, epoch, skip)
    else:
        made = _streamed_batches(examples, batch_size, bounds, seed, epoch, buffer).skip(skip)
    return made.prefetch(4)


def _cached_batches(examples, batch_size, bounds, seed, epoch, skip):
    rng = None if seed is None else np.random.default_rng([seed, epoch])
    order = np.arange(len(examples)) if rng is None else rng.permutation(len(examples))
    bucket = np.searchsorted(bounds, examples.lengths[order])
    plan = []  # (rows, bucket) of each batch
    for number in np.unique(bucket):
        rows = order[bucket == number]
        if examples.target_lengths is not None and not examples.one_for_each:
            rows = _by_length(rows, examples.target_lengths, POOL * batch_size)
        plan += [(rows[start : start + batch_size], number) for start in range(0, len(rows), batch_size)]
    if rng is not None:
        plan = [plan[place] for place in rng.permutation(len(plan))]

    def generate():
        for rows, number in plan[skip:]:
            yield examples.batch(rows, bounds[number] if number < len(bounds) else examples.lengths[rows].max())

    count = max(0, len(plan) - skip)
    return tf.data.Dataset.from_generator(generate, output_signature=examples.specs).apply(
        tf.data.experimental.assert_cardinality(count)
    )


def _by_length(rows, lengths, pool):
    """`rows`, each `pool` of them in the order of their lengths: batches then hold targets of like length too."""
    pools = [rows[start : start + pool] for start in range(0, len(rows), pool)]
    return np.concatenate([some[np.argsort(lengths[some], kind="stable")] for some in pools])


def _streamed_batches(examples, batch_size, bounds, seed, epoch, buffer):
    if seed is not None:
        mixed = int(np.random.default_rng([seed, epoch]).integers(2**31))
        examples = examples.shuffle(buffer, seed=mixed, reshuffle_each_iteration=False)
    examples = examples.map(lambda ids, target: (tf.cast(ids, "int64"), target))
    kind = examples.element_spec[1]
    padding = tf.zeros([], "int64"), tf.cast(NO_TARGET, kind.dtype)
    if not len(bounds):
        return examples.padded_batch(batch_size, padding_values=padding)
    grouped = examples.bucket_by_sequence_length(
        lambda ids, target: tf.shape(ids)[0],
        bucket_boundaries=[int(bound) + 1 for bound in bounds],
        bucket_batch_sizes=[batch_size] * (len(bounds) + 1),
        padding_values=padding,
    )

    def pad(ids, targets):
        longest = tf.shape(ids, "int64")[1]
        place = tf.searchsorted(bounds, longest[None])[0]
        more = [0, tf.gather(tf.concat([bounds, longest[None]], 0), place) - longest]
        ids = tf.pad(ids, [[0, 0], more, *[[0, 0]] * (len(ids.shape) - 2)])
        return ids, tf.pad(targets, [[0, 0], more], constant_values=padding[1]) if kind.shape.rank else targets

    return grouped.map(pad)
