"""The loop's needs in TensorFlow's terms, in the plain graph, under XLA and eagerly."""

import contextlib
import contextvars
import dataclasses
import itertools
import math

import tensorflow as tf
from keras import ops
from tensorflow.python.framework import ops as tensorflow_ops
from tensorflow.python.ops import control_flow_util
from tensorflow.python.util import _pywrap_util_port as tensorflow_port

from layers.backend.written import first_values, joined

PORTIONS = 2  # each with half of the cores, as the two directions of a network have; four gain nothing on two cores
VENDOR_MASKS = True  # whether a GPU vendor's kernel takes right padding
# Told while a gradient is traced, where TensorFlow forgets whom it is traced for.
FOR_XLA = contextvars.ContextVar("FOR_XLA", default=False)


def vendor_has(cell):
    """Whether a GPU is here, and Keras calls its vendor's kernel for the stock layer of this cell."""
    return bool(tf.config.list_logical_devices("GPU"))


def compiled(run, jit_compile, training, shape, tensors):
    """`run()`, compiled by XLA or not.

    "auto" compiles on a CPU, in a graph that knows all sizes, what repeats as it is and gains by it (measured):
    inference, 1.2 to 2.5 times faster; and training of small networks on long sequences, up to 2.9 times, for most
    cells 1.4, which makes up for two to four seconds of compilation in some hundred steps. Larger networks lose up
    to a fifth.

    Args:
        run: A function of nothing.
        jit_compile: True, False or "auto".
        training: Whether a gradient will be wanted.
        shape: Of the sequence, `(batch, timesteps, features)`.
        tensors: The carry's, and the weights: what a timestep reads.
    """
    if under_xla():
        return run()  # compiled within what is compiled, it would be compiled again for each batch of a `fit`
    if jit_compile == "auto":
        in_graph = not tf.executing_eagerly() and not tf.config.list_logical_devices("GPU")
        jit_compile = in_graph and None not in shape and 0 not in shape
        if jit_compile and training:
            carry, weights = (max((x.shape.num_elements() or math.inf for x in one), default=0) for one in tensors)
            jit_compile = shape[1] >= 100 and carry <= 2**10 and weights <= 2**15
    return tf.function(run, jit_compile=True, autograph=False)() if jit_compile else run()


def under_xla():
    return FOR_XLA.get() or control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def expect(holds, message, received, then=None):
    """An error where `holds`, one boolean, is False: at once, or when the graph runs. XLA cannot raise errors.

    Args:
        received: Name -> tensor, whose first values are shown.
        then: A tensor that a graph may read only after this was checked, or None.

    Returns:
        `then`.
    """
    if tf.executing_eagerly():
        if not holds:
            raise ValueError(f"{message} Received: {first_values(received)}.")
    elif not under_xla():
        shown = [part for name, x in received.items() for part in (f"{name}:", x)]
        checked = tf.debugging.Assert(holds, [message, "Received:", *shown], summarize=12)
        if then is not None:
            with tf.control_dependencies([checked]):
                return tf.identity(then)
    return then


def choice(condition, one, other, arguments):
    """`one(*arguments)` where `condition`, one boolean, is True, else `other(*arguments)`: a tensor.

    The gradient of a `tf.cond` reads what its branches kept. Lists that a loop within a branch wrote cannot leave what
    XLA compiles, so there the gradient computes the branch again, within a condition of its own.
    """
    if not under_xla():
        return tf.cond(condition, lambda: one(*arguments), lambda: other(*arguments))

    @tf.custom_gradient
    def run(*arguments):
        def pull(f, d):
            with tf.GradientTape() as tape:
                tape.watch(arguments)
                result = f(*arguments)
            return tape.gradient(result, arguments, d, unconnected_gradients="zero")

        def gradient(d):
            with _traced_for(True):
                return tf.cond(condition, lambda: pull(one, d), lambda: pull(other, d))

        return tf.cond(condition, lambda: one(*arguments), lambda: other(*arguments)), gradient

    return run(*(tf.identity(x) for x in arguments))


def value(x):
    """A tensor of its own, where `x` may be a variable or given twice: the gradient below is that of tensors."""
    return tf.identity(x)


def factor(matrix, batch):
    """A matrix that `product` will be given many times: a large one cut in two where Eigen multiplies.

    Two cores then share the work: 32 x 128 x 512 took 49 us, in one piece, with threads within the product, 110 us.
    Where oneDNN multiplies (processors with AVX-512 VNNI and later) cutting costs up to an eighth of a step.
    """
    rows, columns = matrix.shape
    whole = batch == 1 or rows * columns < 2**16 or columns % 2 or onednn()
    return [matrix] if whole else tf.split(matrix, 2, axis=1)


def product(x, factor):
    found = [tf.matmul(x, part) for part in factor]
    return found[0] if len(found) == 1 else tf.concat(found, axis=1)


def cut(x, sizes):
    """Pieces of these sizes. Not slices, whose gradients are as large as what was cut, and mostly zeros."""
    return [x] * len(sizes) if len(sizes) < 2 else tf.split(x, sizes)


