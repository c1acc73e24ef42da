"""Batches of examples of any kind: each example once, the same for the same seed and epoch, in memory as in files."""

import json
import pathlib
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf

from data import kept
from data.batching import (
    NO_TARGET,
    Cached,
    batches,
    boundaries,
    bounds_of,
    cached,
    count,
    dense,
    held_out,
    padding_share,
    prepared,
    prepared_splits,
)
from data.sets import bitext, captions, entities, reviews, sequences
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


@pytest.fixture(scope="module", params=["memory", "files"])
def source(request, tmp_path_factory):
    return cached(examples(), *([] if request.param == "memory" else [100, tmp_path_factory.mktemp("kept")]))


def test_preparing_in_chunks_gives_single_sequences_without_padding():
    tokenizer = Tokenizer(["good", "not"])
    for prepare in (tokenizer, tokenizer.ragged):
        some = [ids for chunk, _ in examples(prepare) for ids in chunk.to_list()]
        assert some == [row[row > 0].tolist() for row in tokenizer(TEXTS).numpy()]


@pytest.mark.parametrize("none", [("validation",), ("train", "test"), ("train", "validation", "more", "test")], ids=str)
def test_splits_prepared_together_are_those_prepared_alone(none):
    """Also splits without examples, wherever they are."""
    raw = tf.data.Dataset.from_tensor_slices((TEXTS, np.arange(len(TEXTS))))
    splits = {
        "train": raw.take(70),
        "validation": raw.skip(70).take(1),
        "more": raw.skip(71),
        "test": raw.skip(9).take(50),
    }
    splits |= {name: raw.take(0) for name in none}
    letters = lambda texts: {"ids": tf.strings.unicode_decode(texts, "UTF-8"), "size": tf.strings.length(texts)}
    how = letters, lambda _, row: row
    found = []
    for name, chunks in prepared_splits(splits, *how, chunk=25):
        alone = prepared(splits[name], *how, chunk=25)
        assert chunks.element_spec == alone.element_spec
        chunks = list(chunks)
        assert len(chunks) == len(list(alone))
        for together, one in zip(chunks, alone, strict=True):
            tf.nest.map_structure(np.testing.assert_array_equal, *map(flat, (tuple(together), one)))
        found.append(name)
    assert found == list(splits)


def flat(chunk):
    """A chunk's numbers, with the row lengths of its sequences."""
    return [part.numpy() for part in tf.nest.flatten(chunk, expand_composites=True)]


def test_a_split_that_is_read_no_further_does_not_delay_the_next():
    raw = tf.data.Dataset.from_tensor_slices((TEXTS, np.arange(len(TEXTS))))
    splits = {"one": raw.take(90), "two": raw.skip(90)}
    made = prepared_splits(splits, tf.strings.length, lambda _, row: row, chunk=20)
    firsts = {name: int(next(iter(chunks))[1][0]) for name, chunks in made}
    assert firsts == {"one": 0, "two": 90}


@pytest.mark.parametrize(
    "dataset",
    [
        lambda: bitext.load("tests/fixtures/pairs.tsv"),
        lambda: captions.load("tests/fixtures/captions.csv"),
        lambda: entities.load("tests/fixtures/entities.conll"),
        lambda: reviews.load("tests/fixtures/reviews.csv"),
        lambda: sequences.load("tests/fixtures/sequences.csv"),
        lambda: examples(),
        lambda: batches(Cached(examples()), 4),
    ],
    ids=["bitext", "captions", "entities", "reviews", "sequences", "prepared", "batches"],
)
def test_an_iterator_that_has_ended_does_not_wait_for_the_tuning_of_tensorflow(dataset):
    assert dataset().options().autotune.enabled is False


