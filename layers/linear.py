"""Cells whose carry enters linearly, and their parallel run over time."""

from keras import ops

from layers.cell import Cell
from layers.loop import Written, backend, like

# Timesteps that are run one after the other, in all chunks of the sequence at once.
CHUNK = 32


class LinearCell(Cell):
    """A cell with c_t = a_t ⊙ c_{t-1} + b_t, where a and b depend on the input alone.

    A paper names its `gates` and its one carry, and writes `coefficients(x) -> (a, b)`; where the output is not the
    carry itself, also `output(x, c)`. The step follows from these, and so does the run over all timesteps in parallel
    that `Recurrent` chooses for such cells; neither has an equation of its own.

    There is no recurrent kernel, and so nothing for `recurrent_dropout` to act on.
    """

    carry = ("hidden",)
    has_recurrent_kernel = False

    def coefficients(self, x):
        """What the paper writes: `(..., gates * units)` -> `(a, b)`, both `(..., units)`."""
        raise NotImplementedError(f"{type(self).__name__} must define coefficients(x).")

    def output(self, x, c):
        """What a timestep gives: the carry, unless the paper says otherwise."""
        return c

    def step(self, x, carry, recur):
        a, b = self.coefficients(x)
        c = a * carry[0] + b
        return self.output(x, c), (c,)


def linear_scan(a, b, initial):
    """c_t = a_t ⊙ c_{t-1} + b_t for all t, in parallel.

    The timesteps are cut into chunks of `CHUNK`. The recurrence runs from zero, in all chunks at once; from the chunks'
    products of a and last values follows what each of them begins with, one chunk after the other; then it runs again
    from there. The gradient is the same recurrence backwards: with g_t = dc_t + a_{t+1} ⊙ g_{t+1},

        db_t = g_t,    da_t = g_t ⊙ c_{t-1},    dinitial = a_1 ⊙ g_1.

    Source: E. Martin and C. Cundy, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length", 2018,
    arXiv:1709.04057, section 2.

    Args:
        a, b: `(timesteps, batch, units)`; the number of timesteps may be unknown in a graph.
        initial: `(batch, units)`.

    Returns:
        `(timesteps, batch, units)`.
    """

    def forward(keep, arguments):
        a, b, initial = arguments
        step = lambda a, b, c: (a * c + b,) * 2
        c = _in_chunks(step, a, b, initial)
        return [c], [c] * keep

    def backward(arguments, kept, gradients):
        a, _, initial = arguments
        # Backwards the carry is a_{t+1} ⊙ g_{t+1}: with it no array has to be shifted or turned round.
        step = lambda a, d, s: ((d + s) * a, d + s)
        g = _in_chunks(step, a, gradients[0], ops.zeros_like(initial), reverse=True)
        before = ops.concatenate([ops.expand_dims(initial, 0), kept[0]])[:-1]
        return [g * before, g, ops.sum(a[:1] * g[:1], axis=0)]

    return backend().with_gradient(forward, backward, True, [a, b, initial])[0]


def _in_chunks(step, a, b, initial, reverse=False):
    """`step(a_t, b_t, carry) -> (carry, result)`, linear in the carry, for all t; returns the results."""
    timesteps, batch, *rest = ops.shape(a)
    count = (timesteps + CHUNK - 1) // CHUNK
    if a.shape[0] is None:
        count = ops.maximum(count, 1)  # XLA refuses loops over arrays that may be empty
    elif not count:
        return b
    missing = count * CHUNK - timesteps
    if not isinstance(missing, int) or missing:
        a, b = (ops.pad(x, [[0, missing], *[[0, 0]] * (len(rest) + 1)]) for x in (a, b))
    a, b = (ops.unstack(ops.reshape(x, (count, CHUNK, batch, *rest)), CHUNK, axis=1) for x in (a, b))
    order = range(CHUNK)[::-1] if reverse else range(CHUNK)

    carry, product = ops.zeros_like(a[0]), a[order[0]]
    for t in order:
        carry, _ = step(a[t], b[t], carry)
        product = product if t == order[0] else product * a[t]

    def body(carry, blocks):
        product, end = (x[0] for x in blocks)
        return [product * carry[0] + end], [ops.expand_dims(carry[0], 0)]

    ends = [ops.expand_dims(x, 1) for x in (product, carry)]  # blocks of one timestep
    _, written = backend().scan(body, [initial], ends, [Written(like(initial), 1)], reverse=reverse)
    carry = backend().stacked(written[0])  # (count, batch, ...), what each chunk begins with
    results = [None] * CHUNK
    for t in order:
        carry, results[t] = step(a[t], b[t], carry)
    results = ops.reshape(ops.stack(results, axis=1), (count * CHUNK, batch, *rest))
    return results[:timesteps] if not isinstance(missing, int) or missing else results
