"""A task is a record; train, evaluate, predict and export are functions over it.

    Task(name, config, load, vocabularies, build, judge)

A task module says what is learnt from which data and what is answered; the rest is here, once for all tasks.
"""

import dataclasses
import functools
import pathlib
import types
from collections.abc import Callable
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from data import batching
from data.files import InputError
from data.transforms import words as text
from layers import CELLS
from pipelines.engine import exporting
from pipelines.engine.folder import CHECKPOINT, CONFIG, METRICS, VOCABULARIES, WEIGHTS, RunFolder
from pipelines.engine.optimizer import OnePassAdamW
from pipelines.engine.training import fit, in_order, repeatable, say, share_cores


@dataclasses.dataclass
class Parts:
    """What `build` makes of a configuration and vocabularies.

    Attributes:
        signature: `tf.TensorSpec` of a batch of raw inputs, with the name that the exported model calls it by.
        prepare: Raw inputs -> features; graph operations only, the same object trains and is exported.
        target: Raw inputs, raw labels -> training targets; graph operations only.
        model: Features -> scores, a functional `keras.Model`.
        loss, metrics: What it is trained with; the first metric on validation data says which epoch is the best.
        answer: Scores, raw inputs -> dictionary of what the caller wants; graph operations only. Where an answer says
            nothing of the input, as a classifier's, the raw inputs may be None.
        samples: A few raw inputs of different sizes, to try an export with.
        taught: Features, targets -> what the model is trained on, where it reads the targets too; or None.
        decode: Features -> scores, graph operations only, where they are what a search over the model's finds; or None.
        words: Raw inputs -> ragged strings, one for each timestep of the features; or None.
        constants: Name -> strings that the exported model also tells, such as the labels.
        known: What the judge wants to know of the training data.
        begin: Called once before training, with batches of the training data in order, to set weights; or None.
        settle: Called when an epoch is over, with batches of the validation data, to set what that decides; or None.
    """

    signature: tf.TensorSpec
    prepare: Callable
    target: Callable
    model: keras.Model
    loss: keras.losses.Loss
    metrics: list[keras.metrics.Metric]
    answer: Callable
    samples: list
    taught: Callable | None = None
    decode: Callable | None = None
    words: Callable | None = None
    constants: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    known: dict = dataclasses.field(default_factory=dict)
    begin: Callable | None = None
    settle: Callable | None = None

    @functools.cached_property
    def scores(self):
        """Features -> scores, traced once for all shapes."""
        run = self.decode or (lambda features: self.model(features, training=False))
        read = self.model.input[0] if self.taught else self.model.input
        features = tf.TensorSpec(read.shape, read.dtype, "features")
        return tf.function(run, input_signature=[features], autograph=False)

    @functools.cached_property
    def serve(self):
        """Raw inputs -> answer, traced once: what is exported."""
        serve = lambda raw: self.answer(self.scores(self.prepare(raw)), raw)
        return tf.function(serve, input_signature=[self.signature], autograph=False)


@dataclasses.dataclass
class Task:
    """What a task module tells.

    Attributes:
        name: The module's name in `pipelines`.
        config: A flat dataclass that extends `Training`: the flags, the help and `config.json`.
        load: `config -> {"train": ..., "validation": ..., "test": ...}`, `tf.data.Dataset` of raw (input, label).
        vocabularies: `(config, train) -> dict` of lists: all that is learnt from data and is not a weight.
        build: `(config, vocabularies) -> Parts`.
        judge: A module with what the answers are worth and how they are shown: `measure`, `baselines`, `told`,
            `answers`, `printed`, `draw`, `pictures` and `PICTURES`; see `classification.py`.
        labelled: `(path, config, vocabularies) -> tf.data.Dataset` of raw (input, label), to evaluate on.
    """

    name: str
    config: type
    load: Callable
    vocabularies: Callable
    build: Callable
    judge: types.ModuleType
    labelled: Callable


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


