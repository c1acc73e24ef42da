"""The best sequences of tags of a linear-chain conditional random field.

Source: A. Viterbi, "Error Bounds for Convolutional Codes and an Asymptotically Optimum Decoding Algorithm", 1967.
Several of them: N. Seshadri and C.-E. Sundberg, "List Viterbi Decoding Algorithms with Applications", 1994.
"""

import math

import keras
from keras import ops

from layers.backend import Written, backend
from layers.loop import BLOCK, in_blocks
from layers.potentials import FORBIDDEN, Field, messages
from layers.tracing import like


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
