"""Attention against NumPy in 64 bits, and the cells that decode with it against runs written out by hand."""

import keras
import numpy as np
import pytest
from cells import DRIVEN, TENSORFLOW, filled, gradients, short_blocks
from keras import ops

from layers import (
    CELLS,
    AdditiveAttention,
    AttentionCell,
    GRUCell,
    LocationAttention,
    LSTMCell,
    MonotonicAttention,
    MultiplicativeAttention,
    Recurrent,
    SLSTMCell,
)

ATTENTIONS = {
    "additive": lambda: AdditiveAttention(6),
    "additive, normalised": lambda: AdditiveAttention(6, normalized=True),
    "dot": lambda: MultiplicativeAttention("dot"),
    "scaled": lambda: MultiplicativeAttention("scaled"),
    "general": lambda: MultiplicativeAttention("general"),
    "general, local": lambda: MultiplicativeAttention("general", window=2),
    "location": lambda: LocationAttention(6, filters=3, width=3),
    "monotonic": lambda: MonotonicAttention(6),
}
AT_ONCE = [name for name, make in ATTENTIONS.items() if not make().feeds_back]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softmax(e):
    e = np.exp(e - e.max())
    return e / e.sum()


def weights_by_hand(name, w, s, memory, before):
    """Weights of one query `s` over the real timesteps `memory`, written from the papers; `w`: name -> array."""
    length = len(memory)
    if name == "dot":
        return softmax(np.array([s @ h for h in memory]))
    if name == "scaled":
        return softmax(np.array([s @ h / np.sqrt(len(h)) for h in memory]))
    if name.startswith("general"):
        e = np.array([s @ (h @ w["memory_kernel"]) for h in memory])
        if name == "general":
            return softmax(e)
        p = (length - 1) * sigmoid(np.tanh(s @ w["position_kernel"]) @ w["position_scale"][:, 0])
        inside = [j for j in range(length) if p - 2 <= j <= p + 2]
        found = np.zeros(length)
        found[inside] = softmax(e[inside]) * [np.exp(-((j - p) ** 2) / (2 * (2 / 2) ** 2)) for j in inside]
        return found
    v, e = w["scale"], []
    if name in ("additive, normalised", "monotonic"):
        v = w["gain"] * v / np.linalg.norm(v)
    for j, h in enumerate(memory):
        inside = s @ w["query_kernel"] + h @ w["memory_kernel"] + w.get("bias", 0)
        if name == "location":
            padded = np.concatenate([[0], before, [0]])
            f = sum(padded[j + k] * w["filter_kernel"][k, 0] for k in range(3))
            inside = inside + f @ w["location_kernel"] + w["location_bias"]
        e.append(v @ np.tanh(inside))
    if name != "monotonic":
        return softmax(np.array(e))
    found, arrives = np.zeros(length), 0.0
    for j in range(length):
        p = sigmoid(e[j] + w["offset"])
        arrives += before[j]
        found[j] = p * arrives
        arrives *= 1 - p
    return found


def weights_of(layer):
    return {weight.name: np.asarray(weight, "float64") for weight in layer.weights}


def data(units=4, features=4, seed=0):
    rng = np.random.default_rng(seed)
    queries, memory = rng.normal(size=(3, 5, units)), rng.normal(size=(3, 7, features))
    return queries.astype("float32"), memory.astype("float32"), np.arange(7) < np.array([[7], [4], [1]])


@pytest.mark.parametrize("name", AT_ONCE)
def test_attention_follows_its_paper(name):
    queries, memory, mask = data()
    layer = ATTENTIONS[name]()
    layer.build(queries.shape, memory.shape)
    layer.built = True
    filled(layer, None)

    context, weights = layer(queries, memory, mask=mask, return_attention_scores=True)

    w = weights_of(layer)
    for row, real in enumerate(mask.sum(axis=1)):
        for i, s in enumerate(queries[row].astype("float64")):
            expected = weights_by_hand(name, w, s, memory[row, :real].astype("float64"), None)
            np.testing.assert_allclose(weights[row, i, :real], expected, atol=1e-6)
            np.testing.assert_allclose(weights[row, i, real:], 0, atol=0)
            np.testing.assert_allclose(context[row, i], expected @ memory[row, :real], atol=1e-5)


