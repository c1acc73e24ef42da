"""Encoders of images: models that make a grid of features, `(batch, height, width, channels)`, from pixels in [0, 255].

The grid is what a decoder attends over; its mean is one vector for the whole image.
"""

import difflib
import hashlib
import importlib
import inspect
import json
import pathlib

import keras
import numpy as np
from keras import ops

from layers import arguments

SMALL_SIZE, APPLICATION_SIZE = 64, 224  # pixels of a side, where no other is asked for
_FIXED = {"NASNetLarge": 331}  # the only size that its ImageNet weights are for
_REDUCTION = 8  # of the sides, by `small`

APPLICATIONS = {
    name: builder
    for name, builder in vars(keras.applications).items()
    if inspect.isfunction(builder) and name[0].isupper()
}


def encoder(name, size=None, weights="imagenet", width=16, seed=None):
    """The encoder of a name.

    Args:
        name: "small" for a network that is trained from scratch, the path of a `.keras` file, or a model of
            `keras.applications`, in any case of letters.
        size: Height and width of the images in pixels, a positive integer; None for 64 ("small"), what a file's model
            takes, or 224 (other models; 331 for NASNetLarge).
        weights: Of a model of `keras.applications`: see `application`.
        width: Of "small": see `small`.
        seed: Of "small": see `small`.

    Returns:
        `(model, size)`: a `keras.Model` from `(batch, size, size, 3)`, RGB in [0, 255], to a grid
        `(batch, height, width, channels)`; and the size.

    Raises:
        ValueError: as the function of that encoder does.

    Example:

    >>> model, size = encoder("small")
    >>> size, model.output_shape
    (64, (None, 8, 8, 64))
    """
    if str(name) == "small":
        model = small(width, seed, size or SMALL_SIZE)
    elif str(name).endswith(".keras") or pathlib.Path(name).is_file():
        model = from_file(name, size)
    else:
        model = application(name, weights, size)
    return model, model.input_shape[1]


@keras.saving.register_keras_serializable(package="layers")
class Coordinates(keras.layers.Layer):
    """Two more channels: how far down and how far right a place of the grid is, from -1 to 1.

    Without them a convolution sees the same at all places, and features say what is there but not where.

    Source: R. Liu et al., "An Intriguing Failing of Convolutional Neural Networks and the CoordConv Solution", 2018,
    arXiv:1807.03247, section 3.

    Call arguments:
        grid: `(batch, height, width, channels)`.

    Returns:
        `(batch, height, width, channels + 2)`.

    Example:

    >>> ops.convert_to_numpy(Coordinates()(np.zeros((1, 3, 1, 1))))[0, :, 0, 1:].tolist()
    [[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]
    """

    def call(self, grid):
        height, width = grid.shape[1:3]
        down, right = (np.linspace(-1, 1, length) if length > 1 else np.zeros(1) for length in (height, width))
        places = np.stack(np.meshgrid(down, right, indexing="ij"), axis=-1)[None]  # (1, height, width, 2)
        places = ops.broadcast_to(ops.cast(places, grid.dtype), (ops.shape(grid)[0], height, width, 2))
        return ops.concatenate([grid, places], axis=-1)

    def compute_output_shape(self, shape):
        return (*shape[:-1], shape[-1] + 2)


def small(width=16, seed=None, size=SMALL_SIZE):
    """A convolutional network of four layers, to be trained from scratch on small and simple images.

    The first layer skips every second place, the two after it keep the largest of four neighbours, and the last one
    sees where it is (`Coordinates`). Each is normalised over the batch.

    Source of the normalisation: S. Ioffe and C. Szegedy, "Batch Normalization", 2015, arXiv:1502.03167.

    Args:
        width: Channels of the first layer, a positive multiple of 8.
        seed: Seed of the initial weights, an integer; None for other weights each time.
        size: Height and width of the images in pixels, a positive multiple of 8.

    Returns:
        A `keras.Model`: `(batch, size, size, 3)` in [0, 255] -> `(batch, size / 8, size / 8, 4 * width)`.

    Raises:
        ValueError: if `width` or `size` is not a positive multiple of 8.

    Example:

    >>> small(width=24, seed=0).output_shape
    (None, 8, 8, 96)
    """
    for argument, value in (("width", width), ("size", size)):
        if arguments.positive("small", argument, value) % 8:
            raise ValueError(f"small: `{argument}` must be a multiple of 8. Received: {argument}={value!r}.")
    images = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 127.5, -1)(images)
    for number, (channels, strides, pooled) in enumerate(
        [(width, 2, False), (2 * width, 1, True), (3 * width, 1, True), (4 * width, 1, False)]
    ):
        if number == 3:
            x = Coordinates()(x)
        start = keras.initializers.HeNormal(None if seed is None else seed + number)
        x = keras.layers.Conv2D(channels, 3, strides, padding="same", use_bias=False, kernel_initializer=start)(x)
        x = keras.layers.ReLU()(keras.layers.BatchNormalization(momentum=0.95)(x))
        x = keras.layers.MaxPooling2D()(x) if pooled else x
    return keras.Model(images, x, name="small")


