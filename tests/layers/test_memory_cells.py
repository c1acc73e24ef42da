"""External memories piece by piece: addressing against NumPy, stacks and queues against Python's own."""

import collections
import functools

import keras
import memory_reference as reference
import numpy as np
import pytest
from cells import TENSORFLOW, filled, gradients, short_blocks, states
from keras import ops
from reference import over_time

from layers import (
    AdditiveAttention,
    AttentionCell,
    DNCCell,
    GRUCell,
    LSTMCell,
    NeuralDequeCell,
    NeuralQueueCell,
    NeuralStackCell,
    NTMCell,
    Recurrent,
    StackCell,
)
from layers.cells import dnc, neural_stack, ntm, stack_cell
from layers.memory_cell import content_weighting


@pytest.fixture
def rng():
    return np.random.default_rng(3)


def close(one, other, tolerance=1e-5):
    np.testing.assert_allclose(ops.convert_to_numpy(one), other, atol=tolerance, rtol=tolerance)


def single(*arrays):
    return [np.asarray(x, "float32") for x in arrays]


def weightings(rng, *shape):
    drawn = rng.random(shape)
    return drawn / drawn.sum(axis=-1, keepdims=True)


# The neural Turing machine's addressing.


def test_content_finds_the_rows_that_are_like_the_key(rng):
    M, keys, strengths = rng.normal(size=(2, 7, 4)), rng.normal(size=(2, 3, 4)), rng.uniform(0.1, 9, (2, 3))
    M[0, 2] = 0
    found = content_weighting(*single(keys, strengths, M))
    for example, head in np.ndindex(2, 3):
        close(found[example, head], reference.by_content(M[example], keys[example, head], strengths[example, head]))
    surely = content_weighting(*single(5 * M[:, 4:5], np.full((2, 1), 500), M))  # the length of a key says nothing
    close(surely, np.eye(7)[None, 4:5] * np.ones((2, 1, 1)))


def test_interpolation_mixes_the_content_with_the_last_weighting(rng):
    content, last, gates = weightings(rng, 2, 3, 7), weightings(rng, 2, 3, 7), rng.random((2, 3))
    expected = gates[..., None] * content + (1 - gates[..., None]) * last
    close(ntm.interpolated(*single(content, last, gates)), expected)


@pytest.mark.parametrize("most", [1, 2])
def test_a_shift_moves_a_weighting_round_the_rows(most, rng):
    weights, shifts = weightings(rng, 2, 3, 7), weightings(rng, 2, 3, 2 * most + 1)
    steps = range(-most, most + 1)
    expected = sum(
        shifts[..., [place]] * np.roll(weights, step, axis=-1)  # np.roll by 1: from row j to row j + 1
        for place, step in enumerate(steps)
    )
    close(ntm.shifted(*single(weights, shifts)), expected)


def test_sharpening_raises_to_a_power_and_keeps_the_sum_and_the_gradients_finite(rng):
    weights, sharpness = weightings(rng, 2, 3, 7), rng.uniform(1, 6, (2, 3))
    powers = weights ** sharpness[..., None]
    close(ntm.sharpened(*single(weights, sharpness)), powers / powers.sum(axis=-1, keepdims=True))
    hard = np.eye(7)[None, :1]
    close(ntm.sharpened(*single(hard, [[3.0]])), hard, 0)


def test_all_heads_erase_before_any_adds(rng):
    M, w = rng.normal(size=(2, 7, 4)), weightings(rng, 2, 3, 7)
    erase, add = rng.random((2, 3, 4)), rng.normal(size=(2, 3, 4))
    expected = M.copy()
    for example, i, j in np.ndindex(2, 7, 4):
        for head in range(3):
            expected[example, i, j] *= 1 - w[example, head, i] * erase[example, head, j]
        expected[example, i, j] += sum(w[example, head, i] * add[example, head, j] for head in range(3))
    close(ntm.written(*single(M, w, erase, add)), expected)


