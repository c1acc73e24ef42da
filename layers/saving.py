"""Saving of layers that users extend or share: their constructor arguments, and parts that several layers hold."""

import inspect

import keras
from keras.src.saving import serialization_lib

PLAIN = (str, int, float, bool, type(None))


class Extensible:
    """A base of layers that users extend: saves constructor arguments, and a layer that several layers hold only once.

    A user's subclass that has its own constructor but no `get_config` is saved with its constructor arguments: numbers,
    strings, and objects that `keras.saving.serialize_keras_object` can write, also in lists and dictionaries. As in
    stock Keras, an attribute that is changed later is not saved.

    Raises:
        NotImplementedError: in `get_config`, if an argument cannot be written; the message names it.
    """

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls, *args, **kwargs)
        object.__setattr__(made, "_given", copied((args, kwargs)))  # bypasses Keras, which tracks layers in attributes
        return made

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        owner = {name: owner_of(cls, name) for name in ("__init__", "get_config", "from_config")}
        if is_built_in(owner["__init__"]) or cls.__mro__.index(owner["get_config"]) <= cls.__mro__.index(
            owner["__init__"]
        ):
            return  # `get_config` knows all arguments
        # A class that defines both get_config and from_config chooses how an argument is stored.
        by_hand = not is_built_in(owner["from_config"]) and cls.from_config.__func__ is not read
        keeps = by_hand and not is_built_in(owner["get_config"])

        def get_config(self):
            config = super(cls, self).get_config()
            last = type(self).get_config
            if last is get_config:
                return arguments_of(self, config, keeps)
            # If a subclass has an automatic `get_config` too, that one writes all arguments.
            return config if is_automatic(last) else {**config, **arguments_of(self, config, keeps, complete=False)}

        get_config.automatic = True
        cls.get_config = get_config
        if not by_hand:
            cls.from_config = classmethod(read)

    def _lock_state(self):
        """Freezes the layers within a layer that was made with `trainable=False`; Keras calls it after `build`.

        Keras itself freezes only those that are there when `trainable` is set later.
        """
        if not self.trainable:
            for layer in self._layers:
                layer.trainable = False
        super()._lock_state()

    def get_build_config(self):
        in_one_piece(self)
        return super().get_build_config()


def owner_of(cls, name):
    """The class that defines the attribute `name` of `cls`."""
    return next(base for base in cls.__mro__ if name in vars(base))


def is_built_in(cls):
    return cls.__module__.partition(".")[0] in (__name__.partition(".")[0], "keras")


def is_automatic(get_config):
    return getattr(get_config, "automatic", False)


def copied(value):
    """A copy of the value's lists and dictionaries, which may change later."""
    if type(value) is dict:
        return {key: copied(part) for key, part in value.items()}
    return type(value)(map(copied, value)) if type(value) in (list, tuple) else value


def arguments_of(layer, config, keeps=False, complete=True):
    """A layer's constructor arguments, in the form that `read` takes.

    Args:
        layer: The layer.
        config: The config of the base class: the name, the dtype, `trainable`, and arguments that cannot be written
            otherwise are taken from it.
        keeps: Whether all arguments that `config` names are taken from it.
        complete: Whether an argument that cannot be written is an error; otherwise it is left out.
    """
    signature = inspect.signature(type(layer).__init__)
    args, kwargs = layer._given
    bound = signature.bind(layer, *args, **kwargs)
    bound.apply_defaults()
    given = dict(list(bound.arguments.items())[1:])
    others = {p.name for p in signature.parameters.values() if p.kind is inspect.Parameter.VAR_KEYWORD}
    for name in others:
        given |= given.pop(name)
    found, refused = {}, []
    for name, value in given.items():
        parts = keras.tree.flatten(value)
        if keeps and name in config:
            found[name] = config[name]
        elif all(isinstance(part, PLAIN) for part in parts):
            found[name] = value
        else:
            try:
                found[name] = written(value, parts)
            except (TypeError, ValueError):
                if name in config:
                    found[name] = config[name]
                else:
                    refused.append(name)
    if refused and complete:
        raise NotImplementedError(
            f"{type(layer).__name__}: saving and copying need a `get_config` that says what these arguments are: "
            f"{', '.join(refused)}; and a `from_config` if they are no plain values."
        )
    always = ("name", "trainable", "dtype")
    return {**found, **{name: config[name] for name in always if name in config and (others or name in given)}}


def written(value, parts):
    """An argument in the form that `keras.saving.deserialize_keras_object` reads; `parts`: its leaves."""
    if any(getattr(part, "__name__", "") == "<lambda>" for part in parts):
        raise ValueError("A lambda cannot be read back.")
    for part in parts:
        if isinstance(part, keras.layers.Layer):
            in_one_piece(part)
    return keras.saving.serialize_keras_object(value)


def read(cls, config, custom_objects=None):
    """Makes a layer from `arguments_of`'s result; arguments saved as objects are made first."""
    dtype, config = config.get("dtype"), {key: made(x, custom_objects) for key, x in config.items() if key != "dtype"}
    if dtype is not None:
        policy = keras.dtype_policies.get(dtype)
        config["dtype"] = policy.name if type(policy) is keras.DTypePolicy else policy
    signature = inspect.signature(cls.__init__)
    places = [p.name for p in list(signature.parameters.values())[1:] if p.kind is not inspect.Parameter.VAR_KEYWORD]
    bound = inspect.BoundArguments(
        signature.replace(parameters=list(signature.parameters.values())[1:]),
        {name: config.pop(name) for name in places if name in config},
    )
    return cls(*bound.args, **bound.kwargs, **config)


def made(value, custom_objects):
    """Restores an argument from the result of `written`."""
    if isinstance(value, (list, tuple)):
        return type(value)(made(part, custom_objects) for part in value)
    if not isinstance(value, dict):
        return value
    if "class_name" in value and "config" in value:
        return keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
    return {key: made(part, custom_objects) for key, part in value.items()}


def in_one_piece(part):
    """Saves a shared part with its identity, so that all layers that hold it get the same object back.

    Keras saves the identity only from the second time that it meets an object in a file; the first one is then loaded
    as another object, without its weights. An object that was recorded before counts as met. While a layer is being
    loaded, such as stock Bidirectional, which copies its layers, copies are wanted.
    """
    if serialization_lib.in_safe_mode() is None:  # None: no file is being loaded
        serialization_lib.record_object_after_serialization(part, {"module": None})
