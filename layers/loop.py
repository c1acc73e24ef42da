"""The loop over time and its backward pass, the same for every cell; the only file that speaks to a backend.

`unroll` runs `step` over a sequence in blocks of `BLOCK` timesteps.

- forward, block by block: project the block's timesteps in one product, run `step` on each, and, where a backward pass
  is expected, keep per timestep the projection, the carry that went in and the result of each `recur` call.
- backward, last block first: recompute the element-wise part of each `step` from what was kept (no matrix product is
  done again), take its vector-Jacobian product and write down the gradient that reaches each `recur` result.
- a recurrent kernel's gradient is then one product a block: what went into `recur`, transposed, times what was written
  down. The input kernel's comes from the projection's vector-Jacobian product, one product a block too. The loop
  carries the sums over blocks, and those of weights that `step` uses element by element.

The algorithm is `Program`; it is written once, over what a backend has to have (`TensorFlow`, `Jax`): `scan`, `vjp`,
`with_gradient`, `product`, `known_product` and `compiled`. What they say of vendors' kernels is for `vendor.py`.
"""

import contextlib
import dataclasses

import keras
from keras import ops

# Timesteps an iteration: fewer iterations and larger products, against a larger graph to trace.
BLOCK = 5


def unroll(
    project, step, columns, inputs, extras, carry, weights, constants=(), *, keep, return_sequences, window=None
):
    """Runs `step` over time.

    Args:
        project: `(inputs (rows, features), weights) -> (rows, width)`: what depends on the input alone.
        step: `(x (batch, width), extras, carry, recur, weights, constants) -> (output, carry)`: one timestep.
            `recur(hidden, *gates)` is `hidden @ columns(gates, weights)`; any number of such calls may be made.
        columns: `(gates, weights) -> (width, columns)`, a matrix.
        inputs: `(timesteps, batch, features)`, in the dtype of the matrix products. Where the number of timesteps is
            unknown in the graph it must be one that `whole_blocks` gives, unless `any_length(keep)`.
        extras: List of `(timesteps, batch, ...)` that `step` reads as they are; they get no gradient.
        carry: List of `(batch, ...)`, the carry before the first timestep.
        weights: List of tensors, all that `project`, `step` and `columns` read.
        constants: List of tensors, the same at all timesteps; they get no gradient.
        keep: Whether a backward pass is expected. Without it nothing is kept, and a gradient that is asked for all the
            same costs one more forward pass.
        return_sequences: Whether the output of every timestep is wanted.
        window: Timesteps between those whose carry is kept; the backward pass runs forward from there again. The number
            of timesteps must then be one that `whole_blocks` gives for it. None keeps every timestep.

    Returns:
        `(outputs, carry)`: `(timesteps, batch, units)`, or None without `return_sequences`; and a list.
    """
    carry, weights = ([backend().value(x) for x in tensors] for tensors in (carry, weights))
    program = Program(project, step, columns, inputs, extras, carry, weights, constants, return_sequences)
    timesteps = inputs.shape[0]
    if window:
        output, carry = program.run_in_windows([inputs, *extras], carry, window)
        return output, carry
    if timesteps is None and any_length(keep):
        whole = ops.shape(inputs)[0] // BLOCK * BLOCK
        pieces = [(0, whole, BLOCK), (whole, None, 1)]
    elif timesteps is None:  # a number of blocks, see `whole_blocks`
        pieces = [(0, None, BLOCK)]
    else:
        whole = timesteps // BLOCK * BLOCK
        pieces = [(0, whole, BLOCK)] * (whole > 0) + [(whole, timesteps, timesteps - whole)] * (whole < timesteps)
    outputs = []
    for start, stop, block in pieces:
        part = [x[start:stop] for x in (inputs, *extras)]
        output, carry = program.run(part, carry, block, keep)
        outputs.append(output)
    if not return_sequences:
        return None, carry
    if not outputs:
        return ops.zeros((0, ops.shape(inputs)[1], *program.output.shape[1:]), dtype=program.output.dtype), carry
    return outputs[0] if len(outputs) == 1 else ops.concatenate(outputs), carry


def any_length(keep):
    """Whether sequences whose number of timesteps a graph does not know may have any: what is left over is a loop too.

    In training, where padding would be waste. XLA and converters of what is exported refuse loops that may never run.
    """
    return keep and backend().loops_may_not_run()


