"""Deep, bidirectional and residual stacks against chains of stock layers; pooling and word dropout."""

import json

import keras
import numpy as np
import pytest
from cells import filled, short_blocks
from keras import ops

from layers import GRUCell, LSTMCell, Pooling, Recurrent, WordDropout, stack
from layers.stack import Stack

SHAPE = (3, 4, 5)
LENGTHS = np.array([4, 2, 1])
MASK = np.arange(4) < LENGTHS[:, None]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    short_blocks(monkeypatch)


@pytest.fixture
def x():
    return np.random.default_rng(8).normal(size=SHAPE).astype("float32")


@pytest.mark.parametrize("padded", [False, True])
@pytest.mark.parametrize("sequences", [False, True])
@pytest.mark.parametrize("residual", [False, True])
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("depth", [1, 2])
def test_a_stack_is_a_chain_of_stock_layers(depth, bidirectional, residual, sequences, padded, x):
    """Padded rows are each run without their padding."""
    how = {"depth": depth, "bidirectional": bidirectional, "residual": residual, "return_sequences": sequences}
    ours = filled(stack(LSTMCell, 4, **how), SHAPE)
    outputs = ops.convert_to_numpy(ours(x, mask=MASK if padded else None))
    for rows, length in [(slice(row, row + 1), LENGTHS[row]) for row in range(3)] if padded else [(slice(3), 4)]:
        weights = ours.get_weights()
        below = x[rows, :length]
        for level in range(depth):
            return_sequences = sequences or level < depth - 1
            found = []
            for backwards in (False, True)[: 1 + bidirectional]:
                layer = keras.layers.LSTM(4, return_sequences=return_sequences, go_backwards=backwards)
                layer.build(below.shape)
                layer.set_weights(weights[:3])
                weights = weights[3:]
                output = ops.convert_to_numpy(layer(below))
                found.append(output[:, ::-1] if backwards and return_sequences else output)
            output = np.concatenate(found, axis=-1)
            below = output + below if residual and output.shape == below.shape else output
        shown = outputs[rows, :length] if sequences else outputs[rows]
        np.testing.assert_allclose(shown, below, atol=1e-5)


def test_a_stack_is_saved_and_loaded(tmp_path, x):
    given = keras.Input((None, 5))
    layer = stack(GRUCell, 4, depth=2, bidirectional=True, residual=True, dropout=0.1, seed=3, reset_after=False)
    model = keras.Model(given, layer(given))
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(again(x), model(x))
    assert json.dumps(again.layers[-1].get_config()) == json.dumps(layer.get_config())
    assert again.layers[-1].levels[0][0].cell.reset_after is False


def test_dropout_acts_between_the_levels_and_repeats_with_its_seed(x):
    one, same = (filled(stack(GRUCell, 4, depth=2, dropout=0.5, seed=3), SHAPE) for _ in range(2))
    np.testing.assert_array_equal(one(x, training=True), same(x, training=True))
    assert not np.allclose(one(x, training=True), one(x))


@pytest.mark.parametrize("depth", [0, 1.5, True, -1])
def test_a_wrong_depth_is_named(depth):
    with pytest.raises(ValueError, match=f"`depth` must be a positive integer. Received: depth={depth}"):
        stack(LSTMCell, 4, depth=depth)


def test_the_shape_and_the_mask_are_told_before_anything_runs():
    layer = stack(LSTMCell, 4, bidirectional=True)
    assert layer.compute_output_shape((None, None, 5)) == (None, None, 8)
    assert stack(LSTMCell, 4, return_sequences=False).compute_output_shape((2, 3, 5)) == (2, 4)
    layer.build(SHAPE)
    assert layer.compute_mask(None, MASK) is MASK


POOLED = {
    "mean": lambda rows: rows.mean(axis=0),
    "max": lambda rows: rows.max(axis=0),
    "mean-max": lambda rows: np.concatenate([rows.mean(axis=0), rows.max(axis=0)]),
}


@pytest.mark.parametrize("how", Pooling.KINDS)
def test_pooling_leaves_padding_out(how, x):
    layer = filled(Pooling(how), SHAPE)
    found = ops.convert_to_numpy(layer(x + 50 * ~MASK[..., None], mask=ops.convert_to_tensor(MASK)))
    for row, length in enumerate(LENGTHS):
        real = x[row, :length]
        if how == "attention":
            kernel, query = layer.get_weights()
            scores = np.exp(np.tanh(real @ kernel) @ query)
            expected = (scores / scores.sum() * real).sum(axis=0)
        else:
            expected = POOLED[how](real)
        np.testing.assert_allclose(found[row], expected, atol=1e-5)
    assert layer.compute_output_shape(SHAPE) == found.shape
    assert np.isfinite(layer(x, mask=ops.convert_to_tensor(MASK & False))).all()
    if how == "max":
        np.testing.assert_allclose(layer(x - 1e6, mask=MASK)[0], (x - 1e6)[0, : LENGTHS[0]].max(axis=0))


def test_an_unknown_pooling_is_named():
    with pytest.raises(ValueError, match="`how` must be one of mean, max, mean-max, attention. Received: how='sum'"):
        Pooling("sum")


@pytest.mark.parametrize("how, expected", [("mean", [1.5]), ("mean-max", [1.5, 2])])
def test_the_mean_of_integers_is_not_cut_to_an_integer(how, expected):
    np.testing.assert_array_equal(
        Pooling(how)(np.array([[[1], [2], [9]]]), mask=np.array([[True, True, False]])), [expected]
    )


def test_word_dropout_replaces_whole_words_in_training_alone():
    word_ids = np.random.default_rng(0).integers(2, 9, (60, 50)) * (np.arange(50) < 40)
    layer = WordDropout(0.3, unknown=1, seed=4)
    assert layer(keras.Input([None], dtype="int64")).dtype == "int64"
    np.testing.assert_array_equal(layer(word_ids), word_ids)
    found = np.asarray(layer(word_ids, training=True))
    assert (found[:, 40:] == 0).all()
    replaced = found != word_ids
    assert (found[replaced] == 1).all()
    assert replaced[:, :40].mean() == pytest.approx(0.3, abs=0.03)
    again = WordDropout(0.3, unknown=1, seed=4)
    np.testing.assert_array_equal(again(word_ids, training=True), found)
    assert (np.asarray(layer(word_ids, training=True)) != found).any()


def test_residual_connections_need_equal_widths(x):
    plain, residual = (filled(stack(LSTMCell, 5, depth=1, residual=residual), SHAPE) for residual in (False, True))
    np.testing.assert_allclose(residual(x), plain(x) + x, atol=1e-6)
    recurrent = Recurrent(LSTMCell(4), return_sequences=True)
    wider = filled(stack(LSTMCell, 4, residual=True), SHAPE)
    recurrent.build(SHAPE)
    recurrent.set_weights(wider.get_weights())
    np.testing.assert_allclose(wider(x), recurrent(x), atol=1e-6)


@pytest.mark.parametrize("arguments", [{"return_state": True}, {"return_sequences": True, "go_backwards": True}])
def test_outputs_that_cannot_stand_side_by_side_are_named(arguments):
    with pytest.raises(ValueError, match="return_state=False and.* align_outputs=True"):
        Stack([[Recurrent(LSTMCell(3), return_sequences=True)], [Recurrent(LSTMCell(3), **arguments)]])
