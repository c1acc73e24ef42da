"""Inside the rest of Keras: wrappers, models, training, saving, export, and weights from the stock layers."""

import keras
import numpy as np
import pytest
from cells import MAKERS, TENSORFLOW, filled, recurrent, short_blocks
from keras import ops

from layers import (
    CELLS,
    CRF,
    AdditiveAttention,
    AttentionCell,
    Decoder,
    ElmanCell,
    GRUCell,
    LSTMCell,
    Marginals,
    Pooling,
    Recurrent,
    Sentences,
    SRUCell,
    Viterbi,
    stack,
)

SHAPE = (4, 7, 5)
MASK = np.arange(7) < np.array([7, 4, 1, 6])[:, None]
STOCK = {"elman": keras.layers.SimpleRNN, "lstm": keras.layers.LSTM, "gru": keras.layers.GRU}


@pytest.fixture
def x():
    return np.random.default_rng(6).normal(size=SHAPE).astype("float32")


@pytest.mark.parametrize("name", STOCK)
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("mask", [None, MASK], ids=["full", "padded"])
def test_stock_bidirectional_wraps_it_as_it_wraps_the_stock_layer(name, sequences, mask, x):
    ours = filled(keras.layers.Bidirectional(Recurrent(CELLS[name](4), return_sequences=sequences)), SHAPE)
    theirs = filled(keras.layers.Bidirectional(STOCK[name](4, return_sequences=sequences)), SHAPE)
    mask = None if mask is None else ops.convert_to_tensor(mask)
    np.testing.assert_allclose(ours(x, mask=mask), theirs(x, mask=mask), atol=1e-5)


@pytest.mark.parametrize("mode", ["concat", "sum", None])
def test_an_encoder_of_both_directions_hands_its_states_to_a_decoder_in_a_model(mode, x):
    """Keras adds the shapes of the states of both directions, as tuples, before anything runs."""

    def made(cell, stock):
        both = keras.layers.Bidirectional(stock(cell(4), return_state=True), merge_mode=mode)
        inputs = keras.Input((None, SHAPE[2]))
        *outputs, h, c, h_back, c_back = both(inputs)
        states = [keras.layers.Concatenate()([h, h_back]), keras.layers.Concatenate()([c, c_back])]
        written = stock(cell(8), return_sequences=True)(inputs, initial_state=states)
        return filled(keras.Model(inputs, [*outputs, written]), None)

    ours, theirs = made(LSTMCell, Recurrent), made(keras.layers.LSTMCell, keras.layers.RNN)
    for one, other in zip(ours(x), theirs(x), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_time_distributed_runs_it_on_each_sequence_of_a_sequence():
    x = np.random.default_rng(0).normal(size=(2, 3, *SHAPE[1:])).astype("float32")
    layer = recurrent("gru", shape=SHAPE)
    found = keras.layers.TimeDistributed(layer)(x)
    np.testing.assert_allclose(found, ops.stack([layer(x[:, i]) for i in range(3)], axis=1), atol=1e-5)


@pytest.mark.parametrize("name", STOCK)
def test_weights_move_both_ways(name, x):
    ours, theirs = recurrent(name, shape=SHAPE), filled(STOCK[name](4), SHAPE, seed=1)
    assert [(w.name, w.shape) for w in ours.weights] == [(w.name, w.shape) for w in theirs.weights]
    assert not np.allclose(ours(x), theirs(x))
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), theirs(x), atol=1e-5)


@pytest.mark.parametrize("name", STOCK)
def test_weights_begin_as_stock_keras_s_do(name):
    keras.utils.set_random_seed(0)
    ours, theirs = Recurrent(CELLS[name](64)), STOCK[name](64)
    ours.build((1, 1, 32)), theirs.build((1, 1, 32))
    for one, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        assert one.mean() == pytest.approx(other.mean(), abs=0.01)
        assert one.std() == pytest.approx(other.std(), abs=0.01)


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.embedding = keras.layers.Embedding(20, 8, mask_zero=True)
        self.first = Recurrent(GRUCell(8), return_sequences=True)
        self.second = Recurrent(LSTMCell(8))
        self.dense = keras.layers.Dense(1)

    def call(self, word_ids):
        return self.dense(self.second(self.first(self.embedding(word_ids))))


