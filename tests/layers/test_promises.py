"""What every cell promises, whatever its equation."""

import functools

import keras
import numpy as np
import pytest
from cells import (
    DRIVEN,
    MAKERS,
    TENSORFLOW,
    filled,
    gradients,
    recurrent,
    results_and_gradients,
    short_blocks,
    states,
)
from keras import ops

from layers import CELLS, Cell, ElmanCell, LSTMCell, Recurrent

SHAPE = (4, 5, 5)  # two blocks of timesteps and a rest
SHORT = (4, 3, 5)  # a block and a rest
every_cell = pytest.mark.parametrize("name", MAKERS)
every_kind = pytest.mark.parametrize("name", DRIVEN)  # for what a driver does, whatever the equation
tensorflow_only = pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow graphs")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    short_blocks(monkeypatch)


@pytest.fixture
def x():
    return np.random.default_rng(5).normal(size=SHAPE).astype("float32")


@functools.cache
def plain(name):
    """A layer for tests that change nothing in it: to build one takes as long as to run it."""
    return recurrent(name, shape=SHAPE, return_sequences=True, return_state=True)


def close(one, other, tolerance=1e-5):
    np.testing.assert_allclose(ops.convert_to_numpy(one), ops.convert_to_numpy(other), atol=tolerance, rtol=tolerance)


# A row each of right padding, left padding, holes, and nothing.
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool)
RIGHT = np.arange(5) < np.array([5, 3, 1, 4])[:, None]


@every_cell
def test_padding_changes_nothing(name, x):
    """Not even NaN and infinity; without the padding the first three rows have three timesteps each."""
    layer = plain(name)
    carry = states(layer, 4)
    poison = np.where(np.arange(5)[:, None] % 2, np.nan, np.inf).astype("float32")
    outputs, *last = layer(np.where(MASK[..., None], x, poison), initial_state=carry, mask=MASK)
    alone, *alone_last = layer(x[:3][MASK[:3]].reshape(3, 3, 5), initial_state=[c[:3] for c in carry])
    close(ops.convert_to_numpy(outputs)[:3][MASK[:3]], ops.reshape(alone, (9, -1)))
    for one, other in zip(last, alone_last, strict=True):
        close(one[:3], other)


@every_cell
def test_a_row_that_is_all_padding_keeps_its_carry_and_gets_finite_gradients(name, x):
    """Whatever stands there: NaN, too."""
    layer = plain(name)
    carry, mask = states(layer, 4), np.arange(4)[:, None] + np.zeros(SHORT[:2]) > 0
    x = np.where(mask[..., None], x[:, :3], np.float32(np.nan))

    def run(layer, x, *carry):
        outputs, *last = layer(x, initial_state=list(carry), mask=mask, training=True)
        return ops.sum(outputs**2) + sum(ops.sum(state * (1 + i)) for i, state in enumerate(last)), last

    last, found = results_and_gradients(layer, run, x, *carry)
    for one, other in zip(last, carry, strict=True):
        close(one[0], other[0], 0)
    assert all(np.isfinite(gradient).all() for gradient in found)
    close(found[0][0], np.zeros(SHORT[1:]), 0)
    for number, gradient in enumerate(found[1 : 1 + len(carry)], start=1):
        close(gradient[0], np.full(gradient[0].shape, number), 0)


@every_kind
def test_backwards_is_forwards_on_the_reversed_sequence(name, x):
    backwards = recurrent(name, shape=SHAPE, return_sequences=True, go_backwards=True)
    close(backwards(x, mask=MASK), plain(name)(x[:, ::-1], mask=MASK[:, ::-1])[0])


@every_kind
def test_aligned_outputs_stand_at_their_timesteps_under_any_mask(name, x):
    backwards = recurrent(name, shape=SHAPE, return_sequences=True, go_backwards=True)
    aligned = recurrent(name, shape=SHAPE, return_sequences=True, go_backwards=True, align_outputs=True)
    close(aligned(x, mask=MASK), backwards(x, mask=MASK)[:, ::-1])
    given = ops.convert_to_tensor(MASK)
    close(ops.cast(aligned.compute_mask(x, given), "int32"), MASK)
    close(ops.cast(backwards.compute_mask(x, given), "int32"), MASK[:, ::-1])


