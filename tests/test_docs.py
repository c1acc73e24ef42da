"""The pages: their Python runs, their links lead somewhere, and what they take from elsewhere is there."""

import importlib.util
import inspect
import re
import runpy
import sys
import types

import keras
import pytest
from test_house import ROOT

from layers import CELLS

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OTHERS = [ROOT / f"{name}.md" for name in ("ARCHITECTURE", "CONTRIBUTING", "CHANGELOG")]
OTHERS += sorted((ROOT / "layers").glob("*.md"))


def named(path):
    return path.relative_to(ROOT).as_posix()


def blocks(path):
    """The Python of a page that needs no run: what reads a run's folder or an exported file is left out."""
    found = re.findall(r"```python\n(.*?)```", path.read_text(encoding="utf-8"), re.DOTALL)
    return [block for block in found if not re.search(r'"(runs|served)/', block)]


def test_the_pages_that_should_have_python_have_it():
    having = {named(path) for path in PAGES if blocks(path)}
    assert {"README.md", "docs/networks.md", "docs/moving_from_addons.md", "docs/moving_from_torch.md"} <= having
    assert len(blocks(ROOT / "docs" / "networks.md")) == 5


@pytest.mark.parametrize("path", [path for path in PAGES if blocks(path)], ids=named)
def test_the_python_on_a_page_runs(path, tmp_path, monkeypatch):
    if keras.backend.backend() != "tensorflow":
        pytest.skip("the pages use TensorFlow")
    monkeypatch.chdir(tmp_path)  # the pages may write files
    names = {}
    for block in blocks(path):
        exec(compile(block, named(path), "exec"), names)


def anchors(path):
    """The anchors of a page's headings, as MkDocs and GitHub make them."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", [*PAGES, *OTHERS], ids=named)
def test_a_link_leads_to_a_file_of_the_repository_and_to_a_heading(path):
    text = re.sub(r"```.*?```|`[^`\n]+`", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for target, anchor in re.findall(r"\]\(([^)\s#]*)(?:#([^)\s]*))?\)", text):
        there = path if not target else (path.parent / target).resolve()
        assert "://" in target or there.exists(), target
        assert not anchor or anchor in anchors(there), f"{target}#{anchor}"


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_page_shows_a_section_of_another_one_with_links_that_hold_where_it_is_shown(hooks):
    shown = hooks.expanded("<!-- section: ../results.md Entities -->", "docs/tasks/ner.md")
    assert "CoNLL-2003" in shown and "## " not in shown and "Multi30K" not in shown
    with pytest.raises(ValueError, match="expected one heading 'Nothing' in docs/results.md, received 0"):
        hooks.expanded("<!-- section: ../results.md Nothing -->", "docs/tasks/ner.md")


def test_each_section_and_cell_that_a_page_names_is_there(hooks):
    for path in PAGES:
        text = path.read_text(encoding="utf-8")
        without_flags = re.sub(r"^<!-- flags: (\w+) -->$", "", text, flags=re.MULTILINE)
        assert "<!--" not in hooks.expanded(without_flags, named(path))
        tasks = re.findall(r"^<!-- flags: (\w+) -->$", text, re.MULTILINE)
        assert all((ROOT / "pipelines" / f"{task}.py").exists() for task in tasks)


def test_figures_of_cells_are_those_of_the_tables(hooks):
    header, _, gru = hooks.cells(["gru"]).splitlines()
    assert "copy: nats, solved" in header
    (costs,) = re.findall(r"^\| gru \|.*$", (ROOT / "layers" / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
    memory = re.findall(r"^\| gru \|.*$", (ROOT / "layers" / "memory.md").read_text(encoding="utf-8"), re.MULTILINE)
    figures = [cell.strip() for cell in gru.strip("| ").split(" | ")]
    assert figures[1] in costs and figures[2] in costs
    assert len(memory) == 3 == len(figures[3:])
    for shown, row in zip(figures[3:], memory, strict=True):
        value, solved = shown.split(", ")
        assert value in row and solved in row


def test_links_between_files_become_links_between_pages(hooks):
    text = "[cells](../../layers/README.md#the-cells) [results](../results.md) ![x](../pictures/words.png) `a[1](b)`"
    expected = text.replace("../../layers/README.md", "../cells/index.md")
    assert hooks.linked(text, "docs/tasks/ner.md", "tasks/ner.md") == expected
    assert hooks.linked("[start](docs/start.md)", "README.md", "index.md") == "[start](start.md)"


def test_the_readme_counts_the_cells():
    assert f"{len(CELLS)} of them" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_public_module_has_a_page(hooks):
    names = {name for part in hooks.modules().values() for name in part}
    assert {"layers.cells.lstm", "layers.decode", "data.files", "pipelines.engine.task", "pipelines.ner"} <= names
    assert "layers.backend" not in names


def test_docstrings_become_markdown(monkeypatch):
    monkeypatch.setitem(sys.modules, "griffe", types.SimpleNamespace(Extension=object))  # only `make docs` has it
    as_markdown = runpy.run_path(str(ROOT / "docs" / "docstrings.py"))["as_markdown"]
    docstring = """A cell.

        Args: those of `Cell`, and
            rate: A share.

        Call arguments:
            inputs: `(batch,
                features)`.
            states: `[h]`.

        Returns:
            `(h, [h])`.

        >>> 1 + 1
        2
        """
    found = as_markdown(inspect.cleandoc(docstring))
    assert "\nArguments: those of `Cell`, and\n\nArgs:\n    rate: A share.\n" in found
    assert "\n- **`inputs`** – `(batch,\n    features)`.\n- **`states`** – `[h]`.\n" in found
    assert "\n**Returns:**\n\n`(h, [h])`.\n" in found
    assert found.endswith("\n```pycon\n>>> 1 + 1\n2\n```")
