"""An export tells what it is: its card, its example, and the first requests of TensorFlow Serving."""

import base64
import json
import re
import subprocess
import sys

import kinds
import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from tensorflow.core.framework import tensor_pb2

from pipelines import captioning, dna, ner, sentiment, translation
from pipelines.engine import card, command, verbs

TASKS = {task.name: task for task in (sentiment.TASK, ner.TASK, translation.TASK, dna.TASK, captioning.TASK)}


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    """The folder of the export of a trained run."""
    to = tmp_path_factory.mktemp("card") / "served"
    assert command.run(sentiment.TASK, ["export", "--run", str(trained), "--to", str(to)]) == 0
    return to


def test_the_front_matter_gives_the_metrics_of_the_run_and_leaves_the_licence_open(trained, exported):
    text = (exported / "README.md").read_text(encoding="utf-8")
    _, front, body = text.split("---\n", 2)
    told, metrics = yaml.safe_load(front), json.loads((trained / "metrics.json").read_text())

    assert told["license"] == "unknown" and "to be filled in" in front
    assert told["pipeline_tag"] == "text-classification" and told["library_name"] == "tensorflow"
    assert "language" not in told and "# language: to be filled in" in front  # a user's file: nobody knows
    (result,) = told["model-index"][0]["results"]
    assert result["dataset"]["name"] == "reviews.csv" and result["dataset"]["split"] == "validation"
    scores = {one["type"]: one["value"] for one in result["metrics"]}
    assert scores["accuracy"] == pytest.approx(metrics["validation"]["accuracy"], abs=1e-6)
    assert scores["f1"] == pytest.approx(metrics["validation"]["macro_f1"], abs=1e-6)
    assert set(told["metrics"]) == set(scores)
    baseline = metrics["baselines"]["validation"]["tfidf_logistic_regression"]
    assert re.search(rf"TF-IDF.* {baseline:.4f}", body)
    assert str(trained.parent) not in text  # no folder of the machine where it was trained


def test_the_example_answers_as_the_run_does_with_tensorflow_alone(trained, exported, tmp_path):
    texts = ["Dull at first, but the ending is wonderful.", "🙂"]
    found = subprocess.run(
        [sys.executable, "-I", str(exported / "example.py"), *texts], cwd=tmp_path, capture_output=True, text=True
    )
    assert found.returncode == 0, found.stderr
    for text, answer in zip(texts, verbs.predict(sentiment.TASK, trained, texts), strict=True):
        block = found.stdout.split(text)[1]
        assert re.search(r"label: (.*)", block)[1] == answer["label"]
        shares = dict(re.findall(r"([^, ]+) (\d\.\d{4})", re.search(r"probabilities: (.*)", block)[1]))
        for label, share in answer["probabilities"].items():
            assert float(shares[label]) == pytest.approx(share, abs=2e-4)
    source = (exported / "example.py").read_text()
    assert not re.search(r"^(import|from) (keras|layers|data|pipelines)", source, re.M)


def messages():
    """The class of `tensorflow.serving.PredictionLog`, from its published definition."""
    pool = descriptor_pool.DescriptorPool()

    def known(file):
        for other in file.dependencies:
            known(other)
        pool.AddSerializedFile(file.serialized_pb)

    known(tensor_pb2.DESCRIPTOR)
    file = descriptor_pb2.FileDescriptorProto(name="log.proto", package="tensorflow.serving", syntax="proto3")
    file.dependency.append(tensor_pb2.DESCRIPTOR.name)
    fields = {
        "ModelSpec": [("name", 1, None), ("signature_name", 3, None)],
        "PredictRequest": [("model_spec", 1, ".tensorflow.serving.ModelSpec")],
        "PredictLog": [("request", 1, ".tensorflow.serving.PredictRequest")],
        "PredictionLog": [("predict_log", 6, ".tensorflow.serving.PredictLog")],
    }
    for name, some in fields.items():
        message = file.message_type.add(name=name)
        for field, number, kind in some:
            message.field.add(name=field, number=number, type=11 if kind else 9, label=1, type_name=kind)
    request = file.message_type[1]
    entry = request.nested_type.add(name="InputsEntry")
    entry.options.map_entry = True
    entry.field.add(name="key", number=1, type=9, label=1)
    entry.field.add(name="value", number=2, type=11, label=1, type_name=".tensorflow.TensorProto")
    kind = ".tensorflow.serving.PredictRequest.InputsEntry"
    request.field.add(name="inputs", number=2, type=11, label=3, type_name=kind)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("tensorflow.serving.PredictionLog"))


def requests(folder):
    """The requests of a warm-up file: (signature, name of the input, array) of each."""
    log = messages()
    for record in tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests")):
        request = log.FromString(record.numpy()).predict_log.request
        ((name, value),) = request.inputs.items()
        again = tensor_pb2.TensorProto.FromString(value.SerializeToString())
        yield request.model_spec.signature_name, name, tf.make_ndarray(again)


def test_the_warm_up_file_holds_requests_that_the_signature_takes(trained, exported):
    found = list(requests(exported))
    parts = verbs.restored(sentiment.TASK, trained)[2]
    tried = sentiment.ABOUT.examples(None)
    assert [array[0].decode() for _, _, array in found] == [*parts.samples, *tried]
    model = tf.saved_model.load(str(exported))
    for signature, name, array in found:
        assert set(model.signatures[signature](**{name: tf.constant(array)})) == {"label", "probabilities"}


@pytest.mark.parametrize("kind", ["image_to_class", "numbers_to_values", "letters_to_rows"])
def test_a_request_gives_texts_bytes_and_numbers_as_json(tmp_path, kind):
    task, raws = kinds.task(kind)
    parts = task.build(task.config(), {})
    card.write(task, task.config(), parts, {}, tmp_path)

    (given,) = json.loads((tmp_path / "request.json").read_text())["instances"]
    *_, (_, name, array) = requests(tmp_path)
    assert name == parts.signature.name
    if kind == "image_to_class":
        assert base64.b64decode(given["b64"]) == parts.samples[-1] == array[0]
    elif kind == "letters_to_rows":
        assert given == parts.samples[-1] == array[0].decode()
    else:
        np.testing.assert_array_equal(np.array(given, "float32"), parts.samples[-1])
        np.testing.assert_array_equal(array[0], parts.samples[-1])
    text = (tmp_path / "README.md").read_text()
    yaml.safe_load(text.split("---\n")[1])
    assert "not finished" in text and f"takes `{name}`" in text


def test_a_long_field_of_a_message_has_its_length_in_several_bytes():
    request = card.prediction_log("m", "x", tf.constant(["a" * 70_000]))
    assert messages().FromString(request).predict_log.request.inputs["x"].string_val == [b"a" * 70_000]


@pytest.mark.parametrize("name", TASKS)
def test_every_task_says_what_people_need_to_know_of_it(name):
    about, config = TASKS[name].about, TASKS[name].config()
    assert about.pipeline_tag and len(about.limits) >= 3 and all(one.endswith(".") for one in about.limits)
    assert about.metrics and about.examples(config)
    assert name == "dna" or about.languages(config)[0] == "en"


def test_words_that_yaml_reads_as_something_else_are_quoted():
    value = {"language": ["no", "en"], "name": "a: b # c", "results": [{"x": 1.5, "y": ["1e3", "null", 'quo"te']}]}
    assert yaml.safe_load("\n".join(card.yaml(value))) == value
