"""What is saved of layers that users extend or share: arguments of their own, and parts that several layers hold."""

import inspect
import weakref

import keras

PLAIN = (str, int, float, bool, type(None))


class Extensible:
    """A base of layers that brings arguments of one's own back, as Keras does for classes without `get_config`.

    A class of the user's that extends one of ours and has a constructor of its own, but no `get_config`, is saved with
    the arguments that it was made with: numbers, texts, and what `keras.saving.serialize_keras_object` can write.

    Raises:
        NotImplementedError: in `get_config`, if an argument cannot be written; the message names it.
    """

    def __new__(cls, *args, **kwargs):
        made = super().__new__(cls, *args, **kwargs)
        object.__setattr__(made, "_given", (args, kwargs))
        return made

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        ours = cls.__module__.partition(".")[0] == __name__.partition(".")[0]
        if ours or "__init__" not in vars(cls) or "get_config" in vars(cls):
            return

        def get_config(self):
            return arguments_of(self, super(cls, self).get_config())

        cls.get_config = get_config
        if "from_config" not in vars(cls):
            cls.from_config = classmethod(read)


def arguments_of(layer, config):
    """The arguments that a layer was made with, and of `config`, that of the class it extends, its name and dtype."""
    cls = type(layer)
    signature = inspect.signature(cls.__init__)
    kinds = {parameter.kind for parameter in list(signature.parameters.values())[1:]}
    args, kwargs = layer._given
    bound = signature.bind(layer, *args, **kwargs)
    bound.apply_defaults()
    given, refused = {}, []
    for name, value in list(bound.arguments.items())[1:]:
        kind = signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            given |= value
        elif kind is inspect.Parameter.POSITIONAL_ONLY or (kind is inspect.Parameter.VAR_POSITIONAL and value):
            refused.append(name)
        elif kind is not inspect.Parameter.VAR_POSITIONAL:
            given[name] = value
    found = {}
    for name, value in given.items():
        if all(isinstance(part, PLAIN) for part in keras.tree.flatten(value)) and not isinstance(value, type):
            found[name] = value
        elif name in config:
            found[name] = config[name]
        elif getattr(value, "__name__", "") == "<lambda>":
            refused.append(name)
        else:
            try:
                found[name] = keras.saving.serialize_keras_object(value)
            except (TypeError, ValueError):
                refused.append(name)
    if refused:
        raise NotImplementedError(
            f"{cls.__name__}: saving and copying need a `get_config` that says what these arguments are: "
            f"{', '.join(refused)}; and a `from_config` if they are no plain values."
        )
    if inspect.Parameter.VAR_KEYWORD in kinds:
        found = {**{name: config[name] for name in ("name", "trainable", "dtype") if name in config}, **found}
    elif "name" in signature.parameters:
        found["name"] = config["name"]
    return found


def read(cls, config, custom_objects=None):
    """A layer of `arguments_of`: arguments that were written as objects are made first."""
    made = lambda value: keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
    is_object = lambda value: isinstance(value, dict) and "class_name" in value and "config" in value
    return cls(
        **{name: made(value) if is_object(value) and name != "dtype" else value for name, value in config.items()}
    )


# Parts that several layers hold: one cell run in two directions, one attention in two decoders.

HOLDERS = weakref.WeakKeyDictionary()  # part -> the layers that hold it


def hold(part, holder):
    """Notes that `holder` has `part`."""
    HOLDERS.setdefault(part, weakref.WeakSet()).add(holder)


def serialized(part):
    """The configuration of a part. Where several layers hold it, reading a file makes it once for all of them."""
    config = keras.saving.serialize_keras_object(part)
    if len(HOLDERS.get(part, ())) > 1:
        config["shared_object_id"] = id(part)
    return config
