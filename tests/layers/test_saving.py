"""Cells of one's own and parts that are shared come back from a file and from a copy as they were."""

import copy

import keras
import numpy as np
import pytest
from cells import filled
from keras import ops

from layers import AdditiveAttention, AttentionCell, Cell, Decoder, GRUCell, LSTMCell, Recurrent, stack
from layers.stack import Stack

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


class WithLeak:
    """A constructor that comes from a class that is no layer."""

    def __init__(self, units, leak=0.5, **kwargs):
        super().__init__(units, **kwargs)
        self.leak = leak

    def step(self, x, carry, recur):
        h, _ = super().step(x, carry, recur)
        return self.leak * h, (self.leak * h,)


@keras.saving.register_keras_serializable(package="tests")
class Mixed(WithLeak, GRUCell):
    pass


@keras.saving.register_keras_serializable(package="tests")
class Many(Leaky):
    def __init__(self, units, /, *leaks, activation="tanh", **kwargs):
        super().__init__(units, leak=sum(leaks), activation=activation, **kwargs)


@keras.saving.register_keras_serializable(package="tests")
class Parts(Leaky):
    """Arguments in lists, tuples and dictionaries, also such that are objects, and a layer."""

    def __init__(self, units, functions=(), factors=None, head=None, **kwargs):
        super().__init__(units, **kwargs)
        self.functions, self.factors, self.head = functions, factors or {}, head

    def build(self, input_shape):
        super().build(input_shape)
        if self.head is not None and not self.head.built:
            self.head.build((None, self.units))

    def step(self, x, carry, recur):
        h, _ = super().step(x, carry, recur)
        for function in self.functions:
            h = function(h)
        for factor in self.factors.values():
            h = factor * h
        h = h if self.head is None else h * ops.sum(self.head.kernel)
        return h, (h,)


@keras.saving.register_keras_serializable(package="tests")
class Written(Leaky):
    """With a form of its argument that only its own `from_config` reads."""

    def __init__(self, units, level, **kwargs):
        super().__init__(units, leak=level, **kwargs)
        self.level = level

    def get_config(self):
        config = super().get_config()
        config.pop("leak", None)
        return {**config, "level": {"value": self.level}}

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "level": config["level"]["value"]})


@keras.saving.register_keras_serializable(package="tests")
class BeyondWritten(Written):
    def __init__(self, units, level, damping=1.0, **kwargs):
        super().__init__(units, level, **kwargs)
        self.damping = damping

    def step(self, x, carry, recur):
        h, _ = super().step(x, carry, recur)
        return self.damping * h, (self.damping * h,)


@keras.saving.register_keras_serializable(package="tests")
class Halved(Leaky):
    """With a `get_config` that takes from it what the class above says of itself."""

    def __init__(self, halves, **kwargs):
        super().__init__(2 * halves, **kwargs)

    def get_config(self):
        config = super().get_config()
        config["halves"] = config.pop("units") // 2
        return config


@keras.saving.register_keras_serializable(package="tests")
class Sharper(AdditiveAttention):
    def __init__(self, units, temperature=1.0, **kwargs):
        super().__init__(units, **kwargs)
        self.temperature = temperature


@keras.saving.register_keras_serializable(package="tests")
class Louder(Stack):
    def __init__(self, levels, gain=1.0, **kwargs):
        super().__init__(levels, **kwargs)
        self.gain = gain

    def call(self, sequence, mask=None, training=False):
        return self.gain * super().call(sequence, mask, training)


@keras.saving.register_keras_serializable(package="tests")
class Writer(Decoder):
    def __init__(self, vocabulary, levels, embedding, gain=1.0, **kwargs):
        super().__init__(vocabulary, levels, embedding, **kwargs)
        self.gain = gain


ACTIVATIONS = keras.activations.sigmoid, keras.activations.relu
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
    "a driver extended, in both directions": lambda: keras.layers.Bidirectional(Scaled(Leaky(4, leak=0.9), scale=3.0)),
    "levels extended": lambda: Louder([[Recurrent(Leaky(4, leak=0.9))]], gain=2.0),
    "a constructor from beside": lambda: Recurrent(Mixed(4, leak=0.9)),
    "any number of arguments by place": lambda: Recurrent(Many(4, 0.1, 0.7, activation="relu")),
    "a list and a dictionary": lambda: Recurrent(Parts(4, list(ACTIVATIONS), {"a": 0.5, "b": np.full(4, 0.5, "f")})),
    "a tuple and a layer": lambda: Recurrent(Parts(4, ACTIVATIONS, head=keras.layers.Dense(2))),
    "objects of Keras": lambda: Recurrent(
        Leaky(4, kernel_initializer=keras.initializers.RandomNormal(seed=1), activation=keras.activations.relu)
    ),
    "a form of one's own": lambda: Recurrent(Written(4, 0.9)),
    "a form of one's own, extended": lambda: Recurrent(BeyondWritten(4, 0.9, damping=0.5)),
    "a get_config that builds on an automatic one": lambda: Recurrent(Halved(2, leak=0.9)),
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


def test_cells_and_attentions_of_one_s_own_come_back_in_a_decoder():
    levels = [AttentionCell(Leaky(4, leak=0.9), Sharper(3, temperature=0.2)), Leaky(4, leak=0.3)]
    decoder = Writer(20, levels, 5, gain=2.0)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(decoder))
    first, second = (level.cell for level in again.levels)
    found = first.cell.leak, second.leak, first.attention.temperature, again.gain
    np.testing.assert_array_equal(np.array(found, "float32"), np.array([0.9, 0.3, 0.2, 2.0], "float32"))


