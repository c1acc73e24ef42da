"""Masks of tensors, and numbers in place of what is masked."""

import keras
from keras import ops


def own_mask(x):
    """The mask that Keras keeps with a tensor, or None. Keras hands it on only to layers that get no other tensor."""
    return getattr(x, "_keras_mask", None)


def lowest(x):
    """A finite number of a tensor's precision that hardly any other is below: those of 32 bits end at -3.4e38."""
    half = keras.backend.standardize_dtype(x.dtype) == "float16"
    return ops.cast(-65504.0 if half else -3e38, x.dtype)
