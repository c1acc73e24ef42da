"""What stands at masked timesteps matters neither in outputs nor in gradients, be it NaN or infinity."""

import keras
import numpy as np
import pytest
from cells import DRIVEN, MAKERS, TENSORFLOW, filled, gradients, recurrent, short_blocks
from keras import ops

from layers import AdditiveAttention, AttentionCell, GRUCell, MultiplicativeAttention, Pooling, Recurrent, stack

SHAPE = (4, 5, 5)
X = np.random.default_rng(5).normal(size=SHAPE).astype("float32")
MASK = np.array([[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [0, 1, 0, 1, 1], [1, 1, 1, 1, 1]], bool)
POISON = np.where(np.arange(5)[None, :, None] % 2, np.nan, np.inf).astype("float32")
POISONED = np.where(MASK[..., None], X, POISON)


@pytest.fixture(autouse=True)
def short(monkeypatch):
    short_blocks(monkeypatch)


def loss_of(layer, x, *given):
    outputs = layer(x, *given, mask=ops.convert_to_tensor(MASK), training=True)
    return ops.sum(ops.sin(outputs))


def assert_nothing_matters(layer, *given):
    """The loss and all gradients are those of harmless padding, and padding's own gradient is 0."""
    found = gradients(layer, loss_of, POISONED, *given)
    expected = gradients(layer, loss_of, np.where(MASK[..., None], X, 0).astype("float32"), *given)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)
    assert not found[0][~MASK].any()


@pytest.mark.parametrize("name", DRIVEN)  # the driver does it; NaN is at the padding of every cell in test_promises.py
def test_every_kind_of_cell(name):
    assert_nothing_matters(recurrent(name, shape=SHAPE, return_sequences=True))


@pytest.mark.parametrize("how", ["mean", "max", "mean-max", "attention"])
def test_pooling(how):
    assert_nothing_matters(filled(Pooling(how), SHAPE))


@pytest.mark.parametrize(
    "arguments", [{"window": 2}, {"go_backwards": True}, {"zoneout": 0.2, "zoneout_seed": 1}], ids=str
)
def test_every_way_of_the_driver(arguments):
    cell = GRUCell(4, recurrent_dropout=0.2, dropout=0.2, seed=2)
    layer = filled(Recurrent(cell, return_sequences=True, **arguments), SHAPE)
    assert np.isfinite(np.concatenate([g.ravel() for g in gradients(layer, loss_of, POISONED)])).all()


@pytest.mark.parametrize("attention", [AdditiveAttention(3), MultiplicativeAttention("general")])
def test_an_attention_s_memory(attention):
    layer = Recurrent(AttentionCell(GRUCell(4), attention), return_sequences=True)
    queries = np.random.default_rng(6).normal(size=(4, 3, 5)).astype("float32")
    layer(queries, constants=[X, MASK])

    def loss(layer, memory):
        return ops.sum(ops.sin(layer(queries, constants=[memory, ops.convert_to_tensor(MASK)], training=True)))

    found, expected = (gradients(layer, loss, memory) for memory in (POISONED, np.where(MASK[..., None], X, 0)))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow graphs")
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_model_trains_on(jit_compile):
    inputs, mask = keras.Input((None, 5)), keras.Input((None,), dtype="bool")
    x = Pooling("mean-max")(stack(GRUCell, 3, bidirectional=not jit_compile)(inputs, mask=mask), mask=mask)
    model = keras.Model([inputs, mask], keras.layers.Dense(1)(x))
    model.compile("sgd", "mse", jit_compile=jit_compile)
    model.fit([POISONED, MASK], np.ones((4, 1)), verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_the_kinds_of_cells_are_cells():
    assert set(DRIVEN) <= set(MAKERS)
