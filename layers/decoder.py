"""A decoder: a recurrent network that writes a sequence token by token, with attention to a memory or without."""

import functools
import math

import keras
from keras import ops

from layers import arguments
from layers.attention import Attention
from layers.attention_cell import AttentionCell
from layers.backend import backend
from layers.masked import own_mask
from layers.recurrent import Recurrent
from layers.saving import Extensible
from layers.scores import MOST_TOKENS, SCORES, token_scores


@keras.saving.register_keras_serializable(package="layers")
class Decoder(Extensible, keras.layers.Layer):
    r"""Writes a sequence from a summary vector of the source, and from a memory that it attends to.

    In training it is called with the target sequence itself, which is the target of the loss as well:
    `model.fit([source, targets], targets)`. Do not shift the targets: the decoder puts `begin` before the first and
    leaves out the last, so that each token is predicted from those before it (teacher forcing). Its outputs are scores
    of the targets, for `TokenCrossentropy` and `TokenAccuracy`. Where these are given other targets, they raise an
    error, or give NaN where compiled code cannot raise one.

        carry_0 = tanh(W_0 summary + b_0)                   for each tensor of each level's carry
        s_i = f(s_{i-1}, y_{i-1}, c_i)                      `levels`, the first an `AttentionCell`
        s_i = f(s_{i-1}, y_{i-1});  c_i = attention(s_i)    or plain `levels` and an `attention`
        t_i = tanh(W_s [s_i; c_i] + W_y y_{i-1} + b_t)      deep output
        p(y_i) = softmax(E t_i + b)                         E: the embedding of the tokens, or a matrix of its own

    Several targets of one source, such as the captions of an image, share its summary and its memory: these are neither
    repeated nor computed again.

    `begin` and `step` write one token after the other, for `layers.decode`.

    Source: D. Bahdanau et al., 2015, arXiv:1409.0473, section A.2.2, with tanh for the maxout there; without attention:
    I. Sutskever et al., "Sequence to Sequence Learning with Neural Networks", 2014, arXiv:1409.3215; with an attention
    that feeds nothing back, computed for all timesteps at once: M. Luong et al., 2015, arXiv:1508.04025, section 3.1.
    Tied embeddings: O. Press and L. Wolf, 2017, arXiv:1608.05859. `guessing`: S. Bengio et al., "Scheduled Sampling for
    Sequence Prediction", 2015, arXiv:1506.03099, in two parallel passes as D. Duckworth et al., 2019, arXiv:1906.04331,
    at a constant rate. `spread`: K. Xu et al., "Show, Attend and Tell", 2015, arXiv:1502.03044, equation 14.

    Args:
        vocabulary: Number of tokens, a positive integer, at most 2**24.
        levels: List of `Cell`s, the lowest first; the first may be an `AttentionCell`.
        embedding: Width of a token's vector, a positive integer.
        attention: An `Attention` whose queries are the outputs of the highest level, where no level is an
            `AttentionCell`; or None.
        begin: Token fed to the decoder before the first one.
        tied: Whether E is the embedding.
        dropout: Share of the features dropped before the first level and before E, in [0, 1).
        guessing: Share of the tokens fed to the decoder in training that are its own predictions, in [0, 1).
        spread: λ, how much attention is punished that does not sum to 1 over the timesteps of a target, in training:
            λ Σ_j (1 - Σ_i α_ij)² is added to -log p(y), whose first token bears it. An `AttentionCell` must then have
            `totals`.
        seed: An integer or None.

    Call arguments:
        targets: `(batch, timesteps)` target tokens, integers in [0, vocabulary), not shifted; negative: padding. Or
            `(batch, several, timesteps)`, with `several` in the static shape.
        summary: `(batch, features)`.
        memory: `(batch, source timesteps, features)`, or None without attention.
        mask: `(batch, source timesteps)` booleans, False where the memory is padding; None: the mask that Keras keeps
            with the memory, if it has one.
        logits: Whether to return logits.
        training: Whether dropout is on.

    Returns:
        Scores `(batch, timesteps, 4)` of the target tokens, or `(batch, several, timesteps, 4)`, which
        `TokenCrossentropy` and `TokenAccuracy` read: see `layers.scores.token_scores`. With `logits` the logits
        `(batch, timesteps, vocabulary)`, in training the largest tensor there is.

    Raises:
        ValueError: if a size is not a positive integer, a rate is outside [0, 1), there are no levels, `attention` is
            no `Attention`, is given beside an `AttentionCell`, or feeds its weights back, or `targets` has another
            shape or a 16-bit dtype.

    Example:

    >>> from layers import AdditiveAttention, AttentionCell, GRUCell
    >>> decoder = Decoder(20, [AttentionCell(GRUCell(8), AdditiveAttention(6))], embedding=5)
    >>> memory = np.ones((2, 7, 4))
    >>> targets = np.array([[3, 4, 2], [5, 2, -1]])
    >>> tuple(decoder(targets, memory[:, 0], memory).shape)
    (2, 3, 4)
    >>> tuple(decoder(targets, memory[:, 0], memory, logits=True).shape)
    (2, 3, 20)
    """

    def __init__(
        self,
        vocabulary,
        levels,
        embedding,
        attention=None,
        begin=1,
        tied=True,
        dropout=0.0,
        guessing=0.0,
        spread=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary = arguments.positive("Decoder", "vocabulary", vocabulary, most=MOST_TOKENS)
        self.embedding = arguments.positive("Decoder", "embedding", embedding)
        if not levels:
            raise ValueError(f"Decoder: `levels` must be a list of cells. Received: levels={levels!r}.")
        self.spread = arguments.within("Decoder", "spread", spread, 0, math.inf)
        self.reads_within = isinstance(levels[0], AttentionCell)
        self.sums_within = bool(spread) and self.reads_within
        if self.sums_within != getattr(levels[0], "totals", False):
            raise ValueError(
                "Decoder: with `spread` an AttentionCell must have `totals`, and without it must not. Received: "
                f"spread={spread}, totals={levels[0].totals}."
            )
        own = {"dtype": self.dtype_policy}
        self.levels = [
            Recurrent(cell, return_sequences=True, return_state=self.sums_within and cell is levels[0], **own)
            for cell in levels
        ]
        self.begin_token = arguments.positive("Decoder", "begin", begin, most=self.vocabulary - 1, least=0)
        self.tied, self.seed = tied, seed
        self.dropout = arguments.within("Decoder", "dropout", dropout, 0, 1)
        self.guessing = arguments.within("Decoder", "guessing", guessing, 0, 1)
        self.attends = self.reads_within or attention is not None
        if attention is not None and (
            self.reads_within or not isinstance(attention, Attention) or attention.feeds_back
        ):
            raise ValueError(
                "Decoder: `attention` must be a layers.Attention that feeds nothing back, and the levels plain cells. "
                f"Received: attention={attention!r} with levels={levels!r}."
            )
        self.attention = attention
        initializer = keras.initializers.RandomNormal(stddev=embedding**-0.5, seed=seed)
        self.embed = keras.layers.Embedding(vocabulary, embedding, initializer, **own)
        self.drop_told = keras.layers.Dropout(dropout, seed=seed, **own)
        self.drop_written = keras.layers.Dropout(dropout, seed=None if seed is None else seed + 1, **own)
        self.guess_generator = keras.random.SeedGenerator(seed) if guessing else None
        self.from_state = keras.layers.Dense(embedding, **own)
        self.from_token = keras.layers.Dense(embedding, use_bias=False, **own)

    def build(self, targets_shape, summary_shape, memory_shape=None, mask_shape=None):
        self.embed.build()
        width, self.firsts = self.embedding, []
        for level, shape in zip(self.levels, [memory_shape, *[None] * len(self.levels)], strict=False):
            constants = [shape, shape[:2]] if shape is not None and self.reads_within else None
            level.build((None, None, width), None, constants)
            level.built = True
            sizes = level.cell.carry_sizes[: level.cell.least_states]
            first = functools.partial(keras.layers.Dense, activation="tanh", dtype=self.dtype_policy)
            self.firsts.append([first(size) for size in sizes])
            width = level.cell.output_size
        if self.attention is not None:
            if not self.attention.built:  # loading a model builds inner layers first
                self.attention.build((None, None, width), memory_shape)
                self.attention.built = True
            width += memory_shape[-1]
        for dense in (dense for level in self.firsts for dense in level):
            dense.build(summary_shape)
        self.from_state.build((None, None, width))
        self.from_token.build((None, None, self.embedding))
        if not self.tied:
            self.output_kernel = self.add_weight(name="output_kernel", shape=(self.vocabulary, self.embedding))
        self.output_bias = self.add_weight(name="output_bias", shape=(self.vocabulary,), initializer="zeros")

    def call(self, targets, summary, memory=None, mask=None, logits=False, training=False):
        check(targets)
        shape, several = ops.shape(targets), targets.shape[1] if len(targets.shape) == 3 else None
        tokens = ops.reshape(ops.maximum(targets, 0), (-1, shape[-1]))
        first = ops.full_like(tokens[:, :1], self.begin_token)
        told = ops.concatenate([first, tokens[:, :-1]], axis=1)
        if training and self.guessing:
            parts, _ = self.written(told, None, several, summary, memory, mask)
            guessed = [ops.argmax(self.logits(t), axis=-1) for t in parts]
            guessed = ops.reshape(ops.concatenate(guessed), ops.shape(told))
            guessed = ops.concatenate([first, ops.cast(guessed[:, :-1], told.dtype)], axis=1)
            drawn = keras.random.uniform(ops.shape(told), seed=self.guess_generator)
            told = ops.where(drawn < self.guessing, guessed, told)
        real = ops.reshape(targets >= 0, ops.shape(tokens)) if self.spread and self.attends and training else None
        parts, totals = self.written(told, real, several, summary, memory, mask, training)
        if logits:
            return ops.reshape(ops.concatenate([self.logits(t) for t in parts]), (*shape, self.vocabulary))
        parts = list(zip(parts, backend.portions(by_source(tokens, several)), strict=True))
        scores = ops.reshape(token_scores(parts, *self.output_layer(self.compute_dtype)), (*shape, len(SCORES)))
        return scores if totals is None else self.punished(scores, totals, with_mask(memory, mask)[1], several)

    def punished(self, scores, totals, mask, several):
        """`scores` with the penalty of each target's attention taken from the log p of its first token.

        `totals` has a row for each target: the sums of the weights over its timesteps.
        """
        missed = ops.square(1 - ops.cast(totals, scores.dtype))
        real = ops.cast(mask, scores.dtype)
        missed *= ops.repeat(real, several, axis=0) if several else real
        penalty = ops.reshape(self.spread * ops.sum(missed, axis=-1), (*ops.shape(scores)[:-2], 1))
        log_p = ops.concatenate([scores[..., :1, 0] - penalty, scores[..., 1:, 0]], axis=-1)
        return ops.concatenate([ops.expand_dims(log_p, -1), scores[..., 1:]], axis=-1)

    def written(self, told, real, several, summary, memory, mask, training=False):
        """t at all timesteps, from the tokens fed before each.

        `told` has a row for each target. `real`, of the same shape, is False at padding; None: the totals are not
        needed.

        Returns:
            A list of t of portions of the batch, where the timesteps of the `several` targets of a source follow each
            other; and the sums of the attention's weights over the real timesteps of each target, or None.
        """
        y = self.drop_told(self.embed(told), training=training)
        output = y
        carries = self.first_carries(summary)
        if several:
            carries = [
                [ops.repeat(x, several, axis=0) for x in carry] for carry in self.begin(summary, memory, mask)[0]
            ]
        totals = None
        for level, carry in zip(self.levels, carries, strict=True):
            within = level is self.levels[0] and self.reads_within
            constants = with_mask(memory, mask) if within else None
            masked = real if within and self.sums_within else None
            output = level(output, initial_state=carry, mask=masked, constants=constants, training=training)
            if level.return_state:
                output, *state = output
                totals = state[-2] if real is not None else None
        output, y = by_source(output, several), by_source(y, several)
        given = [output, y, *([] if self.attention is None else with_mask(memory, mask))]
        found = [self.above(*portion, training=training) for portion in zip(*map(backend.portions, given), strict=True)]
        if self.attention is not None and real is not None:
            weights = ops.concatenate(
                [weights for _, weights in found]
            )  # (batch, [several *] timesteps, source timesteps)
            weights = ops.reshape(weights, (*ops.shape(real), -1))
            totals = ops.sum(ops.where(ops.expand_dims(real, -1), weights, ops.cast(0, weights.dtype)), axis=1)
        return [t for t, _ in found], totals

    def above(self, output, y, *memory, training):
        """The deep output and the weights of the attention above the levels, or None, for some of the sentences."""
        weights = None
        if memory:
            context, weights = self.attention(output, *memory, return_attention_scores=True)
            output = ops.concatenate([output, context], axis=-1)
        return self.deep_output(output, y, training), weights

    def first_carries(self, summary):
        return [[dense(summary) for dense in level] for level in self.firsts]

    def deep_output(self, output, y, training=False):
        """`(..., width)` and `(..., embedding)` -> t, `(..., embedding)`."""
        return self.drop_written(ops.tanh(self.from_state(output) + self.from_token(y)), training=training)

    def output_layer(self, dtype):
        """E, `(vocabulary, embedding)`, and b."""
        kernel = self.embed.embeddings if self.tied else self.output_kernel
        return ops.cast(kernel, dtype), ops.cast(self.output_bias, dtype)

    def logits(self, t):
        """`(..., embedding)` -> `(..., vocabulary)`."""
        kernel, bias = self.output_layer(t.dtype)
        rows = ops.reshape(t, (-1, self.embedding))
        logits = backend.product(rows, backend.factor(ops.transpose(kernel), None)) + bias
        return ops.reshape(logits, (*ops.shape(t)[:-1], self.vocabulary))

    # One token after the other.

    def begin(self, summary, memory=None, mask=None):
        """The carry before the first token, for each row of the batch, and the constants that `step` reads."""
        reader = self.levels[0].cell if self.reads_within else self.attention
        constants = [] if reader is None else reader.constants_of(*with_mask(memory, mask))
        constants = [ops.cast(x, self.levels[0].cell.state_dtype) for x in constants]
        carries = self.first_carries(summary)
        batch = ops.shape(summary)[0]
        for level, carry in zip(self.levels, carries, strict=True):
            always = constants if level is self.levels[0] and self.reads_within else []
            carry += level.cell.initial_carry(batch, *always)[len(carry) :]
        return carries, constants

    def step(self, tokens, carries, constants):
        """The next token: `(rows,)` tokens -> logits `(rows, vocabulary)`, carries, and the weights of the attention.

        A row of `begin` may have several rows here, side by side.
        """
        y = output = self.embed(tokens)
        after = []
        for level, carry in zip(self.levels, carries, strict=True):
            always = constants if level is self.levels[0] and self.reads_within else []
            output, carry = level.cell(output, carry, constants=always)
            after.append(carry)
        weights = after[0][-1:] if self.reads_within else []
        if self.attention is not None:
            context, *weights = self.attention.read(output, self.attention.product, None, *constants)
            output = ops.concatenate([output, context], axis=-1)
        return (self.logits(self.deep_output(output, y)), after, *weights)

    def compute_output_spec(self, targets, *given, logits=False, **more):
        check(targets)
        width, dtype = (self.vocabulary, self.compute_dtype) if logits else (len(SCORES), "float32")
        return keras.KerasTensor((*targets.shape, width), dtype)

    def get_config(self):
        names = ("vocabulary", "embedding", "tied", "dropout", "guessing", "spread", "seed")
        cells = [keras.saving.serialize_keras_object(level.cell) for level in self.levels]
        own = {"levels": cells, "begin": self.begin_token, **{name: getattr(self, name) for name in names}}
        attention = self.attention and keras.saving.serialize_keras_object(self.attention)
        return {**super().get_config(), **own, "attention": attention}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        read = lambda cell: keras.saving.deserialize_keras_object(cell, custom_objects=custom_objects)
        attention = config["attention"] and read(config["attention"])
        return cls(**{**config, "levels": [read(cell) for cell in config["levels"]], "attention": attention})


def check(targets):
    dtype = keras.backend.standardize_dtype(targets.dtype)
    several = len(targets.shape) == 3 and targets.shape[1] and keras.backend.is_int_dtype(dtype)
    right = len(targets.shape) == 2 or several
    if not right or dtype in ("float16", "bfloat16"):
        raise ValueError(
            "Decoder: `targets` must be integers (batch, timesteps), or (batch, several, timesteps), `several` static; "
            "a layer with a 16-bit dtype rounds floats, so a keras.Input of tokens needs dtype='int32'. "
            f"Received: targets.shape={tuple(targets.shape)}, dtype={dtype}."
        )


def by_source(rows, several):
    """`(batch * several, timesteps, ...)` -> `(batch, several * timesteps, ...)`; unchanged if `several` is None."""
    if several is None:
        return rows
    _, timesteps, *features = ops.shape(rows)
    return ops.reshape(rows, (-1, several * timesteps, *features))


def with_mask(memory, mask):
    """A memory and its mask, by default the one that Keras keeps with it, or all True."""
    mask = own_mask(memory) if mask is None else mask
    return [memory, ops.ones(ops.shape(memory)[:2], "bool") if mask is None else mask]
