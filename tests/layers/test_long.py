"""Long sequences: windows that keep less, and linear cells in parallel, against the loop that keeps everything."""

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, gradients, recurrent, short_blocks, states
from keras import ops

from layers import CELLS, LinearCell, MinGRUCell, Recurrent

TIMESTEPS = 7  # several short chunks of the parallel run and blocks, and no multiple of them or of a window
SHAPE = (3, TIMESTEPS, 4)
MASKS = {
    "no mask": None,
    "right padding": np.arange(TIMESTEPS) < np.array([7, 4, 1])[:, None],
    "left padding": np.arange(TIMESTEPS) >= np.array([0, 4, 6])[:, None],
    "holes": np.random.default_rng(0).random((3, TIMESTEPS)) > 0.4,
}
LINEAR = [name for name, cell in CELLS.items() if issubclass(cell, LinearCell)]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    short_blocks(monkeypatch)


@pytest.fixture
def x():
    return np.random.default_rng(7).normal(size=SHAPE).astype("float32")


def close(one, other, tolerance=2e-5):
    np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=tolerance, rtol=1e-4)


def everything(layer, x, carry, mask):
    """Outputs, last carry and all gradients."""
    rng = np.random.default_rng(9)
    weigh = [
        rng.normal(size=s).astype("float32") for s in (layer.compute_output_shape(SHAPE)[0], *(c.shape for c in carry))
    ]

    def loss(layer, x, *carry):
        found = layer(x, initial_state=list(carry), mask=mask, training=True)
        return sum(ops.sum(one * other) for one, other in zip(found, weigh, strict=True))

    return [*layer(x, initial_state=carry, mask=mask), *gradients(layer, loss, x, *carry)]


@pytest.mark.parametrize("mask", ["no mask", "holes"])  # a loop knows no masks: they are in the step
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("name", ["lstm", "gru", "peephole", "rmlp"])
def test_windows_change_nothing_but_what_is_kept(name, sequences, mask, x):
    if (mask, sequences) not in (("no mask", True), ("holes", False)) and name != "lstm":
        pytest.skip("one cell is enough for the others")
    how = {"shape": SHAPE, "return_sequences": sequences, "return_state": True, "parallel": False}
    whole = recurrent(name, **how)
    carry = states(whole, 3)
    expected = everything(whole, x, carry, MASKS[mask])
    for window in (4, 3) if name == "lstm" else (4,):
        windowed = recurrent(name, window=window, **how)
        for one, other in zip(everything(windowed, x, carry, MASKS[mask]), expected, strict=True):
            close(one, other)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX compiles in one way")
@pytest.mark.parametrize("name, window", [("lstm", None), ("elman", 4)])
def test_a_loop_that_xla_compiles_alone_has_its_gradient(name, window, x):
    """What is kept for the backward pass leaves the compiled part, and comes into another one."""
    how = {"shape": SHAPE, "return_sequences": True, "return_state": True, "window": window}
    plain, compiled = (recurrent(name, jit_compile=jit_compile, **how) for jit_compile in (False, True))
    found, expected = (everything(layer, x, states(plain, 3), MASKS["holes"]) for layer in (compiled, plain))
    for one, other in zip(found, expected, strict=True):
        close(one, other)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX compiles in one way")
@pytest.mark.parametrize(
    "timesteps, batch, units, compiled",
    [(100, 3, 4, True), (99, 3, 4, False), (100, None, 4, False), (100, 200, 6, False), (100, 2, 100, False)],
    ids=["small and long", "short", "batch unknown", "large batch", "many weights"],
)
def test_training_is_compiled_where_that_pays(timesteps, batch, units, compiled):
    import tensorflow as tf

    rng = np.random.default_rng(3)
    x = tf.constant(rng.normal(size=(batch or 3, timesteps, 4)).astype("float32"))

    def graph(jit_compile):
        layer = recurrent("lstm", units, x.shape, jit_compile=jit_compile)

        @tf.function(input_signature=[tf.TensorSpec([batch, timesteps, 4])], autograph=False)
        def run(x):
            with tf.GradientTape() as tape:
                loss = tf.reduce_sum(layer(x, training=True) ** 2)
            return tape.gradient(loss, [weight.value for weight in layer.trainable_weights])

        return run.get_concrete_function()

    found = graph("auto")
    assert ("_XlaMustCompile" in str(found.graph.as_graph_def())) == compiled
    if compiled:
        for one, other in zip(found(x), graph(False)(x), strict=True):
            close(one, other, 2e-4)


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("name", LINEAR)
def test_all_timesteps_at_once_are_one_after_the_other(name, mask, x):
    """From a carry that is not zero, backwards where the mask is on the left."""
    if mask in ("no mask", "right padding") and name != "lru":
        pytest.skip("one cell, the complex one, is enough for these")
    how = {"shape": SHAPE, "return_sequences": mask != "holes", "return_state": True, "go_backwards": "left" in mask}
    turn, once = (recurrent(name, parallel=parallel, **how) for parallel in (False, True))
    carry = states(turn, 3)
    found, expected = (everything(layer, x, carry, MASKS[mask]) for layer in (once, turn))
    for one, other in zip(found, expected, strict=True):
        close(one, other)


