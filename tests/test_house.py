"""What holds for the whole repository: who may import whom, lint, format, and examples that run."""

import ast
import doctest
import importlib
import itertools
import json
import pathlib
import runpy
import subprocess
import sys

import keras
import matplotlib.pyplot as plt
import numpy as np
import pytest

ROOT = pathlib.Path(__file__).parent.parent
MODULES = sorted(path for top in ("layers", "data", "pipelines") for path in (ROOT / top).rglob("*.py"))
KNOWN_TO = {
    "layers": {"layers", "keras", "numpy"},
    "data": {"data", "keras", "numpy", "pandas", "tensorflow", "tensorflow_datasets"},
}
# The files that speak to a backend or make kernels, the evolution strategies, readers of formats that the libraries of
# `KNOWN_TO` do not read, what learns a vocabulary, and what finds similar sequences.
EXCEPTIONS = {
    "layers/backend/tensorflow.py": {"tensorflow"},
    "layers/backend/jax.py": {"jax"},
    "layers/evolution.py": {"cma"},
    "layers/fused/elementary.py": {"numba"},
    "layers/fused/graph.py": {"tensorflow"},
    "layers/fused/products.py": {"llvmlite", "numba"},
    "layers/fused/run.py": {"numba", "tensorflow"},
    "data/tables.py": {"pyarrow"},
    "data/genomes.py": {"Bio"},
    "data/similar.py": {"datasketch", "sklearn"},
    "data/transforms/subwords.py": {"sentencepiece"},
}


def names(path):
    """Every module that a file may import: of `from a import b`, `a` and `a.b`."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield from (node.module, *(f"{node.module}.{alias.name}" for alias in node.names))
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_imports_only_what_its_part_may_know(path):
    name = path.relative_to(ROOT).as_posix()
    part = name.split("/")[0]
    if part == "pipelines":
        return
    allowed = KNOWN_TO[part] | EXCEPTIONS.get(name, set()) | set(sys.stdlib_module_names)
    found = {module.split(".")[0] for module in names(path)}
    assert found <= allowed


def test_a_backend_that_the_layers_do_not_know_is_named(monkeypatch):
    # Keras itself cannot run on a backend that is not installed: here it only says that it does.
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(ImportError, match="KERAS_BACKEND .* Received: Keras runs on torch"):
        runpy.run_path(str(ROOT / "layers" / "backend" / "__init__.py"))


# Who may not be imported by the modules of a room, beside what `KNOWN_TO` says; a task is a file of `pipelines`.
TASKS = {f"pipelines.{path.stem}" for path in (ROOT / "pipelines").glob("[!_]*.py")}
UNKNOWN_TO = {
    "layers/": {"data", "pipelines", "tests"},
    "data/": {"layers", "pipelines", "tests"},
    "data/transforms/": {"data.sets", "data.public_sets", "data.batching"},
    "data/sets/": {"data.batching"},
    "pipelines/": {*TASKS, "tests"},
    "pipelines/engine/": {"pipelines.evaluation", "pipelines.networks", "data.sets"},
    "pipelines/evaluation/": {"data.sets", "pipelines.networks"},
    "pipelines/networks/": {"data.sets", "pipelines.evaluation"},
}


def test_the_folder_of_pipelines_holds_tasks_alone():
    assert {"pipelines.sentiment", "pipelines.ner", "pipelines.translation"} <= TASKS
    for name in TASKS:
        source = (ROOT / f"{name.replace('.', '/')}.py").read_text(encoding="utf-8")
        assert "TASK = Task(" in source and "main(TASK)" in source


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_room_knows_the_rooms_above_it(path):
    name = path.relative_to(ROOT).as_posix()
    unknown = {one for room, others in UNKNOWN_TO.items() if name.startswith(room) for one in others}
    found = {one for one in names(path) for other in unknown if one == other or one.startswith(f"{other}.")}
    assert not found


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_is_content(command):
    run = subprocess.run([sys.executable, "-m", "ruff", *command, str(ROOT)], capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_the_examples_in_docstrings_run(path):
    other = {"tensorflow", "jax"} - {keras.backend.backend()}
    if path.stem in {"__main__", *other} or (path.parent.name != "layers" and keras.backend.backend() != "tensorflow"):
        pytest.skip("not a module to import on this backend")
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    module = importlib.import_module(name)
    names = {"np": np, "keras": keras, **vars(module)}
    if path.parts[-2] != "layers" and keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        names["tf"] = tf
    failures, _ = doctest.testmod(module, extraglobs=names)
    assert failures == 0


NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def cells_of(path):
    return json.loads(path.read_text(encoding="utf-8"))["cells"]


def source_of(cells):
    """The Python of the code cells, one after the other."""
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_committed_notebooks_have_no_outputs_and_the_same_first_cell(path):
    text = path.read_text(encoding="utf-8")
    notebook = json.loads(text)
    assert text.endswith("}\n") and (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert code[0]["source"] == next(cell for cell in cells_of(NOTEBOOKS[0]) if cell["cell_type"] == "code")["source"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_all_that_the_notebooks_take_from_the_project_exists(path):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the pipelines need TensorFlow")
    tree = ast.parse(source_of(cells_of(path)))
    modules = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module.split(".")[0] in ("layers", "data", "pipelines"):
            for alias in node.names:
                module = importlib.import_module(node.module)
                if not hasattr(module, alias.name):
                    importlib.import_module(f"{node.module}.{alias.name}")
                modules[alias.asname or alias.name] = getattr(module, alias.name)
    read = (node for node in ast.walk(tree) if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name))
    assert modules or path.stem == "10_your_own_data"
    for node in read:
        if node.value.id in modules:
            assert hasattr(modules[node.value.id], node.attr), f"{node.value.id}.{node.attr}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebooks_run_up_to_their_first_training(path, monkeypatch, tmp_path):
    """Up to the first cell with the tag `long`; `make notebooks` executes them whole."""
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the notebooks take TensorFlow's gradients")
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])
    quick = itertools.takewhile(lambda cell: "long" not in cell["metadata"].get("tags", ()), cells_of(path))
    names = {"__name__": "notebook", "display": lambda shown: None}
    exec(compile(source_of(quick), str(path), "exec"), names)
    plt.close("all")
    if path.stem == "08_your_own_cell":
        assert max(names["history"]["val_accuracy"]) > 0.9
