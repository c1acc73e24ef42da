"""The kinds of features and targets that an example may hold; they are prepared in chunks and padded to batches.

A sequence is a `tf.RaggedTensor` `(batch, None, ...)` with one ragged dimension. An array of a fixed shape is a
`tf.Tensor` whose dimensions are all known but the first. Features are one of these or a flat dictionary of them; a
target is one of these.

Padding must differ from data. In sequences of signed integers 0 is padding (`NO_TARGET` in targets). Numbers of any
other dtype may be 0 themselves, so such features have a boolean mask, and such targets have sample weights.
"""

import functools
import itertools
import math
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

NO_TARGET = -1  # padding of targets that are sequences of signed integers
AT_ONCE = 2**22  # bytes of large examples that are prepared at a time, about
SUPPOSED = 256  # timesteps that a sequence is assumed to have while its length is unknown


class Leaf(NamedTuple):
    """One array of each example.

    Attributes:
        name: Its name in the dictionary of features; None for features without names and for targets.
        dtype: A `tf.DType`.
        shape: Shape of a timestep if it is a sequence, else of the whole array, a tuple of integers.
        sequence: Whether examples differ in their number of timesteps.
    """

    name: str | None
    dtype: tf.DType
    shape: tuple
    sequence: bool


def untuned(dataset):
    """The same `tf.data.Dataset`, without the thread in which TensorFlow tunes its buffers.

    That thread sleeps for 10 ms, 20 ms, 40 ms and so on, and an iterator that has ended often waits until it wakes:
    with TensorFlow 2.21 every other epoch of 2.8 s took 5.1 s.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)


def in_chunks(chunks, signature):
    """A `tf.data.Dataset` of single examples.

    Args:
        chunks: Function without arguments, which returns an iterator of (inputs, labels) of many examples.
        signature: A `tf.TypeSpec` for each of the two.
    """
    return untuned(tf.data.Dataset.from_generator(chunks, output_signature=signature).prefetch(1).unbatch())


def prepared(examples, prepare, target, *, chunk=512):
    """Raw examples to features and targets, a chunk at a time, so that `chunk` examples share the cost of a call.

    Args:
        examples: `tf.data.Dataset` of (input, label). An input is a scalar string or numbers `(timesteps, features)`.
        prepare: Maps inputs, strings `(chunk,)` or ragged numbers `(chunk, timesteps, features)`, to features:
            sequences, as ragged tensors; arrays of a fixed shape; or a flat dictionary of both. Sequences of signed
            integers may also be dense, `(chunk, timesteps, ...)`, padded with 0 at the right, if `timesteps` is None in
            the static shape.
        target: Maps inputs and labels `(chunk, ...)`, ragged where they differ in size, to targets: arrays of a fixed
            shape, such as a class `(chunk,)` or several `(chunk, classes)`; or sequences, as long as the features or
            not, such as tags or values `(chunk, None)` or rows `(chunk, None, classes)`.
        chunk: Examples at a time; fewer if they are large.

    Returns:
        `tf.data.Dataset` of (features, targets) of a chunk of examples, in the order of `examples`.

    Raises:
        ValueError: if features or targets are of another kind.
    """

    return _mapped(examples.ragged_batch, _transform(prepare, target), chunk)


def prepared_splits(splits, prepare, target, *, chunk=512):
    """As `prepared`, for several splits, in one dataset: TensorFlow then optimizes the graph of `prepare` once.

    Args:
        splits: Name -> `tf.data.Dataset` of (input, label), all of the same kind.
        prepare, target, chunk: As for `prepared`.

    Yields:
        `(name, Chunks)`, in the order of `splits`; a split must be read before the next one is taken.
    """
    transform = _transform(prepare, target)

    def numbered(size):
        numbers = [tf.data.Dataset.from_tensors(np.int64(number)).repeat() for number in range(len(splits))]
        chunks = [examples.ragged_batch(size) for examples in splits.values()]
        pairs = [tf.data.Dataset.zip(pair) for pair in zip(numbers, chunks, strict=True)]
        return functools.reduce(tf.data.Dataset.concatenate, pairs)

    @tf.autograph.experimental.do_not_convert
    def numbered_transform(number, example):
        return number, *transform(*example)

    made = _mapped(numbered, numbered_transform, chunk)
    groups = itertools.groupby(made, lambda found: int(found[0]))
    found, chunks = next(groups, (None, ()))
    for number, name in enumerate(splits):
        if number == found:
            yield name, Chunks(made.element_spec[1:], (rest for _, *rest in chunks))
            found, chunks = next(groups, (None, ()))
        else:  # the split has no examples
            yield name, Chunks(made.element_spec[1:], ())


class Chunks(NamedTuple):
    """Prepared chunks of one split, to be read once.

    Attributes:
        element_spec: As of a `tf.data.Dataset`.
        chunks: Iterable of (features, targets).
    """

    element_spec: tuple
    chunks: Iterable

    def __iter__(self):
        return iter(self.chunks)


def _transform(prepare, target):
    @tf.autograph.experimental.do_not_convert  # converting graph operations takes a second
    def transform(inputs, labels):
        return _checked(prepare(inputs)), _checked_leaf(target(inputs, labels), "the result of `target`")

    return transform


def _mapped(chunks, transform, chunk):
    """`chunks(size)`, transformed; of `chunk` examples, or of fewer if they are large."""
    made = chunks(chunk).map(transform, num_parallel_calls=2)
    fewer = _at_once(made.element_spec[-2:], chunk)
    made = made if fewer == chunk else chunks(fewer).map(transform, num_parallel_calls=2)
    return untuned(made.prefetch(1))


def dense(features, timesteps=None):
    """Features to a model's inputs; a graph operation, the same in training and in an exported model.

    Sequences are padded with 0. A sequence `x` of floats or of unsigned integers also gives `x_mask`, `(batch,
    timesteps)` booleans, True where there is data. int32 becomes int64, every other dtype stays.

    Args:
        features: Features of a batch, as `prepare` returns them, see `prepared`.
        timesteps: Dictionary from names to the timesteps that these sequences are padded to; the name of features
            without names is None. The others are padded to the longest in the batch.

    Returns:
        A tensor, or a dictionary of tensors.

    Raises:
        ValueError: if a sequence needs a mask and has no name, or if another feature has the mask's name.

    Example:
        >>> found = dense({"x": tf.ragged.constant([[[0.5]], [[1.0], [0.0]]], ragged_rank=1)})
        >>> found["x"].shape.as_list(), found["x_mask"].numpy().tolist()
        ([2, 2, 1], [[True, False], [True, True]])
    """
    timesteps = timesteps or {}
    if not isinstance(features, dict):
        _check_masks({None: features})
        return _padded(features, 0, timesteps.get(None))
    _check_masks(features)
    found = {}
    for name, value in features.items():
        found[name] = _padded(value, 0, timesteps.get(name))
        if _wants_mask(value):
            found[f"{name}_mask"] = _real(value, found[name])
    return found


def dense_targets(targets, timesteps=None):
    """Targets as arguments of `fit`, a tuple: `(targets,)`, or `(targets, sample weights)`.

    Sequences of signed integers are padded with `NO_TARGET`. Other sequences are padded with 0, and the sample weights
    are `(batch, timesteps)` float32, 1 where there is a target and 0 at padding. One value for each timestep becomes
    `(batch, timesteps, 1)`, since Keras's losses take the mean over the last axis before they apply the weights.

    Args:
        targets: Targets of a batch, as `target` returns them, see `prepared`.
        timesteps: Timesteps to pad sequences to; None pads to the longest in the batch.
    """
    if not isinstance(targets, tf.RaggedTensor):
        return (targets,)
    if not _wants_mask(targets):
        return (_padded(targets, NO_TARGET, timesteps, targets.dtype),)
    found = _padded(targets, 0, timesteps, targets.dtype)
    weights = tf.cast(_real(targets, found), "float32")
    return found[..., None] if found.shape.rank == 2 else found, weights


def leaves(element_spec):
    """The leaves of prepared examples: those of the features in their order, then that of the target."""
    features, target = element_spec
    named = features.items() if isinstance(features, dict) else [(None, features)]
    return [_leaf(name, spec) for name, spec in [*named, (None, target)]]


def _leaf(name, spec):
    sequence = isinstance(spec, tf.RaggedTensorSpec)
    return Leaf(name, spec.dtype, tuple(spec.shape[2 if sequence else 1 :]), sequence)


def _at_once(element_spec, most):
    """How many examples are prepared at a time: `most`, or fewer if an example is large; at least one."""
    size = 0
    for leaf in leaves(element_spec):
        if not (leaf.sequence and _signed(leaf.dtype)):  # ids are small
            size += math.prod(leaf.shape) * leaf.dtype.size * (SUPPOSED if leaf.sequence else 1)
    return max(1, min(most, AT_ONCE // max(1, size)))


def _signed(dtype):
    return dtype.is_integer and not dtype.is_unsigned


def _wants_mask(values):
    """Whether 0 may be data, so that a mask must mark the padding."""
    return isinstance(values, tf.RaggedTensor) and not _signed(values.dtype)


def _padded(values, padding, timesteps=None, dtype=None):
    """Dense values: ragged ones are padded to `timesteps`, or to the longest if it is None."""
    dtype = dtype or (tf.int64 if values.dtype == tf.int32 else values.dtype)
    if isinstance(values, tf.RaggedTensor):
        inner = values.flat_values.shape[1:]
        shape = None if timesteps is None else tf.stack([-1, tf.cast(timesteps, "int64"), *inner])
        values = values.to_tensor(tf.cast(padding, values.dtype), shape=shape)
        values.set_shape([None, None, *inner])
    return tf.cast(values, dtype)


def _real(values, padded):
    return tf.sequence_mask(values.row_lengths(), tf.shape(padded, "int64")[1])


def _check_masks(features):
    for name, value in features.items():
        if not _wants_mask(value):
            continue
        if name is None:
            raise ValueError(
                f"Features without a name cannot be a sequence of {value.dtype.name}, which needs a mask: "
                f"`prepare` must return a dictionary, such as {{'x': ...}}, and the model has inputs 'x' and 'x_mask' "
                f"(or it must return int32 or int64, in which 0 is padding). Received: shape={value.shape}."
            )
        if f"{name}_mask" in features:
            raise ValueError(
                f"The feature '{name}_mask' must have another name: it is the name of the mask of '{name}'. "
                f"Received: {', '.join(features)}."
            )


def _checked(features):
    """The features that `prepare` returned, with sequences as ragged tensors."""
    if isinstance(features, dict):
        features = {name: _checked_leaf(value, f"the feature '{name}'", True) for name, value in features.items()}
        _check_masks(features)
        return features
    features = _checked_leaf(features, "the result of `prepare`", True)
    _check_masks({None: features})
    return features


def _checked_leaf(values, name, ids_may_be_dense=False):
    wrong = f"{name} must be a ragged tensor (batch, None, ...) with one ragged dimension, or an array of a fixed shape"
    if isinstance(values, (dict, list, tuple)):
        raise ValueError(f"{wrong}. Received: a {type(values).__name__}.")
    if isinstance(values, tf.RaggedTensor):
        if values.ragged_rank != 1 or not values.flat_values.shape[1:].is_fully_defined():
            raise ValueError(f"{wrong}. Received: shape={values.shape}, ragged_rank={values.ragged_rank}.")
        known = True
    else:
        values = tf.convert_to_tensor(values)
        known = values.shape.rank is not None and values.shape[1:].is_fully_defined()
    if not (values.dtype.is_integer or values.dtype.is_floating or values.dtype.is_bool):
        raise ValueError(f"{name} must be numbers or booleans. Received: {values.dtype.name}.")
    if known:
        return values
    timesteps_alone = values.shape.rank is not None and values.shape[2:].is_fully_defined()
    if ids_may_be_dense and timesteps_alone and _signed(values.dtype):
        return tf.RaggedTensor.from_tensor(values, padding=tf.zeros(values.shape[2:], values.dtype))
    raise ValueError(
        f"{wrong}; if TensorFlow does not know that a shape is fixed, use `tf.ensure_shape`. Received: "
        f"shape={values.shape}, {values.dtype.name}, not ragged."
    )
