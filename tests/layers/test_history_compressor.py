"""The history compressor against plain loops over the unexpected symbols, in float64."""

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, filled, gradients
from keras import ops

from layers import ElmanCell, HistoryCompressor

ATOL = 1e-12 if TENSORFLOW else 1e-5
IDS = np.random.default_rng(0).integers(0, 5, (4, 9))
LENGTHS = np.array([9, 4, 1, 7])
MASK = np.arange(9) < LENGTHS[:, None]


def made(cell=ElmanCell, dtype="float64", **arguments):
    return HistoryCompressor(cell(3, dtype=dtype), cell(4, dtype=dtype), symbols=5, dtype=dtype, **arguments)


def log_softmax(z):
    return z - np.log(np.sum(np.exp(z)))


def by_hand(ids, layer, threshold):
    """States, surprises and the three losses' terms of one sequence."""
    lower, higher = (
        [np.asarray(w, "float64") for w in cell.get_weights()] for cell in (layer.automatiser, layer.chunker)
    )
    predict, above, imitate = (
        [np.asarray(w, "float64") for w in pair] for pair in (layer.predict, layer.predict_unexpected, layer.imitate)
    )
    a, c, last = np.zeros(3), np.zeros(4), None
    states, told, surprises, log_p, log_q, errors = [], [], [], [], [], []
    for t, symbol in enumerate(ids):
        unexpected = True
        if t:
            log_p.append(log_softmax(a @ predict[0] + predict[1])[symbol])
            unexpected = np.exp(log_p[-1]) < threshold
        a = np.tanh(np.eye(5)[symbol] @ lower[0] + a @ lower[1] + lower[2])
        if unexpected:
            if t:
                log_q.append(log_softmax(c @ above[0] + above[1])[symbol])
            event = np.append(np.eye(5)[symbol], np.log(1 + (0 if last is None else t - last)))
            c, last = np.tanh(event @ higher[0] + c @ higher[1] + higher[2]), t
        states.append(a)
        told.append(c)
        surprises.append(unexpected)
        errors.append(np.mean((c - a @ imitate[0] - imitate[1]) ** 2))
    return np.array(states), np.array(told), np.array(surprises), log_p, log_q, errors


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("threshold", [0.0, 0.15, 1.0])
def test_the_chunker_reads_only_what_the_automatiser_did_not_predict(threshold, masked):
    layer = filled(made(threshold=threshold, prediction=0.7, imitation=0.3), (4, 9), seed=2)
    a, c, u = (ops.convert_to_numpy(part) for part in layer(IDS, mask=MASK if masked else None, training=True))
    terms = [[], [], []]
    for row, length in enumerate(LENGTHS if masked else [9] * 4):
        expected = by_hand(IDS[row, :length], layer, threshold)
        for found, other in zip((a, c, u), expected, strict=False):
            np.testing.assert_allclose(found[row, :length], other, atol=ATOL)
        assert not u[row, length:].any()
        for term, values in zip(terms, expected[3:], strict=True):
            term += values
    log_p, log_q, errors = (np.mean(term) if term else 0.0 for term in terms)
    np.testing.assert_allclose(sum(layer.losses), 0.3 * errors - 0.7 * (log_p + log_q), atol=ATOL, rtol=1e-6)
    if threshold == 0.15:
        assert 0.1 < u[:, 1:].mean() < 0.8
    layer(IDS)
    assert not layer.losses  # outside training


def test_the_chunker_is_a_target_of_the_imitation_and_is_not_changed_by_it():
    for weights, changed in (((0.0, 1.0), "automatiser"), ((1.0, 0.0), "chunker")):
        layer = filled(made(prediction=weights[0], imitation=weights[1], threshold=0.3), (4, 9), seed=2)

        def loss(layer):
            layer(IDS, training=True)
            return sum(layer.losses)

        found = {id(weight): d for weight, d in zip(layer.trainable_variables, gradients(layer, loss), strict=True)}
        moved = {
            part: all(found[id(weight)].any() for weight in getattr(layer, part).trainable_variables)
            for part in ("automatiser", "chunker")
        }
        assert moved == {"automatiser": True, "chunker": changed == "chunker"}
        assert found[id(layer.imitate[0])].any() == (changed == "automatiser")
        assert (
            found[id(layer.predict_unexpected[0])].any() == found[id(layer.predict[0])].any() == (changed == "chunker")
        )


def test_a_compressor_survives_saving_and_runs_in_an_export(tmp_path):
    layer = made(ElmanCell, "float32", threshold=0.2)
    inputs, mask = keras.Input([None], dtype="int32"), keras.Input([None], dtype="bool")
    outputs = list(layer(inputs, mask=mask))
    model = keras.Model([inputs, mask], outputs)
    filled(layer, (4, 9))
    model.save(tmp_path / "compressor.keras")
    again = keras.models.load_model(tmp_path / "compressor.keras")
    read = again.layers[-1]
    assert (read.threshold, read.symbols, read.automatiser.units, read.chunker.units) == (0.2, 5, 3, 4)
    ids = IDS.astype("int32")
    found = [again([ids, MASK])]
    if TENSORFLOW:
        import tensorflow as tf

        model.export(tmp_path / "export", verbose=False)
        exported = tf.saved_model.load(str(tmp_path / "export"))
        found.append(exported.serve([tf.constant(ids), tf.constant(MASK)]))
    for results in found:
        for one, other in zip(results, layer(ids, mask=MASK), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)


def test_wrong_arguments_of_a_compressor_are_named():
    cell = ElmanCell(3)
    cases = [
        ((cell, cell, 5), {}, "`automatiser` and `chunker` must be two cells"),
        ((cell, keras.layers.LSTMCell(3), 5), {}, "must be two cells"),
        ((cell, ElmanCell(3), 1), {}, "`symbols` must be an integer of 2 or more"),
        ((cell, ElmanCell(3), 5), {"threshold": 1.5}, r"`threshold` must be in \[0, 1\]. Received: threshold=1.5"),
        ((cell, ElmanCell(3), 5), {"imitation": -1}, "`imitation` must be at least 0"),
    ]
    for given, more, message in cases:
        with pytest.raises(ValueError, match=message):
            HistoryCompressor(*given, **more)


def test_ids_that_are_no_symbols_are_named_but_at_padding():
    layer = HistoryCompressor(ElmanCell(3), ElmanCell(3), symbols=4)
    ids, mask = np.array([[1, 3, 4]]), np.array([[True, True, False]])
    layer(ids, mask=mask)
    with pytest.raises(ValueError, match=r"`symbol_ids` must be in \[0, 4\)"):
        layer(ids)