def whole_blocks(timesteps, window=None):
    """The number of timesteps to pad to: a multiple of `BLOCK`, or of `window`, and never none at all."""
    block = window or BLOCK
    count = (timesteps + block - 1) // block
    return max(count, 1) * block if isinstance(count, int) else ops.maximum(count, 1) * block


class Program:
    """`step` over a number of timesteps that the block divides, with a gradient."""

    def __init__(self, project, step, columns, inputs, extras, carry, weights, constants, return_sequences):
        self.project, self.step, self.return_sequences = project, step, return_sequences
        self.dtype = keras.backend.standardize_dtype(inputs.dtype)
        self.weights, self.constants = list(weights), list(constants)
        self.calls, self.products = [], []  # the gates that each `recur` call names, and what its result looks like
        self.output = self.projected = None
        self._trace(columns, inputs, extras, carry)
        self.columns = [columns(gates, self.weights) for gates in self.calls]

    def _trace(self, columns, inputs, extras, carry):
        def probe(inputs, extras, carry, weights, constants):
            self.calls, products = [], []

            def recur(hidden, *gates):
                self.calls.append(gates)
                products.append(ops.matmul(hidden, ops.cast(columns(gates, weights), self.dtype)))
                return products[-1]

            projected = self.project(inputs, weights)
            output, _ = self.step(projected, extras, carry, recur, weights, constants)
            return output, products, projected

        at_one_time = [like(inputs, inputs.shape[1:]), [like(x, x.shape[1:]) for x in extras]]
        always = [[like(x) for x in tensors] for tensors in (carry, self.weights, self.constants)]
        self.output, self.products, self.projected = traced(probe, *at_one_time, *always)

    def run(self, sequences, carry, block, keep):
        """`sequences` are the inputs and the extras; returns (outputs or None, carry)."""
        counts = len(sequences), len(carry), len(self.weights), len(self.constants)
        arguments = [*sequences, *carry, *self.weights, *self.constants, *self.columns]

        def forward(keep, arguments):
            return self._forward(*pieces(arguments, *counts), block, keep)

        def backward(arguments, kept, gradients):
            return self._backward(*pieces(arguments, *counts), block, kept, gradients)

        results = backend().with_gradient(forward, backward, keep, arguments)
        return (results[0], results[1:]) if self.return_sequences else (None, results)

    def run_in_windows(self, sequences, carry, window):
        """As `run`, keeping the carry of every `window`th timestep alone."""
        counts = len(sequences), len(carry), len(self.weights), len(self.constants)
        arguments = [*sequences, *carry, *self.weights, *self.constants, *self.columns]
        block = next(block for block in range(min(BLOCK, window), 0, -1) if window % block == 0)

        def forward(keep, arguments):
            sequences, carry, *always = pieces(arguments, *counts)

            def body(carry, windows):
                results, _ = self._forward(windows, carry, *always, block, False)
                outputs, after = pieces(results, int(self.return_sequences))
                return after, [*outputs, *([ops.expand_dims(x, 0) for x in carry] if keep else [])]

            written = [Written(self.output, window)] * self.return_sequences
            written += [Written(x, 1) for x in carry] * keep
            carry, written = backend().scan(body, carry, in_blocks(sequences, window), written)
            outputs = [backend().stacked(written.pop(0))] if self.return_sequences else []
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
            sums, written = backend().scan(body, sums, xs, written, reverse=True)
            return self._gradients(sums, written, sequences, carry)

        results = backend().with_gradient(forward, backward, True, arguments)
        return (results[0], results[1:]) if self.return_sequences else (None, results)

    def _forward(self, sequences, carry, weights, constants, columns, block, keep):
        columns = [backend().factor(ops.cast(matrix, self.dtype), sequences[0].shape[1]) for matrix in columns]
        written = [self.output] * self.return_sequences + [*carry, *self.products, self.projected] * keep
        # Exported graphs are those of inference, and ONNX knows loops that write once in an iteration.
        written = [Written(x, block, apart=keep) for x in written]

        def body(carry, blocks):
            x = self._project(blocks[0], weights)
            rows = []
            for t in range(block):
                products = []

                def recur(hidden, *gates, products=products):
                    products.append(backend().product(hidden, columns[len(products)]))
                    return products[-1]

                before = carry
                output, carry = self.step(x[t], [b[t] for b in blocks[1:]], carry, recur, weights, constants)
                rows.append([output] * self.return_sequences + [*before, *products, x[t]] * keep)
            values = [list(values) for values in zip(*rows, strict=True)]
            return list(carry), values if keep else [ops.stack(one) for one in values]

        carry, written = backend().scan(body, carry, in_blocks(sequences, block), written)
        outputs = [backend().stacked(written.pop(0))] if self.return_sequences else []
        return [*outputs, *carry], written

    def _backward(self, sequences, carry, weights, constants, columns, block, kept, gradients):
        transposed = [
            backend().factor(ops.transpose(ops.cast(matrix, self.dtype)), sequences[0].shape[1]) for matrix in columns
        ]
        d_outputs, d_carry = pieces(gradients, int(self.return_sequences))

        def body(sums, xs):
            d_carry, d_weights, d_columns = pieces(sums, len(carry), len(weights))
            blocks, before, products, (x,), d_outputs = pieces(xs, len(sequences), len(carry), len(columns), 1)
            project = lambda inputs, *weights: ([self._project_rows(inputs, weights)], None)
            _, _, pull_projection = backend().vjp(project, [blocks[0], *weights])
            hidden, d_products, d_x = [[] for _ in columns], [[] for _ in columns], []
            for t in reversed(range(block)):
                known = [values[t] for values in products], transposed
                step = self._known_step([b[t] for b in blocks[1:]], constants, len(carry), known)
                nothing = [ops.zeros_like(product) for product in known[0]]
                arguments = [x[t], *(values[t] for values in before), *nothing]
                _, into_recur, pull = backend().vjp(step, [*arguments, *weights])
                found = pull([*(d[t] for d in d_outputs), *d_carry])
                d_own = found[len(arguments) :]
                found = [or_zeros(d, like) for d, like in zip(found, arguments, strict=False)]
                d_now, d_carry, d_rows = pieces(found, 1, len(carry))
                # In the order of time: where a product is added to x both have one gradient, put together once.
                d_x.insert(0, d_now[0])
                for k, rows in enumerate(into_recur):
                    hidden[k].insert(0, rows)
                    d_products[k].insert(0, d_rows[k])
                d_weights = [plus(total, d) for total, d in zip(d_weights, d_own, strict=True)]
            d_inputs, *d_own = pull_projection([ops.concatenate(d_x)])
            d_weights = [plus(total, d) for total, d in zip(d_weights, d_own, strict=True)]
            for k in range(len(columns)):
                rows, d_rows = ops.concatenate(hidden[k]), ops.concatenate(d_products[k])
                d_columns[k] = plus(d_columns[k], ops.matmul(ops.transpose(rows), d_rows))
            return [*d_carry, *d_weights, *d_columns], [or_zeros(d_inputs, blocks[0])]

        sums = [*d_carry, *(ops.zeros_like(x) for x in (*weights, *columns))]
        xs = [*in_blocks(sequences, block), *kept, *in_blocks(d_outputs, block)]
        written = [Written(like(sequences[0], sequences[0].shape[1:]), block)]
        sums, written = backend().scan(body, sums, xs, written, reverse=True)
        return self._gradients(sums, written, sequences, carry)

    def _gradients(self, sums, written, sequences, carry):
        """What a backward `scan` found, in the order of the arguments of `run`."""
        d_carry, d_weights, d_columns = pieces(sums, len(carry), len(self.weights))
        extras, constants = ([ops.zeros_like(x) for x in tensors] for tensors in (sequences[1:], self.constants))
        return [backend().stacked(written[0]), *extras, *d_carry, *d_weights, *constants, *d_columns]

    def _project(self, inputs, weights):
        """`(block, batch, features)` -> `(block, batch, width)`, in one product."""
        x = self._project_rows(inputs, weights)
        return ops.reshape(x, (*ops.shape(inputs)[:2], x.shape[-1]))

    def _project_rows(self, inputs, weights):
        """`(block, batch, features)` -> `(block * batch, width)`."""
        return self.project(ops.reshape(inputs, (-1, inputs.shape[2])), weights)

    def _known_step(self, extras, constants, carries, known):
        """`step` whose products are known already; zeros added to them collect the gradients that reach them."""

        def step(x, *arguments):
            carry, zeros, weights = pieces(list(arguments), carries, len(known[0]))
            into_recur = []

            def recur(hidden, *gates):
                into_recur.append(hidden)
                k = len(into_recur) - 1
                return backend().known_product(hidden, zeros[k], known[0][k], known[1][k])

            output, carry = self.step(x, extras, carry, recur, weights, constants)
            return [output] * self.return_sequences + list(carry), into_recur

        return step


