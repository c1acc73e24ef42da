"""The linear-chain conditional random field, a tagger's last layer: its scores, loss and decoding."""

import dataclasses
import math

import keras
from keras import ops

from layers import arguments
from layers.backend import Written, backend
from layers.loop import BLOCK, in_blocks, whole_blocks
from layers.saving import Extensible
from layers.tracing import like

FORBIDDEN = -1e6  # added to a score by a forbidden transition, in nats
PADDING = -(2.0**100)  # replaces all tags' logits at padding; the same number in 16, 32 and 64 bits


@keras.saving.register_keras_serializable(package="layers")
class CRF(Extensible, keras.layers.Layer):
    r"""Linear-chain conditional random field: scores of tag sequences from scores of tags and of transitions.

        s(y | x) = a_{y_1} + Σ_t u_{t, y_t} + Σ_t A_{y_{t-1}, y_t} + e_{y_T}
        log p(y | x) = s(y | x) - log Σ_{y'} exp s(y' | x)

    Source: J. Lafferty, A. McCallum and F. Pereira, "Conditional Random Fields", ICML 2001, section 3; above a
    recurrent network: G. Lample et al., "Neural Architectures for Named Entity Recognition", 2016, arXiv:1603.01360,
    equations 1 and 2.

    The layer returns its potentials, one tensor that holds A, a and e as the first `tags` + 2 timesteps, then u, with
    padding marked. Losses and decoders take the potentials alone, without a mask or weights: `CRFLoss`, `CRFAccuracy`,
    `Viterbi`, `Marginals`, `log_normalizer`, `log_likelihood`.

        tags = CRF(9, name="tags")(keras.layers.Dense(9)(features), mask=is_word)
        model = keras.Model(words, tags)
        model.compile("adam", loss=CRFLoss(), metrics=[CRFAccuracy()])
        decoder = keras.Model(words, Viterbi()(tags))

    Weights: `transitions` A `(tags, tags)`, from row to column; `start` a and `end` e `(tags,)`.

    Args:
        tags: Number of tags, an integer of 2 or more; or their names, which `scheme` needs.
        scheme: "BIO", "IOB1", "BIOES", "BIOUL" or "BMES": transitions that it forbids get no probability; None: all are
            allowed.

    Call arguments:
        inputs: `(batch, timesteps, tags)`: u, the logits of the tags.
        mask: `(batch, timesteps)` booleans, False where there is padding, anywhere. The inputs' values there do not
            matter, not even NaN.

    Returns:
        Potentials, `(batch, tags + 2 + timesteps, tags)`; never in fewer than 32 bits. Where a logit or a weight is NaN
        or infinity, the sequence's log likelihood, its marginals and the scores of its decoded tags are NaN. Minus
        infinity rules a tag or a transition out; where logits rule out all tags of a timestep, these are NaN as well.

    Raises:
        ValueError: if `tags` is out of its range, `scheme` is not known or comes without names, a name does not fit it,
            or the inputs are not as wide as there are tags.

    Example:

    >>> from layers import CRF, Viterbi
    >>> logits = np.log([[[0.6, 0.4], [0.6, 0.4], [0.1, 0.9]]])
    >>> ids, scores = Viterbi()(CRF(2)(logits))
    >>> ops.convert_to_numpy(ids).tolist()
    [[0, 0, 1]]
    """

    def __init__(self, tags, scheme=None, **kwargs):
        super().__init__(**kwargs)
        self.names = list(tags) if isinstance(tags, (list, tuple)) else None
        count = len(self.names) if self.names else tags
        self.tags = arguments.positive("CRF", "tags", count, least=2)
        self.scheme = scheme
        if scheme is not None and (scheme not in SCHEMES or not self.names):
            raise ValueError(
                f"CRF: `scheme` must be one of {', '.join(SCHEMES)}, with the tags' names as `tags`. "
                f"Received: scheme={scheme!r}, tags={tags!r}."
            )
        self.supports_masking = True

    def build(self, inputs_shape):
        if len(inputs_shape) != 3 or inputs_shape[-1] != self.tags:
            raise ValueError(
                f"CRF: `inputs` must be (batch, timesteps, {self.tags}), a logit for each tag. "
                f"Received: inputs.shape={tuple(inputs_shape)}."
            )
        new = lambda name, shape: self.add_weight(name=name, shape=shape, initializer="zeros", autocast=False)
        self.transitions = new("transitions", (self.tags, self.tags))
        self.start, self.end = new("start", (self.tags,)), new("end", (self.tags,))

    def call(self, inputs, mask=None):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        u = ops.cast(inputs, dtype)
        start, between, end = (ops.cast(w.value, dtype) for w in (self.start, self.transitions, self.end))
        if self.scheme:
            may = allowed(self.names, self.scheme)
            start, between, end = (
                w + FORBIDDEN * (1 - ops.cast(ok, dtype)) for w, ok in zip((start, between, end), may, strict=True)
            )
        if mask is not None:
            u = ops.where(ops.expand_dims(ops.cast(mask, "bool"), 2), u, ops.cast(PADDING, dtype))
        weights = ops.concatenate([between, ops.expand_dims(start, 0), ops.expand_dims(end, 0)])
        weights = ops.broadcast_to(weights, (ops.shape(u)[0], self.tags + 2, self.tags))
        return ops.concatenate([weights, u], axis=1)

    def compute_mask(self, inputs, mask=None):
        return None  # the potentials mark the padding

    def compute_output_shape(self, inputs_shape):
        batch, timesteps, _ = inputs_shape
        return (batch, None if timesteps is None else self.tags + 2 + timesteps, self.tags)

    def compute_output_spec(self, inputs, mask=None):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    def get_config(self):
        return {**super().get_config(), "tags": self.names or self.tags, "scheme": self.scheme}


