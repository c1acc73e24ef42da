"""What stands beside a model: the README.md of a run, and the model card, the example and the first requests of an
export.

    README.md                                a model card, with the front matter that Hugging Face reads
    request.json                             inputs to try, as the body of a request to TensorFlow Serving
    example.py                               asks the model, with TensorFlow alone
    assets.extra/tf_serving_warmup_requests  what TensorFlow Serving asks before it serves, so that nobody waits
"""

import base64
import dataclasses
import inspect
import json
import pathlib
import re
import shutil
import sys

import numpy as np
import tensorflow as tf

from pipelines.engine.folder import RunFolder
from pipelines.engine.folds import format_folds
from pipelines.engine.task import stacked

EXAMPLE = pathlib.Path(__file__).with_name("example.py")
SIGNATURE = "serving_default"


def question(task):
    """The question that a task answers: the first line of its module's docstring."""
    return inspect.getdoc(sys.modules[task.config.__module__]).splitlines()[0]


def formatted(task, metrics):
    """The metrics of a run, and those of its cross-validation, as tables to read."""
    tables = [task.evaluation.format_metrics(metrics)]
    if "folds" in metrics:
        tables.append(format_folds(metrics["folds"]))
    return "\n\n".join(tables)


def source(config, read=str):
    """What a run was trained on, in words; `read` maps the path of a file to what is shown of it."""
    return config.dataset or read(config.data) or "the built-in data"


def published(value):
    """A setting as strangers may see it: of a path the name alone, without the folders of a person's machine."""
    return pathlib.Path(value).name if isinstance(value, str) else value


def settings(config, read=lambda value: value):
    """The settings of a run that are not defaults, in words; `read` maps a value to what is shown of it."""
    default = {field.name: field.default for field in dataclasses.fields(config)}
    changed = {name: read(value) for name, value in dataclasses.asdict(config).items() if value != default[name]}
    return ", ".join(f"`{name}` {value}" for name, value in changed.items()) or "all defaults"


def of_run(task, config, metrics):
    """The README.md of a run: its data, its settings and its metrics."""
    pictures = [name for name in task.evaluation.PICTURES if RunFolder(config.run).has(name)]
    return (
        f"# {task.name}\n\nTrained on {source(config)} for {metrics['epochs']} epochs in "
        f"{metrics['seconds_training']:.0f} s.\n"
        f"Settings: {settings(config)}; all of them are in `config.json`.\n\n"
        f"```\n{formatted(task, metrics)}\n```\n\n"
        + "".join(f"{'!' * name.endswith('.png')}[{name}]({name})\n" for name in pictures)
        + f"\n    python -m pipelines.{task.name} predict --run {config.run} TEXT\n"
        f"    python -m pipelines.{task.name} demo --run {config.run}\n"
    )


# Beside an export.


def write(task, config, parts, metrics, folder):
    """Writes all that stands beside a SavedModel to its folder.

    Args:
        task, config, parts: The task, the configuration of the run and its parts.
        metrics: Those of the run; an empty dictionary if it is not finished.
        folder: The folder of the SavedModel.
    """
    folder = pathlib.Path(folder)
    tried = task.about.tried(config, parts)
    request = {"instances": [instance(raw) for raw in tried]}
    (folder / "request.json").write_text(json.dumps(request, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(EXAMPLE, folder / "example.py")
    (folder / "assets.extra").mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / "assets.extra" / "tf_serving_warmup_requests")) as file:
        for raws in ([raw] for raw in [*parts.samples, *tried]):
            file.write(prediction_log(task.name, parts.signature.name, stacked(raws, parts.signature)))
    (folder / "README.md").write_text(of_export(task, config, parts, metrics), encoding="utf-8")


def instance(raw):
    """A raw input as a request to TensorFlow Serving gives it: a text, {"b64": bytes in base64} or rows of numbers."""
    if isinstance(raw, bytes):
        return {"b64": base64.b64encode(raw).decode()}
    return raw if isinstance(raw, str) else np.asarray(raw).tolist()


def prediction_log(model, name, batch):
    """A request as a serialized `tensorflow.serving.PredictionLog`, the message of TensorFlow Serving's warm-up file.

    The message is five nested fields, so it is written by hand: the package that defines it pins a TensorFlow version.

        PredictionLog.predict_log = 6    PredictLog.request = 1    PredictRequest.model_spec = 1, .inputs = 2 (a map)
        ModelSpec.name = 1, .signature_name = 3

    Args:
        model: Name of the model.
        name: Name of the input in the signature.
        batch: Tensor of raw inputs.
    """
    spec = nested(1, model.encode()) + nested(3, SIGNATURE.encode())
    given = nested(1, name.encode()) + nested(2, tf.make_tensor_proto(batch).SerializeToString())
    return nested(6, nested(1, nested(1, spec) + nested(2, given)))


def nested(number, content):
    """A field of a protocol buffer that has a length: its tag, the length as a varint, and the content.

    Example:
        >>> nested(2, b"ab")
        b'\\x12\\x02ab'
    """
    head, length = bytes([number << 3 | 2]), len(content)
    while length > 127:
        head, length = head + bytes([length & 127 | 128]), length >> 7
    return head + bytes([length]) + content


