"""Decoding against enumeration of all sequences, and against a beam search over Python lists."""

import functools
import itertools
import math

import keras
import numpy as np
import pytest
from cells import TENSORFLOW
from keras import ops
from scipy import stats

from layers import decode

BATCH, UNITS, SOURCE = 3, 4, 4
BEGIN, END, PADDING = 1, 2, 9
MASK = np.array([[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 1, 0]], bool)
PENALTIES = [
    {},
    {"length_penalty": 0.7, "min_length": 2},
    {"coverage_penalty": 0.5},
    {"length_penalty": 1.0, "coverage_penalty": 0.3, "no_repeat_ngram": 2},
    {"no_repeat_ngram": 1},
    {"no_repeat_ngram": 3, "min_length": 3},
]
name = lambda settings: ", ".join(f"{key} {value}" for key, value in settings.items()) or "plain"


class Toy:
    """A recurrent network with attention and random weights, in Keras and in NumPy."""

    def __init__(self, vocabulary=5, seed=0, bias=1.0):
        rng = np.random.default_rng(seed)
        random = lambda *shape: rng.normal(size=shape).astype("float32")
        self.vocabulary, self.bias = vocabulary, (bias * (np.arange(vocabulary) == END)).astype("float32")
        self.embedding, self.recurrent, self.output = (
            2 * random(vocabulary, UNITS),
            random(UNITS, UNITS),
            2 * random(UNITS, vocabulary),
        )
        self.hidden, self.memory = random(BATCH, UNITS), 2 * random(BATCH, SOURCE, UNITS)

    def carry(self, rows=slice(None)):
        hidden = self.hidden[rows]
        return {"hidden": hidden, "timesteps": [np.zeros(len(hidden), "int32")]}

    def step(self, memory=None, mask=MASK, calls=None):
        memory = self.memory if memory is None else memory

        def step(tokens, carry):
            if calls is not None:
                calls.append(tokens)
            (t,) = carry["timesteps"]
            hidden = ops.take(self.embedding, tokens, axis=0) + ops.matmul(carry["hidden"], self.recurrent)
            hidden = ops.tanh(hidden + 0.1 * ops.cast(ops.expand_dims(t, 1), "float32"))
            queries = ops.reshape(hidden, (ops.shape(memory)[0], -1, UNITS))  # (batch, width, units)
            weights = ops.matmul(queries, ops.swapaxes(memory, 1, 2))
            weights = ops.softmax(ops.where(ops.expand_dims(mask, 1), weights, -1e9))
            context = ops.reshape(ops.matmul(weights, memory), (-1, UNITS))
            logits = ops.matmul(hidden + 0.3 * context, self.output) + self.bias
            seen = ops.reshape(weights, (-1, ops.shape(memory)[1]))
            return logits, {"hidden": hidden, "timesteps": [t + 1]}, seen

        return step

    def one(self, sentence, token, carry):
        """One hypothesis of one sentence: (log p of the next token, carry, attention)."""
        hidden, t = (self.hidden[sentence], 0) if carry is None else carry
        hidden = np.tanh(self.embedding[token] + hidden @ self.recurrent + np.float32(0.1) * t)
        weights = np.where(MASK[sentence], self.memory[sentence] @ hidden, -1e9)
        weights = np.exp(weights - weights.max())
        weights = weights / weights.sum()
        logits = (hidden + 0.3 * weights @ self.memory[sentence]) @ self.output + self.bias
        return logits - np.log(np.sum(np.exp(logits))), (hidden, t + 1), weights


class Hypothesis:
    def __init__(self, tokens=(), log_p=0.0, carry=None, seen=()):
        self.tokens, self.log_p, self.carry, self.seen = tokens, log_p, carry, seen

    def longer(self, toy, sentence):
        log_p, carry, seen = toy.one(sentence, self.tokens[-1] if self.tokens else BEGIN, self.carry)
        return [
            Hypothesis((*self.tokens, token), self.log_p + log_p[token], carry, (*self.seen, seen))
            for token in range(toy.vocabulary)
        ]

    @property
    def ended(self):
        return self.tokens[-1:] == (END,)

    def allowed(self, min_length, n):
        runs = [self.tokens[i : i + n] for i in range(len(self.tokens) - n + 1)] if n else []
        return len(set(runs)) == len(runs) and not (self.ended and len(self.tokens) - 1 < min_length)

    def score(self, sentence, length_penalty, coverage_penalty):
        coverage = np.minimum(np.sum(self.seen, axis=0), 1)[MASK[sentence]]
        lp = (5 + len(self.tokens)) ** length_penalty / 6**length_penalty
        return self.log_p / lp + coverage_penalty * np.sum(np.log(coverage))