@every_cell
def test_two_halves_with_the_carry_handed_over_are_the_whole(name, x):
    layer = plain(name)
    carry = states(layer, 4)
    whole, *last = layer(x, initial_state=carry)
    first, *between = layer(x[:, :2], initial_state=carry)
    second, *end = layer(x[:, 2:], initial_state=between)
    close(ops.concatenate([first, second], axis=1), whole)
    for one, other in zip(end, last, strict=True):
        close(one, other)


def test_saved_and_loaded_every_cell_is_the_same(x, tmp_path):
    """All of them in one model."""
    given = keras.Input(SHORT[1:])
    model = keras.Model(given, [recurrent(name, shape=SHORT)(given) for name in MAKERS])
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    for name, one, other in zip(MAKERS, again(x[:, :3]), model(x[:, :3]), strict=True):
        np.testing.assert_array_equal(one, other, err_msg=name)
    model.save_weights(tmp_path / "model.weights.h5")
    again.set_weights([weight + 1 for weight in again.get_weights()])
    again.load_weights(tmp_path / "model.weights.h5")
    for one, other in zip(again.weights, model.weights, strict=True):
        np.testing.assert_array_equal(one, other, err_msg=other.path)


@every_cell
def test_every_weight_gets_stock_keras_s_gradient_under_a_mask_and_it_is_not_zero(name, x):
    """The stock loop is differentiated step by step by the backend itself.

    From a carry that is not zero: a module may sleep, and a product may be with the carry.
    """
    ours, stock = (
        filled(driver(MAKERS[name](4), return_sequences=True), SHAPE) for driver in (Recurrent, keras.layers.RNN)
    )
    carry = states(ours, 4)
    # On JAX stock Keras cannot mask a cell whose output is not as wide as its states.
    masked = TENSORFLOW or {ours.cell.output_size} == set(ours.cell.carry_sizes)
    mask = MASK if masked else np.ones_like(MASK)

    def loss(layer, x, *carry):
        given = ops.convert_to_tensor(mask) if masked else None
        outputs = layer(x, initial_state=list(carry), mask=given, training=True)
        return ops.sum(ops.sin(outputs) * mask[..., None])

    found, expected = (gradients(layer, loss, x, *carry) for layer in (ours, stock))
    for one, other in zip(found, expected, strict=True):
        close(one, other, 1e-4)
    for gradient, weight in zip(found[1 + len(carry) :], ours.trainable_variables, strict=True):
        assert np.isfinite(gradient).all(), weight.path
        # Rectified units may be off at all timesteps; of everything else all of it must learn.
        share = 0.5 if ours.cell.activation is keras.activations.relu else 1
        assert (gradient != 0).mean() >= share, weight.path


@every_kind
def test_gradients_that_training_did_not_ask_for_are_the_same(name, x):
    layer = recurrent(name, shape=SHAPE)
    carry = states(layer, 4)
    loss = lambda training: lambda layer, x: ops.sum(layer(x, initial_state=carry, training=training) ** 2)
    for one, other in zip(*(gradients(layer, loss(training), x) for training in (False, True)), strict=True):
        close(one, other)


@every_kind
def test_any_number_of_timesteps_works_in_a_graph_that_does_not_know_it(name):
    x = np.random.default_rng(0).normal(size=(2, 6, 5)).astype("float32")
    layer = plain(name)
    expected, *_ = layer(x)
    begin = [ops.convert_to_numpy(ops.cast(state, "float32")) for state in layer.get_initial_state(2)]
    given = keras.Input((None, 5))
    model = keras.Model(given, layer(given))
    model.compile()
    for timesteps in (0, 1, 2, 3, 6):
        outputs, *last = model.predict_on_batch(x[:, :timesteps])
        assert outputs.shape == (2, timesteps, layer.cell.output_size)
        close(outputs, expected[:, :timesteps])
        for state, first in zip(last, begin, strict=True):
            assert state.shape == first.shape
            assert timesteps or (state == first).all()


