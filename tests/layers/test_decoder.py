"""The decoder told what comes before, against the same decoder writing token by token; its scores against NumPy."""

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, filled, gradients, short_blocks
from keras import ops

from layers import (
    AdditiveAttention,
    AttentionCell,
    Decoder,
    GRUCell,
    LSTMCell,
    MonotonicAttention,
    MultiplicativeAttention,
    TokenAccuracy,
    TokenCrossentropy,
)

FORMS = {
    "bahdanau": lambda: [AttentionCell(GRUCell(4), AdditiveAttention(6))],
    "luong": lambda: [AttentionCell(LSTMCell(4), MultiplicativeAttention(), input_feeding=True)],
    "monotonic": lambda: [AttentionCell(GRUCell(4), MonotonicAttention(6))],
    "two levels": lambda: [AttentionCell(LSTMCell(4), AdditiveAttention(6)), GRUCell(3)],
    "above": lambda: [LSTMCell(4), GRUCell(3)],
    "without attention": lambda: [LSTMCell(4), LSTMCell(4)],
}
ABOVE = {"above": lambda: AdditiveAttention(6, normalized=True)}
TARGETS = np.array([[3, 8, 5, 2], [9, 2, -1, -1], [4, 4, 2, -1]])


def data():
    memory = np.random.default_rng(0).normal(size=(3, 7, 5)).astype("float32")
    return memory[:, 0], memory, np.arange(7) < np.array([[7], [4], [1]])


def built(form, **arguments):
    decoder = Decoder(10, FORMS[form](), embedding=6, attention=ABOVE.get(form, lambda: None)(), **arguments)
    decoder(TARGETS, *data())
    return filled(decoder, None)


@pytest.mark.parametrize("form", FORMS)
def test_several_targets_of_a_source_are_scored_as_each_alone(form):
    decoder = built(form)
    targets = np.random.default_rng(3).integers(0, 10, (3, 2, 5))
    targets[0, 1, 3:] = targets[2, 0] = -1

    together = np.asarray(decoder(targets, *data()))

    for place in range(2):
        alone = np.asarray(decoder(targets[:, place], *data()))
        np.testing.assert_allclose(together[:, place], alone, atol=1e-5)
    logits = decoder(targets, *data(), logits=True)
    np.testing.assert_allclose(logits[:, 1], decoder(targets[:, 1], *data(), logits=True), atol=1e-5)


@pytest.mark.parametrize("form", ["above", "bahdanau", "luong"])
def test_spread_takes_attention_that_does_not_sum_to_one_from_the_first_log_probability(form):
    """The weights are taken from the decoder as it writes token by token."""
    levels = FORMS[form]()
    if form != "above":
        levels = [AttentionCell(levels[0].cell, levels[0].attention, levels[0].input_feeding, totals=True)]
    decoder = Decoder(10, levels, 6, attention=ABOVE.get(form, lambda: None)(), spread=0.7)
    decoder(TARGETS, *data())
    filled(decoder, None)
    plain, punished = (np.asarray(decoder(TARGETS, *data(), training=training)) for training in (False, True))

    carry, constants = decoder.begin(*data())
    tokens, totals = np.full(3, 1, "int32"), np.zeros((3, 7))
    for t in range(TARGETS.shape[1]):
        _, carry, weights = decoder.step(tokens, carry, constants)
        totals += np.asarray(weights) * (TARGETS[:, t] >= 0)[:, None]
        tokens = np.maximum(TARGETS[:, t], 0).astype("int32")
    missed = 0.7 * np.sum((1 - totals) ** 2 * data()[2], axis=1)

    np.testing.assert_allclose(plain[:, 0, 0] - punished[:, 0, 0], missed, atol=1e-4)
    real = TARGETS >= 0
    np.testing.assert_allclose(plain[:, 1:][real[:, 1:]], punished[:, 1:][real[:, 1:]], atol=1e-5)
    several = np.asarray(decoder(np.stack([TARGETS, TARGETS[::-1]], 1), *data(), training=True))
    np.testing.assert_allclose(several[:, 0][real], punished[real], atol=1e-4)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("tied", [True, False])