def decoder(name, cell=None, input_feeding=False, **arguments):
    cell = cell or GRUCell(4, reset_after=False)
    arguments = {"return_sequences": True, **arguments}
    return Recurrent(AttentionCell(cell, ATTENTIONS[name](), input_feeding=input_feeding), **arguments)


def built(layer, features=3, memory=4):
    layer.build((None, None, features), None, [(None, None, memory), (None, None)])
    layer.built = True
    return filled(layer, None)


def gru_by_hand(w, x, h, more):
    """A GRU whose reset gate comes before the product; `more` is added to what it makes of its input."""
    kernel, recurrent, bias = w["kernel"], w["recurrent_kernel"], w["bias"]
    x_z, x_r, x_n = np.split(x @ kernel + bias + more, 3)
    u_z, u_r, u_n = np.split(recurrent, 3, axis=1)
    z, r = sigmoid(x_z + h @ u_z), sigmoid(x_r + h @ u_r)
    return z * h + (1 - z) * np.tanh(x_n + (r * h) @ u_n)


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("input_feeding", [False, True])
def test_decoding_follows_its_paper_over_several_timesteps(name, input_feeding):
    y, memory, mask = np.random.default_rng(1).normal(size=(3, 5, 3)).astype("float32"), *data()[1:]
    begin = np.random.default_rng(2).normal(size=(3, 4)).astype("float32")
    layer = built(decoder(name, input_feeding=input_feeding))

    outputs = layer(y, initial_state=[begin], constants=[memory, mask])

    cell = layer.cell
    gru, asking, w = weights_of(cell.cell), weights_of(cell.attention), weights_of(cell)
    for row, real in enumerate(mask.sum(axis=1)):
        real_memory = memory[row, :real].astype("float64")
        s, fed = begin[row].astype("float64"), np.zeros(4)
        alpha = np.eye(real)[0] if name == "monotonic" else np.full(real, 1 / real)
        for t, x in enumerate(y[row].astype("float64")):
            if input_feeding:
                s = gru_by_hand(gru, x, s, fed @ w["feed_kernel"])
                alpha = weights_by_hand(name, asking, s, real_memory, alpha)
                fed = np.tanh(np.concatenate([alpha @ real_memory, s]) @ w["attentional_kernel"])
                expected = fed
            else:
                alpha = weights_by_hand(name, asking, s, real_memory, alpha)
                context = alpha @ real_memory
                s = gru_by_hand(gru, x, s, context @ w["feed_kernel"])
                expected = np.concatenate([s, context])
            np.testing.assert_allclose(outputs[row, t], expected, atol=2e-5)


def by_cell(layer, y, memory, mask):
    """What `layer` returns, by calls of its cell in a Python loop: differentiated by the backend, not by the loop."""
    cell = layer.cell
    constants = cell.constants_of(memory, mask)
    states, outputs = list(cell.initial_carry(y.shape[0], *constants)), []
    for t in range(y.shape[1]):
        output, states = cell(y[:, t], states, constants=constants)
        outputs.append(output)
    return ops.stack(outputs, axis=1)


@pytest.mark.parametrize("name", ATTENTIONS)
@pytest.mark.parametrize("input_feeding", [False, True])
def test_gradients_of_inputs_memory_and_weights_equal_automatic_differentiation(name, input_feeding, monkeypatch):
    short_blocks(monkeypatch)
    layer = built(decoder(name, input_feeding=input_feeding))
    y, memory, mask = np.random.default_rng(1).normal(size=(3, 3, 3)).astype("float32"), *data()[1:]
    loss = lambda run: lambda layer, y, memory: ops.sum(ops.sin(run(layer, y, memory)))
    fast = lambda layer, y, memory: layer(y, constants=[memory, mask], training=True)
    slow = lambda layer, y, memory: by_cell(layer, y, memory, mask)

    ours, theirs = (gradients(layer, loss(run), y, memory) for run in (fast, slow))

    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    assert all(np.abs(one).max() > 0 for one in ours)
    assert np.abs(ours[1][~mask]).max() == 0  # padding of the memory is not read