# Schemes: which tags may begin a sequence, follow each other and end it.

SCHEMES = ("BIO", "IOB1", "BIOES", "BIOUL", "BMES")


def allowed(names, scheme):
    """Which tags may begin, which may follow which, and which may end a sequence.

    Args:
        names: Tags: "O", or a prefix, "-" and a type: "B-PER".
        scheme: One of `SCHEMES`.

    Returns:
        `(start, transitions, end)`, nested lists of booleans.

    Raises:
        ValueError: if a name does not fit the scheme.
    """
    prefixes = {"BIO": "BIO", "IOB1": "BIO", "BIOES": "BIOES", "BIOUL": "BIOUL", "BMES": "BMESO"}[scheme]
    parts = [(name[0], name[2:]) if len(name) > 1 else (name, "") for name in names]
    for name, (prefix, _) in zip(names, parts, strict=True):
        whole = name == "O" or (scheme == "BMES" and len(name) == 1) or (len(name) > 2 and name[1] == "-")
        if prefix not in prefixes or not whole or (prefix == "O") != (name == "O"):
            raise ValueError(
                f"CRF: tags of scheme {scheme} must be O or one of {', '.join(prefixes.replace('O', ''))}, '-' and a "
                f"type, such as B-PER. Received: {name!r}."
            )

    def may_follow(before, after):
        """`before` None: the start; `after` None: the end."""
        (p, p_type), (n, n_type) = before or ("O", ""), after or ("O", "")
        if scheme == "IOB1":  # B only divides neighbours of one type
            return n != "B" or (p in "BI" and p_type == n_type)
        if scheme == "BIO":
            return n != "I" or (p in "BI" and p_type == n_type)
        begins, inside, ends = {"BIOES": ("BS", "IE", "ES"), "BIOUL": ("BU", "IL", "LU"), "BMES": ("BS", "ME", "ES")}[
            scheme
        ]
        is_open = p != "O" and p not in ends
        goes_on = n != "O" and n in inside
        return goes_on == is_open and (not is_open or p_type == n_type) and (goes_on or n == "O" or n in begins)

    start = [may_follow(None, tag) for tag in parts]
    between = [[may_follow(one, other) for other in parts] for one in parts]
    return start, between, [may_follow(tag, None) for tag in parts]


# Reading potentials.


