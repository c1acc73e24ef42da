"""Kernels that are made of a cell's step, against the loop."""

import concurrent.futures
import functools
import gc
import pathlib
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
from cells import MAKERS, TENSORFLOW, filled, recurrent, results_and_gradients, states
from keras import ops

from layers import CELLS, Cell, ElmanCell, GRUCell, LSTMCell, Recurrent, stack

if not TENSORFLOW:
    pytest.skip("kernels run in TensorFlow", allow_module_level=True)
pytest.importorskip("numba")
import tensorflow as tf

from layers.fused import elementary, memory, products, run

SHAPE = (3, 4, 2)
MASK = np.array([[1, 1, 1, 0], [0, 1, 0, 1], [1, 1, 1, 1]], bool)
# Steps that no kernel is made of, and the operation that has none.
UNFUSED = {
    **dict.fromkeys(("stack", "neural_stack", "neural_queue", "neural_deque", "ntm", "dnc", "mlstm"), "a matrix"),
    **dict.fromkeys(("layernorm_lstm", "layernorm_gru"), "a mean over the units"),
    **dict.fromkeys(("second_order", "sequential_cascaded"), "a product of each pair of units"),
}
FUSED = [name for name in MAKERS if name not in UNFUSED]


@pytest.fixture(autouse=True)
def kernels_run(monkeypatch):
    monkeypatch.delenv("NUMBA_DISABLE_JIT", raising=False)


@pytest.fixture
def interpreted(monkeypatch, tmp_path):
    """Kernels as Python runs them: what they compute is tested for all cells, and compiling them for some."""
    begin = run.HEAD.index("how = ")
    end = run.HEAD.index("\n", begin)
    monkeypatch.setattr(run, "HEAD", f"{run.HEAD[:begin]}how = lambda function: function{run.HEAD[end:]}")
    monkeypatch.setattr(run, "compiled", functools.cache(run.compiled.__wrapped__))
    monkeypatch.setattr(run, "folder", lambda: tmp_path)


def everything(layer, shape=SHAPE, mask=None, graph=False):
    """Outputs, last carry, and all gradients."""
    rng = np.random.default_rng(1)
    x, carry = rng.normal(size=shape).astype(layer.compute_dtype), states(layer, shape[0])

    def run(layer, x, *carry):
        keras.utils.set_random_seed(1)
        results = layer(x, initial_state=list(carry), mask=mask, training=True)
        return sum(ops.sum(ops.sin((1 + place) * part)) for place, part in enumerate(results)), results

    found = results_and_gradients(layer, run, x, *carry, graph=graph)
    return [*found[0], *found[1]]


def pair(name, units=3, shape=SHAPE, dtype="float64", **arguments):
    """A layer that runs kernels, and one that runs the loop, with the same weights."""
    how = {"dtype": dtype, "return_sequences": True, "return_state": True, "parallel": False, **arguments}
    made = [recurrent(name, units, shape, fused=fused, jit_compile=False, **how) for fused in (True, False)]
    assert made[0].fuses
    return made


def in_inference(fused, loop, mask):
    """The results of both layers, in whose kernels nothing is kept, and from a graph that knows no sizes."""
    x = np.random.default_rng(7).normal(size=SHAPE)
    infer = tf.function(fused, input_signature=[tf.TensorSpec([None, None, SHAPE[2]], tf.float64)])
    assert "PyFuncStateless" in {op.type for op in infer.get_concrete_function().graph.get_operations()}
    found, expected = infer(x), loop(x)
    agree(fused(x, mask=mask), loop(x, mask=mask))
    return found, expected


def agree(one, other, tolerance=1e-10):
    for mine, its in zip(one, other, strict=True):
        np.testing.assert_allclose(mine, its, atol=tolerance, rtol=tolerance)


@pytest.mark.parametrize("name", CELLS)
def test_every_cell_is_fused_or_told_why_not(name):
    layer = Recurrent(CELLS[name](4))
    layer.build((None, None, 3))
    assert layer.fuses == (name not in UNFUSED)


@pytest.mark.parametrize("name", FUSED)
@pytest.mark.parametrize("mask", [None, MASK], ids=["whole", "holes"])
def test_kernels_compute_what_the_loop_computes(name, mask, interpreted):
    fused, loop = pair(name)
    agree(everything(fused, mask=mask), everything(loop, mask=mask))
    agree(*in_inference(fused, loop, mask))