def optimizer(config, steps):
    """Adam as the configuration says, over so many steps."""
    return OnePassAdamW(
        Schedule(config.learning_rate, steps, rise=int(steps * config.warmup), fall=config.schedule),
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises to `peak` over `rise` steps, then falls to nothing or stays.

    Args:
        peak: The largest rate.
        steps: Steps in all.
        rise: Steps in which it rises.
        fall: "cosine", "linear" or "constant".
    """

    def __init__(self, peak, steps, rise, fall):
        self.peak, self.steps, self.rise, self.fall = peak, steps, rise, fall

    def __call__(self, step):
        step = ops.cast(step, "float32")
        risen = ops.minimum((step + 1) / (self.rise + 1), 1.0)
        done = ops.clip((step - self.rise) / max(1, self.steps - self.rise), 0.0, 1.0)
        shares = {"cosine": (1 + ops.cos(np.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}
        return self.peak * risen * shares[self.fall]

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps, "rise": self.rise, "fall": self.fall}


# What tasks share.


def splits_of(config, source, check, load, public=None):
    """The examples that the configuration names: the user's files, a public set, or the built-in data.

    Args:
        config: A `Training`.
        source: A module of `data` with `built_in`, `SPLITS`, `public` and `public_splits`.
        check: `(path, known labels or None) -> {"labels": ...}`; raises InputError.
        load: `path -> tf.data.Dataset`.
        public: `(name, split) -> tf.data.Dataset`, where it is not simply the module's.

    Returns:
        `{"train": ..., "validation": ..., perhaps "test": ...}`; validation data is held out where there is none.
    """
    if config.dataset:
        there = source.public_splits(config.dataset)
        if "train" not in there:
            raise InputError(config.dataset, f"expected a training split, received {', '.join(there)}.")
        splits = {split: (public or source.public)(config.dataset, split) for split in there}
    elif config.data:
        known = check(config.data, None)["labels"]
        splits = {"train": load(config.data)}
        for split, path in (("validation", config.validation_data), ("test", config.test_data)):
            if path:
                check(path, known)
                splits[split] = load(path)
    else:
        splits = {split: source.built_in(split) for split in source.SPLITS}
    if "validation" not in splits:
        splits["train"], splits["validation"] = batching.held_out(splits["train"], share=0.1, seed=config.seed)
    return splits


def use_vectors(embedding, config, words):
    """Gives an embedding the pretrained vectors that the configuration names, if it does."""
    if not config.vectors:
        return
    matrix, found = text.load_vectors(config.vectors, words, seed=config.seed)
    width = matrix.shape[1]
    if width != config.embedding:
        expected = f"expected {config.embedding} numbers a word, received {width}"
        raise InputError(config.vectors, f"{expected}; add --embedding {width}.")
    say(f"{config.vectors}: vectors for {found:,} of {len(words):,} words")
    embedding.set_weights([matrix])


# The verbs.


def train(task, config):
    """Trains, evaluates, shows; returns the metrics. A run that was killed goes on where it was with `resume`."""
    folder = RunFolder(config.run)
    going_on = config.resume and folder.has(CONFIG)
    if going_on and folder.has(METRICS):
        say(f"{folder} is finished already; see {folder / 'README.md'}")
        return folder.read_json(METRICS)
    if not going_on:
        folder.check_free(config.overwrite)
    share_cores()
    repeatable(config.seed)
    splits = task.load(config)
    vocabularies = folder.read_json(VOCABULARIES) if going_on else task.vocabularies(config, splits["train"])
    parts = assembled(task, config, vocabularies)
    data = {
        split: batching.cached(batching.prepared(examples, parts.prepare, parts.target))
        for split, examples in splits.items()
    }
    examples = {split: batching.count(found) for split, found in data.items()}
    for split in ("train", "validation"):
        if not examples[split]:
            raise InputError(config.data or config.dataset, f"expected examples for {split}, received none.")
    say(", ".join(f"{split}: {number:,} examples" for split, number in examples.items()))
    say(f"{parts.model.count_params():,} weights to learn; the run will be in {folder}")
    # The loop is faster in the plain graph than under XLA on a CPU, and compiles for no shape in particular.
    steps = config.epochs * -(-examples["train"] // config.batch_size)
    parts.model.compile(optimizer(config, steps), parts.loss, metrics=parts.metrics, jit_compile=False)
    if parts.begin and not (going_on and folder.has(CHECKPOINT)):
        parts.begin(in_order(data["train"], parts.taught))
    if not going_on:
        folder.begin(config, vocabularies, config.overwrite)
    history = fit(parts, config, folder, data["train"], data["validation"])

    metrics = {"seconds_training": round(sum(row["seconds"] for row in history), 1), "epochs": len(history)}
    metrics |= {split: task.judge.measure(parts, data[split], splits[split]) for split in data if split != "train"}
    if config.baselines:
        metrics["baselines"] = task.judge.baselines(parts, splits)
    task.judge.pictures(parts, folder, history, metrics["validation"], splits)
    folder.write_text("README.md", described(task, config, metrics))
    folder.write_json(METRICS, metrics)  # with it the run is finished
    folder.finish()
    say(f"{task.judge.told(metrics)}\n\nthe run is in {folder}: see {folder / 'README.md'}")
    return metrics


def evaluate(task, run, data):
    """Metrics of a trained run on a file of labelled examples."""
    config, vocabularies, parts = restored(task, run)
    examples = task.labelled(data, config, vocabularies)
    return task.judge.measure(
        parts, batching.cached(batching.prepared(examples, parts.prepare, parts.target)), examples
    )


def predict(task, run, inputs):
    """Answers to raw inputs, a list of dictionaries in their order."""
    return task.judge.answers(restored(task, run)[2], inputs)


def export(task, run, to, format):
    """Writes the trained model for others to run; returns the path."""
    parts = restored(task, run)[2]
    return exporting.export(parts, pathlib.Path(to or RunFolder(run) / "export"), format)


def assembled(task, config, vocabularies):
    policy = "float32" if config.mixed_precision == "none" else f"mixed_{config.mixed_precision}"
    keras.config.set_dtype_policy(policy)
    return task.build(config, vocabularies)


def restored(task, run):
    """`(config, vocabularies, parts)` of a trained run."""
    folder = RunFolder(run)
    if not folder.path.is_dir():
        raise InputError(folder, "expected the folder of a run, received a path where there is none; train first.")
    config, vocabularies = folder.read_config(task.config), folder.read_json(VOCABULARIES)
    parts = assembled(task, config, vocabularies)
    if not folder.has(WEIGHTS):
        raise InputError(folder, f"expected {WEIGHTS}, received a run that is not finished; go on with train --resume.")
    try:
        parts.model.load_weights(folder / WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(folder / WEIGHTS, f"expected the weights of this run, received others ({reason}).") from None
    return config, vocabularies, parts


def described(task, config, metrics):
    """README.md of a run: what was trained on what, with which result."""
    source = config.dataset or config.data or "the built-in data"
    default = {field.name: field.default for field in dataclasses.fields(config)}
    changed = {name: value for name, value in dataclasses.asdict(config).items() if value != default[name]}
    settings = ", ".join(f"`{name}` {value}" for name, value in changed.items()) or "all as they come"
    return (
        f"# {task.name}\n\nTrained on {source} for {metrics['epochs']} epochs in {metrics['seconds_training']:.0f} s.\n"
        f"Settings: {settings}; all of them are in `config.json`.\n\n```\n{task.judge.told(metrics)}\n```\n\n"
        + "".join(f"{'!' * name.endswith('.png')}[{name}]({name})\n" for name in task.judge.PICTURES)
        + f"\n    python -m pipelines.{task.name} predict --run {config.run} TEXT\n"
    )
