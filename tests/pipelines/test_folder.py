import dataclasses
import json

import numpy as np
import pytest

from data.files import InputError
from pipelines.engine.folder import CHECKPOINT, CONFIG, METRICS, RunFolder


@dataclasses.dataclass
class Config:
    units: int = 3


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "run")
    folder.begin(Config(), {"words": ["é"]}, overwrite=False)
    return folder


def test_a_write_that_fails_leaves_the_file_as_it_was(folder):
    folder.write_text("note", "before")

    def fail(path):
        path.write_text("half of")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        folder.write("note", fail)
    assert (folder / "note").read_text() == "before"
    assert sorted(path.name for path in folder.path.iterdir()) == ["config.json", "note", "vocabularies.json"]


def test_a_run_of_an_earlier_version_is_read_and_one_of_another_task_is_refused(folder):
    @dataclasses.dataclass
    class Newer(Config):
        clipping: float = 0.5

    @dataclasses.dataclass
    class Other:
        width: int = 2

    assert folder.read_config(Newer) == Newer(3, 0.5)
    with pytest.raises(InputError, match=r"expected settings of this task, see --help-all; received .units."):
        folder.read_config(Other)


def test_a_run_that_is_replaced_waits_until_the_new_one_is_finished(folder):
    folder.write_text(METRICS, "{}")
    folder.begin(Config(4), {}, overwrite=True)
    assert (folder.previous / METRICS).is_file()
    folder.begin(Config(5), {}, overwrite=True)  # the one before was never finished
    assert (folder.previous / METRICS).is_file()
    folder.finish()
    assert not folder.previous.exists()
    assert folder.read_config(Config) == Config(5)


@pytest.mark.parametrize("finished, message", [(True, "holds a finished run"), (False, "a run that is not finished")])
def test_a_run_is_not_replaced_unasked(folder, finished, message):
    if finished:
        folder.write_text(METRICS, "{}")
    with pytest.raises(InputError, match=f"{message}; add --resume"):
        folder.begin(Config(), {}, overwrite=False)


def test_a_folder_of_something_else_is_never_replaced(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match="received other files"):
        RunFolder(tmp_path).begin(Config(), {}, overwrite=True)
    with pytest.raises(InputError, match="received a file"):
        RunFolder(tmp_path / "thesis.txt").begin(Config(), {}, overwrite=True)
    (tmp_path / CONFIG).write_text("{}")  # another program's
    with pytest.raises(InputError, match="received other files"):
        RunFolder(tmp_path).begin(Config(), {}, overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "mine"


def test_arrays_and_notes_come_back_as_they_went(folder):
    arrays = {"a": np.random.default_rng(0).normal(size=(2, 3)), "b": np.arange(4)}
    folder.write_arrays(CHECKPOINT, arrays, {"epoch": 3})
    found, note = folder.read_arrays(CHECKPOINT)
    assert note == {"epoch": 3}
    for name, array in arrays.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: b"PK" * 50])
def test_a_damaged_checkpoint_is_named(folder, damage):
    folder.write_arrays(CHECKPOINT, {"a": np.zeros(1000)}, {})
    path = folder / CHECKPOINT
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(InputError, match=r"checkpoint\.npz: expected"):
        folder.read_arrays(CHECKPOINT)


@pytest.mark.parametrize(
    "text, message",
    [
        ("{", r"config\.json:1: expected JSON"),
        ("[]", "expected an object"),
        (json.dumps({"width": 3}), r"see --help-all; received .width."),
        ("\udcff", "expected JSON"),
    ],
)
def test_a_damaged_configuration_is_named(folder, text, message):
    (folder / CONFIG).write_bytes(text.encode("utf-8", errors="surrogateescape"))
    with pytest.raises(InputError, match=message):
        folder.read_config(Config)


def test_a_folder_of_the_user_s_own_beside_a_run_is_left_alone(folder):
    """Only runs that were moved away for a new one are deleted."""
    folder.write_json(METRICS, {})
    folder.previous.mkdir()
    (folder.previous / "notes.txt").write_text("mine")
    folder.finish()
    with pytest.raises(InputError, match="move it away"):
        folder.begin(Config(), {}, overwrite=True)
    assert (folder.previous / "notes.txt").is_file() and folder.has(METRICS)


def test_a_finished_run_whose_predecessor_was_not_yet_deleted_is_kept(folder):
    """A process may be killed between the last file of a run and the deletion of the one before."""
    folder.write_json(METRICS, {"run": 1})
    folder.begin(Config(), {}, overwrite=True)
    folder.write_json(METRICS, {"run": 2})
    with pytest.raises(KeyboardInterrupt), folder.begun(Begun(), {}, resumed=False):
        raise KeyboardInterrupt
    assert folder.read_json(METRICS) == {"run": 2} and not folder.replaces


@dataclasses.dataclass
class Begun(Config):
    overwrite: bool = True
