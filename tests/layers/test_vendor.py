"""What is handed to a GPU vendor's kernel, and what is made of its answer; the kernel itself is stood in for.

The stand-in follows the stock layers' contract with Keras's backends: right padding alone, zeros where padding is, the
states of the last real timestep.
"""

import numpy as np
import pytest
import reference
from cells import TENSORFLOW, filled, gradients, states
from keras import ops
from keras.src import backend as keras_backend

from layers import CELLS, Recurrent
from layers.backend import backend

SHAPE = (4, 7, 5)
RIGHT = np.arange(7) < np.array([7, 4, 1, 6])[:, None]
MASKS = {"none": None, "right": RIGHT, "left": RIGHT[:, ::-1], "an empty row": RIGHT & (np.arange(4) > 0)[:, None]}


def stand_in(step, calls):
    def kernel(inputs, *states_and_mask, kernel, recurrent_kernel, bias, return_sequences, go_backwards, **_):
        *carry, mask = states_and_mask
        calls.append(mask is not None)
        outputs = []
        for t in range(inputs.shape[1]):
            output, new = step(inputs[:, t], carry, kernel, recurrent_kernel, bias)
            real = True if mask is None else mask[:, t, None]
            outputs.append(ops.where(real, output, ops.zeros_like(output)))
            carry = [ops.where(real, after, before) for after, before in zip(new, carry, strict=True)]
        return carry[0], ops.stack(outputs, axis=1), carry

    return kernel


def lstm(x, carry, kernel, recurrent_kernel, bias):
    h, c = carry
    i, f, g, o = ops.split(x @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
    c = ops.sigmoid(f) * c + ops.sigmoid(i) * ops.tanh(g)
    h = ops.sigmoid(o) * ops.tanh(c)
    return h, [h, c]


def gru(x, carry, kernel, recurrent_kernel, bias):
    (h,) = carry
    x_z, x_r, x_h = ops.split(x @ kernel + bias[0], 3, axis=1)
    r_z, r_r, r_h = ops.split(h @ recurrent_kernel + bias[1], 3, axis=1)
    z, r = ops.sigmoid(x_z + r_z), ops.sigmoid(x_r + r_r)
    h = z * h + (1 - z) * ops.tanh(x_h + r * r_h)
    return h, [h]


@pytest.fixture
def calls(monkeypatch):
    calls = []
    monkeypatch.setattr(backend, "vendor_has", lambda cell: True)
    monkeypatch.setattr(keras_backend, "lstm", stand_in(lstm, calls))
    monkeypatch.setattr(keras_backend, "gru", stand_in(gru, calls))
    return calls


@pytest.mark.parametrize("name", ["lstm", "gru"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("sequences, backwards", [(False, False), (True, True)])
def test_the_kernel_s_answer_is_the_loop_s(name, mask, sequences, backwards, calls):
    x = np.random.default_rng(0).normal(size=SHAPE).astype("float32")
    given = None if MASKS[mask] is None else ops.convert_to_tensor(MASKS[mask])
    arguments = {"return_sequences": sequences, "return_state": True, "go_backwards": backwards}
    by_kernel = filled(Recurrent(CELLS[name](4), **arguments), SHAPE)
    by_loop = filled(Recurrent(CELLS[name](4), **arguments), SHAPE)
    assert by_kernel.by_vendor
    by_loop.by_vendor = False
    carry = states(by_kernel, 4)

    def loss(layer, x, *carry):
        return sum(ops.sum(ops.sin(one)) for one in layer(x, initial_state=list(carry), mask=given, training=True))

    found, expected = (layer(x, initial_state=carry, mask=given) for layer in (by_kernel, by_loop))
    knows = mask == "none" or (TENSORFLOW and mask == ("left" if backwards else "right"))
    assert bool(calls) == knows
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)
    for one, other in zip(gradients(by_kernel, loss, x, *carry), gradients(by_loop, loss, x, *carry), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_only_what_the_kernel_computes_goes_to_it(calls):
    x = np.zeros(SHAPE, "float32")
    for layer in (
        Recurrent(CELLS["peephole"](4)),
        Recurrent(CELLS["lstm"](4, activation="relu")),
        Recurrent(CELLS["lstm"](4, use_bias=False)),
        Recurrent(CELLS["gru"](4, reset_after=False)),
        Recurrent(CELLS["lstm"](4), window=5),
    ):
        layer(x)
    for number, dropped in enumerate(
        [Recurrent(CELLS["lstm"](4, recurrent_dropout=0.5)), Recurrent(CELLS["gru"](4), update_dropout=0.5)], start=1
    ):
        dropped(x, training=True)
        assert len(calls) == number - 1
        dropped(x, training=False)
        assert len(calls) == number


def test_the_stand_in_is_the_paper_s_lstm():
    rng = np.random.default_rng(1)
    x, h, c = rng.normal(size=(1, 3)), rng.normal(size=(1, 2)), rng.normal(size=(1, 2))
    weights = rng.normal(size=(3, 8)), rng.normal(size=(2, 8)), rng.normal(size=8)
    found, _ = lstm(x, [h, c], *weights)
    expected, _ = reference.lstm(x[0], [h[0], c[0]], *weights)
    np.testing.assert_allclose(found[0], expected, atol=1e-6)
