"""Cross-validation: each example of the training data is tested once, by a run that has not seen it."""

import collections
import dataclasses
import shutil

import numpy as np
import tensorflow as tf

from data import batching, similar
from data.files import InputError
from pipelines.engine.folder import CONFIG, RunFolder
from pipelines.engine.training import say

FOLDS = "folds"  # folder of the runs, in that of the run
LEAST = 3  # a fold is tested on, a fold validates, the others train


def divided(task, config, splits):
    """Divides the training data in folds, with the validation data unless that has a file of its own.

    Args:
        task, config: The task and the configuration of the whole run.
        splits: Its raw examples by split.

    Returns:
        `(examples, fold of each)`: a `tf.data.Dataset`, and an array of integers in [0, folds).

    Raises:
        InputError: if there are fewer groups of examples than folds.
    """
    examples = splits["train"]
    if not config.validation_data and not config.dataset and config.data:
        examples = examples.concatenate(splits["validation"])
    say(
        "dividing the examples in folds; similar ones stay together"
        if task.groups
        else "dividing the examples in folds"
    )
    groups, labels = task.groups(config, examples) if task.groups else (np.arange(batching.count(examples)), None)
    different = len(np.unique(groups))
    if config.folds < LEAST or config.folds > different:
        wanted = f"expected 0, or {LEAST} to {different:,}, the groups of similar examples"
        raise InputError("--folds", f"{wanted}, received {config.folds}.")
    place = similar.folds(groups, config.folds, config.seed, labels)
    if task.labels:
        names = lambda label: task.labels(config, label)
        check_labels(place, [set(names(label)) for label in examples.map(lambda raw, label: label).as_numpy_iterator()])
    return examples, place


def check_labels(place, labels):
    """InputError if a fold would train without a label that its run is validated or tested on.

    Args:
        place: `(examples,)`, the fold of each example.
        labels: The set of labels of each example.
    """
    folds = collections.defaultdict(set)  # label -> the folds that it is in
    for fold, names in zip(place.tolist(), labels, strict=True):
        for name in names:
            folds[name].add(fold)
    count = max(place) + 1
    for name, found in sorted(folds.items()):
        if any(found <= {fold, (fold + 1) % count} for fold in range(count)):
            raise InputError(
                "--folds",
                f"expected every label among the examples that train in each fold, received {name!r} in too few groups "
                f"of similar examples. Give more examples of it, leave them out, or name them as another label.",
            )


def cross_validated(task, config, examples, place, train):
    """Trains a run for each fold, in `folds/1`, `folds/2` ... of the run's folder; finished ones are not repeated.

    A fold is tested on once; the next one validates its run, and the others train it.

    Args:
        task, config: The task and the configuration of the whole run.
        examples, place: As `divided` returns them.
        train: `(task, config, splits) -> metrics`.

    Returns:
        `{"folds": number, "examples": number, "metrics": {name: [mean, low, high]}}`: the mean over all examples and
        the 95 % confidence interval from the folds' spread (Student's t), for each metric and baseline that is a
        number.
    """
    found = []
    for fold in range(config.folds):
        say(f"\nfold {fold + 1} of {config.folds}")
        validation = (fold + 1) % config.folds
        parts = {
            "train": chosen(examples, (place != fold) & (place != validation)),
            "validation": chosen(examples, place == validation),
            "test": chosen(examples, place == fold),
        }
        folder = RunFolder(RunFolder(config.run) / FOLDS / str(fold + 1))
        if not folder.has(CONFIG):  # killed while it began
            shutil.rmtree(folder.path, ignore_errors=True)
        changed = {"run": str(folder), "folds": 0, "resume": True, "overwrite": False, "tensorboard": False}
        found.append(train(task, dataclasses.replace(config, **changed), parts))
    return {"folds": config.folds, "examples": len(place), "metrics": summary(found)}


def chosen(examples, which):
    """The examples whose place in `which`, an array of booleans, is True."""
    which = tf.constant(which)
    return examples.enumerate().filter(lambda place, _: which[place]).map(lambda _, example: example)


def summary(runs):
    """Name -> [mean, low, high] over the folds' test metrics, see `cross_validated`."""
    import scipy.stats

    tested = [scalars(run["test"]) | scalars(run.get("baselines", {}).get("test", {}), "baseline ") for run in runs]
    sizes = np.array([one.pop("examples") for one in tested])
    found = {}
    for name in dict.fromkeys(name for one in tested for name in one):
        there = np.array([name in one for one in tested])
        values = np.array([one[name] for one in tested if name in one])
        mean = np.average(values, weights=sizes[there])
        error = scipy.stats.sem(values) if len(values) > 1 else np.inf
        reach = scipy.stats.t.ppf(0.975, len(values) - 1) * error if len(values) > 1 else None
        found[name] = [float(mean), *([float(mean - reach), float(mean + reach)] if reach is not None else [])]
    return found


def scalars(metrics, prefix=""):
    """The numbers among metrics, with the names above them; of the numbers themselves no deeper than baselines go."""
    found = {}
    for name, value in metrics.items():
        if isinstance(value, int | float):
            found[f"{prefix}{name}"] = value
        elif prefix and isinstance(value, dict):
            found |= scalars(value, f"{prefix}{name} ")
    return found


def format_folds(found):
    """The result of `cross_validated` as a table to read."""
    lines = [f"cross-validation ({found['folds']} folds, {found['examples']:,} examples)"]
    for name, (mean, *interval) in found["metrics"].items():
        between = f"   {interval[0]:.4f} to {interval[1]:.4f}" if interval else ""
        lines.append(f"  {name.replace('_', ' '):50}{mean:.4f}{between}")
    return "\n".join(lines)
