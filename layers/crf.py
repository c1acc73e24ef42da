"""The linear-chain conditional random field, a tagger's last layer: its scores, loss and decoding."""

import math

import keras
from keras import ops

from layers import arguments
from layers.backend import backend
from layers.loop import BLOCK, in_blocks
from layers.potentials import (
    FORBIDDEN,
    PADDING,
    Field,
    along,
    log_normalizer,
    log_normalizers,
    marginals,
    wide,
    wide_dtype,
)
from layers.saving import Extensible
from layers.viterbi import best_tags, viterbi

# The functions of potentials are read here too; they stand in two other modules.
__all__ = [
    "CRF",
    "CRFAccuracy",
    "CRFLoss",
    "Marginals",
    "Viterbi",
    "allowed",
    "along",
    "best_tags",
    "log_likelihood",
    "log_normalizer",
    "marginals",
    "viterbi",
]


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


# The likelihood of tags.


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
