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
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import ops

from data import batching
from data.files import InputError
from data.sets import bitext
from data.transforms.subwords import BEGIN, END, PADDING, Subwords, learn
from data.transforms.words import visible
from layers import (
    CELLS,
    AdditiveAttention,
    AttentionCell,
    Decoder,
    MultiplicativeAttention,
    TokenAccuracy,
    TokenCrossentropy,
)
from layers.decode import beam_search
from pipelines.engine import inputs
from pipelines.engine.command import main
from pipelines.engine.loading import splits_of
from pipelines.engine.settings import Network, Predict
from pipelines.engine.task import Extras, Parts, Task
from pipelines.engine.training import say
from pipelines.evaluation import translation as translating

ATTENTIONS = {
    "additive": AdditiveAttention,
    "normalized": functools.partial(AdditiveAttention, normalized=True),
    "dot": lambda units: MultiplicativeAttention("dot"),
    "scaled": lambda units: MultiplicativeAttention("scaled"),
    "general": lambda units: MultiplicativeAttention("general"),
    "local": lambda units: MultiplicativeAttention("general", window=5),
}


@dataclasses.dataclass
class Config(Network):
    source: str = "0"
    """language to translate: end of a parallel file's name, column of a table, or language of a public set"""
    target: str = "1"
    """language to translate into, named likewise"""
    vocabulary: int | None = None
    """pieces of words in a vocabulary; else by the number of pairs"""
    joint: bool = True
    """whether both languages share one vocabulary, and their pieces one vector"""
    max_length: int = 80
    """pieces read of a sentence, and written; longer ones are cut"""
    attention: Literal["additive", "normalized", "dot", "scaled", "general", "local", "none"] = "additive"
    """how the decoder attends to the source; none: it gets only its initial state from it"""
    feeding: Literal["context", "attentional", "none"] = "context"
    """what attention feeds to the decoder's cell: the context for the previous state (Bahdanau), the attentional output
    of the previous timestep (Luong), or none: faster, as attention runs after the decoder's recurrent levels"""
    decoder_depth: int = 1
    """recurrent levels of the decoder"""
    reverse: bool = False
    """whether the source is read from its end"""
    tied: bool = True
    """whether the decoder's input and output vectors are the same"""
    dropout: float | None = None
    """share of the features dropped; else by the number of pairs"""
    smoothing: float = 0.1
    """share of the target spread over all pieces"""
    guessing: float = 0.0
    """share of the pieces fed to the decoder in training that are its own guesses"""
    beam: int = 5
    """width of the beam search, which returns so many translations; 1: greedy search"""
    length_penalty: float = 1.0
    """how much long translations are favoured: alpha of Wu et al. 2016; 0: by probability alone"""
    coverage_penalty: float = 0.0
    """penalty for source pieces without attention: beta of Wu et al. 2016"""
    no_repeat: int = 0
    """length of sequences of pieces that a translation may not repeat; 0: no limit"""
    # Shared settings with other defaults for translation.
    cell: Literal[tuple(CELLS)] = "gru"
    """recurrent cell"""
    units: int | None = None
    """width of the carry, in each direction; else by the number of pairs"""
    embedding: int | None = None
    """width of a piece's vector; else by the number of pairs"""
    epochs: int | None = None
    """passes over the training data; else by the number of pairs"""
    learning_rate: float | None = None
    """largest learning rate of Adam's schedule; else by the number of pairs"""

    RANGES: ClassVar = {
        "vocabulary": (260, None),
        "max_length": (1, 10_000),
        "decoder_depth": (1, 20),
        **dict.fromkeys(("dropout", "smoothing", "guessing"), (0, 0.99)),
        "beam": (1, 100),
        **dict.fromkeys(("length_penalty", "coverage_penalty"), (0, 10)),
        "no_repeat": (0, 100),
    }
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
    pairs = batching.count(splits["train"])
    chosen = CHOSEN[max(least for least in CHOSEN if least <= pairs)]
    chosen = {name: value for name, value in chosen.items() if getattr(config, name) is None}
    if chosen:
        said = ", ".join(f"{name.replace('_', ' ')} {value:,}" for name, value in chosen.items())
        say(f"{said}: for {pairs:,} pairs")
    return dataclasses.replace(config, **chosen)