def of_weights(layer, x, watched, mask=None):
    with tf.GradientTape() as tape:
        if watched:
            tape.watch(x)
        outputs, *carry = layer(x, mask=mask, training=True)
        loss = tf.reduce_sum(tf.sin(outputs)) + sum(tf.reduce_sum(tf.cos(state)) for state in carry)
    return tape.gradient(loss, layer.trainable_variables)


@pytest.mark.parametrize("name", FUSED)
def test_weights_have_the_same_gradients_where_the_input_is_data(name, interpreted):
    fused, _ = pair(name)
    x = tf.constant(np.random.default_rng(4).normal(size=SHAPE))
    for one, other in zip(of_weights(fused, x, False, MASK), of_weights(fused, x, True, MASK), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_input_has_a_gradient_wherever_one_is_asked_for(interpreted):
    """Also by a tape that does not see the layer's call, around a function that takes gradients itself or does not."""
    fused, loop = pair("lstm")
    x = tf.constant(np.random.default_rng(4).normal(size=SHAPE))

    @tf.function
    def plain(layer, x):
        return tf.reduce_sum(tf.sin(layer(x, training=True)[0]))

    @tf.function
    def taught(layer, x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)[0]))
        return loss, tape.gradient(loss, layer.trainable_variables)

    def inner(f, layer):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.nest.flatten(f(layer, x))[0]
        return tape.gradient(loss, [x, *layer.trainable_variables])

    for f in (plain, taught):
        agree(inner(f, fused), inner(f, loop))
    agree(taught(fused, x)[1], taught(loop, x)[1])
    kernels = [
        op for op in taught.get_concrete_function(fused, x).graph.get_operations() if op.type.startswith("PyFunc")
    ]
    assert {len(op.outputs) for op in kernels} == {7, 5}  # the gradient of the input would be the sixth


