"""The same seed gives the same weights, however often the run is killed."""

import csv
import itertools
import resource
import shutil
import signal
import time

import numpy as np
import pytest
from conftest import DIFFERING, LEAST, SMALL, killed_at, started

from pipelines import sentiment
from pipelines.engine import command
from pipelines.engine.folder import CHECKPOINT, HISTORY, METRICS, REPLACED, WEIGHTS, RunFolder


def weights(folder):
    from pipelines.engine.verbs import restored

    return restored(sentiment.TASK, folder)[2].model.get_weights()


def assert_same_weights(folder, other):
    for one, two in zip(weights(folder), weights(other), strict=True):
        np.testing.assert_array_equal(one, two)


def history(folder):
    return list(csv.DictReader((folder / HISTORY).read_text().splitlines()))


def wait_for(process, folder, epoch):
    """Until the run has ended so many epochs."""
    for _ in range(12_000):
        with_rows = (folder / HISTORY).read_text().count("\n") > epoch if (folder / HISTORY).is_file() else False
        if with_rows:
            return
        assert process.poll() is None, process.stderr.read().decode()
        time.sleep(0.01)
    raise AssertionError("the run did not get that far")


@pytest.fixture(scope="module")
def arguments(reviews_csv):
    """Those of the run in `trained`, which nothing disturbed."""
    return ["train", "--data", str(reviews_csv), *SMALL, *DIFFERING]


@pytest.fixture(scope="module")
def killed(tmp_path_factory, reviews_csv, arguments):
    """A run that was killed within its second epoch, beside the file it learnt from; tests copy the folder."""
    folder = tmp_path_factory.mktemp("killed")
    data, run = folder / "reviews.csv", folder / "run"
    data.write_bytes(reviews_csv.read_bytes())
    process = started(*[data if given == str(reviews_csv) else given for given in arguments], "--run", run)
    wait_for(process, run, epoch=1)
    time.sleep(0.05)  # somewhere within the next epoch
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return folder


def test_killed_then_interrupted_by_ctrl_c_a_run_ends_with_the_same_weights(tmp_path, killed, trained):
    """Ctrl-C keeps what is trained, and says how to go on."""
    folder = tmp_path / "run"
    shutil.copytree(killed / "run", folder)
    assert (folder / CHECKPOINT).is_file() and not (folder / METRICS).exists()

    process = started("train", "--run", folder, "--resume")
    wait_for(process, folder, epoch=len(history(killed / "run")) + 1)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    last = err.decode().strip().splitlines()[-1]
    assert last.endswith(f"python -m pipelines.sentiment train --run {folder} --resume"), err.decode()
    assert len(history(folder)) < len(history(trained))

    assert command.run(sentiment.TASK, last.split("python -m pipelines.sentiment ")[1].split()) == 0

    assert not (folder / CHECKPOINT).exists()
    assert_same_weights(folder, trained)
    for one, two in zip(history(folder), history(trained), strict=True):
        assert {**one, "seconds": None} == {**two, "seconds": None}