@dataclasses.dataclass
class Field:
    """The parts of a `CRF`'s potentials; timesteps come first, padded to whole blocks.

    Attributes:
        logits: u, `(timesteps, batch, tags)`.
        real, first, last: `(timesteps, batch, 1)` booleans: real timesteps; the first and the last of them.
        transitions, start, end: A, a and e.
        timesteps: Their number before padding.
    """

    logits: keras.KerasTensor
    real: keras.KerasTensor
    first: keras.KerasTensor
    last: keras.KerasTensor
    transitions: keras.KerasTensor
    start: keras.KerasTensor
    end: keras.KerasTensor
    timesteps: int

    @classmethod
    def of(cls, potentials):
        potentials, tags = wide(potentials), potentials.shape[-1]
        weights = ops.sum(potentials[:1, : tags + 2], axis=0)  # the same for all
        # A transition may be forbidden by minus infinity; sums for a tag that nothing leads to would be NaN.
        weights = ops.where(weights < 4 * FORBIDDEN, ops.cast(4 * FORBIDDEN, weights.dtype), weights)
        u = ops.transpose(potentials[:, tags + 2 :], (1, 0, 2))
        timesteps = ops.shape(u)[0]
        u = ops.pad(u, [[0, whole_blocks(timesteps) - timesteps], [0, 0], [0, 0]], constant_values=PADDING)
        # Padding is one finite number for all tags, also after averaging or scaling; NaN and infinity are real.
        one = u[:, :, :1]
        marked = ops.logical_and(one <= PADDING / 2, one > -math.inf)
        real = ops.logical_not(ops.logical_and(marked, ops.all(u == one, axis=2, keepdims=True)))
        return cls.made(u, real, weights[:tags], weights[tags], weights[tags + 1], timesteps)

    @classmethod
    def made(cls, u, real, transitions, start, end, timesteps=None):
        """From logits of whole blocks and the mask of real timesteps."""
        count = ops.cumsum(ops.cast(real, "int32"), axis=0)
        first, last = ops.logical_and(real, count == 1), ops.logical_and(real, count == count[-1:])
        u = ops.where(real, u, ops.zeros_like(u))
        return cls(u, real, first, last, transitions, start, end, timesteps)

    def having(self, logits, transitions, start, end):
        """The same with other logits and weights."""
        return dataclasses.replace(self, logits=logits, transitions=transitions, start=start, end=end)

    @property
    def some(self):
        """`(batch, 1)`: whether there is anything but padding."""
        return ops.any(self.real, axis=0)

    def by_batch(self, x):
        """`(timesteps, batch, ...)`, of whole blocks -> `(batch, timesteps, ...)` as given."""
        return ops.swapaxes(x, 0, 1)[:, : self.timesteps]


def wide(potentials):
    """Potentials in 32 bits or more; float16 cannot hold `PADDING`, so there it was rounded to minus infinity."""
    potentials = ops.convert_to_tensor(potentials)
    dtype = keras.backend.standardize_dtype(potentials.dtype)
    potentials = ops.cast(potentials, wide_dtype(dtype))
    return ops.where(potentials == -math.inf, PADDING, potentials) if dtype == "float16" else potentials


def wide_dtype(dtype):
    return keras.backend.result_type(dtype, "float32")


def log_sum(x):
    """log Σ exp x over the last axis, of numbers that are finite."""
    highest = ops.max(x, axis=-1, keepdims=True, initial=-math.inf)  # `initial`: for no rows
    return ops.log(ops.sum(ops.exp(x - highest), axis=-1)) + ops.squeeze(highest, -1)


def messages(field):
    """Log sums over all paths from the start up to each timestep and tag.

    At the end of a block they are divided by their sum, so that thousands of timesteps stay exact in 32 bits.

    Returns:
        `(logs, before, into, last)`: the logarithms of the divisors, `(blocks, batch)`, which add up to the
        normaliser's; the messages before each timestep and those into it, without its logits, `(timesteps, batch,
        tags)`; those at the end, `(batch, tags)`.
    """
    to_from = ops.transpose(field.transitions)

    def body(carry, blocks):
        (message,), before, into = carry, [], []
        for t in range(BLOCK):
            u, real, first = (block[t] for block in blocks)
            before.append(message)
            into.append(ops.where(first, field.start, log_sum(ops.expand_dims(message, 1) + to_from)))
            message = ops.where(real, into[-1] + u, message)
        total = ops.expand_dims(log_sum(message), 1)
        return [message - total], [ops.stack(before), ops.stack(into), ops.transpose(total)]

    begin = ops.zeros_like(field.logits[0]) - math.log(field.logits.shape[2])  # their sum is 1
    blocks = in_blocks([field.logits, field.real, field.first], BLOCK)
    written = [Written(like(begin), BLOCK), Written(like(begin), BLOCK), Written(like(begin, begin.shape[:1]), 1)]
    (last,), written = backend.scan(body, [begin], blocks, written)
    before, into, logs = (backend.stacked(one) for one in written)
    last = ops.where(field.some, last + field.end, last)
    return ops.concatenate([logs, ops.expand_dims(log_sum(last), 0)]), before, into, last


