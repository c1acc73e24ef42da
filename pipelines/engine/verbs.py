"""The verbs of all tasks: train, evaluate, predict and export are functions over a task's record."""

import contextlib
import dataclasses
import functools
import itertools
import pathlib

import keras
import numpy as np

from data import batching
from data.files import InputError
from pipelines.engine import card, exporting, folds
from pipelines.engine.folder import CHECKPOINT, CONFIG, METRICS, PREPARED, STAGES, VOCABULARIES, WEIGHTS, RunFolder
from pipelines.engine.optimizer import optimizer
from pipelines.engine.training import Progress, fit, in_order, interrupted_as, repeatable, say, share_cores

AT_ONCE = 1024  # raw inputs that are answered at a time


def train(task, config, splits=None):
    """Trains, evaluates and plots; returns the metrics. With `resume` a killed run continues where it was.

    Args:
        task, config: The task and its configuration.
        splits: Raw examples by split, of a fold; None loads those of the configuration, and draws pictures too.
    """
    folder = RunFolder(config.run)
    resumed = config.resume and folder.has(CONFIG)
    if resumed and folder.has(METRICS):
        say(f"{folder} is finished already; see {folder / 'README.md'}")
        return folder.read_json(METRICS)
    if not resumed:
        folder.check_free(config.overwrite)
        check_outside(config, folder)
    share_cores()
    repeatable(config.seed)
    whole = splits is None
    splits = task.load(config) if whole else splits
    if task.choose and not resumed:
        config = task.choose(config, splits)
    vocabularies = folder.read_json(VOCABULARIES) if resumed else task.vocabularies(config, splits["train"])
    for split in ("train", "validation"):
        if not some(splits[split]):
            advice = "; give --validation-data, or more examples" if split == "validation" else ""
            raise InputError(config.data or config.dataset, f"expected examples for {split}, received none{advice}.")
    divided = folds.divided(task, config, splits) if config.folds else None
    stages = task.stages(config) if task.stages else {"": config}
    *earlier, last = stages
    evaluation, parts, data, found, seconds = task.evaluation, None, {}, {}, 0.0
    for name, stage in stages.items():
        place = folder if name == last else RunFolder(folder / STAGES / name)
        with contextlib.nullcontext() if parts else folder.begun(config, vocabularies, resumed):
            parts, data = ready(task, stage, vocabularies, (parts, data), splits, folder, place, resumed)
        with interrupted_as(folder):
            history = fit(parts, stage, place, data["train"], data["validation"])
        seconds += sum(row["seconds"] for row in history)
        if name in earlier:
            found[name] = evaluation.evaluate(parts, data["validation"], splits["validation"])

    metrics = {"seconds_training": round(seconds, 1), "epochs": len(history)}
    metrics |= {split: evaluation.evaluate(parts, data[split], splits[split]) for split in data if split != "train"}
    metrics |= {"stages": found} if found else {}
    if config.baselines:
        metrics["baselines"] = evaluation.baselines(parts, data, splits)
    if config.folds:
        with interrupted_as(folder):
            metrics["folds"] = folds.cross_validated(task, config, *divided, train)
    if whole:
        evaluation.plot_run(parts, folder, history, metrics["validation"], splits)
    folder.write_text("README.md", card.of_run(task, config, metrics))
    folder.write_json(METRICS, metrics)  # this file marks the run as finished
    folder.finish()
    say(f"{card.formatted(task, metrics)}\n\nthe run is in {folder}: see {folder / 'README.md'}")
    return metrics


def check_outside(config, folder):
    """Raises InputError if a file that the run reads lies in the folder that it replaces."""
    within = folder.path.resolve()
    for name, value in dataclasses.asdict(config).items():
        if name in ("run", "config") or not isinstance(value, str) or not value:
            continue
        path = pathlib.Path(value).resolve()
        if within in path.parents and (path.exists() or any(path.parent.glob(f"{path.name}.*"))):
            expected = f"expected data outside of {folder}, which is replaced"
            raise InputError(value, f"{expected}, received data in it; move them or choose another --run.")


