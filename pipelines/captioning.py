"""What is in the picture?

    python -m pipelines.captioning                                   drawn scenes of coloured shapes: the demo
    python -m pipelines.captioning train --data captions.csv --images photos --encoder encoder.keras
    python -m pipelines.captioning train --data captions.csv --encoder MobileNetV2 --self-critical 5
    python -m pipelines.captioning evaluate --run runs/captioning --data more.csv
    python -m pipelines.captioning predict --run runs/captioning photo.jpg "photos/*.png" --to page.html
    python -m pipelines.captioning export --run runs/captioning

A convolutional network makes a grid of features of an image, and a recurrent one writes a sentence about it, with
attention to the grid or without. The table has a caption in each row, and several rows for an image. The result is a
run folder with weights, BLEU, CIDEr-D and others, those of the nearest training image's caption, and pictures; `export`
writes a SavedModel from the bytes of image files to captions, with the beam search in its graph.
"""

import dataclasses
import functools
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from data import batching
from data.files import InputError
from data.sets import captions
from data.transforms import image, sentences, subwords
from layers import TokenAccuracy, TokenCrossentropy, image_encoder
from layers.decode import greedy, sample
from pipelines.engine import inputs
from pipelines.engine.command import main
from pipelines.engine.decoding import Search, Written
from pipelines.engine.loading import chosen_by_size, splits_of
from pipelines.engine.task import Extras, Parts, Task
from pipelines.engine.training import say
from pipelines.evaluation import captioning as describing
from pipelines.evaluation.cider import CiderD


@dataclasses.dataclass
class Config(Written):
    images: str = ""
    """folder of the images; else that of the table, or the folder images beside it"""
    image_column: str = "image"
    """column of the images' names"""
    caption_column: str = "caption"
    """column of the captions"""
    encoder: str = "small"
    """what sees the image: small, which is trained with the rest; a .keras file; or a model of keras.applications"""
    weights: str = "imagenet"
    """weights of a model of keras.applications: imagenet, none or a file"""
    size: int | None = None
    """height and width of the images in pixels; else what the encoder takes"""
    fit: Literal["pad", "crop", "squeeze"] = "pad"
    """how an image becomes a square: with grey at two sides, without its ends, or distorted"""
    augment: int = 0
    """random views of each training image beside itself: cut and mirrored"""
    captions: int | None = None
    """captions of an image to train on, at most; else as many as any has, up to 10"""
    tokens: Literal["words", "subwords"] = "words"
    """what captions are made of: words without punctuation, or pieces of words with all signs"""
    vocabulary: int = 10_000
    """words or pieces kept, the most frequent first"""
    minimum_count: int | None = None
    """how often a word must occur in the captions; else by the number of images"""
    spread: float = 0.0
    """how much attention to a part of the image that is not 1 in sum over all words is punished: lambda of Xu et al."""
    fine_tune: int = 0
    """epochs in which the encoder is trained too, after the others"""
    fine_tune_rate: float = 1e-4
    """largest learning rate of these"""
    self_critical: int = 0
    """epochs of self-critical training on CIDEr-D, after the others"""
    self_critical_rate: float = 1e-4
    """largest learning rate of these"""
    # Shared settings with other defaults for captioning.
    max_length: int = 40
    """words read of a caption, and written; longer ones are cut"""
    attention: Literal["additive", "normalized", "dot", "scaled", "general", "none"] = "general"
    """how the decoder attends to the grid of the image; none: it gets only its initial state from the image"""
    feeding: Literal["context", "attentional", "none"] = "none"
    """what attention feeds to the decoder's cell: the context for the previous state (Xu), the attentional output of the
    previous timestep (Luong), or none: faster, as attention runs after the decoder's recurrent levels"""
    cell: Literal[tuple(CELLS)] = "lstm"
    """recurrent cell"""

    RANGES: ClassVar = {
        "size": (8, 4096),
        "captions": (1, 100),
        **dict.fromkeys(("augment", "fine_tune", "self_critical", "spread"), (0, 1000)),
        **dict.fromkeys(("vocabulary", "minimum_count"), (1, None)),
        **dict.fromkeys(("fine_tune_rate", "self_critical_rate"), (1e-12, 1e3)),
    }
    HELP: ClassVar = {
        "data": ("images", "image_column", "caption_column"),
        "network": ("encoder", "fit", "attention", "dropout", "beam"),
        "training": ("augment", "fine_tune", "self_critical"),
    }


# The best settings from so many images on, for an encoder that is trained with the rest and for a trained one.
SMALL = {
    0: {"units": 128, "embedding": 64, "minimum_count": 1, "dropout": 0.1, "epochs": 12, "learning_rate": 0.003},
}
TRAINED = {
    0: {"units": 384, "embedding": 256, "minimum_count": 1, "dropout": 0.5, "epochs": 20, "learning_rate": 0.002},
    3_000: {"units": 384, "embedding": 256, "minimum_count": 5, "dropout": 0.5, "epochs": 15, "learning_rate": 0.002},
    30_000: {"units": 512, "embedding": 256, "minimum_count": 5, "dropout": 0.3, "epochs": 8, "learning_rate": 0.001},
}
AT_MOST = 10  # captions of an image to train on, unless `captions` says more


