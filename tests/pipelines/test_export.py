"""What is exported gives the model's numbers, where this project is not installed."""

import itertools
import pathlib
import sys
import types

import numpy as np
import pytest

from pipelines import sentiment
from pipelines.engine import command, exporting, verbs

TEXTS = [
    "There is nothing to like in this movie.",
    "",
    "   ",
    "\u200b\ufeff",
    "\u200d\u00ad",
    "🙂 🇳🇴 très bien",
    "xyzzy plugh",
    "dull " * 700,
    "Dull at first, but the ending isn't!",
]


def test_the_saved_model_answers_as_the_run_does_with_tensorflow_alone(trained, tmp_path, alone):
    assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--to", str(tmp_path / "served")]) == 0

    found, none, told = alone(tmp_path / "served", TEXTS, [])

    expected = verbs.predict(sentiment.TASK, trained, TEXTS)
    labels = [label.decode() for label in told["labels"]]
    assert [label.decode() for label in found["label"]] == [answer["label"] for answer in expected]
    probabilities = [[answer["probabilities"][label] for label in labels] for answer in expected]
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities[2:5], [probabilities[1]] * 3, atol=1e-6)  # as the empty text's
    assert set(none) == set(found) and all(len(value) == 0 for value in none.values())
    assert (tmp_path / "served" / "saved_model.pb").is_file()  # what an old export is known by


@pytest.mark.parametrize("format, suffix", [("onnx", ".onnx"), ("litert", ".tflite")])
def test_the_network_alone_is_written_and_compared(trained, tmp_path, format, suffix, capsys):
    to = tmp_path / "network"
    assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--format", format, "--to", str(to)]) == 0
    assert capsys.readouterr().out.strip() == str(to.with_suffix(suffix))
    assert to.with_suffix(suffix).stat().st_size > 1000


def test_numbers_that_differ_are_not_let_through(trained, tmp_path, monkeypatch, capsys):
    """The file is one that gives the same numbers for whatever text."""
    import onnxruntime
    import tf2onnx

    class Session:
        def __init__(self, path, **given):
            assert pathlib.Path(path).is_file()

        def get_inputs(self):
            return [types.SimpleNamespace(name="word_ids")]

        def run(self, names, given):
            return [np.full((len(given["word_ids"]), 2), 0.5, "float32")]

    write = lambda scores, output_path, **given: pathlib.Path(output_path).write_bytes(b"a network")
    monkeypatch.setattr(tf2onnx.convert, "from_function", write)
    monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
    arguments = ["export", "--run", str(trained), "--format", "onnx", "--to", str(tmp_path / "network")]
    assert command.run(sentiment.TASK, arguments) == 1
    assert "error: ONNX gives other numbers than the model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_library_that_is_missing_is_named(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    arguments = ["export", "--run", str(trained), "--format", "onnx", "--to", str(tmp_path / "network")]
    assert command.run(sentiment.TASK, arguments) == 1
    assert "pip install 'unroll[onnx]'" in capsys.readouterr().err


@pytest.fixture
def quick(monkeypatch):
    """What is written is a file or two, each time others: where it is put is tested, not what it is."""

    def write(parts, path):
        path.mkdir()
        (path / "saved_model.pb").write_bytes(b"")
        (path / f"variables.{next(numbers)}").write_bytes(b"")

    numbers = itertools.count()
    monkeypatch.setattr(exporting, "_savedmodel", write)


def test_a_folder_of_something_else_is_not_replaced(trained, tmp_path, quick, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--to", str(tmp_path)]) == 2
    assert "received a folder with other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_old_export_is_replaced(trained, tmp_path, quick):
    for number in range(2):
        assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--to", str(tmp_path / "served")]) == 0
        assert [path.name for path in tmp_path.iterdir()] == ["served"]
        names = {path.name for path in (tmp_path / "served").iterdir()}
        assert names >= {"saved_model.pb", f"variables.{number}"} and f"variables.{number - 1}" not in names
