"""The loop over time and its backward pass, the same for every cell.

`unroll` runs `step` over a sequence in blocks of `BLOCK` timesteps.

- forward, block by block: project the block's timesteps in one product, run `step` on each, and, where a backward pass
  is expected, keep per timestep the projection, the carry that went in and the result of each `recur` call.
- backward, last block first: recompute the element-wise part of each `step` from the kept tensors (no matrix product
  is computed again), take its vector-Jacobian product and store the gradient of each `recur` result.
- a recurrent kernel's gradient is then one product a block: the arguments of `recur`, transposed, times the stored
  gradients. The input kernel's comes from the projection's vector-Jacobian product, one product a block too. The loop
  carries the sums over blocks, and those of weights that `step` uses element by element.

The algorithm is `Program`; it is written once, with the functions that `backend` has for TensorFlow and for JAX.
"""

import functools

import keras
from keras import ops

from layers.backend import Written, backend
from layers.tracing import like, traced, traced_step

# Timesteps an iteration: more give fewer iterations and larger products, but a larger graph to trace.
BLOCK = 5


def unroll(
    project,
    step,
    columns,
    inputs,
    extras,
    carry,
    weights,
    constants=(),
    *,
    keep,
    return_sequences,
    window=None,
    fused=False,
):
    """Runs `step` over time.

    Args:
        project: `(inputs (rows, features), weights) -> (rows, width)`: what depends on the input alone.
        step: `(x (batch, width), extras, carry, recur, weights, constants) -> (output, carry)`: one timestep.
            `recur(hidden, *gates)` is `hidden @ columns(gates, weights)`; any number of such calls may be made.
        columns: `(gates, weights) -> (width, columns)`, a matrix.
        inputs: `(timesteps, batch, features)`, in the dtype of the matrix products. Where the number of timesteps is
            unknown in the graph it must be one that `whole_blocks` gives for `block_of(keep)`, unless
            `any_length(keep)`.
        extras: List of `(timesteps, batch, ...)` that `step` reads as they are; they get no gradient.
        carry: List of `(batch, ...)`, the carry before the first timestep.
        weights: List of tensors, all that `project`, `step` and `columns` read.
        constants: List of tensors, the same at all timesteps; they get no gradient.
        keep: Whether a backward pass is expected. If not, nothing is kept, and a gradient costs one more forward pass.
        return_sequences: Whether to return the output of every timestep.
        window: The carry of every `window`th timestep alone is kept; the backward pass computes the others again. The
            number of timesteps must then be one that `whole_blocks` gives for it. None keeps every timestep.
        fused: Whether kernels made of `step` run instead of the loop: True, False or "auto", see `backend.kernels`; not
            with `window`.

    Returns:
        `(outputs, carry)`: `(timesteps, batch, units)`, or None without `return_sequences`; and a list.
    """
    block = block_of(keep)
    carry, weights = ([backend.value(x) for x in tensors] for tensors in (carry, weights))
    program = Program(project, step, columns, inputs, extras, carry, weights, constants, return_sequences, fused)
    timesteps = inputs.shape[0]
    if window:
        output, carry = program.run_in_windows([inputs, *extras], carry, window)
        return output, carry
    if program.kernels:
        pieces = [(timesteps, block)]  # their loop runs any number of timesteps
    elif timesteps is None and any_length(keep):
        timesteps = ops.shape(inputs)[0]
        rest = timesteps % block
        pieces = [(timesteps - rest, block), (rest, 1)]
    elif timesteps is None:  # a number of blocks, see `whole_blocks`
        pieces = [(None, block)]
    else:
        rest = timesteps % block
        pieces = [(timesteps - rest, block)] * (timesteps >= block) + [(rest, rest)] * (rest > 0)
    sizes = [size for size, _ in pieces]
    parts = zip(*(backend.cut(x, sizes) for x in (inputs, *extras)), strict=True)
    outputs = []
    for (_, at_once), part in zip(pieces, parts, strict=True):
        output, carry = program.run(part, carry, at_once, keep)
        outputs.append(output)
    if not return_sequences:
        return None, carry
    if not outputs:
        return ops.zeros((0, ops.shape(inputs)[1], *program.output.shape[1:]), dtype=program.output.dtype), carry
    return outputs[0] if len(outputs) == 1 else ops.concatenate(outputs), carry