def posterior(field, before, into, last, share):
    """The gradient of the log normaliser by the logits and the weights.

    Given the tag after it, the probability of a tag does not depend on later timesteps. So the backward pass takes one
    sum a timestep and differentiates nothing.

    Args:
        field: The `Field`.
        before, into, last: From `messages`.
        share: `(batch,)`, the weight of each sequence.

    Returns:
        `(at, between, start, end)`, all times `share`: the probability of each tag, `(timesteps, batch, tags)`, at
        padding that of its neighbour; and, summed over all sequences, those of each transition, `(tags, tags)`, of each
        first tag and of each last tag, `(tags,)`.
    """
    to_from, share = ops.transpose(field.transitions), ops.expand_dims(share, 1)
    at_end = ops.softmax(last) * share
    inner = ops.logical_and(field.real, ops.logical_not(field.first))

    def whole(at):
        """Scales probabilities to the sum `share`: rounding must not grow over thousands of timesteps."""
        total = ops.sum(at, axis=-1, keepdims=True)
        return ops.where(total == 0, at, at * (share / ops.where(total == 0, ops.ones_like(total), total)))

    def body(carry, blocks):
        (at, between), rows = carry, []
        for t in reversed(range(BLOCK)):
            before, into, inner = (block[t] for block in blocks)
            rows.append(at)
            # (batch, to, from): the probability of the tag before, given the tag after.
            given = ops.exp(ops.expand_dims(before, 1) + (to_from - ops.expand_dims(into, 2)))
            both = given * ops.expand_dims(at, 2)
            between = between + ops.sum(both, axis=0)
            at = ops.where(inner, ops.sum(both, axis=1), at)
        return [whole(at), between], [ops.stack(rows[::-1])]

    into = ops.where(inner, into, ops.cast(-PADDING, into.dtype))  # no tag comes before the first
    blocks = in_blocks([before, into, inner], BLOCK)
    (_, between), written = backend.scan(
        body, [at_end, ops.zeros_like(to_from)], blocks, [Written(like(last), BLOCK)], reverse=True
    )
    at = backend.stacked(written[0])
    at = whole(at)
    chosen = lambda which, x: ops.sum(ops.where(which, x, ops.zeros_like(x)), axis=tuple(range(len(x.shape) - 1)))
    return at, ops.transpose(between), chosen(field.first, at), chosen(field.some, at_end)


def log_normalizers(field):
    """The logarithm of the normaliser in parts, `(blocks, batch)`, only to be added up.

    Their gradient is that of the sum.
    """

    def again(u, *weights):  # JAX: a custom gradient must not read outer values
        return Field.made(u, ops.any(u != PADDING, axis=2, keepdims=True), *weights)

    def forward(keep, given):
        logs, *kept = messages(again(*given))
        return [logs], kept if keep else []

    def backward(given, kept, gradients):
        field = again(*given)
        at, *weights = posterior(field, *kept, gradients[0][0])
        return [ops.where(field.real, at, ops.zeros_like(at)), *weights]

    u = ops.where(field.real, field.logits, ops.cast(PADDING, field.logits.dtype))
    given = [u, field.transitions, field.start, field.end]
    return backend.with_gradient(forward, backward, True, given)[0]


def log_normalizer(potentials):
    """log Σ_y exp s(y), `(batch,)`, in nats; 0 for a sequence that is all padding."""
    return ops.sum(log_normalizers(Field.of(potentials)), axis=0)


def log_likelihood(potentials, tags):
    """log p of the sequences that fit `tags`, `(batch,)`, in nats, never above 0.

    Args:
        potentials: The output of `CRF`.
        tags: `(batch, timesteps)` or `(batch, timesteps, 1)` ids of tags, negative where the tag is not known; or
            `(batch, timesteps, tags)`, one-hot, or 1 for each of several tags that may be right and 0 for the others;
            the tag is not known where none is 1. Values at padding do not matter.

    Returns:
        `(batch,)`. Tags that a scheme forbids get about -1e6.

    Raises:
        ValueError: if `tags` has another shape, or a value that is none of these; for a value within a graph of
            TensorFlow `tf.errors.InvalidArgumentError`. Code that XLA or JAX compiles cannot raise errors: the log
            likelihood of such a sequence is NaN there.

    Example: the first of two words has tag 0, the tag of the second is not known.

    >>> from layers import CRF
    >>> from layers.crf import log_likelihood
    >>> potentials = CRF(2)(np.log([[[0.6, 0.4], [0.1, 0.9]]]))
    >>> round(float(ops.exp(log_likelihood(potentials, [[0, -1]]))[0]), 4)
    0.6
    """
    return likelihood("log_likelihood", potentials, tags)