def test_ctrl_c_before_training_begins_leaves_nothing(tmp_path, arguments):
    folder = tmp_path / "run"
    process = started(*arguments, "--run", folder)
    time.sleep(2.0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode in (130, -signal.SIGINT)
    assert "Traceback" not in err.decode() or process.returncode == -signal.SIGINT
    assert not folder.exists()


def test_a_resumed_run_is_refused_other_settings_and_names_them(tmp_path, arguments, capsys, monkeypatch):
    folder = tmp_path / "run"
    monkeypatch.setattr("pipelines.engine.verbs.fit", lambda *given: (_ for _ in ()).throw(KeyboardInterrupt))
    assert command.run(sentiment.TASK, [*arguments, "--run", str(folder)]) == 130
    assert command.run(sentiment.TASK, ["train", "--run", str(folder), "--resume", "--units", "9"]) == 2
    assert "error: --units: expected 4, as when the run" in capsys.readouterr().err


def test_a_checkpoint_of_other_data_or_another_model_is_refused(tmp_path, capsys, killed):
    folder, data = tmp_path / "run", killed / "reviews.csv"
    shutil.copytree(killed / "run", folder)
    before = data.read_bytes()
    try:
        data.write_bytes(before + b"One more.,positive\n" * 30)
        assert command.run(sentiment.TASK, ["train", "--run", str(folder), "--resume"]) == 2
        assert "training examples, as when the run began, received" in capsys.readouterr().err
        data.write_bytes(before.replace(b",positive", b",x").replace(b",negative", b",positive"))
        assert command.run(sentiment.TASK, ["train", "--run", str(folder), "--resume"]) == 2
        assert "checkpoint.npz: expected the examples and labels of when the run began" in capsys.readouterr().err
    finally:
        data.write_bytes(before)
    arrays, note = RunFolder(folder).read_arrays(CHECKPOINT)
    arrays["variable0"] = np.zeros((2, 2))
    RunFolder(folder).write_arrays(CHECKPOINT, arrays, note)
    assert command.run(sentiment.TASK, ["train", "--run", str(folder), "--resume"]) == 2
    assert "expected the weights of this model, received other shapes" in capsys.readouterr().err


@pytest.mark.parametrize("policy", ["bfloat16", "float16"])
def test_sixteen_bits_train_and_repeat_what_follows_a_kill(tmp_path, reviews_csv, no_pictures, policy):
    one, two = tmp_path / "one", tmp_path / "two"
    given = ["train", "--data", str(reviews_csv), *LEAST, "--mixed-precision", policy, "--epochs", "1"]
    with killed_at(4, two):
        assert command.run(sentiment.TASK, [*given, "--checkpoint-minutes", "0", "--run", str(one)]) == 0
    assert all(np.isfinite(weight).all() for weight in weights(one))
    assert command.run(sentiment.TASK, ["train", "--run", str(two), "--resume"]) == 0
    assert_same_weights(one, two)


def test_training_stops_when_validation_no_longer_improves(tmp_path, reviews_csv, no_pictures):
    folder = tmp_path / "run"
    given = ["train", "--data", str(reviews_csv), *LEAST, "--epochs", "40", "--patience", "2"]
    assert command.run(sentiment.TASK, [*given, "--learning-rate", "1e-9", "--ema", "0", "--run", str(folder)]) == 0
    rows = history(folder)
    merits = [(round(float(row["validation_accuracy"]), 6), -float(row["validation_loss"])) for row in rows]
    assert len(rows) == merits.index(max(merits)) + 3 < 40


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
@pytest.mark.parametrize("warmup", [0.0, 0.2])
def test_the_learning_rate_rises_and_falls_as_asked(schedule, warmup):
    from pipelines.engine.optimizer import optimizer

    config = sentiment.Config(schedule=schedule, warmup=warmup, learning_rate=0.5)
    made = optimizer(config, 100)
    rates = []
    for step in range(100):
        made.iterations.assign(step)
        rates.append(float(made.learning_rate))
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(0.5, rel=0.05)
    assert peak == pytest.approx(100 * warmup, abs=1)
    assert all(a <= b + 1e-9 for a, b in itertools.pairwise(rates[: peak + 1]))
    assert all(a >= b - 1e-9 for a, b in itertools.pairwise(rates[peak:]))
    assert (rates[-1] > 0.49) == (schedule == "constant")


def files(folder):
    """Name within the folder -> bytes."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_no_file_may_grow_and_nothing_is_lost(tmp_path, reviews_csv, trained, capsys):
    """A full disk, as a limit on the size of files."""
    folder = tmp_path / "run"
    shutil.copytree(trained, folder)
    before = files(folder)
    assert any(name.startswith("tensorboard/") for name in before)

    arguments = ["train", f"--data={reviews_csv}", *LEAST, f"--run={folder}", "--overwrite"]
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3000, limits[1]))
    try:
        status = command.run(sentiment.TASK, arguments)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)

    assert status == 2
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert err.strip().splitlines()[-1].startswith("error: ")
    kept = RunFolder(folder).previous if RunFolder(folder).previous.exists() else folder
    assert {name: data for name, data in files(kept).items() if name != REPLACED} == before
    assert (kept / WEIGHTS).is_file()