@pytest.mark.parametrize("name", [name for name in DRIVEN if name in CELLS])
def test_every_kind_of_cell_decodes_with_attention(name):
    layer = decoder("additive", CELLS[name](4))
    y, memory, mask = np.random.default_rng(1).normal(size=(3, 3, 3)).astype("float32"), *data()[1:]

    outputs = layer(y, constants=[memory, mask])

    assert outputs.shape == (3, 3, layer.cell.cell.output_size + 4)
    np.testing.assert_allclose(outputs, by_cell(layer, y, memory, mask), atol=1e-5)


@pytest.mark.parametrize("cell", [GRUCell, LSTMCell, SLSTMCell])
@pytest.mark.parametrize("name", ["additive", "location"])
def test_beams_side_by_side_read_the_memory_of_their_example(name, cell):
    rng = np.random.default_rng(3)
    _, memory, mask = data()
    layer = built(decoder(name, cell(4)))
    one = layer.cell
    y = rng.normal(size=(6, 3)).astype("float32")  # two for each example
    repeated = [np.repeat(x, 2, axis=0) for x in (memory, mask)]
    few, many = one.constants_of(memory, mask), one.constants_of(*repeated)
    carry = [ops.convert_to_tensor(x) for x in one.initial_carry(6, *many)]

    for _ in range(3):
        output, after = one(y, carry, constants=few)
        expected, _ = one(y, carry, constants=many)
        np.testing.assert_allclose(output, expected, atol=1e-6)
        carry = after


