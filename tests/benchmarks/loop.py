"""The loop against what one would take instead: stock Keras, PyTorch, JAX; medians of ratios ours / theirs.

    python -m tests.benchmarks.loop [--quick] [--only WORD ...] [--sides WORD ...] [--rounds 9]

Each side is a process of its own, so that no library's threads wait in another one's way and memory can be told apart;
the sides take turns, a few steps each as in `fit`, round after round. A training step is forward and backward, with the
gradients of all weights and of the input; in the form "data", as in a first layer, without that of the input. Sides
whose library is not installed are left out and named: `pip install torch==2.13.0 jax`.
Sizes are batch x timesteps x features x units. About 30 minutes on 2 cores; `--quick` leaves cells and sizes out. A
side whose library sees a GPU (`pip install -e '.[gpu,benchmarks]'`) runs there; peak memory is the host's.
"""

import argparse
import dataclasses
import functools
import json
import os
import statistics
import subprocess
import sys
import time

from tests.benchmarks import buckets

SIZES = [(32, 200, 128, 128), (64, 50, 256, 512), (16, 1000, 64, 64), (128, 30, 100, 100)]
ONE_AT_A_TIME = (1, 200, 128, 256)
KERAS = ("tf", "xla")
PAUSE = 0.05  # seconds before a side's turn, in which the threads of the side before stop asking for more work
IN_A_ROW = (
    3  # steps of a turn, after one that does not count: a step after a pause takes up to 1.6 times as long as in `fit`
)


@dataclasses.dataclass(frozen=True)
class Case:
    """What is timed: a cell at a size, in inference or training."""

    cell: str
    size: tuple
    training: bool
    form: str = ""  # "", "data", "mask", "bidirectional", "deep", "bfloat16", "long"

    def __str__(self):
        size = "x".join(map(str, self.size))
        return f"{self.cell} {size} {'training' if self.training else 'inference'} {self.form}".strip()


def cases(quick):
    sizes = SIZES[:2] if quick else SIZES
    cells = ("lstm",) if quick else ("lstm", "gru", "elman")
    yield from (Case(cell, size, training) for cell in cells for size in sizes for training in (False, True))
    yield from (Case(cell, ONE_AT_A_TIME, False) for cell in cells)
    yield from (Case("peephole", size, True) for size in sizes)
    yield from (Case("lstm", size, True, "data") for size in sizes)
    forms = ("mask", "bidirectional", "deep")
    yield from (Case("lstm", SIZES[0], training, form) for form in forms for training in (False, True))
    yield Case("lstm", SIZES[1], True, "bfloat16")
    yield Case("mingru", (16, 4096, 64, 64), True)
    yield from (Case("lstm", (8, timesteps, 32, 64), True, "long") for timesteps in (1_000, 10_000))


# The sides. Each is `make(case) -> step`, and `step()` does the work once.