def every(toy, sentence, limit, *, min_length=0, no_repeat_ngram=0, length_penalty=0.0, coverage_penalty=0.0):
    """All sequences, and their scores, the best first."""
    open_ones, found = [Hypothesis()], []
    for length in range(1, limit + 1):
        longer = [one for hypothesis in open_ones for one in hypothesis.longer(toy, sentence)]
        longer = [one for one in longer if one.allowed(min_length, no_repeat_ngram)]
        found += [one for one in longer if one.ended or length == limit]
        open_ones = [one for one in longer if not one.ended]
    ranked = [(one.score(sentence, length_penalty, coverage_penalty), one) for one in found]
    return sorted(ranked, key=lambda pair: -pair[0])


def beams_of_lists(
    toy,
    sentence,
    limit,
    width,
    *,
    best=1,
    min_length=0,
    no_repeat_ngram=0,
    length_penalty=0.0,
    coverage_penalty=0.0,
):
    """(score, hypothesis) of a beam search that never stops early, and the timesteps after which it might have."""
    open_ones, finished, enough = [Hypothesis()], [], None
    for length in range(1, limit + 1):
        longer = [one for hypothesis in open_ones for one in hypothesis.longer(toy, sentence)]
        longer = [one for one in longer if one.allowed(min_length, no_repeat_ngram)]
        longer = sorted(longer, key=lambda one: -one.log_p)[: 2 * width]
        closing = [one for one in longer[:width] if one.ended or length == limit]
        finished += [(one.score(sentence, length_penalty, coverage_penalty), one) for one in closing]
        finished = sorted(finished, key=lambda pair: -pair[0])[:width]
        open_ones = [one for one in longer if not one.ended and length < limit][:width]
        hope = open_ones[0].log_p / ((5 + limit) / 6) ** length_penalty if open_ones else -math.inf
        if enough is None and hope <= (finished[best - 1][0] if len(finished) >= best else -math.inf):
            enough = length
    return finished, enough


def numpy(x):
    return keras.tree.map_structure(lambda one: None if one is None else ops.convert_to_numpy(one), x)


def same(found, sentence, expected):
    """Whether what was decoded for `sentence` is `expected`, the best of a list of (score, hypothesis)."""
    best = found.tokens.shape[1]
    for rank, (score, hypothesis) in enumerate(expected[:best]):
        tokens = hypothesis.tokens[:-1] if hypothesis.ended else hypothesis.tokens
        length = found.lengths[sentence, rank]
        assert tuple(found.tokens[sentence, rank, :length]) == tokens
        assert (found.tokens[sentence, rank, length:] == PADDING).all()
        assert found.scores[sentence, rank] == pytest.approx(score, abs=1e-4)
        assert found.log_probabilities[sentence, rank] == pytest.approx(hypothesis.log_p, abs=1e-4)
        alignments = found.alignments[sentence, rank]
        np.testing.assert_allclose(
            alignments[:length], np.reshape(hypothesis.seen[:length], (length, SOURCE)), atol=1e-5
        )
        assert not alignments[length:].any()
    assert (found.scores[sentence, len(expected) :] == -np.inf).all()
    assert (found.tokens[sentence, len(expected) :] == PADDING).all()


def written(toy, sentence, tokens, limit):
    """The hypothesis of these tokens, and `END` where there is room for it."""
    one = Hypothesis()
    for token in [*tokens, END][:limit]:
        one = one.longer(toy, sentence)[token]
    return one


def search(toy, **settings):
    settings = {"begin": BEGIN, "end": END, "padding": PADDING, "source_mask": MASK, **settings}
    return numpy(decode.beam_search(toy.step(), toy.carry(), **settings))


def chain(rows):
    """A step whose next token depends on the last alone, of probabilities."""
    logits = np.log(np.maximum(np.array(rows, "float32"), 1e-30))
    return lambda tokens, carry: (ops.take(logits, tokens, axis=0), carry)