def likelihood(owner, potentials, tags):
    """As `log_likelihood`; errors are those of `owner`."""
    field = Field.of(potentials)
    fits, known, valid = targets(owner, field, tags)
    padding = ops.logical_not(field.real)
    begins = ops.logical_and(field.real[1:], padding[:-1])  # after padding
    in_one_piece = ops.all(ops.sum(ops.cast(begins, "int32"), axis=0) + ops.cast(field.real[0], "int32") < 2)

    def one_way(*given):
        return scores(field.having(*given), fits)

    def some_ways(u, *weights):
        wrong = ops.where(ops.logical_or(fits, padding), 0.0, 4 * FORBIDDEN)
        return log_normalizers(field.having(u + ops.cast(wrong, u.dtype), *weights))

    given = [field.logits, field.transitions, field.start, field.end]
    fitting = backend.choice(ops.logical_and(ops.all(known), in_one_piece), one_way, some_ways, given)
    # The differences are summed: a difference of two large sums would be mostly rounding.
    found = ops.sum(fitting - log_normalizers(field), axis=0)
    return ops.where(valid, found, ops.cast(math.nan, found.dtype))


def shape_of(owner, name, x):
    """The shape of `x`, None for a size that the graph does not know."""
    if getattr(x.shape, "rank", 0) is None:
        raise ValueError(
            f"{owner}: the number of axes of `{name}` must be known. Keras forgets it where a compiled model that was "
            f"given `{name}` of one number of axes is given it of another: compile the model again."
        )
    return tuple(x.shape)


def targets(owner, field, tags):
    """Which tags may be right, from `tags` in the form that `log_likelihood` takes.

    Returns:
        `(fits, known, valid)`, booleans as in a `Field`: `(timesteps, batch, tags)`, all True where the tag is not
        known; `(timesteps, batch, 1)`, whether there is one tag or padding; and `(batch,)`, False where a sequence has
        an invalid target, and no error could be raised.
    """
    tags = ops.cast(tags, field.logits.dtype)
    received, (_, batch, count) = shape_of(owner, "tags", tags), field.logits.shape
    if len(received) == 3 and received[2] == 1:
        tags = tags[:, :, 0]
    known = field.timesteps if isinstance(field.timesteps, int) else None
    expected = (batch, known, count)[: len(tags.shape)]
    message = (
        f"{owner}: the tags must be ids (batch, timesteps) or (batch, timesteps, 1), or one-hot (batch, timesteps, "
        f"{count}), of as many sequences and timesteps as the CRF was given."
    )
    agree = [None in sizes or sizes[0] == sizes[1] for sizes in zip(tags.shape, expected, strict=False)]
    if len(received) not in (2, 3) or not all(agree):
        raise ValueError(f"{message} Received: tags of shape {received}, logits of shape {(batch, known, count)}.")
    if None in (*tags.shape, *expected):
        sizes = ops.shape(tags), (ops.shape(field.logits)[1], field.timesteps, count)[: len(tags.shape)]
        shapes = [ops.stack([ops.cast(size, "int32") for size in one]) for one in sizes]
        shown = dict(zip(("the tags' shape", "expected"), shapes, strict=True))
        tags = backend.expect(ops.all(shapes[0] == shapes[1]), message, shown, tags)
    tags = ops.swapaxes(tags, 0, 1)
    tags = ops.pad(tags, [[0, ops.shape(field.logits)[0] - field.timesteps], *[[0, 0]] * (len(tags.shape) - 1)])
    padding = ops.logical_not(field.real)
    if len(tags.shape) == 2:
        tags = ops.expand_dims(tags, 2)
        known = tags >= 0
        fits = ops.logical_or(tags == ops.arange(count, dtype=tags.dtype), tags < 0)
        valid = ops.logical_and(tags < count, tags == ops.floor(tags))
        message = f"{owner}: ids of tags must be whole numbers below {count}, the number of tags; negative: not known."
    else:
        known = ops.sum(ops.cast(tags > 0, "int32"), axis=2, keepdims=True) == 1
        fits = ops.logical_or(tags > 0, ops.all(tags <= 0, axis=2, keepdims=True))
        valid = ops.all(ops.logical_or(tags == 1, tags <= 0), axis=2, keepdims=True)
        message = f"{owner}: where the tags are (batch, timesteps, {count}), each number must be 1 (may be right) or 0."
    known, valid = (ops.logical_or(one, padding) for one in (known, valid))
    wrong = ops.max(ops.where(valid, ops.zeros_like(tags), tags), initial=0)
    backend.expect(ops.all(valid), message, {"tag" if tags.shape[2] == 1 else "number": wrong})
    return fits, known, ops.all(valid, axis=(0, 2))


