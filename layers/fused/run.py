"""Compiles the kernels of a step, and runs them in TensorFlow's graphs: a share of the batch on each thread."""

import concurrent.futures
import functools
import hashlib
import importlib.util
import math
import os
import pathlib
import sys
import tempfile

import numpy as np
import tensorflow as tf

from layers.fused.kernel import Backward, Forward
from layers.fused.memory import MEMORY
from layers.fused.step import named

HEAD = """import math

import numpy as np
from numba import njit

from layers.fused.elementary import F{bits} as F
from layers.fused.elementary import exp_{bits} as exp
from layers.fused.elementary import sigmoid_{bits} as sigmoid
from layers.fused.elementary import softplus_{bits} as softplus
from layers.fused.elementary import tanh_{bits} as tanh
from layers.fused.products import add_product, pack, packed, panels, product

how = njit(cache=True, nogil=True, error_model="numpy", fastmath={{"contract", "arcp", "nsz", "reassoc"}})


@how
{forward}


@how
{backward}


@how
{backward_to_data}


@how
{inference}
"""


TIMED = ("input", "extra", "carry", "kept", "product", "d_output")  # arrays whose first axis is time
HERE = pathlib.Path(__file__).parent


class Kernels:
    """The compiled kernels of a step.

    Args:
        step: A `Step`.
        dtype: "float32" or "float64".
        project: Whether they project the input: else `x` below is what the step gets of it.
    """

    def __init__(self, step, dtype, project):
        forward = Forward(step)
        self.backward, self.backward_to_data = (Backward(step, forward, to_input) for to_input in (True, False))
        self.saved = [name for name in self.backward.parameters if name.startswith("product")]
        self.forward = Forward(step, self.saved)  # which writes down the products that the backward pass reads
        self.inference = Forward(step, read=forward.read)
        self.kept = [f"kept_{number}" for number in forward.kept.values()]
        self.sums = [name for name in self.backward.parameters if name.startswith(("d_weight", "d_columns"))]
        self.carry = [f"carry_{index}" for index in range(len(step.carry))]
        self.widths = step.widths | {f"kept_{number}": node.width for node, number in forward.kept.items()}
        self.output, self.dtype, self.matrices = step.output, dtype, step.matrices
        self.project = project
        self.tables = {name: np.asarray(values, dtype) for name, values in step.tables.items()}
        bits = 32 if dtype == "float32" else 64
        names = ("forward", "backward", "backward_to_data", "inference")  # each is compiled when it is first called
        sources = {name: getattr(self, name).source for name in names}
        self.source = HEAD.format(bits=bits, **sources)

    @functools.cached_property
    def module(self):
        return compiled(self.source)

    # In graphs, where a number of timesteps or the batch may be None.

    def run(self, x, extras, carry, weights, constants, columns):
        """The carry's last tensors, and those that the backward pass needs: `{name: tensor}`."""
        given = self.given_to_both(x, extras, weights, constants, columns) | named("first", carry)
        kept = self.call(self.forward, given, self.shapes_forward, ["input", *named("first", carry)])
        return [kept[name][-1] for name in self.carry], kept

    def infer(self, x, extras, carry, weights, constants, columns):
        """The outputs, in a list, none if only the last is asked for, and the carry's last tensors."""
        given = self.given_to_both(x, extras, weights, constants, columns) | named("first", carry)
        found = self.call(self.inference, given, self.shapes_inference, ["input", *named("first", carry)])
        last = [found[name] if name in found else found[f"carry_{self.output}"][-1] for name in named("last", carry)]
        return [x[1:] for name, x in found.items() if name.startswith("carry")], last

    def pull(self, x, extras, weights, constants, columns, kept, d_outputs, d_carry, to_data=False):
        """The gradients of `x`, of the carry, of the weights (None where the step reads none) and of the matrices.

        With `to_data` that of `x` is not computed: it is NaN.
        """
        given = self.given_to_both(x, extras, weights, constants, columns) | kept | named("d_last", d_carry)
        given |= dict(zip(["d_output"], d_outputs, strict=False))
        also = ["carry_0", *(name.removeprefix("d_") for name in self.sums)]
        kernel = self.backward_to_data if to_data else self.backward
        found = self.call(kernel, given, self.shapes_to_data if to_data else self.shapes_backward, also)
        d_weights = [found.get(f"d_weight_{index}") for index in range(len(weights))]
        d_weights = [d if d is None else tf.reshape(d, one.shape) for d, one in zip(d_weights, weights, strict=True)]
        d_columns = [found[f"d_columns_{number}"] for number in range(len(self.matrices) + len(columns))]
        for index in self.matrices:
            d, known = d_columns.pop(0), d_weights[index]
            d_weights[index] = d if known is None else known + d
        d_input = tf.fill(tf.shape(x), tf.constant(math.nan, x.dtype)) if to_data else found["d_input"]
        return d_input, [found[name.replace("carry", "d_first")] for name in self.carry], d_weights, d_columns

    def given_to_both(self, x, extras, weights, constants, columns):
        rows = named("weight", [tf.reshape(one, [-1]) for one in weights])
        columns = named("columns", [*(weights[index] for index in self.matrices), *columns])
        return {"input": x, **named("extra", extras), **rows, **named("fixed", constants), **columns}

    # The shapes of what a kernel writes, from those of what it gets: `{name: shape}`.

    def shapes_forward(self, shapes):
        timesteps, batch, _ = shapes["input"]
        found = {name: (added(timesteps, 1), batch, self.widths[name]) for name in self.carry}
        return found | {name: (timesteps, batch, self.widths[name]) for name in (*self.kept, *self.saved)}

    def shapes_inference(self, shapes):
        timesteps, batch, _ = shapes["input"]
        found = {name.replace("carry", "last"): (batch, self.widths[name]) for name in self.carry}
        if self.output is not None:
            _, width = found.pop(f"last_{self.output}")
            found[f"carry_{self.output}"] = (added(timesteps, 1), batch, width)
        return found

    def shapes_to_data(self, shapes):
        batch = shapes["carry_0"][1]
        found = {name.replace("carry", "d_first"): (batch, self.widths[name]) for name in self.carry}
        return found | {name: shapes[name.removeprefix("d_")] for name in self.sums}

    def shapes_backward(self, shapes):
        timesteps, batch, _ = shapes["carry_0"]
        return self.shapes_to_data(shapes) | {"d_input": (added(timesteps, -1), batch, self.widths["input"])}

    def call(self, kernel, given, shapes, also):
        """Calls a kernel.

        Args:
            kernel: A `Forward` or a `Backward`.
            given: `{name: tensor}`.
            shapes: One of the functions above.
            also: Names of tensors that are needed beside the parameters of the kernel; the batch is the first's.

        Returns:
            `{name: tensor}`.
        """
        given = {name: tensor for name, tensor in given.items() if name in {*kernel.parameters, *also}}
        wanted = shapes({name: tensor.shape for name, tensor in given.items()})

        def run(*arrays):
            found = self.compute(kernel, dict(zip(given, arrays, strict=True)), shapes, also[0])
            return [found[name] for name in wanted]

        dtypes = [given[also[0]].dtype] * len(wanted)
        results = tf.numpy_function(run, list(given.values()), dtypes, stateful=False)
        results = results if isinstance(results, list | tuple) else [results]  # eagerly, one is not in a list
        for tensor, shape in zip(results, wanted.values(), strict=True):
            tensor.set_shape(shape)
        return dict(zip(wanted, results, strict=True))

    def compute(self, kernel, given, shapes, first):
        """The same with arrays."""
        sizes, batch = shapes({name: array.shape for name, array in given.items()}), given[first].shape[1]
        for name, array in given.items():  # a kernel would read beyond the end
            rows = array.shape[1 if name.startswith(TIMED) else 0]
            if name.startswith(("fixed", "first", "d_last", *TIMED)) and rows != batch:
                raise ValueError(f"expected {batch} rows of `{name}` in a kernel, received {rows}")
        found = {name: MEMORY.empty(size, self.dtype) for name, size in sizes.items() if name not in self.sums}
        for name in found.keys() & {*self.carry}:
            found[name][0] = given[name.replace("carry", "first")]
        # Each share has sums of its own, which are added in a fixed order.
        count, names = len(shares(batch)), [name for name in self.sums if name in sizes]
        sums = {name: MEMORY.empty((count, *sizes[name]), self.dtype) for name in names}
        function = getattr(self.module, kernel.name)

        def run(number, lo, hi):
            for parts in sums.values():
                parts[number] = 0
            known = {**self.tables, **given, **found, **{name: parts[number] for name, parts in sums.items()}}
            function(lo, hi, *(known[name] for name in kernel.parameters))

        share(run, batch)
        total = lambda parts: np.sum(parts, axis=0, out=MEMORY.empty(parts.shape[1:], self.dtype))
        return found | {name: total(parts) for name, parts in sums.items()}