@pytest.mark.parametrize(
    "arguments",
    [
        {"zoneout": 0.3, "zoneout_seed": 1},
        {"update_dropout": 0.3, "update_dropout_seed": 1},
        {"cell": {"recurrent_dropout": 0.3, "dropout": 0.3, "seed": 1}},
        {"return_sequences": False},
        {"go_backwards": True, "align_outputs": True},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_forms_of_the_loop(arguments, interpreted):
    fused, loop = pair("lstm", **arguments)
    agree(everything(fused, mask=MASK), everything(loop, mask=MASK))
    agree(*in_inference(fused, loop, MASK))


@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_compiled_in_a_graph(name):
    """Float32, two shares of unequal size; the number of timesteps and of rows is not known to the graph."""
    fused, loop = pair(name, 20, (5, 13, 6), "float32")
    found = everything(fused, (5, 13, 6), graph=True)
    agree(found, everything(loop, (5, 13, 6)), 1e-5)
    train = tf.function(lambda x: fused(x, training=True)[0], input_signature=[tf.TensorSpec([None, None, 6])])
    assert "PyFuncStateless" in {op.type for op in train.get_concrete_function().graph.get_operations()}
    x = np.random.default_rng(2).normal(size=(4, 9, 6)).astype("float32")
    agree([train(x)], [loop(x, training=True)[0]], 1e-5)


def test_the_same_bits_whatever_the_number_of_threads(monkeypatch):
    fused, _ = pair("gru", 20, (5, 13, 6), "float32")
    several = everything(fused, (5, 13, 6))
    monkeypatch.setattr(run, "threads", functools.cache(lambda: concurrent.futures.ThreadPoolExecutor(1)))
    for one, other in zip(everything(fused, (5, 13, 6)), several, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("shape", [(0, 4, 2), (3, 0, 2)], ids=["rows", "timesteps"])
@pytest.mark.parametrize("training", [True, False])
def test_none_of(shape, training, interpreted):
    fused, loop = pair("lstm")
    carry = states(loop, shape[0])
    for layer in (tf.function(layer) for layer in (fused, loop)):
        outputs, *last = layer(np.zeros(shape), initial_state=carry, training=training)
        assert outputs.shape == (*shape[:2], 3)
        agree(last, carry)


def test_second_derivatives(interpreted):
    def penalty(layer, x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(tf.sin(layer(x, training=True)[0]))
        return tf.reduce_sum(tape.gradient(loss, x) ** 2), []

    x = np.random.default_rng(3).normal(size=SHAPE)
    agree(*(results_and_gradients(layer, penalty, x)[1] for layer in pair("lstm")))


def test_both_directions_at_once():
    """They run beside each other in a graph, and share the threads."""
    made = filled(stack(LSTMCell, 20, bidirectional=True), (5, 13, 6))

    @tf.function(autograph=False)
    def train(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(tf.sin(made(x, training=True)))
        return tape.gradient(loss, [weight.value for weight in made.trainable_weights])

    x = tf.constant(np.random.default_rng(4).normal(size=(5, 13, 6)), "float32")
    first = [found.numpy() for found in train(x)]
    for _ in range(5):
        for one, other in zip(train(x), first, strict=True):
            np.testing.assert_array_equal(one, other)


def test_no_kernel_under_xla_nor_in_an_export(tmp_path, monkeypatch):
    monkeypatch.setattr(run.Kernels, "call", None)  # an error where one is called
    layer = recurrent("lstm", return_sequences=True, fused=True)
    x = np.random.default_rng(5).normal(size=(3, 7, 5)).astype("float32")
    train = lambda x: layer(x, training=True)
    expected = recurrent("lstm", return_sequences=True)(x)
    agree([tf.function(train, jit_compile=True)(x)], [expected], 1e-5)
    agree([tf.function(layer, jit_compile=True)(x)], [expected], 1e-5)
    compiled = recurrent("lstm", return_sequences=True, fused=True, jit_compile=True)
    agree([compiled(x, training=True)], [expected], 1e-5)
    agree([compiled(x)], [expected], 1e-5)
    module = tf.Module()
    module.layer, module.train = layer, tf.function(train, input_signature=[tf.TensorSpec(x.shape)])
    tf.saved_model.save(module, tmp_path, options=tf.saved_model.SaveOptions(experimental_custom_gradients=False))
    saved = (tmp_path / "saved_model.pb").read_bytes()
    assert b"TensorList" in saved and b"PyFunc" not in saved


def test_short_sequences_are_left_to_the_loop(monkeypatch):
    few, many = np.ones((1, 14, 1), "float32"), np.ones((1, 15, 1), "float32")
    small = Recurrent(GRUCell(3))
    small.build((None, None, 1))
    assert small.fuses
    monkeypatch.setattr(run.Kernels, "call", None)  # an error where one is called
    small(few, training=True)
    with pytest.raises(TypeError):
        small(many, training=True)
    with pytest.raises(ValueError, match="`fused` must be True, False or 'auto'"):
        Recurrent(GRUCell(4), fused="always")


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_fewer_bits_run_the_loop(policy, monkeypatch):
    monkeypatch.setattr(run.Kernels, "call", None)
    layer = Recurrent(LSTMCell(4, dtype=policy), dtype=policy, fused=True)
    assert layer(np.ones((2, 3, 2), "float32"), training=True).dtype == layer.compute_dtype and not layer.fuses


def test_without_numba(monkeypatch):
    fused, loop = pair("lstm")
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    monkeypatch.setattr(run.Kernels, "compute", None)
    agree(everything(fused), everything(loop))


def test_memory_is_used_again_when_no_view_of_it_is_left():
    some = memory.Memory()
    first = some.empty((300, 200), "float32")
    address, view = first.ctypes.data, first[10:]
    del first
    other = some.empty((300, 200), "float32")
    assert other.ctypes.data != address and not other.ctypes.data % memory.ALIGNED
    del view
    assert some.empty((300, 200), "float32").ctypes.data == address
    some.empty((30_000, 20), "float32")  # sizes have changed
    assert len(some.free) == 1


def test_results_that_are_kept_stay_as_they_are():
    shape = 16, 60, 20
    fused, _ = pair("elman", 32, shape, "float32")
    several = np.random.default_rng(8).normal(size=(5, *shape)).astype("float32")
    train = tf.function(lambda x: fused(x, training=True))
    copies = [[np.array(part) for part in train(x)] for x in several]
    for kept, copied in zip([train(x) for x in several], copies, strict=True):
        for one, other in zip(kept, copied, strict=True):
            np.testing.assert_array_equal(one, other)


def test_layers_do_not_leak(interpreted, monkeypatch):
    """Layers of one size share a module, and nothing holds the kernels of one that is gone."""
    seen, usual = [], run.Kernels.run

    def noted(self, *given):
        seen.append(weakref.ref(self))
        return usual(self, *given)

    monkeypatch.setattr(run.Kernels, "run", noted)
    for _ in range(50):
        Recurrent(ElmanCell(3), fused=True)(np.ones((2, 3, 2), "float32"), training=True)
    gc.collect()
    assert len(seen) == 50 and sum(kernels() is not None for kernels in seen) < 5
    assert run.compiled.cache_info().currsize == 1


IN_A_PROCESS = """
import os
import numpy as np
from layers import ElmanCell, Recurrent
from layers.fused import run
Recurrent(ElmanCell(3), fused=True)(np.ones((4, 3, 2), "float32"), training=True)
child = os.fork()
if child == 0:
    os._exit(run.threads().submit(int).result())
assert os.waitpid(child, 0)[1] == 0
assert list(run.folder().glob("unroll_step_*.py"))
print(run.folder())
"""


def test_a_forked_process_and_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    """A child has threads of its own, and sources then go to a temporary folder."""
    (tmp_path / "unroll").write_text("a file where the folder should be")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    command = [sys.executable, "-c", IN_A_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    folder = pathlib.Path(done.stdout.split()[-1])
    assert not folder.is_relative_to(tmp_path) and not folder.exists()


@pytest.mark.parametrize("shape", [(1, 5, 3), (2, 1, 16), (7, 63, 255), (8, 64, 256), (19, 20, 33), (20, 30, 10)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products(shape, dtype):
    """With a matrix and with its transpose, where tiles fit and where they do not; nothing beside is written."""
    rng, (rows, width, columns) = np.random.default_rng(6), shape
    a, b = rng.normal(size=(rows, width)), rng.normal(size=(width, columns))
    found, back = (np.full((rows + 2, count), 7, dtype) for count in (columns, width))
    products.product(a.astype(dtype), products.packed(b.astype(dtype)), found[1:-1])
    products.product((a @ b).astype(dtype), products.packed(b.astype(dtype).T), back[1:-1])
    assert all((one[[0, -1]] == 7).all() for one in (found, back))
    tolerance = 1e-6 if dtype == "float32" else 1e-14
    np.testing.assert_allclose(found[1:-1], a @ b, atol=tolerance * width)
    np.testing.assert_allclose(back[1:-1], a @ b @ b.T, atol=tolerance * width * columns)


@pytest.mark.parametrize("shape", [(1, 5, 3), (3, 2, 16), (7, 63, 255), (64, 8, 256), (20, 19, 33)])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_are_added(shape, dtype):
    """To what is there; the panels may be those of more rows."""
    rng, (rows, width, columns) = np.random.default_rng(8), shape
    a, b, c = (rng.normal(size=size).astype(dtype) for size in ((rows, width), (rows, columns), (width + 2, columns)))
    panels, found = products.panels(rows + 3, columns, b), c.copy()
    products.pack(b, panels)
    products.add_product(a, panels, found[1:-1])
    np.testing.assert_array_equal(found[[0, -1]], c[[0, -1]])
    exact = (c[1:-1] + a.T.astype("float64") @ b) if dtype == "float32" else c[1:-1] + a.T @ b
    np.testing.assert_allclose(found[1:-1], exact, atol=(1e-6 if dtype == "float32" else 1e-14) * max(rows, 8))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_products_do_not_depend_on_the_rows_beside(dtype):
    rng = np.random.default_rng(7)
    a, b = rng.normal(size=(7, 40)).astype(dtype), products.packed(rng.normal(size=(40, 70)).astype(dtype))
    whole, alone = np.empty((7, 70), dtype), np.empty((1, 70), dtype)
    products.product(a, b, whole)
    for row in range(7):
        products.product(a[row : row + 1], b, alone)
        np.testing.assert_array_equal(alone[0], whole[row])


def test_elementary_functions():
    """Against float64, over the whole range of float32."""
    exponents = np.linspace(-30, 7, 20_000)
    x = np.concatenate([-(2.0**exponents), [0], 2.0**exponents]).astype("float32")
    for name in ("tanh", "exp", "sigmoid"):
        found = np.array([elementary.__dict__[f"{name}_32"](one) for one in x[::20]], "float64")
        exact = {"tanh": np.tanh, "exp": np.exp, "sigmoid": lambda x: 1 / (1 + np.exp(-x))}[name](x[::20].astype(float))
        inside = np.abs(x[::20]) < 87
        error = np.abs(found - exact)[inside] / (exact[inside] if name == "exp" else 1)
        assert error.max() < {"tanh": 3e-7, "exp": 2e-7, "sigmoid": 2e-7}[name]
    for name in ("tanh", "exp", "sigmoid"):
        assert np.isnan(elementary.__dict__[f"{name}_32"](np.float32(np.nan)))
    assert elementary.exp_32(np.float32(-1e30)) == 0 and elementary.exp_32(np.float32(1e30)) == np.inf


def test_the_source_for_an_lstm(monkeypatch):
    """People read it: it is the one in `fixtures/lstm_kernel.txt`."""
    golden = pathlib.Path(__file__).parents[1] / "fixtures" / "lstm_kernel.txt"
    found, usual = [], run.Kernels.__init__

    def noted(self, *given):
        usual(self, *given)
        found.append(self.source)

    monkeypatch.setattr(run.Kernels, "__init__", noted)
    Recurrent(LSTMCell(3), fused=True, return_sequences=True)(np.ones((2, 4, 2), "float32"), training=True)
    assert found[0] == golden.read_text(encoding="utf-8")


class Parts(Cell):
    """A cell of one's own that reads parts of a row that overlap, and infinity."""

    gates = ("a", "b")

    def step(self, x, carry, recur):
        (h,) = carry
        a, b = self.split(x)
        t = ops.tanh(a + b * h)
        p = recur(ops.concatenate([t[:, :3], b[:, 3:]], -1), "a")
        h = ops.sin(t * p + ops.sigmoid(ops.where(b > 0, b, -np.inf)) + recur(ops.concatenate([t[:, 2:]] * 2, -1), "b"))
        return h, (h,)


class Infinite(Cell):
    gates = ("a",)

    def step(self, x, carry, recur):
        z = x + recur(carry[0], "a")
        h = ops.sigmoid(ops.where(z > 0, z, -np.inf)) + ops.relu(z)
        return h, (h,)


@pytest.mark.parametrize("cell", [Parts, Infinite])
def test_cells_of_one_s_own(cell):
    x, found = np.random.default_rng(2).normal(size=(3, 5, 2)), []
    for fused in (True, False):
        layer = filled(Recurrent(cell(4, dtype="float64"), fused=fused, dtype="float64"), x.shape)
        run = lambda layer, x: ((y := layer(x, training=True)), ops.sum(ops.sin(y)))[::-1]
        outputs, gradients = results_and_gradients(layer, run, x)
        found.append([*outputs, *gradients])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-10)


def test_a_mask_and_a_state_of_one_row_are_those_of_all_rows():
    x, mask, state = np.random.default_rng(3).normal(size=(3, 5, 2)), MASK[:1, [0, 1, 2, 2, 3]], np.full((1, 4), 0.3)
    for fused in (True, False):
        layer = filled(Recurrent(GRUCell(4, dtype="float64"), fused=fused, dtype="float64"), x.shape)
        found = layer(x, initial_state=[state], mask=mask, training=True)
        given = {"initial_state": [np.repeat(state, 3, 0)], "mask": np.repeat(mask, 3, 0)}
        np.testing.assert_array_equal(found, layer(x, training=True, **given))
        with pytest.raises(ValueError, match="initial_state"):
            layer(x, initial_state=[np.zeros((2, 4))], training=True)


def test_nan_stays_nan():
    """A loss of NaN ends a training; kernels must not turn it into 0."""
    layer = Recurrent(ElmanCell(3, activation="relu"), fused=True)
    assert np.isnan(layer(np.full((2, 3, 2), np.nan, "float32"), training=True)).all()


def test_no_rows():
    layer = filled(Recurrent(ElmanCell(3), fused=True), SHAPE)
    with tf.GradientTape() as tape:
        found = ops.sum(layer(np.zeros((0, 4, 2), "float32"), training=True))
    assert all((gradient.numpy() == 0).all() for gradient in tape.gradient(found, layer.trainable_variables))