def scores(field, fits):
    """s(y) in parts as those of `log_normalizers`, where all tags, `fits`, are known and padding is at the ends."""
    chosen = ops.cast(fits, field.logits.dtype)
    before = ops.matmul(ops.pad(chosen, [[1, 0], [0, 0], [0, 0]])[:-1], field.transitions)
    at = field.logits + ops.where(field.first, field.start, before)
    at = ops.where(ops.logical_and(fits, field.real), at, 0)  # chosen, not multiplied: 0 times infinity is NaN
    (at,) = in_blocks([ops.sum(at, axis=2)], BLOCK)
    end = ops.sum(ops.where(field.last, chosen * field.end, 0), axis=(0, 2))
    return ops.concatenate([ops.sum(at, axis=1), ops.expand_dims(end, 0)])


def marginals(potentials):
    """The probability of each tag at each timestep, `(batch, timesteps, tags)`; at padding that of its neighbour."""
    field = Field.of(potentials)
    logs, *kept = messages(field)
    return field.by_batch(posterior(field, *kept, ops.ones_like(logs[0]))[0])


def along(potentials, ids):
    """Log probability of each tag of a sequence, alone and given the tag after it.

    The probability of a span of tags, whatever the tags around it, is that of its last tag alone times those of its
    other tags, each given the tag after it.

    Args:
        potentials: The output of `CRF`.
        ids: `(batch, timesteps)` integers, the tags.

    Returns:
        `(alone, before)`, log probabilities in nats, `(batch, timesteps)` each: of the tag at a timestep, and of the
        tag of the timestep before, given this one.
    """
    field = Field.of(potentials)
    logs, before, into, last = messages(field)
    at = field.by_batch(posterior(field, before, into, last, ops.ones_like(logs[0]))[0])
    tag = ops.expand_dims(ops.cast(ids, "int32"), 2) == ops.arange(potentials.shape[-1])
    chosen = lambda x, tag: ops.sum(ops.where(tag, x, ops.zeros_like(x)), axis=2)
    tag_before = ops.pad(tag, [[0, 0], [1, 0], [0, 0]])[:, :-1]
    into_tag = ops.matmul(ops.cast(tag, at.dtype), ops.transpose(field.transitions))
    joined = chosen(field.by_batch(before) + into_tag, tag_before)
    alone = ops.log(ops.maximum(chosen(at, tag), 1e-30))
    return alone, ops.minimum(joined - chosen(field.by_batch(into), tag), 0.0)


def viterbi(potentials, best=1):
    """The tag sequences with the highest scores.

    Args:
        potentials: The output of `CRF`.
        best: Number of sequences for each row, a positive integer.

    Returns:
        `(ids, scores)`: `(batch, best, timesteps)` int32, 0 at padding, and `(batch, best)`, log p in nats, falling;
        where there are fewer sequences than asked for, or none that a scheme allows, the other scores are about -1e6 or
        less.
    """
    field = Field.of(potentials)
    ids, parts, last = best_paths(field, best)
    logs = messages(field)[0]
    rest = ops.sum(parts - logs[:-1], axis=0) - logs[-1]
    return ids, last + ops.expand_dims(rest, 1)


def best_tags(potentials):
    """The tag sequence with the highest score, `(batch, timesteps)` int32, 0 at padding, without its probability."""
    return best_paths(Field.of(potentials), 1)[0][:, 0]


