"""What is it in another language?

    python -m pipelines.translation                                  the built-in English and French: the demo
    python -m pipelines.translation train --data train --source en --target de --validation-data valid
    python -m pipelines.translation train --data pairs.tsv           columns between tabs, as Anki and Tatoeba export
    python -m pipelines.translation evaluate --run runs/translation --data more.tsv
    python -m pipelines.translation predict --run runs/translation "Do you want to sing with me?"
    python -m pipelines.translation export --run runs/translation

`--data train --source en --target de` reads the two files `train.en` and `train.de`, a sentence on each line. The
result is a run folder with weights, BLEU, chrF and TER, those of a word-by-word dictionary, and pictures; `export`
writes a SavedModel from strings to strings with scores and alignments, with the beam search in its graph.
"""

import dataclasses
import functools
import math
import re
from typing import ClassVar

import keras
import tensorflow as tf
from keras import ops

from data import batching
from data.sets import bitext
from data.transforms.subwords import BEGIN, END, PADDING, Subwords
from data.transforms.words import visible
from layers import TokenAccuracy, TokenCrossentropy
from pipelines.engine import inputs
from pipelines.engine.command import main
from pipelines.engine.decoding import Measure, Search, Written, ended
from pipelines.engine.loading import chosen_by_size, learn_pieces, splits_of
from pipelines.engine.task import About, Extras, Parts, Task, of_built_in
from pipelines.engine.training import say
from pipelines.evaluation import translation as translating


@dataclasses.dataclass
class Config(Written):
    source: str = "0"
    """language to translate: end of a parallel file's name, column of a table, or language of a public set"""
    target: str = "1"
    """language to translate into, named likewise"""
    vocabulary: int | None = None
    """pieces of words in a vocabulary; else by the number of pairs"""
    joint: bool = True
    """whether both languages share one vocabulary, and their pieces one vector"""
    reverse: bool = False
    """whether the source is read from its end"""

    RANGES: ClassVar = {"vocabulary": (260, None)}
    HELP: ClassVar = {
        "data": ("source", "target"),
        "network": ("vocabulary", "max_length", "attention", "dropout", "beam"),
    }


# The best settings from so many pairs on, as measured by `tests.benchmarks.translation`.
CHOSEN = {
    0: {"units": 128, "embedding": 128, "vocabulary": 4000, "dropout": 0.1, "epochs": 8, "learning_rate": 0.004},
    20_000: {"units": 256, "embedding": 192, "vocabulary": 4000, "dropout": 0.3, "epochs": 14, "learning_rate": 0.002},
    100_000: {"units": 256, "embedding": 192, "vocabulary": 6000, "dropout": 0.2, "epochs": 4, "learning_rate": 0.002},
}


def choose(config, splits):
    """The configuration with the settings that were not given set by the number of training pairs."""
    return chosen_by_size(config, CHOSEN, batching.count(splits["train"]), "pairs")


def load(config):
    languages = {"source": config.source, "target": config.target}
    return splits_of(
        config,
        bitext,
        check=lambda path, known: {"labels": checked(path, config)},
        load=lambda path: bitext.load(path, **reading(config)),
        public=lambda name, split: bitext.public(name, split, **languages),
    )


def reading(config):
    """Arguments of `bitext.check` and `bitext.load` from the configuration."""
    return {"source": config.source, "target": config.target, "form": config.form}


def checked(path, config):
    """The result of `bitext.check`; it prints what is unusual in the file."""
    found = bitext.check(path, **reading(config))
    same, pairs = found["same"], found["pairs"]
    if same > pairs / 2:
        say(f"{path}: both sides of {same:,} of {pairs:,} pairs are the same; is it one language twice?")
    if found["empty"] or found["one_sided"]:
        say(f"{path}: left out {found['empty']:,} pairs that are empty and {found['one_sided']:,} with one side empty")
    if found["control"]:
        say(f"{path}: {found['control']:,} pairs have control characters, read as spaces")
    return found


def vocabularies(config, train):
    sides = [train.map(lambda source, target, side=side: (source, target)[side]) for side in (0, 1)]
    if config.joint:
        pieces = learn_pieces(sides[0].concatenate(sides[1]), config.vocabulary)
        return {"source": pieces, "target": pieces}
    return {name: learn_pieces(side, config.vocabulary) for name, side in zip(("source", "target"), sides, strict=True)}


