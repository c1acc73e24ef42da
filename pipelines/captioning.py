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
import pathlib
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from data import batching
from data.files import InputError
from data.sets import captions, scene_captions, scenes
from data.transforms import image, sentences, subwords
from layers import CELLS, TokenAccuracy, TokenCrossentropy, image_encoder
from pipelines.engine import decoding, inputs
from pipelines.engine.command import main
from pipelines.engine.decoding import Search, Written, ended
from pipelines.engine.loading import check_words, chosen_by_size, learn_pieces, splits_of
from pipelines.engine.self_critical import SelfCritical
from pipelines.engine.task import About, Extras, Parts, Task, of_built_in
from pipelines.engine.training import say
from pipelines.evaluation import captioning as describing
from pipelines.evaluation.cider import CiderD
from pipelines.evaluation.sentence_bleu import sentence_bleu
from pipelines.networks import captioning as caption_network


@dataclasses.dataclass
class Config(Written):
    images: str = ""
    """folder of the images; else beside the table"""
    image_column: str = "image"
    """column of the images' names"""
    caption_column: str = "caption"
    """column of the captions"""
    encoder: str = "small"
    """small, which is trained with the rest; a .keras file; or the name of a model of keras.applications"""
    weights: str = "imagenet"
    """weights of a model of keras.applications: imagenet, none or a file"""
    size: int | None = None
    """height and width of the images in pixels; else what the encoder takes"""
    fit: Literal["pad", "crop", "squeeze"] = "pad"
    """how an image becomes a square: with grey at two sides, without its ends, or distorted"""
    augment: int | None = None
    """random views of each training image, half of them mirrored; else 4 if self-critical, or 0"""
    mirror: bool = True
    """whether views may be mirrored; not if captions say what is left and what is right"""
    captions: int | None = None
    """captions of an image to train on, at most; else as many as any has, up to 10"""
    tokens: Literal["words", "subwords"] = "words"
    """what captions are made of: words without punctuation, or pieces of words with all signs"""
    vocabulary: int = 10_000
    """words or pieces kept, the most frequent first"""
    minimum_count: int | None = None
    """how often a word must occur in the captions; else by the number of images"""
    summary: Literal["mean", "places"] | None = None
    """what the decoder begins with: the mean of the cells of the grid, or each at its place; else by the encoder"""
    spread: float = 0.0
    """how much attention to a part of the image that is not 1 in sum over all words is punished: lambda of Xu et al."""
    fine_tune: int = 0
    """epochs afterwards that train the encoder too"""
    fine_tune_rate: float = 1e-4
    """largest learning rate of these"""
    self_critical: int = 0
    """epochs afterwards with CIDEr-D and BLEU as a reward"""
    self_critical_rate: float = 1e-4
    """largest learning rate of these"""
    bleu_reward: float = 2.0
    """weight in the reward of a caption's mean BLEU-1 to BLEU-4, 0 to 1, beside its CIDEr-D, 0 to 10"""
    # Shared settings with other defaults for captioning.
    batch_size: int = 32
    """images in a batch, with all their captions"""
    max_length: int = 20
    """words read of a caption, and written; longer ones are cut"""
    ema: float | None = None
    """momentum of the average of the weights, in [0, 1); 0: no average; else by the number of images"""
    length_penalty: float | None = None
    """how much long captions are favoured: alpha of Wu et al. 2016; else 1, and 2 after self-critical training"""
    attention: Literal["additive", "normalized", "dot", "scaled", "general", "none"] = "general"
    """how the decoder attends to the grid; none: not at all"""
    feeding: Literal["context", "attentional", "none"] = "none"
    """what attention feeds to the decoder's cell: the context for the previous state (Xu), the attentional output of
    the previous timestep (Luong), or none: faster, as attention runs after the decoder's recurrent levels"""
    cell: Literal[tuple(CELLS)] = "lstm"
    """recurrent cell"""

    RANGES: ClassVar = {
        "size": (8, 4096),
        "captions": (1, 100),
        **dict.fromkeys(("augment", "fine_tune", "self_critical", "spread", "bleu_reward"), (0, 1000)),
        **dict.fromkeys(("vocabulary", "minimum_count"), (1, None)),
        **dict.fromkeys(("fine_tune_rate", "self_critical_rate"), (1e-12, 1e3)),
    }
    HELP: ClassVar = {
        "data": ("images", "image_column", "caption_column"),
        "network": ("encoder", "attention", "beam"),
        "training": ("augment", "fine_tune", "self_critical"),
    }


