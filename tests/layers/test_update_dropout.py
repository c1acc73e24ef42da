"""Recurrent dropout without memory loss: what a timestep writes is dropped, what the carry holds already stays."""

import keras
import numpy as np
import pytest
from cells import DRIVEN, MAKERS, TENSORFLOW, filled, recurrent, results_and_gradients, short_blocks, states
from keras import ops

from layers import Cell, GRUCell, LSTMCell, Recurrent
from layers.cell import updates

SHAPE = (3, 3, 5)
MASK = np.array([[1, 1, 0], [0, 1, 0], [1, 1, 1]], bool)
SEED = 3
every_cell = pytest.mark.parametrize("name", MAKERS)

# Widths of what cells of 4 units hand to `update`; of all others it is one candidate.
WRITTEN = {"lem": (4, 4), "rmlp": (4, 4), "hierarchical": (4, 4), "scrn": (1, 4)}
WRITTEN["jordan, two outputs that fade"] = (2,)
# A controller's candidate, and what is written into its memory.
WRITTEN |= {"stack": (4, 4), "neural_stack": (4, 8), "neural_queue": (4, 8), "neural_deque": (4, 16)}
WRITTEN |= {"ntm": (4, 8), "dnc": (4, 8)}
# Cells that write their memory anew at each timestep: with the candidate all of it is lost.
ANEW = {"elman", "irnn", "indrnn", "echo_state", "jordan", "rmlp", "cfc", "second_order", "sequential_cascaded"}
ANEW |= {"fully_recurrent", "fully_recurrent, two outputs", "stack"}
# The tensor of the carry that is linear in what is written, where it is neither "cell" nor the first.
MEMORY = {"lem": "z", "scrn": "context", "hierarchical": "cell_1"}
# Those that count, divide or decide: no memory.
BESIDE = ("clock", "normaliser", "stabiliser", "boundary_1", "input", "forget", "output")
BESIDE += ("read_weights", "write_weights", "precedence", "strengths")


@pytest.fixture
def x():
    return np.random.default_rng(5).normal(size=SHAPE).astype("float32")


def close(one, other, tolerance=1e-5):
    np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=tolerance, rtol=tolerance)


def times(masks):
    """What makes `update` multiply by the masks, one after the other."""
    masks = iter(masks)

    def through(candidate):
        mask = next(masks)
        return keras.tree.map_structure(lambda part: part * mask, candidate)

    return updates(through)


def dropping(name, rate=0.5, **arguments):
    return recurrent(name, shape=SHAPE, update_dropout=rate, update_dropout_seed=SEED, **arguments)


def drawn(layer, rate=0.5, shape=SHAPE):
    """The masks of the first batch, drawn once more: for each timestep a list of them."""
    generator = keras.random.SeedGenerator(SEED)
    ones = [ops.ones((shape[1], shape[0], width)) for width in layer.update_widths]
    masks = [ops.convert_to_numpy(keras.random.dropout(one, rate, seed=generator)) for one in ones]
    return [[mask[t] for mask in masks] for t in range(shape[1])]


def one_by_one(cell, x, carry, masks=None):
    """Outputs and last carry, a timestep after the other through Keras's cell protocol."""
    outputs = []
    for t in range(x.shape[1]):
        with updates(None) if masks is None else times(masks[t]):
            output, carry = cell(x[:, t], carry)
        outputs.append(output)
    return [ops.stack(outputs, axis=1), *carry]


@every_cell
def test_training_multiplies_what_is_written_by_the_masks_and_inference_does_not(name, x, monkeypatch):
    """Outputs and carry against the cell alone; of each kind of cell gradients too, which are then the backend's."""
    short_blocks(monkeypatch)
    layer = dropping(name, return_sequences=True, return_state=True)
    assert layer.update_widths == WRITTEN.get(name, (4,))
    carry, masks = states(layer, 3), drawn(layer)

    def with_loss(run):
        def found(layer, x, *carry):
            results = run(layer, x, list(carry))
            return sum(ops.sum(ops.sin(one) * (1 + i)) for i, one in enumerate(results)), results

        return found

    training = with_loss(lambda layer, x, carry: layer(x, initial_state=carry, training=True))
    by_cell = with_loss(lambda layer, x, carry: one_by_one(layer.cell, x, carry, masks))
    without = one_by_one(layer.cell, x, carry)
    if name in (DRIVEN if TENSORFLOW else ("lstm", "lru")):  # JAX compiles each run
        found, ours = results_and_gradients(layer, training, x, *carry)
        expected, theirs = results_and_gradients(layer, by_cell, x, *carry)
        for one, other in zip(ours, theirs, strict=True):
            assert np.isfinite(one).all()
            close(one, other, 1e-4)
    else:
        (_, found), (_, expected) = training(layer, x, *carry), by_cell(layer, x, *carry)
    for one, other in zip(found, expected, strict=True):
        close(one, other)
    assert not np.allclose(found[0], without[0])
    if TENSORFLOW or name in ("lstm", "lru"):
        for one, other in zip(layer(x, initial_state=carry), without, strict=True):
            close(one, other)


