"""The command line of every task: verbs, flags from dataclasses, exit statuses.

0 done    1 the run failed    2 the user's input is wrong    130 interrupted
"""

import dataclasses
import json
import math
import os
import signal
import sys
from typing import Literal

import tyro

from data.files import InputError, read_lines
from pipelines.engine.exporting import ExportError
from pipelines.engine.folder import CONFIG, RunFolder
from pipelines.engine.settings import RANGES
from pipelines.engine.task import evaluate, export, restored, train
from pipelines.engine.training import Interrupted, say

VERBS = ("train", "evaluate", "predict", "export")


@dataclasses.dataclass
class Evaluate:
    """Metrics on labelled data."""

    data: str
    """file of labelled examples"""
    run: str = ""
    """folder of the run; runs/TASK unless given"""
    json: bool = False
    """one JSON object on standard output"""


@dataclasses.dataclass
class Predict:
    """Answers to raw inputs."""

    inputs: tyro.conf.Positional[tuple[str, ...]] = ()
    """the inputs themselves"""
    run: str = ""
    """folder of the run; runs/TASK unless given"""
    input: str = ""
    """file with an input on each line; - reads standard input"""
    json: bool = False
    """one JSON object a line on standard output"""
    picture: str = ""
    """picture to write of the inputs and their answers: PNG; of named entities HTML"""


@dataclasses.dataclass
class Export:
    """The trained model for others to run."""

    run: str = ""
    """folder of the run; runs/TASK unless given"""
    format: Literal["savedmodel", "onnx", "litert"] = "savedmodel"
    """savedmodel takes raw input; onnx and litert hold the network after the text processing"""
    to: str = ""
    """where to write; RUN/export unless given"""


def main(task, arguments=None):
    """Runs the command line of a task and exits with its status."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see `pipelines/__init__.py`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(run(task, sys.argv[1:] if arguments is None else arguments))


def run(task, arguments):
    """As `main`, but returns the exit status."""
    verb, rest = (
        (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else ("train", arguments)
    )
    program = f"python -m pipelines.{task.name}"
    if arguments and arguments[0] in ("-h", "--help"):
        verbs = "\n".join(f"    {program} {verb} --help" for verb in VERBS)
        print(f"{sys.modules['__main__'].__doc__ or task.name}\nVerbs and their flags (no verb: train):\n\n{verbs}")
        return 0
    if verb not in VERBS:
        say(f"error: {verb}: expected one of the verbs {', '.join(VERBS)}.")
        return 2
    place = f"runs/{task.name}"
    try:
        if verb == "train":
            return _train(task, place, f"{program} {verb}", rest)
        flags = tyro.cli(
            {"evaluate": Evaluate, "predict": Predict, "export": Export}[verb], prog=f"{program} {verb}", args=rest
        )
        flags.run = flags.run or place
        return {"evaluate": _evaluate, "predict": _predict, "export": _export}[verb](task, flags)
    except InputError as error:
        say(f"error: {error}")
        return 2
    except ExportError as error:
        say(f"error: {error}")
        return 1
    except Interrupted as interrupted:
        say(f"interrupted; what is trained is kept. To go on: {program} train --run {interrupted} --resume")
        return 130
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:  # the reader of our output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except MemoryError:
        say("error: out of memory; a smaller --batch-size or --max-length needs less.")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"error: {where}{error.strerror or error}; what was there before is as it was.")
        return 2


def _train(task, place, program, arguments):
    first = tyro.cli(task.config, prog=program, args=arguments)
    first.run = first.run or place
    config = first
    if first.resume and first.overwrite:
        raise InputError("--resume", "expected either --resume or --overwrite, received both.")
    if first.resume:
        config = _resumed(task, first, program, arguments)
    check(config)
    train(task, config)
    return 0


def _resumed(task, flags, program, arguments):
    """The settings that the run began with; flags that say otherwise are an error."""
    folder = RunFolder(flags.run)
    if not folder.has(CONFIG):
        if folder.path.exists() and any(folder.path.iterdir()):
            raise InputError(folder, "expected a run to resume, received a folder without config.json.")
        return flags  # it was killed before it began
    began = folder.read_config(task.config)
    given = tyro.cli(task.config, prog=program, args=arguments, default=began)
    free = {"run", "resume", "overwrite", "checkpoint_minutes"}
    for field in dataclasses.fields(began):
        now, then = getattr(given, field.name), getattr(began, field.name)
        if field.name not in free and now != then:
            raise InputError(
                flag(field.name),
                f"expected {then!r}, as when the run in {folder} began, received {now!r}; leave it out.",
            )
    return dataclasses.replace(given, run=flags.run, resume=True, overwrite=False)


def flag(name):
    return "--" + name.replace("_", "-")


def check(config):
    """Raises InputError for the first setting that is out of its range; a task's own ranges are its RANGES."""
    ranges = {**RANGES, **getattr(type(config), "RANGES", {})}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if field.name not in ranges:
            continue
        low, high = ranges[field.name]
        if not math.isfinite(value) or value < low or (high is not None and value > high):
            wanted = f"from {low} to {high}" if high is not None else f"at least {low}"
            raise InputError(flag(field.name), f"expected a number {wanted}, received {value}.")
    if config.data and config.dataset:
        raise InputError("--data", "expected either --data or --dataset, received both.")
    if not config.data and config.validation_data:
        raise InputError("--validation-data", "expected --data to train on beside it, received none.")


def _evaluate(task, flags):
    metrics = evaluate(task, flags.run, flags.data)
    name = os.path.basename(flags.data)
    print(json.dumps(metrics) if flags.json else task.judge.told({name: metrics}, [name]))
    return 0


def _predict(task, flags):
    if flags.inputs and flags.input:
        raise InputError("--input", "expected inputs as arguments or from --input, received both.")
    if not flags.inputs and not flags.input:
        raise InputError("predict", "expected inputs as arguments, or --input FILE, or --input - for standard input.")
    inputs = list(flags.inputs) or list(_lines(flags.input))
    parts = restored(task, flags.run)[2]
    found = task.judge.answers(parts, inputs)
    if flags.json:
        lines = (json.dumps(answer, ensure_ascii=False) for answer in found)
    else:
        lines = task.judge.printed(parts, found, sys.stdout.isatty())
    for line in lines:
        print(line)
    if flags.picture:
        task.judge.draw(parts, found, flags.picture)
    return 0


def _lines(path):
    if path == "-":
        return [line.decode("utf-8", errors="replace").rstrip("\r\n") for line in sys.stdin.buffer]
    return [line.rstrip("\r\n") for _, line in read_lines(path)]


def _export(task, flags):
    path = export(task, flags.run, flags.to, flags.format)
    print(path)
    return 0