@tensorflow_only
@every_kind
def test_under_xla_too_where_sizes_are_unknown(name, x):
    import tensorflow as tf

    layer = recurrent(name, shape=SHAPE, return_sequences=True)
    shapes = [tf.TensorSpec([None, None, 5]), tf.TensorSpec([None, None], "bool")]
    run = tf.function(lambda x, mask: layer(x, mask=mask), shapes, jit_compile=True)
    close(run(x, MASK), layer(x, mask=MASK))


@pytest.mark.parametrize(
    "name, policy, tolerance",
    [*((name, "mixed_bfloat16", 0.1) for name in MAKERS), *((name, "mixed_float16", 0.02) for name in DRIVEN)],
)
def test_mixed_precision_gives_the_same_to_its_precision(name, policy, tolerance, x):
    exact, layer = recurrent(name, shape=SHORT), recurrent(name, shape=SHORT, dtype=policy)
    half = policy == "mixed_bfloat16"  # float16 has more digits, and the same path

    def run(layer, x):
        outputs = layer(x, training=half)
        assert keras.backend.standardize_dtype(outputs.dtype) == layer.compute_dtype
        outputs = ops.cast(outputs, "float32")
        return ops.sum(outputs**2), [outputs]

    both = exact, layer
    if half:
        ([expected], [_, *expected_gradients]), ([outputs], [_, *found]) = (
            results_and_gradients(one, run, x[:, :3]) for one in both
        )
        for one, other in zip(found, expected_gradients, strict=True):
            assert np.abs(one - other).max() <= 4 * tolerance * np.abs(other).max()
    else:
        expected, outputs = (run(one, x[:, :3])[1][0] for one in both)
    scale = max(1, np.abs(expected).max())
    close(outputs / scale, expected / scale, tolerance)


@every_kind
def test_stateful_goes_on_where_it_was_until_it_is_reset(name, x):
    held = Recurrent(MAKERS[name](4), return_sequences=True, stateful=True)
    given = keras.Input(batch_shape=SHAPE)
    model = keras.Model(given, held(given))
    held.cell.set_weights(plain(name).cell.get_weights())
    whole, *_ = plain(name)(np.concatenate([x, x], axis=1))
    close(ops.concatenate([model(x), model(x)], axis=1), whole)
    held.reset_state()
    close(model(x), whole[:, :5])


@tensorflow_only
@every_kind
def test_ragged_sequences_are_the_padded_and_masked_ones(name, x):
    import tensorflow as tf

    lengths = np.array([5, 3, 0, 4])
    layer = recurrent(name, shape=SHAPE)
    ragged = tf.RaggedTensor.from_tensor(x, lengths=lengths)
    expected = layer(x, mask=np.arange(5) < lengths[:, None])
    close(layer(ragged), expected)


@every_kind
def test_masked_outputs_are_the_last_real_one_or_zero(name, x):
    mask = RIGHT
    repeated, *_ = plain(name)(x, mask=mask)
    zero = recurrent(name, shape=SHAPE, return_sequences=True, zero_output_for_mask=True)(x, mask=mask)
    close(zero, np.where(mask[..., None], repeated, 0))
    for row, length in enumerate(mask.sum(axis=1)):
        close(repeated[row, length:], ops.repeat(repeated[row : row + 1, length - 1], 5 - length, axis=0))
    begins_late, *_ = plain(name)(x, mask=~RIGHT)
    for row, length in enumerate(RIGHT.sum(axis=1)):
        close(begins_late[row, :length], np.zeros_like(begins_late[row, :length]), 0)