def portions(rows):
    """Rows in parts, for what is done with each by itself: on a CPU the cores then share it, whatever it is."""
    if under_xla() or tf.config.list_logical_devices("GPU"):
        return [rows]
    count = ops.shape(rows)[0]
    ends = [count * portion // PORTIONS for portion in range(PORTIONS + 1)]
    return cut(rows, [end - begin for begin, end in itertools.pairwise(ends)])


def scan(body, carry, xs, written, reverse=False):
    """`body(carry, xs at one index) -> (carry, what each of `written` gets there)`; carries are `(batch, ...)`."""
    count, static_batch, batch = ops.shape(xs[0])[0], carry[0].shape[0], ops.shape(carry[0])[0]
    held, handles, whole = [], [], under_xla()
    if whole:  # lists cannot leave what XLA compiles
        written = [dataclasses.replace(one, apart=False) for one in written]
    for one in written:
        block = () if one.apart else (one.timesteps,)
        shape = tf.stack([*block, batch, *(-1 if size is None else size for size in one.like.shape[1:])])
        number = count * one.timesteps if one.apart else count
        handles.append(
            tf.raw_ops.TensorListReserve(element_shape=shape, num_elements=number, element_dtype=one.like.dtype)
        )
        held.append(Held(one, (*block, static_batch, *one.like.shape[1:]), shape, number))

    def iteration(i, carry, handles):
        t = Place(count - 1 - i if reverse else i)
        after, values = body(list(carry), [x[t] if isinstance(x, Held) else x[t.index] for x in xs])
        for new, old in zip(after, carry, strict=True):
            new.set_shape(old.shape)
        values = [tf.stack(value) if whole and isinstance(value, list) else value for value in values]
        handles = [one.write(*given, t) for one, *given in zip(held, handles, values, strict=True)]
        return i + 1, tuple(after), tuple(handles)

    start = 0, tuple(carry), tuple(handles)
    _, carry, handles = tf.while_loop(lambda i, *_: i < count, iteration, start, maximum_iterations=count)
    for one, handle in zip(held, handles, strict=True):
        one.handle = handle
    return list(carry), [one.stack() for one in held] if whole else held


class Place:
    """Where an iteration reads and writes: its index, and those of its timesteps, each worked out once."""

    def __init__(self, index):
        self.index, self.rows = index, {None: [index]}

    def of(self, rows):
        if rows not in self.rows:
            first = self.index * rows
            self.rows[rows] = [first, *(first + row for row in range(1, rows))]
        return self.rows[rows]


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

    def stack(self):
        """All of it: `(timesteps, batch, ...)`, or of blocks `(count, block, batch, ...)`."""
        number = self.number if isinstance(self.number, int) else None
        stacked = tf.raw_ops.TensorListStack(
            input_handle=self.handle,
            element_shape=self.shape,
            element_dtype=self.like.dtype,
            num_elements=-1 if number is None else number,
        )
        stacked.set_shape([number, *self.static])
        return stacked


def stacked(held):
    """All of it, `(timesteps, batch, ...)`."""
    if not isinstance(held, Held):
        return joined(held)
    return held.stack() if held.rows is not None else joined(held.stack())


def vjp(f, arguments):
    """`f(*arguments) -> (outputs, aux)`; returns both, and what takes the outputs' gradients to the arguments'."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(arguments)
        outputs, aux = f(*arguments)

    def pull(gradients):
        with _plain_gradients():
            return tape.gradient(outputs, arguments, output_gradients=gradients)

    return outputs, aux, pull


def with_gradient(forward, backward, keep, arguments):
    compiled_whole = under_xla()

    @tf.custom_gradient
    def run(*arguments):
        results, kept = forward(keep, arguments)
        kept = tf.nest.map_structure(tf.stop_gradient, kept) if compiled_whole else kept

        def gradient(*gradients):
            with _traced_for(compiled_whole):
                known = kept if keep else forward(True, arguments)[1]
                if compiled_whole:
                    return _with_second_gradient(forward, backward, arguments, known, gradients)
                return backward(arguments, known, gradients)

        return results, gradient

    return run(*arguments)


def known_product(hidden, zeros, known, transposed):
    """`hidden` times the matrix, known to be `known`; what `zeros` gets is the gradient of that.

    The matrix's own gradient is for second derivatives; elsewhere no one asks for it, and graphs leave it out.
    """

    @tf.custom_gradient
    def run(hidden, zeros, *transposed):
        def gradient(d):
            columns = tf.split(hidden, len(transposed), axis=1)
            d_transposed = [tf.matmul(d, part, transpose_a=True) for part in columns]
            return product(d, transposed), d, *d_transposed

        return tf.identity(known), gradient

    return run(hidden, zeros, *transposed)


def onednn():
    """Whether oneDNN does TensorFlow's matrix products here; a private question, which may no longer be answered."""
    return getattr(tensorflow_port, "IsMklEnabled", lambda: False)()


@contextlib.contextmanager
def _traced_for(xla):
    token = FOR_XLA.set(xla)
    try:
        yield
    finally:
        FOR_XLA.reset(token)


def _with_second_gradient(forward, backward, arguments, kept, gradients):
    """`backward`, whose own gradient does everything again, so that it lies within one thing that XLA compiles.

    Otherwise TensorFlow keeps for it lists of what the loop's iterations saw, which cannot leave what XLA compiles.
    """

    @tf.custom_gradient
    def run(*given):
        def gradient(*seconds):
            with _traced_for(True), tf.GradientTape() as tape:
                tape.watch(given)
                again = given[: len(arguments)]
                found = backward(again, forward(True, again)[1], given[len(arguments) :])
            return tape.gradient(found, given, seconds, unconnected_gradients="zero")

        return backward(arguments, kept, gradients), gradient

    return run(*(tf.identity(x) for x in (*arguments, *gradients)))


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
