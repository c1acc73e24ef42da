"""The folder of a run: text, weights and pictures; each file is written whole or not at all; no pickles."""

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import zipfile

import numpy as np

from data.files import InputError
from pipelines.engine.settings import checked

CONFIG, VOCABULARIES, WEIGHTS = "config.json", "vocabularies.json", "model.weights.h5"
CHECKPOINT, METRICS, HISTORY = "checkpoint.npz", "metrics.json", "history.csv"
PREPARED, STAGES, TENSORBOARD = "prepared", "stages", "tensorboard"  # folders
REPLACED = ".replaced"  # an empty file in a run that was moved away for a new one


class RunFolder:
    """The files of one run.

    Args:
        path: The folder; it need not exist yet.
    """

    def __init__(self, path):
        self.path = pathlib.Path(path)

    def __str__(self):
        return str(self.path)

    def __truediv__(self, name):
        return self.path / name

    def has(self, name):
        return (self.path / name).is_file()

    @property
    def previous(self):
        """The folder that holds the run to be replaced until this one is finished."""
        return self.path.with_name(self.path.name + ".previous")

    @property
    def replaces(self):
        """Whether a run was moved to `previous`; a folder of that name without the mark is the user's own."""
        return (self.previous / REPLACED).is_file()

    def begin(self, config, vocabularies, overwrite):
        """Makes the folder; an old run in it is moved to `previous` until this one is finished.

        Raises:
            InputError: if the folder is not empty and `overwrite` is False, or if it holds something other than a run.
        """
        self.check_free(overwrite)
        if self.path.exists() and any(self.path.iterdir()):
            if self.replaces and not self.has(METRICS):  # the one that it was to replace stays
                shutil.rmtree(self.path)
            else:
                if self.replaces:
                    shutil.rmtree(self.previous)
                (self.path / REPLACED).touch()
                self.path.rename(self.previous)
        self.path.mkdir(parents=True, exist_ok=True)
        self.write_json(VOCABULARIES, vocabularies)
        self.write_json(CONFIG, dataclasses.asdict(config))  # last: a folder with this file is a run

    @contextlib.contextmanager
    def begun(self, config, vocabularies, resumed):
        """Context for all work before training. If it fails, a new run restores the folder."""
        if resumed:
            yield
            return
        self.begin(config, vocabularies, config.overwrite)
        try:
            yield
        except BaseException:
            shutil.rmtree(self.path)
            if self.replaces:
                self.previous.rename(self.path)
                (self.path / REPLACED).unlink()
            raise

    def check_free(self, overwrite):
        """Raises InputError unless a new run may begin here."""
        if self.path.exists() and not self.path.is_dir():
            raise InputError(self, "expected a folder for the run, received a file; choose another with --run.")
        if self.path.exists() and any(self.path.iterdir()):
            if not (self.has(CONFIG) and self.has(VOCABULARIES)):  # other programs have a config.json too
                raise InputError(self, "expected a run or an empty folder, received other files; choose another --run.")
            if not overwrite:
                state = "a finished run" if self.has(METRICS) else "a run that is not finished"
                raise InputError(
                    self,
                    f"holds {state}; add --resume to go on with it, --overwrite to replace it or choose another --run.",
                )
            if self.previous.exists() and not self.replaces:
                raise InputError(
                    self.previous,
                    "expected no such folder, as a run that is replaced is moved there, received one; move it away or "
                    "choose another --run.",
                )
        parent = next(parent for parent in [self.path, *self.path.absolute().parents] if parent.exists())
        if not os.access(parent, os.W_OK | os.X_OK) or not parent.is_dir():
            raise InputError(self, f"expected a place to write the run, received {parent}, which cannot be written.")

    def finish(self):
        """Deletes what a complete run does not need: checkpoints, prepared data and the run that it replaces."""
        for name in (CHECKPOINT, f".*.{CHECKPOINT}"):  # also those that were being written when a run was killed
            for checkpoint in (*self.path.glob(name), *self.path.glob(f"{STAGES}/*/{name}")):
                checkpoint.unlink(missing_ok=True)
        shutil.rmtree(self.path / PREPARED, ignore_errors=True)
        if self.replaces:
            shutil.rmtree(self.previous)

    def write(self, name, write):
        """`write(path)` writes a temporary file, which replaces `name` only when it is complete."""
        path = self.path / name
        temporary = path.with_name(f".{os.getpid()}.{path.name}")
        try:
            write(temporary)
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def write_text(self, name, text):
        self.write(name, lambda path: path.write_text(text, encoding="utf-8"))

    def write_json(self, name, value):
        self.write_text(name, json.dumps(value, indent=1, ensure_ascii=False) + "\n")

    def read_json(self, name):
        """The object in a file; raises InputError if it is missing or not as this program wrote it."""
        try:
            value = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise InputError(
                self.path, f"expected a run with a {name}, received a folder without; train first."
            ) from None
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            line = getattr(error, "lineno", None)
            raise InputError(
                self.path / name, f"expected JSON as this program wrote it, received: {error}.", line
            ) from None
        except OSError as error:
            raise InputError(self.path / name, f"expected a readable file, received: {error.strerror}.") from None
        if not isinstance(value, dict):
            raise InputError(self.path / name, "expected an object, as this program wrote it, received something else.")
        return value

    def read_config(self, config_class):
        """The configuration of the run, as the task's dataclass; a setting newer than the run has its default."""
        return config_class(**checked(self.path / CONFIG, config_class, self.read_json(CONFIG)))

    def write_arrays(self, name, arrays, note):
        """Writes arrays, and a `note` of plain values, to one file."""
        text = np.frombuffer(json.dumps(note).encode(), "uint8")

        def write(path):
            with open(path, "wb") as file:
                np.savez(file, note=text, **arrays)

        self.write(name, write)

    def read_arrays(self, name):
        """`(arrays, note)`; raises InputError if the file is damaged."""
        try:
            with np.load(self.path / name, allow_pickle=False) as file:
                arrays = {key: file[key] for key in file.files}
            return arrays, json.loads(arrays.pop("note").tobytes())
        except (zipfile.BadZipFile, ValueError, KeyError, EOFError, OSError) as error:
            raise InputError(
                self.path / name,
                f"expected a checkpoint, received a damaged file ({error}); add --overwrite to begin again.",
            ) from None
