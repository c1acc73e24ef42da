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

    The timesteps are cut into chunks of `CHUNK`. Within the chunks the recurrence runs from zero, in all chunks at
    once; from the chunks' products of a and last values follows what each of them began with, one chunk after the
    other; then that is added. The gradient is the same recurrence backwards: with g_t = dc_t + a_{t+1} ⊙ g_{t+1},

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
        c = _in_chunks(a, b, initial)
        return [c], [c] * keep

    def backward(arguments, kept, gradients):
        a, _, initial = arguments
        later = ops.concatenate([a[1:], ops.zeros_like(a[:1])])
        g = ops.flip(_in_chunks(ops.flip(later, 0), ops.flip(gradients[0], 0), ops.zeros_like(initial)), 0)
        before = ops.concatenate([ops.expand_dims(initial, 0), kept[0]])[:-1]
        return [g * before, g, ops.sum(a[:1] * g[:1], axis=0)]

    return backend().with_gradient(forward, backward, True, [a, b, initial])[0]


def _in_chunks(a, b, initial):
    timesteps, batch, *rest = ops.shape(a)
    count = (timesteps + CHUNK - 1) // CHUNK
    if a.shape[0] is None:
        count = ops.maximum(count, 1)  # XLA refuses loops over arrays that may be empty
    elif not count:
        return b
    missing = [[0, count * CHUNK - timesteps], *[[0, 0]] * (len(rest) + 1)]
    a, b = (ops.reshape(ops.pad(x, missing), (count, CHUNK, batch, *rest)) for x in (a, b))
    products, sums = [a[:, 0]], [b[:, 0]]
    for t in range(1, CHUNK):
        products.append(a[:, t] * products[-1])
        sums.append(a[:, t] * sums[-1] + b[:, t])

    def body(carry, blocks):
        product, last = (x[0] for x in blocks)
        return [product * carry[0] + last], [ops.expand_dims(carry[0], 0)]

    ends = [ops.expand_dims(x[-1], 1) for x in (products, sums)]  # a block of one timestep
    _, written = backend().scan(body, [initial], ends, [Written(like(initial), 1)])
    begins = ops.expand_dims(backend().stacked(written[0]), 1)  # (count, 1, batch, ...)
    found = ops.stack(sums, axis=1) + ops.stack(products, axis=1) * begins
    return ops.reshape(found, (count * CHUNK, batch, *rest))[:timesteps]
