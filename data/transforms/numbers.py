"""Sequences of numbers of different lengths, from a padded tensor."""

import tensorflow as tf


def unpadded(values):
    """Numbers without the rows of NaN at their end, which stand for padding; gaps within a sequence stay.

    Args:
        values: `(batch, timesteps, features)` floats, or a `tf.RaggedTensor` of them, which is returned unchanged.

    Returns:
        `(batch, None, features)` `tf.RaggedTensor`.

    Example:
        >>> nan = float("nan")
        >>> unpadded(tf.constant([[[1.0], [2.0]], [[3.0], [nan]]])).to_list()
        [[[1.0], [2.0]], [[3.0]]]
    """
    if isinstance(values, tf.RaggedTensor):
        return values
    some = tf.reduce_any(tf.logical_not(tf.math.is_nan(values)), axis=2)
    places = tf.range(1, tf.shape(values)[1] + 1)
    return tf.RaggedTensor.from_tensor(values, tf.reduce_max(tf.where(some, places, 0), axis=1))
