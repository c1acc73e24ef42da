"""Decoding in the graph, over any step function: the likeliest next token, a random one, or the best of many sequences.

What is decoded is given as one function of a timestep:

    step(tokens, carry) -> (logits, carry)
    step(tokens, carry) -> (logits, carry, seen)

    tokens   (rows,) int32, what was written last
    carry    any nest of tensors whose first axis is `rows`
    logits   (rows, vocabulary); minus infinity rules a token out
    seen     (rows, source timesteps), the weights of an attention at this timestep; then alignments are returned

There are `rows` = batch * width of them, sentence by sentence, width 1 but in `beam_search`. What stays the same over
time, an attention's memory, is the step's own: it is not repeated, and a step that reshapes its queries to
`(batch, width, ...)` has all beams of a sentence beside its memory.

One loop over timesteps runs for the whole batch: eagerly, in TensorFlow's graphs of unknown sizes, under XLA, in JAX.
The first step stands before it: it tells how large the vocabulary is, how long the source, and what the carry becomes.
"""

import dataclasses
import math
import typing

import keras
import numpy as np
from keras import ops

from layers import arguments

NOTHING = -1  # where no token is written
LEAST_COVERAGE = 1e-10  # what a source position counts that was never looked at: log 0 would forbid the sentence


class Decoded(typing.NamedTuple):
    """What was decoded, the best first; `best` is 1 but in `beam_search`, and `timesteps` is `room`.

    Attributes:
        tokens: `(batch, best, timesteps)` int32, without `end`, `padding` after the last.
        lengths: `(batch, best)` int32, tokens without `end`: equal to `max_length` where the sequence was cut there
            before its `end`, less where it ended.
        scores: `(batch, best)`, what the sequences were compared by.
        log_probabilities: `(batch, best)`, log p of the tokens and `end` as the logits have it, in nats.
        alignments: `(batch, best, timesteps, source timesteps)`, the attention that each token was written with, zeros
            after the last; None where `step` returns none.
    """

    tokens: typing.Any
    lengths: typing.Any
    scores: typing.Any
    log_probabilities: typing.Any
    alignments: typing.Any


def greedy(step, carry, *, begin, end, max_length, min_length=0, padding=0, room=None):
    """The likeliest next token, over and over.

    Args:
        step: As at the top of this module.
        carry: The carry before the first timestep, any nest of tensors whose first axis is `batch`.
        begin: Id of the token before the first, an integer or `(batch,)` integers.
        end: Id of the token that ends a sequence, an integer.
        max_length: The most tokens of a sequence, a positive integer, or integers as a tensor, for all or `(batch,)`
            for each sentence; less than 1 is taken as 1.
        min_length: The least tokens before `end`, an integer of 0 or more; `max_length` wins.
        padding: What stands after the end, an integer.
        room: Timesteps of what is returned, a positive integer; longer sequences are cut. Needed where `max_length` is
            a tensor that JAX has yet to compute; None: the highest `max_length`.

    Returns:
        `Decoded`; scores are log probabilities.

    Raises:
        ValueError: if an argument is out of its range, or `step` returns logits of another shape.

    Example: the token after each of three, likeliest first and in a chain.

    >>> from layers import decode
    >>> chain = np.log([[0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3]]).astype("float32")
    >>> step = lambda tokens, carry: (ops.take(chain, tokens, axis=0), carry)
    >>> found = decode.greedy(step, np.zeros((1, 1)), begin=0, end=0, max_length=4)
    >>> ops.convert_to_numpy(found.tokens).tolist()
    [[[2, 1, 1, 1]]]
    """
    limits, room = bounds("greedy", carry, max_length, room)
    likeliest = lambda logits, t: ops.cast(ops.argmax(logits, axis=1), "int32")
    return token_by_token("greedy", step, carry, likeliest, begin, end, limits, min_length, padding, room)