@pytest.mark.parametrize("name", CELLS)
def test_recurrent_dropout_acts_on_what_goes_through_the_recurrent_kernel(name, x):
    x = x[:, :3]
    layer = recurrent(name, shape=SHORT, cell={"recurrent_dropout": 0.5, "seed": 3})
    one, other = layer(x, training=True), layer(x, training=True)
    assert np.allclose(one, other) == (not layer.cell.has_recurrent_kernel)


@pytest.mark.parametrize(
    "name, rate",
    [*((name, "recurrent_dropout") for name in DRIVEN if name in CELLS), ("lstm", "dropout"), ("mingru", "dropout")],
)
def test_dropout_repeats_with_its_seed_and_is_off_in_inference(name, rate, x):
    def made(seed):
        return recurrent(name, shape=SHORT, cell={rate: 0.5, "seed": seed})

    x = x[:, :3]
    one, same, other, none = made(3), made(3), made(4), recurrent(name, shape=SHORT)
    close(one(x), none(x))
    first = one(x, training=True)
    close(first, same(x, training=True), 0)
    if rate == "recurrent_dropout" and not one.cell.has_recurrent_kernel:
        return close(first, none(x))
    assert not np.allclose(first, other(x, training=True))
    assert not np.allclose(first, one(x, training=True))


@pytest.mark.parametrize("rate", ["dropout", "recurrent_dropout"])
def test_one_mask_is_drawn_for_a_whole_sequence(rate):
    """An Elman network without squashing, whose output tells which features the mask has let through."""
    units = 64
    cell = ElmanCell(units, activation="linear", use_bias=False, **{rate: 0.25}, seed=1)
    layer = Recurrent(cell, return_sequences=True)
    layer.build((2, 6, units))
    one, zero = np.eye(units, dtype="float32"), np.zeros((units, units), "float32")
    layer.set_weights([one, zero] if rate == "dropout" else [zero, one])
    start = np.ones((2, units), "float32")
    outputs = np.asarray(layer(np.ones((2, 6, units), "float32"), initial_state=[start], training=True))
    kept = outputs[:, 0] > 0
    for timestep in range(6):
        powers = 1 if rate == "dropout" else timestep + 1
        close(outputs[:, timestep], np.where(kept, (1 / 0.75) ** powers, 0), 1e-4)
    assert 0.6 < kept.mean() < 0.9
    assert (kept[0] != kept[1]).any()


@every_kind
def test_zoneout_keeps_units_as_they_were_and_mixes_in_inference(name, x):
    """Against stock RNN over a cell that mixes by itself; at 1 nothing moves."""
    carry = states(plain(name), 4)
    still = recurrent(name, shape=SHAPE, return_state=True, zoneout=1.0)
    for training in (False, True):
        _, *last = still(x, initial_state=carry, training=training)
        for one, other in zip(last, carry, strict=True):
            close(one, other, 0)
    layer = recurrent(name, shape=SHAPE, return_state=True, zoneout=0.3)
    state = [ops.convert_to_tensor(one) for one in carry]
    for t in range(SHAPE[1]):
        _, new = layer.cell(x[:, t], state)
        state = [0.3 * before + 0.7 * after for before, after in zip(state, new, strict=True)]
    _, *last = layer(x, initial_state=carry, training=False)
    for one, other in zip(last, state, strict=True):
        close(one, other)