# The best settings from so many images on, for an encoder that is trained with the rest and for a trained one.
_FROM_NOTHING = {"units": 128, "embedding": 64, "summary": "places", "minimum_count": 1}
_FROM_NOTHING |= {"dropout": 0.1, "learning_rate": 0.003, "ema": 0.98}
SMALL = {
    least: {**_FROM_NOTHING, "epochs": epochs} for least, epochs in ((0, 30), (1_500, 20), (4_000, 10), (8_000, 4))
}
_TRAINED = {"embedding": 256, "summary": "mean"}
_MIDDLE = {**_TRAINED, "units": 384, "dropout": 0.5, "learning_rate": 0.0015}
TRAINED = {
    0: {**_MIDDLE, "epochs": 20, "minimum_count": 1, "ema": 0.98},
    3_000: {**_MIDDLE, "epochs": 15, "minimum_count": 5, "ema": 0.996},
    30_000: {
        **_TRAINED,
        "units": 512,
        "dropout": 0.3,
        "learning_rate": 0.001,
        "epochs": 8,
        "minimum_count": 5,
        "ema": 0.998,
    },
}
VIEWS = 4  # of each image in self-critical training, which otherwise learns the images by heart
AT_MOST = 10  # captions of an image to train on, unless `captions` says more


def choose(config, splits):
    """The configuration with the settings that were not given set by the training data, and with the encoder's path."""
    images, most = 0, 1
    for some in splits["train"].map(lambda image, text: text).batch(1024).as_numpy_iterator():
        images, most = images + len(some), max(most, *(text.count(b"\n") + 1 for text in some))
    if pathlib.Path(config.encoder).is_file():
        config = dataclasses.replace(config, encoder=str(pathlib.Path(config.encoder).resolve()))
    augment = config.augment if config.augment is not None else VIEWS * (config.self_critical > 0)
    config = dataclasses.replace(config, captions=config.captions or min(most, AT_MOST), augment=augment)
    return chosen_by_size(config, SMALL if config.encoder == "small" else TRAINED, images, "images")


def stages(config):
    """Training with the encoder as it is; then, if asked for, with the encoder too; then self-critical training.

    The later stages take all epochs that were asked for: a network becomes worse before it becomes better.
    """
    found = {"likelihood": dataclasses.replace(config, fine_tune=0, self_critical=0)}
    if config.fine_tune:
        given = {"epochs": config.fine_tune, "learning_rate": config.fine_tune_rate}
        found["fine-tuned"] = dataclasses.replace(config, **given, patience=0, self_critical=0)
    if config.self_critical:
        given = {"epochs": config.self_critical, "learning_rate": config.self_critical_rate}
        found["self-critical"] = dataclasses.replace(config, **given, patience=0, smoothing=0.0)
    return found