@pytest.mark.parametrize("penalties", PENALTIES, ids=name)
def test_a_beam_as_wide_as_there_are_sequences_finds_the_best_of_all(penalties):
    toy = Toy(vocabulary=3, seed=1)
    found = search(toy, width=81, best=40, max_length=4, **penalties)
    for sentence in range(BATCH):
        same(found, sentence, every(toy, sentence, 4, **penalties))


@pytest.mark.parametrize("penalties", PENALTIES, ids=name)
@pytest.mark.parametrize("width, best", [(2, 2), (4, 3)])
def test_a_narrow_beam_is_that_over_lists(penalties, width, best):
    toy, limits = Toy(vocabulary=6, seed=width), [7, 2, 5]
    found = search(toy, width=width, best=best, max_length=limits, **penalties)
    for sentence, limit in enumerate(limits):
        same(found, sentence, beams_of_lists(toy, sentence, limit, width, best=best, **penalties)[0])


@pytest.mark.parametrize("min_length", [0, 3])
def test_a_beam_of_one_is_greedy_and_greedy_takes_the_likeliest(min_length):
    for seed in (4, 5):
        toy = Toy(vocabulary=6, seed=seed)
        settings = {"begin": BEGIN, "end": END, "padding": PADDING, "min_length": min_length, "max_length": [6, 1, 4]}
        found = numpy(decode.greedy(toy.step(), toy.carry(), **settings))
        beam = numpy(decode.beam_search(toy.step(), toy.carry(), width=1, **settings))
        keras.tree.map_structure(functools.partial(np.testing.assert_allclose, atol=1e-5), tuple(found), tuple(beam))
        for sentence, limit in enumerate(settings["max_length"]):
            one = Hypothesis()
            while len(one.tokens) < limit and not one.ended:
                longer = [x for x in one.longer(toy, sentence) if x.allowed(min_length, 0)]
                one = max(longer, key=lambda x: x.log_p)
            same(found, sentence, [(one.log_p, one)])


def test_a_batch_is_its_sentences_one_by_one():
    toy, limits = Toy(seed=7), np.array([9, 3, 6])
    settings = {"width": 3, "best": 3, "length_penalty": 1.0, "coverage_penalty": 0.2}
    together = search(toy, max_length=ops.convert_to_tensor(limits), **settings)
    for sentence, limit in enumerate(limits):
        rows = slice(sentence, sentence + 1)
        alone = decode.beam_search(
            toy.step(toy.memory[rows], MASK[rows]),
            toy.carry(rows),
            begin=[BEGIN],
            end=END,
            padding=PADDING,
            source_mask=MASK[rows],
            max_length=int(limit),
            room=9,
            **settings,
        )
        for ours, theirs in zip(numpy(alone), together, strict=True):
            np.testing.assert_allclose(ours[0], theirs[sentence], atol=1e-5)


@pytest.mark.parametrize(
    "after_a, expected",
    [
        ([0.0, 0.0, 0.5, 0.5], [((), 0.4), ((0,), 0.3)]),  # what was finished first, though less likely then, wins
        ([0.0, 0.0, 0.9, 0.1], [((0,), 0.54), ((), 0.4)]),  # a later one wins
    ],
)
def test_a_finished_hypothesis_is_kept_while_others_go_on(after_a, expected):
    step = chain([after_a, [0.6, 0.0, 0.4, 0.0], [0.25] * 4, [0.25] * 4])
    found = numpy(
        decode.beam_search(step, np.zeros((1, 1)), begin=BEGIN, end=END, width=2, best=2, max_length=6, padding=PADDING)
    )
    for rank, (tokens, p) in enumerate(expected):
        assert tuple(found.tokens[0, rank, : found.lengths[0, rank]]) == tokens
        assert np.exp(found.scores[0, rank]) == pytest.approx(p, rel=1e-5)
    assert found.alignments is None