def best_paths(field, best):
    """The tag sequences with the highest scores, and these in parts as those of `log_normalizers`.

    Returns:
        `(ids, parts, last)`: `(batch, best, timesteps)` int32; `(blocks, batch)`, which add up to the common part of a
        row's scores; and the rest of each score, `(batch, best)`.
    """
    batch, tags = ops.shape(field.logits)[1], field.logits.shape[2]
    to_from = ops.transpose(field.transitions)
    none = ops.full((batch, tags, best - 1), 4 * FORBIDDEN, dtype=to_from.dtype)
    ranked = lambda x: ops.concatenate([ops.expand_dims(x, 2), none], axis=2)  # (batch, tags, best)
    # Before the first timestep there is one path, by tag 0.
    begin = 4 * FORBIDDEN * (1 - ops.one_hot(0, tags, dtype=to_from.dtype))
    begin = ranked(ops.broadcast_to(begin, (batch, tags)))
    start = ranked(ops.broadcast_to(field.start, (batch, tags)))

    def forward(carry, blocks):
        (scores,), before = carry, []
        for t in range(BLOCK):
            u, real, first = (ops.expand_dims(block[t], 2) for block in blocks)
            before.append(scores)
            if best == 1:
                into = ops.max(ops.swapaxes(scores, 1, 2) + to_from, axis=2, keepdims=True, initial=-math.inf)
            else:
                ways = ops.expand_dims(scores, 1) + ops.expand_dims(to_from, 2)  # (batch, to, from, rank)
                into, _ = ops.top_k(ops.reshape(ways, (batch, tags, tags * best)), best)
            scores = ops.where(real, ops.where(first, start, into) + u, scores)
        most = ops.max(scores[:, :, :1], axis=1, keepdims=True, initial=-math.inf)
        return [scores - most], [ops.stack(before), ops.reshape(most, (1, -1))]

    blocks = in_blocks([field.logits, field.real, field.first], BLOCK)
    written = [Written(like(begin), BLOCK), Written(like(begin, begin.shape[:1]), 1)]
    (scores,), written = backend.scan(forward, [begin], blocks, written)
    before, most = (backend.stacked(one) for one in written)  # (timesteps, batch, tags, best), (blocks, batch)
    scores = ops.where(ops.expand_dims(field.some, 2), scores + ops.expand_dims(field.end, 1), scores)
    scores, ends = ops.top_k(ops.reshape(scores, (batch, tags * best)), best)  # (batch, best)

    def back(carry, blocks):
        (place,), rows = carry, []  # tag * best + rank
        for t in reversed(range(BLOCK)):
            before, moves = (block[t] for block in blocks)
            rows.append(place // best)
            ways = ops.expand_dims(ops.take(to_from, rows[-1], axis=0), 3) + ops.expand_dims(before, 1)
            _, chosen = ops.top_k(ops.reshape(ways, (batch, best, tags * best)), best)
            if best > 1:
                chosen = ops.take_along_axis(chosen, ops.expand_dims(place % best, 2), axis=2)
            place = ops.where(moves, ops.cast(chosen[:, :, 0], "int32"), place)
        return [place], [ops.stack(rows[::-1])]

    moves = ops.logical_and(field.real, ops.logical_not(field.first))
    row = keras.KerasTensor((*begin.shape[:1], best), dtype="int32")
    blocks, ends = in_blocks([before, moves], BLOCK), ops.cast(ends, "int32")
    _, written = backend.scan(back, [ends], blocks, [Written(row, BLOCK)], reverse=True)
    ids = ops.where(field.real, backend.stacked(written[0]), 0)
    return ops.transpose(ids, (1, 2, 0))[:, :, : field.timesteps], most, scores


# Layers, loss and metric for Keras models.


def real_shape(potentials):
    """`(batch, timesteps)` of a `CRF`'s inputs."""
    batch, timesteps, tags = potentials.shape
    return batch, None if timesteps is None else timesteps - tags - 2


@keras.saving.register_keras_serializable(package="layers")
class Viterbi(Extensible, keras.layers.Layer):
    """The best tag sequences of a `CRF`'s potentials, as `viterbi`.

    Args:
        best: Number of sequences for each row, a positive integer.

    Call arguments:
        potentials: The output of `CRF`.

    Returns:
        `(ids, scores)`: `(batch, timesteps)` int32 and `(batch,)`; with `best` above 1 `(batch, best, timesteps)` and
        `(batch, best)`. Scores are log probabilities, in nats.

    Raises:
        ValueError: if `best` is not a positive integer.
    """

    def __init__(self, best=1, **kwargs):
        super().__init__(autocast=False, **kwargs)  # potentials rounded to 16 bits would give other tags
        self.best = arguments.positive("Viterbi", "best", best)

    def call(self, potentials):
        ids, scores = viterbi(potentials, self.best)
        return (ids[:, 0], scores[:, 0]) if self.best == 1 else (ids, scores)

    def compute_output_spec(self, potentials):
        batch, timesteps = real_shape(potentials)
        middle = () if self.best == 1 else (self.best,)
        ids = keras.KerasTensor((batch, *middle, timesteps), dtype="int32")
        return ids, keras.KerasTensor((batch, *middle), dtype=wide_dtype(potentials.dtype))

    def get_config(self):
        return {**super().get_config(), "best": self.best}


@keras.saving.register_keras_serializable(package="layers")
class Marginals(Extensible, keras.layers.Layer):
    """The probability of each tag at each timestep, from a `CRF`'s potentials: `(batch, timesteps, tags)`."""

    def __init__(self, **kwargs):
        super().__init__(autocast=False, **kwargs)

    def call(self, potentials):
        return marginals(potentials)

    def compute_output_spec(self, potentials):
        return keras.KerasTensor((*real_shape(potentials), potentials.shape[2]), dtype=wide_dtype(potentials.dtype))


@keras.saving.register_keras_serializable(package="layers")
class CRFLoss(keras.losses.Loss):
    """-log p of the right tags, in nats a sequence.

    Args:
        reduction, name, dtype: As for every `keras.losses.Loss`.

    Call arguments:
        tags: Ids `(batch, timesteps)` or `(batch, timesteps, 1)`, negative where the tag is not known; or one-hot
            `(batch, timesteps, tags)`: see `log_likelihood`.
        potentials: The output of `CRF`.
        sample_weight: Weight of each sequence's loss, `(batch,)` or `(batch, 1)`. Words have no weights of their own;
            give a word that must not count a negative tag.

    Returns:
        A scalar; NaN where the potentials are, so that `TerminateOnNaN` sees it.

    Raises:
        ValueError: if `sample_weight` has another shape; and as `log_likelihood`. In compiled code, which cannot raise
            errors, the loss is NaN where a tag is wrong.
    """

    def __init__(self, reduction="sum_over_batch_size", name="crf_loss", dtype="float32"):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, tags, potentials, sample_weight=None):
        potentials = wide(potentials)
        if sample_weight is not None:
            sample_weight = ops.convert_to_tensor(sample_weight)
            shape, batch = shape_of("CRFLoss", "sample_weight", sample_weight), potentials.shape[0]
            if shape[1:] not in ((), (1,)) or (shape and None not in (shape[0], batch) and shape[0] != batch):
                raise ValueError(
                    "CRFLoss: `sample_weight` must be (batch,) or (batch, 1), a weight for each sequence, whose log "
                    "likelihood is no sum over its words. Give words that are not to count a negative tag id. "
                    f"Received: sample_weight.shape={shape}, for {'any' if batch is None else batch} sequences."
                )
            sample_weight = ops.reshape(sample_weight, shape and (-1,))
        return super().__call__(tags, potentials, sample_weight)

    def call(self, tags, potentials):
        return -likelihood("CRFLoss", potentials, tags)