def load(config):
    return splits_of(
        config,
        captions,
        check=lambda path, known: {"labels": checked(path, config)},
        load=lambda path: captions.load(path, **reading(config)),
        within=lambda path: {
            split: captions.load(path, split=split, **reading(config))
            for split in captions.splits(path, form=config.form)
        },
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
    batches = train.map(lambda image, text: text).batch(1024).as_numpy_iterator()
    texts = [text.decode(errors="replace") for batch in batches for text in batch]
    lines = tf.data.Dataset.from_tensor_slices(tf.constant([line for text in texts for line in text.split("\n")]))
    if config.tokens == "words":
        words = sentences.learn(lines, config.vocabulary, minimum=config.minimum_count)
        check_words(words)
    else:
        words = learn_pieces(lines, config.vocabulary)
    encoder = "" if config.encoder == "small" else checked_encoder(config, train)
    return {"words": words, "captions": texts, "encoder": encoder}


def checked_encoder(config, train):
    """The fingerprint of an encoder that is not trained, whose features of a few images are numbers of 16 bits."""
    encoder, size = encoder_of(config)
    some = train.map(lambda image, text: image).batch(4)
    found = caption_network.Prepare(size, config, encoder)(next(iter(some)))["image"]
    if not np.isfinite(found).all():
        expected = "expected features of the images within ±65,504, as they are kept in 16 bits"
        raise InputError("--encoder", f"{expected}, received larger ones or NaN from {config.encoder}; scale them.")
    return image_encoder.fingerprint(encoder)


def encoder_of(config):
    """`(model, size)` of the encoder, and the size of the images that it takes."""
    weights = None if config.weights == "none" else config.weights
    try:
        return image_encoder.encoder(config.encoder, config.size, weights, seed=config.seed)
    except ValueError as error:
        raise InputError("--encoder", str(error)) from None


def build(config, vocabularies):
    seed = config.seed
    if config.length_penalty is None:  # without label smoothing, each word takes more from a caption's probability
        config = dataclasses.replace(config, length_penalty=2.0 if config.self_critical else 1.0)
    write = {"words": sentences.Sentences, "subwords": subwords.Subwords}[config.tokens](vocabularies["words"])
    encoder, size = encoder_of(config)
    if vocabularies["encoder"] and image_encoder.fingerprint(encoder) != vocabularies["encoder"]:
        raise InputError(
            "--encoder", f"expected the weights that the run began with, received others: {config.encoder}."
        )
    encoder.trainable = within = config.encoder == "small" or config.fine_tune > 0  # a part of the model
    prepare = caption_network.Prepare(size, config, None if within else encoder)

    network, decoder, seen = caption_network.network(config, encoder, write.size)
    if config.self_critical:
        writing = functools.partial(caption_network.written, config, decoder, seen)
        model = SelfCritical(
            *network,
            draw=functools.partial(writing, several=config.captions),
            write=writing,
            seed=seed,
            reward=reward(write, config, vocabularies["captions"]),
        )
    else:
        model = keras.Model(*network)

    return Parts(
        signature=tf.TensorSpec([None], tf.string, "image"),
        prepare=prepare,
        target=lambda images, texts: caption_network.as_rows(ids_of(write, texts, config)),
        model=model,
        loss=TokenCrossentropy(config.smoothing),
        metrics=[] if config.self_critical else [TokenAccuracy()],
        answer=lambda found, images: answer(write, found),
        samples=[tf.io.encode_png(np.full((side, 2 * side, 3), side, "uint8")).numpy() for side in (1, 40, 90)],
        extras=Extras(
            teacher_forcing=caption_network.teacher_forcing,
            search=functools.partial(caption_network.searched, config, decoder, seen),
            known={
                "captions": functools.cache(lambda: describing.distinct(vocabularies["captions"])),
                "grid": encoder.output_shape[1:3],
                "view": lambda contents: image.decode(contents, size, config.fit),
                **({} if config.data or config.dataset else {"judge": is_true}),
            },
            features="" if within else "grid",
            augment=functools.partial(prepare, training=True) if config.augment else None,
        ),
    )


def ids_of(write, texts, config):
    """Captions, joined by line ends, to ids: `(batch, captions, timesteps)` int64, padded with `NO_TARGET`."""
    lines = tf.strings.split(texts, "\n").to_tensor("", shape=[None, config.captions])
    ids = write(tf.reshape(lines, [-1]))
    empty = ids.row_lengths() == 0  # no caption, or none with a word
    ids = ended(ids, sentences.END, config.max_length).to_tensor(batching.NO_TARGET)
    ids = tf.where(empty[:, None], tf.cast(batching.NO_TARGET, ids.dtype), ids)
    return tf.reshape(ids, [-1, config.captions, tf.shape(ids)[1]])


def reward(write, config, texts):
    """The reward of captions as ids, whose n-grams weigh by how rare they are in the training captions `texts`."""
    corpus = functools.cache(lambda: CiderD(ids_of(write, tf.constant(texts), config).numpy()))

    def rewards(tokens, targets):
        tokens = np.where(
            np.isin(tokens, caption_network.unwritten(config)), write.size, tokens
        )  # an unknown word agrees with none
        bleu = config.bleu_reward * sentence_bleu(tokens, targets) if config.bleu_reward else 0.0
        return corpus().scores(tokens, targets) + bleu

    return rewards


def answer(write, found):
    """The captions of each image, the best first, with their scores.

    Returns:
        Dictionary of `captions` `(batch, beam)` strings; `scores` and `log_probabilities` (nats) `(batch, beam)`, minus
        infinity where there are fewer captions; `words` `(batch, beam, timesteps)`, strings padded with "", pieces of
        words if captions are made of subwords; with attention `attention` `(batch, beam, timesteps, cells)`, the shares
        of the cells of the grid, row by row, that each word was written with.
    """
    tokens = found["tokens"]
    shape = tf.shape(tokens)
    return {
        "captions": tf.reshape(write.text(tf.reshape(tokens, [-1, shape[2]])), shape[:2]),
        "scores": found["scores"],
        "log_probabilities": found["log_probabilities"],
        "words": write.pieces(tokens),
        **({"attention": found["alignments"]} if "alignments" in found else {}),
    }


def is_true(contents, caption):
    """Whether a caption of an image of the built-in data is true of its scene."""
    return scene_captions.is_true(caption, built_in_scenes()[contents])


@functools.cache
def built_in_scenes():
    """Bytes of an image -> its scene, of the built-in data that nothing is trained on."""
    some = [scene for split in ("validation", "test") for scene in scenes.scenes(split)]
    return dict(zip(scenes.encoded(some), some, strict=True))


def read(flags, config):
    """The images that `predict` is asked for; files that are no images are named and left out."""
    named, left_out = 0, None
    for name, contents in inputs.files((*SUFFIXES, *UNREAD))(flags, config):
        try:
            image.check(contents)
        except ValueError as error:
            left_out = name, str(error)
            say(f"{name}: left out: {error}")
            continue
        named += 1
        yield name, contents
    if left_out and not named:
        raise InputError(*left_out)


SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".gif", ".bmp")
UNREAD = (".webp", ".tif", ".tiff", ".heic", ".heif", ".avif")  # images in a folder that are named and left out