def test_writing_token_by_token_gives_the_logits_of_being_told(form, tied):
    decoder = built(form, tied=tied)

    told = np.asarray(decoder(TARGETS, *data(), logits=True))

    carry, constants = decoder.begin(*data())
    tokens = np.full(3, 1, "int32")
    for t in range(TARGETS.shape[1]):
        logits, carry, *seen = decoder.step(tokens, carry, constants)
        np.testing.assert_allclose(logits, told[:, t], atol=1e-5)
        assert [tuple(one.shape) for one in seen] == [(3, 7)] * (form != "without attention")
        tokens = np.maximum(TARGETS[:, t], 0).astype("int32")


@pytest.mark.parametrize("tied", [True, False])
def test_scores_are_those_of_the_logits(tied):
    decoder = built("bahdanau", tied=tied)
    logits = np.asarray(decoder(TARGETS, *data(), logits=True), "float64")
    log_p = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    tokens = np.maximum(TARGETS, 0)

    scores = decoder(TARGETS, *data())

    wanted = np.take_along_axis(log_p, tokens[..., None], axis=-1)[..., 0]
    expected = np.stack([wanted, log_p.mean(axis=-1), logits.argmax(axis=-1) == tokens, tokens], axis=-1)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_gradients_of_a_batch_are_those_of_its_sentences():
    decoder = built("above")
    summary, memory, mask = data()

    def found(rows):
        def loss(decoder, summary, memory):
            return ops.sum(decoder(TARGETS[rows], summary, memory, mask[rows])[..., :2])

        return gradients(decoder, loss, summary[rows], memory[rows])[2:]  # of the weights

    alone = [found(slice(row, row + 1)) for row in range(3)]

    for together, *each in zip(found(slice(0, 3)), *alone, strict=True):
        np.testing.assert_allclose(together, sum(each), rtol=1e-4, atol=1e-5)


def test_padding_of_the_targets_changes_no_logits_before_it():
    decoder = built("bahdanau")
    summary, memory, mask = data()

    short = decoder(TARGETS[1:2, :2], summary[1:2], memory[1:2], mask[1:2], logits=True)

    np.testing.assert_allclose(decoder(TARGETS, summary, memory, mask, logits=True)[1:2, :2], short, atol=1e-6)


def test_guesses_are_what_the_decoder_would_have_written_there():
    decoder = built("bahdanau", guessing=0.5, seed=0)
    decoder.guessing = 1.0  # all of them
    given = data()
    guesses = np.asarray(ops.argmax(decoder(TARGETS, *given, logits=True), axis=-1))

    told = decoder(np.concatenate([guesses[:, :-1], TARGETS[:, -1:]], axis=1), *given, logits=True)

    np.testing.assert_allclose(decoder(TARGETS, *given, logits=True, training=True), told, atol=1e-5)
    assert not np.array_equal(guesses[:, :-1], np.maximum(TARGETS[:, :-1], 0))


@pytest.mark.parametrize("form", ["bahdanau", "above"])
def test_a_decoder_of_float64_computes_in_it(form):
    try:
        keras.config.set_dtype_policy("float64")
        cells, attention = FORMS[form](), ABOVE.get(form, lambda: None)()
    finally:
        keras.config.set_dtype_policy("float32")
    decoder = Decoder(10, cells, embedding=6, attention=attention, dtype="float64")
    logits = decoder(TARGETS, *data(), logits=True)
    assert {weight.dtype for weight in decoder.trainable_weights} == {"float64"}
    assert keras.backend.standardize_dtype(logits.dtype) == "float64"
    with pytest.raises(ValueError, match="Recurrent: a layer of float64 needs a cell of it"):
        Decoder(10, FORMS[form](), embedding=6, dtype="float64")


