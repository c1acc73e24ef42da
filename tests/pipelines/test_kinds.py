"""Every kind of raw input, feature and target trains, survives being killed, answers and is exported."""

import dataclasses
import json

import kinds
import numpy as np
import pytest
import tensorflow as tf
from conftest import killed_at

from pipelines.engine import command, verbs
from pipelines.engine.folder import CHECKPOINT, METRICS


def unprepared(parts):
    """Parts whose `prepare` fails where it is run, not where it is traced."""
    prepare = parts.prepare

    def fail(raw):
        with tf.control_dependencies([tf.debugging.Assert(False, ["prepared again"])]):
            return tf.nest.map_structure(tf.identity, prepare(raw), expand_composites=True)

    return dataclasses.replace(parts, prepare=fail)


def weights(task, run):
    return verbs.restored(task, run)[2].model.get_weights()


ON_DISK = ("image_to_class", "numbers_to_classes")  # kinds whose prepared examples are


@pytest.fixture(scope="module")
def runs(tmp_path_factory, kept_parts):
    """Kind -> (task, raw inputs, the folder of its finished run). Beside it, in `killed`, it is not yet finished."""
    found = {}
    for kind in kinds.KINDS:
        task, raws = kinds.task(kind)
        run = tmp_path_factory.mktemp(kind) / "run"
        flags = ["--no-baselines", "--no-tensorboard", "--memory", "0" if kind in ON_DISK else "0.5"]
        with killed_at(2, run.with_name("killed")):
            assert command.run(task, ["train", "--run", str(run), *flags]) == 0
        kept_parts.add(str(run))
        found[kind] = task, raws, run
    return found


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_killed_and_resumed_it_ends_with_the_same_weights(runs, monkeypatch, kind):
    task, _, undisturbed = runs[kind]
    run = undisturbed.with_name("killed")
    assert (run / CHECKPOINT).is_file() and not (run / METRICS).exists()
    assert (run / "prepared" / "train.json").is_file() == (kind in ON_DISK)

    if kind in ON_DISK:  # the examples are not prepared again
        monkeypatch.setattr(task, "build", lambda *given, build=task.build: unprepared(build(*given)))
    assert command.run(task, ["train", "--run", str(run), "--resume"]) == 0
    monkeypatch.undo()

    for one, two in zip(weights(task, run), weights(task, undisturbed), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not (run / "prepared").exists() and not (undisturbed / "prepared").exists()


@pytest.mark.parametrize("kind", kinds.KINDS)
def test_answers_are_those_of_the_export_with_tensorflow_alone(runs, tmp_path, alone, kind):
    task, raws, run = runs[kind]
    assert command.run(task, ["export", "--run", str(run), "--to", str(tmp_path / "export")]) == 0
    given = raws
    if isinstance(raws[0], np.ndarray):
        given = np.full((len(raws), max(map(len, raws)), 2), np.nan, "float32")
        for row, raw in enumerate(raws):
            given[row, : len(raw)] = raw

    found, _ = alone(tmp_path / "export", given)

    expected = verbs.restored(task, run)[2].ask(raws)
    assert set(found) == set(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-6)


def test_a_batch_of_unequal_numbers_is_each_alone(runs):
    for kind in ("numbers_to_classes", "numbers_to_values"):
        task, raws, run = runs[kind]
        together = verbs.predict(task, run, raws)
        for raw, answer in zip(raws[:3], together, strict=False):
            (alone,) = verbs.predict(task, run, [raw])
            for name, value in alone.items():
                np.testing.assert_allclose(np.ravel(answer[name])[: np.size(value)], np.ravel(value), atol=1e-6)


def test_files_folders_and_patterns_are_asked_and_answers_carry_their_names(runs, tmp_path, capsys):
    task, raws, run = runs["image_to_class"]
    for number, raw in enumerate(raws[:3]):
        (tmp_path / f"{number}.png").write_bytes(raw)
    (tmp_path / "notes.txt").write_text("not an image")
    for given in ([str(tmp_path)], [f"{tmp_path}/*.png"], [f"{tmp_path}/{number}.png" for number in range(3)]):
        capsys.readouterr()
        assert command.run(task, ["predict", "--run", str(run), *given, "--json"]) == 0
        rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        assert [row["name"] for row in rows] == [f"{tmp_path}/{number}.png" for number in range(3)]
    np.savetxt(tmp_path / "a.csv", runs["numbers_to_values"][1][0], delimiter=",", header="x,y", comments="")
    capsys.readouterr()
    task, raws, run = runs["numbers_to_values"]
    assert command.run(task, ["predict", "--run", str(run), str(tmp_path / "a.csv"), "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    np.testing.assert_allclose(row["values"], verbs.predict(task, run, [raws[0]])[0]["values"], atol=1e-6)
    for name, content in (("wrong.csv", "a,b\n1,x\n"), ("none.csv", None)):
        if content:
            (tmp_path / name).write_text(content)
        assert command.run(task, ["predict", "--run", str(run), str(tmp_path / name)]) == 2
        assert name in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".html"])
def test_answers_are_written_as_the_suffix_says(runs, tmp_path, capsys, suffix):
    task, raws, run = runs["letters_to_rows"]
    path = tmp_path / f"answers{suffix}"
    assert command.run(task, ["predict", "--run", str(run), "ab", "c", "--to", str(path)]) == 0
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") >= 2
    if suffix == ".jsonl":
        assert [json.loads(line) for line in text.splitlines()] == verbs.predict(task, run, ["ab", "c"])
    assert command.run(task, ["predict", "--run", str(run), "ab", "--to", str(tmp_path / "answers.docx")]) == 2
    assert "ends in one of .csv, .html, .jsonl" in capsys.readouterr().err
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