@keras.saving.register_keras_serializable(package="layers")
class CRFAccuracy(keras.metrics.Mean):
    """The share of real timesteps whose decoded tag is a right one; those whose tag is not known do not count.

    Call arguments:
        tags, potentials: As for `CRFLoss`. Tags decoded from potentials that are NaN are wrong.
        sample_weight: Weight of each sequence, `(batch,)` or `(batch, 1)`, or of each word, `(batch, timesteps)` or
            `(batch, timesteps, 1)`.

    Raises:
        ValueError: as `CRFLoss`. In compiled code the metric is NaN where a tag is wrong.
    """

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, tags, potentials, sample_weight=None):
        field, (ids, logs) = Field.of(potentials), viterbi(potentials)
        fits, _, valid = targets("CRFAccuracy", field, tags)
        fits = field.by_batch(fits)
        decoded = ops.expand_dims(ids[:, 0], 2) == ops.arange(fits.shape[2])
        right = ops.logical_and(ops.any(ops.logical_and(fits, decoded), axis=2), logs == logs)
        counts = ops.logical_and(field.by_batch(field.real)[:, :, 0], ops.logical_not(ops.all(fits, axis=2)))
        counts = ops.where(ops.expand_dims(valid, 1), ops.cast(counts, self.dtype), math.nan)
        if sample_weight is not None:
            counts = counts * self.weights_of(sample_weight, counts.shape)
        return super().update_state(ops.cast(right, self.dtype), counts)

    def weights_of(self, sample_weight, shape):
        """Weights of sequences or of words, in a shape that broadcasts to `(batch, timesteps)`."""
        weights = ops.cast(sample_weight, self.dtype)
        received = shape_of("CRFAccuracy", "sample_weight", weights)
        if len(received) == 3 and received[2] == 1:
            weights = weights[:, :, 0]
        if len(received) == 1:
            weights = ops.expand_dims(weights, 1)
        agree = [None in sizes or sizes[0] == sizes[1] for sizes in zip(weights.shape, shape, strict=False)]
        if weights.shape[1:] == (1,):
            agree[1] = True
        if len(weights.shape) not in (0, 2) or not all(agree):
            raise ValueError(
                "CRFAccuracy: `sample_weight` must be (batch,) or (batch, 1), a weight for each sequence, or (batch, "
                f"timesteps), one for each word. Received: sample_weight.shape={received}, for {shape} words."
            )
        return weights
