"""Settings that tasks share, as dataclasses that a task's `Config` extends: the flags, the help and `config.json`.

`RANGES` gives the allowed numbers. `HELP` gives the flags of each group that `--help` shows; `--help-all` shows all.
Both are collected from a class and its base classes.
"""

import dataclasses
from typing import ClassVar, Literal, get_args, get_origin

import tyro

from data.files import Form, InputError
from layers import CELLS, stack


@dataclasses.dataclass
class Training:
    """Settings that every task has."""

    data: str = ""
    """file to train on; without it the built-in data"""
    validation_data: str = ""
    """file to validate on; without it a tenth of --data"""
    test_data: str = ""
    """file to test on when training is over"""
    dataset: str = ""
    """public set of TensorFlow Datasets by name"""
    encoding: str = ""
    """encoding of text files, such as cp1252; else UTF-8, or that of a byte order mark"""
    separator: str = ""
    """character between the fields of a table; else by its suffix and header"""
    escape: str = ""
    """character that escapes quotation marks within a field of a table; else they are doubled"""
    run: str = ""
    """folder of the run; else runs/TASK"""
    config: str = ""
    """JSON or TOML file of these settings; flags win"""
    resume: bool = False
    """continue the run in the folder"""
    overwrite: bool = False
    """replace the run in the folder when this one is done"""
    tensorboard: bool = True
    """write TensorBoard's event files to the run's folder"""
    memory: float = 0.5
    """GiB of prepared examples kept in memory; larger ones are kept in files in the run's folder"""
    seed: int = 0
    """the same seed gives the same weights"""
    epochs: int = 10
    """passes over the training data"""
    batch_size: int = 64
    """examples in a batch"""
    learning_rate: float = 4e-3
    """largest learning rate of Adam's schedule"""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """how the learning rate falls after the warm-up"""
    warmup: float = 0.1
    """share of the steps in which the learning rate rises, in [0, 1)"""
    clip_norm: float = 1.0
    """largest norm of all gradients together; 0 does not clip"""
    clip_value: float = 0.0
    """largest absolute value in a gradient, instead of --clip-norm; 0: by norm"""
    ema: float = 0.98
    """momentum of the average of the weights, in [0, 1); 0 does not average"""
    weight_decay: float = 0.0
    """decoupled weight decay per step, times the learning rate"""
    patience: int = 3
    """epochs without improvement before it stops; 0: never"""
    folds: int = 0
    """folds of a cross-validation, 3 or more; 0: none"""
    baselines: bool = True
    """whether baselines are evaluated on the same data"""
    mixed_precision: Literal["none", "bfloat16", "float16"] = "none"
    """dtype of the products, where 16 bits are enough"""
    checkpoint_minutes: float = 5.0
    """minutes between two checkpoints within an epoch"""

    RANGES: ClassVar = {
        "epochs": (1, None),
        "batch_size": (1, None),
        "learning_rate": (1e-12, 1e3),
        "warmup": (0, 0.999),
        "clip_norm": (0, None),
        "clip_value": (0, None),
        "ema": (0, 0.99999),
        "weight_decay": (0, None),
        "patience": (0, None),
        "checkpoint_minutes": (0, None),
        "memory": (0, None),
        "seed": (0, 2**31 - 1),
        "folds": (0, 1000),
    }
    HELP: ClassVar = {
        "data": ("data", "validation_data", "test_data", "dataset"),
        "network": (),
        "training": ("epochs", "batch_size", "learning_rate", "patience", "seed", "folds", "baselines"),
        "run": ("run", "resume", "overwrite", "config"),
    }

    @property
    def form(self):
        """The format of the user's text files."""
        return Form(self.encoding, self.separator, self.escape)


@dataclasses.dataclass
class Network(Training):
    """Settings of tasks that read sequences through recurrent levels."""

    cell: Literal[tuple(CELLS)] = "lstm"
    """recurrent cell: one of those in layers/README.md"""
    units: int = 64
    """width of the carry, in each direction"""
    depth: int = 1
    """recurrent levels"""
    bidirectional: bool = True
    """whether each level reads the sequence both ways"""
    recurrent_dropout: float = 0.0
    """share of the hidden state dropped, one mask a sequence"""
    embedding: int = 128
    """width of a token's vector"""

    RANGES: ClassVar = {
        **dict.fromkeys(("units", "embedding"), (1, None)),
        "depth": (1, 20),
        "recurrent_dropout": (0, 0.99),
    }
    HELP: ClassVar = {"network": ("cell", "units", "depth", "bidirectional", "embedding")}

    def levels(self, make=stack, **given):
        """The recurrent levels, by `layers.stack` or another function; `given` are its other arguments."""
        return make(
            CELLS[self.cell],
            self.units,
            depth=self.depth,
            bidirectional=self.bidirectional,
            recurrent_dropout=self.recurrent_dropout,
            seed=self.seed,
            **given,
        )


