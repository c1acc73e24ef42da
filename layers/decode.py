"""Decoding in the graph, over any step function: the likeliest next token, a random one, or the best of many sequences.

The model is given as one function of a timestep:

    step(tokens, carry) -> (logits, carry)
    step(tokens, carry) -> (logits, carry, seen)

    tokens   (rows,) int32, the last tokens written
    carry    any nest of tensors whose first axis is `rows`
    logits   (rows, vocabulary); minus infinity rules a token out
    seen     (rows, source timesteps), the weights of an attention at this timestep; then alignments are returned

There are `rows` = batch * width, sentence by sentence; width is 1 except in `beam_search`. The step itself holds what
stays the same over time, such as an attention's memory: it is not repeated, and a step that reshapes its queries to
`(batch, width, ...)` uses one memory for all beams of a sentence.

One loop over timesteps runs for the whole batch: eagerly, in TensorFlow's graphs of unknown sizes, under XLA, in JAX.
The first step runs before it and shows the sizes of the vocabulary and of the source, and the carry's form.
"""

import dataclasses
import math
import typing

import keras
import numpy as np
from keras import ops

from layers import arguments

NOTHING = -1  # where no token is written
LEAST_COVERAGE = 1e-10  # coverage of a source position without attention: log 0 would forbid the sentence