@pytest.mark.skipif(not TENSORFLOW, reason="steps are counted as they run eagerly")
@pytest.mark.parametrize("penalties", [{}, {"length_penalty": 0.6}, {"length_penalty": 1.0, "coverage_penalty": 0.2}])
def test_it_stops_as_soon_as_no_open_hypothesis_can_win(penalties):
    counts = []
    for seed in range(8, 12):
        toy, calls = Toy(seed=seed, bias=10), []
        settings = {"width": 3, "best": 2, "max_length": 16, **penalties}
        found = numpy(
            decode.beam_search(
                toy.step(calls=calls), toy.carry(), begin=BEGIN, end=END, padding=PADDING, source_mask=MASK, **settings
            )
        )
        enough = []
        for sentence in range(BATCH):
            expected, timesteps = beams_of_lists(toy, sentence, 16, 3, best=2, **penalties)
            same(found, sentence, expected)
            enough.append(timesteps)
        assert len(calls) == max(enough)
        counts.append(len(calls))
    assert min(counts) < 12 and len(set(counts)) > 1


@pytest.mark.parametrize("runs", ["graph of unknown sizes", "xla"] if TENSORFLOW else ["jit"])
@pytest.mark.parametrize("how", ["beam_search", "greedy", "sample"])
def test_compiled_it_is_what_it_is_eagerly(how, runs):
    toy = Toy(seed=20, bias=-1)
    settings = {"begin": BEGIN, "end": END, "padding": PADDING, "min_length": 1, "room": None if TENSORFLOW else 8}

    def run(hidden, memory, mask, limits):
        carry = {"hidden": hidden, "timesteps": [ops.zeros_like(limits)]}
        extra = {"sample": {"seed": 3, "top_p": 0.9, "temperature": 1.5}}.get(how, {})
        if how == "beam_search":
            extra = {"width": 3, "best": 2, "length_penalty": 1.0, "coverage_penalty": 0.2, "no_repeat_ngram": 2}
            extra["source_mask"] = mask
        return getattr(decode, how)(toy.step(memory, mask), carry, max_length=limits, **settings, **extra)

    given = [ops.convert_to_tensor(x) for x in (toy.hidden, toy.memory, MASK, np.array([8, 2, 5], "int32"))]
    expected = numpy(run(*given))
    if runs == "jit":
        import jax

        compiled = jax.jit(run)
    else:
        import tensorflow as tf

        unknown = [
            tf.TensorSpec([None] * (len(x.shape) - 1 * (i < 2)) + [UNITS] * (i < 2), x.dtype)
            for i, x in enumerate(given)
        ]
        compiled = tf.function(run, unknown if runs == "graph of unknown sizes" else None, jit_compile=runs == "xla")
    found = numpy(compiled(*given))
    assert expected.lengths.max() > 2
    if (how, runs) == ("sample", "xla"):  # other numbers from the same seed
        again = numpy(compiled(*given))
        for sentence, length in enumerate(found.lengths[:, 0]):
            one = written(toy, sentence, found.tokens[sentence, 0, :length], [8, 2, 5][sentence])
            same(found, sentence, [(one.log_p, one)])
        expected = again
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_tokens_ruled_out_by_the_step_are_never_written_and_a_dead_end_is_no_hypothesis():
    follows = np.array([[0, 0, 0, 1], [1, 0, 0, 1], [0, 0, 0, 0], [1, 0, 1, 0]], bool)  # BEGIN 1, END 2
    logits = np.where(follows, np.random.default_rng(21).normal(size=(4, 4)), -np.inf).astype("float32")
    step = lambda tokens, carry: (ops.take(logits, tokens, axis=0), carry)
    settings = {"begin": BEGIN, "end": END, "padding": PADDING, "width": 9, "best": 9}
    found = numpy(decode.beam_search(step, np.zeros((1, 1)), max_length=4, **settings))
    sequences = {tuple(row[:n]) for row, n in zip(found.tokens[0], found.lengths[0], strict=True) if n}
    assert sequences == {(3,), (0, 3), (3, 0, 3), (0, 3, 0, 3), (3, 0, 3, 0)}
    assert not np.isnan(found.scores).any() and (found.scores[0, 5:] == -np.inf).all()

    logits[3] = -np.inf
    found = numpy(decode.beam_search(step, np.zeros((1, 1)), max_length=4, **settings))
    assert (found.scores == -np.inf).all() and (found.tokens == PADDING).all() and not found.lengths.any()