@pytest.mark.parametrize("name", ["additive", "monotonic"])
def test_padding_of_the_decoded_sequence_moves_nothing(name):
    layer = built(decoder(name, return_state=True))
    _, memory, mask = data()
    y = np.random.default_rng(1).normal(size=(3, 6, 3)).astype("float32")
    short = layer(y[:, :4], constants=[memory, mask])
    long = layer(y, mask=np.arange(6) < np.full((3, 1), 4), constants=[memory, mask])

    np.testing.assert_allclose(long[0][:, :4], short[0], atol=1e-6)
    for one, other in zip(long[1:], short[1:], strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_two_halves_with_the_carry_handed_over_equal_the_whole():
    layer = built(decoder("location", LSTMCell(4), input_feeding=True, return_state=True))
    _, memory, mask = data()
    y = np.random.default_rng(1).normal(size=(3, 6, 3)).astype("float32")

    whole, *last = layer(y, constants=[memory, mask])
    first, *carry = layer(y[:, :2], constants=[memory, mask])
    second, *end = layer(y[:, 2:], initial_state=carry, constants=[memory, mask])

    np.testing.assert_allclose(ops.concatenate([first, second], axis=1), whole, atol=1e-6)
    for one, other in zip(end, last, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_model_of_unknown_sizes_trains_is_saved_and_read_back(tmp_path, monkeypatch):
    short_blocks(monkeypatch)
    y, memory, mask = keras.Input([None, 3]), keras.Input([None, 4]), keras.Input([None], dtype="bool")
    begin = keras.layers.Dense(4)(memory[:, 0])
    cell = GRUCell(4, dropout=0.1, recurrent_dropout=0.1, seed=1)
    outputs = decoder("location", cell)(y, initial_state=[begin], constants=[memory, mask])
    model = keras.Model([y, memory, mask], keras.layers.Dense(2)(outputs))
    model.compile("adam", "mse", jit_compile=False)
    rng = np.random.default_rng(0)
    given = [rng.normal(size=(3, 6, 3)).astype("float32"), *data()[1:]]

    losses = model.fit(given, np.ones((3, 6, 2)), epochs=20, verbose=0).history["loss"]
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")

    assert losses[-1] < 0.9 * losses[0]
    np.testing.assert_allclose(read(given), model(given), atol=1e-6)


def test_windows_and_mixed_precision_give_the_same_decoder():
    y, memory, mask = np.random.default_rng(1).normal(size=(3, 6, 3)).astype("float32"), *data()[1:]
    whole, windows = (built(decoder("additive", window=window)) for window in (None, 3))
    half = Recurrent(
        AttentionCell(
            GRUCell(4, reset_after=False, dtype="mixed_bfloat16"),
            AdditiveAttention(6, dtype="mixed_bfloat16"),
            dtype="mixed_bfloat16",
        ),
        return_sequences=True,
        dtype="mixed_bfloat16",
    )
    built(half)
    loss = lambda layer, y, memory: ops.sum(ops.cast(layer(y, constants=[memory, mask], training=True), "float32") ** 2)

    expected = gradients(whole, loss, y, memory)

    for one, other in zip(gradients(windows, loss, y, memory), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for one, other in zip(gradients(half, loss, y, memory), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=0.06 * np.abs(other).max())


@pytest.mark.skipif(not TENSORFLOW, reason="a graph of TensorFlow's")
@pytest.mark.parametrize("name", ["additive", "monotonic"])
def test_under_xla_it_is_the_same(name, monkeypatch):
    import tensorflow as tf

    short_blocks(monkeypatch)
    layer = built(decoder(name))
    y, memory, mask = np.random.default_rng(1).normal(size=(3, 4, 3)).astype("float32"), *data()[1:]
    loss = lambda layer, y, memory: ops.sum(ops.sin(layer(y, constants=[memory, mask], training=True)))

    def run(y, memory):
        with tf.GradientTape() as tape:
            tape.watch([y, memory])
            total = loss(layer, y, memory)
        return tape.gradient(total, [y, memory, *(w.value for w in layer.trainable_variables)])

    given = [tf.constant(x) for x in (y, memory)]
    for one, other in zip(tf.function(run, jit_compile=True)(*given), run(*given), strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: AdditiveAttention(0), "AdditiveAttention: `units` must be a positive integer"),
        (lambda: MultiplicativeAttention("cosine"), "`kind` must be one of 'dot', 'scaled', 'general'"),
        (lambda: MultiplicativeAttention(window=0), "`window` must be a positive integer"),
        (lambda: MultiplicativeAttention("dot")(np.ones((1, 2, 3)), np.ones((1, 2, 4))), "of one width"),
        (lambda: AdditiveAttention(3)(np.ones((2, 3)), np.ones((1, 2, 4))), "`query` must be"),
        (lambda: LocationAttention(3, width=4), "`width` must be odd"),
        (lambda: LocationAttention(3)(np.ones((1, 2, 3)), np.ones((1, 2, 4))), "run it in an AttentionCell"),
        (lambda: AttentionCell("gru", AdditiveAttention(3)), "`cell` must be a layers.Cell"),
        (lambda: AttentionCell(GRUCell(3), "dot"), "`attention` must be a layers.Attention"),
        (lambda: decoder("additive")(np.ones((2, 3, 4))), "`constants` must be the memory"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        make()


def test_local_attention_looks_among_the_real_places_wherever_padding_is():
    rng = np.random.default_rng(8)
    attention, query, real = MultiplicativeAttention(window=2), rng.normal(size=(1, 3, 4)), rng.normal(size=(1, 6, 5))
    expected = attention(query, real)
    for places in (range(4, 10), (0, 2, 3, 5, 8, 9)):
        memory, mask = rng.normal(size=(1, 10, 5)), np.zeros((1, 10), bool)
        memory[:, list(places)], mask[:, list(places)] = real, True
        np.testing.assert_allclose(attention(query, memory, mask=[None, mask]), expected, atol=1e-5)


@pytest.mark.parametrize("made", [lambda **how: AdditiveAttention(6, **how), MultiplicativeAttention])
def test_a_row_that_is_all_padding_is_no_nan_in_16_bits(made):
    rng = np.random.default_rng(9)
    query, memory, mask = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 7, 4)), np.ones((2, 7), bool)
    mask[1] = False
    found = made(dtype="mixed_float16")(query, memory, mask=[None, mask])
    assert np.isfinite(ops.convert_to_numpy(found)).all()