def pieces(flat, *counts):
    """Cuts a list into pieces of the given lengths, and the rest."""
    cut, start = [], 0
    for count in counts:
        cut.append(list(flat[start : start + count]))
        start += count
    return [*cut, list(flat[start:])]


def traced(f, *arguments):
    """What `f` would return for what the arguments (`keras.KerasTensor`) stand for; nothing is computed."""

    class Traced(keras.Operation):
        def call(self, *arguments):
            return f(*arguments)

    return Traced().compute_output_spec(*arguments)


def like(x, shape=None):
    """What a tensor looks like: shape and dtype."""
    return keras.KerasTensor(x.shape if shape is None else shape, dtype=keras.backend.standardize_dtype(x.dtype))


def in_blocks(sequences, block):
    """`(timesteps, batch, ...)` -> `(timesteps // block, block, batch, ...)`, for each of a list."""
    return [ops.reshape(x, (ops.shape(x)[0] // block, block, *ops.shape(x)[1:])) for x in sequences]


def joined(blocks):
    """`(count, block, batch, ...)` -> `(count * block, batch, ...)`."""
    count, block, *rest = ops.shape(blocks)
    return ops.reshape(blocks, (count * block, *rest))


@dataclasses.dataclass
class Written:
    """What a `scan` writes at each index: `timesteps` timesteps of what `like` is.

    They are one tensor `(timesteps, batch, ...)`, or, with `apart`, a list of tensors, which need not be put together.
    """

    like: keras.KerasTensor
    timesteps: int
    apart: bool = False


class Place:
    """Where an iteration reads and writes: its index, and those of its timesteps, each worked out once."""

    def __init__(self, index):
        self.index, self.rows = index, {None: [index]}

    def of(self, rows):
        if rows not in self.rows:
            first = self.index * rows
            self.rows[rows] = [first, *(first + row for row in range(1, rows))]
        return self.rows[rows]


def or_zeros(gradient, x):
    return ops.zeros_like(x) if gradient is None else gradient


def plus(total, gradient):
    return total if gradient is None else total + ops.cast(gradient, total.dtype)


class TensorFlow:
    """The loop's needs in TensorFlow's terms, in the plain graph, under XLA and eagerly."""

    vendor_masks = True  # whether a GPU vendor's kernel takes right padding

    @staticmethod
    def vendor_has(cell):
        """Whether a GPU is here, and Keras calls its vendor's kernel for the stock layer of this cell."""
        return bool(tf.config.list_logical_devices("GPU"))

    @staticmethod
    def compiled(run, jit_compile, training, shape):
        """`run()`, compiled by XLA or not.

        "auto" compiles on a CPU what repeats as it is and gains by it: inference in a graph that knows all sizes. (1.2
        to 2.5 times faster, measured; training steps gain nothing, and each new size would be compiled anew.)
        """
        if jit_compile == "auto":
            in_graph = not tf.executing_eagerly() and not tf.config.list_logical_devices("GPU")
            jit_compile = in_graph and not training and None not in shape and 0 not in shape
        return tf.function(run, jit_compile=True, autograph=False)() if jit_compile else run()

    @staticmethod
    def loops_may_not_run():
        return not control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())

    @staticmethod
    def value(x):
        """A tensor of its own, where `x` may be a variable or given twice: the gradient below is that of tensors."""
        return tf.identity(x)

    @staticmethod
    def factor(matrix, batch):
        """A matrix that `product` will be given many times: a large one cut in two where Eigen multiplies.

        Two cores then share the work: 32 x 128 x 512 took 49 us, in one piece, with threads within the product, 110 us.
        Where oneDNN multiplies (processors with AVX-512 VNNI and later) cutting costs up to an eighth of a step.
        """
        rows, columns = matrix.shape
        whole = batch == 1 or rows * columns < 2**16 or columns % 2 or onednn()
        return [matrix] if whole else tf.split(matrix, 2, axis=1)

    @staticmethod
    def product(x, factor):
        found = [tf.matmul(x, part) for part in factor]
        return found[0] if len(found) == 1 else tf.concat(found, axis=1)

    @staticmethod
    def scan(body, carry, xs, written, reverse=False):
        """`body(carry, xs at one index) -> (carry, what each of `written` gets at that index)`."""
        count, static_batch, batch = ops.shape(xs[0])[0], xs[0].shape[2], ops.shape(xs[0])[2]
        held, handles = [], []
        for one in written:
            block = () if one.apart else (one.timesteps,)
            shape = tf.stack([*block, batch, *(-1 if size is None else size for size in one.like.shape[1:])])
            number = count * one.timesteps if one.apart else count
            handles.append(
                tf.raw_ops.TensorListReserve(element_shape=shape, num_elements=number, element_dtype=one.like.dtype)
            )
            held.append(TensorFlow.Held(one, (*block, static_batch, *one.like.shape[1:]), shape, number))

        def iteration(i, carry, handles):
            t = Place(count - 1 - i if reverse else i)
            after, values = body(list(carry), [x[t] if isinstance(x, TensorFlow.Held) else x[t.index] for x in xs])
            for new, old in zip(after, carry, strict=True):
                new.set_shape(old.shape)
            handles = [one.write(*given, t) for one, *given in zip(held, handles, values, strict=True)]
            return i + 1, tuple(after), tuple(handles)

        start = 0, tuple(carry), tuple(handles)
        _, carry, handles = tf.while_loop(lambda i, *_: i < count, iteration, start, maximum_iterations=count)
        for one, handle in zip(held, handles, strict=True):
            one.handle = handle
        return list(carry), held

    class Held:
        """What a `scan` wrote, read by the next one without being put together in between."""

        def __init__(self, written, static, shape, number):
            self.like, self.static, self.shape, self.number = written.like, static, shape, number
            self.rows = written.timesteps if written.apart else None

        def write(self, handle, values, place):
            values = [values] if self.rows is None else values
            for index, value in zip(place.of(self.rows), values, strict=True):
                handle = tf.raw_ops.TensorListSetItem(input_handle=handle, index=index, item=value)
            return handle

        def __getitem__(self, place):
            found = [self._read(index) for index in place.of(self.rows)]
            return found[0] if self.rows is None else found

        def _read(self, index):
            found = tf.raw_ops.TensorListGetItem(
                input_handle=self.handle, index=index, element_shape=self.shape, element_dtype=self.like.dtype
            )
            found.set_shape(self.static)
            return found

    @staticmethod
    def stacked(held):
        """All of it, `(timesteps, batch, ...)`."""
        static = held.number if isinstance(held.number, int) else None
        stacked = tf.raw_ops.TensorListStack(
            input_handle=held.handle,
            element_shape=held.shape,
            element_dtype=held.like.dtype,
            num_elements=-1 if static is None else static,
        )
        stacked.set_shape([static, *held.static])
        return stacked if held.rows is not None else joined(stacked)

    @staticmethod
    def vjp(f, arguments):
        """`f(*arguments) -> (outputs, aux)`; returns both, and what takes the outputs' gradients to the arguments'."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(arguments)
            outputs, aux = f(*arguments)

        def pull(gradients):
            with _plain_gradients():
                return tape.gradient(outputs, arguments, output_gradients=gradients)

        return outputs, aux, pull

    @staticmethod
    def with_gradient(forward, backward, keep, arguments):
        @tf.custom_gradient
        def run(*arguments):
            results, kept = forward(keep, arguments)

            def gradient(*gradients):
                return backward(arguments, kept if keep else forward(True, arguments)[1], gradients)

            return results, gradient

        return run(*arguments)

    @staticmethod
    def known_product(hidden, zeros, product, transposed):
        @tf.custom_gradient
        def run(hidden, zeros):
            return tf.identity(product), lambda d: (TensorFlow.product(d, transposed), d)

        return run(hidden, zeros)


def onednn():
    """Whether oneDNN does TensorFlow's matrix products here; a private question, which may no longer be answered."""
    return getattr(tensorflow_port, "IsMklEnabled", lambda: False)()


@contextlib.contextmanager
def _plain_gradients():
    """Within: TensorFlow trusts that two batches of unknown size, in one timestep of one step, are of one size.

    Otherwise the gradient of every sum and product works out, each time it runs, which axes were broadcast: seven
    operations more. With the batch unknown, as in `fit`, a training step of an LSTM of 64 took twice as long.
    """

    def equal(*tensors):
        shapes = [x.shape.as_list() if x.shape.rank else [] for x in tensors]
        return shapes[0] and None not in shapes[0][1:] and all(shape == shapes[0] for shape in shapes)

    def chosen(condition, d):
        d_x = tf.where(condition, d, tf.zeros_like(d))
        return d_x, d - d_x  # a choice costs three times what a difference does

    plain = {
        "AddV2": lambda x, y, d: equal(x, y) and (d, d),
        "Sub": lambda x, y, d: equal(x, y) and (d, -d),
        "Mul": lambda x, y, d: equal(x, y) and not d.dtype.is_complex and (d * y, d * x),
        "SelectV2": lambda c, x, y, d: equal(x, y, d) and (None, *chosen(c, d)),
    }
    known = getattr(getattr(tensorflow_ops, "gradient_registry", None), "_registry", {})  # private: may go
    usual = {name: dict(known[name]) for name in plain if name in known}

    def gradient(name):
        return lambda op, d: plain[name](*op.inputs, d) or usual[name]["type"](op, d)

    for name in usual:
        known[name]["type"] = gradient(name)
    try:
        yield
    finally:
        for name in usual:
            known[name].update(usual[name])


class Jax:
    """The same in JAX's terms."""

    vendor_masks = False

    @staticmethod
    def vendor_has(cell):
        return "cell" in cell.carry and jax.default_backend() == "gpu"  # of the GRU Keras's is a scan like any other

    @staticmethod
    def compiled(run, jit_compile, training, shape):
        return jax.jit(run)() if jit_compile is True else run()

    @staticmethod
    def loops_may_not_run():
        return False

    @staticmethod
    def value(x):
        return ops.convert_to_tensor(x)

    @staticmethod
    def factor(matrix, batch):
        return matrix

    @staticmethod
    def product(x, factor):
        return ops.matmul(x, factor)

    @staticmethod
    def scan(body, carry, xs, written, reverse=False):
        def iteration(carry, x):
            carry, values = body(carry, x)
            return carry, [ops.stack(v) if one.apart else v for one, v in zip(written, values, strict=True)]

        return jax.lax.scan(iteration, list(carry), xs, reverse=reverse)

    @staticmethod
    def stacked(held):
        return joined(held)

    @staticmethod
    def vjp(f, arguments):
        outputs, pull, aux = jax.vjp(f, *arguments, has_aux=True)
        return outputs, aux, lambda gradients: list(pull(list(gradients)))

    @staticmethod
    def with_gradient(forward, backward, keep, arguments):
        run = jax.custom_vjp(lambda *arguments: forward(False, arguments)[0])

        def run_and_keep(*arguments):
            results, kept = forward(True, arguments)
            return results, (arguments, kept)

        run.defvjp(run_and_keep, lambda kept, gradients: tuple(backward(*kept, gradients)))
        return run(*arguments)

    @staticmethod
    def known_product(hidden, zeros, product, transposed):
        @jax.custom_vjp
        def run(hidden, zeros, product, transposed):
            return product

        def pull(kept, d):
            return ops.matmul(d, kept[1]), d, ops.zeros_like(kept[0]), ops.zeros_like(kept[1])

        run.defvjp(lambda *arguments: (product, arguments[2:]), pull)
        return run(hidden, zeros, product, transposed)


def backend():
    return BACKENDS[keras.backend.backend()]


BACKENDS = {"tensorflow": TensorFlow, "jax": Jax}
if keras.backend.backend() == "tensorflow":
    import tensorflow as tf
    from tensorflow.python.framework import ops as tensorflow_ops
    from tensorflow.python.ops import control_flow_util
    from tensorflow.python.util import _pywrap_util_port as tensorflow_port
elif keras.backend.backend() == "jax":
    import jax
