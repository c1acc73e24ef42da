"""Batches: every example once, the same for the same seed and epoch, little padding, in memory or streamed."""

import numpy as np
import pytest
import tensorflow as tf

from data.batching import NO_TARGET, Cached, batches, boundaries, cached, lengths, padding_share, prepared
from data.transforms.words import Tokenizer

TEXTS = ["good not so " * (1 + (number * 7) % 41) for number in range(203)]


def examples(prepare=None):
    raw = tf.data.Dataset.from_tensor_slices((TEXTS, list(range(len(TEXTS)))))
    prepare = prepare or Tokenizer(["good", "not"]).ragged
    return prepared(raw, prepare, lambda text, label: tf.cast(label[:, None], "float32"), chunk=50)


def listed(dataset):
    return [(ids.numpy(), target.numpy()) for ids, target in dataset]


def assert_same(some, others):
    assert len(some) == len(others)
    for (ids, target), (other_ids, other_target) in zip(some, others, strict=True):
        np.testing.assert_array_equal(ids, other_ids)
        np.testing.assert_array_equal(target, other_target)


@pytest.fixture(scope="module", params=["cached", "streamed"])
def source(request):
    return Cached(examples()) if request.param == "cached" else examples()


def test_preparing_in_chunks_gives_single_sequences_without_padding():
    tokenizer = Tokenizer(["good", "not"])
    for prepare in (tokenizer, tokenizer.ragged):
        some = listed(examples(prepare))
        assert len(some) == len(TEXTS)
        for text, (ids, _) in zip(TEXTS, some, strict=True):
            np.testing.assert_array_equal(ids, tokenizer([text])[0])


@pytest.mark.parametrize("bounds", [None, [30, 60, 123], [30]])
@pytest.mark.parametrize("seed", [None, 5])
def test_each_example_comes_once_an_epoch_with_its_ids_and_target(source, bounds, seed):
    expected = {number: ids for number, (ids, _) in enumerate(listed(examples()))}
    found = []
    for ids, target in listed(batches(source, 16, bounds, seed=seed)):
        assert ids.dtype == np.int64 and len(ids) == len(target) <= 16
        for row, number in zip(ids, target[:, 0], strict=True):
            np.testing.assert_array_equal(row[row > 0], expected[int(number)])
            found.append(int(number))
    assert sorted(found) == list(range(len(TEXTS)))
    if seed is None and bounds is None:
        assert found == sorted(found)


def test_every_batch_has_the_timesteps_of_its_bucket(source):
    assert {ids.shape[1] for ids, _ in listed(batches(source, 16, [30, 60, 123], seed=1))} == {30, 60, 123}
    assert {ids.shape[1] for ids, _ in listed(batches(source, 16, [30], seed=1))} - {30} <= set(range(31, 124))


def test_an_epoch_depends_on_seed_and_epoch_alone(source):
    first = listed(batches(source, 16, [60, 123], seed=1, epoch=3))
    assert_same(first, listed(batches(source, 16, [60, 123], seed=1, epoch=3)))
    for seed, epoch in [(2, 3), (1, 4)]:
        other = listed(batches(source, 16, [60, 123], seed=seed, epoch=epoch))
        assert [t.tolist() for _, t in first] != [t.tolist() for _, t in other]


@pytest.mark.parametrize("skip", [0, 1, 7, 1000])
def test_skipping_gives_the_tail_of_the_whole(source, skip):
    whole = listed(batches(source, 16, [60, 123], seed=1, epoch=3))
    assert_same(whole[skip:], listed(batches(source, 16, [60, 123], seed=1, epoch=3, skip=skip)))


def test_cached_batches_know_their_number():
    assert len(batches(Cached(examples()), 16, seed=1)) == 13
    assert len(batches(Cached(examples()), 16, seed=1, skip=3)) == 10


def test_the_shuffle_is_over_everything():
    first = listed(batches(Cached(examples()), 16, seed=1))[0][1]
    assert first.max() - first.min() > 100


def test_what_does_not_fit_into_memory_is_streamed():
    some = examples()
    assert cached(some, limit=100) is some
    assert isinstance(cached(some), Cached)
    with pytest.raises(MemoryError):
        Cached(some, limit=100)


