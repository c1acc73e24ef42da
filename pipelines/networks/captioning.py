"""The network of captions: an image's grid of features, a decoder with attention to it or without, and its search."""

import keras
import tensorflow as tf
from keras import ops

from data import batching
from data.transforms import image, sentences
from layers import RandomView
from layers.decode import greedy, sample
from pipelines.engine.decoding import next_token
from pipelines.engine.self_critical import as_targets


class Prepare(tf.Module):
    """Bytes of image files to pixels, `(batch, size, size, 3)` uint8, or to an encoder's grid of features of them.

    Args:
        size: Height and width of the images in pixels.
        config: The configuration.
        encoder: A `keras.Model` from images to `(batch, height, width, channels)`; None: the result is pixels.

    Returns:
        Dictionary of "image" and, if training augments, "views" `(batch, views, ...)`, none unless `training`; a grid
        is `(cells, channels)`, its rows one after the other, float16.
    """

    def __init__(self, size, config, encoder=None):
        super().__init__()
        self.size, self.config, self.encoder = size, config, encoder

    def __call__(self, contents, training=False):
        images = image.decode(contents, self.size, self.config.fit)
        found = {"image": self.seen(images)}
        if training:
            several = self.config.augment
            views = image.views(images, several, self.config.seed, self.config.mirror)[:, 1:]
            rows = self.seen(tf.reshape(views, [-1, *views.shape[2:]]))
            found["views"] = tf.reshape(rows, [-1, several, *rows.shape[1:]])
        elif self.config.augment:
            found["views"] = found["image"][:, None][:, :0]
        return found

    def seen(self, images):
        if self.encoder is None:
            return images
        grid = self.encoder(tf.cast(images, "float32"), training=False)
        return tf.cast(tf.reshape(grid, [-1, *grid_of(self.encoder)]), "float16")


def grid_of(encoder):
    """`(cells, channels)` of an encoder's grid."""
    _, height, width, channels = encoder.output_shape
    return height * width, channels


def network(config, encoder, tokens):
    """The network of `tokens` ids.

    A trainable encoder is a part of it, which then reads images; else it reads the grids that the encoder made.

    Returns:
        `((inputs, output), decoder, seen)`: the arguments of a `keras.Model`; the decoder; and a function from features
        to the summary and the memory that it reads, no memory without attention.
    """
    seed = config.seed
    shape, dtype = (encoder.input_shape, "uint8") if encoder.trainable else ((1, *grid_of(encoder)), "float16")
    x = keras.Input(shape[1:], dtype=dtype, name="image")
    features = {"image": x}
    if config.augment:
        features["views"] = keras.Input((None, *shape[1:]), dtype=dtype, name="views")  # none in inference
        x = RandomView(seed, autocast=False, name="random_view")(x, features["views"])
    if encoder.trainable:
        x = keras.layers.Reshape(grid_of(encoder), name="cells")(encoder(ops.cast(x, "float32")))

    decoder = config.decoder(tokens, sentences.BEGIN, spread=config.spread)  # x: (batch, cells, channels)
    x = keras.layers.Dropout(config.dropout / 2, seed=seed + 2)(x)
    x = keras.layers.Dense(config.memory_width(decoder) or config.units, activation="relu", name="projection")(x)
    x = keras.layers.Dropout(config.dropout / 2, seed=seed + 3)(x)
    summary = ops.mean(x, axis=1) if config.summary == "mean" else keras.layers.Flatten(name="places")(x)
    see = keras.Model(features, [summary, x])
    targets = keras.Input([config.captions, None], dtype="int64", name="target")  # (batch, captions, timesteps)

    def seen(features):
        summary, memory = see(features, training=False)
        return summary, memory if decoder.attends else None

    output = decoder(targets, *(see.output if decoder.attends else see.output[:1]))
    return ([features, targets], output), decoder, seen


def as_rows(ids):
    """`(batch, captions, timesteps)` to a sequence for each image, ragged `(batch, None, captions)`."""
    rows = tf.ensure_shape(tf.transpose(ids, [0, 2, 1]), [None, None, ids.shape[1]])
    lengths = tf.reduce_sum(tf.cast(tf.reduce_any(rows != batching.NO_TARGET, axis=2), "int64"), axis=1)
    return tf.RaggedTensor.from_tensor(rows, lengths=lengths)


def teacher_forcing(features, targets):
    """Targets `(batch, timesteps, captions)` as the decoder takes them, `(batch, captions, timesteps)`."""
    targets = tf.transpose(targets, [0, 2, 1])
    return (features, targets), targets


def unwritten(config):
    """Tokens that are not written: that of unknown words. Subwords know every word."""
    return (sentences.UNKNOWN,) if config.tokens == "words" else ()


def searched(config, decoder, seen, features):
    """The best captions of prepared images: the fields of `layers.decode.Decoded`."""
    ends = {"end": sentences.END, "padding": sentences.PADDING, "never": unwritten(config)}
    return config.searched(decoder, *seen(features), None, config.max_length, **ends)


def written(config, decoder, seen, features, several=None, seed=None):
    """Captions for self-critical training as targets: the greedy one of each image, or `several` that are drawn.

    Returns:
        `(batch, timesteps)` ids, or `(batch, several, timesteps)`.
    """
    carry, constants = decoder.begin(*seen(features))
    # What is drawn comes from the p that is learnt: where a token cannot be drawn, its p would grow.
    step = next_token(decoder, constants, unwritten(config) if several is None else ())
    how = {"begin": sentences.BEGIN, "end": sentences.END, "max_length": config.max_length}
    if several is None:
        return as_targets(greedy(step, carry, **how), sentences.END)
    carry = keras.tree.map_structure(lambda x: ops.repeat(x, several, axis=0), carry)
    ids = as_targets(sample(step, carry, **how, seed=seed), sentences.END)
    return tf.reshape(ids, [-1, several, tf.shape(ids)[1]])