def of_export(task, config, parts, metrics):
    """The model card of an export."""
    about, finished = task.about, bool(metrics)
    own = dataclasses.replace(config, run="", resume=False, overwrite=False)  # these concern a command, not the model
    compared = (
        "Baselines of the same run stand beside the model's figures."
        if "baselines" in metrics
        else "No baselines were evaluated in this run (`--no-baselines`), so these figures compare with nothing."
    )
    table = "The run is not finished: there are no metrics yet."
    if finished:
        table = f"{compared}\n\n```\n{formatted(task, metrics)}\n```"
    kind = {
        "text": "texts (UTF-8)",
        "file": "the bytes of files",
        "numbers": "numbers `(batch, timesteps, features)`, padded at the end with rows of NaN",
    }[parts.takes]
    sizes = lambda spec: ", ".join(["batch", *(str(size or "any") for size in spec.shape[1:])])
    outputs = "\n".join(
        f"| `{name}` | {spec.dtype.name} | `({sizes(spec)})` |"
        for name, spec in parts.serve.get_concrete_function().structured_outputs.items()
    )
    constants = "".join(
        f"`tf.saved_model.load(folder).{name}()` returns the {name}.\n" for name in parts.extras.constants
    )
    trained = f", {metrics['epochs']} epochs in {metrics['seconds_training']:.0f} s" if finished else ""
    limits = "\n".join(f"- {one}" for one in [*about.limits, *common_limits(config)])
    return f"""{front_matter(task, config, metrics)}
# {task.name}

{question(task)} A recurrent network, exported as a SavedModel that takes raw input and needs TensorFlow alone.

Trained on {source(config, published)}{trained}.
Settings: {settings(own, published)}.

## How to ask it

    python example.py                 asks the inputs of request.json
    python example.py INPUT [INPUT ...]

The signature `{SIGNATURE}` takes `{parts.signature.name}`: {kind}, any number of them. It answers

| name | dtype | shape |
| --- | --- | --- |
{outputs}

{constants}
TensorFlow Serving answers over HTTP when this folder is a version of a model, such as `models/{task.name}/1`:

    curl -d @request.json http://localhost:8501/v1/models/{task.name}:predict

It asks the requests of `assets.extra/tf_serving_warmup_requests` before it serves, so that no user waits for the first
answer.

## Metrics

{table}

## Limits

{limits}

## Licence

To be filled in by whoever publishes the model, here and in the field `license` above. The licence of the training data
may restrict it.
"""


def common_limits(config):
    """What is true of the answers of every task."""
    return [
        f"The figures are of data like {source(config, published)}: measure on yours before you rely on the answers.",
        "What the training data gets wrong or leaves out, the model gets wrong too. A score says how sure the network "
        "is, not whether it is right.",
    ]


def front_matter(task, config, metrics):
    """The metadata that Hugging Face reads at the beginning of a card, between two lines of dashes."""
    about = task.about
    languages = about.languages(config) if about.languages else []
    split = "test" if "test" in metrics else "validation"
    found = metrics.get(split, {})
    scores = [(hub, found[name]) for name, hub in about.metrics.items() if name in found]
    fields = {"license": "unknown", "library_name": "tensorflow"}
    fields |= {"pipeline_tag": about.pipeline_tag} if about.pipeline_tag else {}
    fields |= {"language": languages} if languages else {}
    fields["tags"] = [
        "tensorflow",
        "saved-model",
        "recurrent-neural-network",
        *([config.cell] if hasattr(config, "cell") else []),
    ]
    if scores:
        fields["metrics"] = list(dict.fromkeys(hub for hub, _ in scores))
        name = source(config, published)
        data = {"name": name, "type": re.sub(r"\W+", "-", name).strip("-").lower(), "split": split}
        fields["model-index"] = [
            {
                "name": task.name,
                "results": [
                    {
                        "task": {"type": about.pipeline_tag or "other"},
                        "dataset": data,
                        "metrics": [{"type": hub, "value": round(value, 6)} for hub, value in scores],
                    }
                ],
            }
        ]
    text = "\n".join(yaml(fields))
    notes = {
        "license: unknown": "license: unknown  # to be filled in, such as apache-2.0",
        **(
            {"library_name:": "# language: to be filled in, such as en\nlibrary_name:"}
            if about.languages and not languages
            else {}
        ),
    }
    for line, noted in notes.items():
        text = text.replace(line, noted, 1)
    return f"---\n{text}\n---"


def yaml(value, indent=""):
    """The lines of YAML of dictionaries, lists, texts and numbers; every text is quoted that YAML could misread.

    Example:
        >>> print("\\n".join(yaml({"language": ["en", "no"], "split": "a: b"})))
        language:
        - en
        - "no"
        split: "a: b"
    """
    if isinstance(value, dict):
        for key, one in value.items():
            if isinstance(one, dict | list):
                yield f"{indent}{key}:"
                yield from yaml(one, indent + "  " * isinstance(one, dict))
            else:
                yield f"{indent}{key}: {scalar(one)}"
    else:
        for one in value:
            if isinstance(one, dict):
                first, *rest = yaml(one, indent + "  ")
                yield f"{indent}- {first.lstrip()}"
                yield from rest
            else:
                yield f"{indent}- {scalar(one)}"


MISREAD = {"no", "yes", "on", "off", "true", "false", "null", "y", "n"}  # words that mean something else in YAML


def scalar(value):
    if not isinstance(value, str):
        return json.dumps(value)
    plain = re.fullmatch(r"[A-Za-z][\w-]*( [\w-]+)*", value) and value.lower() not in MISREAD
    return value if plain else json.dumps(value, ensure_ascii=False)