def sample(
    step,
    carry,
    *,
    begin,
    end,
    max_length,
    seed,
    temperature=1.0,
    top_k=None,
    top_p=None,
    min_length=0,
    padding=0,
    room=None,
):
    r"""A random next token, over and over.

        p_i ∝ exp(u_i / temperature),    i among the `top_k` likeliest,    i in the nucleus:
        the fewest likeliest tokens whose probabilities sum to `top_p` or more

    Source: nucleus: A. Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, arXiv:1904.09751,
    section 3.1.

    One number for each timestep and sentence is drawn before the first, so nothing is drawn within the loop.

    Args:
        step, carry, begin, end, max_length, min_length, padding, room: As for `greedy`.
        seed: An integer, which draws the same sequences each time, or a `keras.random.SeedGenerator`. Backends, and
            TensorFlow within and without XLA, draw others from the same seed.
        temperature: What logits u are divided by, a positive number; towards 0 it is `greedy`.
        top_k: How many of the likeliest tokens to draw among, a positive integer; None: all.
        top_p: Probability of the nucleus, in (0, 1], at that temperature and among the `top_k`; None: all.

    Returns:
        `Decoded`; scores are log probabilities, those of the logits as they came.

    Raises:
        ValueError: as `greedy`.

    Example:

    >>> from layers import decode
    >>> chain = np.log([[0.1, 0.3, 0.6], [0.2, 0.5, 0.3], [0.3, 0.4, 0.3]]).astype("float32")
    >>> step = lambda tokens, carry: (ops.take(chain, tokens, axis=0), carry)
    >>> found = decode.sample(step, np.zeros((2, 1)), begin=0, end=0, max_length=4, seed=1)
    >>> tuple(found.tokens.shape)
    (2, 1, 4)
    """
    if not 0 < temperature < math.inf:
        raise ValueError(f"sample: `temperature` must be a positive number. Received: temperature={temperature!r}.")
    if top_k is not None:
        arguments.positive("sample", "top_k", top_k)
    if top_p is not None and not 0 < top_p <= 1:
        raise ValueError(f"sample: `top_p` must be in (0, 1]. Received: top_p={top_p!r}.")
    limits, room = bounds("sample", carry, max_length, room)
    numbers = keras.random.uniform((room, ops.shape(limits)[0]), dtype="float32", seed=seed)
    drawn = lambda logits, t: draw(logits, ops.take(numbers, t, axis=0), temperature, top_k, top_p)
    return token_by_token("sample", step, carry, drawn, begin, end, limits, min_length, padding, room)


def beam_search(
    step,
    carry,
    *,
    begin,
    end,
    width,
    max_length,
    min_length=0,
    best=1,
    length_penalty=0.0,
    coverage_penalty=0.0,
    source_mask=None,
    no_repeat_ngram=0,
    padding=0,
    room=None,
):
    r"""The sequences with the highest scores that a beam finds.

        s(Y, X) = log p(Y | X) / lp(Y) + cp(X; Y)
        lp(Y) = (5 + |Y|)^α / (5 + 1)^α
        cp(X; Y) = β Σ_i log(min(Σ_j p_{i,j}, 1))

    |Y| counts `end`; p_{i,j} is the attention to source position i at token j.

    Source: Y. Wu et al., "Google's Neural Machine Translation System", 2016, arXiv:1609.08144, equation 14. Scores
    compare finished hypotheses; open ones, which are all of one length, go by log p.

    At each timestep, of the 2 * `width` likeliest continuations of a sentence's open hypotheses, those among the first
    `width` that end, or reach `max_length`, are finished, and the first `width` that go on stay open. The `width`
    finished ones with the highest scores are kept. A sentence is done when no open hypothesis can come among its
    `best`: log p falls and lp grows, so none gets above log p / lp(`max_length`). The loop ends when all sentences are
    done. With `width` 1 and no penalty it is `greedy`. Ties go to what was finished first, then to the better beam,
    then to the lower id.

    Args:
        step, begin, end, max_length, min_length, padding, room: As for `greedy`. What `min_length` and
            `no_repeat_ngram` rule out leaves the probabilities of the rest as they are.
        carry: The carry before the first timestep, any nest of tensors whose first axis is `batch`; `step` gets it
            with each row `width` times.
        width: Hypotheses to keep open and to keep finished for each sentence, a positive integer.
        best: How many to return for each sentence, a positive integer of `width` at most.
        length_penalty: α, 0 or more.
        coverage_penalty: β, 0 or more; above 0 `step` has to return `seen`. A position looked at with less than 1e-10
            counts as if with that much.
        source_mask: `(batch, source timesteps)` booleans, False where there is padding, which needs no coverage; None:
            there is none.
        no_repeat_ngram: Tokens of which no run occurs twice in a hypothesis, an integer; 0 allows all.

    Returns:
        `Decoded`. Where there are fewer hypotheses than asked for, the scores left over are minus infinity and their
        tokens padding.

    Raises:
        ValueError: if an argument is out of its range, `step` returns logits of another shape, or coverage is asked of
            a `step` that returns no `seen`.

    Example: the greedy start, 2, leads nowhere.

    >>> from layers import decode
    >>> chain = np.log([[0.1, 0.4, 0.5], [0.9, 0.05, 0.05], [0.3, 0.3, 0.4]]).astype("float32")
    >>> step = lambda tokens, carry: (ops.take(chain, tokens, axis=0), carry)
    >>> found = decode.beam_search(step, np.zeros((1, 1)), begin=0, end=0, width=2, max_length=4)
    >>> ops.convert_to_numpy(found.tokens).tolist()
    [[[1, 0, 0, 0]]]
    """
    arguments.positive("beam_search", "width", width)
    arguments.positive("beam_search", "best", best, most=width)
    arguments.positive("beam_search", "min_length", min_length, least=0)
    arguments.positive("beam_search", "no_repeat_ngram", no_repeat_ngram, least=0)
    arguments.within("beam_search", "length_penalty", length_penalty, 0)
    arguments.within("beam_search", "coverage_penalty", coverage_penalty, 0)
    limits, room = bounds("beam_search", carry, max_length, room)
    search = Search(
        batch=ops.shape(limits)[0],
        width=width,
        room=room,
        limits=limits,
        end=end,
        min_length=min_length,
        best=best,
        length_penalty=length_penalty,
        coverage_penalty=coverage_penalty,
        source_mask=source_mask,
        no_repeat_ngram=no_repeat_ngram,
    )
    repeated = lambda x: ops.repeat(ops.convert_to_tensor(x), width, axis=0)
    tokens = repeated(ops.broadcast_to(ops.cast(begin, "int32"), (search.batch,)))
    carry = keras.tree.map_structure(repeated, carry)
    beams, vocabulary = run("beam_search", step, tokens, carry, end, search.start, search.write, search.unfinished)
    paths = beams.finished[:, :best]
    written = paths >= 0
    return Decoded(
        tokens=ops.where(written, paths % vocabulary, padding),
        lengths=ops.sum(ops.cast(written, "int32"), axis=2),
        scores=beams.scores[:, :best],
        log_probabilities=beams.log_probabilities[:, :best],
        alignments=search.aligned(beams.alignments[0], paths, vocabulary) if beams.alignments else None,
    )