def ready(task, config, vocabularies, before, splits, folder, place, resumed):
    """The parts and the prepared examples of a stage of training, ready for `fit`.

    Args:
        task, config, vocabularies: The task, and the configuration of this stage.
        before: `(parts, data)` of the stage before, `(None, {})` if there is none.
        splits: Raw examples by split.
        folder, place: The folder of the run, and that of the stage.
        resumed: Whether the run was begun before.
    """
    earlier, data = before
    repeatable(config.seed)
    parts = assembled(task, config, vocabularies)
    if earlier is None or parts.extras.features != earlier.extras.features:
        data = prepared(parts, splits, config, folder / PREPARED / parts.extras.features, resumed)
        say(", ".join(f"{split}: {len(found):,} examples" for split, found in data.items()))
    place.path.mkdir(parents=True, exist_ok=True)
    say(f"{trainable(parts.model):,} weights to learn; the run will be in {place}")
    # On a CPU the loop is faster in the plain graph than under XLA, and is not compiled for each shape.
    steps = config.epochs * -(-len(data["train"]) // config.batch_size)
    parts.model.compile(optimizer(config, steps), parts.loss, metrics=parts.metrics or None, jit_compile=False)
    if not place.has(CHECKPOINT):
        if earlier:
            carry_over(earlier.model, parts.model)
        if parts.extras.adapt:
            parts.extras.adapt(in_order(data["train"], parts.extras.teacher_forcing))
    return parts, data


def trainable(model):
    """The number of weights that training changes."""
    return sum(int(np.prod(weight.shape)) for weight in model.trainable_weights)


def carry_over(before, model):
    """Sets the weights of the layers that a model has in common, by name, with the model of the stage before."""
    trained = {layer.name: layer for layer in before.layers}
    for layer in model.layers:
        if layer.weights and layer.name in trained:
            layer.set_weights(trained[layer.name].get_weights())


def some(examples):
    """Whether there is at least one example."""
    return next(iter(examples.take(1)), None) is not None


def prepared(parts, splits, config, folder, resumed):
    """The prepared examples of each split, in memory or, if they are too large for it, in files in `folder`."""
    limit = int(config.memory * 2**30)
    return {
        split: batching.cached(chunks, limit, folder, split, Progress(f"preparing {split}", "examples"))
        # Files that the run wrote before may be used again, without reading a split.
        for split, chunks in parts.prepared(splits, apart=resumed)
    }


def evaluate(task, run, data, **settings):
    """Metrics of a trained run on a file of labelled examples; `settings` replace the run's."""
    config, vocabularies, parts = restored(task, run, **settings)
    examples = task.labelled(data, config, vocabularies)
    if not some(examples):
        raise InputError(data, "expected examples, received none.")
    made = batching.prepared(examples, *parts.once)
    with batching.temporary() as folder:
        return task.evaluation.evaluate(parts, batching.cached(made, int(config.memory * 2**30), folder), examples)


def predict(task, run, inputs, **settings):
    """Answers to raw inputs, a list of dictionaries in their order; `settings` replace the run's."""
    parts = restored(task, run, **settings)[2]
    return list(answers(task, parts, ((None, raw) for raw in inputs)))


def answers(task, parts, inputs):
    """The answers to pairs of (name or None, raw input), in their order; a name is part of its answer."""
    for some in grouped(inputs, AT_ONCE):
        found = task.evaluation.answers(parts, [raw for _, raw in some])
        for (name, _), answer in zip(some, found, strict=True):
            yield answer if name is None else {"name": name, **answer}


def grouped(items, size):
    """Lists of `size` items; the last one may be shorter."""
    items = iter(items)
    while found := list(itertools.islice(items, size)):
        yield found


def export(task, run, to, format):
    """Exports the trained model; returns the path. A SavedModel has a card, an example and requests beside it."""
    config, _, parts = restored(task, run)
    folder = RunFolder(run)
    metrics = folder.read_json(METRICS) if folder.has(METRICS) else {}
    beside = functools.partial(card.write, task, config, parts, metrics)
    return exporting.export(parts, pathlib.Path(to or folder / "export"), format, beside)


def assembled(task, config, vocabularies):
    policy = "float32" if config.mixed_precision == "none" else f"mixed_{config.mixed_precision}"
    keras.config.set_dtype_policy(policy)
    return task.build(config, vocabularies)


def restored(task, run, **settings):
    """`(config, vocabularies, parts)` of a trained run; `settings` replace the run's."""
    folder = RunFolder(run)
    if not folder.path.is_dir():
        raise InputError(folder, "expected the folder of a run, received a path where there is none; train first.")
    config, vocabularies = folder.read_config(task.config), folder.read_json(VOCABULARIES)
    config = dataclasses.replace(config, **settings)
    parts = assembled(task, config, vocabularies)
    if not folder.has(WEIGHTS):
        raise InputError(folder, f"expected {WEIGHTS}, received a run that is not finished; go on with train --resume.")
    try:
        parts.model.load_weights(folder / WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(folder / WEIGHTS, f"expected the weights of this run, received others ({reason}).") from None
    return config, vocabularies, parts