def test_zoneout_draws_for_each_timestep_and_unit_from_its_seed(tmp_path):
    """An Elman network that counts the timesteps at which a unit moved."""
    cell = ElmanCell(200, activation="linear")
    layer = Recurrent(cell, zoneout=0.25, zoneout_seed=1)
    layer.build((2, 50, 1))
    layer.set_weights([np.ones((1, 200)), np.eye(200), np.zeros(200)])
    x = np.ones((2, 50, 1), "float32")
    moved = np.asarray(layer(x, training=True))
    assert moved.mean() == pytest.approx(0.75 * 50, rel=0.02) and moved.std() > 2
    assert not np.allclose(moved[0], moved[1])
    assert not np.allclose(moved, layer(x, training=True))
    again = Recurrent(cell, zoneout=0.25, zoneout_seed=1)
    close(again(x, training=True), moved, 0)
    model = keras.Sequential([keras.Input((50, 1)), layer])
    model.save(tmp_path / "model.keras")
    close(keras.models.load_model(tmp_path / "model.keras")(x), model(x), 0)
    with pytest.raises(ValueError, match="`zoneout` must be in .* Received: zoneout=1.5"):
        Recurrent(cell, zoneout=1.5)
    with pytest.raises(ValueError, match="`jit_compile` must be True, False or 'auto'"):
        Recurrent(cell, jit_compile="no")


@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize(
    "arguments, named",
    [
        ({"units": 0}, "units"),
        ({"units": 2.5}, "units"),
        ({"units": True}, "units"),
        ({"units": 3, "dropout": 1.0}, "dropout"),
        ({"units": 3, "recurrent_dropout": -0.1}, "recurrent_dropout"),
    ],
)
def test_a_wrong_argument_is_named(name, arguments, named):
    with pytest.raises(ValueError, match=f"{CELLS[name].__name__}: `{named}` must be .* Received: {named}="):
        CELLS[name](**arguments)


def test_what_does_not_fit_is_named():
    layer = recurrent("lstm", shape=SHAPE)
    with pytest.raises(ValueError, match=r"`sequence` must be \(batch, timesteps, 5\)"):
        layer(np.zeros((2, 3, 4), "float32"))
    with pytest.raises(ValueError, match="`initial_state` must have 2 tensors"):
        layer(np.zeros((2, 3, 5), "float32"), initial_state=[np.zeros((2, 4), "float32")])
    with pytest.raises(ValueError, match="must have width 4 for LSTMCell's cell"):
        layer(np.zeros((2, 3, 5), "float32"), initial_state=[np.zeros((2, n), "float32") for n in (4, 3)])
    for shape in ((2,), (2, 1), (2, 4), (4, 3), (2, 3, 1)):
        with pytest.raises(ValueError, match=rf"`mask` must be .* Received: mask.shape=\({shape[0]},"):
            layer(np.zeros((2, 3, 5), "float32"), mask=np.ones(shape, "bool"))
    with pytest.raises(ValueError, match="stateful.* needs a fixed batch size"):
        Recurrent(LSTMCell(3), stateful=True)(keras.Input((4, 3)))


def test_a_cell_without_an_equation_says_so():
    with pytest.raises(NotImplementedError, match="must define step"):
        Recurrent(Cell(3))(np.zeros((1, 2, 3), "float32"))


def test_weights_that_step_reads_itself_and_gates_by_name_get_their_gradients():
    """A cell that uses all that the contract offers, against stock RNN, which differentiates as it likes."""

    class Odd(Cell):
        gates = ("one", "two", "three")
        carry = ("hidden", "slow")

        def build(self, input_shape):
            super().build(input_shape)
            self.peephole = self.add_weight(name="peephole", shape=(self.units,), autocast=False)

        def step(self, x, carry, recur):
            h, slow = carry
            one, two, three = self.split(x)
            a = ops.tanh(one + recur(h, "three") + self.peephole * slow)
            b = ops.sigmoid(two + recur(a * h, "one", "three")[..., : self.units])
            slow = slow + b * a
            h = ops.tanh(three + recur(slow, "two"))
            return h * slow, (h, slow)

    x = np.random.default_rng(0).normal(size=(2, 12, 5)).astype("float32")
    ours, stock = (filled(driver(Odd(4), return_sequences=True), x.shape) for driver in (Recurrent, keras.layers.RNN))
    loss = lambda layer, x: ops.sum(ops.sin(layer(x, training=True)))
    close(ours(x), stock(x))
    for one, other in zip(gradients(ours, loss, x), gradients(stock, loss, x), strict=True):
        close(one, other, 1e-4)
