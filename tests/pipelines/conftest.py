"""A small trained run that tests read, the command line as a user types it, and TensorFlow alone."""

import contextlib
import csv
import itertools
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys

import keras
import pytest

ROOT = pathlib.Path(__file__).parents[2]
SMALL = ["--units", "4", "--embedding", "6", "--epochs", "2", "--batch-size", "16", "--seed", "5"]
SMALL += ["--bag-pairs", "1000"]
# Nearly all of a small run's time is tracing its network: where the network is not what is tested, the least of all.
LEAST = [*SMALL, "--cell", "elman", "--no-bidirectional", "--pooling", "last", "--no-bag", "--no-baselines"]
LEAST += ["--no-tensorboard"]
# All that could differ between two runs: dropout of every kind, averaging, a schedule; a checkpoint at each step.
DIFFERING = ["--recurrent-dropout", "0.1", "--epochs", "6", "--patience", "0", "--checkpoint-minutes", "0"]

# A shell's background ignores Ctrl-C, and so would everything that is started from here.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def float32_afterwards():
    yield
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session", autouse=True)
def kept_parts():
    """Folders of finished runs whose parts are restored once for all tests, so that their graphs are traced once."""
    from pipelines.engine import verbs

    folders, found, restored = set(), {}, verbs.restored

    def once(task, run, **settings):
        if settings or str(run) not in folders:
            return restored(task, run, **settings)
        if str(run) not in found:
            found[str(run)] = restored(task, run)
        return found[str(run)]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verbs, "restored", once)
        yield folders


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
def trained(tmp_path_factory, reviews_csv, kept_parts):
    """The folder of a finished run; tests must not change it."""
    from pipelines import sentiment
    from pipelines.engine import command

    folder = tmp_path_factory.mktemp("runs") / "trained"
    arguments = ["train", "--data", str(reviews_csv), "--run", str(folder), *SMALL, *DIFFERING]
    assert command.run(sentiment.TASK, arguments) == 0
    kept_parts.add(str(folder))
    return folder


@pytest.fixture
def no_pictures(monkeypatch):
    """Runs draw nothing: for tests that look at what was trained."""
    from pipelines.evaluation import classification, sequences, tagging, translation

    for evaluation in (classification, sequences, tagging, translation):
        monkeypatch.setattr(evaluation, "plot_run", lambda *given: None)


@contextlib.contextmanager
def killed_at(step, to):
    """Within: a copy of the run's folder in `to` is what is there if the run is killed after so many steps."""
    from pipelines.engine import training

    before = training.Follow.on_train_batch_end

    def copy(self, batch, logs=None):
        before(self, batch, logs)
        if (self.state.epoch, self.state.step) == (0, step):
            shutil.copytree(self.state.folder.path, to)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Follow, "on_train_batch_end", copy)
        yield
    assert to.is_dir()


ALONE = """
import os, pickle, sys
answers = os.fdopen(os.dup(1), "wb")
os.dup2(2, 1)  # whatever else is printed
import tensorflow as tf
while True:
    try:
        folder, batches = pickle.load(sys.stdin.buffer)
    except EOFError:
        break
    model = tf.saved_model.load(folder)
    (name,) = model.signatures["serve"].structured_input_signature[1]
    found = [model.signatures["serve"](**{name: tf.constant(*batch)}) for batch in batches]
    found = [{key: value.numpy() for key, value in one.items()} for one in found]
    told = {key: getattr(model, key)().numpy() for key in ("labels", "tags") if hasattr(model, key)}
    pickle.dump((found, told, sorted(name.split(".")[0] for name in sys.modules)), answers)
    answers.flush()
"""


@pytest.fixture(scope="session")
def alone(tmp_path_factory):
    """`(folder of a SavedModel, *batches)` -> its answer to each batch, and the constants it tells, in another process.

    That process has TensorFlow alone, and not this project. A batch is an array of numbers or a list of strings.
    """
    place = tmp_path_factory.mktemp("alone")
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with open(place / "stderr", "wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-I", "-c", ALONE],
            **{"cwd": place, "env": env, "stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": stderr},
        )

    def ask(folder, *batches):
        given = [(batch, None) if hasattr(batch, "dtype") else (batch, "string") for batch in batches]
        try:
            pickle.dump((str(folder), given), process.stdin)
            process.stdin.flush()
            found, told, modules = pickle.load(process.stdout)
        except (EOFError, BrokenPipeError):
            raise AssertionError((place / "stderr").read_text()) from None
        assert "tensorflow" in modules and not {"layers", "data", "pipelines"} & set(modules)
        return *found, told

    yield ask
    process.stdin.close()
    assert process.wait(60) == 0


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