@pytest.mark.skipif(not TENSORFLOW, reason="JAX knows all shapes")
@pytest.mark.parametrize("jit_compile", [False, True])
@pytest.mark.parametrize("how", [{}, {"window": 4, "parallel": False}], ids=["parallel", "window"])
def test_unknown_timesteps_in_a_graph(how, jit_compile, x):
    import tensorflow as tf

    layer = recurrent("mingru", shape=SHAPE, return_sequences=True, **how)

    @tf.function(input_signature=[tf.TensorSpec([None, None, 4])], jit_compile=jit_compile)
    def run(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(x, training=True)
            loss = tf.reduce_sum(y**2)
        return y, tape.gradient(loss, x)

    def alone(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = recurrent("mingru", shape=SHAPE, return_sequences=True, parallel=False)(x, training=True)
            loss = tf.reduce_sum(y**2)
        return y, tape.gradient(loss, x)

    for timesteps in (7, 1) if jit_compile else (7, 4, 1):  # XLA compiles each anew
        for one, other in zip(run(x[:, :timesteps]), alone(tf.constant(x[:, :timesteps])), strict=True):
            close(one, other)
    if not jit_compile:
        assert run(x[:, :0])[0].shape == (3, 0, 4)


@pytest.mark.skipif(not TENSORFLOW, reason="of TensorFlow's graph")
@pytest.mark.parametrize("masked", [False, True])
def test_any_number_of_timesteps_has_the_gradients_that_a_known_number_has(masked, x):
    import tensorflow as tf

    layer = recurrent("lstm", shape=SHAPE, return_sequences=True, return_state=True)
    weights = [weight.value for weight in layer.weights]

    def gradients(x, mask, carry):
        with tf.GradientTape() as tape:
            tape.watch([x, *carry, *weights])
            found = layer(x, mask=mask if masked else None, initial_state=list(carry), training=True)
            loss = sum(tf.reduce_sum(one**2) for one in found)
        return [*found, *tape.gradient(loss, [x, *carry, *weights])]

    carry = tuple(tf.constant(state) for state in states(layer, 3))
    state = tf.TensorSpec([None, carry[0].shape[1]])
    signature = [tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None], "bool"), (state, state)]
    unknown = tf.function(gradients, input_signature=signature, autograph=False)
    for timesteps in (1, 2, 5, 6):
        given = tf.constant(x[:, :timesteps]), tf.random.stateless_uniform((3, timesteps), seed=(1, 1)) > 0.3, carry
        for one, other in zip(unknown(*given), gradients(*given), strict=True):
            close(one, other)


def test_no_timesteps_leave_the_carry(x):
    layer = recurrent("mingru", shape=SHAPE, return_sequences=True, return_state=True)
    carry = states(layer, 3)
    outputs, last = layer(x[:, :0], initial_state=carry)
    assert outputs.shape == (3, 0, 4)
    close(last, carry[0], 0)


@pytest.mark.skipif(not TENSORFLOW, reason="of TensorFlow's graph")
def test_a_window_keeps_no_more_than_the_carry_at_its_beginning():
    """Peak memory of a step in a process of its own: it grows by little more than inputs and outputs do."""
    import subprocess
    import sys

    run = subprocess.run([sys.executable, "-c", PEAK], capture_output=True, text=True, check=True)
    in_windows, whole = map(float, run.stdout.split())
    assert in_windows < 0.3 * whole


PEAK = """
import gc
import sys

gc.disable()
sys.modules.update(sklearn=None, matplotlib=None)  # Keras imports them, for nothing that is used here
import tensorflow as tf
from layers import LSTMCell, Recurrent


def status(name):
    return next(int(line.split()[1]) / 1024 for line in open("/proc/self/status") if line.startswith(name))


for window in (50, None):
    layer = Recurrent(LSTMCell(64), window=window)

    @tf.function(input_signature=[tf.TensorSpec([8, None, 16])])
    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, layer.trainable_weights)

    step(tf.zeros((8, 1000, 16)))
    before = status("VmHWM")
    step(tf.zeros((8, 6000, 16)))
    print(status("VmHWM") - before)
"""


def test_wrong_windows_are_named():
    for wrong in (0, -3, 2.5, True):
        with pytest.raises(ValueError, match="Recurrent: `window` must be a positive integer. Received"):
            recurrent("lstm", window=wrong)


def test_a_linear_cell_s_step_follows_from_its_coefficients():
    with pytest.raises(NotImplementedError, match="LinearCell must define coefficients"):
        LinearCell(3).coefficients(np.ones((1, 3)))


def test_windows_and_parallel_survive_saving(tmp_path, x):
    layer = Recurrent(MinGRUCell(4), window=9, parallel=False)
    model = keras.Sequential([keras.Input((None, 4)), layer])
    model.save(tmp_path / "long.keras")
    again = keras.models.load_model(tmp_path / "long.keras")
    assert (again.layers[-1].window, again.layers[-1].parallel) == (9, False)
    close(again(x), model(x))