def functional(deep=True):
    word_ids = keras.Input((None,), dtype="int32")
    x = keras.layers.Embedding(20, 8, mask_zero=True)(word_ids)
    x = Recurrent(GRUCell(8), return_sequences=True)(x) if deep else x
    return keras.Model(word_ids, keras.layers.Dense(1)(Recurrent(LSTMCell(8))(x)))


def shallow():
    return functional(deep=not TENSORFLOW)  # there XLA takes long over two layers, and a plain graph trains them too


@pytest.mark.parametrize("made, jit", [(functional, False), (Subclassed, False), (shallow, True)])
def test_models_learn_with_plain_fit(made, jit, monkeypatch):
    """Whether the word 3 comes before the word 4."""
    short_blocks(monkeypatch)
    if not (jit or TENSORFLOW):
        pytest.skip("without jit the JAX backend trains one operation at a time")
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    word_ids = rng.integers(5, 20, (96, 8))
    places = np.array([rng.permutation(6)[:2] for _ in word_ids])
    word_ids[np.arange(96), places[:, 0]], word_ids[np.arange(96), places[:, 1]] = 3, 4
    word_ids[:, 6:] *= rng.integers(0, 2, (96, 1))
    model = made()
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.02), loss, metrics=["accuracy"], jit_compile=jit)
    history = model.fit(
        word_ids, (places[:, 0] < places[:, 1]).astype("float32")[:, None], epochs=16, batch_size=16, verbose=0
    ).history
    assert history["loss"][-1] < 0.3 < 0.6 < history["loss"][0]


@pytest.mark.parametrize("made", [functional, Subclassed])
def test_masks_go_through_a_chain_whatever_keras_does_between_layers(made):
    model = made()
    word_ids = np.array([[3, 9, 7, 0, 0, 0]])
    np.testing.assert_allclose(model(word_ids), model(word_ids[:, :3]), atol=1e-5)
    assert not np.allclose(model(word_ids), model(np.where(word_ids == 0, 5, word_ids)))


@pytest.mark.parametrize("name", MAKERS)
def test_a_configuration_makes_the_same_layer(name):
    cell = MAKERS[name](
        3,
        use_bias=False,
        activation="relu",
        recurrent_activation="hard_sigmoid",
        kernel_initializer=keras.initializers.RandomUniform(-0.3, 0.3, seed=1),
        recurrent_regularizer=keras.regularizers.L2(0.1),
        kernel_constraint=keras.constraints.MaxNorm(1.5),
        dropout=0.2,
        recurrent_dropout=0.3,
        seed=5,
    )
    layer = Recurrent(cell, return_sequences=True, return_state=True, go_backwards=True, zero_output_for_mask=True)
    config = layer.get_config()
    again = Recurrent.from_config(config)
    assert again.get_config() == config
    assert type(again.cell) is type(cell)
    assert again.cell.kernel_constraint.max_value == 1.5
    assert (again.cell.dropout, again.cell.recurrent_dropout, again.cell.seed) == (0.2, 0.3, 5)


def test_regularizers_and_constraints_act(x):
    cell = LSTMCell(3, kernel_regularizer=keras.regularizers.L2(0.1), recurrent_constraint=keras.constraints.NonNeg())
    model = keras.Sequential([keras.Input(SHAPE[1:]), Recurrent(cell)])
    kernel = ops.convert_to_numpy(cell.kernel.value)
    assert float(sum(model.losses)) == pytest.approx(0.1 * np.sum(kernel**2), rel=1e-5)
    model.compile(keras.optimizers.SGD(0.01), "mse")
    model.fit(x, np.zeros((4, 3)), verbose=0)
    assert np.min(cell.recurrent_kernel) >= 0 > np.min(cell.kernel)


def test_dropout_is_drawn_anew_for_each_batch_of_a_fit(x):
    model = keras.Sequential([keras.Input(SHAPE[1:]), Recurrent(ElmanCell(4, dropout=0.5, seed=1))])
    model.compile(keras.optimizers.SGD(0.0), "mse")
    losses = model.fit(x, np.zeros((4, 4)), epochs=4, verbose=0).history["loss"]
    assert len(set(losses)) == 4