@every_cell
def test_a_cell_s_memory_is_what_it_keeps_and_a_multiple_of_what_it_writes(name, x):
    cell = filled(MAKERS[name](4), (3, 5))
    given = np.random.default_rng(1).uniform(0.2, 1.2, (3, max(cell.carry_sizes))).astype("float32")
    carry = [given[:, :size] for size in cell.carry_sizes]
    memory = cell.carry.index(MEMORY.get(name, "cell" if "cell" in cell.carry else cell.carry[0]))

    def after(multiple, carry):
        with times([multiple] * len(WRITTEN.get(name, (4,)))):
            return [ops.convert_to_numpy(state) for state in cell(x[:, 0], carry)[1]]

    kept, whole, twice = (after(multiple, carry)[memory] for multiple in (0.0, 1.0, 2.0))
    close(whole, cell(x[:, 0], carry)[1][memory], 0)
    assert not np.allclose(whole, kept)
    assert (kept == 0).all() == (name in ANEW)
    if name not in ("nas", "ltc"):  # one squashes the sum; in the other a step of the solver sees the last one's
        close(twice - whole, whole - kept)

    nothing = after(0.0, [np.zeros_like(state) for state in carry])
    for state, of in zip(nothing, cell.carry, strict=True):
        if of not in BESIDE and (name, of) != ("layernorm_lstm", "hidden"):  # which is read with a bias
            assert (state == 0).all(), of


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def lstm(x, h, c, kernel, recurrent_kernel, bias, kept):
    i, f, g, o = np.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * (kept * np.tanh(g))
    return sigmoid(o) * np.tanh(c), c


def gru(x, h, kernel, recurrent_kernel, bias, kept):
    x_z, x_r, x_h = np.split(x @ kernel + bias, 3, axis=1)
    u_z, u_r, u_h = np.split(recurrent_kernel, 3, axis=1)
    z, r = sigmoid(x_z + h @ u_z), sigmoid(x_r + h @ u_r)
    return (z * h + (1 - z) * (kept * np.tanh(x_h + (r * h) @ u_h)),)


@pytest.mark.parametrize("cell, step", [(LSTMCell(4), lstm), (GRUCell(4, reset_after=False), gru)])
def test_lstm_and_gru_follow_the_paper(cell, step, x):
    layer = Recurrent(cell, return_sequences=True, return_state=True, update_dropout=0.25, update_dropout_seed=SEED)
    filled(layer, SHAPE)
    begin = states(layer, 3)
    outputs, *last = layer(x, initial_state=begin, training=True)
    weights = [np.asarray(weight, "float64") for weight in layer.get_weights()]
    carry = begin
    for t, (mask,) in enumerate(drawn(layer, 0.25)):
        carry = step(x[:, t].astype("float64"), *carry, *weights, kept=np.where(mask > 0, 1 / 0.75, 0))
        close(outputs[:, t], carry[0])
    for one, other in zip(last, carry, strict=True):
        close(one, other)


class SumCell(Cell):
    """Adds up its inputs."""

    has_recurrent_kernel = False

    def step(self, x, carry, recur):
        (h,) = carry
        h = h + self.update(x)
        return h, (h,)


