"""A small trained run that tests read, and the command line as a user types it."""

import csv
import itertools
import os
import pathlib
import signal
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ["--units", "4", "--embedding", "6", "--epochs", "2", "--batch-size", "16", "--seed", "5"]

# A shell's background ignores Ctrl-C, and so would everything that is started from here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def reviews_csv(tmp_path_factory):
    """150 of the built-in reviews as a user's file."""
    from data.sets import reviews

    path = tmp_path_factory.mktemp("reviews") / "reviews.csv"
    rows = itertools.islice(reviews.built_in("train").as_numpy_iterator(), 150)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        writer.writerows([text.decode(), label.decode()] for text, label in rows)
    return path


@pytest.fixture(scope="session")
def trained(tmp_path_factory, reviews_csv):
    """The folder of a finished run; tests must not change it."""
    from pipelines import sentiment
    from pipelines.engine import command

    folder = tmp_path_factory.mktemp("runs") / "trained"
    arguments = ["train", "--data", str(reviews_csv), "--run", str(folder), *SMALL]
    assert command.run(sentiment.TASK, arguments) == 0
    return folder


def started(*arguments, task="sentiment", **options):
    """`python -m pipelines.TASK ...`, running."""
    # TensorFlow sets this one in every process that imports it; a user's shell does not have it.
    env = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.Popen(
        [sys.executable, "-m", f"pipelines.{task}", *map(str, arguments)],
        **{"cwd": ROOT, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": env, **options},
    )


def typed(*arguments, given=b"", **options):
    """`python -m pipelines.TASK ...`, done: (exit status, standard output, standard error)."""
    process = started(*arguments, stdin=subprocess.PIPE, **options)
    out, err = process.communicate(given, timeout=300)
    return process.returncode, out.decode(), err.decode()
