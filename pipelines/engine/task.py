"""A task is two records. The verbs of `verbs.py` are functions over them.

    Task(name, config, load, vocabularies, build, evaluation, labelled)
    build(config, vocabularies) -> Parts(signature, prepare, target, model, loss, metrics, answer, samples)

These are the fields of every task. Optional ones come after them: in `Task` as fields with defaults, in `Parts` as
`Extras`.
"""

import dataclasses
import functools
import types
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from data import batching
from pipelines.engine import inputs
from pipelines.engine.settings import Evaluate, Predict


@dataclasses.dataclass
class Extras:
    """Optional parts of a task.

    Attributes:
        teacher_forcing: Maps (features, targets) to (the model's inputs, targets), if the model reads the targets too.
            Its inputs are then the pair [features, targets]. Requires `search`.
        search: Maps features to scores, in graph operations, if answers come from a search over the model's steps
            instead of from the model's output.
        adapt: Called once before training with the training batches in order; sets weights that are counted or read
            from a file instead of learnt.
        calibrate: Called after each epoch with `Parts.forward` and the validation batches; sets weights that depend on
            validation data.
        tokens: Maps raw inputs to ragged strings, one for each timestep of the features, for pictures of them.
        constants: Name -> strings that the exported model returns too, such as the labels.
        known: Facts about the training data that the evaluation needs.
        augment: As `prepare`, for training examples, if their features also hold random changes of each, of which the
            model draws one.
        features: Name of the features, if stages of training have different ones; stages with the same name share the
            prepared examples.
    """

    teacher_forcing: Callable | None = None
    search: Callable | None = None
    adapt: Callable | None = None
    calibrate: Callable | None = None
    tokens: Callable | None = None
    constants: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    known: dict = dataclasses.field(default_factory=dict)
    augment: Callable | None = None
    features: str = ""


@dataclasses.dataclass
class Parts:
    """What `build` makes from a configuration and vocabularies.

    Attributes:
        signature: `tf.TensorSpec` of a batch of raw inputs, with the input's name in the exported model: strings
            `(batch,)`, or numbers `(batch, timesteps, features)` in which rows of NaN at the end are padding.
        prepare: Maps raw inputs to features; graph operations only, as the export contains the same object. Features
            are of the kinds that `data.batching.prepared` lists.
        target: Maps raw inputs and raw labels to training targets; graph operations only.
        model: Maps features to scores, a functional `keras.Model`.
        loss, metrics: The loss and the metrics of training. The first metric on validation data decides which epoch is
            the best.
        answer: Maps scores and raw inputs to the answers, a dictionary; graph operations only. If an answer does not
            depend on the raw inputs, like a classifier's, they may be None.
        samples: A few raw inputs of different sizes, to test an export.
        extras: The optional parts.
    """

    signature: tf.TensorSpec
    prepare: Callable
    target: Callable
    model: keras.Model
    loss: keras.losses.Loss
    metrics: list[keras.metrics.Metric]
    answer: Callable
    samples: list
    extras: Extras = dataclasses.field(default_factory=Extras)

    @property
    def takes(self):
        """What one raw input is: "text", "file" (the bytes of one) or "numbers"."""
        if self.signature.dtype != tf.string:
            return "numbers"
        return "file" if isinstance(self.samples[0], bytes) else "text"

    def ask(self, raws):
        """The answers to a list of raw inputs: a dictionary of tensors, see `answer`."""
        return self.serve(stacked(raws, self.signature))

    def features(self, raw):
        """Raw inputs to the model's inputs: prepared, with ragged features padded."""
        return batching.dense(self.once[0](raw))

    @functools.cached_property
    def once(self):
        """`prepare` and `target`, traced once for training, validation, test and answers."""
        return [tf.function(graph, autograph=False) for graph in (self.prepare, self.target)]

    def prepared(self, splits, apart=False):
        """The prepared examples of each split, see `data.batching`: an iterable of pairs of name and examples.

        Args:
            splits: Name -> raw examples.
            apart: Whether a split may be taken without reading the one before.
        """
        prepare, target = self.once
        if not apart and not self.extras.augment:
            return batching.prepared_splits(splits, prepare, target)
        own = {"train": self.extras.augment or prepare}
        return ((name, batching.prepared(some, own.get(name, prepare), target)) for name, some in splits.items())

    @functools.cached_property
    def forward(self):
        """The model in inference, traced once for all shapes: validation, calibration and answers share it."""
        run = lambda given: self.model(given, training=False)
        return tf.function(run, input_signature=[specs(self.model.input)], autograph=False)

    @functools.cached_property
    def scores(self):
        """Features -> scores, traced once for all shapes."""
        if not self.extras.search:
            return self.forward
        read = self.model.input[0] if self.extras.teacher_forcing else self.model.input
        return tf.function(self.extras.search, input_signature=[specs(read)], autograph=False)

    @functools.cached_property
    def serve(self):
        """Raw inputs -> answer, traced once; the SavedModel contains this function."""
        serve = lambda raw: self.answer(self.scores(self.features(raw)), raw)
        return tf.function(serve, input_signature=[self.signature], autograph=False)


