"""Cells of one's own and parts that are shared come back from a file and from a copy as they were."""

import copy

import keras
import numpy as np
import pytest
from cells import filled
from keras import ops

from layers import AdditiveAttention, AttentionCell, Cell, GRUCell, LSTMCell, Recurrent, stack

SHAPE = (2, 5, 3)
X = np.random.default_rng(0).normal(size=SHAPE).astype("float32")


@keras.saving.register_keras_serializable(package="tests")
class Leaky(Cell):
    gates, carry = ("candidate",), ("hidden",)

    def __init__(self, units, leak=0.5, **kwargs):
        super().__init__(units, **kwargs)
        self.leak = np.asarray(leak, "float32")

    def step(self, x, carry, recur):
        (h,) = carry
        h = self.leak * h + self.activation(x + recur(h, "candidate"))
        return h, (h,)


@keras.saving.register_keras_serializable(package="tests")
class Deeper(Leaky):
    """A constructor whose `units` mean something else, and an argument that must be named."""

    def __init__(self, halves, *, offset=0.0, **kwargs):
        super().__init__(2 * halves, **kwargs)
        self.offset = offset

    def step(self, x, carry, recur):
        output, carry = super().step(x, carry, recur)
        return output + self.offset, carry


@keras.saving.register_keras_serializable(package="tests")
class Damped(GRUCell):
    def __init__(self, units, damping=1.0):
        super().__init__(units)
        self.damping = damping

    def step(self, x, carry, recur):
        h, _ = super().step(x, carry, recur)
        return self.damping * h, (self.damping * h,)


@keras.saving.register_keras_serializable(package="tests")
class Told(Leaky):
    """With a `get_config` of its own, which wins."""

    def __init__(self, units, level, **kwargs):
        super().__init__(units, leak=level / 10, **kwargs)
        self.level = level

    def get_config(self):
        config = super().get_config()
        config.pop("leak", None)
        return {**config, "level": self.level}


@keras.saving.register_keras_serializable(package="tests")
class Scaled(Recurrent):
    def __init__(self, cell, scale=1.0, **kwargs):
        super().__init__(cell, **kwargs)
        self.scale = scale

    def call(self, sequence, initial_state=None, mask=None, constants=None, training=False):
        return self.scale * super().call(sequence, initial_state, mask, constants, training)


LAYERS = {
    "an argument by name": lambda: Recurrent(Leaky(4, leak=0.9)),
    "an argument by place, with those of ours": lambda: Recurrent(
        Leaky(4, 0.9, activation="relu", dropout=0.1, seed=1)
    ),
    "an array": lambda: Recurrent(Leaky(4, np.array([0.1, 0.9, 0.3, 0.7], "float32"))),
    "a built-in cell extended": lambda: Recurrent(Damped(4, damping=0.5)),
    "a class that extends one's own": lambda: Recurrent(Deeper(2, offset=0.25, leak=0.9)),
    "a get_config of one's own": lambda: Recurrent(Told(4, 7)),
    "a stack": lambda: stack(Leaky, 4, depth=2, bidirectional=True, leak=0.9),
    "stock Bidirectional": lambda: keras.layers.Bidirectional(Recurrent(Leaky(4, leak=0.9))),
    "stock RNN": lambda: keras.layers.RNN(Leaky(4, leak=0.9)),
    "a driver extended": lambda: Scaled(Leaky(4, leak=0.9), scale=3.0),
}


@pytest.mark.parametrize("made", LAYERS.values(), ids=LAYERS)
def test_arguments_of_one_s_own_come_back(made, tmp_path):
    model = keras.Sequential([keras.Input(SHAPE[1:]), made()])
    expected = ops.convert_to_numpy(model(X))
    model.save(tmp_path / "own.keras")
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    copied = type(model.layers[0]).from_config(model.layers[0].get_config())
    copied = keras.Sequential([keras.Input(SHAPE[1:]), copied])
    copied.set_weights(model.get_weights())
    for again in (keras.models.load_model(tmp_path / "own.keras"), clone, copied, copy.deepcopy(model)):
        np.testing.assert_allclose(again(X), expected, atol=1e-6)


def test_a_cell_of_one_s_own_attends():
    cell = AttentionCell(Leaky(4, leak=0.9), AdditiveAttention(3))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(cell))
    assert float(again.cell.leak) == np.float32(0.9)


def test_what_cannot_be_written_is_named():
    class Called(Cell):
        def __init__(self, units, function, **kwargs):
            super().__init__(units, **kwargs)
            self.function = function

    class Many(Cell):
        def __init__(self, units, *leaks):
            super().__init__(units)
            self.leaks = leaks

    for cell, named in ((Called(3, lambda x: x), "function"), (Many(3, 0.1, 0.2), "leaks")):
        with pytest.raises(NotImplementedError, match=f"need a `get_config` that says .*: {named};"):
            cell.get_config()


@pytest.mark.parametrize("make", [GRUCell, LSTMCell])
def test_a_cell_that_two_layers_share_is_shared_again(make, tmp_path):
    cell, inputs = make(4), keras.Input(SHAPE[1:])
    sides = [Recurrent(cell)(inputs), Recurrent(cell, go_backwards=True)(inputs)]
    alone = Recurrent(make(4))
    model = keras.Model(inputs, ops.concatenate([*sides, alone(inputs), alone(inputs[:, ::-1])]))
    filled(model, SHAPE)
    model.save(tmp_path / "tied.keras")
    again = keras.models.load_model(tmp_path / "tied.keras")
    np.testing.assert_allclose(again(X), model(X), atol=1e-6)
    assert len(again.weights) == len(model.weights)
    one, other = (layer.cell for layer in again.layers if isinstance(layer, Recurrent) and layer.name != alone.name)
    assert one is other


def test_an_attention_that_two_cells_share_is_shared_again(tmp_path):
    attention = AdditiveAttention(3)
    inputs, memory = keras.Input(SHAPE[1:]), keras.Input((4, 3))
    levels = [Recurrent(AttentionCell(GRUCell(4), attention)) for _ in range(2)]
    model = keras.Model([inputs, memory], ops.concatenate([level(inputs, constants=memory) for level in levels]))
    model.save(tmp_path / "tied.keras")
    again = keras.models.load_model(tmp_path / "tied.keras")
    given = [X, np.random.default_rng(1).normal(size=(2, 4, 3)).astype("float32")]
    np.testing.assert_allclose(again(given), model(given), atol=1e-6)