def block_of(keep):
    """Timesteps of an iteration.

    XLA fuses element-wise operations with all that they need from earlier timesteps of the block, and computes that
    again in each fusion: longer blocks cost more than they save.
    """
    if not backend.under_xla():
        return BLOCK
    return 2 if keep else 1


def any_length(keep):
    """Whether the graph may run any number of timesteps that it does not know: a second loop runs the remainder.

    True in training, where padding would waste time. XLA and export converters refuse loops that may never run.
    """
    return keep and not backend.under_xla()


def whole_blocks(timesteps, block=None):
    """The number of timesteps to pad to: a positive multiple of `block`, by default of `BLOCK`."""
    block = block or BLOCK
    count = (timesteps + block - 1) // block
    return max(count, 1) * block if isinstance(count, int) else ops.maximum(count, 1) * block


class Program:
    """`step` over a number of timesteps that the block divides, with a gradient."""

    def __init__(self, project, step, columns, inputs, extras, carry, weights, constants, return_sequences, fused):
        self.project, self.step, self.return_sequences = project, step, return_sequences
        self.dtype = keras.backend.standardize_dtype(inputs.dtype)
        self.weights, self.constants = list(weights), list(constants)
        self.calls, self.products = [], []  # the gates that each `recur` call names, and its result's shape and dtype
        self.output = self.projected = None
        self._trace(columns, inputs, extras, carry, fused)
        self.columns = [columns(gates, self.weights) for gates in self.calls]
        # The loops of a training step call these for each timestep of their blocks.
        self.forward_step = backend.traced_once(self._forward_step)
        self.backward_step = backend.traced_once(self._backward_step)

    def _trace(self, columns, inputs, extras, carry, fused):
        def probe(inputs, extras, carry, weights, constants):
            projected = self.project(inputs, weights)
            step = traced_step(self.step, columns, self.dtype, inputs, projected, extras, carry, weights, constants)
            self.calls = step.calls
            self.kernels = backend.kernels(step, self.return_sequences, self.dtype, fused, sequence.shape[0])
            return step.output, step.products, projected

        sequence, inputs = inputs, like(inputs, inputs.shape[1:])
        always = [[like(x) for x in tensors] for tensors in (carry, self.weights, self.constants)]
        self.output, self.products, self.projected = traced(
            probe, inputs, [like(x, x.shape[1:]) for x in extras], *always
        )

    def run(self, sequences, carry, block, keep):
        """`sequences` are the inputs and the extras; returns (outputs or None, carry)."""
        counts = len(sequences), len(carry), len(self.weights), len(self.constants)
        arguments = [*sequences, *carry, *self.weights, *self.constants, *self.columns]

        def forward(keep, arguments, block=block):
            return self._forward(*pieces(arguments, *counts), block, keep)

        def backward(arguments, kept, gradients, block=block):
            return self._backward(*pieces(arguments, *counts), block, kept, gradients)

        if self.kernels:
            again = functools.partial(forward, block=1), functools.partial(backward, block=1)
            forward = lambda keep, arguments: self._forward_fused(*pieces(arguments, *counts), keep)
            is_data = backend.is_data(sequences[0], self.weights)
            backward = lambda arguments, *given: self._backward_fused(*pieces(arguments, *counts), *given, is_data())
            results = backend.with_gradient(forward, backward, keep, arguments, again)
        else:
            results = backend.with_gradient(forward, backward, keep, arguments)
        return (results[0], results[1:]) if self.return_sequences else (None, results)

    def run_in_windows(self, sequences, carry, window):
        """As `run`, but keeps the carry of every `window`th timestep alone."""
        counts = len(sequences), len(carry), len(self.weights), len(self.constants)
        arguments = [*sequences, *carry, *self.weights, *self.constants, *self.columns]
        block = next(block for block in range(min(block_of(True), window), 0, -1) if window % block == 0)

        def forward(keep, arguments):
            sequences, carry, *always = pieces(arguments, *counts)

            def body(carry, windows):
                results, _ = self._forward(windows, carry, *always, block, False)
                outputs, after = pieces(results, int(self.return_sequences))
                return after, [*outputs, *([ops.expand_dims(x, 0) for x in carry] if keep else [])]

            written = [Written(self.output, window)] * self.return_sequences
            written += [Written(x, 1) for x in carry] * keep
            carry, written = backend.scan(body, carry, in_blocks(sequences, window), written)
            outputs = [backend.stacked(written.pop(0))] if self.return_sequences else []
            return [*outputs, *carry], written

        def backward(arguments, begins, gradients):
            sequences, carry, *always = pieces(arguments, *counts)
            d_outputs, d_carry = pieces(gradients, int(self.return_sequences))

            def body(sums, xs):
                d_carry, totals = pieces(sums, len(carry))
                windows, begin, d_outputs = pieces(xs, len(sequences), len(carry))
                begin = [x[0] for x in begin]
                _, kept = self._forward(windows, begin, *always, block, True)
                found = self._backward(windows, begin, *always, block, kept, [*d_outputs, *d_carry])
                d_inputs, _, d_carry, d_weights, _, d_columns = pieces(
                    found, 1, len(sequences) - 1, len(carry), len(self.weights), len(self.constants)
                )
                totals = [plus(total, d) for total, d in zip(totals, [*d_weights, *d_columns], strict=True)]
                return [*d_carry, *totals], d_inputs

            sums = [*d_carry, *(ops.zeros_like(x) for x in (*self.weights, *self.columns))]
            xs = [*in_blocks(sequences, window), *begins, *in_blocks(d_outputs, window)]
            written = [Written(like(sequences[0], sequences[0].shape[1:]), window)]
            sums, written = backend.scan(body, sums, xs, written, reverse=True)
            return self._gradients(sums, written, sequences, carry)

        results = backend.with_gradient(forward, backward, True, arguments)
        return (results[0], results[1:]) if self.return_sequences else (None, results)

    def _forward(self, sequences, carry, weights, constants, columns, block, keep):
        columns = [backend.factor(ops.cast(matrix, self.dtype), sequences[0].shape[1]) for matrix in columns]
        written = [self.output] * self.return_sequences + [*carry, *self.products, self.projected] * keep
        # Exported graphs are those of inference: ONNX's loops write once in an iteration, and know no functions.
        written = [Written(x, block, apart=keep) for x in written]
        step = self.forward_step if keep else self._forward_step

        def body(carry, blocks):
            blocks = blocks if block > 1 else [ops.expand_dims(x, 0) for x in blocks]
            x, *extras = self._project(blocks[0], weights), *blocks[1:]
            if keep:  # converters cannot unstack what has no elements, as a remainder may
                x, *extras = (ops.unstack(values, block) for values in (x, *extras))
            rows = []
            for t in range(block):
                before, now = carry, [values[t] for values in extras]
                output, carry, products = step(x[t], now, carry, columns, weights, constants)
                rows.append([output] * self.return_sequences + [*before, *products, x[t]] * keep)
            values = [list(values) for values in zip(*rows, strict=True)]
            return list(carry), values if keep else [ops.stack(one) for one in values]

        xs = in_blocks(sequences, block) if block > 1 else sequences  # XLA would copy blocks of one timestep
        carry, written = backend.scan(body, carry, xs, written)
        outputs = [backend.stacked(written.pop(0))] if self.return_sequences else []
        return [*outputs, *carry], written

    def _backward(self, sequences, carry, weights, constants, columns, block, kept, gradients):
        transposed = [
            backend.factor(ops.transpose(ops.cast(matrix, self.dtype)), sequences[0].shape[1]) for matrix in columns
        ]
        d_outputs, d_carry = pieces(gradients, int(self.return_sequences))

        def body(sums, xs):
            d_carry, d_weights, d_columns = pieces(sums, len(carry), len(weights))
            blocks, before, products, (x,), d_outputs = pieces(xs, len(sequences), len(carry), len(columns), 1)
            project = lambda inputs, *weights: ([self._project_rows(inputs, weights)], None)
            _, _, pull_projection = backend.vjp(project, [blocks[0], *weights])
            extras, d_outputs = ([ops.unstack(values, block) for values in some] for some in (blocks[1:], d_outputs))
            hidden, d_products, d_x = [[] for _ in columns], [[] for _ in columns], []
            for t in reversed(range(block)):
                known = [values[t] for values in products], transposed
                now = x[t], [values[t] for values in extras], [values[t] for values in before], known
                into_recur, d_x_now, d_carry, d_rows, d_own = self.backward_step(
                    *now, weights, constants, [d[t] for d in d_outputs], d_carry
                )
                # In order of time: where a product is added to x, both share one gradient, concatenated once.
                d_x.insert(0, d_x_now)
                for k, rows in enumerate(into_recur):
                    hidden[k].insert(0, rows)
                    d_products[k].insert(0, d_rows[k])
                d_weights = [plus(total, d) for total, d in zip(d_weights, d_own, strict=True)]
            d_inputs, *d_own = pull_projection([ops.concatenate(d_x)])
            d_weights = [plus(total, d) for total, d in zip(d_weights, d_own, strict=True)]
            for k in range(len(columns)):
                rows, d_rows = ops.concatenate(hidden[k]), ops.concatenate(d_products[k])
                d_columns[k] = plus(d_columns[k], transposed_product(rows, d_rows))
            return [*d_carry, *d_weights, *d_columns], [or_zeros(d_inputs, blocks[0])]

        sums = [*d_carry, *(ops.zeros_like(x) for x in (*weights, *columns))]
        xs = [*in_blocks(sequences, block), *kept, *in_blocks(d_outputs, block)]
        written = [Written(like(sequences[0], sequences[0].shape[1:]), block)]
        sums, written = backend.scan(body, sums, xs, written, reverse=True)
        return self._gradients(sums, written, sequences, carry)

    def _forward_step(self, x, extras, carry, columns, weights, constants):
        """`step` with its products: (output, carry, products)."""
        products = []

        def recur(hidden, *gates):
            products.append(backend.product(hidden, columns[len(products)]))
            return products[-1]

        output, carry = self.step(x, extras, carry, recur, weights, constants)
        return output, list(carry), products

    def _backward_step(self, x, extras, before, known, weights, constants, d_output, d_carry):
        """The step's arguments of `recur`, and the gradients of `x`, carry, products and weights."""
        step = self._known_step(extras, constants, len(before), known)
        arguments = [x, *before, *(ops.zeros_like(product) for product in known[0])]
        _, into_recur, pull = backend.vjp(step, [*arguments, *weights])
        found = pull([*d_output, *d_carry])
        d_own = found[len(arguments) :]
        found = [or_zeros(d, like) for d, like in zip(found, arguments, strict=False)]
        (d_x,), d_carry, d_products = pieces(found, 1, len(before))
        return into_recur, d_x, d_carry, d_products, d_own

    def _forward_fused(self, sequences, carry, weights, constants, columns, keep):
        x = sequences[0] if self.kernels.project else self._project(sequences[0], weights)
        given = x, sequences[1:], carry, weights, constants, columns
        if not keep:
            outputs, last = self.kernels.infer(*given)
            return [*outputs, *last], None
        last, kept = self.kernels.run(*given)
        outputs = [kept[self.kernels.carry[self.kernels.output]][1:]] if self.return_sequences else []
        return [*outputs, *last], kept

    def _backward_fused(self, sequences, carry, weights, constants, columns, kept, gradients, to_data):
        d_outputs, d_carry = pieces(gradients, int(self.return_sequences))
        always = sequences[1:], weights, constants, columns, kept, d_outputs, d_carry
        if self.kernels.project:
            d_inputs, d_carry, d_weights, d_columns = self.kernels.pull(sequences[0], *always, to_data)
            d_weights = [or_zeros(d, weight) for d, weight in zip(d_weights, weights, strict=True)]
            return self._in_order(d_inputs, sequences, d_carry, d_weights, d_columns)
        project = lambda inputs, *weights: ([self._project(inputs, weights)], None)
        (x,), _, pull_projection = backend.vjp(project, [sequences[0], *weights])
        d_x, d_carry, d_own, d_columns = self.kernels.pull(x, *always)
        d_inputs, *d_weights = pull_projection([d_x])
        d_weights = [plus(or_zeros(d, weight), own) for d, own, weight in zip(d_weights, d_own, weights, strict=True)]
        return self._in_order(or_zeros(d_inputs, sequences[0]), sequences, d_carry, d_weights, d_columns)

    def _gradients(self, sums, written, sequences, carry):
        """The gradients of a backward `scan`, in the order of the arguments of `run`."""
        return self._in_order(backend.stacked(written[0]), sequences, *pieces(sums, len(carry), len(self.weights)))

    def _in_order(self, d_inputs, sequences, d_carry, d_weights, d_columns):
        """Gradients in the order of the arguments of `run`; those of extras and constants are zeros."""
        extras, constants = ([ops.zeros_like(x) for x in tensors] for tensors in (sequences[1:], self.constants))
        return [d_inputs, *extras, *d_carry, *d_weights, *constants, *d_columns]

    def _project(self, inputs, weights):
        """`(block, batch, features)` -> `(block, batch, width)`, in one product."""
        x = self._project_rows(inputs, weights)
        return ops.reshape(x, (*ops.shape(inputs)[:2], x.shape[-1]))

    def _project_rows(self, inputs, weights):
        """`(block, batch, features)` -> `(block * batch, width)`."""
        return self.project(ops.reshape(inputs, (-1, inputs.shape[2])), weights)

    def _known_step(self, extras, constants, carries, known):
        """`step` with its products already computed; zeros added to them collect their gradients."""

        def step(x, *arguments):
            carry, zeros, weights = pieces(list(arguments), carries, len(known[0]))
            into_recur = []

            def recur(hidden, *gates):
                into_recur.append(hidden)
                k = len(into_recur) - 1
                return backend.known_product(hidden, zeros[k], known[0][k], known[1][k])

            output, carry = self.step(x, extras, carry, recur, weights, constants)
            return [output] * self.return_sequences + list(carry), into_recur

        return step