def added(timesteps, number):
    return None if timesteps is None else timesteps + number


# Threads.


def shares(batch):
    """`(lo, hi)` of each share of a batch. They depend on the batch alone, so that sums are the same on any machine."""
    count = min(batch, max(2, batch // 64))
    return [(batch * k // count, batch * (k + 1) // count) for k in range(count)]


@functools.cache
def threads():
    """As many as there are cores, for all layers together: two directions at once share them."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return concurrent.futures.ThreadPoolExecutor(cores, "fused")


def share(run, batch):
    """Calls `run(number, lo, hi)` for each share."""
    for one in [threads().submit(run, number, lo, hi) for number, (lo, hi) in enumerate(shares(batch))]:
        one.result()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=threads.cache_clear)  # a child has none of the parent's threads


# Source.


@functools.cache
def compiled(source):
    """The module of a source; it stands in a cache folder, beside what numba compiled of it."""
    import numba

    parts = [source.encode(), numba.__version__.encode(), *(path.read_bytes() for path in sorted(HERE.glob("*.py")))]
    path = folder() / f"unroll_step_{hashlib.sha256(b''.join(parts)).hexdigest()[:16]}.py"
    if not path.exists():
        partial = path.with_suffix(f".{os.getpid()}")
        partial.write_text(source, encoding="utf-8")
        partial.replace(path)
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module  # numba finds it by its name when it loads what it kept
    spec.loader.exec_module(module)
    return module


@functools.cache
def folder():
    """Where sources stand; a temporary folder where the user's cache cannot be written."""
    usual = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "unroll" / "fused"
    try:
        usual.mkdir(parents=True, exist_ok=True)
        if os.access(usual, os.W_OK):
            return usual
    except OSError:
        pass
    return pathlib.Path(temporary().name)


@functools.cache
def temporary():
    return tempfile.TemporaryDirectory(prefix="unroll-fused-")  # which is removed when the process ends