@pytest.mark.parametrize("bounds", [None, [30, 60, 123], [30]])
@pytest.mark.parametrize("seed", [None, 5])
def test_each_example_comes_once_an_epoch_with_its_ids_and_target(source, bounds, seed):
    tokenizer = Tokenizer(["good", "not"])
    found = []
    for ids, target in listed(batches(source, 16, bounds, seed=seed)):
        assert ids.dtype == np.int64 and len(ids) == len(target) <= 16
        expected = tokenizer([TEXTS[int(number)] for number in target[:, 0]]).numpy()
        np.testing.assert_array_equal(ids[:, : expected.shape[1]], expected)
        assert not ids[:, expected.shape[1] :].any()
        found += target[:, 0].tolist()
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


def test_the_order_is_this_permutation():
    """Runs that were killed under an earlier version go on with the same batches."""
    places = np.random.default_rng([7, 2]).permutation(203)
    found = np.concatenate([target[:, 0] for _, target in listed(batches(Cached(examples()), 203, seed=7, epoch=2))])
    np.testing.assert_array_equal(found, places)
    rng = np.random.default_rng([7, 2])
    order, lengths = rng.permutation(203), np.array([len(text.split()) for text in TEXTS])
    short, long = order[lengths[order] <= 60], order[lengths[order] > 60]
    plan = [rows[start : start + 16] for rows in (short, long) for start in range(0, len(rows), 16)]
    plan = [plan[place].tolist() for place in rng.permutation(len(plan))]
    found = listed(batches(Cached(examples()), 16, [60, 123], seed=7, epoch=2))
    assert [target[:, 0].tolist() for _, target in found] == plan


@pytest.mark.parametrize("skip", [0, 1, 7, 1000])
def test_skipping_gives_the_tail_of_the_whole(source, skip):
    whole = listed(batches(source, 16, [60, 123], seed=1, epoch=3))
    assert_same(whole[skip:], listed(batches(source, 16, [60, 123], seed=1, epoch=3, skip=skip)))


def test_batches_and_examples_know_their_number(source):
    assert len(batches(source, 16, seed=1)) == 13
    assert len(batches(source, 16, seed=1, skip=3)) == 10
    assert len(source) == count(source) == 203
    raw = tf.data.Dataset.range(7)
    assert count(raw) == 7 and count(raw.filter(lambda number: number > 2)) == 4


def test_the_shuffle_is_over_everything(source):
    first = listed(batches(source, 16, seed=1))[0][1]
    assert first.max() - first.min() > 100


@pytest.mark.parametrize("bounds", [None, [3, 12]])
def test_features_and_targets_of_each_timestep_stay_together(bounds):
    lengths = [0, 3, 1, 12, 5, 2]
    rows = tf.RaggedTensor.from_row_lengths(tf.range(1, 24, dtype="int64"), lengths)
    raw = tf.data.Dataset.from_tensor_slices((np.arange(6), rows))

    def prepare(numbers):
        chosen = tf.gather(rows, numbers)
        return chosen.with_flat_values(tf.stack([chosen.flat_values, 100 + chosen.flat_values], 1))

    some = Cached(prepared(raw, prepare, lambda numbers, labels: tf.cast(labels - 1, "int32"), chunk=4))
    assert some.one_for_each
    seen = []
    for ids, targets in listed(batches(some, 4, bounds, seed=3)):
        assert ids.shape == (*targets.shape, 2) and targets.dtype == "int32"
        real = ids[..., 0] > 0
        np.testing.assert_array_equal(ids[..., 1], np.where(real, ids[..., 0] + 100, 0))
        np.testing.assert_array_equal(targets, np.where(real, ids[..., 0] - 1, -1))
        seen += real.sum(axis=1).tolist()
        assert bounds is None or targets.shape[1] in bounds
    assert sorted(seen) == sorted(lengths)
    padded = Cached(prepared(raw, lambda numbers: prepare(numbers).to_tensor(), lambda numbers, labels: labels))
    assert padded.lengths.tolist() == lengths


def test_no_examples_make_no_batches():
    none = Cached(examples().take(0))
    assert listed(batches(none, 4, [3], seed=1)) == [] and bounds_of(none) == []


