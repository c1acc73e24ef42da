"""What is saved of layers that users extend or share: arguments of their own, and parts that several layers hold."""

import inspect

import keras
from keras.src.saving import serialization_lib

PLAIN = (str, int, float, bool, type(None))


class Extensible:
    """A base of layers that users extend: their arguments come back, and one that several layers hold is written once.

    A class of the user's that extends one of ours and has a constructor of its own, but no `get_config`, is saved with
    the arguments that it was made with: numbers, texts, and what `keras.saving.serialize_keras_object` can write, also
    in lists and dictionaries. As in stock Keras, an attribute that is changed later is not saved.

    Raises:
        NotImplementedError: in `get_config`, if an argument cannot be written; the message names it.
    """

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls, *args, **kwargs)
        object.__setattr__(made, "_given", copied((args, kwargs)))  # past Keras, which looks for layers in attributes
        return made

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        owner = {name: owner_of(cls, name) for name in ("__init__", "get_config", "from_config")}
        if is_built_in(owner["__init__"]) or cls.__mro__.index(owner["get_config"]) <= cls.__mro__.index(
            owner["__init__"]
        ):
            return  # there is no argument that `get_config` does not know of
        # Who writes both get_config and from_config decides about the form of an argument in between.
        by_hand = not is_built_in(owner["from_config"]) and cls.from_config.__func__ is not read
        keeps = by_hand and not is_built_in(owner["get_config"])

        def get_config(self):
            config = super(cls, self).get_config()
            last = type(self).get_config
            if last is get_config:
                return arguments_of(self, config, keeps)
            # Where a class that extends this one has an automatic `get_config` too, that one writes all.
            return config if is_automatic(last) else {**config, **arguments_of(self, config, keeps, complete=False)}

        get_config.automatic = True
        cls.get_config = get_config
        if not by_hand:
            cls.from_config = classmethod(read)

    def get_build_config(self):
        in_one_piece(self)
        return super().get_build_config()


def owner_of(cls, name):
    """The class that defines what instances of `cls` have by that name."""
    return next(base for base in cls.__mro__ if name in vars(base))


def is_built_in(cls):
    return cls.__module__.partition(".")[0] in (__name__.partition(".")[0], "keras")


def is_automatic(get_config):
    return getattr(get_config, "automatic", False)


def copied(value):
    """The value as it is now: lists and dictionaries may be changed later."""
    if type(value) is dict:
        return {key: copied(part) for key, part in value.items()}
    return type(value)(map(copied, value)) if type(value) in (list, tuple) else value


def arguments_of(layer, config, keeps=False, complete=True):
    """The arguments that a layer was made with, as `read` takes them.

    Args:
        layer: The layer.
        config: What the class that it extends would save: its name, dtype and whether it is trained are taken from it,
            and arguments that cannot be written otherwise.
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
    """An argument as `keras.saving.deserialize_keras_object` reads it; `parts`: what it is made of."""
    if any(getattr(part, "__name__", "") == "<lambda>" for part in parts):
        raise ValueError("A lambda cannot be read back.")
    for part in parts:
        if isinstance(part, keras.layers.Layer):
            in_one_piece(part)
    return keras.saving.serialize_keras_object(value)


def read(cls, config, custom_objects=None):
    """A layer of `arguments_of`: arguments that were written as objects are made first."""
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
    """An argument as it was, of what `written` made of it."""
    if isinstance(value, (list, tuple)):
        return type(value)(made(part, custom_objects) for part in value)
    if not isinstance(value, dict):
        return value
    if "class_name" in value and "config" in value:
        return keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
    return {key: made(part, custom_objects) for key, part in value.items()}


def in_one_piece(part):
    """Has a part written to a file with its identity, by which all layers that hold it get the same one again.

    Keras gives the identity to whatever it meets a second time within a file, and not to the first one, which is then
    read as another object that lacks its weights. Whatever it is told of before counts as met. Within a layer that is
    being read, such as stock Bidirectional, which copies its layers, copies are wanted.
    """
    if serialization_lib.in_safe_mode() is None:  # None: nothing is being read
        serialization_lib.record_object_after_serialization(part, {"module": None})
