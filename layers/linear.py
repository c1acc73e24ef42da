"""Cells whose carry enters linearly, and their parallel run over time."""

from keras import ops

from layers.backend import Written, backend
from layers.cell import Cell
from layers.loop import pieces
from layers.tracing import like

# Timesteps that are run one after the other, in all chunks of the sequence at once.
CHUNK = 32


class LinearCell(Cell):
    """A cell with c_t = a_t ⊙ c_{t-1} + b_t, where a and b depend on the input alone.

    A subclass names its `gates` and its carry, and writes `coefficients(x) -> (a, b)`; where the output is not the
    carry itself, also `output(x, c, recur)`. The step is made from these, and so is the run over all timesteps in
    parallel that `Recurrent` chooses for such cells.

    A complex carry has two names in `carry`, for its real and its imaginary part; a, b and c are then such pairs.

    There is no recurrent kernel, and so nothing for `recurrent_dropout` to act on.
    """

    carry = ("hidden",)
    has_recurrent_kernel = False

    def coefficients(self, x):
        """The paper's equation: `(..., kernel width)` -> `(a, b)`, both `(..., units)`, or pairs of them."""
        raise NotImplementedError(f"{type(self).__name__} must define coefficients(x).")

    def output(self, x, c, recur):
        """The output of a timestep, by default the carry."""
        return c

    def parts(self, x):
        """`coefficients`, each as a list of its real and, in complex cells, imaginary part; b goes through `update`."""
        a, b = self.coefficients(x)
        a, b = ([a], [b]) if len(self.carry) == 1 else (list(a), list(b))
        return a, self.update(b)

    def output_of(self, x, c, recur):
        return self.output(x, c[0] if len(c) == 1 else c, recur)

    def step(self, x, carry, recur):
        a, b = self.parts(x)
        c = tuple(plus(times(a, carry), b))
        return self.output_of(x, c, recur), c


# Numbers are lists of one real part, or of a real and an imaginary one.


def times(a, c):
    if len(a) == 1:
        return [a[0] * c[0]]
    return [a[0] * c[0] - a[1] * c[1], a[0] * c[1] + a[1] * c[0]]


def plus(a, c):
    return [x + y for x, y in zip(a, c, strict=True)]


def conjugate(a):
    return [a[0], *(-part for part in a[1:])]


def linear_scan(a, b, initial):
    """c_t = a_t ⊙ c_{t-1} + b_t for all t, in parallel.

    The timesteps are split into chunks of `CHUNK`. The recurrence runs from zero, in all chunks at once; the chunks'
    products of a and last values give the initial value of each chunk, one after the other; then it runs again from
    these. The gradient is the same recurrence backwards: with g_t = dc_t + a*_{t+1} ⊙ g_{t+1}, where a* is a's
    conjugate,

        db_t = g_t,    da_t = g_t ⊙ c*_{t-1},    dinitial = a*_1 ⊙ g_1.

    Source: E. Martin and C. Cundy, "Parallelizing Linear Recurrent Neural Nets Over Sequence Length", 2018,
    arXiv:1709.04057, section 2.

    Args:
        a, b: Lists of `(timesteps, batch, units)`: one real part, or a real and an imaginary one. The number of
            timesteps may be unknown in a graph.
        initial: List of `(batch, units)`.

    Returns:
        A list as `a`.
    """
    count = len(a)

    def forward(keep, arguments):
        a, b, initial = pieces(arguments, count, count)
        step = lambda a, b, c: (plus(times(a, c), b),) * 2
        c = _in_chunks(step, a, b, initial)
        return c, c if keep else []

    def backward(arguments, kept, gradients):
        a, _, initial = pieces(arguments, count, count)
        a = conjugate(a)

        # Backwards the carry is a*_{t+1} ⊙ g_{t+1}: with it no array has to be shifted or reversed.
        def step(a, d, s):
            g = plus(d, s)
            return times(a, g), g

        g = _in_chunks(step, a, list(gradients), [ops.zeros_like(x) for x in initial], reverse=True)
        before = [ops.concatenate([ops.expand_dims(x, 0), c])[:-1] for x, c in zip(initial, kept, strict=True)]
        d_initial = times([x[:1] for x in a], [x[:1] for x in g])
        return [*times(conjugate(before), g), *g, *(ops.sum(x, axis=0) for x in d_initial)]

    return list(backend.with_gradient(forward, backward, True, [*a, *b, *initial]))


def _in_chunks(step, a, b, initial, reverse=False):
    """`step(a_t, b_t, carry) -> (carry, result)`, linear in the carry, for all t; returns the results."""
    timesteps, batch, *rest = ops.shape(a[0])
    count = (timesteps + CHUNK - 1) // CHUNK
    if a[0].shape[0] is None:
        count = ops.maximum(count, 1)  # XLA refuses loops over arrays that may be empty
    elif not count:
        return b
    missing = count * CHUNK - timesteps
    padded = not isinstance(missing, int) or missing > 0

    def in_rows(x):  # row t holds timestep t of each chunk: (count, batch, ...)
        x = ops.pad(x, [[0, missing], *[[0, 0]] * (len(rest) + 1)]) if padded else x
        return ops.unstack(ops.reshape(x, (count, CHUNK, batch, *rest)), CHUNK, axis=1)

    a, b = (list(zip(*map(in_rows, x), strict=True)) for x in (a, b))
    order = range(CHUNK)[::-1] if reverse else range(CHUNK)

    carry, product = [ops.zeros_like(x) for x in a[0]], a[order[0]]
    for t in order:
        carry, _ = step(a[t], b[t], carry)
        product = product if t == order[0] else times(a[t], product)

    def body(carry, blocks):
        product, end = pieces([x[0] for x in blocks], len(carry))
        return plus(times(product, carry), end), [ops.expand_dims(x, 0) for x in carry]

    ends = [ops.expand_dims(x, 1) for x in (*product, *carry)]  # blocks of one timestep
    _, written = backend.scan(body, list(initial), ends, [Written(like(x), 1) for x in initial], reverse=reverse)
    carry = [backend.stacked(one) for one in written]  # (count, batch, ...), the initial value of each chunk
    results = [None] * CHUNK
    for t in order:
        carry, results[t] = step(a[t], b[t], carry)
    found = [ops.reshape(ops.stack(x, axis=1), (count * CHUNK, batch, *rest)) for x in zip(*results, strict=True)]
    return [x[:timesteps] for x in found] if padded else found