@dataclasses.dataclass
class Ask(Search):
    """Captions of images."""


@dataclasses.dataclass
class Measure(decoding.Measure):
    """Metrics on a table of images and captions."""

    images: str = ""
    """folder of the images; else beside the table"""


def labelled(path, config, vocabularies):
    checked(path, config)
    there = captions.splits(path, form=config.form)
    if not there:
        return captions.load(path, **reading(config))
    split = there[-1]  # "test", if there is one
    say(f"{path}: the images of its split {split}")
    return captions.load(path, **reading(config), split=split)


ABOUT = About(
    pipeline_tag="image-to-text",
    languages=of_built_in("en"),
    metrics={"bleu_4": "bleu", "rouge_l": "rouge", "cider": "cider", "chrf": "chrf"},
    limits=(
        "It names what the training images show, also where an image shows something else; people's age, sex and deeds "
        "are guesses from looks, and repeat what the training captions assume.",
        "It does not count, read writing, or know anybody.",
        "Do not use it to tell the blind what is before them, nor to judge people.",
    ),
    examples=lambda config: scenes.encoded(scenes.scenes("test")[:1]),
    suffixes=SUFFIXES,
)


TASK = Task(
    "captioning",
    Config,
    load,
    vocabularies,
    build,
    describing,
    labelled,
    choose=choose,
    stages=stages,
    predict=Ask,
    evaluate=Measure,
    inputs=read,
    about=ABOUT,
)

if __name__ == "__main__":
    main(TASK)