def choose(config, splits):
    """The configuration with the settings that were not given set by the training data, and with the encoder's path."""
    images, most = 0, 1
    for some in splits["train"].map(lambda image, text: text).batch(1024).as_numpy_iterator():
        images, most = images + len(some), max(most, *(text.count(b"\n") + 1 for text in some))
    if pathlib.Path(config.encoder).is_file():
        config = dataclasses.replace(config, encoder=str(pathlib.Path(config.encoder).resolve()))
    config = dataclasses.replace(config, captions=config.captions or min(most, AT_MOST))
    return chosen_by_size(config, SMALL if config.encoder == "small" else TRAINED, images, "images")


def stages(config):
    """Training with the encoder as it is; then, if asked for, with the encoder too; then self-critical training."""
    found = {"likelihood": dataclasses.replace(config, fine_tune=0, self_critical=0)}
    if config.fine_tune:
        given = {"epochs": config.fine_tune, "learning_rate": config.fine_tune_rate, "self_critical": 0}
        found["fine-tuned"] = dataclasses.replace(config, **given)
    if config.self_critical:
        given = {"epochs": config.self_critical, "learning_rate": config.self_critical_rate}
        found["self-critical"] = dataclasses.replace(config, **given, dropout=0.0, recurrent_dropout=0.0, smoothing=0.0)
    return found


def load(config):
    return splits_of(
        config,
        captions,
        check=lambda path, known: {"labels": checked(path, config)},
        load=lambda path: captions.load(path, **reading(config)),
    )


def reading(config):
    """Arguments of `captions.check` and `captions.load` from the configuration."""
    columns = {"image_column": config.image_column, "caption_column": config.caption_column}
    return {"images": config.images, **columns, "form": config.form}


def checked(path, config):
    """The result of `captions.check`; it prints what is left out."""
    found = captions.check(path, **reading(config))
    reasons = [f"missing: {name}" for name in found["missing"]]
    reasons += [f"broken: {name}: {reason}" for name, reason in found["broken"]]
    reasons += [f"without a caption: {name}" for name in found["uncaptioned"]]
    for reason in reasons[:SHOWN]:
        say(f"{path}: {reason}")
    if len(reasons) > SHOWN:
        say(f"{path}: and {len(reasons) - SHOWN:,} images more")
    if reasons or found["empty"]:
        say(f"{path}: left out {len(reasons):,} images and {found['empty']:,} empty captions")
    return found


SHOWN = 10  # images that are named in an error or a message


def vocabularies(config, train):
    texts = train.map(lambda image, text: tf.strings.split(text, "\n")).unbatch()
    learnt = {}
    if config.tokens == "words":
        learnt["words"] = sentences.learn(texts, config.vocabulary, minimum=config.minimum_count)
    else:
        try:
            learnt["words"] = subwords.learn(texts, config.vocabulary)
        except ValueError as error:
            raise error if isinstance(error, InputError) else InputError("--vocabulary", f"{error}") from None
    plain = train.map(lambda image, text: text).batch(512).map(describing.plain)
    learnt["captions"] = [text.decode() for batch in plain.as_numpy_iterator() for text in batch]
    learnt["encoder"] = "" if config.encoder == "small" else image_encoder.fingerprint(encoder_of(config)[0])
    return learnt


def encoder_of(config):
    """`(model, size)` of the encoder, and the size of the images that it takes."""
    weights = None if config.weights == "none" else config.weights
    try:
        return image_encoder.encoder(config.encoder, config.size, weights, seed=config.seed)
    except ValueError as error:
        raise InputError("--encoder", str(error)) from None


def build(config, vocabularies):
    seed = config.seed
    write = {"words": sentences.Sentences, "subwords": subwords.Subwords}[config.tokens](vocabularies["words"])
    kind = {"words": sentences, "subwords": subwords}[config.tokens]
    encoder, size = encoder_of(config)
    if vocabularies["encoder"] and image_encoder.fingerprint(encoder) != vocabularies["encoder"]:
        raise InputError(
            "--encoder", f"expected the weights that the run began with, received others: {config.encoder}."
        )
    encoder.trainable = within = config.encoder == "small" or config.fine_tune > 0
    prepare = Prepare(size, config.fit, config.augment, seed, None if within else encoder)

    # The image, or the grid that a trained encoder made of it, and views of it.
    shape, dtype = (encoder.input_shape, "uint8") if within else ((1, *grid_of(encoder)), "float16")
    features = {"image": keras.Input(shape[1:], dtype=dtype, name="image")}
    if config.augment:
        features["views"] = keras.Input((config.augment, *shape[1:]), dtype=dtype, name="views")
    x = RandomView(seed, dtype=dtype, name="random_view")(*features.values()) if config.augment else features["image"]
    if within:
        x = keras.layers.Reshape(grid_of(encoder), name="cells")(encoder(x))  # (batch, cells, channels)

    decoder = config.decoder(write.size, kind.BEGIN, spread=config.spread)
    x = keras.layers.Dropout(config.dropout / 2, seed=seed + 2)(ops.cast(x, keras.config.floatx()))
    width = config.memory_width(decoder) or config.units
    x = keras.layers.Dense(width, activation="relu", name="projection")(x)
    x = keras.layers.Dropout(config.dropout / 2, seed=seed + 3)(x)
    summary, memory = ops.mean(x, axis=1), x if decoder.attends else None
    see = keras.Model(features, [summary, x])
    targets = keras.Input([config.captions, None], dtype="int64", name="target")  # (batch, captions, timesteps)
    scores = decoder(targets, summary, memory) if decoder.attends else decoder(targets, summary)
