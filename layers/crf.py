"""The linear-chain conditional random field: what a tagger's last layer scores, learns and decodes."""

import dataclasses
import math

import keras
from keras import ops

from layers import arguments
from layers.backend import Written, backend
from layers.loop import BLOCK, in_blocks, like, whole_blocks

FORBIDDEN = -1e6  # what a forbidden transition adds to a score, in nats
PADDING = -1e30  # what stands at padding instead of logits


@keras.saving.register_keras_serializable(package="layers")
class CRF(keras.layers.Layer):
    r"""Linear-chain conditional random field: scores of tag sequences from scores of tags and of transitions.

        s(y | x) = a_{y_1} + Σ_t u_{t, y_t} + Σ_t A_{y_{t-1}, y_t} + e_{y_T}
        log p(y | x) = s(y | x) - log Σ_{y'} exp s(y' | x)

    Source: J. Lafferty, A. McCallum and F. Pereira, "Conditional Random Fields", ICML 2001, section 3; above a
    recurrent network: G. Lample et al., "Neural Architectures for Named Entity Recognition", 2016, arXiv:1603.01360,
    equations 1 and 2.

    The layer returns its potentials, one tensor with all that is known: A, a and e as the first `tags` + 2 timesteps,
    then u, with padding marked. So nothing that reads potentials needs a mask or weights: `CRFLoss`, `CRFAccuracy`,
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
        mask: `(batch, timesteps)` booleans, False where there is padding, anywhere.

    Returns:
        Potentials, `(batch, tags + 2 + timesteps, tags)`; never in fewer than 32 bits.

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
        return None  # it is in the potentials

    def compute_output_shape(self, inputs_shape):
        batch, timesteps, _ = inputs_shape
        return (batch, None if timesteps is None else self.tags + 2 + timesteps, self.tags)

    def compute_output_spec(self, inputs, mask=None):
        dtype = keras.backend.result_type(self.compute_dtype, "float32")
        return keras.KerasTensor(self.compute_output_shape(inputs.shape), dtype=dtype)

    def get_config(self):
        return {**super().get_config(), "tags": self.names or self.tags, "scheme": self.scheme}


# Schemes: what a tag may begin a sequence with, follow and end with.

SCHEMES = ("BIO", "IOB1", "BIOES", "BIOUL", "BMES")


def allowed(names, scheme):
    """Which tags may begin, which may follow which, and which may end a sequence.

    Args:
        names: Tags: "O", or a prefix, "-" and a type: "B-PER".
        scheme: One of `SCHEMES`.

    Returns:
        `(start, transitions, end)`, nested lists of booleans.

    Raises:
        ValueError: if a name has no place in the scheme.
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


# What potentials say.


