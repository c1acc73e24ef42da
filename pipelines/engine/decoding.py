"""What tasks share whose answers a decoder writes: its settings, its network, and the search for the best answers."""

import dataclasses
import functools
import math
from typing import ClassVar, Literal

import tensorflow as tf

from layers import CELLS, AdditiveAttention, AttentionCell, Decoder, MultiplicativeAttention
from layers.decode import beam_search
from pipelines.engine.settings import Evaluate, Network, Predict

ATTENTIONS = {
    "additive": AdditiveAttention,
    "normalized": functools.partial(AdditiveAttention, normalized=True),
    "dot": lambda units: MultiplicativeAttention("dot"),
    "scaled": lambda units: MultiplicativeAttention("scaled"),
    "general": lambda units: MultiplicativeAttention("general"),
    "local": lambda units: MultiplicativeAttention("general", window=5),
}


@dataclasses.dataclass
class Written(Network):
    """Settings of tasks whose answers a decoder writes."""

    max_length: int = 80
    """tokens read of a text, and written; longer ones are cut"""
    attention: Literal["additive", "normalized", "dot", "scaled", "general", "local", "none"] = "additive"
    """how the decoder attends to the source; none: it gets only its initial state from it"""
    feeding: Literal["context", "attentional", "none"] = "context"
    """what attention feeds to the decoder's cell: the context for the previous state (Bahdanau), the attentional output
    of the previous timestep (Luong), or none: faster, as attention runs after the decoder's recurrent levels"""
    decoder_depth: int = 1
    """recurrent levels of the decoder"""
    tied: bool = True
    """whether the decoder's input and output vectors are the same"""
    dropout: float | None = None
    """share of the features dropped; else by the size of the data"""
    smoothing: float = 0.1
    """share of the target spread over all tokens"""
    guessing: float = 0.0
    """share of the tokens fed to the decoder in training that are its own guesses"""
    beam: int = 5
    """width of the beam search, which returns so many answers; 1: greedy search"""
    length_penalty: float = 1.0
    """how much long answers are favoured: alpha of Wu et al. 2016; 0: by probability alone"""
    coverage_penalty: float = 0.0
    """penalty for parts of the source without attention: beta of Wu et al. 2016"""
    no_repeat: int = 0
    """length of sequences of tokens that an answer may not repeat; 0: no limit"""
    # Shared settings with other defaults for these tasks.
    cell: Literal[tuple(CELLS)] = "gru"
    """recurrent cell"""
    units: int | None = None
    """width of the carry, in each direction; else by the size of the data"""
    embedding: int | None = None
    """width of a token's vector; else by the size of the data"""
    epochs: int | None = None
    """passes over the training data; else by its size"""
    learning_rate: float | None = None
    """largest learning rate of Adam's schedule; else by the size of the data"""

    RANGES: ClassVar = {
        "max_length": (1, 10_000),
        "decoder_depth": (1, 20),
        **dict.fromkeys(("dropout", "smoothing", "guessing"), (0, 0.99)),
        "beam": (1, 100),
        **dict.fromkeys(("length_penalty", "coverage_penalty"), (0, 10)),
        "no_repeat": (0, 100),
    }

    def decoder(self, vocabulary, begin, spread=0.0):
        """The decoder, a `layers.Decoder`; `spread` is its argument, if it attends."""
        spread = 0.0 if self.attention == "none" else spread
        return Decoder(
            vocabulary,
            self.decoder_levels(totals=spread > 0),
            self.embedding,
            attention=self.decoder_attention() if self.feeding == "none" else None,
            begin=begin,
            tied=self.tied,
            dropout=self.dropout,
            guessing=self.guessing,
            spread=spread,
            seed=self.seed,
            name="decoder",
        )

    def decoder_levels(self, totals=False):
        """The decoder's cells, the lowest first; if attention is fed to the decoder, the lowest attends."""
        cells = [
            CELLS[self.cell](self.units, recurrent_dropout=self.recurrent_dropout, seed=self.seed + 100 + level)
            for level in range(self.decoder_depth)
        ]
        if self.attention != "none" and self.feeding != "none":
            cells[0] = AttentionCell(cells[0], self.decoder_attention(), self.feeding == "attentional", totals)
        return cells

    def decoder_attention(self):
        """The decoder's attention, or None."""
        return None if self.attention == "none" else ATTENTIONS[self.attention](self.units)

    def memory_width(self, decoder):
        """The width that the memory must have for this attention, that of its queries; None: any."""
        if self.attention not in ("dot", "scaled"):
            return None
        lowest = decoder.levels[0].cell  # all levels have the same width
        return (lowest.cell if decoder.reads_within else lowest).output_size

    def searched(self, decoder, summary, memory, mask, max_length, *, end, padding, never=()):
        """The best sequences that the decoder writes for each source: the fields of `layers.decode.Decoded`.

        Args:
            decoder: What the method `decoder` made.
            summary, memory, mask: As for `layers.Decoder`.
            max_length: Tokens of a sequence, at most: an integer, or `(batch,)` integers.
            end, padding: Tokens of the vocabulary, as for `layers.decode.beam_search`.
            never: Tokens that are not written beside the first one and padding, such as that of unknown words.

        Returns:
            Dictionary of tensors; `alignments` only with attention.
        """
        carry, constants = decoder.begin(summary, memory, mask)
        found = beam_search(
            next_token(decoder, constants, {decoder.begin_token, padding, *never} - {end}),
            carry,
            begin=decoder.begin_token,
            end=end,
            width=self.beam,
            best=self.beam,
            max_length=max_length,
            length_penalty=self.length_penalty,
            coverage_penalty=self.coverage_penalty if decoder.attends else 0.0,
            source_mask=mask if decoder.attends else None,
            no_repeat_ngram=self.no_repeat,
            padding=padding,
        )
        return {name: value for name, value in found._asdict().items() if value is not None}


def ended(ids, end, max_length):
    """Ragged ids, at most `max_length` in each row, with `end` after the last."""
    ids = ids[:, :max_length]
    return tf.concat([ids, tf.fill([ids.nrows(), 1], tf.cast(end, ids.dtype))], axis=1)


def next_token(decoder, constants, never=()):
    """The step of a search: `decoder.step` with the constants of `decoder.begin`, without the tokens of `never`."""
    if not never:
        return lambda tokens, carry: decoder.step(tokens, carry, constants)
    ruled_out = tf.reduce_sum(tf.one_hot(tf.constant(sorted(never), "int32"), decoder.vocabulary), axis=0) > 0

    def step(tokens, carry):
        logits, *rest = decoder.step(tokens, carry, constants)
        return (tf.where(ruled_out, tf.cast(-math.inf, logits.dtype), logits), *rest)

    return step


@dataclasses.dataclass
class Searched:
    """The flags of verbs whose answers a search writes."""

    beam: int | None = None
    """width of the beam search, instead of the run's"""
    length_penalty: float | None = None
    """how much long answers are favoured, instead of the run's"""
    no_repeat: int | None = None
    """length of sequences that may not repeat, instead of the run's"""


@dataclasses.dataclass
class Search(Searched, Predict):
    """Answers written by a search."""


@dataclasses.dataclass
class Measure(Searched, Evaluate):
    """Metrics of answers written by a search, on labelled data."""
