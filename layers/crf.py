"""The linear-chain conditional random field: what a tagger's last layer scores, learns and decodes."""

import keras
from keras import ops

from layers import arguments
from layers.loop import BLOCK, Written, backend, in_blocks, like, whole_blocks

# What a forbidden transition adds to a score, in nats; between padding and anything else it is twice that.
FORBIDDEN = -1e6


@keras.saving.register_keras_serializable(package="layers")
class CRF(keras.layers.Layer):
    r"""Linear-chain conditional random field: scores of tag sequences from scores of tags and of transitions.

        s(y | x) = a_{y_1} + Σ_t u_{t, y_t} + Σ_t A_{y_{t-1}, y_t} + e_{y_T}
        log p(y | x) = s(y | x) - log Σ_{y'} exp s(y' | x)

    Source: J. Lafferty, A. McCallum and F. Pereira, "Conditional Random Fields", ICML 2001, section 3; above a
    recurrent network: G. Lample et al., "Neural Architectures for Named Entity Recognition", 2016, arXiv:1603.01360,
    equations 1 and 2.

    The layer returns its potentials, one matrix a timestep with all that is known there: u, A, a at the first real
    timestep, e at the last. At padding the matrix lets every tag pass to itself alone, so that nothing that reads
    potentials needs a mask: `CRFLoss`, `CRFAccuracy`, `Viterbi`, `Marginals`, `log_normalizer`, `log_likelihood`.

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
        Potentials, `(batch, timesteps, tags, tags)`, from row to column; never in fewer than 32 bits.

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
        real = ops.ones(ops.shape(u)[:2], dtype="bool") if mask is None else ops.cast(mask, "bool")
        count = ops.cumsum(ops.cast(real, "int32"), axis=1)
        first = ops.logical_and(real, count == 1)
        last = ops.logical_and(real, count == count[:, -1:])
        kinds = ops.stack([ops.broadcast_to(start, between.shape), between, stay(self.tags, dtype)])
        kind = ops.where(real, ops.where(first, 0, 1), 2)
        u = u + ops.where(ops.expand_dims(last, 2), end, ops.zeros_like(end))
        u = ops.where(ops.expand_dims(real, 2), u, ops.zeros_like(u))
        return ops.take(kinds, kind, axis=0) + ops.expand_dims(u, 2)  # (batch, timesteps, from, to)

    def compute_mask(self, inputs, mask=None):
        return None  # it is in the potentials

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:2], self.tags, self.tags)

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


# What potentials say. All are functions of `(batch, timesteps, tags, tags)`.


def stay(tags, dtype):
    """The potentials of padding: every tag passes to itself alone."""
    return 2 * FORBIDDEN * (1 - ops.eye(tags, dtype=dtype))


def is_padding(potentials):
    """`(batch, timesteps)`."""
    return potentials[:, :, 0, 1] < 1.5 * FORBIDDEN


def by_time(potentials):
    """`(timesteps, batch, tags, tags)`, with padding up to whole blocks."""
    x = ops.transpose(potentials, (1, 0, 2, 3))
    timesteps, batch, tags, _ = ops.shape(x)
    missing = whole_blocks(timesteps) - timesteps
    padding = ops.broadcast_to(stay(potentials.shape[-1], x.dtype), (missing, batch, tags, tags))
    return ops.concatenate([x, padding])


def at_first(x):
    """Scores before the first timestep: one way, by tag 0, whose row is as good as any other there."""
    tags = x.shape[-1]
    first = FORBIDDEN * 4 * (1 - ops.one_hot(0, tags, dtype=x.dtype))
    return ops.broadcast_to(first, (ops.shape(x)[1], tags))


def log_sum(x, axis):
    """log Σ exp x, of numbers that are finite."""
    highest = ops.max(x, axis=axis, keepdims=True)
    return ops.log(ops.sum(ops.exp(x - highest), axis=axis)) + ops.squeeze(highest, axis)


def messages(x):
    """Log sums over all ways from the start up to each timestep and tag.

    At the end of a block they are divided by their sum, so that thousands of timesteps stay exact in 32 bits.

    Returns:
        `(before, last, logs)`: those before each timestep, `(timesteps, batch, tags)`; those at the end, divided,
        `(batch, tags)`; and the logarithms of what they were divided by, `(blocks, batch)`, which add up to the
        normaliser's.
    """

    def body(carry, blocks):
        (message,), rows = carry, []
        for t in range(BLOCK):
            rows.append(message)
            message = log_sum(blocks[0][t] + ops.expand_dims(message, 2), 1)
        total = log_sum(message, 1)
        return [message - ops.expand_dims(total, 1)], [ops.stack(rows), ops.expand_dims(total, 0)]

    first = at_first(x)
    written = [Written(like(first), BLOCK), Written(like(first, first.shape[:1]), 1)]
    (last,), written = backend().scan(body, [first], in_blocks([x], BLOCK), written)
    before, logs = (backend().stacked(one) for one in written)
    return before, last, logs


def pairs(potentials, before, last):
    """The probability of each transition, `(batch, timesteps, tags, tags)`, from `messages`.

    Given the tag after, the tag before has a probability that no later timestep changes; so what goes backwards is one
    product a timestep.
    """
    given_after = ops.softmax(by_time(potentials) + ops.expand_dims(before, 3), axis=2)

    def body(carry, blocks):
        (after,), rows = carry, []
        for t in reversed(range(BLOCK)):
            rows.append(after)
            after = ops.squeeze(ops.matmul(blocks[0][t], ops.expand_dims(after, 2)), 2)
        # They add up to 1, and rounding must not add up over thousands of timesteps.
        return [after / ops.sum(after, axis=1, keepdims=True)], [ops.stack(rows[::-1])]

    written, blocks = [Written(like(last), BLOCK)], in_blocks([given_after], BLOCK)
    _, written = backend().scan(body, [ops.exp(last)], blocks, written, reverse=True)
    found = given_after * ops.expand_dims(backend().stacked(written[0]), 2)
    return ops.transpose(found, (1, 0, 2, 3))[:, : ops.shape(potentials)[1]]


def log_ratio(potentials, *others):
    """The normaliser's logarithm, less that of others where there are others: `(batch,)`, in nats.

    The difference is taken block by block, before the sum: what is left of two large numbers would be rounding. The
    gradient is the probability of each transition; no step is differentiated.
    """

    def forward(keep, given):
        found = [messages(by_time(one)) for one in given]
        logs = found[0][2] - found[1][2] if others else found[0][2]
        return [ops.sum(logs, axis=0)], [kept for *some, _ in found for kept in some] if keep else []

    def backward(given, kept, gradients):
        d = ops.reshape(gradients[0], (-1, 1, 1, 1))
        signs = zip((1, -1), given, kept[::2], kept[1::2], strict=False)
        return [sign * d * pairs(one, before, last) for sign, one, before, last in signs]

    return backend().with_gradient(forward, backward, True, [potentials, *others])[0]


def log_probability(potentials, tags):
    """log p of sequences all of whose tags are known, with padding at their ends alone: `(batch,)`, in nats."""
    chosen = ops.one_hot(tags, potentials.shape[-1], dtype=potentials.dtype)  # (batch, timesteps, tags)
    real = ops.logical_not(is_padding(potentials))
    begins = ops.logical_and(real, ops.logical_not(ops.pad(real, [[0, 0], [1, 0]])[:, :-1]))
    before = ops.pad(chosen, [[0, 0], [1, 0], [0, 0]])[:, :-1]
    before = ops.where(ops.expand_dims(begins, 2), ops.one_hot(0, potentials.shape[-1], dtype=before.dtype), before)
    before = before * ops.expand_dims(ops.cast(real, before.dtype), 2)

    def forward(keep, given):
        (x,) = given
        *kept, logs = messages(by_time(x))
        score = ops.squeeze(ops.matmul(ops.expand_dims(before, 2), x), 2)  # the row of the tag before
        score = ops.sum(ops.where(chosen > 0, score, 0), axis=2)
        score = ops.pad(score, [[0, 0], [0, whole_blocks(ops.shape(x)[1]) - ops.shape(x)[1]]])
        (score,) = in_blocks([ops.transpose(score)], BLOCK)
        return [ops.sum(ops.sum(score, axis=1) - logs, axis=0)], kept if keep else []

    def backward(given, kept, gradients):
        right = ops.expand_dims(before, 3) * ops.expand_dims(chosen, 2)
        return [ops.reshape(gradients[0], (-1, 1, 1, 1)) * (right - pairs(given[0], *kept))]

    return backend().with_gradient(forward, backward, True, [potentials])[0]


def log_normalizer(potentials):
    """log Σ_y exp s(y), `(batch,)`, in nats; 0 for a sequence that is all padding."""
    return log_ratio(potentials)


def log_likelihood(potentials, tags):
    """log p of the sequences that fit `tags`, `(batch,)`, in nats, never above 0.

    Args:
        potentials: What `CRF` returns.
        tags: `(batch, timesteps)` integers, negative where the tag is not known; or `(batch, timesteps, tags)`,
            positive where a tag is one of those that may be right. What stands at padding does not matter.

    Returns:
        `(batch,)`. Tags that a scheme forbids get about -1e6.
    """
    count, padding = potentials.shape[-1], is_padding(potentials)

    def among(fits):
        fits = ops.logical_or(fits, ops.expand_dims(padding, 2))
        wrong = ops.where(fits, ops.zeros((), potentials.dtype), ops.cast(4 * FORBIDDEN, potentials.dtype))
        return log_ratio(potentials + ops.expand_dims(wrong, 2), potentials)

    if len(tags.shape) == 3:
        return among(ops.cast(tags, potentials.dtype) > 0)
    tags = ops.cast(tags, "int32")
    known = ops.all(ops.logical_or(tags >= 0, padding))
    goes_on = ops.logical_and(ops.logical_not(padding[:, 1:]), padding[:, :-1])  # real after padding
    begins = ops.sum(ops.cast(goes_on, "int32"), axis=1) + ops.cast(ops.logical_not(padding[:, :1])[:, 0], "int32")
    return ops.cond(
        ops.logical_and(known, ops.all(begins < 2)),
        lambda: log_probability(potentials, tags),
        lambda: among(ops.logical_or(ops.expand_dims(tags, 2) == ops.arange(count), ops.expand_dims(tags, 2) < 0)),
    )


def marginals(potentials):
    """The probability of each tag at each timestep, `(batch, timesteps, tags)`; at padding that of its neighbour."""
    before, last, _ = messages(by_time(potentials))
    return ops.sum(pairs(potentials, before, last), axis=2)


def along(potentials, ids):
    """How sure each tag of a sequence is, alone and after the tag before it.

    The probability of a stretch of tags, whatever stands around it, is that of its first one alone times those of the
    others after the one before.

    Args:
        potentials: What `CRF` returns.
        ids: `(batch, timesteps)` integers, the tags.

    Returns:
        `(alone, after)`, log probabilities in nats, `(batch, timesteps)` each.
    """
    before, last, _ = messages(by_time(potentials))
    two = pairs(potentials, before, last)  # from, to

    tag = ops.one_hot(ids, two.shape[-1], dtype=two.dtype)
    tag_before = ops.concatenate([tag[:, :1], tag[:, :-1]], axis=1)  # the first timestep has none, and is not asked
    chosen = lambda probabilities, tag: ops.log(ops.maximum(ops.sum(probabilities * tag, axis=-1), 1e-30))
    column = ops.sum(two * ops.expand_dims(tag, 2), axis=3)
    return chosen(ops.sum(two, axis=2), tag), chosen(column, tag_before) - chosen(ops.sum(two, axis=3), tag_before)


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
    x = by_time(potentials)
    tags, batch = potentials.shape[-1], ops.shape(potentials)[0]
    none = ops.full((batch, tags, best - 1), 4 * FORBIDDEN, dtype=x.dtype)
    scores = ops.concatenate([ops.expand_dims(at_first(x), 2), none], axis=2)  # (batch, tags, best)

    def forward(carry, blocks):
        (scores,), rows = carry, []
        for t in range(BLOCK):
            ways = ops.expand_dims(scores, 3) + ops.expand_dims(blocks[0][t], 2)  # (batch, from, rank, to)
            ways = ops.reshape(ways, (batch, tags * best, tags))
            if best == 1:
                scores, chosen = ops.expand_dims(ops.max(ways, axis=1), 2), ops.expand_dims(ops.argmax(ways, axis=1), 2)
            else:
                scores, chosen = ops.top_k(ops.transpose(ways, (0, 2, 1)), best)
            rows.append(ops.cast(chosen, "int32"))  # (batch, to, best), from * best + rank
        return [scores], [ops.stack(rows)]

    pointer = keras.KerasTensor((*scores.shape[:1], tags, best), dtype="int32")
    (scores,), written = backend().scan(forward, [scores], in_blocks([x], BLOCK), [Written(pointer, BLOCK)])
    chosen = backend().stacked(written[0])  # (timesteps, batch, tags, best)
    scores, ends = ops.top_k(ops.reshape(scores, (batch, tags * best)), best)  # (batch, best)

    def back(carry, blocks):
        (place,), rows = carry, []  # tag * best + rank
        for t in reversed(range(BLOCK)):
            rows.append(place // best)
            place = ops.take(ops.reshape(blocks[0][t], (-1,)), place + row_of)
        return [place], [ops.stack(rows[::-1])]

    row = keras.KerasTensor((*scores.shape[:1], best), dtype="int32")
    row_of = ops.expand_dims(ops.arange(batch, dtype="int32") * tags * best, 1)
    ends = ops.cast(ends, "int32")
    _, written = backend().scan(back, [ends], in_blocks([chosen], BLOCK), [Written(row, BLOCK)], reverse=True)
    ids = ops.transpose(backend().stacked(written[0]), (1, 2, 0))[:, :, : ops.shape(potentials)[1]]
    ids = ops.where(ops.expand_dims(is_padding(potentials), 1), 0, ids)
    return ids, scores - ops.expand_dims(log_normalizer(potentials), 1)


# The same for Keras models.


@keras.saving.register_keras_serializable(package="layers")
class Viterbi(keras.layers.Layer):
    """The best tag sequences of a `CRF`'s potentials, as `viterbi`.

    Args:
        best: How many for each row, a positive integer.

    Call arguments:
        potentials: `(batch, timesteps, tags, tags)`.

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
        batch, timesteps = potentials.shape[:2]
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
        return keras.KerasTensor(potentials.shape[:3], dtype=potentials.dtype)


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
        counts = ops.logical_and(ops.logical_not(is_padding(potentials)), tags >= 0)
        counts = ops.cast(counts, self.dtype)
        if sample_weight is not None:
            counts = counts * ops.reshape(ops.cast(sample_weight, self.dtype), (-1, 1))
        return super().update_state(ops.cast(ids[:, 0] == tags, self.dtype), counts)
