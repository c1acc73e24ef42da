"""A task is a record; train, evaluate, predict and export are functions over it.

    Task(name, config, load, vocabularies, build, judge)

A task module says what is learnt from which data and what is answered; the rest is here, once for all tasks.
"""

import dataclasses
import pathlib
import types
from collections.abc import Callable
from typing import Literal

import keras
import tensorflow as tf

from data import batching
from data.files import InputError
from pipelines import exporting
from pipelines.folder import CHECKPOINT, CONFIG, METRICS, VOCABULARIES, WEIGHTS, RunFolder
from pipelines.training import fit, repeatable, say


@dataclasses.dataclass
class Parts:
    """What `build` makes of a configuration and vocabularies.

    Attributes:
        signature: `tf.TensorSpec` of a batch of raw inputs, with the name that the exported model calls it by.
        prepare: Raw inputs -> features; graph operations only, the same object trains and is exported.
        target: Raw labels -> training targets; graph operations only.
        model: Features -> scores, a functional `keras.Model`.
        loss, metrics: What it is trained with; the first metric on validation data says which epoch is the best.
        answer: Scores -> dictionary of what the caller wants; graph operations only.
        words: Raw inputs -> ragged strings, one for each timestep of the features; or None.
        constants: Name -> strings that the exported model also tells, such as the labels.
        begin: Called once before training starts, to set weights from outside; or None.
    """

    signature: tf.TensorSpec
    prepare: Callable
    target: Callable
    model: keras.Model
    loss: keras.losses.Loss
    metrics: list[keras.metrics.Metric]
    answer: Callable
    words: Callable | None = None
    constants: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    begin: Callable | None = None


@dataclasses.dataclass
class Task:
    """What a task module tells.

    Attributes:
        name: The module's name in `pipelines`.
        config: A flat dataclass that extends `Training`: the flags, the help and `config.json`.
        load: `config -> {"train": ..., "validation": ..., "test": ...}`, `tf.data.Dataset` of raw (input, label).
        vocabularies: `(config, train) -> dict` of lists: all that is learnt from data and is not a weight.
        build: `(config, vocabularies) -> Parts`.
        judge: A module or object with what the answers are worth and how they are shown, see `classification.py`.
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


def optimizer(config, steps):
    """Adam as the configuration says, over so many steps."""
    rise = max(1, int(steps * config.warmup)) if config.warmup else 0
    fall = max(1, steps - rise)
    rate = config.learning_rate
    if config.schedule == "cosine":
        rate = keras.optimizers.schedules.CosineDecay(
            rate * 0.01 if rise else rate, fall, alpha=0.01, warmup_target=rate if rise else None, warmup_steps=rise
        )
    elif config.schedule == "linear":
        rate = keras.optimizers.schedules.PolynomialDecay(rate, max(1, steps), end_learning_rate=rate * 0.01)
    return keras.optimizers.AdamW(
        rate,
        weight_decay=config.weight_decay,
        global_clipnorm=config.clip_norm or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )


# The verbs.


def train(task, config):
    """Trains, evaluates, shows; returns the metrics. A run that was killed goes on where it was with `resume`."""
    folder = RunFolder(config.run)
    going_on = config.resume and folder.has(CONFIG)
    if going_on and folder.has(METRICS):
        say(f"{folder} is finished already.")
        return folder.read_json(METRICS)
    if not going_on:
        folder.check_free(config.overwrite)
    repeatable(config.seed)
    splits = task.load(config)
    if going_on:
        vocabularies = folder.read_json(VOCABULARIES)
    else:
        vocabularies = task.vocabularies(config, splits["train"])
    data = {}
    parts = assembled(task, config, vocabularies)
    for split, examples in splits.items():
        data[split] = batching.cached(batching.prepared(examples, parts.prepare, parts.target))
    examples = len(data["train"]) if isinstance(data["train"], batching.Cached) else None
    if examples == 0:
        raise InputError(config.data or config.dataset, "expected examples to train on, received none.")
    steps = config.epochs * -(-(examples or 100_000) // config.batch_size)
    # The loop is faster in the plain graph than under XLA on a CPU, and compiles for no shape in particular.
    parts.model.compile(optimizer(config, steps), parts.loss, metrics=parts.metrics, jit_compile=False)
    if parts.begin and not folder.has(CHECKPOINT):
        parts.begin()
    if not going_on:
        folder.begin(config, vocabularies, config.overwrite)
    elif not folder.has(CHECKPOINT):
        say("nothing was trained yet: beginning")
    history = fit(parts, config, folder, data["train"], data["validation"])

    metrics = {"seconds_training": round(sum(row["seconds"] for row in history), 1), "epochs": len(history)}
    for split in [split for split in splits if split != "train"]:
        metrics[split] = task.judge.measure(parts, data[split])
    metrics["baselines"] = task.judge.baselines(splits)
    task.judge.pictures(parts, folder, history, metrics["validation"], splits)
    folder.write_text("README.md", described(task, config, metrics))
    folder.write_json(METRICS, metrics)  # last: with it the run is finished
    (folder / CHECKPOINT).unlink(missing_ok=True)
    folder.finish()
    say(task.judge.told(metrics) + f"\n\nthe run is in {folder}: see {folder / 'README.md'}")
    return metrics


def evaluate(task, run, data):
    """Metrics of a trained run on a file of labelled examples."""
    config, vocabularies, parts = restored(task, run)
    examples = batching.prepared(task.labelled(data, config, vocabularies), parts.prepare, parts.target)
    return task.judge.measure(parts, batching.cached(examples))


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
        + "".join(f"![{name}]({name}.png)\n" for name in task.judge.PICTURES)
        + f"\n    python -m pipelines.{task.name} predict --run {config.run} TEXT\n"
    )