def data(case):
    import numpy as np

    batch, timesteps, features, _ = case.size
    rng = np.random.default_rng(0)
    x = rng.normal(size=(batch, timesteps, features)).astype("float32")
    lengths = np.linspace(timesteps // 2, timesteps, batch).astype(int)
    mask = np.arange(timesteps) < lengths[:, None] if case.form == "mask" else None
    return x, mask


def ours(case):
    """A layer of ours, as a user builds it."""
    import layers

    if case.form in ("bidirectional", "deep"):
        how = {"depth": 3 if case.form == "deep" else 1, "bidirectional": case.form != "deep"}
        return layers.stack(layers.CELLS[case.cell], case.size[-1], **how)
    return ours_with(case)


def ours_with(case, dtype=None, **how):
    import layers

    cell = layers.CELLS[case.cell](case.size[-1], dtype=dtype)
    return layers.Recurrent(cell, return_sequences=True, dtype=dtype, **how)


def stock(case):
    import keras

    kind = {"lstm": keras.layers.LSTM, "gru": keras.layers.GRU, "elman": keras.layers.SimpleRNN}[case.cell]
    return arranged(case, lambda: kind(case.size[-1], return_sequences=True))


def stock_cell(case):
    import keras

    cells = {"lstm": keras.layers.LSTMCell, "gru": keras.layers.GRUCell, "elman": keras.layers.SimpleRNNCell}
    return arranged(case, lambda: keras.layers.RNN(cells[case.cell](case.size[-1]), return_sequences=True))


def our_cell_in_stock(case):
    import keras

    import layers

    return arranged(case, lambda: keras.layers.RNN(layers.CELLS[case.cell](case.size[-1]), return_sequences=True))


def arranged(case, layer):
    import keras

    if case.form == "bidirectional":
        return keras.layers.Bidirectional(layer())
    return keras.Sequential([layer() for _ in range(3)]) if case.form == "deep" else layer()


def in_tensorflow(make, jit_compile, case):
    import keras
    import tensorflow as tf

    keras.config.set_dtype_policy("mixed_bfloat16" if case.form == "bfloat16" else "float32")
    layer = make(case)
    x, mask = data(case)
    x, mask = tf.constant(x), None if mask is None else tf.constant(mask)
    arguments = {} if mask is None else {"mask": mask}
    layer(x, **arguments)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def infer(x):
        return layer(x, training=False, **arguments)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def train(x):
        given = [] if case.form == "data" else [x]
        with tf.GradientTape() as tape:
            tape.watch(given)
            y = layer(x, training=True, **arguments)
            loss = tf.reduce_sum(tf.cast(y, "float32"))
        return tape.gradient(loss, [*(weight.value for weight in layer.trainable_weights), *given])

    run = train if case.training else infer
    return lambda: [value.numpy() for value in tf.nest.flatten(run(x))][0]


def in_jax(make, case):
    import jax
    import keras

    keras.config.set_dtype_policy("mixed_bfloat16" if case.form == "bfloat16" else "float32")
    layer = make(case)
    x, mask = data(case)
    arguments = {} if mask is None else {"mask": jax.numpy.asarray(mask)}
    layer(x, **arguments)
    variables = layer.trainable_variables

    def forward(x, weights, training):
        with keras.StatelessScope(state_mapping=list(zip(variables, weights, strict=True))):
            return layer(x, training=training, **arguments)

    run = jax.jit(functools.partial(forward, training=False))
    if case.training:
        loss = lambda x, weights: forward(x, weights, True).astype("float32").sum()
        run = jax.jit(jax.grad(loss, argnums=(0, 1)))
    x, weights = jax.numpy.asarray(x), [variable.value for variable in variables]
    return lambda: jax.block_until_ready(run(x, weights))


def jax_scan(case):
    """The loop that a JAX user writes."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    batch, _, features, u = case.size
    gates = {"lstm": 4, "gru": 3, "elman": 1}[case.cell]
    rng = np.random.default_rng(1)
    weights = [
        jnp.asarray(rng.normal(size=shape).astype("float32") / 10)
        for shape in ((features, gates * u), (u, gates * u), (gates * u,))
    ]
    x = jnp.asarray(data(case)[0])

    def step(weights, carry, x):
        kernel, recurrent_kernel, bias = weights
        h, c = carry
        z = x @ kernel + bias
        r = h @ recurrent_kernel
        if case.cell == "elman":
            h = jnp.tanh(z + r)
        elif case.cell == "gru":
            update, reset = (jax.nn.sigmoid(z[:, i * u : (i + 1) * u] + r[:, i * u : (i + 1) * u]) for i in (0, 1))
            h = update * h + (1 - update) * jnp.tanh(z[:, 2 * u :] + reset * r[:, 2 * u :])
        else:
            i, f, g, o = jnp.split(z + r, 4, axis=1)
            c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
            h = jax.nn.sigmoid(o) * jnp.tanh(c)
        return (h, c), h

    def forward(x, weights):
        zeros = jnp.zeros((batch, u))
        _, outputs = jax.lax.scan(functools.partial(step, weights), (zeros, zeros), jnp.swapaxes(x, 0, 1))
        return jnp.swapaxes(outputs, 0, 1)

    run = jax.jit(jax.grad(lambda x, w: forward(x, w).sum(), argnums=(0, 1)) if case.training else forward)
    return lambda: jax.block_until_ready(run(x, weights))


def torch_nn(case):
    import torch

    _, _, features, units = case.size
    kind = {"lstm": torch.nn.LSTM, "gru": torch.nn.GRU, "elman": torch.nn.RNN}[case.cell]
    deep = {"num_layers": 3} if case.form == "deep" else {}
    layer = kind(features, units, batch_first=True, bidirectional=case.form == "bidirectional", **deep)
    layer = layer.to(torch_device(), torch.bfloat16 if case.form == "bfloat16" else torch.float32)
    x, mask = data(case)
    lengths = None if mask is None else torch.tensor(mask.sum(axis=1))

    def call(x):
        if lengths is None:
            return layer(x)[0]
        packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return torch.nn.utils.rnn.pad_packed_sequence(layer(packed)[0], batch_first=True)[0]

    return torch_step(case, call, list(layer.parameters()), x)


def torch_loop(case):
    """The loop that a PyTorch user writes for a cell without a kernel of its own, scripted."""
    import torch

    from tests.benchmarks.torch_loop import peephole_lstm

    _, _, features, u = case.size
    generator = torch.Generator().manual_seed(0)
    shapes = [(features, 4 * u), (u, 4 * u), (4 * u,), (u,), (u,), (u,)]
    weights = [torch.randn(shape, generator=generator) / 10 for shape in shapes]
    weights = [weight.to(torch_device()).requires_grad_() for weight in weights]

    call = torch.jit.script(peephole_lstm)
    return torch_step(case, lambda x: call(x, weights), weights, data(case)[0])


def torch_device():
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def torch_step(case, call, weights, x):
    import torch

    wanted = case.training and case.form != "data"
    x = torch.tensor(x, device=torch_device(), dtype=weights[0].dtype, requires_grad=wanted)

    def step():
        if case.training:
            found = torch.autograd.grad(call(x).sum(), [*weights, *[x] * wanted])
        else:
            with torch.inference_mode():
                found = call(x)
        if x.is_cuda:
            torch.cuda.synchronize()
        return found

    return step


def tensorflow_sides(make):
    return {mode: functools.partial(in_tensorflow, make, mode == "xla") for mode in KERAS}


VENDOR = ("lstm", "gru", "elman")
PLAIN = ("", "mask", "bidirectional", "deep")
USUAL = (*PLAIN, "data")
SIDES = {}  # name: (library, cells that it has, forms that it has, make)
for _name, _make, _cells, _forms in (
    ("ours", ours, (*VENDOR, "peephole", "mingru"), (*USUAL, "bfloat16", "long")),
    ("ours, float32", functools.partial(ours_with, dtype="float32"), ("lstm",), ("bfloat16",)),
    ("ours, the loop", functools.partial(ours_with, fused=False), (*VENDOR, "peephole"), ("", "mask", "data")),
    ("ours in turn", functools.partial(ours_with, parallel=False), ("mingru",), ("",)),
    ("ours in windows", functools.partial(ours_with, window=200), ("lstm",), ("long",)),
    ("stock layer", stock, VENDOR, USUAL),
    ("RNN(stock cell)", stock_cell, VENDOR, ("",)),
    ("RNN(our cell)", our_cell_in_stock, (*VENDOR, "peephole"), ("", "data")),
):
    for _mode, _side in tensorflow_sides(_make).items():
        SIDES[f"{_name} {_mode}"] = ("tensorflow", _cells, _forms, _side)
# What a mask and a second direction cost: the layer without them, taking turns with the one that has them.
SIDES["ours, bare"] = (
    "tensorflow",
    ("lstm",),
    ("mask", "bidirectional"),
    lambda case: in_tensorflow(ours, False, dataclasses.replace(case, form="")),
)
# As the pipelines run it on 2 cores: a core for each product, and two products at once.
SIDES["ours, a core each"] = ("tensorflow", (*VENDOR, "peephole"), PLAIN, functools.partial(in_tensorflow, ours, False))
ENVIRONMENT = {"ours, a core each": {"TF_NUM_INTRAOP_THREADS": "1"}}
SIDES["ours jax"] = ("jax", (*VENDOR, "peephole"), (*PLAIN, "bfloat16"), functools.partial(in_jax, ours))
SIDES["jax.lax.scan"] = ("jax", VENDOR, ("",), jax_scan)
SIDES["torch.nn"] = ("torch", VENDOR, (*USUAL, "bfloat16"), torch_nn)
SIDES["torch loop"] = ("torch", ("peephole",), ("",), torch_loop)


# A side in a process of its own: a case a line comes in, then "go" as often as wanted.


def memory(name):
    with open("/proc/self/status", encoding="utf-8") as status:
        return next(int(line.split()[1]) / 1024 for line in status if line.startswith(name))


def serve(side):
    make = SIDES[side][3]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print goes elsewhere
    step, before = None, 0.0
    for line in sys.stdin:
        given = json.loads(line)
        try:
            if given == "go":
                step()
                begun = time.perf_counter()
                for _ in range(IN_A_ROW):
                    step()
                answer = {"seconds": (time.perf_counter() - begun) / IN_A_ROW}
            elif given == "done":
                answer = {"peak": memory("VmHWM") - before}
            else:
                case = Case(**{**given, "size": tuple(given["size"])})
                step = None
                step = make(case)
                with open("/proc/self/clear_refs", "w", encoding="utf-8") as file:
                    file.write("5")
                before = memory("VmRSS")
                begun = time.perf_counter()
                step()
                first = time.perf_counter() - begun
                begun = time.perf_counter()
                step()
                answer = {"compile": first - (time.perf_counter() - begun)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"[:200]}
        print(json.dumps(answer), file=answers, flush=True)


class Side:
    """A worker process, seen from here."""

    def __init__(self, name):
        self.name = name
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", **ENVIRONMENT.get(name, {})}
        environment["KERAS_BACKEND"] = "jax" if SIDES[name][0] == "jax" else "tensorflow"
        command = [sys.executable, "-m", "tests.benchmarks.loop", "--serve", name]
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )

    def ask(self, what):
        print(json.dumps(what), file=self.process.stdin, flush=True)
        answer = json.loads(self.process.stdout.readline() or '{"error": "the process died"}')
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def measured(case, sides, rounds):
    """`{side: {"seconds": [...], "compile": ..., "peak": ...}}`, the sides taking turns."""
    found = {}
    for side in sides:
        try:
            found[side.name] = {"seconds": [], **side.ask(dataclasses.asdict(case))}
        except RuntimeError as error:
            print(f"  {side.name}: {error}")
    for _ in range(rounds):
        for side in sides:
            if side.name in found:
                time.sleep(PAUSE)
                found[side.name]["seconds"].append(side.ask("go")["seconds"])
    for side in sides:
        if side.name in found:
            found[side.name] |= side.ask("done")
    return found


def quartiles(values):
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{middle:5.2f} ({low:.2f} to {high:.2f})"


def told(case, found):
    """A line for each side; ratios are of our plain graph's time to the side's, round by round."""
    print(case)
    reference = found["ours tf"]["seconds"]
    for name, one in found.items():
        seconds = statistics.median(one["seconds"])
        ratio = quartiles([mine / its for mine, its in zip(reference, one["seconds"], strict=True)])
        print(
            f"  {name:22}{1000 * seconds:9.1f} ms   ours/this {ratio}   compile {one['compile']:5.1f} s"
            f"   peak {one['peak']:6.0f} MB",
            flush=True,
        )


def installed(library):
    try:
        __import__(library)
    except ImportError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="LSTM at two sizes")
    parser.add_argument("--only", nargs="+", default=[], help="cases whose name has all these words")
    parser.add_argument("--sides", nargs="+", default=[], help="sides whose name has one of these words")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.serve:
        return serve(flags.serve)
    libraries = {library for library, *_ in SIDES.values()}
    missing = {library for library in libraries if not installed(library)}
    for library in sorted(missing):
        print(f"{library} is not installed: its sides are left out")
    names = [name for name, (library, *_) in SIDES.items() if library not in missing]
    if flags.sides:
        names = [name for name in names if name == "ours tf" or any(word in name for word in flags.sides)]
    sides = [Side(name) for name in names]
    try:
        for case in cases(flags.quick):
            if all(word in f"{case} " for word in flags.only):
                having = [s for s in sides if case.cell in SIDES[s.name][1] and case.form in SIDES[s.name][2]]
                told(case, measured(case, having, flags.rounds))
    finally:
        for side in sides:
            side.close()
    if not flags.only and not flags.quick:
        buckets.main()


if __name__ == "__main__":
    main()