def test_lengths_are_those_of_the_sequences(source):
    assert source.lengths.tolist() == [len(text.split()) for text in TEXTS]
    assert bounds_of(source) == boundaries([len(text.split()) for text in TEXTS])


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


def test_a_batch_size_of_zero_is_refused(source):
    with pytest.raises(ValueError, match="batch_size=0"):
        batches(source, 0)


def pairs(count=700, seed=0):
    """Sequences of ids with targets that are sequences of a length of their own."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 30, (count, 2))
    ids, targets = ([np.arange(1, size + 1) + 100 * row for row, size in enumerate(side)] for side in sizes.T)
    together = tf.ragged.constant(ids, dtype="int64"), tf.ragged.constant(targets, dtype="int64")
    examples = tf.data.Dataset.from_tensor_slices(together)
    return prepared(examples, tf.identity, lambda ids, targets: targets), ids, targets


def test_targets_of_their_own_length_are_padded_to_their_own_longest():
    examples, ids, targets = pairs()
    found = {}
    for source, target in batches(Cached(examples), 16, [10, 29], seed=3):
        assert source.shape[1] in (10, 29) and np.any(target[:, -1] != NO_TARGET)
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


# Examples of every kind. The references below read these lists; what is tested is given the tensors made of them.
NUMBER = 60
RNG = np.random.default_rng(4)
LENGTHS, OTHER = RNG.integers(1, 13, NUMBER), RNG.integers(0, 9, NUMBER)
LENGTHS[7] = 0


def some(lengths, *inner, dtype="float32"):
    draw = RNG.normal if np.issubdtype(dtype, np.floating) else lambda size: RNG.integers(1, 100, size)
    return [draw(size=(length, *inner)).astype(dtype) for length in lengths]


LISTS = {
    "ids": some(LENGTHS, dtype="int64"),
    "small": some(LENGTHS, dtype="int32"),
    "spelling": some(LENGTHS, 3, dtype="int64"),
    "wide": [ids + 2**40 for ids in some(LENGTHS, dtype="int64")],
    "heard": some(LENGTHS, 5),
    "frames": some(LENGTHS, 4, 4, 3, dtype="uint8"),
    "context": some(OTHER, dtype="int64"),
    "drawn": some(OTHER, 2),
    "caption": some(OTHER, dtype="int64"),
    "tags": some(LENGTHS, dtype="int32"),
    "pressure": some(LENGTHS),
    "notes": [(RNG.random((length, 6)) < 0.3).astype("int32") for length in LENGTHS],
    "soft": some(LENGTHS, 6),
    "image": RNG.integers(0, 256, (NUMBER, 6, 7, 3)).astype("uint8"),
    "numbers": RNG.normal(size=(NUMBER, 4)).astype("float32"),
    "several": RNG.integers(0, 2, (NUMBER, 5)).astype("float32"),
    "class": RNG.integers(0, 9, NUMBER),
    "row": np.arange(NUMBER),
}
MASKED = {"heard", "frames", "drawn"}


def tensor(name):
    values = LISTS[name]
    if isinstance(values, np.ndarray):
        return tf.constant(values)
    return tf.RaggedTensor.from_row_lengths(np.concatenate(values), [len(one) for one in values])


def made(features, target):
    """Prepared examples: `features` is a name or a tuple of them, for a dictionary."""
    tensors = {name: tensor(name) for name in [*([features] if isinstance(features, str) else features), target]}
    chosen = lambda name, rows: tf.gather(tensors[name], rows)

    def prepare(rows):
        if isinstance(features, str):
            return chosen(features, rows)
        return {name: chosen(name, rows) for name in features}

    raw = tf.data.Dataset.range(NUMBER).map(lambda row: (row, row))
    return prepared(raw, tf.function(prepare), lambda rows, labels: chosen(target, labels), chunk=16)


def lengths_of(name, rows=range(NUMBER)):
    return [len(LISTS[name][row]) for row in rows]


def padded(name, rows, main, bounds, padding=0):
    """What the lists hold, padded by plain NumPy: to a boundary if there always are as many timesteps as in `main`."""
    values = LISTS[name]
    if isinstance(values, np.ndarray):
        return values[rows]
    timesteps = max(lengths_of(name, rows))
    if main and lengths_of(name) == lengths_of(main):
        timesteps = min((bound for bound in bounds if bound >= timesteps), default=timesteps)
    found = np.full((len(rows), timesteps, *values[0].shape[1:]), padding, values[0].dtype)
    for place, row in enumerate(rows):
        found[place, : len(values[row])] = values[row]
    return found


def real(name, rows, timesteps):
    return np.arange(timesteps) < np.array(lengths_of(name, rows))[:, None]


@pytest.fixture(params=["memory", "files"])
def keep(request, tmp_path):
    return lambda examples: cached(examples, 2**20 if request.param == "memory" else 100, tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("row", "ids"),
        ("row", "image", "numbers"),
        ("heard", "row"),
        ("row", "frames"),
        ("spelling", "context", "small", "wide", "row", "drawn"),  # the first one is the main one, in any alphabet
    ],
    ids="-".join,
)
def test_features_of_every_kind_are_padded_as_plain_numpy_pads_them(names, keep):
    main = next((name for name in names if isinstance(LISTS[name], list)), None)
    bounds = [4, 12] if main else []
    seen = []
    for found, target in batches(keep(made(names, "class")), 8, bounds, seed=1):
        rows = found["row"].numpy()
        assert set(found) == {*names, *(f"{name}_mask" for name in MASKED & set(names))}
        for name in names:
            expected = padded(name, rows, main, bounds)
            np.testing.assert_array_equal(found[name], expected)
            assert found[name].dtype == ("int64" if name == "small" else expected.dtype)
            if name in MASKED:
                np.testing.assert_array_equal(found[f"{name}_mask"], real(name, rows, expected.shape[1]))
                assert found[f"{name}_mask"].dtype == "bool"
        np.testing.assert_array_equal(target, LISTS["class"][rows])
        seen += rows.tolist()
    assert sorted(seen) == list(range(NUMBER))


@pytest.mark.parametrize("main", ["ids", "heard", "image"])
@pytest.mark.parametrize("name", ["class", "several", "tags", "caption", "pressure", "notes", "soft"])
def test_targets_of_every_kind_are_padded_as_plain_numpy_pads_them(name, main, keep):
    sequence = main if isinstance(LISTS[main], list) else None
    bounds = [4, 12] if sequence else []
    weighted = name in ("pressure", "soft")
    for found, target, *weights in batches(keep(made((main, "row"), name)), 8, bounds, seed=1):
        rows = found["row"].numpy()
        expected = padded(name, rows, sequence, bounds, 0 if weighted else NO_TARGET)
        np.testing.assert_array_equal(target, expected[..., None] if name == "pressure" else expected)
        assert target.dtype == expected.dtype and len(weights) == weighted
        for weight in weights:
            np.testing.assert_array_equal(weight, real(name, rows, expected.shape[1]))
            assert weight.dtype == "float32"


@pytest.mark.parametrize("name", ["pressure", "soft"])
def test_keras_fits_targets_of_each_timestep_without_their_padding(name):
    heard, mask = keras.Input([None, 5], name="heard"), keras.Input([None], dtype="bool", name="heard_mask")
    model = keras.Model([heard, mask], keras.layers.Dense(6 if name == "soft" else 1)(heard))
    model.compile("sgd", "mse")
    whole = batches(Cached(made(("heard",), name)), NUMBER)
    model.fit(whole, epochs=1, shuffle=False, verbose=0)
    kernel, bias = (weight.astype("float64") for weight in model.get_weights())
    errors = np.concatenate(LISTS["heard"]) @ kernel + bias - np.concatenate(LISTS[name]).reshape(-1, len(bias))
    expected = np.mean(errors**2, axis=1).sum() / (NUMBER * LENGTHS.max())  # Keras divides by padding's places too
    np.testing.assert_allclose(model.evaluate(whole, verbose=0), expected, rtol=1e-5)


def test_images_come_with_captions_of_like_length():
    examples = Cached(made(("image", "row"), "caption"))
    lengths, order = np.array(lengths_of("caption")), np.random.default_rng([3, 0]).permutation(NUMBER)
    order = order[np.argsort(lengths[order], kind="stable")]
    found = {tuple(features["row"].numpy()) for features, _ in batches(examples, 8, seed=3)}
    assert found == {tuple(order[start : start + 8]) for start in range(0, NUMBER, 8)}


@pytest.mark.parametrize("features", ["small", "image", ("heard", "small", "image", "frames")], ids=str)
def test_an_exported_model_reads_what_the_trained_one_read(features):
    """`dense` of prepared inputs, as an export has it, against a batch: names, dtypes, ranks and values."""
    (chunk, _), *_ = made(features, "class")
    answering = dense(chunk)
    training, _ = next(iter(batches(Cached(made(features, "class")), 16)))
    tf.nest.assert_same_structure(training, answering)
    for one, other in zip(tf.nest.flatten(training), tf.nest.flatten(answering), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_sequences_of_floats_as_raw_input_are_prepared_as_they_are():
    raw = tf.data.Dataset.from_generator(
        lambda: zip(LISTS["heard"], LISTS["class"], strict=True),
        output_signature=(tf.TensorSpec([None, 5], "float32"), tf.TensorSpec([], "int64")),
    )
    examples = Cached(prepared(raw, lambda heard: {"x": 2.0 * heard}, lambda heard, labels: labels, chunk=16))
    (features, target), *_ = batches(examples, NUMBER)
    np.testing.assert_array_equal(features["x"], 2 * padded("heard", range(NUMBER), None, []))
    np.testing.assert_array_equal(target, LISTS["class"])


def test_large_examples_are_prepared_few_at_a_time():
    raw = tf.data.Dataset.range(40).map(lambda row: (row, row))
    images = prepared(raw, lambda rows: tf.zeros([tf.size(rows), 512, 512, 3], "uint8"), lambda rows, labels: labels)
    spectra = lambda rows: {"x": tf.RaggedTensor.from_row_lengths(tf.zeros([0, 2000]), tf.zeros_like(rows))}
    assert [len(target) for _, target in images] == [5] * 8
    assert max(len(target) for _, target in prepared(raw, spectra, lambda rows, labels: labels)) < 10


def nested(rows):
    return tf.RaggedTensor.from_row_lengths(tf.RaggedTensor.from_row_lengths(tf.range(4), [1, 2, 1]), [2, 1, 0])


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (lambda rows: tf.gather(tensor("heard"), rows), "'x_mask'"),
        (lambda rows: tf.gather(tensor("frames"), rows), "'x_mask'"),
        (lambda rows: {"x": tf.gather(tensor("heard"), rows), "x_mask": rows}, "'x_mask' must have another name"),
        (lambda rows: tf.gather(tensor("heard"), rows).to_tensor(), "must be a ragged tensor"),
        (lambda rows: {"deep": {"x": rows}}, "the feature 'deep' must be .* Received: a dict"),
        (lambda rows: (rows, rows), "Received: a tuple"),
        (nested, "ragged_rank=2"),
        (tf.strings.as_string, "numbers or booleans. Received: string"),
    ],
    ids=["floats", "bytes", "taken", "dense", "deep", "tuple", "nested", "strings"],
)
def test_features_of_another_kind_are_refused(features, message):
    raw = tf.data.Dataset.range(3).map(lambda row: (row, row))
    with pytest.raises(ValueError, match=message):
        prepared(raw, features, lambda rows, labels: labels)


def test_targets_of_another_kind_are_refused():
    raw = tf.data.Dataset.range(3).map(lambda row: (row, row))
    with pytest.raises(ValueError, match="`target` must be .* not ragged"):
        prepared(raw, tf.identity, lambda rows, labels: tf.gather(tensor("soft"), labels).to_tensor())


def columns(examples):
    return [column.values for column in examples.columns]


def test_integers_that_do_not_fit_into_four_bytes_come_back_whole(tmp_path):
    """The large ones come late: what is there already, in memory or in a file, is widened."""
    ids = [np.arange(5) + 1, np.array([2, -(2**31), 2**31 - 1]), np.array([3]), np.array([-(2**31) - 1, 2**50])]
    raw = tf.data.Dataset.from_tensor_slices((tf.ragged.constant(ids, dtype="int64"), [0, 1, 2, 3]))
    make = lambda: prepared(raw, tf.identity, lambda ids, labels: labels, chunk=1)
    for examples in (Cached(make()), Cached(make(), 10, tmp_path), Cached(make(), 60, tmp_path, "late")):
        assert columns(examples)[0].dtype == "int64"
        for (found, _), expected in zip(batches(examples, 1), ids, strict=True):
            np.testing.assert_array_equal(found[0], expected)
    assert columns(Cached(prepared(raw.take(3), tf.identity, lambda ids, labels: labels)))[0].dtype == "int32"


def test_bytes_are_counted_and_too_many_are_refused_or_written(tmp_path):
    size = LISTS["image"].nbytes + 4 * NUMBER  # the classes as int32
    counts = []
    assert len(cached(made("image", "class"), size, told=counts.append)) == NUMBER
    assert counts == sorted(set(counts)) and counts[-1] == NUMBER
    with pytest.raises(MemoryError, match=f"{size - 1:,} bytes .* `folder`"):
        cached(made("image", "class"), size - 1)
    cached(made("image", "class"), size, tmp_path)
    assert not list(tmp_path.iterdir())
    cached(made("image", "class"), size - 1, tmp_path / "new")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "new").glob("*.bin")}
    assert sizes == {"train.0.bin": LISTS["image"].nbytes, "train.1.bin": 4 * NUMBER}


def none_read(*features_and_target):
    """The same kinds of examples, but they must not be read."""

    def refuse(row):
        raise AssertionError("prepared again")

    examples = made(*features_and_target)
    refused = examples.map(lambda *chunk: (tf.numpy_function(refuse, [0], []), chunk)[1])
    assert refused.element_spec == examples.element_spec
    return refused


def test_finished_files_are_used_again_and_unfinished_ones_are_not(tmp_path):
    names = ("heard", "row"), "notes"
    first = cached(made(*names), 100, tmp_path)
    again = cached(none_read(*names), 100, tmp_path)
    for one, other in zip(columns(first), columns(again), strict=True):
        np.testing.assert_array_equal(one, other)
        assert one.dtype == other.dtype
    with pytest.raises(tf.errors.OpError):  # another split has files of its own
        cached(none_read(*names), 100, tmp_path, "validation")

    expected, values = LISTS["row"], tmp_path / "train.0.bin"
    values.write_bytes(values.read_bytes()[:-1])
    for damage in (None, "", '{"kinds": ['):
        if damage is not None:  # killed while writing
            values.write_bytes(b"")
            (tmp_path / "train.json").unlink() if not damage else (tmp_path / "train.json").write_text(damage)
        found = cached(made(*names), 100, tmp_path)
        np.testing.assert_array_equal(columns(found)[0], np.concatenate(LISTS["heard"]))
        np.testing.assert_array_equal(columns(found)[1], expected)
    others = cached(made(("row", "heard"), "class"), 100, tmp_path)  # of other kinds than those in the files
    np.testing.assert_array_equal(columns(others)[-1], LISTS["class"])


@pytest.mark.parametrize("target", ["class", "caption", "several", "soft"])
def test_other_examples_have_other_checksums(target, tmp_path, monkeypatch):
    names = "spelling", "image", "heard"
    kept = cached(made(names, target)).checksums()
    assert cached(made(names, target), 100, tmp_path).checksums() == kept
    for name in (*names, target):
        changed = [np.array(one) for one in LISTS[name]]
        changed[-1] = changed[-1] + 1  # of the last example
        with monkeypatch.context() as patch:
            patch.setitem(LISTS, name, np.stack(changed) if isinstance(LISTS[name], np.ndarray) else changed)
            found = cached(made(names, target)).checksums()
        assert (found != kept) == (name != "heard"), name  # floats of a feature may differ in their last digits


def test_a_failure_while_files_are_written_leaves_none(tmp_path):
    broken = made("image", "class").concatenate(none_read("image", "class"))
    with pytest.raises(tf.errors.OpError):
        cached(broken, 100, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("files", [False, True])
def test_memory_stays_near_the_limit(files, tmp_path, monkeypatch):
    """16 MiB of images, of which 2 may be held; and held, without a second copy."""
    size, limit = 2**24, 2**21 if files else 2**25
    monkeypatch.setattr(kept, "RESIDENT", 2**20)
    raw = tf.data.Dataset.range(256).map(lambda row: (row, row))
    image = lambda rows: tf.ensure_shape(tf.repeat(tf.cast(rows, "uint8")[:, None], 2**16, axis=1), [None, 2**16])
    examples = prepared(raw, image, lambda rows, labels: labels, chunk=8)
    tracemalloc.start()
    some = cached(examples, limit, tmp_path)
    written = tracemalloc.get_traced_memory()[1]
    for found, target in batches(some, 32, seed=0):
        np.testing.assert_array_equal(found[:, -1], target)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert written < (1.3 * limit if files else 1.2 * size) + 2**20
    assert peak < written + 2**23
    assert resident(tmp_path / "train.0.bin") < 2**20


def resident(path):
    """Bytes of a file that count as this process's memory; 0 where the system does not tell."""
    try:
        lines = iter(pathlib.Path("/proc/self/smaps").read_text().splitlines())
    except OSError:
        return 0
    sizes = (next(line for line in lines if line.startswith("Rss:")) for line in lines if line.endswith(str(path)))
    return sum(1024 * int(line.split()[1]) for line in sizes)