@dataclasses.dataclass
class Words(Network):
    """Settings of tasks with a vocabulary of words."""

    vectors: str = ""
    """pretrained word vectors, a text file like GloVe's"""
    vocabulary: int = 20_000
    """words kept, the most frequent first"""
    minimum_count: int = 1
    """how often a word must occur in the training data"""

    RANGES: ClassVar = dict.fromkeys(("vocabulary", "minimum_count"), (1, None))
    HELP: ClassVar = {"network": ("vocabulary", "vectors")}


def ranges(config):
    """Name -> (smallest, largest or None) of every number among the settings of a dataclass."""
    return {name: limits for one in reversed(config.__mro__) for name, limits in vars(one).get("RANGES", {}).items()}


def checked(path, config, values):
    """The settings that a file holds, as they are.

    Raises:
        InputError: if they are no dictionary, or one of them is no setting of the dataclass or not of its type.
    """
    if not isinstance(values, dict):
        raise InputError(path, "expected an object of settings, received something else.")
    kinds = {field.name: field.type for field in dataclasses.fields(config)}
    if wrong := sorted(values.keys() - kinds):
        received = ", ".join(map(repr, wrong))
        raise InputError(path, f"expected settings of this task, see --help-all; received {received}.")
    for name, value in values.items():
        if not _allows(kinds[name], value):
            named = ", ".join(map(str, get_args(kinds[name]))) or kinds[name].__name__
            raise InputError(path, f"expected for {name!r} a value of {named}, received {value!r}.")
    return values


def _allows(kind, value):
    """Whether a value of JSON or TOML is of a field's type."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_args(kind):  # a union, such as int | None
        return any(_allows(one, value) for one in get_args(kind))
    return type(value) is kind or (kind is float and type(value) is int)


def helped(config):
    """Group -> the flags that `--help` shows, of a dataclass."""
    groups = {}
    for one in reversed(config.__mro__):
        for group, names in vars(one).get("HELP", {}).items():
            groups.setdefault(group, []).extend(name for name in names if name not in groups[group])
    return groups


# The flags of the other verbs.


@dataclasses.dataclass
class Evaluate:
    """Metrics on labelled data."""

    data: str
    """file of labelled examples"""
    run: str = ""
    """folder of the run; else runs/TASK"""
    json: bool = False
    """one JSON object on standard output"""
    encoding: str | None = None
    """encoding of the file; else as for the training data"""
    separator: str | None = None
    """character between the fields of the file, likewise"""
    escape: str | None = None
    """character that escapes quotation marks, likewise"""


@dataclasses.dataclass
class Answers:
    """Flags of the verbs that answer."""

    run: str = ""
    """folder of the run; else runs/TASK"""
    json: bool = False
    """one JSON object a line on standard output"""
    to: str = ""
    """file for the answers: .jsonl, .csv, .html or another format of the task"""
    encoding: str | None = None
    """encoding of the files; else as for the training data"""
    separator: str | None = None
    """character between the fields of tables, likewise"""
    escape: str | None = None
    """character that escapes quotation marks, likewise"""


@dataclasses.dataclass
class Predict(Answers):
    """Answers to raw inputs."""

    inputs: tyro.conf.Positional[tuple[str, ...]] = ()
    """the inputs; for a task that reads files: files, folders and patterns"""
    input: tuple[str, ...] = ()
    """files with an input on each line, folders of these, patterns; - is standard input"""


@dataclasses.dataclass
class Export:
    """An export of the trained model."""

    run: str = ""
    """folder of the run; else runs/TASK"""
    format: Literal["savedmodel", "onnx", "litert"] = "savedmodel"
    """savedmodel takes raw input; onnx and litert contain the network after the preparation of its input"""
    to: str = ""
    """path to write; else RUN/export"""


@dataclasses.dataclass
class Demo:
    """A page in the browser that asks the trained network; Ctrl-C ends it."""

    run: str = ""
    """folder of the run; else runs/TASK"""
    port: int = 8000
    """port of the page; 0: any free one"""
    host: str = "127.0.0.1"
    """address to listen on; another one lets other machines ask, without a password"""

    RANGES: ClassVar = {"port": (0, 65535)}