class Beams(typing.NamedTuple):
    """What `beam_search` knows after `t` timesteps. A path is one number a timestep: beam * vocabulary + token."""

    t: typing.Any
    open: typing.Any  # (batch, width), log p of open hypotheses, falling; minus infinity: there is none
    paths: typing.Any  # (batch, width, room), of open hypotheses
    scores: typing.Any  # (batch, width), of finished hypotheses, falling; minus infinity: there is none
    log_probabilities: typing.Any  # (batch, width), theirs
    finished: typing.Any  # (batch, width, room), their paths
    alignments: typing.Any  # [(room, batch * width, source timesteps)], by the beams of each timestep; or []
    coverage: typing.Any  # [(batch * width, source timesteps)], of open hypotheses; or []


@dataclasses.dataclass(frozen=True)
class Search:
    """What a `beam_search` was asked for, and what it does at each timestep."""

    batch: typing.Any  # an integer, or a tensor where the graph does not know it
    width: int
    room: typing.Any
    limits: typing.Any  # (batch,) int32
    end: int
    min_length: int
    best: int
    length_penalty: float
    coverage_penalty: float
    source_mask: typing.Any
    no_repeat_ngram: int

    def start(self, logits, seen):
        """One open hypothesis, in which nothing is written, and no finished one."""
        if self.coverage_penalty and not seen:
            raise ValueError(
                f"beam_search: `coverage_penalty` needs a `step` that returns (logits, carry, seen). "
                f"Received: coverage_penalty={self.coverage_penalty!r} and a step that returns (logits, carry)."
            )
        none = ops.full((self.batch, self.width), -math.inf, dtype=logits.dtype)
        return Beams(
            t=ops.cast(0, "int32"),
            open=ops.where(ops.arange(self.width) == 0, ops.zeros_like(none), none),
            paths=ops.full((self.batch, self.width, self.room), NOTHING, dtype="int32"),
            scores=none,
            log_probabilities=none,
            finished=ops.full((self.batch, self.width, self.room), NOTHING, dtype="int32"),
            alignments=[ops.zeros((self.room, *ops.shape(x)), dtype=x.dtype) for x in seen],
            coverage=[ops.zeros_like(x) for x in seen] if self.coverage_penalty else [],
        )

    def write(self, beams, logits, carry, seen):
        """The token after: `(tokens, carry, beams)`."""
        t, vocabulary = beams.t, logits.shape[1]
        allowed = without(logits, self.end, t < self.min_length) if self.min_length else logits
        if self.no_repeat_ngram:
            tokens = ops.reshape(beams.paths % vocabulary, (self.batch * self.width, self.room))
            allowed = without_repeats(allowed, tokens, t, self.no_repeat_ngram)
        log_p, beam, token = continuations(beams.open, allowed, log_normalizer(logits), self.width)
        beams = beams._replace(
            alignments=[put(held, t, x) for held, x in zip(beams.alignments, seen, strict=True)],
            coverage=[held + seen[0] for held in beams.coverage],
        )
        ends = token == self.end
        closes = ops.logical_or(ends, ops.expand_dims(t + 1 >= self.limits, 1))  # (batch, 2 * width)
        place = ops.where(ends, NOTHING, beam * vocabulary + token)
        beams = self.finish(beams, *(x[:, : self.width] for x in (closes, log_p, beam, place)))
        log_p, order = ops.top_k(ops.where(closes, -math.inf, log_p), self.width)
        beam, token, place = (pick(x, order) for x in (beam, token, place))
        rows = ops.reshape(flat(beam, self.width), (-1,))
        chosen = lambda x: ops.reshape(ops.take(x, rows, axis=0), ops.shape(x))  # of as much known size as x
        return (
            ops.reshape(token, (-1,)),
            keras.tree.map_structure(chosen, carry),
            beams._replace(
                t=t + 1,
                open=log_p,
                paths=self.longer(beams.paths, beam, t, place),
                coverage=[chosen(x) for x in beams.coverage],
            ),
        )

    def finish(self, beams, closes, log_p, beam, place):
        """The finished hypotheses with the highest scores, of those before and the continuations that close."""
        scores = log_p / self.lp(beams.t + 1, log_p.dtype)
        if self.coverage_penalty:
            scores = scores + pick(self.cp(beams.coverage[0]), beam)
        scores = ops.concatenate([beams.scores, ops.where(closes, scores, -math.inf)], axis=1)
        scores, kept = ops.top_k(scores, self.width)
        both = lambda old, new: pick(ops.concatenate([old, new], axis=1), kept)
        return beams._replace(
            scores=scores,
            log_probabilities=both(beams.log_probabilities, log_p),
            finished=both(beams.finished, self.longer(beams.paths, beam, beams.t, place)),
        )

    def longer(self, paths, beam, t, place):
        """The paths of `beam`, `(batch, width)`, with `place` at timestep `t`."""
        return ops.where(ops.arange(self.room) == t, ops.expand_dims(place, 2), pick(paths, beam))

    def unfinished(self, beams):
        """Whether an open hypothesis can still come among the best: log p falls, lp grows, cp is at most 0."""
        within_reach = beams.open[:, 0] / self.lp(self.limits, beams.open.dtype)
        return ops.any(within_reach > beams.scores[:, self.best - 1])

    def lp(self, lengths, dtype):
        return ((5 + ops.cast(lengths, dtype)) / 6) ** self.length_penalty

    def cp(self, coverage):
        coverage = ops.reshape(coverage, (self.batch, self.width, ops.shape(coverage)[1]))
        logs = ops.log(ops.clip(coverage, LEAST_COVERAGE, 1.0))
        if self.source_mask is not None:
            logs = ops.where(ops.expand_dims(ops.cast(self.source_mask, "bool"), 1), logs, 0.0)
        return self.coverage_penalty * ops.sum(logs, axis=2)  # (batch, width)

    def aligned(self, seen, paths, vocabulary):
        """`(batch, best, room, source timesteps)`: at each timestep, the row of `seen` that wrote the path's token."""
        count = self.batch * self.width
        rows = ops.maximum(flat(paths // vocabulary, self.width), 0) + ops.arange(self.room) * count
        seen = ops.reshape(seen, (self.room * count, ops.shape(seen)[2]))
        return ops.where(ops.expand_dims(paths >= 0, 3), ops.take(seen, rows, axis=0), 0.0)


class Writing(typing.NamedTuple):
    """What `token_by_token` knows after `t` timesteps."""

    t: typing.Any
    open: typing.Any  # (batch,), whether the sequence goes on
    log_probabilities: typing.Any  # (batch,)
    tokens: typing.Any  # (room, batch)
    alignments: typing.Any  # [(room, batch, source timesteps)] or []


def token_by_token(owner, step, carry, choose, begin, end, limits, min_length, padding, room):
    """One sequence a sentence, whose next token is `choose(logits, t)`, `(batch,)`."""
    arguments.positive(owner, "min_length", min_length, least=0)
    batch = ops.shape(limits)[0]

    def start(logits, seen):
        return Writing(
            t=ops.cast(0, "int32"),
            open=ops.full((batch,), True, dtype="bool"),
            log_probabilities=ops.zeros_like(logits[:, 0]),
            tokens=ops.full((room, batch), NOTHING, dtype="int32"),
            alignments=[ops.zeros((room, *ops.shape(x)), dtype=x.dtype) for x in seen],
        )

    def write(so_far, logits, carry, seen):
        t, is_open = so_far.t, so_far.open
        token = choose(without(logits, end, t < min_length) if min_length else logits, t)
        log_p = (pick(logits, ops.expand_dims(token, 1)) - log_normalizer(logits))[:, 0]
        written = ops.logical_and(is_open, token != end)
        found = Writing(
            t=t + 1,
            open=ops.logical_and(written, t + 1 < limits),
            log_probabilities=so_far.log_probabilities + ops.where(is_open, log_p, ops.zeros_like(log_p)),
            tokens=put(so_far.tokens, t, ops.where(written, token, NOTHING)),
            alignments=[put(held, t, x) for held, x in zip(so_far.alignments, seen, strict=True)],
        )
        return token, carry, found

    tokens = ops.broadcast_to(ops.cast(begin, "int32"), (batch,))
    carry = keras.tree.map_structure(ops.convert_to_tensor, carry)
    found, _ = run(owner, step, tokens, carry, end, start, write, lambda found: ops.any(found.open))
    tokens = ops.expand_dims(ops.transpose(found.tokens), 1)  # (batch, 1, room)
    written = tokens >= 0
    alignments = None
    if found.alignments:
        weights = ops.expand_dims(ops.swapaxes(found.alignments[0], 0, 1), 1)
        alignments = ops.where(ops.expand_dims(written, 3), weights, 0.0)
    log_p = ops.expand_dims(found.log_probabilities, 1)
    lengths = ops.sum(ops.cast(written, "int32"), axis=2)
    return Decoded(ops.where(written, tokens, padding), lengths, log_p, log_p, alignments)


def run(owner, step, tokens, carry, end, start, write, unfinished):
    """The loop: `write(found, logits, carry, seen) -> (tokens, carry, found)`, from `start(logits, seen)`, after each
    step, as long as `unfinished(found)`. `seen` is a list of one or none.

    Returns:
        `(found, vocabulary)`: the last, and how many tokens there are.
    """

    def made(tokens, carry):
        logits, carry, *seen = step(tokens, carry)
        if len(logits.shape) != 2 or logits.shape[1] is None or logits.shape[1] < 2:
            raise ValueError(
                f"{owner}: `step` must return logits of (rows, vocabulary), with a known vocabulary of 2 or more. "
                f"Received: logits.shape={tuple(logits.shape)}."
            )
        dtype = keras.backend.result_type(logits.dtype, "float32")
        return ops.cast(logits, dtype), carry, [ops.cast(x, dtype) for x in seen]

    logits, carry, seen = made(tokens, carry)
    arguments.positive(owner, "end", end, most=logits.shape[1] - 1, least=0)
    first = write(start(logits, seen), logits, carry, seen)
    last = ops.while_loop(
        lambda tokens, carry, found: unfinished(found),
        lambda tokens, carry, found: write(found, *made(tokens, carry)),
        first,
    )
    return last[2], logits.shape[1]


def bounds(owner, carry, max_length, room):
    """The most tokens of each sentence, `(batch,)` int32, and room for them all; the batch is that of `carry`."""
    if isinstance(max_length, (int, np.integer, list, tuple, np.ndarray)):
        most = arguments.positive(owner, "max_length", np.max(max_length).item() if np.size(max_length) else 1)
    else:
        most = ops.max(ops.cast(max_length, "int32"), initial=1)
    room = most if room is None else arguments.positive(owner, "room", room)
    limits = ops.clip(ops.cast(max_length, "int32"), 1, room)
    return ops.broadcast_to(limits, (ops.shape(keras.tree.flatten(carry)[0])[0],)), room


def log_normalizer(logits):
    """log Σ exp u of each row, `(rows, 1)`; 0 where all tokens are ruled out."""
    total = ops.logsumexp(logits, axis=1, keepdims=True)
    return ops.where(total == -math.inf, ops.zeros_like(total), total)


def without(logits, token, forbidden):
    """`logits` with minus infinity for `token` where it is forbidden, a boolean for all rows."""
    return ops.where(ops.logical_and(ops.arange(logits.shape[1]) == token, forbidden), -math.inf, logits)


def without_repeats(logits, tokens, t, n):
    """`logits` with minus infinity for each token that would complete a run of `n` that a hypothesis holds already.

    Args:
        logits: `(rows, vocabulary)`.
        tokens: `(rows, room)`, of which the first `t` are written.
    """
    rows, room = ops.shape(tokens)
    position = ops.arange(room)
    repeats = ops.broadcast_to(ops.logical_and(position >= n - 1, position < t), (rows, room))
    for back in range(1, n):
        same = ops.roll(tokens, back, axis=1) == ops.take(tokens, ops.maximum(t - back, 0)[None], axis=1)
        repeats = ops.logical_and(repeats, same)
    row = ops.broadcast_to(ops.expand_dims(ops.arange(rows), 1), (rows, room))
    indices = ops.stack([ops.reshape(row, (-1,)), ops.reshape(tokens, (-1,))], axis=1)
    most = ops.where(ops.reshape(repeats, (-1,)), ops.cast(-math.inf, logits.dtype), math.inf)
    return ops.scatter_update(logits, indices, most, reduction="min")


def continuations(log_p, logits, normalizer, width):
    """The 2 * `width` likeliest ways to go on in each sentence, the likeliest first.

    Args:
        log_p: `(batch, width)`, of what was written.
        logits: `(batch * width, vocabulary)`.
        normalizer: `(batch * width, 1)`.

    Returns:
        `(log_p, beam, token)`, each `(batch, 2 * width)`.
    """
    # Each beam's likeliest first: a sum and a choice over all beams and tokens would pass over the logits again.
    count = min(2 * width, logits.shape[1])
    logits, token = ops.top_k(logits, count)
    shape = (ops.shape(log_p)[0], width * count)
    totals = ops.repeat(log_p, count, axis=1) + ops.reshape(logits - normalizer, shape)
    totals, place = ops.top_k(totals, 2 * width)
    return totals, place // count, pick(ops.reshape(token, shape), place)


def draw(logits, number, temperature, top_k, top_p):
    """A random token of each row, where the sum of probabilities passes `number`, `(rows,)` in [0, 1)."""
    count, tokens = logits.shape[1], None
    if top_k or top_p:
        logits, tokens = ops.top_k(logits, min(top_k or count, count))
    largest = ops.max(logits, axis=1, keepdims=True, initial=-math.inf)  # of no rows too
    p = ops.exp((logits - largest) / temperature)  # need not sum to 1
    if top_p:
        before = ops.cumsum(p, axis=1) - p
        p = ops.where(before < top_p * ops.sum(p, axis=1, keepdims=True), p, 0.0)
    up_to = ops.where(p > 0, ops.cumsum(p, axis=1), 0.0)  # a token without probability passes nothing
    number = ops.expand_dims(ops.cast(number, p.dtype), 1) * ops.max(up_to, axis=1, keepdims=True, initial=0)
    place = ops.argmax(up_to > number, axis=1)
    return ops.cast(place if tokens is None else pick(tokens, ops.expand_dims(place, 1))[:, 0], "int32")


def flat(index, count):
    """`(batch, ...)` indices among `count` of each sentence as indices among `batch * count`."""
    first = ops.arange(ops.shape(index)[0]) * count
    return ops.cast(index, "int32") + ops.reshape(first, (-1,) + (1,) * (len(index.shape) - 1))


def pick(x, index):
    """`x[b, index[b, i]]`: of `(batch, count, ...)` and `(batch, n)`, `(batch, n, ...)`."""
    batch, count, *rest = ops.shape(x)
    return ops.take(ops.reshape(x, (batch * count, *rest)), flat(index, count), axis=0)


def put(x, t, row):
    """`x`, `(timesteps, ...)`, with `row` at timestep `t`."""
    at, row = ops.reshape(t, (1, 1)), ops.expand_dims(row, 0)
    if None in x.shape or 0 in x.shape:  # TensorFlow writes nothing into a tensor without elements, of no sentences
        at, row = (given[: ops.minimum(ops.size(row), 1)] for given in (at, row))
    return ops.scatter_update(x, at, row)
