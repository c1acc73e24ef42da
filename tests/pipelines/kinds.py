"""What is it? Small tasks of the tests' own, one for each kind of raw input, feature and target."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from data.transforms.numbers import unpadded
from layers import Decoder, GRUCell, Recurrent, TokenAccuracy, TokenCrossentropy
from layers.decode import greedy
from pipelines.engine import inputs
from pipelines.engine.settings import Training
from pipelines.engine.task import Extras, Parts, Task
from pipelines.evaluation import markup

SIZE = 6  # pixels
BEGIN, END = 1, 2


@dataclasses.dataclass
class Config(Training):
    data: str = "made"
    """not read"""
    epochs: int = 1
    """passes over the training data"""
    batch_size: int = 8
    """examples in a batch"""
    checkpoint_minutes: float = 0.0
    """minutes between two checkpoints within an epoch"""


class Plain:
    """An evaluation that knows nothing of what the answers mean."""

    PICTURES, WRITERS = (), {}

    @staticmethod
    def evaluate(parts, data, examples):
        return {"examples": len(data)}

    @staticmethod
    def format_metrics(metrics, splits=("validation",)):
        return ", ".join(f"{split}: {metrics[split]['examples']} examples" for split in splits)

    @staticmethod
    def answers(parts, raws):
        found = {name: value.numpy() for name, value in parts.ask(raws).items()}
        return [{name: np.asarray(value[row]).tolist() for name, value in found.items()} for row in range(len(raws))]

    @staticmethod
    def format_answers(parts, found, colours):
        return (markup.shortened(str(answer)) for answer in found)

    @staticmethod
    def plot_run(parts, folder, history, metrics, splits):
        folder.write_text("curves.txt", str(history))


def image(rng, bright):
    """The bytes of a PNG, dark or bright."""
    pixels = rng.integers(128 * bright, 128 + 128 * bright, (SIZE, SIZE, 3))
    return tf.io.encode_png(tf.constant(pixels, "uint8")).numpy()


def decoded(images):
    decode = lambda one: tf.ensure_shape(tf.io.decode_png(one, channels=3), (SIZE, SIZE, 3))
    return tf.map_fn(decode, images, fn_output_signature=tf.TensorSpec((SIZE, SIZE, 3), "uint8"))


def see(pixels):
    x = keras.layers.Conv2D(4, 3, activation="relu")(ops.cast(pixels, "float32") / 255)
    return keras.layers.GlobalAveragePooling2D()(x)


def parts(**given):
    loss, metric = keras.losses.BinaryCrossentropy(from_logits=True), keras.metrics.MeanSquaredError("error")
    return Parts(**{"loss": loss, "metrics": [metric], **given})


NUMBERS = tf.TensorSpec([None, None, 2], tf.float32, "series")
STRINGS = tf.TensorSpec([None], tf.string, "raw")


def image_to_class(rng):
    pixels = keras.Input((SIZE, SIZE, 3), dtype="uint8", name="pixels")
    raws = [image(rng, row % 2) for row in range(24)]
    return (
        raws,
        np.arange(24) % 2,
        parts(
            signature=STRINGS,
            prepare=decoded,
            target=lambda images, labels: labels,
            model=keras.Model(pixels, keras.layers.Dense(2)(see(pixels))),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
            answer=lambda logits, images: {"probabilities": tf.nn.softmax(logits)},
            samples=raws[:2],
        ),
    )


def series(rng):
    return [rng.normal(size=(length, 2)).astype("float32") for length in rng.integers(1, 9, 24)]


def numbers_to_classes(rng):
    """A dictionary of a sequence of floats, with its mask, and of an array; several classes at once."""
    raws = series(rng)
    x, mask = keras.Input((None, 2), name="x"), keras.Input((None,), dtype="bool", name="x_mask")
    last = keras.Input((2,), name="last")
    read = ops.concatenate([Recurrent(GRUCell(3, seed=1))(x, mask=mask), last], axis=1)

    def prepare(values):
        values = unpadded(values)
        return {"x": values, "last": tf.ensure_shape(tf.reduce_sum(values, axis=1), (None, 2))}

    return (
        raws,
        np.array([one.sum(0) > 0 for one in raws], "float32"),
        parts(
            signature=NUMBERS,
            prepare=prepare,
            target=lambda values, labels: tf.ensure_shape(labels, (None, 2)),
            model=keras.Model({"x": x, "x_mask": mask, "last": last}, keras.layers.Dense(2)(read)),
            answer=lambda logits, values: {"probabilities": tf.sigmoid(logits)},
            samples=raws[:2],
        ),
    )


def numbers_to_values(rng):
    """A value for each timestep."""
    raws = series(rng)
    x, mask = keras.Input((None, 2), name="x"), keras.Input((None,), dtype="bool", name="x_mask")
    read = Recurrent(GRUCell(3, seed=1), return_sequences=True)(x, mask=mask)
    return (
        raws,
        [one.sum(1) for one in raws],
        parts(
            signature=NUMBERS,
            prepare=lambda values: {"x": unpadded(values)},
            target=lambda values, labels: labels,
            model=keras.Model({"x": x, "x_mask": mask}, keras.layers.Dense(1)(read)),
            loss=keras.losses.MeanSquaredError(),
            answer=lambda values, given: {"values": values[:, :, 0]},
            samples=raws[:2],
        ),
    )


def letters_to_rows(rng):
    """Integers; a multi-hot row for each timestep."""
    raws = ["".join(rng.choice(list("abc"), length)) for length in rng.integers(1, 9, 24)]
    ids = keras.Input((None,), dtype="int64", name="ids")
    x = keras.layers.Embedding(4, 3)(ids)
    read = Recurrent(GRUCell(3, seed=1), return_sequences=True)(x, mask=ids > 0)
    rows = [np.array([[letter == "a", letter in "ab"] for letter in one], "float32") for one in raws]
    return (
        raws,
        rows,
        parts(
            signature=STRINGS,
            prepare=lambda texts: tf.cast(tf.strings.unicode_decode(texts, "UTF-8") - 96, "int64"),
            target=lambda texts, labels: tf.ragged.map_flat_values(lambda x: x, labels),
            model=keras.Model(ids, keras.layers.Dense(2)(read)),
            answer=lambda logits, texts: {"probabilities": tf.sigmoid(logits)},
            samples=raws[:2],
        ),
    )


def image_to_sequence(rng):
    """A sequence of its own, written by a decoder that is told it in training and searches afterwards."""
    raws = [image(rng, row % 2) for row in range(24)]
    tokens = [np.array([3 + row % 2] * (1 + row % 3) + [END]) for row in range(24)]
    pixels, targets = (
        keras.Input((SIZE, SIZE, 3), dtype="uint8", name="pixels"),
        keras.Input((None,), dtype="int64", name="y"),
    )
    encoder = keras.Model(pixels, see(pixels))
    decoder = Decoder(5, [GRUCell(4, seed=1)], 4, begin=BEGIN, seed=1)

    def search(images):
        carry, constants = decoder.begin(encoder(images))
        step = lambda tokens, carry: decoder.step(tokens, carry, constants)
        return greedy(step, carry, begin=BEGIN, end=END, max_length=6)._asdict()

    return (
        raws,
        tokens,
        parts(
            signature=STRINGS,
            prepare=decoded,
            target=lambda images, labels: labels,
            model=keras.Model([pixels, targets], decoder(targets, encoder(pixels))),
            loss=TokenCrossentropy(),
            metrics=[TokenAccuracy()],
            answer=lambda found, images: {"tokens": found["tokens"]},
            samples=raws[:2],
            extras=Extras(teacher_forcing=lambda images, y: ((images, y), y), search=search),
        ),
    )


KINDS = {
    kind.__name__: kind
    for kind in (image_to_class, numbers_to_classes, numbers_to_values, letters_to_rows, image_to_sequence)
}


def task(kind):
    """The task of a kind, and its raw inputs."""

    def made():
        keras.utils.set_random_seed(1)
        return KINDS[kind](np.random.default_rng(0))

    raws, labels, _ = made()
    if isinstance(raws[0], np.ndarray):
        spec, reader = tf.TensorSpec((None, 2), tf.float32), inputs.numbers()
    else:
        spec, reader = (
            tf.TensorSpec((), tf.string),
            inputs.texts if kind == "letters_to_rows" else inputs.files((".png",)),
        )
    one = np.asarray(labels[0])
    goal = tf.TensorSpec((None, *one.shape[1:]) if isinstance(labels, list) else one.shape, one.dtype)
    pairs = lambda: zip(raws, labels, strict=True)
    examples = tf.data.Dataset.from_generator(pairs, output_signature=(spec, goal))
    return Task(
        kind,
        Config,
        load=lambda config: {"train": examples, "validation": examples.take(7)},
        vocabularies=lambda config, train: {},
        build=lambda config, vocabularies: made()[2],
        evaluation=Plain,
        labelled=lambda path, config, vocabularies: examples,
        inputs=reader,
    ), raws
