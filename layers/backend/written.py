"""What a `scan` writes, and what an error shows, on any backend."""

import dataclasses

import keras
from keras import ops


@dataclasses.dataclass
class Written:
    """What a `scan` writes at each index: `timesteps` tensors with the shape and dtype of `like`.

    They are one tensor `(timesteps, batch, ...)`, or, with `apart`, a list of tensors.
    """

    like: keras.KerasTensor
    timesteps: int
    apart: bool = False


def joined(blocks):
    """`(count, block, batch, ...)` -> `(count * block, batch, ...)`."""
    count, block, *rest = ops.shape(blocks)
    return ops.reshape(blocks, (count * block, *rest))


def first_values(tensors):
    """`{name: tensor}` as text for an error: the first twelve values of each."""
    shown = {name: ops.convert_to_numpy(x).ravel()[:12].tolist() for name, x in tensors.items()}
    return ", ".join(f"{name}: {values}" for name, values in shown.items())