@dataclasses.dataclass
class Search(Predict):
    """Translations of texts."""

    beam: int | None = None
    """width of the beam search, instead of the run's"""
    length_penalty: float | None = None
    """how much long translations are favoured, instead of the run's"""
    no_repeat: int | None = None
    """length of sequences that may not repeat, instead of the run's"""


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
    try:
        if config.joint:
            pieces = learn(sides[0].concatenate(sides[1]), config.vocabulary)
            return {"source": pieces, "target": pieces}
        return {name: learn(side, config.vocabulary) for name, side in zip(("source", "target"), sides, strict=True)}
    except ValueError as error:
        if isinstance(error, InputError):
            raise
        raise InputError("--vocabulary", f"{error}") from None


def build(config, vocabularies):
    seed = config.seed
    read = Subwords(vocabularies["source"])
    write = read if config.joint else Subwords(vocabularies["target"])

    decoder = Decoder(
        write.size,
        levels(config),
        config.embedding,
        attention=attention(config) if config.feeding == "none" else None,
        begin=BEGIN,
        tied=config.tied,
        dropout=config.dropout,
        guessing=config.guessing,
        seed=seed,
        name="decoder",
    )
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
    if config.attention in ("dot", "scaled"):  # the memory must be as wide as the decoder's output
        lowest = decoder.levels[0].cell  # all levels have the same width
        asking = lowest.cell if decoder.reads_within else lowest
        memory = keras.layers.Dense(asking.output_size, use_bias=False)(memory)
    encoder = keras.Model(ids, [summary, memory, is_piece])

    targets = keras.Input([None], dtype="int64", name="target")  # (batch, timesteps)
    model = keras.Model([ids, targets], decoder(targets, summary, memory, is_piece))

    return Parts(
        signature=tf.TensorSpec([None], tf.string, "text"),
        prepare=Prepare(read, config.max_length, config.reverse),
        target=lambda texts, translations: ended(write(translations), config.max_length),
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


def levels(config):
    """The decoder's cells, the lowest first; if attention is fed to the decoder, the lowest attends."""
    cells = [
        CELLS[config.cell](config.units, recurrent_dropout=config.recurrent_dropout, seed=config.seed + 100 + level)
        for level in range(config.decoder_depth)
    ]
    if config.attention != "none" and config.feeding != "none":
        cells[0] = AttentionCell(cells[0], attention(config), input_feeding=config.feeding == "attentional")
    return cells


def attention(config):
    """The decoder's attention, or None."""
    return None if config.attention == "none" else ATTENTIONS[config.attention](config.units)


class Prepare(tf.Module):
    """Texts to ids of pieces, cut to `max_length`, with END after the last, padded with 0; reversed with `reverse`.

    An empty text, and one of only spaces and characters without width, is END alone. There is at least one timestep,
    in an empty batch too.
    """

    def __init__(self, subwords, max_length, reverse):
        super().__init__()
        self.subwords, self.max_length, self.reverse = subwords, max_length, reverse

    def __call__(self, texts):
        ids = ended(self.subwords(visible(texts)), self.max_length)
        dense = ids.to_tensor()
        dense = tf.pad(dense, [[0, 0], [0, tf.cast(tf.shape(dense)[1] == 0, "int32")]])
        return tf.reverse_sequence(dense, ids.row_lengths(), seq_axis=1) if self.reverse else dense


def ended(ids, max_length):
    """Ragged ids, at most `max_length` in each row, with END after the last."""
    ids = ids[:, :max_length]
    return tf.concat([ids, tf.fill([ids.nrows(), 1], tf.cast(END, ids.dtype))], axis=1)


def searched(config, encoder, decoder, ids):
    """The best translations of prepared texts: the fields of `layers.decode.beam_search`'s result, and the ids."""
    summary, memory, mask = encoder(ids, training=False)
    carry, constants = decoder.begin(summary, memory, mask)
    lengths = tf.reduce_sum(tf.cast(mask, "int32"), axis=1)
    found = beam_search(
        lambda tokens, carry: decoder.step(tokens, carry, constants),
        carry,
        begin=BEGIN,
        end=END,
        width=config.beam,
        best=config.beam,
        max_length=tf.minimum(2 * lengths + 10, config.max_length),
        length_penalty=config.length_penalty,
        coverage_penalty=config.coverage_penalty if decoder.attends else 0.0,
        source_mask=mask if decoder.attends else None,
        no_repeat_ngram=config.no_repeat,
        padding=PADDING,
    )
    return {"source": ids, **{name: value for name, value in found._asdict().items() if value is not None}}


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
    inputs=functools.partial(inputs.texts, column="source"),
)

if __name__ == "__main__":
    main(TASK)
