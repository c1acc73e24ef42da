"""The loop's backend functions for TensorFlow: in the plain graph, under XLA and eagerly."""

import contextlib
import contextvars
import dataclasses
import functools
import importlib.util
import itertools
import math
import os

import tensorflow as tf
from keras import ops
from tensorflow.python.eager import record as tensorflow_record
from tensorflow.python.framework import ops as tensorflow_ops
from tensorflow.python.ops import control_flow_util
from tensorflow.python.saved_model import save_context
from tensorflow.python.util import _pywrap_util_port as tensorflow_port

from layers.backend.written import first_values, joined

PORTIONS = 2  # half-batches, each on half of the cores; on two cores, four quarter-batches are not faster
VENDOR_MASKS = True  # whether a GPU vendor's kernel takes right padding
# Set while a gradient is traced: TensorFlow does not know then whether XLA will compile it.
FOR_XLA = contextvars.ContextVar("FOR_XLA", default=False)
PLAIN = contextvars.ContextVar("PLAIN", default=False)  # whether gradients are plain, see `_plain_gradients`


def vendor_has(cell):
    """Whether there is a GPU, for which Keras runs this cell's stock layer by the vendor's kernel."""
    return bool(tf.config.list_logical_devices("GPU"))


def compiled(run, jit_compile, training, shape, tensors, largest):
    """`run()`, compiled by XLA or not.

    "auto" compiles on a CPU, in a graph that knows all sizes, where measurements show a gain: inference, 1.2 to 2.5
    times faster; and training of small networks on long sequences, up to 2.9 times, for most cells 1.4, which makes up
    for two to four seconds of compilation in some hundred steps. Larger networks are up to a fifth slower.

    Args:
        run: A function without arguments.
        jit_compile: True, False or "auto".
        training: Whether a gradient will be taken.
        shape: The sequence's shape, `(batch, timesteps, features)`.
        tensors: `(carry, weights)`, the tensors of each.
        largest: Numbers in a tensor of the carry up to which "auto" compiles training.
    """
    if under_xla():
        return run()  # XLA compiles it with the rest; on its own it would be compiled again for each batch of a `fit`
    if jit_compile == "auto":
        in_graph = not tf.executing_eagerly() and not tf.config.list_logical_devices("GPU")
        jit_compile = in_graph and None not in shape and 0 not in shape
        if jit_compile and training:
            carry, weights = (max((x.shape.num_elements() or math.inf for x in one), default=0) for one in tensors)
            jit_compile = shape[1] >= 100 and carry <= largest and weights <= 2**15
    return tf.function(run, jit_compile=True, autograph=False)() if jit_compile else run()


