"""Settings that tasks share, as dataclasses that a task's own extends: the flags, the help and `config.json`."""

import dataclasses
from typing import ClassVar, Literal

from layers import CELLS


@dataclasses.dataclass
class Training:
    """Settings that every task has."""

    data: str = ""
    """file to train on; the built-in data unless given"""
    validation_data: str = ""
    """file to validate on; a tenth of the training data is held out unless given"""
    test_data: str = ""
    """file to test on when training is over"""
    dataset: str = ""
    """public data set of TensorFlow Datasets, instead of --data"""
    encoding: str = ""
    """encoding of text files, such as cp1252; UTF-8, or what a byte order mark says, unless given"""
    separator: str = ""
    """character between the fields of a table; what the suffix and the header say unless given"""
    escape: str = ""
    """character that escapes quotation marks within a field of a table; quotation marks are doubled unless given"""
    run: str = ""
    """folder of the run; runs/TASK unless given"""
    resume: bool = False
    """go on with the run that is in the folder"""
    overwrite: bool = False
    """replace the run that is in the folder, when the new one is finished"""
    seed: int = 0
    """the same seed gives the same weights"""
    epochs: int = 10
    """passes over the training data"""
    batch_size: int = 64
    """examples in a batch"""
    learning_rate: float = 4e-3
    """of Adam, the largest in the schedule"""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """how the learning rate falls after the warm-up"""
    warmup: float = 0.1
    """share of the steps in which the learning rate rises, in [0, 1)"""
    clip_norm: float = 1.0
    """largest norm of all gradients together; 0 does not clip"""
    ema: float = 0.98
    """weights are averaged with this momentum, in [0, 1); 0 does not average"""
    weight_decay: float = 0.0
    """decoupled weight decay a step, times the learning rate"""
    patience: int = 3
    """epochs without improvement on validation data before training stops; 0 never stops"""
    baselines: bool = True
    """measure simple methods on the same data, to see whether the network earns its keep"""
    mixed_precision: Literal["none", "bfloat16", "float16"] = "none"
    """products in 16 bits"""
    checkpoint_minutes: float = 5.0
    """how often to write a checkpoint within an epoch"""


RANGES = {
    "epochs": (1, None),
    "batch_size": (1, None),
    "learning_rate": (1e-12, 1e3),
    "warmup": (0, 0.999),
    "clip_norm": (0, None),
    "ema": (0, 0.99999),
    "weight_decay": (0, None),
    "patience": (0, None),
    "checkpoint_minutes": (0, None),
    "seed": (0, 2**31 - 1),
}


@dataclasses.dataclass
class Network(Training):
    """Settings of tasks that read texts through recurrent levels."""

    cell: Literal[tuple(CELLS)] = "lstm"
    """recurrent cell"""
    units: int = 64
    """width of the carry, in each direction"""
    depth: int = 1
    """recurrent levels"""
    bidirectional: bool = True
    """whether each level reads the text both ways"""
    recurrent_dropout: float = 0.0
    """share of the hidden state dropped, one mask a text"""
    embedding: int = 128
    """width of a word's vector"""

    RANGES: ClassVar = {
        **dict.fromkeys(("units", "embedding"), (1, None)),
        "depth": (1, 20),
        "recurrent_dropout": (0, 0.99),
    }


@dataclasses.dataclass
class Words(Network):
    """Settings of tasks whose vocabulary is one of words."""

    vectors: str = ""
    """pretrained word vectors, GloVe or word2vec text format, gzip too"""
    vocabulary: int = 20_000
    """words kept, the most frequent first"""
    minimum_count: int = 1
    """how often a word must occur in the training data"""

    RANGES: ClassVar = {**Network.RANGES, **dict.fromkeys(("vocabulary", "minimum_count"), (1, None))}
