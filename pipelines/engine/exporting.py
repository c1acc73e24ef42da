"""Exports a trained model: a SavedModel that takes raw input, or the network alone as ONNX or LiteRT."""

import contextlib
import re
import shutil
import sys
import warnings

import keras
import numpy as np
import tensorflow as tf

from data.files import InputError
from pipelines.engine.task import stacked

FORMATS = ("savedmodel", "onnx", "litert")


class ExportError(RuntimeError):
    """The format cannot represent this model, or the library that writes it is missing."""


def export(parts, to, format="savedmodel", beside=None):
    """Writes `parts` to the folder `to`; returns the path written.

    The SavedModel takes raw input and needs only TensorFlow. ONNX and LiteRT contain the network after the preparation
    of its input, features -> scores; the written file is run and compared with the model before this function returns.

    Raises:
        ExportError: if the format cannot represent the model or its library is not installed.
        InputError: if `to` cannot be written.
    """
    write = {"savedmodel": _savedmodel, "onnx": _onnx, "litert": _litert}[format]
    if parts.extras.search and format != "savedmodel":
        raise ExportError(
            f"{format} holds a network alone, and this task's answers need a search over it; use --format savedmodel"
        )
    names = {"savedmodel": to, "onnx": to.with_suffix(".onnx"), "litert": to.with_suffix(".tflite")}
    target = names[format]
    temporary = target.with_name(f".writing.{target.name}")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.redirect_stdout(sys.stderr), _quiet():
            write(parts, temporary)
            if beside and format == "savedmodel":
                beside(temporary)
        _replace(temporary, target)
    except OSError as error:
        raise InputError(target, f"expected a place to write to, received: {error.strerror or error}.") from None
    finally:
        _remove(temporary)
    return target


@contextlib.contextmanager
def _quiet():
    """Hides two warnings: of lookup tables, about a collection of TensorFlow 1; of LiteRT, about its interpreter."""
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("ERROR")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated.*")
            yield
    finally:
        logger.setLevel(level)


def _replace(temporary, target):
    if target.is_dir() and not (target / "saved_model.pb").is_file() and any(target.iterdir()):
        raise InputError(target, "expected a new folder or an old export, received a folder with other files.")
    _remove(target)
    temporary.rename(target)


def _remove(path):
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _savedmodel(parts, path):
    archive = keras.export.ExportArchive()
    archive.track(parts.model)
    if isinstance(parts.prepare, tf.Module):  # a module may hold tables; a plain function holds none
        archive.track(parts.prepare)
    archive.add_endpoint("serve", parts.serve.python_function, input_signature=[parts.signature])
    for constant, values in parts.extras.constants.items():
        archive.add_endpoint(constant, lambda values=tuple(values): tf.constant(values), input_signature=[])
    archive.write_out(str(path), verbose=False)


def _onnx(parts, path):
    try:
        import onnxruntime
        import tf2onnx
    except ImportError as error:
        raise ExportError(f"ONNX needs {error.name}, which is not installed: pip install 'unroll[onnx]'") from None
    try:
        tf2onnx.convert.from_function(
            parts.scores, input_signature=parts.scores.input_signature, opset=18, output_path=str(path)
        )
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        names = [given.name for given in session.get_inputs()]
    except Exception as error:  # anything that the converter or the runtime does not support
        raise ExportError(f"ONNX cannot hold this network: {_first_line(error)}") from None
    _compare(parts, "ONNX", lambda features: session.run(None, _by_name(features, names))[0])


def _litert(parts, path):
    try:
        function = parts.scores.get_concrete_function()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([function], parts.model)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
        path.write_bytes(converter.convert())
        interpreter = tf.lite.Interpreter(model_path=str(path))
    except Exception as error:
        raise ExportError(f"LiteRT cannot hold this network: {_first_line(error)}") from None

    def run(features):
        places = {given["name"]: given["index"] for given in interpreter.get_input_details()}
        given = {places[name]: value for name, value in _by_name(features, list(places)).items()}
        for place, value in given.items():
            interpreter.resize_tensor_input(place, value.shape)
        interpreter.allocate_tensors()
        for place, value in given.items():
            interpreter.set_tensor(place, value)
        interpreter.invoke()
        return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])

    _compare(parts, "LiteRT", run)


def _compare(parts, format, run):
    """Raises ExportError unless the written file gives the model's numbers."""
    for raws in (parts.samples, *([sample] for sample in parts.samples)):
        features = parts.features(stacked(raws, parts.signature))
        expected = np.asarray(parts.scores(features))
        try:
            found = run(features)
        except Exception as error:
            raise ExportError(f"{format} cannot run this network: {_first_line(error)}") from None
        worst = float(np.abs(found - expected).max())
        if not worst < 1e-4:
            raise ExportError(f"{format} gives other numbers than the model: they differ by {worst:.2g}.")


def _by_name(features, names):
    """Name of an input -> array; converters may extend the names of the features, such as `x` to `serving_x:0`."""
    if not isinstance(features, dict):
        return {names[0]: np.asarray(features)}
    place = lambda feature: max(
        names, key=lambda name: (feature in re.split(r"[:/]|serving_default_", name), feature in name)
    )
    return {place(feature): np.asarray(value) for feature, value in features.items()}


def _first_line(error):
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0][:300]