def test_attention_that_never_came_by_costs_a_finite_score():
    def step(tokens, carry):
        seen = ops.tile(ops.convert_to_tensor([[1.0, 0.0, 0.0]]), (2, 1))
        return ops.tile(ops.log(ops.convert_to_tensor([[0.2, 0.1, 0.7]])), (2, 1)), carry, seen

    settings = {"begin": BEGIN, "end": END, "width": 2, "max_length": 2, "coverage_penalty": 0.5}
    for mask, missed in ((None, 2), ([[True, False, True]], 1)):
        found = numpy(decode.beam_search(step, np.zeros((1, 1)), source_mask=mask, **settings))
        expected = np.log(0.7) + 0.5 * missed * np.log(decode.LEAST_COVERAGE)
        assert found.scores[0, 0] == pytest.approx(expected, rel=1e-5)


def test_half_precision_is_added_up_in_32_bits():
    logits = np.random.default_rng(22).normal(size=(2, 6)).astype("float16")
    logits[:, END] = -np.inf
    step = lambda tokens, carry: (carry, carry)
    found = decode.beam_search(step, logits, begin=BEGIN, end=END, width=2, max_length=50)
    each = logits.max(axis=1) - np.log(np.exp(logits.astype("float64")).sum(axis=1))
    assert keras.backend.standardize_dtype(found.scores.dtype) == "float32"
    np.testing.assert_allclose(numpy(found.scores)[:, 0], 50 * each, rtol=1e-5)