def test_units_are_dropped_for_each_timestep_and_example_and_the_rest_makes_up_for_it():
    layer = Recurrent(SumCell(100, use_bias=False), return_sequences=True, update_dropout=0.25, update_dropout_seed=1)
    x = np.ones((4, 50, 1), "float32")
    layer.build(x.shape)
    layer.set_weights([np.ones((1, 100))])
    sums = ops.convert_to_numpy(layer(x, training=True))
    written = np.diff(sums, axis=1, prepend=0)
    kept = written > 0.5
    close(written, np.where(kept, 1 / 0.75, 0), 1e-4)
    assert kept.mean() == pytest.approx(0.75, abs=0.01)
    for axis in range(3):  # examples, timesteps, units: each share is near 0.75, and no two masks are one
        assert np.abs(kept.mean(axis=tuple({0, 1, 2} - {axis})) - 0.75).max() < 0.12
        one, other = np.take(kept, 0, axis), np.take(kept, 1, axis)
        assert (one == other).mean() == pytest.approx(0.75**2 + 0.25**2, abs=0.12)
    assert sums[:, -1].mean() == pytest.approx(50, rel=0.02)
    assert not np.allclose(sums, layer(x, training=True))  # drawn anew for each batch
    close(layer(x)[:, -1], np.full((4, 100), 50.0))


@pytest.mark.parametrize("name, how", [("lstm", {"window": 2}), ("lru", {}), ("mingru", {})])
def test_however_it_is_run_it_is_the_same(name, how, x, monkeypatch):
    """In windows, or all timesteps at once, under a mask."""
    short_blocks(monkeypatch)
    one = dropping(name, return_sequences=True, **how)
    other = dropping(name, return_sequences=True, parallel=False)
    close(one(x, mask=MASK, training=True), other(x, mask=MASK, training=True))


@pytest.mark.skipif(not TENSORFLOW, reason="JAX knows all shapes")
@pytest.mark.parametrize("name", ["scrn", "minlstm"])
def test_in_a_graph_of_unknown_sizes_it_is_the_same(name, x, monkeypatch):
    import tensorflow as tf

    short_blocks(monkeypatch)
    expected = dropping(name)(x, training=True)
    layer = dropping(name)
    run = tf.function(lambda x: layer(x, training=True), [tf.TensorSpec([None, None, 5])])
    close(run(x), expected)
    by_xla = tf.function(lambda x: layer(x, training=True), jit_compile=True)  # which draws other numbers
    assert np.isfinite(by_xla(x)).all() and not np.allclose(by_xla(x), layer(x))


def test_it_goes_together_with_zoneout_and_a_mask(x):
    """Of two states one never moves."""
    layer = dropping("lem", return_state=True, zoneout=[1.0, 0.0])
    y, z = states(layer, 3)
    last = z
    for t, masks in enumerate(drawn(layer)):
        with times(masks):
            _, (_, new) = layer.cell(x[:, t], [y, last])
        last = ops.where(MASK[:, t, None], new, last)
    _, *found = layer(x, initial_state=[y, z], mask=MASK, training=True)
    close(found[0], y, 0)
    close(found[1], last)


def test_in_mixed_precision_it_drops_the_same(x):
    exact, mixed = dropping("lstm"), dropping("lstm", dtype="mixed_bfloat16")
    close(ops.cast(mixed(x, training=True), "float32"), exact(x, training=True), 0.05)


def test_a_model_learns_with_it_and_is_saved(x, tmp_path):
    model = keras.Sequential([keras.Input(SHAPE[1:]), dropping("gru")])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    losses = model.fit(x, np.zeros((3, 4)), epochs=3, verbose=0).history["loss"]
    assert len(set(losses)) == 3 and np.isfinite(losses).all()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert (loaded.layers[0].update_dropout, loaded.layers[0].update_dropout_seed) == (0.5, SEED)
    close(loaded(x), model(x), 0)
    close(loaded(x, training=True), dropping("gru")(x, training=True), 0)


def test_what_cannot_be_dropped_is_named():
    class Old(Cell):
        def step(self, x, carry, recur):
            h = ops.tanh(x + recur(*carry))
            return h, (h,)

    with pytest.raises(ValueError, match=r"`update_dropout` must be in \[0, 1\). Received: update_dropout=1.0"):
        Recurrent(LSTMCell(3), update_dropout=1.0)
    with pytest.raises(ValueError, match="hands its candidate to `self.update`; Old does not"):
        Recurrent(Old(3), update_dropout=0.5).build((2, 3, 4))
    Recurrent(Old(3)).build((2, 3, 4))
