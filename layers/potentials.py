"""The potentials of a linear-chain conditional random field: sums over all sequences of tags.

Source: C. Sutton and A. McCallum, "An Introduction to Conditional Random Fields", 2012, arXiv:1011.4088, section 4.1.
"""

import dataclasses
import math

import keras
from keras import ops

from layers.backend import Written, backend
from layers.loop import BLOCK, in_blocks, whole_blocks
from layers.tracing import like

FORBIDDEN = -1e6  # added to a score by a forbidden transition, in nats
PADDING = -(2.0**100)  # replaces all tags' logits at padding; the same number in 16, 32 and 64 bits


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