def test_a_model_with_a_decoder_learns_to_copy_and_is_read_back(tmp_path, monkeypatch):
    short_blocks(monkeypatch)
    rng = np.random.default_rng(0)
    words = rng.integers(3, 10, (256, 4))
    targets = np.concatenate([words, np.full((256, 1), 2)], axis=1)
    source, wanted = keras.Input([None], dtype="int64"), keras.Input([None], dtype="int64")
    memory = keras.layers.Embedding(10, 16)(source)
    cell = AttentionCell(GRUCell(16), AdditiveAttention(16))
    decoder = Decoder(10, [cell], embedding=16, dropout=0.1, seed=0)
    model = keras.Model([source, wanted], decoder(wanted, memory[:, 0], memory, source > 0))
    assert decoder(wanted, memory[:, 0], memory, source > 0, logits=True).shape == (None, None, 10)
    compiling = {"loss": TokenCrossentropy(0.1), "metrics": [TokenAccuracy()], "jit_compile": not TENSORFLOW}
    model.compile(keras.optimizers.Adam(0.01), **compiling)

    before = model.evaluate([words, targets], targets, verbose=0, return_dict=True)
    model.fit([words, targets], targets, epochs=4, batch_size=32, verbose=0)
    after = model.evaluate([words, targets], targets, verbose=0, return_dict=True)
    model.save(tmp_path / "model.keras")
    read = keras.models.load_model(tmp_path / "model.keras")

    assert after["accuracy"] > before["accuracy"] + 0.15
    np.testing.assert_allclose(read([words, targets]), model([words, targets]), atol=1e-5)
    shifted = np.concatenate([np.ones((256, 1), int), targets[:, :-1]], axis=1)
    if TENSORFLOW:
        with pytest.raises(Exception, match="`targets` must be the tokens that the Decoder was called with"):
            model.evaluate([words, shifted], targets, verbose=0)
    else:  # compiled code raises nothing
        assert np.isnan(model.evaluate([words, shifted], targets, verbose=0)).all()


def test_a_decoder_whose_attention_feeds_nothing_back_is_made_again_from_its_configuration():
    decoder = built("above", seed=3)
    again = Decoder.from_config(decoder.get_config())
    again(TARGETS, *data())
    again.set_weights(decoder.get_weights())

    np.testing.assert_allclose(again(TARGETS, *data(), logits=True), decoder(TARGETS, *data(), logits=True), atol=1e-6)


def sixteen_bits():
    return Decoder(5, [GRUCell(3)], 4, dtype="mixed_bfloat16")


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Decoder(0, [GRUCell(3)], 4), "`vocabulary` must be a positive integer"),
        (lambda: Decoder(2**24 + 1, [GRUCell(3)], 4), "`vocabulary` must be .* at most 16777216"),
        (lambda: Decoder(5, [], 4), "`levels` must be a list of cells"),
        (lambda: Decoder(5, [GRUCell(3)], 4, guessing=1.5), "`guessing`"),
        (lambda: Decoder(5, [GRUCell(3)], 4, dropout=None), r"`dropout` must be a number in \[0, 1\)"),
        (lambda: Decoder(5, [GRUCell(3)], 4, begin=5), "`begin` must be an integer of 0 or more and at most 4"),
        (lambda: Decoder(5, [GRUCell(3)], 4, attention=MonotonicAttention(3)), "`attention` must be .* nothing back"),
        (lambda: Decoder(5, FORMS["luong"](), 4, attention=AdditiveAttention(3)), "`attention` must be"),
        (lambda: Decoder(5, [GRUCell(3)], 4)(np.eye(5)[TARGETS % 5], data()[0]), r"`targets` must be .*=\(3, 4, 5\)"),
        (lambda: sixteen_bits()(TARGETS.astype("float32"), data()[0]), "`targets` must be integers .* dtype=bfloat16"),
        (lambda: sixteen_bits()(keras.Input([None]), keras.Input([5])), "`targets` must be integers .* dtype=bfloat16"),
    ],
)
def test_wrong_arguments_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()