@dataclasses.dataclass
class Field:
    """What a `CRF` has put into its potentials; timesteps come first, up to whole blocks.

    Attributes:
        logits: u, `(timesteps, batch, tags)`.
        real, first, last: `(timesteps, batch, 1)` booleans: no padding; the first and the last that is none.
        transitions, start, end: A, a and e.
        timesteps: How many were given.
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
        tags = potentials.shape[-1]
        weights = ops.sum(potentials[:1, : tags + 2], axis=0)  # the same for all
        u = ops.transpose(potentials[:, tags + 2 :], (1, 0, 2))
        timesteps = ops.shape(u)[0]
        u = ops.pad(u, [[0, whole_blocks(timesteps) - timesteps], [0, 0], [0, 0]], constant_values=PADDING)
        return cls.made(u, weights[:tags], weights[tags], weights[tags + 1], timesteps)

    @classmethod
    def made(cls, u, transitions, start, end, timesteps=None):
        """From logits of whole blocks, `PADDING` where there is padding."""
        real = ops.any(u > PADDING / 2, axis=2, keepdims=True)
        count = ops.cumsum(ops.cast(real, "int32"), axis=0)
        first, last = ops.logical_and(real, count == 1), ops.logical_and(real, count == count[-1:])
        u = ops.where(real, u, ops.zeros_like(u))
        return cls(u, real, first, last, transitions, start, end, timesteps)

    @property
    def some(self):
        """`(batch, 1)`: whether there is anything but padding."""
        return ops.any(self.real, axis=0)

    def by_batch(self, x):
        """`(timesteps, batch, ...)`, of whole blocks -> `(batch, timesteps, ...)` as given."""
        return ops.swapaxes(x, 0, 1)[:, : self.timesteps]


def log_sum(x):
    """log Σ exp x over the last axis, of numbers that are finite."""
    highest = ops.max(x, axis=-1, keepdims=True)
    return ops.log(ops.sum(ops.exp(x - highest), axis=-1)) + ops.squeeze(highest, -1)


def messages(field):
    """Log sums over all ways from the start up to each timestep and tag.

    At the end of a block they are divided by their sum, so that thousands of timesteps stay exact in 32 bits.

    Returns:
        `(logs, before, into, last)`: the logarithms of what they were divided by, `(blocks, batch)`, which add up to
        the normaliser's; the messages before each timestep and those that its logits were added to, `(timesteps,
        batch, tags)`; those at the end, `(batch, tags)`.
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
    """What each tag and each weight had to do with the normaliser: its gradient.

    Given the tag after, the tag before has a probability that no later timestep changes; so backwards goes one sum a
    timestep, and nothing is differentiated.

    Args:
        field: The `Field`.
        before, into, last: From `messages`.
        share: `(batch,)`, what each sequence counts.

    Returns:
        `(at, between, start, end)`: times `share`, the probability of each tag, `(timesteps, batch, tags)`, at padding
        that of its neighbour; and summed over all sequences, those of each transition, `(tags, tags)`, of each first
        tag and of each last one, `(tags,)`.
    """
    to_from, share = ops.transpose(field.transitions), ops.expand_dims(share, 1)
    at_end = ops.softmax(last) * share
    inner = ops.logical_and(field.real, ops.logical_not(field.first))

    def whole(at):
        """Probabilities add up to `share`, and rounding must not add up over thousands of timesteps."""
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

    into = ops.where(inner, into, ops.cast(-PADDING, into.dtype))  # nothing comes from before the first
    blocks = in_blocks([before, into, inner], BLOCK)
    (_, between), written = backend.scan(
        body, [at_end, ops.zeros_like(to_from)], blocks, [Written(like(last), BLOCK)], reverse=True
    )
    at = backend.stacked(written[0])
    at = whole(at)
    chosen = lambda which, x: ops.sum(ops.where(which, x, ops.zeros_like(x)), axis=tuple(range(len(x.shape) - 1)))
    return at, ops.transpose(between), chosen(field.first, at), chosen(field.some, at_end)


def log_normalizers(field):
    """The logarithm of the normaliser in parts, `(blocks, batch)`, to be added up and for nothing else.

    Their gradient is that of the sum.
    """

    def forward(keep, given):
        logs, *kept = messages(Field.made(*given))
        return [logs], kept if keep else []

    def backward(given, kept, gradients):
        field = Field.made(*given)
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
        potentials: What `CRF` returns.
        tags: `(batch, timesteps)` integers, negative where the tag is not known; or `(batch, timesteps, tags)`,
            positive where a tag is one of those that may be right. What stands at padding does not matter.

    Returns:
        `(batch,)`. Tags that a scheme forbids get about -1e6.
    """
    field = Field.of(potentials)
    tags = ops.swapaxes(tags, 0, 1)
    missing = ops.shape(field.logits)[0] - field.timesteps
    tags = ops.pad(tags, [[0, missing], *[[0, 0]] * (len(tags.shape) - 1)])
    all_ways = log_normalizers(field)

    # Differences are taken block by block, before the sum: what is left of two large numbers would be rounding.
    def among(fits):
        wrong = ops.where(ops.logical_or(fits, ops.logical_not(field.real)), 0.0, 4 * FORBIDDEN)
        some = dataclasses.replace(field, logits=field.logits + ops.cast(wrong, field.logits.dtype))
        return ops.sum(log_normalizers(some) - all_ways, axis=0)

    if len(tags.shape) == 3:
        return among(ops.cast(tags, field.logits.dtype) > 0)
    tags = ops.expand_dims(ops.cast(tags, "int32"), 2)
    known = ops.all(ops.logical_or(tags >= 0, ops.logical_not(field.real)))
    begins = ops.logical_and(field.real[1:], ops.logical_not(field.real[:-1]))  # after padding
    in_one_piece = ops.all(ops.sum(ops.cast(begins, "int32"), axis=0) + ops.cast(field.real[0], "int32") < 2)
    return ops.cond(
        ops.logical_and(known, in_one_piece),
        lambda: ops.sum(scores(field, tags[:, :, 0]) - all_ways, axis=0),
        lambda: among(ops.logical_or(tags == ops.arange(potentials.shape[-1]), tags < 0)),
    )


def scores(field, tags):
    """s(y) in parts as those of `log_normalizers`: all tags known, `(timesteps, batch)`, padding at the ends alone."""
    chosen = ops.one_hot(tags, field.logits.shape[2], dtype=field.logits.dtype)
    before = ops.matmul(ops.pad(chosen, [[1, 0], [0, 0], [0, 0]])[:-1], field.transitions)
    at = ops.where(field.real, field.logits + ops.where(field.first, field.start, before), 0)
    (at,) = in_blocks([ops.sum(chosen * at, axis=2)], BLOCK)
    end = ops.sum(ops.where(field.last, chosen * field.end, 0), axis=(0, 2))
    return ops.concatenate([ops.sum(at, axis=1), ops.expand_dims(end, 0)])


def marginals(potentials):
    """The probability of each tag at each timestep, `(batch, timesteps, tags)`; at padding that of its neighbour."""
    field = Field.of(potentials)
    logs, *kept = messages(field)
    return field.by_batch(posterior(field, *kept, ops.ones_like(logs[0]))[0])


def along(potentials, ids):
    """How sure each tag of a sequence is, alone and before the tag after it.

    The probability of a stretch of tags, whatever stands around it, is that of its last one alone times those of the
    others before the one after.

    Args:
        potentials: What `CRF` returns.
        ids: `(batch, timesteps)` integers, the tags.

    Returns:
        `(alone, before)`, log probabilities in nats, `(batch, timesteps)` each: of the tag at a timestep, and of the
        tag of the timestep before, given this one.
    """
    field = Field.of(potentials)
    logs, before, into, last = messages(field)
    at = field.by_batch(posterior(field, before, into, last, ops.ones_like(logs[0]))[0])
    tag = ops.one_hot(ids, potentials.shape[-1], dtype=at.dtype)
    chosen = lambda x, tag: ops.sum(x * tag, axis=2)
    tag_before = ops.pad(tag, [[0, 0], [1, 0], [0, 0]])[:, :-1]
    joined = chosen(field.by_batch(before) + ops.matmul(tag, ops.transpose(field.transitions)), tag_before)
    alone = ops.log(ops.maximum(chosen(at, tag), 1e-30))
    return alone, ops.minimum(joined - chosen(field.by_batch(into), tag), 0.0)


def viterbi(potentials, best=1):
    """The tag sequences with the highest scores.

    Args:
        potentials: What `CRF` returns.
        best: How many for each row, a positive integer.

    Returns:
        `(ids, scores)`: `(batch, best, timesteps)` int32, 0 at padding, and `(batch, best)`, log p in nats, falling;
        where there are fewer sequences than asked for, or none that a scheme allows, the scores left over are about
        -1e6 or less.
    """
    field = Field.of(potentials)
    batch, tags = ops.shape(potentials)[0], potentials.shape[-1]
    to_from = ops.transpose(field.transitions)
    none = ops.full((batch, tags, best - 1), 4 * FORBIDDEN, dtype=to_from.dtype)
    ranked = lambda x: ops.concatenate([ops.expand_dims(x, 2), none], axis=2)  # (batch, tags, best)
    # Before the first timestep there is one way, by tag 0.
    begin = 4 * FORBIDDEN * (1 - ops.one_hot(0, tags, dtype=to_from.dtype))
    begin = ranked(ops.broadcast_to(begin, (batch, tags)))
    start = ranked(ops.broadcast_to(field.start, (batch, tags)))

    def forward(carry, blocks):
        (scores,), before = carry, []
        for t in range(BLOCK):
            u, real, first = (ops.expand_dims(block[t], 2) for block in blocks)
            before.append(scores)
            if best == 1:
                into = ops.max(ops.swapaxes(scores, 1, 2) + to_from, axis=2, keepdims=True)
            else:
                ways = ops.expand_dims(scores, 1) + ops.expand_dims(to_from, 2)  # (batch, to, from, rank)
                into, _ = ops.top_k(ops.reshape(ways, (batch, tags, tags * best)), best)
            scores = ops.where(real, ops.where(first, start, into) + u, scores)
        most = ops.max(scores[:, :, :1], axis=1, keepdims=True)
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
    logs = messages(field)[0]
    rest = ops.sum(most - logs[:-1], axis=0) - logs[-1]
    return ops.transpose(ids, (1, 2, 0))[:, :, : field.timesteps], scores + ops.expand_dims(rest, 1)


# The same for Keras models.


def real_shape(potentials):
    """`(batch, timesteps)` of what a `CRF` was given."""
    batch, timesteps, tags = potentials.shape
    return batch, None if timesteps is None else timesteps - tags - 2


@keras.saving.register_keras_serializable(package="layers")
class Viterbi(keras.layers.Layer):
    """The best tag sequences of a `CRF`'s potentials, as `viterbi`.

    Args:
        best: How many for each row, a positive integer.

    Call arguments:
        potentials: What `CRF` returns.

    Returns:
        `(ids, scores)`: `(batch, timesteps)` int32 and `(batch,)`; with `best` above 1 `(batch, best, timesteps)` and
        `(batch, best)`. Scores are log probabilities, in nats.

    Raises:
        ValueError: if `best` is not a positive integer.
    """

    def __init__(self, best=1, **kwargs):
        super().__init__(**kwargs)
        self.best = arguments.positive("Viterbi", "best", best)

    def call(self, potentials):
        ids, scores = viterbi(potentials, self.best)
        return (ids[:, 0], scores[:, 0]) if self.best == 1 else (ids, scores)

    def compute_output_spec(self, potentials):
        batch, timesteps = real_shape(potentials)
        middle = () if self.best == 1 else (self.best,)
        ids = keras.KerasTensor((batch, *middle, timesteps), dtype="int32")
        return ids, keras.KerasTensor((batch, *middle), dtype=potentials.dtype)

    def get_config(self):
        return {**super().get_config(), "best": self.best}


@keras.saving.register_keras_serializable(package="layers")
class Marginals(keras.layers.Layer):
    """The probability of each tag at each timestep, from a `CRF`'s potentials: `(batch, timesteps, tags)`."""

    def call(self, potentials):
        return marginals(potentials)

    def compute_output_spec(self, potentials):
        return keras.KerasTensor((*real_shape(potentials), potentials.shape[2]), dtype=potentials.dtype)


@keras.saving.register_keras_serializable(package="layers")
class CRFLoss(keras.losses.Loss):
    """-log p of the right tags, in nats a sequence; targets and potentials as for `log_likelihood`."""

    def __init__(self, reduction="sum_over_batch_size", name="crf_loss", dtype="float32"):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def call(self, tags, potentials):
        return -log_likelihood(potentials, tags)


@keras.saving.register_keras_serializable(package="layers")
class CRFAccuracy(keras.metrics.Mean):
    """The share of real timesteps whose decoded tag is right; those whose tag is not known do not count."""

    def __init__(self, name="accuracy", **kwargs):
        super().__init__(name=name, **kwargs)

    def update_state(self, tags, potentials, sample_weight=None):
        tags, (ids, _) = ops.cast(tags, "int32"), viterbi(potentials)
        field = Field.of(potentials)
        counts = ops.logical_and(field.by_batch(field.real)[:, :, 0], tags >= 0)
        counts = ops.cast(counts, self.dtype)
        if sample_weight is not None:
            counts = counts * ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        return super().update_state(ops.cast(ids[:, 0] == tags, self.dtype), counts)