def under_xla():
    return FOR_XLA.get() or control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def expect(holds, message, received, then=None):
    """Raises an error if `holds`, one boolean, is False: at once, or when the graph runs. XLA cannot raise errors.

    Args:
        received: Name -> tensor; the error shows its first values.
        then: A tensor that a graph may read only after the check, or None.

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

    The gradient of a `tf.cond` reads tensors that its branches kept. XLA cannot return the tensor lists of a loop
    within a branch, so there the gradient computes the branch again, in a `tf.cond` of its own.
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


def plus_bias(x, bias):
    """`x + bias`: its gradient sums 16,000 rows of 256 in 1.3 ms, and that of a sum with broadcasting in 3.6."""
    return tf.nn.bias_add(x, bias)


def value(x):
    """A new tensor: `x` may be a variable or be given twice, and gradients need distinct tensors."""
    return tf.identity(x)


def factor(matrix, batch):
    """A matrix prepared for many calls of `product`: a large one is split in two where Eigen multiplies.

    Two cores then share the work: 32 x 128 x 512 took 49 us, and 110 us unsplit, with threads within the product. Where
    oneDNN multiplies (processors with AVX-512 VNNI and later) splitting costs up to an eighth of a step.
    """
    rows, columns = matrix.shape
    whole = batch == 1 or rows * columns < 2**16 or columns % 2 or onednn()
    return [matrix] if whole else tf.split(matrix, 2, axis=1)


def product(x, factor):
    found = [tf.matmul(x, part) for part in factor]
    return found[0] if len(found) == 1 else tf.concat(found, axis=1)


def traced_once(f):
    """`f` for a plain graph that calls it often: its operations are traced at the first call and copied for the others.

    `f` must read tensors from its arguments alone: the calls may be in different loops.
    """
    function = tf.function(f, autograph=False)

    def call(*arguments):
        return f(*arguments) if tf.executing_eagerly() or under_xla() else function(*arguments)

    return call


def cut(x, sizes):
    """Pieces of these sizes, by `tf.split`: gradients of slices would be as large as `x`, and mostly zeros."""
    return [x] * len(sizes) if len(sizes) < 2 else tf.split(x, sizes)


def portions(rows):
    """The rows in parts that are computed independently: on a CPU the cores then share any operation."""
    if under_xla() or tf.config.list_logical_devices("GPU"):
        return [rows]
    count = ops.shape(rows)[0]
    ends = [count * portion // PORTIONS for portion in range(PORTIONS + 1)]
    return cut(rows, [end - begin for begin, end in itertools.pairwise(ends)])


def scan(body, carry, xs, written, reverse=False):
    """Loops over `body(carry, xs at one index) -> (carry, values to write there)`; carries are `(batch, ...)`."""
    count, static_batch, batch = ops.shape(xs[0])[0], carry[0].shape[0], ops.shape(carry[0])[0]
    held, handles, shapes, whole = [], [], {}, under_xla()  # shapes are often the same, and operations to trace
    if whole:  # XLA cannot return tensor lists
        written = [dataclasses.replace(one, apart=False) for one in written]
    for one in written:
        block = () if one.apart else (one.timesteps,)
        sizes = (*block, *one.like.shape[1:])
        if sizes not in shapes:
            shapes[sizes] = tf.stack([*block, batch, *(-1 if size is None else size for size in one.like.shape[1:])])
        shape = shapes[sizes]
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
    """Where an iteration reads and writes: its index, and those of its timesteps, each computed once."""

    def __init__(self, index):
        self.index, self.rows = index, {None: [index]}

    def of(self, rows):
        if rows not in self.rows:
            first = self.index * rows
            self.rows[rows] = [first, *(first + row for row in range(1, rows))]
        return self.rows[rows]


class Held:
    """The tensor list that a `scan` wrote; the next `scan` reads it without stacking it."""

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
        """One tensor: `(timesteps, batch, ...)`, or of blocks `(count, block, batch, ...)`."""
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
    """One tensor, `(timesteps, batch, ...)`."""
    if not isinstance(held, Held):
        return joined(held)
    return held.stack() if held.rows is not None else joined(held.stack())


def kernels(step, sequences, dtype, fused, timesteps=None):
    """The kernels of a traced step, see `layers.fused.kernels`, or None where the loop over time runs."""
    return _fused().kernels(step, sequences, dtype, fused, timesteps) if fused and may_be_fused() else None


def fuses(step, dtype):
    """Whether there may be kernels of a traced step."""
    return may_be_fused() and _fused().kernels(step, True, dtype, True) is not None


def _fused():
    import layers.fused  # of those who need it: it takes longer than the rest of `layers.backend`

    return layers.fused


def may_be_fused():
    """Whether kernels can be made and a graph may call them: not under XLA, not in a file; on a GPU it does not pay.

    NUMBA_DISABLE_JIT=1, a variable of numba's own, says that it must not compile.
    """
    if under_xla() or save_context.in_save_context() or tf.config.list_logical_devices("GPU"):
        return False
    return os.environ.get("NUMBA_DISABLE_JIT", "0") in ("", "0") and installed("numba")


@functools.cache
def installed(*names):
    return all(importlib.util.find_spec(name) for name in names)


def vjp(f, arguments):
    """`f(*arguments) -> (outputs, aux)`; returns both, and a function from the outputs' gradients to the arguments'."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(arguments)
        outputs, aux = f(*arguments)

    def pull(gradients):
        with _plain_gradients():
            return tape.gradient(outputs, arguments, output_gradients=gradients)

    return outputs, aux, pull


def is_data(x, weights):
    """A function that says, where gradients are taken, whether none of `x` will be asked for.

    Of an input that is no function of a variable, such as a batch of a `fit`, a tape takes none. Where the tape is
    another than the one that sees this call, as where the gradient of a whole `tf.function` is taken, nobody knows.
    """
    recorded = getattr(tensorflow_record, "should_record_backprop", lambda tensors: True)  # private: may disappear
    known, graph = recorded(weights) and not recorded([x]), tf.compat.v1.get_default_graph()
    return lambda: known and tf.compat.v1.get_default_graph() is graph


