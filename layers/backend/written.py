"""What a `scan` writes, on any backend."""

import dataclasses

import keras
from keras import ops


@dataclasses.dataclass
class Written:
    """What a `scan` writes at each index: `timesteps` timesteps of what `like` is.

    They are one tensor `(timesteps, batch, ...)`, or, with `apart`, a list of tensors, which need not be put together.
    """

    like: keras.KerasTensor
    timesteps: int
    apart: bool = False


def joined(blocks):
    """`(count, block, batch, ...)` -> `(count * block, batch, ...)`."""
    count, block, *rest = ops.shape(blocks)
    return ops.reshape(blocks, (count * block, *rest))