def build(config, vocabularies):
    seed = config.seed
    read = Subwords(vocabularies["source"])
    write = read if config.joint else Subwords(vocabularies["target"])

    decoder = config.decoder(write.size, BEGIN)
    ids = keras.Input([None], dtype="int64", name="source")  # (batch, timesteps)
    is_piece = ops.not_equal(ids, PADDING)
    shared = config.joint and config.tied
    vectors = keras.initializers.RandomNormal(stddev=config.embedding**-0.5, seed=seed + 2)
    embed = decoder.embed if shared else keras.layers.Embedding(read.size, config.embedding, vectors)
    x = keras.layers.Dropout(config.dropout, seed=seed + 2)(embed(ids))
    x = config.levels(dropout=config.dropout if config.depth > 1 else 0.0)(x, mask=is_piece)
    # The last output of the forward direction, and of the backward direction.
    half = x.shape[-1] // 2
    summary = ops.concatenate([x[:, -1, :half], x[:, 0, half:]], -1) if config.bidirectional else x[:, -1]
    memory = keras.layers.Dropout(config.dropout, seed=seed + 3)(x)
    if width := config.memory_width(decoder):
        memory = keras.layers.Dense(width, use_bias=False)(memory)
    encoder = keras.Model(ids, [summary, memory, is_piece])

    targets = keras.Input([None], dtype="int64", name="target")  # (batch, timesteps)
    model = keras.Model([ids, targets], decoder(targets, summary, memory, is_piece))

    return Parts(
        signature=tf.TensorSpec([None], tf.string, "text"),
        prepare=Prepare(read, config.max_length, config.reverse),
        target=lambda texts, translations: ended(write(translations), END, config.max_length),
        model=model,
        loss=TokenCrossentropy(config.smoothing),
        metrics=[TokenAccuracy()],
        answer=lambda found, texts: answer(read, write, found),
        samples=["", "A", "Do you want to sing with me? " * 3],
        extras=Extras(
            teacher_forcing=lambda ids, targets: ((ids, targets), targets),
            search=lambda ids: searched(config, encoder, decoder, ids),
        ),
    )


class Prepare(tf.Module):
    """Texts to ids of pieces, cut to `max_length`, with END after the last, padded with 0; reversed with `reverse`.

    An empty text, and one of only spaces and characters without width, is END alone. There is at least one timestep,
    in an empty batch too.
    """

    def __init__(self, subwords, max_length, reverse):
        super().__init__()
        self.subwords, self.max_length, self.reverse = subwords, max_length, reverse

    def __call__(self, texts):
        ids = ended(self.subwords(visible(texts)), END, self.max_length)
        dense = ids.to_tensor()
        dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, "int32")]])
        return tf.reverse_sequence(dense, ids.row_lengths(), seq_axis=1) if self.reverse else dense


def searched(config, encoder, decoder, ids):
    """The best translations of prepared texts: the fields of `layers.decode.Decoded`, and the ids."""
    summary, memory, mask = encoder(ids, training=False)
    lengths = tf.reduce_sum(tf.cast(mask, "int32"), axis=1)
    most = tf.minimum(2 * lengths + 10, config.max_length)
    return {"source": ids, **config.searched(decoder, summary, memory, mask, most, end=END, padding=PADDING)}


def answer(read, write, found):
    """The translations of each text, the best first, with their scores.

    Returns:
        Dictionary of `translations` `(batch, beam)` strings; `scores` and `log_probabilities` (nats) `(batch, beam)`,
        minus infinity where there are fewer translations; `pieces` `(batch, beam, timesteps)` and `source_pieces`
        `(batch, source timesteps)`, strings padded with ""; with attention `alignments` `(batch, beam, timesteps,
        source timesteps)`, shares that sum to 1. An empty text has one translation, the empty one, with probability 1.
    """
    is_text = tf.reduce_sum(tf.cast(found["source"] != PADDING, "int32"), axis=1) > 1  # more than END
    tokens = tf.where(is_text[:, None, None], found["tokens"], PADDING)
    shape = tf.shape(tokens)
    certain = tf.where(tf.range(shape[1]) == 0, 0.0, -math.inf)
    answer = {
        "translations": tf.reshape(write.text(tf.reshape(tokens, [shape[0] * shape[1], shape[2]])), shape[:2]),
        "scores": tf.where(is_text[:, None], found["scores"], certain),
        "log_probabilities": tf.where(is_text[:, None], found["log_probabilities"], certain),
        "pieces": write.pieces(tokens),
        "source_pieces": read.pieces(found["source"]),
    }
    if "alignments" in found:
        answer["alignments"] = tf.where(is_text[:, None, None, None], found["alignments"], 0.0)
    return answer


def labelled(path, config, vocabularies):
    checked(path, config)
    return bitext.load(path, **reading(config))


def languages(config):
    """The codes of both languages, where they are known."""
    names = of_built_in("en", "fr")(config) or [config.source, config.target]
    return names if all(re.fullmatch("[a-z]{2,3}", name) for name in names) else []


ABOUT = About(
    pipeline_tag="translation",
    languages=languages,
    metrics={"bleu": "bleu", "chrf": "chrf", "ter": "ter"},
    limits=(
        "It translates one sentence at a time. Longer texts are cut, and what a sentence says of another one is lost.",
        "Numbers, names and rare words are spelled from pieces and may come out wrong or be left out.",
        "A fluent translation may say something else than its source; do not rely on it where a mistake does harm.",
    ),
    examples=lambda config: ["Do you want to sing with me?"] if languages(config)[:1] == ["en"] else [],
)


TASK = Task(
    "translation",
    Config,
    load,
    vocabularies,
    build,
    translating,
    labelled,
    choose=choose,
    predict=Search,
    evaluate=Measure,
    inputs=functools.partial(inputs.texts, column="source", without_header=(".tsv", ".txt")),
    about=ABOUT,
)

if __name__ == "__main__":
    main(TASK)