def with_gradient(forward, backward, keep, arguments, again=None):
    """The results of `forward(keep, arguments) -> (results, kept)`; their gradient is `backward`.

    Args:
        again: `(forward, backward)` that TensorFlow can differentiate, for second derivatives; None: those given.
    """
    compiled_whole = under_xla()

    @tf.custom_gradient
    def run(*arguments):
        results, kept = forward(keep, arguments)
        kept = tf.nest.map_structure(tf.stop_gradient, kept) if compiled_whole else kept

        def gradient(*gradients):
            with _traced_for(compiled_whole):
                known = kept if keep else forward(True, arguments)[1]
                if compiled_whole or again:
                    pull = functools.partial(backward, arguments, known)
                    return _with_second_gradient(pull, again or (forward, backward), arguments, gradients)
                return backward(arguments, known, gradients)

        return results, gradient

    return run(*arguments)


def known_product(hidden, zeros, known, transposed):
    """`hidden` times the matrix, computed before as `known`; its gradient goes to `zeros`.

    The matrix's own gradient is for second derivatives; where it is not used, graphs leave it out.
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
    """Whether oneDNN does TensorFlow's matrix products here; asks a private function, which may disappear."""
    return getattr(tensorflow_port, "IsMklEnabled", lambda: False)()


@contextlib.contextmanager
def _traced_for(xla):
    token = FOR_XLA.set(xla)
    try:
        yield
    finally:
        FOR_XLA.reset(token)


def _with_second_gradient(pull, again, arguments, gradients):
    """`pull(gradients)`, whose own gradient computes everything `again`: XLA can compile that, and kernels need it.

    Otherwise TensorFlow keeps tensor lists of the loop's iterations for it, which XLA cannot return.
    """
    compiled_whole, (forward, backward) = under_xla(), again

    @tf.custom_gradient
    def run(*given):
        def gradient(*seconds):
            with _traced_for(compiled_whole), tf.GradientTape() as tape:
                tape.watch(given)
                found = given[: len(arguments)]
                found = backward(found, forward(True, found)[1], given[len(arguments) :])
            return tape.gradient(found, given, seconds, unconnected_gradients="zero")

        return pull(given[len(arguments) :]), gradient

    return run(*(tf.identity(x) for x in (*arguments, *gradients)))


@contextlib.contextmanager
def _plain_gradients():
    """Within, in this thread: TensorFlow assumes that batches of unknown size in one timestep have the same size.

    Otherwise the gradient of every sum and product computes, each time it runs, which axes were broadcast: seven more
    operations. With the batch unknown, as in `fit`, a training step of an LSTM of 64 took twice as long.
    """
    _know_plain_gradients()
    token = PLAIN.set(True)
    try:
        yield
    finally:
        PLAIN.reset(token)


@functools.cache
def _know_plain_gradients():
    """Puts functions that ask `PLAIN` in the place of TensorFlow's gradients, once: other threads may take some now."""

    def equal(*tensors):
        shapes = [x.shape.as_list() if x.shape.rank else [] for x in tensors]
        return shapes[0] and None not in shapes[0][1:] and all(shape == shapes[0] for shape in shapes)

    def chosen(condition, d):
        d_x = tf.where(condition, d, tf.zeros_like(d))
        return d_x, d - d_x  # `tf.where` costs three times as much as a subtraction

    plain = {
        "AddV2": lambda x, y, d: equal(x, y) and (d, d),
        "Sub": lambda x, y, d: equal(x, y) and (d, -d),
        "Mul": lambda x, y, d: equal(x, y) and not d.dtype.is_complex and (d * y, d * x),
        "SelectV2": lambda c, x, y, d: equal(x, y, d) and (None, *chosen(c, d)),
    }
    known = getattr(getattr(tensorflow_ops, "gradient_registry", None), "_registry", {})  # private: may disappear

    def gradient(plain, usual):
        return lambda op, d: (PLAIN.get() and plain(*op.inputs, d)) or usual(op, d)

    for name in plain.keys() & known.keys():
        known[name]["type"] = gradient(plain[name], known[name]["type"])