@pytest.mark.parametrize("bounds", [None, [3, 12]])
def test_features_and_targets_of_each_timestep_stay_together(bounds):
    lengths = [0, 3, 1, 12, 5, 2]
    rows = tf.RaggedTensor.from_row_lengths(tf.range(1, 24, dtype="int64"), lengths)
    raw = tf.data.Dataset.from_tensor_slices((np.arange(6), rows))

    def prepare(numbers):
        chosen = tf.gather(rows, numbers)
        return chosen.with_flat_values(tf.stack([chosen.flat_values, 100 + chosen.flat_values], 1))

    some = prepared(raw, prepare, lambda numbers, labels: tf.cast(labels - 1, "int32"), chunk=4)
    for source in (Cached(some), some):
        seen = []
        for ids, targets in listed(batches(source, 4, bounds, seed=3)):
            assert ids.shape == (*targets.shape, 2) and targets.dtype == "int32"
            real = ids[..., 0] > 0
            np.testing.assert_array_equal(ids[..., 1], np.where(real, ids[..., 0] + 100, 0))
            np.testing.assert_array_equal(targets, np.where(real, ids[..., 0] - 1, -1))
            seen += real.sum(axis=1).tolist()
            assert bounds is None or targets.shape[1] in bounds
        assert sorted(seen) == sorted(lengths)
    dense = prepared(raw, lambda numbers: prepare(numbers).to_tensor(), lambda numbers, labels: labels)
    assert [len(ids) for ids, _ in dense] == lengths


def test_no_examples_make_no_batches():
    assert listed(batches(Cached(examples().take(0)), 4, [3], seed=1)) == []


def test_lengths_are_those_of_the_sequences(source):
    assert lengths(source).tolist() == [len(text.split()) for text in TEXTS]
    assert len(lengths(source, most=10)) == 10


def test_padding_stays_under_a_tenth_with_few_boundaries():
    sample = np.random.default_rng(0).lognormal(5, 0.7, 20_000).astype(int).clip(1, 400)
    found = boundaries(sample)
    assert padding_share(sample, found) < 0.10
    assert len(found) <= 8 and found == sorted(found) and found[-1] == sample.max()
    assert padding_share(sample, boundaries(sample, buckets=len(found) - 1)) >= 0.10


def test_boundaries_of_many_different_lengths_are_found_too():
    sample = np.random.default_rng(0).lognormal(6, 0.9, 50_000).astype(int) + 1
    assert len(np.unique(sample)) > 1024
    found = boundaries(sample)
    assert len(found) == 12 and found[-1] == sample.max() and padding_share(sample, found) < 0.2


def test_the_boundaries_are_the_best_there_are():
    sample = [1, 2, 2, 3, 8, 9, 15, 15, 16, 30]
    best = min(padding_share(sample, sorted({a, b, 30})) for a in sample for b in sample)
    assert padding_share(sample, boundaries(sample, buckets=3, share=0.0)) == best


def test_boundaries_of_one_length_and_of_none():
    assert boundaries([7, 7]) == [7]
    with pytest.raises(ValueError, match="at least one length"):
        boundaries([])


def test_a_batch_size_of_zero_is_refused():
    with pytest.raises(ValueError, match="batch_size=0"):
        batches(examples(), 0)


def pairs(count=700, seed=0):
    """Sequences of ids with targets that are sequences of a length of their own."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 30, (count, 2))
    ids, targets = ([np.arange(1, size + 1) + 100 * row for row, size in enumerate(side)] for side in sizes.T)
    together = tf.ragged.constant(ids, dtype="int64"), tf.ragged.constant(targets, dtype="int64")
    examples = tf.data.Dataset.from_tensor_slices(together)
    return prepared(examples, tf.identity, lambda ids, targets: targets), ids, targets


@pytest.mark.parametrize("keep", [Cached, lambda examples: examples], ids=["cached", "streamed"])
def test_targets_of_their_own_length_are_padded_to_their_own_longest(keep):
    examples, ids, targets = pairs()
    found = {}
    for source, target in batches(keep(examples), 16, [10, 29], seed=3):
        for one, other in zip(source.numpy(), target.numpy(), strict=True):
            found[tuple(one[one > 0])] = tuple(other[other != NO_TARGET])
    assert found == {tuple(one): tuple(other) for one, other in zip(ids, targets, strict=True)}


def test_targets_of_like_length_come_together_and_epochs_differ():
    examples = Cached(pairs()[0])
    first, again, other = (list(batches(examples, 16, [29], seed=3, epoch=epoch)) for epoch in (0, 0, 1))
    padded = sum(target.shape[0] * target.shape[1] for _, target in first)
    assert examples.target_lengths.sum() > 0.9 * padded
    assert all(np.array_equal(one[1], two[1]) for one, two in zip(first, again, strict=True))
    assert not all(np.array_equal(one[1], two[1]) for one, two in zip(first, other, strict=True))