def test_all_heads_of_a_turing_machine_begin_at_the_first_row():
    cell = NTMCell(3, rows=5, width=2, read_heads=2)
    *_, read_weights, write_weights = cell.initial_carry(4)
    close(read_weights, np.tile(np.eye(5)[0], (4, 2)), 0)
    close(write_weights, np.tile(np.eye(5)[0], (4, 1)), 0)


# The differentiable neural computer's.


def test_usage_rises_by_writing_and_falls_by_freeing_what_is_read(rng):
    usage, written = rng.random((2, 7)), weightings(rng, 2, 7)
    free, read = rng.random((2, 3)), weightings(rng, 2, 3, 7)
    found = dnc.used(*single(usage, written, free, read))
    for example in range(2):
        close(found[example], reference.dnc_usage(usage[example], written[example], free[example], read[example]))
    row = np.eye(7)[None, 2]
    close(dnc.used(*single(0 * row, row, [[0.0]], [row])), row, 0)
    close(dnc.used(*single(row, 0 * row, [[1.0]], [row])), 0 * row, 0)


def test_allocation_takes_the_row_that_is_used_least(rng):
    usage = rng.random((4, 9))
    usage[1, [2, 5, 6]] = usage[1, 0]  # equal ones are taken in their order
    usage[2, :6], usage[2, 6] = 1, 0
    usage[3] = 1
    found = ops.convert_to_numpy(dnc.allocation(*single(usage)))
    for example in range(4):
        close(found[example], reference.dnc_allocation(usage[example]))
    close(found[2], np.eye(9)[6])
    close(found[3], np.zeros(9))
    close(dnc.allocation(np.zeros((1, 9), "float32")), np.eye(9)[:1])


def test_links_lead_from_each_row_to_the_one_that_was_written_next(rng):
    links, precedence, written = rng.random((2, 7, 7)), weightings(rng, 2, 7), weightings(rng, 2, 7)
    found = dnc.linked(*single(links, precedence, written))
    for example in range(2):
        close(found[example], reference.dnc_links(links[example], precedence[example], written[example]))
    order, L, p = [3, 0, 4, 1], np.zeros((1, 5, 5), "float32"), np.zeros((1, 5), "float32")
    for row in order:
        w = np.eye(5, dtype="float32")[None, row]
        L, p = dnc.linked(L, p, w), w
    expected = np.zeros((5, 5))
    for before, after in zip(order, order[1:], strict=False):
        expected[after, before] = 1
    close(L[0], expected, 0)


# Stacks and queues under hard actions.


def test_a_continuous_stack_of_hard_actions_is_a_stack(rng):
    """Two stacks beside each other; numbers beyond the depth are lost at the bottom."""
    depth, kept = 5, np.zeros((1, 2, 5), "float32")
    lists = [[], []]
    for _ in range(60):
        actions, values = rng.integers(0, 3, 2), rng.random(2).astype("float32")
        kept = stack_cell.moved(kept, np.eye(3, dtype="float32")[None, actions], values[None, :, None] + 1)
        for one, action, value in zip(lists, actions, values, strict=True):
            if action == 0:
                one.append(value)
            elif action == 1 and one:
                one.pop()
            del one[:-depth]
        expected = [one[::-1] + [-1] * (depth - len(one)) for one in lists]
        close(ops.convert_to_numpy(kept)[0] - 1, expected, 1e-6)


