"""The command line of every task: verbs, flags from dataclasses, exit statuses.

0 done    1 the run failed    2 the user's input is wrong    130 interrupted
"""

import codecs
import dataclasses
import importlib.metadata
import json
import math
import os
import pathlib
import signal
import sys
import tomllib

import tyro

from data.files import InputError
from pipelines.engine import card, help, verbs, window, writing
from pipelines.engine.exporting import ExportError
from pipelines.engine.folder import CONFIG, RunFolder
from pipelines.engine.settings import Demo, Export, checked, ranges
from pipelines.engine.task import Verb
from pipelines.engine.training import Interrupted, say

KEPT = {
    "run",
    "resume",
    "overwrite",
    "config",
    "checkpoint_minutes",
    "tensorboard",
    "memory",
}  # settings that may differ in a resumed run


def main(task, arguments=None):
    """Runs the command line of a task and exits with its status."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:  # see `pipelines/__init__.py`
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for stream in (sys.stdout, sys.stderr):  # a terminal that knows few characters shows the others by their numbers
        stream.reconfigure(errors="backslashreplace")
    try:
        status = run(task, sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except BrokenPipeError:  # the program that reads our output has ended
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 0
    sys.exit(status)


def run(task, arguments):
    """As `main`, but returns the exit status instead of exiting."""
    known = {
        "train": Verb(task.config, _train),
        "evaluate": Verb(task.evaluate, _evaluate),
        "predict": Verb(task.predict, _predict),
        "export": Verb(Export, _export),
        "demo": Verb(Demo, _demo),
        **task.verbs,
    }
    verb, rest = (
        (arguments[0], arguments[1:]) if arguments and not arguments[0].startswith("-") else ("train", arguments)
    )
    program = f"python -m pipelines.{task.name}"
    if arguments[:1] == ["--version"]:
        print(f"unroll {importlib.metadata.version('unroll')}")
        return 0
    if arguments and arguments[0] in ("-h", "--help"):
        listed = "\n".join(f"    {program} {verb} --help" for verb in known)
        print(f"{sys.modules[task.config.__module__].__doc__}\nVerbs and their flags (no verb: train):\n\n{listed}")
        return 0
    if verb not in known:
        say(f"error: {verb}: expected one of the verbs {', '.join(known)}.")
        return 2
    program, chosen = f"{program} {verb}", known[verb]
    try:
        if asked := {"-h", "--help", "--help-all"} & set(rest):
            title = card.question(task) if verb == "train" else chosen.flags.__doc__.strip().splitlines()[0]
            print(help.text(program, chosen.flags, title, everything="--help-all" in asked))
            return 0
        flags = _parsed(task, chosen.flags, program, rest)
        chosen.call(task, flags)
        return 0
    except InputError as error:
        say(f"error: {error}")
        return 2
    except ExportError as error:
        say(f"error: {error}")
        return 1
    except Interrupted as interrupted:
        say(f"interrupted; a checkpoint is written. To continue: {program} --run {interrupted} --resume")
        return 130
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    except BrokenPipeError:  # an OSError that `main` handles
        raise
    except MemoryError:
        say("error: out of memory; a smaller --batch-size, --max-length or --memory needs less.")
        return 1
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        say(f"error: {where}{error.strerror or error}; files that existed are unchanged.")
        return 2


def flag(name):
    return "--" + name.replace("_", "-")


# Flags.


def _parsed(task, kind, program, arguments):
    """The flags of a verb as its dataclass; flags override the settings of `--config`, which come before them."""
    arguments = [*_from_file(kind, arguments), *arguments]
    names = [one.split("=")[0].replace("_", "-") for one in arguments]
    for field in dataclasses.fields(kind):
        if field.type == tuple[str, ...] and (times := names.count(flag(field.name))) > 1:
            expected = "expected once, with all of its values after it"  # of several, the last one alone would count
            raise InputError(flag(field.name), f"{expected}, received {times} times.")
    flags = tyro.cli(kind, prog=program, args=arguments)
    flags.run = flags.run or f"runs/{task.name}"
    if kind is task.config:
        if flags.resume and flags.overwrite:
            raise InputError("--resume", "expected either --resume or --overwrite, received both.")
        if flags.resume:
            flags = _resumed(flags, program, arguments)
        if flags.data and flags.dataset:
            raise InputError("--data", "expected either --data or --dataset, received both.")
        for name in ("validation_data", "test_data"):
            if getattr(flags, name) and not flags.data:
                raise InputError(flag(name), "expected --data to train on beside it, received none.")
    check(vars(flags), ranges(kind))
    return flags


def _from_file(kind, arguments):
    """The settings of the file that `--config` names, as flags; none without `--config`."""
    given = [
        one.split("=", 1) if "=" in one else [one, *arguments[at + 1 : at + 2]] for at, one in enumerate(arguments)
    ]
    path = next((one[1] for one in given if one[0] == "--config" and len(one) == 2), None)
    if path is None or not hasattr(kind, "config"):
        return []
    try:
        text = pathlib.Path(path).read_text(encoding="utf-8-sig")
        values = tomllib.loads(text) if path.lower().endswith(".toml") else json.loads(text)
    except OSError as error:
        raise InputError(path, f"expected a JSON or TOML file of settings, received: {error.strerror}.") from None
    except ValueError as error:
        raise InputError(path, f"expected JSON, or TOML in a file that ends in .toml, received: {error}.") from None
    if isinstance(values, dict):
        values = {name.replace("-", "_"): value for name, value in values.items()}
    flags = []
    for name, value in checked(path, kind, values).items():
        if value is None or name in ("config", "resume", "overwrite"):  # these concern one command, not the run
            continue
        if isinstance(value, bool):
            flags.append(flag(name) if value else f"--no-{flag(name)[2:]}")
        else:
            flags.append(f"{flag(name)}={value}")  # in one, as a value may begin with "-"
    return flags


def _resumed(flags, program, arguments):
    """The settings that the run began with; flags with other values are an error."""
    folder = RunFolder(flags.run)
    if not folder.has(CONFIG):
        if folder.path.exists() and any(folder.path.iterdir()):
            raise InputError(folder, "expected a run to resume, received a folder without config.json.")
        return flags  # the run was killed before it began
    began = folder.read_config(type(flags))
    given = tyro.cli(type(flags), prog=program, args=arguments, default=began)
    for field in dataclasses.fields(began):
        now, then = getattr(given, field.name), getattr(began, field.name)
        if field.name not in KEPT and now != then:
            raise InputError(
                flag(field.name),
                f"expected {then!r}, as when the run in {folder} began, received {now!r}; leave it out.",
            )
    return dataclasses.replace(given, run=flags.run, resume=True, overwrite=False)


def check(values, limits):
    """Raises InputError for the first setting that is out of its range; None is a setting that is not given."""
    for name, (low, high) in limits.items():
        value = values.get(name)
        if value is not None and (not math.isfinite(value) or value < low or (high is not None and value > high)):
            wanted = f"from {low} to {high}" if high is not None else f"at least {low}"
            raise InputError(flag(name), f"expected a number {wanted}, received {value}.")


# Verbs.


def _train(task, config):
    verbs.train(task, dataclasses.replace(config, config=""))


def _evaluate(task, flags):
    metrics = verbs.evaluate(task, flags.run, flags.data, **replaced(task, flags))
    name = os.path.basename(flags.data)
    print(json.dumps(metrics) if flags.json else task.evaluation.format_metrics({name: metrics}, [name]))


def _predict(task, flags):
    if flags.inputs and flags.input:
        raise InputError("--input", "expected inputs as arguments or from --input, received both.")
    if not flags.inputs and not flags.input:
        raise InputError("predict", "expected inputs as arguments, or --input FILE, or --input - for standard input.")
    if flags.to:
        writing.writer_of(writing.writers(task), flags.to)  # reports an unknown suffix before anything is read
    config, _, parts = verbs.restored(task, flags.run, **replaced(task, flags))
    found = verbs.answers(task, parts, task.inputs(flags, config))
    show(writing.writers(task), parts, found, flags, task.evaluation.format_answers)


def show(writers, parts, found, flags, format_answers):
    """Writes answers to the file of `--to`, or prints them, as JSON or as lines of `format_answers`.

    Args:
        writers: Suffix -> writer of these answers, see `writing.writers`.
        parts: The task's `Parts`.
        found: Iterator of dictionaries.
        flags: An `Answers`.
        format_answers: `(parts, answers, colours)` -> lines.
    """
    if flags.to:
        count = writing.write(writers, parts, found, flags.to)
        say(f"{flags.to}: {count:,} answers")
    elif flags.json:
        unicode = codecs.lookup(sys.stdout.encoding or "utf-8").name == "utf-8"  # else all characters are escaped
        for answer in found:
            print(json.dumps(answer, ensure_ascii=not unicode))
    else:
        for line in format_answers(parts, found, sys.stdout.isatty()):
            print(line)


def replaced(task, flags):
    """The flags of another verb that replace settings of the run."""
    settings = {field.name for field in dataclasses.fields(task.config)} - {"run", "data"}
    given = {name: value for name, value in vars(flags).items() if name in settings and value is not None}
    check(given, ranges(task.config))
    return given


def _export(task, flags):
    print(verbs.export(task, flags.run, flags.to, flags.format))


def _demo(task, flags):
    window.demo(task, flags)
