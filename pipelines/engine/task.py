"""What a task is: two records. The verbs of `verbs.py` are functions over them.

    Task(name, config, load, vocabularies, build, evaluation, labelled)
    build(config, vocabularies) -> Parts(signature, prepare, target, model, loss, metrics, answer, samples)

`Task` and `Parts` begin with what every task gives. What few tasks give comes after that: in `Task` as fields with
defaults, in `Parts` as `Extras`.
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
from pipelines.engine.settings import Predict


@dataclasses.dataclass
class Extras:
    """What few tasks give beside their `Parts`.

    Attributes:
        teacher_forcing: Maps (features, targets) to (the model's inputs, targets), where the model reads the targets
            too. Its inputs are then the pair [features, targets]. Goes with `search`.
        search: Maps features to scores, in graph operations, where answers come from a search over the model's steps
            instead of from the model's output.
        adapt: Called once before training with the training batches in order; sets weights that are counted, not
            learnt, or read from a file.
        calibrate: Called after each epoch with `Parts.forward` and the validation batches; sets weights that are
            decided on validation data.
        tokens: Maps raw inputs to ragged strings, one for each timestep of the features, for pictures of them.
        constants: Name -> strings that the exported model tells too, such as the labels.
        known: What the evaluation needs to know of the training data.
    """

    teacher_forcing: Callable | None = None
    search: Callable | None = None
    adapt: Callable | None = None
    calibrate: Callable | None = None
    tokens: Callable | None = None
    constants: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    known: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass
class Parts:
    """What `build` makes of a configuration and vocabularies.

    Attributes:
        signature: `tf.TensorSpec` of a batch of raw inputs, with the name that the exported model calls it by: strings
            `(batch,)`, or numbers `(batch, timesteps, features)` in which rows of NaN at the end are padding.
        prepare: Maps raw inputs to features; graph operations only, as the same object trains and is exported. Features
            are of the kinds that `data.batching.prepared` lists.
        target: Maps raw inputs and raw labels to training targets; graph operations only.
        model: Maps features to scores, a functional `keras.Model`.
        loss, metrics: What the model is trained with. The first metric on validation data decides which epoch is the
            best.
        answer: Maps scores and raw inputs to a dictionary of what the caller wants; graph operations only. Where an
            answer says nothing of the input, as a classifier's, the raw inputs may be None.
        samples: A few raw inputs of different sizes, to try an export with.
        extras: What few tasks give.
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

    def ask(self, raws):
        """The answers to a list of raw inputs: a dictionary of tensors, see `answer`."""
        return self.serve(stacked(raws, self.signature))

    def features(self, raw):
        """Raw inputs to what the model reads: prepared, and ragged features padded."""
        return batching.dense(self.once[0](raw))

    @functools.cached_property
    def once(self):
        """`prepare` and `target`, traced once for training, validation, test and answers."""
        return [tf.function(graph, autograph=False) for graph in (self.prepare, self.target)]

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
        """Raw inputs -> answer, traced once: what is exported."""
        serve = lambda raw: self.answer(self.scores(self.features(raw)), raw)
        return tf.function(serve, input_signature=[self.signature], autograph=False)


def specs(inputs):
    """The `tf.TensorSpec` of each of a model's inputs; several are a tuple, as they come in a batch."""
    spec = lambda x: tf.TensorSpec(x.shape, x.dtype, x.name)
    return keras.tree.map_structure(spec, tuple(inputs) if isinstance(inputs, list) else inputs)


def stacked(raws, signature):
    """Raw inputs as one tensor: strings as they are, numbers padded with rows of NaN at the end."""
    if signature.dtype == tf.string:
        return tf.constant([raw.encode("utf-8", "replace") if isinstance(raw, str) else raw for raw in raws], tf.string)
    longest = max((len(raw) for raw in raws), default=0)
    padded = np.full((len(raws), longest, *signature.shape[2:]), np.nan, signature.dtype.as_numpy_dtype)
    for row, raw in enumerate(raws):
        padded[row, : len(raw)] = raw
    return tf.constant(padded)


@dataclasses.dataclass
class Verb:
    """A verb of a task's own.

    Attributes:
        flags: A dataclass of its flags, with defaults and with a docstring that says what the verb does. `run`, the
            folder of the run, is among them.
        call: `(task, flags) -> None`. It prints its answers on standard output and raises `InputError`.
    """

    flags: type
    call: Callable


@dataclasses.dataclass
class Task:
    """What a task module tells.

    Attributes:
        name: The module's name in `pipelines`.
        config: A flat dataclass that extends `Training`: the flags, the help and `config.json`.
        load: `config -> {"train": ..., "validation": ..., "test": ...}`, `tf.data.Dataset` of raw (input, label).
        vocabularies: `(config, train) -> dict` of lists: all that is learnt from data and is not a weight.
        build: `(config, vocabularies) -> Parts`.
        evaluation: A module that knows what the answers are worth and how they look: `evaluate`, `baselines`,
            `format_metrics`, `answers`, `format_answers`, `plot_run`, `PICTURES` and `WRITERS`; `classification.py` is
            one.
        labelled: `(path, config, vocabularies) -> tf.data.Dataset` of raw (input, label), to evaluate on.

    Attributes that few tasks give:
        choose: `(config, training examples) -> config`: settings left to the data are set, and a line says so.
        predict: A dataclass that extends `settings.Predict` by flags of the task's own; those that are named as
            settings replace the run's.
        inputs: `(flags, config)` -> iterator of (name or None, raw input): what `predict` is asked. See `inputs.py`.
        writers: Suffix -> `(parts, answers, path)`, which writes answers to a file of a kind of the task's own.
        verbs: Name -> `Verb`.
    """

    name: str
    config: type
    load: Callable
    vocabularies: Callable
    build: Callable
    evaluation: types.ModuleType
    labelled: Callable
    choose: Callable | None = None
    predict: type = Predict
    inputs: Callable = inputs.texts
    writers: dict[str, Callable] = dataclasses.field(default_factory=dict)
    verbs: dict[str, Verb] = dataclasses.field(default_factory=dict)
