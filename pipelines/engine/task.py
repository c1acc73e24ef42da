"""A task is a record; train, evaluate, predict and export are functions over it.

    Task(name, config, load, vocabularies, build, judge)

A task module says what is learnt from which data and what is answered; the rest is here, once for all tasks.
"""

import dataclasses
import functools
import pathlib
import types
from collections.abc import Callable

import keras
import tensorflow as tf

from data import batching
from data.files import InputError
from data.transforms import words as text
from pipelines.engine import exporting
from pipelines.engine.folder import CHECKPOINT, CONFIG, METRICS, VOCABULARIES, WEIGHTS, RunFolder
from pipelines.engine.optimizer import optimizer
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