def hard_turns(rng, capacity, ends, timesteps=60):
    """Random 0 and 1 for push and pop at each end, that never hold more than `capacity`, and vectors."""
    held, turns = 0, []
    for t in range(timesteps):
        pops = rng.integers(0, 2, ends)
        left = max(0, held - pops.sum())
        pushes = rng.random(ends) < (0.2 if t // 10 % 2 else 0.8)  # it fills and empties
        pushes = pushes & (left + np.cumsum(pushes) <= capacity)
        held = left + pushes.sum()
        turns.append((pushes.astype(int), pops, rng.normal(size=(ends, 3))))
    return turns


KINDS = {"stack": NeuralStackCell, "queue": NeuralQueueCell, "deque": NeuralDequeCell}


@pytest.mark.parametrize("kind", KINDS)
def test_under_hard_actions_a_neural_memory_is_python_s_own(kind, rng):
    """For many more timesteps than the memory has rows, also where it is empty or full."""
    cell = KINDS[kind](2, capacity=4, width=3)
    V, s = np.zeros((1, 4, 3), "float32"), np.zeros((1, 4), "float32")
    real, sizes = collections.deque(), set()
    for pushes, pops, vectors in hard_turns(rng, 4, cell.ends):
        V, s, r = cell.turn(V, s, *single(vectors[None], pushes[None], pops[None]))
        if real and pops[0]:
            real.popleft() if kind == "queue" else real.pop()
        if real and kind == "deque" and pops[1]:
            real.popleft()
        if pushes[0]:
            real.append(vectors[0])
        if kind == "deque" and pushes[1]:
            real.appendleft(vectors[1])
        top, bottom = (real[-1], real[0]) if real else (np.zeros(3), np.zeros(3))
        close(r[0], {"stack": top, "queue": bottom, "deque": np.concatenate([top, bottom])}[kind], 1e-6)
        rows = [row for row, strength in zip(np.asarray(V)[0], np.asarray(s)[0], strict=True) if strength]
        close(np.reshape(rows, (-1, 3)), np.reshape(list(real)[::-1], (-1, 3)), 1e-6)
        sizes.add(len(real))
    assert sizes == {0, 1, 2, 3, 4}


@pytest.mark.parametrize(
    "push, at_bottom, rows, expected",
    [
        (1.0, False, [7, 0, 2], [1.0, 0.75, 0.5]),
        (1.0, True, [0, 2, 7], [0.75, 0.5, 1.0]),
        (0.125, False, [0, 1, 2], [0.75, 0.25, 0.5]),
    ],
)
def test_a_full_memory_gives_up_its_weakest_row_or_the_new_one(push, at_bottom, rows, expected):
    values, strengths = single([[[0], [1], [2]]], [[0.75, 0.25, 0.5]])
    V, s = neural_stack.pushed(values, strengths, *single([[[7]]], [[push]]), at_bottom=at_bottom)
    close(V[0, :, 0], rows, 0)
    close(s[0], expected, 0)


# Forms that `CELLS` does not have by default.

FORMS = {
    "ntm, several heads": (
        functools.partial(NTMCell, rows=6, width=3, read_heads=2, write_heads=2, shift=2),
        reference.ntm(rows=6, width=3, reads=2, writes=2, shift=2),
    ),
    "ntm, feedforward": (
        functools.partial(NTMCell, rows=5, width=3, controller=None),
        reference.ntm(reference.feedforward, 0, rows=5, width=3),
    ),
    "dnc, two heads": (
        functools.partial(DNCCell, rows=6, width=3, read_heads=2),
        reference.dnc(rows=6, width=3, reads=2),
    ),
    "stack, lstm": (
        functools.partial(StackCell, stacks=2, depth=4, tops=3, activation="tanh", controller=LSTMCell),
        reference.stack(reference.lstm, 2, stacks=2, depth=4, tops=3),
    ),
}
SHAPE = (2, 5, 3)


@pytest.mark.parametrize("form", FORMS)
def test_heads_and_controllers_are_the_paper_s_in_both_drivers_and_their_gradients_agree(form, rng, monkeypatch):
    short_blocks(monkeypatch)
    made, step = FORMS[form]
    x = rng.normal(size=SHAPE).astype("float32")
    how = {"return_sequences": True, "return_state": True}
    drivers = [filled(driver(made(4), **how), SHAPE) for driver in (Recurrent, keras.layers.RNN)]
    carry = states(drivers[0], SHAPE[0])
    weights = {w.name: np.asarray(ops.convert_to_numpy(w.value), "float64") for w in drivers[0].cell.weights}
    expected = over_time(step, x.astype("float64"), [state.astype("float64") for state in carry], weights)
    for driver in drivers:
        outputs, *last = driver(x, initial_state=[ops.convert_to_tensor(state) for state in carry])
        for one, other in zip([outputs, *last], [expected[0], *expected[1]], strict=True):
            close(one, other)

    def loss(layer, x, *carry):
        results = layer(x, initial_state=list(carry), training=True)
        return sum(ops.sum(ops.sin(one) * (1 + i)) for i, one in enumerate(results))

    for one, other in zip(*(gradients(driver, loss, x, *carry) for driver in drivers), strict=True):
        assert np.isfinite(one).all() and np.any(one)
        close(one, other, 1e-4)


@pytest.mark.parametrize("made", [NTMCell, DNCCell, StackCell, NeuralStackCell])
def test_from_an_empty_memory_all_gradients_are_finite(made, rng):
    """Where all rows are equal, empty and unused."""
    layer = Recurrent(made(4), return_sequences=True)
    x = rng.normal(size=SHAPE).astype("float32")
    layer(x)
    found = gradients(layer, lambda layer, x: ops.sum(layer(x, training=True) ** 2), x)
    assert all(np.isfinite(one).all() for one in found)
    assert all(np.abs(one).max() < 100 for one in found)


@pytest.mark.parametrize("controller", [None, GRUCell])
def test_a_saved_cell_has_its_controller_again(controller, rng, tmp_path):
    x = rng.normal(size=SHAPE).astype("float32")
    given = keras.Input(SHAPE[1:])
    cell = NTMCell(3, rows=4, width=2, controller=controller, activation="relu")
    model = keras.Model(given, Recurrent(cell)(given))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert type(again.layers[-1].cell.controller) is type(cell.controller)
    assert again.layers[-1].cell.controller.activation is keras.activations.relu
    np.testing.assert_array_equal(again(x), model(x))


def test_a_controller_s_state_is_enough_to_begin_with(rng):
    """A decoder hands over what it has: no numbers that could not be weightings."""
    x, h, c = (rng.normal(size=shape).astype("float32") for shape in (SHAPE, (2, 4), (2, 4)))
    layer = Recurrent(NTMCell(4), return_sequences=True)
    empty = layer.cell.initial_carry(2)[2:]
    close(layer(x, initial_state=[h, c]), layer(x, initial_state=[h, c, *empty]), 0)
    attending = Recurrent(AttentionCell(NTMCell(4), AdditiveAttention(3)), return_sequences=True)
    memory = rng.normal(size=(2, 6, 5)).astype("float32")
    outputs = ops.convert_to_numpy(attending(x, initial_state=[h, c], constants=[memory, np.ones((2, 6), bool)]))
    assert np.isfinite(outputs).all() and attending.cell.least_states == 2


def test_what_is_no_controller_is_named():
    for wrong in (LSTMCell(3), DNCCell, "lstm", keras.layers.LSTMCell):
        with pytest.raises(ValueError, match="NTMCell: `controller` must be a class of cells"):
            NTMCell(3, controller=wrong)
    with pytest.raises(ValueError, match="NTMCell: `rows` must be an integer of 5 or more. Received: rows=4"):
        NTMCell(3, rows=4, shift=2)
    with pytest.raises(ValueError, match="StackCell: `tops` must be a positive integer and at most 3"):
        StackCell(3, depth=3, tops=4)


@pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow graphs")
@pytest.mark.parametrize("made", [DNCCell, NeuralDequeCell])
def test_under_xla_a_memory_is_the_same(made, rng, monkeypatch):
    import tensorflow as tf

    short_blocks(monkeypatch)
    layer = Recurrent(made(4), return_sequences=True)
    x = rng.normal(size=SHAPE).astype("float32")
    expected = layer(x)
    close(tf.function(lambda x: layer(x), jit_compile=True)(x), expected)