def pieces(flat, *counts):
    """Splits a list into pieces of the given lengths and a remainder."""
    cut, start = [], 0
    for count in counts:
        cut.append(list(flat[start : start + count]))
        start += count
    return [*cut, list(flat[start:])]


def in_blocks(sequences, block):
    """`(timesteps, batch, ...)` -> `(timesteps // block, block, batch, ...)`, for each of a list."""
    if not sequences:
        return []
    timesteps, batch = ops.shape(sequences[0])[:2]  # the same in all: each unknown size is several operations to trace
    sizes = [x.shape[2:] if None not in x.shape[2:] else ops.shape(x)[2:] for x in sequences]
    return [ops.reshape(x, (timesteps // block, block, batch, *size)) for x, size in zip(sequences, sizes, strict=True)]


def or_zeros(gradient, x):
    return ops.zeros_like(x) if gradient is None else gradient


def transposed_product(rows, d_rows):
    """`rowsᵀ d_rows`; of one column a sum: TensorFlow takes one row plus a product for a bias, which oneDNN refuses."""
    if rows.shape[1] == 1:
        return ops.sum(rows * d_rows, axis=0, keepdims=True)
    return ops.matmul(ops.transpose(rows), d_rows)


def plus(total, gradient):
    return total if gradient is None else total + ops.cast(gradient, total.dtype)