def specs(inputs):
    """The `tf.TensorSpec` of each of a model's inputs; several are a tuple, as in a batch."""
    spec = lambda x: tf.TensorSpec(x.shape, x.dtype, x.name)
    return keras.tree.map_structure(spec, tuple(inputs) if isinstance(inputs, list) else inputs)


def stacked(raws, signature):
    """Raw inputs as one tensor: strings unchanged, numbers padded with rows of NaN at the end."""
    if signature.dtype == tf.string:
        return tf.constant([raw.encode("utf-8", "replace") if isinstance(raw, str) else raw for raw in raws], tf.string)
    longest = max((len(raw) for raw in raws), default=0)
    padded = np.full((len(raws), longest, *signature.shape[2:]), np.nan, signature.dtype.as_numpy_dtype)
    for row, raw in enumerate(raws):
        padded[row, : len(raw)] = raw
    return tf.constant(padded)


@dataclasses.dataclass
class Verb:
    """A verb that only one task has.

    Attributes:
        flags: A dataclass of its flags, with defaults and with a docstring that says what the verb does. It includes
            `run`, the folder of the run.
        call: `(task, flags) -> None`. It prints its answers on standard output and raises `InputError`.
    """

    flags: type
    call: Callable


@dataclasses.dataclass
class About:
    """What people are told of a task, in the model card and the example of an export and in the window of `demo`.

    Attributes:
        pipeline_tag: The kind of task, in Hugging Face's words, such as "text-classification".
        languages: `config` -> codes of the languages of the texts, such as "en", where they are known; None: inputs
            that are in no language.
        metrics: Metric of the evaluation -> its name at Hugging Face: those that the front matter of the card gives.
        limits: Sentences that say what the answers cannot be trusted with.
        examples: `config` -> raw inputs to try; none: the last one of `Parts.samples`.
        suffixes: Suffixes of the files that the window takes, in lower case; none: all files.
        shown: Suffixes of the writers whose pages and pictures the window shows.
        pasted: `text` -> suffix of the file that a pasted text is read as, or "" if it is an input as it stands.
    """

    pipeline_tag: str = ""
    languages: Callable | None = None
    metrics: dict[str, str] = dataclasses.field(default_factory=dict)
    limits: tuple[str, ...] = ()
    examples: Callable = lambda config: []
    suffixes: tuple[str, ...] = ()
    shown: tuple[str, ...] = (".html", ".png")
    pasted: Callable = lambda text: ""

    def tried(self, config, parts):
        """Raw inputs to try, at least one."""
        return self.examples(config) or parts.samples[-1:]


def of_built_in(*languages):
    """For `About.languages`: the codes of a task's built-in data; the languages of other data are not known."""
    return lambda config: [] if config.data or config.dataset else list(languages)


@dataclasses.dataclass
class Task:
    """The record of a task module.

    Attributes:
        name: The module's name in `pipelines`.
        config: A flat dataclass that extends `Training`: the flags, the help and `config.json`.
        load: `config -> {"train": ..., "validation": ..., "test": ...}`, `tf.data.Dataset` of raw (input, label).
        vocabularies: `(config, train) -> dict` of lists: everything learnt from data except weights.
        build: `(config, vocabularies) -> Parts`.
        evaluation: A module that evaluates and displays answers: `evaluate`, `baselines`, `format_metrics`, `answers`,
            `format_answers`, `plot_run`, `PICTURES` and `WRITERS`; `classification.py` is one.
        labelled: `(path, config, vocabularies) -> tf.data.Dataset` of raw (input, label), to evaluate on.

    Optional attributes:
        choose: `(config, splits) -> config`: sets the settings that depend on the data, those that are None, and logs
            them in one line.
        stages: `config -> {name: config}`, the stages of training in their order, such as fine-tuning after training.
            Each begins with the weights of the one before, layer by layer where names are the same; the network of the
            last one is the run's.
        predict: A dataclass that extends `settings.Predict` by flags of this task; a flag with the name of a setting
            replaces that setting of the run.
        evaluate: Likewise a dataclass that extends `settings.Evaluate`.
        inputs: `(flags, config)` -> iterator of (name or None, raw input): the inputs of `predict`. See `inputs.py`.
        groups: `(config, examples) -> (group of each example, its label or None)`, NumPy arrays: in cross-validation
            the examples of a group are in one fold, and labels are spread over the folds.
        labels: `(config, label of an example) -> names`, if labels are of a fixed set: those in it. Each is then in the
            training data of a run that holds examples out, and of each fold.
        writers: Suffix -> `(parts, answers, path)`, which writes answers to a file in a format of this task.
        verbs: Name -> `Verb`.
        about: What people are told of the task, an `About`.
    """

    name: str
    config: type
    load: Callable
    vocabularies: Callable
    build: Callable
    evaluation: types.ModuleType
    labelled: Callable
    choose: Callable | None = None
    stages: Callable | None = None
    predict: type = Predict
    evaluate: type = Evaluate
    inputs: Callable = inputs.texts
    groups: Callable | None = None
    labels: Callable | None = None
    writers: dict[str, Callable] = dataclasses.field(default_factory=dict)
    verbs: dict[str, Verb] = dataclasses.field(default_factory=dict)
    about: About = dataclasses.field(default_factory=About)