@pytest.mark.skipif(not TENSORFLOW, reason="SavedModels are TensorFlow's")
def test_an_exported_model_gives_the_same_numbers(tmp_path, x, monkeypatch):
    import tensorflow as tf

    short_blocks(monkeypatch)
    given = keras.Input((None, 5))
    model = keras.Model(given, stack(LSTMCell, 4, bidirectional=True)(given))
    model.export(tmp_path / "exported", verbose=False)
    served = tf.saved_model.load(tmp_path / "exported")
    np.testing.assert_allclose(served.serve(x), model(x), atol=1e-6)
    np.testing.assert_allclose(served.serve(x[:1, :2]), model(x[:1, :2]), atol=1e-6)


@pytest.mark.skipif(not TENSORFLOW, reason="ragged tensors are TensorFlow's")
def test_a_ragged_keras_input_reaches_the_layer():
    import tensorflow as tf

    rows = tf.ragged.constant([[[1.0, 2.0]] * 3, [[3.0, 4.0]]], ragged_rank=1, inner_shape=(2,))
    layer = recurrent("gru", shape=(2, 3, 2), return_sequences=True)
    assert layer(rows).shape == (2, 3, 4)
    deep = stack(GRUCell, 3, depth=2, bidirectional=True, return_sequences=False)
    dense, mask = rows.to_tensor(), np.array([[True] * 3, [True, False, False]])
    np.testing.assert_allclose(deep(rows), deep(dense, mask=mask), atol=1e-6)


@pytest.mark.skipif(not TENSORFLOW, reason="about TensorFlow's graphs")
def test_an_epoch_of_buckets_is_traced_at_its_first_batch_and_never_again(monkeypatch):
    import tensorflow as tf

    short_blocks(monkeypatch)
    traces, seen = [], []

    class Counted(Recurrent):
        def call(self, sequence, initial_state=None, mask=None, constants=None, training=False):
            traces.append(sequence.shape)
            return super().call(sequence, initial_state, mask, constants, training)

    def batches():
        rng = np.random.default_rng(0)
        for batch, timesteps in [(4, 6), (4, 11), (3, 17), (4, 11), (2, 6)]:
            yield rng.normal(size=(batch, timesteps, 5)).astype("float32"), np.ones((batch, 1), "float32")

    spec = tf.TensorSpec([None, None, 5]), tf.TensorSpec([None, 1])
    sequence = keras.Input([None, 5])
    model = keras.Model(sequence, keras.layers.Dense(1)(Counted(LSTMCell(4))(sequence)))
    model.compile("adam", "mse", jit_compile=False)
    counted = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: seen.append(len(traces)))

    data = tf.data.Dataset.from_generator(batches, output_signature=spec)
    model.fit(data, epochs=2, verbose=0, callbacks=[counted])

    assert len(seen) == 10 and set(seen) == {seen[0]}


@pytest.mark.skipif(not TENSORFLOW, reason="about TensorFlow's graphs")
@pytest.mark.parametrize("shape", [(None, None, 3), (2, 120, 3)])
def test_what_xla_compiles_whole_has_nothing_within_that_it_compiles_again(shape):
    """TensorFlow would compile that anew for each batch: a program within a program takes its inputs for constants."""
    import tensorflow as tf

    layer = Recurrent(LSTMCell(4), jit_compile=True if shape[0] is None else "auto")
    layer.build(shape)

    def programs(whole):
        run = tf.function(lambda x: layer(x, training=True), [tf.TensorSpec(shape)], jit_compile=whole)
        functions = run.get_concrete_function().graph.as_graph_def().library.function
        return sum(function.attr["_XlaMustCompile"].b for function in functions)

    assert programs(whole=False) and not programs(whole=True)