def application(name, weights="imagenet", size=None):
    """A model of `keras.applications` without its classification, behind the preprocessing that it was trained with.

    Args:
        name: Such as "MobileNetV2"; case, hyphens and underscores do not matter.
        weights: "imagenet", which Keras downloads once; the path of a file of weights; or None for random weights.
        size: Height and width of the images in pixels; None for 224 (331 for NASNetLarge).

    Returns:
        A `keras.Model`: `(batch, size, size, 3)`, RGB in [0, 255] -> `(batch, height, width, channels)`.

    Raises:
        ValueError: if there is no such model, its weights cannot be downloaded or read, or the size is too small.

    Example:

    >>> application("vgg16", weights=None, size=32).output_shape
    (None, 1, 1, 512)
    """
    found = {_plain(one): one for one in APPLICATIONS}
    if _plain(name) not in found:
        near = difflib.get_close_matches(_plain(name), found, n=5, cutoff=0.5)
        known = f"near it are {', '.join(found[one] for one in near)}" if near else f"known: {', '.join(APPLICATIONS)}"
        raise ValueError(
            "application: `name` must be a model of keras.applications (or of an encoder: small, or the path of a "
            f".keras file); {known}. Received: name={name!r}."
        )
    name = found[_plain(name)]
    size = arguments.positive(name, "size", size or _FIXED.get(name, APPLICATION_SIZE))
    if weights not in (None, "imagenet") and not pathlib.Path(weights).is_file():
        raise ValueError(
            f"{name}: `weights` must be imagenet, None or the path of a file. Received: weights={str(weights)!r}, "
            "where there is no file."
        )
    downloaded = weights if weights in (None, "imagenet") else None
    try:
        model = APPLICATIONS[name](include_top=False, weights=downloaded, input_shape=(size, size, 3))
    except Exception as error:  # Keras raises no narrower class where a download fails
        if downloaded and (isinstance(error, OSError) or "URL fetch failure" in str(error)):
            raise ValueError(
                f"{name}: the weights imagenet could not be downloaded; check the connection, or download them "
                f"elsewhere and give the path of the file as `weights`. Received: {_line(error)}"
            ) from error
        if isinstance(error, ValueError):
            raise ValueError(f"{name}: `size` must fit the model. Received: size={size}: {_line(error)}") from error
        raise
    if downloaded != weights:
        try:
            model.load_weights(weights)
        except (ValueError, OSError, KeyError) as error:
            raise ValueError(
                f"{name}: `weights` must be a file of its weights without the classification layers. Received: "
                f"weights={str(weights)!r}: {_line(error)}"
            ) from error
    preprocess = importlib.import_module(APPLICATIONS[name].__module__).preprocess_input
    images = keras.Input((size, size, 3))
    return keras.Model(images, model(preprocess(images)), name=name)


def from_file(path, size=None):
    """A model in a `.keras` file that makes a grid of features from an image.

    Args:
        path: The file.
        size: Height and width of the images in pixels, where the model takes several; else None, or the model's own.

    Returns:
        The model: `(batch, size, size, 3)`, RGB in [0, 255] -> `(batch, height, width, channels)`.

    Raises:
        ValueError: if the file is missing or no `.keras` file, or if its model takes something else or makes no grid.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise ValueError(f"{path}: expected a .keras file, there is none.")
    try:
        model = keras.models.load_model(path, compile=False)
    except Exception as error:  # whatever a file that is none makes of Keras's reader
        raise ValueError(
            f"{path}: expected a model saved by `model.save(...)` as .keras, received {_line(error)}"
        ) from error
    shape = getattr(model, "input_shape", None)
    if not isinstance(shape, tuple) or len(shape) != 4 or shape[-1] != 3 or shape[1] != shape[2]:
        raise ValueError(f"{path}: expected a model of images (batch, size, size, 3), received one of {shape}.")
    made = model.output_shape
    if not isinstance(made, tuple) or len(made) != 4:
        raise ValueError(
            f"{path}: expected a model that makes a grid (batch, height, width, channels), received one that makes "
            f"{made}; leave out its pooling and its classification."
        )
    if size is not None and shape[1] not in (None, arguments.positive(path, "size", size)):
        raise ValueError(f"{path}: `size` must be {shape[1]}, the size of the model's images. Received: size={size}.")
    if shape[1] is None:
        images = keras.Input((size or APPLICATION_SIZE,) * 2 + (3,))
        model = keras.Model(images, model(images), name=model.name)
    return model


def fingerprint(model):
    """A hash of a model's layers and weights, to see whether features that were kept are still its features.

    The names of layers, which Keras counts on, and what is trainable do not count.

    Returns:
        16 hexadecimal digits.

    Example:

    >>> fingerprint(small(8, seed=1)) == fingerprint(small(8, seed=1)), fingerprint(small(8)) == fingerprint(small(8))
    (True, False)
    """
    names = {}
    config = json.dumps(_nameless(model.get_config(), names), sort_keys=True, default=str)
    made = hashlib.sha256(config.encode())
    for weight in model.weights:
        values = np.ascontiguousarray(ops.convert_to_numpy(weight))
        made.update(f"{values.dtype} {values.shape}".encode())
        made.update(values.tobytes())
    return made.hexdigest()[:16]


def _nameless(config, names):
    """A configuration with numbers for the names of layers, and without what changes no answer of a trained model."""
    if isinstance(config, dict):
        if isinstance(config.get("name"), str):
            names.setdefault(config["name"], f"layer {len(names)}")
        return {
            key: _nameless(value, names)
            for key, value in config.items()
            if key != "trainable" and not key.endswith("initializer")
        }
    if isinstance(config, list | tuple):
        return [_nameless(value, names) for value in config]
    return names.get(config, config) if isinstance(config, str) else config


def _plain(name):
    return str(name).lower().replace("-", "").replace("_", "")


def _line(error):
    """An error's message in one line, and not a long one."""
    return " ".join(str(error).split())[:200] or type(error).__name__
