"""Asks the model in this folder. It needs TensorFlow alone.

    python example.py                        answers the inputs of request.json
    python example.py INPUT [INPUT ...]      answers these

An input is a text; or a file, where the model reads files such as images; or a table of numbers (`.npy`, or `.csv` with
a line of names), a row for each timestep, where it reads numbers.
"""

import base64
import json
import logging
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides TensorFlow's messages at its start
logging.getLogger("absl").setLevel("ERROR")  # and a warning that nobody could train the model further

import numpy as np
import tensorflow as tf

HERE = pathlib.Path(__file__).resolve().parent


def main(arguments):
    samples = json.loads((HERE / "request.json").read_text(encoding="utf-8"))["instances"]
    kind = {str: "text", dict: "file", list: "numbers"}[type(samples[0])]
    try:
        inputs = [read(argument, kind) for argument in arguments]
    except (OSError, ValueError) as error:
        sys.exit(f"error: {error}")
    inputs = inputs or [base64.b64decode(one["b64"]) if kind == "file" else one for one in samples]

    model = tf.saved_model.load(str(HERE))
    serve = model.signatures["serving_default"]
    ((name, spec),) = serve.structured_input_signature[1].items()
    labels = [label.decode() for label in model.labels().numpy()] if hasattr(model, "labels") else []
    names = arguments or [one if kind == "text" else f"{name} {k}" for k, one in enumerate(samples, start=1)]
    for told, one in zip(names, inputs, strict=True):
        print(told)
        for key, value in serve(**{name: tf.constant([one], spec.dtype)}).items():
            print(f"    {key}: {shown(value.numpy()[0], labels if key == 'probabilities' else [])}")


def read(argument, kind):
    """An argument of the command line as an input of the model."""
    if kind == "text":
        return argument
    if kind == "file":
        return pathlib.Path(argument).read_bytes()
    if argument.endswith(".npy"):
        return np.load(argument, allow_pickle=False)
    return np.genfromtxt(argument, delimiter=",", skip_header=1, ndmin=2)


def shown(value, labels):
    """An answer as a line of text; the probabilities of labels with their labels."""
    if len(labels) and np.shape(value) == (len(labels),):
        return ", ".join(f"{label} {share:.4f}" for label, share in zip(labels, value, strict=True))
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    value = np.asarray(value)
    if value.dtype == object:
        value = np.char.decode(value.astype(bytes), "utf-8", "replace")
    elif value.size > 100:
        return f"numbers of the shape {value.shape}"
    return np.array2string(value, precision=4, threshold=100, separator=", ").replace("\n", "\n    ")


if __name__ == "__main__":
    main(sys.argv[1:])