def test_the_note_is_written_last(tmp_path, monkeypatch):
    order = []
    monkeypatch.setattr(kept.os, "replace", lambda source, target: order.append(sorted(tmp_path.iterdir())))
    cached(made("ids", "class"), 100, tmp_path)
    assert [path.name for path in order[-1]] == ["train.0.bin", "train.1.bin", "train.2.bin", "train.writing"]
    assert json.loads((tmp_path / "train.writing").read_text())["arrays"][2] == ["int32", NUMBER]


@pytest.mark.parametrize("seed", range(3))
def test_no_label_is_held_out_alone(seed):
    """Of those with a label of their own the first is kept, and the others are held out as they were drawn."""
    texts = [str(place) for place in range(300)]
    usual = held_out(tf.data.Dataset.from_tensor_slices((texts, texts)), share=0.1, seed=seed)
    drawn = [text.decode() for text, _ in usual[1].as_numpy_iterator()]
    names = [f"{'rare' * (text in drawn[:3])},common" for text in texts]
    examples = tf.data.Dataset.from_tensor_slices((texts, names))
    labels = lambda label: label.decode().split(",")
    kept, held = held_out(examples, share=0.1, seed=seed, labels=labels)
    assert [text.decode() for text, _ in held.as_numpy_iterator()] == drawn[1:]
    assert sorted(int(text) for text, _ in kept.concatenate(held).as_numpy_iterator()) == list(range(300))
