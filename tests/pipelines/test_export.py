"""What is exported gives the model's numbers, where this project is not installed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pipelines import sentiment
from pipelines.engine import command, verbs

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

READER = """
import json, sys
import tensorflow as tf
served = tf.saved_model.load(sys.argv[1])
texts = json.load(sys.stdin)
assert all(len(value) == 0 for value in served.signatures["serve"](text=tf.constant([], tf.string)).values())
answer = served.signatures["serve"](text=tf.constant(texts))
print(json.dumps({
    "labels": [label.decode() for label in served.labels().numpy()],
    "label": [label.decode() for label in answer["label"].numpy()],
    "probabilities": answer["probabilities"].numpy().tolist(),
    "ours": sorted({name.split(".")[0] for name in sys.modules} & {"layers", "data", "pipelines", "keras"}),
}))
"""


def test_the_saved_model_answers_as_the_run_does_with_tensorflow_alone(trained, tmp_path):
    assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--to", str(tmp_path / "served")]) == 0
    env = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    done = subprocess.run(
        [sys.executable, "-I", "-c", READER, str(tmp_path / "served")],
        input=json.dumps(TEXTS).encode(),
        capture_output=True,
        cwd=tmp_path,
        env=env,
    )

    assert done.returncode == 0, done.stderr.decode()
    found = json.loads(done.stdout)
    expected = verbs.predict(sentiment.TASK, trained, TEXTS)
    assert not set(found["ours"]) & {"layers", "data", "pipelines"}
    assert found["label"] == [answer["label"] for answer in expected]
    probabilities = [[answer["probabilities"][label] for label in found["labels"]] for answer in expected]
    np.testing.assert_allclose(found["probabilities"], probabilities, atol=1e-6)
    np.testing.assert_allclose(np.sum(probabilities, axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(probabilities[2:5], [probabilities[1]] * 3, atol=1e-6)  # as the empty text's


@pytest.mark.parametrize("format, suffix", [("onnx", ".onnx"), ("litert", ".tflite")])
def test_the_network_alone_is_written_and_compared(trained, tmp_path, format, suffix, capsys):
    to = tmp_path / "network"
    assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--format", format, "--to", str(to)]) == 0
    assert capsys.readouterr().out.strip() == str(to.with_suffix(suffix))
    assert to.with_suffix(suffix).stat().st_size > 1000


def test_numbers_that_differ_are_not_let_through(trained, tmp_path, monkeypatch, capsys):
    import onnxruntime

    monkeypatch.setattr(onnxruntime.InferenceSession, "run", lambda self, *given: [np.full((3, 2), 0.5, "float32")])
    arguments = ["export", "--run", str(trained), "--format", "onnx", "--to", str(tmp_path / "network")]
    assert command.run(sentiment.TASK, arguments) == 1
    assert "error: ONNX gives other numbers than the model" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_library_that_is_missing_is_named(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    arguments = ["export", "--run", str(trained), "--format", "onnx", "--to", str(tmp_path / "network")]
    assert command.run(sentiment.TASK, arguments) == 1
    assert "pip install 'unroll[onnx]'" in capsys.readouterr().err


def test_a_folder_of_something_else_is_not_replaced(trained, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("mine")
    assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--to", str(tmp_path)]) == 2
    assert "received a folder with other files" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_an_old_export_is_replaced(trained, tmp_path):
    for _ in range(2):
        assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--to", str(tmp_path / "served")]) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["served"]