def test_a_sequence_s_own_mask_counts_beside_other_tensors():
    """Keras hands it on only where there is no other tensor."""
    embed = keras.layers.Embedding(10, 8, mask_zero=True)
    ids, longer = np.array([[4, 5], [3, 0]]), np.array([[4, 5, 0, 0], [3, 0, 0, 0]])
    state, memory = (np.random.default_rng(seed).normal(size=(2, 8)).astype("float32") for seed in (0, 1))
    given = keras.Input([None], dtype="int32"), keras.Input([8])
    model = keras.Model(given, Recurrent(GRUCell(8))(embed(given[0]), initial_state=given[1]))
    np.testing.assert_allclose(model([longer, state]), model([ids, state]), atol=1e-6)
    attend, query = AdditiveAttention(6), memory[:, None]
    np.testing.assert_allclose(attend(query, embed(longer)), attend(query, embed(ids)), atol=1e-6)
    np.testing.assert_allclose(
        attend(query, embed(longer)), attend(query, embed(longer), mask=(longer > 0).tolist()), atol=1e-6
    )


@pytest.mark.parametrize("form", ["within", "above", "spread"])
def test_a_memory_s_own_mask_counts_in_decoders(form):
    """In each the padding is not attended to, whether the mask is given or is that of the embedding."""
    embed = keras.layers.Embedding(10, 8, mask_zero=True)
    ids, longer = np.array([[4, 5], [3, 0]]), np.array([[4, 5, 0, 0], [3, 0, 0, 0]])
    cell, attention = GRUCell(6), AdditiveAttention(6)
    spread = {"spread": 1.0} if form == "spread" else {}
    levels = [cell] if form == "above" else [AttentionCell(cell, attention, totals=bool(spread))]
    decoder = Decoder(12, levels, 5, attention if form == "above" else None, **spread)
    source, targets, summary = keras.Input([None], dtype="int32"), keras.Input([3], dtype="int32"), keras.Input([4])
    inputs = [source, targets, summary]
    model = keras.Model(inputs, decoder(targets, summary, embed(source)))
    told, start = np.array([[3, 4, 2], [5, 2, -1]]), np.ones((2, 4), "float32")
    scores = lambda ids: ops.convert_to_numpy(model([ids, told, start], training=bool(spread)))
    np.testing.assert_allclose(scores(longer), scores(ids), atol=1e-6)
    memory = embed(longer)
    given = decoder(told, start, ops.convert_to_numpy(memory), longer > 0, training=bool(spread))
    np.testing.assert_allclose(scores(longer), given, atol=1e-6)
    carry, constants = decoder.begin(start, memory)
    logits, *_ = decoder.step(np.array([1, 1]), carry, constants)
    np.testing.assert_allclose(logits, decoder(told, start, memory, longer > 0, logits=True)[:, 0], atol=1e-6)


def test_a_memory_s_own_mask_counts_in_an_attention_cell(x):
    embed, longer = keras.layers.Embedding(10, 8, mask_zero=True), np.array([[4, 5, 0, 0], [3, 0, 0, 0]])
    layer, memory = Recurrent(AttentionCell(GRUCell(6), AdditiveAttention(6))), embed(longer)
    np.testing.assert_allclose(layer(x[:2], constants=memory), layer(x[:2], constants=[memory, longer > 0]), atol=1e-6)


def test_no_timesteps_with_a_mask_are_zeros_for_linear_cells_too():
    layer = Recurrent(SRUCell(4))
    assert not np.any(layer(np.zeros((3, 0, 8), "float32"), mask=np.ones((3, 0), bool)))


def test_a_batch_may_be_empty():
    x = np.zeros((0, 5, 3), "float32")
    for name in ("neural_stack", "neural_queue", "neural_deque", "lstm"):
        assert Recurrent(CELLS[name](4), return_sequences=True)(x).shape == (0, 5, 4)
    for how, width in (("max", 3), ("mean-max", 6)):
        assert Pooling(how)(x).shape == (0, width)
    potentials = CRF(["O", "B-x", "I-x"])(x)
    assert Viterbi()(potentials)[0].shape == (0, 5) and Viterbi(best=2)(potentials)[0].shape == (0, 2, 5)
    assert Marginals()(potentials).shape == (0, 5, 3)
    assert Sentences([8, 9], 3)(np.zeros((0, 7), int)).shape[0] == 0