@pytest.mark.parametrize("settings", [{"temperature": 1e-30}, {"top_k": 1}, {"top_p": 1e-6}], ids=name)
def test_sampling_among_one_token_is_greedy(settings):
    toy = Toy(vocabulary=6, seed=23)
    common = {"begin": BEGIN, "end": END, "max_length": [6, 3, 5]}
    found = numpy(decode.sample(toy.step(), toy.carry(), seed=1, **settings, **common))
    for ours, theirs in zip(found, numpy(decode.greedy(toy.step(), toy.carry(), **common)), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def restricted(p, temperature=1.0, top_k=None, top_p=None):
    """Probabilities of the next token, by the definitions."""
    p = p ** (1 / temperature) / np.sum(p ** (1 / temperature))
    order = list(np.argsort(-p))[:top_k]
    p = np.where(np.isin(np.arange(len(p)), order), p, 0) / p[order].sum()
    if top_p is not None:
        nucleus = next(order[:n] for n in range(1, len(order) + 1) if p[order[:n]].sum() >= top_p)
        p = np.where(np.isin(np.arange(len(p)), nucleus), p, 0) / p[nucleus].sum()
    return p


@pytest.mark.parametrize(
    "settings",
    [{}, {"temperature": 0.5}, {"top_k": 3}, {"top_p": 0.75}, {"temperature": 2.0, "top_k": 4, "top_p": 0.8}],
    ids=name,
)
def test_samples_are_as_frequent_as_they_are_probable(settings):
    rows = np.random.default_rng(24).dirichlet(np.full(6, 1.0), size=6)
    count = 6000
    found = numpy(
        decode.sample(chain(rows), np.zeros((count, 1)), begin=BEGIN, end=END, max_length=2, seed=5, **settings)
    )
    pairs, expected, p = [], {}, [restricted(row, **settings) for row in rows]
    for first, second in itertools.product(range(6), repeat=2):
        if first != END:
            expected[first, second] = p[BEGIN][first] * p[first][second]
    expected[END, END] = p[BEGIN][END]
    for tokens, length in zip(found.tokens[:, 0], found.lengths[:, 0], strict=True):
        pairs.append((*tokens[:length], END, END)[:2])
    possible = [pair for pair in expected if expected[pair] > 0]
    assert set(pairs) <= set(possible)
    counts = np.array([pairs.count(pair) for pair in possible])
    assert stats.chisquare(counts, count * np.array([expected[pair] for pair in possible])).pvalue > 0.01
    log_p = [np.log(rows[BEGIN][a]) + (np.log(rows[a][b]) if a != END else 0) for a, b in pairs]
    np.testing.assert_allclose(found.log_probabilities[:, 0], log_p, atol=1e-4)


def test_a_token_without_probability_is_never_drawn():
    with np.errstate(divide="ignore"):
        logits = np.log(np.array([[0, 0.3, 0, 0.7, 0], [0, 0, 1, 0, 0]], "float32"))
    for number, expected in ((0.0, [1, 2]), (0.2999, [1, 2]), (0.3001, [3, 2]), (1 - 2.0**-24, [3, 2])):
        for top_k, top_p in ((None, None), (5, None), (None, 1.0)):
            if top_k or top_p:  # the likeliest stand first
                expected = [3 if number < 0.7 else 1, 2]
            drawn = decode.draw(ops.convert_to_tensor(logits), np.full(2, number, "float32"), 1.0, top_k, top_p)
            assert numpy(drawn).tolist() == expected


def test_a_seed_draws_the_same_again_and_a_generator_goes_on():
    step, carry = chain(np.full((6, 6), 1 / 6)), np.zeros((4, 1))
    draw = lambda seed: numpy(decode.sample(step, carry, begin=BEGIN, end=END, max_length=12, seed=seed)).tokens
    np.testing.assert_array_equal(draw(7), draw(7))
    assert (draw(7) != draw(8)).any()
    generator, again = keras.random.SeedGenerator(7), keras.random.SeedGenerator(7)
    first, second = draw(generator), draw(generator)
    assert (first != second).any()
    np.testing.assert_array_equal([first, second], [draw(again), draw(again)])
    assert len({tuple(row) for row in first[:, 0]}) == 4  # sentences and timesteps have draws of their own
    assert len(set(first[0, 0])) > 2


@pytest.mark.parametrize(
    "how, settings, message",
    [
        ("beam_search", {"width": 0}, "beam_search: `width` must be a positive integer. Received: width=0"),
        ("beam_search", {"width": 2, "best": 3}, "`best` must be a positive integer and at most 2. Received: best=3"),
        ("beam_search", {"width": 2, "length_penalty": -1}, "`length_penalty` must be at least 0. Received: .*=-1"),
        ("beam_search", {"width": 2, "coverage_penalty": 1}, "`coverage_penalty` needs a `step` that returns"),
        ("greedy", {"max_length": 0}, "greedy: `max_length` must be a positive integer. Received: max_length=0"),
        ("greedy", {"end": 6}, "`end` must be an integer of 0 or more and at most 5. Received: end=6"),
        ("greedy", {"min_length": -1}, "`min_length` must be an integer of 0 or more. Received: min_length=-1"),
        ("sample", {"seed": 1, "temperature": 0}, "`temperature` must be a positive number. Received: temperature=0"),
        ("sample", {"seed": 1, "top_k": 0}, "sample: `top_k` must be a positive integer. Received: top_k=0"),
        ("sample", {"seed": 1, "top_p": 1.5}, r"sample: `top_p` must be in \(0, 1\]. Received: top_p=1.5"),
    ],
)
def test_a_wrong_argument_is_named(how, settings, message):
    step = chain(np.full((6, 6), 1 / 6))
    with pytest.raises(ValueError, match=message):
        getattr(decode, how)(step, np.zeros((2, 1)), **{"begin": BEGIN, "end": END, "max_length": 4, **settings})


@pytest.mark.skipif(not TENSORFLOW, reason="a loop of Keras on JAX needs a row")
@pytest.mark.parametrize(
    "how, best",
    [
        (functools.partial(decode.greedy, min_length=1), 1),
        (functools.partial(decode.sample, seed=1, top_k=3), 1),
        (functools.partial(decode.beam_search, width=2, best=2, coverage_penalty=0.5, no_repeat_ngram=2), 2),
    ],
    ids=["greedy", "sample", "beam search"],
)
def test_of_no_sentences_there_are_no_sequences(how, best):
    import tensorflow as tf

    table = np.random.default_rng(0).normal(size=(5, 5)).astype("float32")
    step = lambda tokens, carry: (ops.take(table, tokens, axis=0), carry, ops.ones((ops.shape(tokens)[0], SOURCE)))
    found = lambda carry: how(step, carry, begin=BEGIN, end=END, max_length=4)
    nothing = np.zeros((0, 1), "float32")

    assert [tuple(x.shape) for x in found(nothing)] == [(0, best, 4), *[(0, best)] * 3, (0, best, 4, SOURCE)]
    run = tf.function(found, input_signature=[tf.TensorSpec([None, 1])], autograph=False)  # knows no sizes
    assert run(nothing).alignments.shape == (0, best, 4, SOURCE)


def test_logits_of_another_shape_are_named():
    step = lambda tokens, carry: (ops.zeros((2, 3, 6)), carry)
    with pytest.raises(ValueError, match=r"`step` must return logits of \(rows, vocabulary\).*=\(2, 3, 6\)"):
        decode.greedy(step, np.zeros((2, 1)), begin=BEGIN, end=END, max_length=4)