def test_name_dtype_and_freezing_win_over_what_the_constructor_was_given():
    class Named(Leaky):
        def __init__(self, units, name=None, dtype=None, trainable=True, **kwargs):
            super().__init__(units, name=name, dtype=dtype, trainable=trainable, **kwargs)

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        cell = Named(4, leak=0.9)
    finally:
        keras.config.set_dtype_policy(before)
    cell.trainable = False
    again = Named.from_config(cell.get_config())
    assert (again.name, again.dtype_policy.name, again.trainable) == (cell.name, "mixed_bfloat16", False)


def test_an_argument_is_saved_as_it_was_when_the_layer_was_made():
    leaks = [0.1]
    cell = Parts(4, factors={"a": leaks})
    leaks[0] = 5.0
    assert cell.get_config()["factors"] == {"a": [0.1]}


@pytest.mark.parametrize(
    "value", [lambda x: x, [lambda x: x], {1, 2}, object(), GRUCell, 1j], ids=lambda x: str(type(x))
)
def test_what_cannot_be_written_is_named(value):
    with pytest.raises(NotImplementedError, match="Parts: saving and copying need a `get_config` .*: functions;"):
        Parts(3, value).get_config()


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


def stepped(cell, inputs):
    state = Recurrent(cell)(inputs)
    return [state, cell(inputs[:, 0], [state])[0]]


def in_models(layer, inputs):
    return [keras.Sequential([keras.Input(inputs.shape[1:]), layer, keras.layers.Dense(2)])(inputs) for _ in range(2)]


RNN, twice = keras.layers.RNN, {"return_sequences": True}
SHARED = {
    "ours and stock": (GRUCell, lambda cell, x: [Recurrent(cell)(x), RNN(cell)(x)]),
    "stock and ours": (GRUCell, lambda cell, x: [RNN(cell)(x), Recurrent(cell)(x)]),
    "stock and stock": (GRUCell, lambda cell, x: [RNN(cell)(x), RNN(cell, go_backwards=True)(x)]),
    "a layer of its own": (GRUCell, stepped),
    "two levels": (GRUCell, lambda cell, x: [Stack([[Recurrent(cell, **twice)], [Recurrent(cell)]])(x)]),
    "a driver and two levels": (
        lambda units: Recurrent(GRUCell(units), **twice),
        lambda layer, x: [layer(x)[:, -1], Stack([[layer], [layer]])(x)[:, 0]],
    ),
    "two models": (lambda units: Recurrent(GRUCell(units)), in_models),
    "one driver, called twice": (
        lambda units: Recurrent(GRUCell(units)),
        lambda layer, x: [layer(x), layer(x[:, ::-1])],
    ),
    "a layer that two cells are given": (
        keras.layers.Dense,
        lambda head, x: [Recurrent(Parts(3, head=head))(x), Recurrent(Parts(3, head=head))(x)],
    ),
    "beside stock Bidirectional, which copies": (
        GRUCell,
        lambda cell, x: [Recurrent(cell)(x), keras.layers.Bidirectional(Recurrent(cell))(x)],
    ),
}


@pytest.mark.parametrize(("make", "run"), SHARED.values(), ids=SHARED)
def test_what_is_shared_is_shared_again(make, run, tmp_path):
    inputs = keras.Input(SHAPE[1:])
    model = keras.Model(inputs, ops.concatenate(run(make(3), inputs), axis=-1))
    filled(model, SHAPE)
    model.save(tmp_path / "tied.keras")
    again = keras.models.load_model(tmp_path / "tied.keras")
    np.testing.assert_allclose(again(X), model(X), atol=1e-6)
    assert len(again.weights) == len(model.weights)
    for weight in model.trainable_weights:  # tied for good: moved once, moved everywhere
        weight.assign(weight + 0.1)
    again.set_weights(model.get_weights())
    np.testing.assert_allclose(again(X), model(X), atol=1e-6)


def test_an_attention_that_two_cells_share_is_shared_again(tmp_path):
    attention = AdditiveAttention(3)
    inputs, memory = keras.Input(SHAPE[1:]), keras.Input((4, 3))
    levels = [Recurrent(AttentionCell(GRUCell(4), attention)) for _ in range(2)]
    model = keras.Model([inputs, memory], ops.concatenate([level(inputs, constants=memory) for level in levels]))
    model.save(tmp_path / "tied.keras")
    again = keras.models.load_model(tmp_path / "tied.keras")
    assert len(again.weights) == len(model.weights)
    given = [X, np.random.default_rng(1).normal(size=(2, 4, 3)).astype("float32")]
    np.testing.assert_allclose(again(given), model(given), atol=1e-6)


def test_what_was_frozen_is_frozen_when_it_is_read_back(tmp_path):
    tokens, summary = keras.Input((None,), dtype="int32"), keras.Input((4,))
    decoder = Decoder(20, [GRUCell(8)], embedding=5)
    model = keras.Model([tokens, summary], decoder(tokens, summary))
    decoder.trainable = False
    model.save(tmp_path / "frozen.keras")
    assert model.trainable_weights == []
    assert keras.saving.load_model(tmp_path / "frozen.keras").trainable_weights == []


def test_a_layer_made_frozen_freezes_its_cell():
    for layer in (Recurrent(LSTMCell(4), trainable=False), keras.layers.LSTM(4, trainable=False)):
        model = keras.Sequential([keras.Input(SHAPE[1:]), layer, keras.layers.Dense(1)])
        assert [w.shape for w in model.trainable_weights] == [(4, 1), (1,)]