class Decoded(typing.NamedTuple):
    """Decoded sequences, the best first; `best` is 1 except in `beam_search`, `timesteps` is `room`.

    Attributes:
        tokens: `(batch, best, timesteps)` int32, without `end`, `padding` after the last.
        lengths: `(batch, best)` int32, tokens without `end`: equal to `max_length` where the sequence was cut there
            before its `end`, less where it ended.
        scores: `(batch, best)`, by which the sequences are ordered.
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
    """Writes the likeliest next token at each timestep.

    Args:
        step: As at the top of this module.
        carry: The carry before the first timestep, any nest of tensors whose first axis is `batch`.
        begin: Id of the token before the first, an integer or `(batch,)` integers.
        end: Id of the token that ends a sequence, an integer.
        max_length: The most tokens of a sequence, a positive integer, or integers as a tensor, for all or `(batch,)`
            for each sentence; less than 1 is taken as 1.
        min_length: The least tokens before `end`, an integer of 0 or more; `max_length` takes precedence.
        padding: Id at the timesteps after the end, an integer.
        room: Timesteps of the result, a positive integer; longer sequences are cut. Needed where `max_length` is a
            tensor whose value JAX does not know yet; None: the highest `max_length`.

    Returns:
        `Decoded`; scores are log probabilities.

    Raises:
        ValueError: if an argument is out of its range, or `step` returns logits of another shape.

    Example: three tokens, each with the probabilities of the next one.

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
    r"""Draws the next token at random at each timestep.

        p_i ∝ exp(u_i / temperature),    i among the `top_k` likeliest,    i in the nucleus:
        the fewest likeliest tokens whose probabilities sum to `top_p` or more

    Source: nucleus: A. Holtzman et al., "The Curious Case of Neural Text Degeneration", 2020, arXiv:1904.09751,
    section 3.1.

    The random numbers, one for each timestep and sentence, are all drawn before the loop.

    Args:
        step, carry, begin, end, max_length, min_length, padding, room: As for `greedy`.
        seed: An integer, which draws the same sequences each time, or a `keras.random.SeedGenerator`. From one seed,
            each backend, and TensorFlow with and without XLA, draws other sequences.
        temperature: Divisor of the logits u, a positive number; near 0 the result is that of `greedy`.
        top_k: How many of the likeliest tokens to draw among, a positive integer; None: all.
        top_p: Probability of the nucleus, in (0, 1], at that temperature and among the `top_k`; None: all.

    Returns:
        `Decoded`; scores are log probabilities of the unchanged logits.

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

    Source: Y. Wu et al., "Google's Neural Machine Translation System", 2016, arXiv:1609.08144, equation 14. Finished
    hypotheses are ordered by score; open ones, all of the same length, by log p.

    At each timestep, of the 2 * `width` likeliest continuations of a sentence's open hypotheses, those among the first
    `width` that end, or reach `max_length`, are finished, and the first `width` that go on stay open. The `width`
    finished ones with the highest scores are kept. A sentence is done when no open hypothesis can come among its
    `best`: log p falls and lp grows, so none gets above log p / lp(`max_length`). The loop ends when all sentences are
    done. With `width` 1 and no penalty it is `greedy`. Ties go to the hypothesis finished first, then to the better
    beam, then to the lower id.

    Args:
        step, begin, end, max_length, min_length, padding, room: As for `greedy`. Tokens that `min_length` and
            `no_repeat_ngram` rule out leave the probabilities of the others unchanged.
        carry: The carry before the first timestep, any nest of tensors whose first axis is `batch`; `step` gets each
            row `width` times.
        width: Hypotheses to keep open and to keep finished for each sentence, a positive integer.
        best: How many to return for each sentence, a positive integer of `width` at most.
        length_penalty: α, 0 or more.
        coverage_penalty: β, 0 or more; above 0 `step` has to return `seen`. A position with less than 1e-10 of
            attention counts as 1e-10.
        source_mask: `(batch, source timesteps)` booleans, False where there is padding, which needs no coverage; None:
            no padding.
        no_repeat_ngram: Length of runs of tokens that must not occur twice in a hypothesis, an integer; 0 allows all.

    Returns:
        `Decoded`. Where there are fewer hypotheses than asked for, the other scores are minus infinity and their tokens
        padding.

    Raises:
        ValueError: if an argument is out of its range, `step` returns logits of another shape, or `coverage_penalty` is
            above 0 and `step` returns no `seen`.

    Example: the best sequence does not begin with 2, the likeliest first token.

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
    """The state of `beam_search` after `t` timesteps. A path is one number a timestep: beam * vocabulary + token."""

    t: typing.Any
    open: typing.Any  # (batch, width), log p of open hypotheses, falling; minus infinity: there is none
    paths: typing.Any  # (batch, width, room), of open hypotheses
    scores: typing.Any  # (batch, width), of finished hypotheses, falling; minus infinity: there is none
    log_probabilities: typing.Any  # (batch, width), of finished hypotheses
    finished: typing.Any  # (batch, width, room), paths of finished hypotheses
    alignments: typing.Any  # [(room, batch * width, source timesteps)], by the beams of each timestep; or []
    coverage: typing.Any  # [(batch * width, source timesteps)], of open hypotheses; or []


@dataclasses.dataclass(frozen=True)
class Search:
    """The arguments of a `beam_search`, and its operations at each timestep."""

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
        """One open hypothesis, without tokens, and no finished one."""
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
        """Writes the next token: `(tokens, carry, beams)`."""
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
        chosen = lambda x: ops.reshape(ops.take(x, rows, axis=0), ops.shape(x))  # with the sizes of x that are known
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
        """The finished hypotheses with the highest scores, of those before and the continuations that end."""
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
    """The state of `token_by_token` after `t` timesteps."""

    t: typing.Any
    open: typing.Any  # (batch,), whether the sequence goes on
    log_probabilities: typing.Any  # (batch,)
    tokens: typing.Any  # (room, batch)
    alignments: typing.Any  # [(room, batch, source timesteps)] or []


def token_by_token(owner, step, carry, choose, begin, end, limits, min_length, padding, room):
    """One sequence a sentence; its next token is `choose(logits, t)`, `(batch,)`."""
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
    """The loop: `start(logits, seen)`, then `write(found, logits, carry, seen) -> (tokens, carry, found)` after each
    step, as long as `unfinished(found)`. `seen` is a list of one tensor or none.

    Returns:
        `(found, vocabulary)`: the last state, and the number of tokens.
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
    """`logits` with minus infinity for each token that would complete a run of `n` that a hypothesis already has.

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
    """The 2 * `width` likeliest continuations of each sentence, the likeliest first.

    Args:
        log_p: `(batch, width)`, of the hypotheses.
        logits: `(batch * width, vocabulary)`.
        normalizer: `(batch * width, 1)`.

    Returns:
        `(log_p, beam, token)`, each `(batch, 2 * width)`.
    """
    # Each beam's likeliest tokens come first: a choice over all beams and tokens would read the logits again.
    count = min(2 * width, logits.shape[1])
    logits, token = ops.top_k(logits, count)
    shape = (ops.shape(log_p)[0], width * count)
    totals = ops.repeat(log_p, count, axis=1) + ops.reshape(logits - normalizer, shape)
    totals, place = ops.top_k(totals, 2 * width)
    return totals, place // count, pick(ops.reshape(token, shape), place)


def draw(logits, number, temperature, top_k, top_p):
    """A random token of each row: the first whose cumulative probability exceeds `number`, `(rows,)` in [0, 1)."""
    count, tokens = logits.shape[1], None
    if top_k or top_p:
        logits, tokens = ops.top_k(logits, min(top_k or count, count))
    largest = ops.max(logits, axis=1, keepdims=True, initial=-math.inf)  # `initial`: for no rows
    p = ops.exp((logits - largest) / temperature)  # need not sum to 1
    if top_p:
        before = ops.cumsum(p, axis=1) - p
        p = ops.where(before < top_p * ops.sum(p, axis=1, keepdims=True), p, 0.0)
    up_to = ops.where(p > 0, ops.cumsum(p, axis=1), 0.0)  # never a token without probability
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
    if None in x.shape or 0 in x.shape:  # without sentences, TensorFlow cannot write into the empty tensor
        at, row = (given[: ops.minimum(ops.size(row), 1)] for given in (at, row))
    return ops.scatter_update(x, at, row)
