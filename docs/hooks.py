"""Hooks of MkDocs: what stands elsewhere in the repository becomes pages of the site when it is built, never by hand.

- Markdown files outside `docs/` and their pictures have a place on the site (`places`): the README is its first page.
- Each notebook is a page, with its pictures: the executed copy in the folder that the variable NOTEBOOKS names if it is
  there, else the notebook of the repository, without outputs.
- Each public module is a page of the API, which `mkdocstrings` fills from its docstrings.
- Links lead from file to file of the repository, so they work there too; here they are turned into links between pages.
- Three comments within a page are replaced, each on a line of its own:

      <!-- flags: sentiment -->                   what `--help` of each verb of the task prints
      <!-- section: ../results.md Entities -->    what stands below that heading of another page
      <!-- cells: lstm gru -->                    figures of these cells, from the tables in `layers/`
"""

import ast
import contextlib
import importlib
import io
import os
import pathlib
import posixpath
import re
import sys

ROOT = pathlib.Path(__file__).parent.parent
EXECUTED = pathlib.Path(os.environ.get("NOTEBOOKS") or ROOT / "runs" / "notebooks")
PROJECT = ("ARCHITECTURE", "CONTRIBUTING", "CHANGELOG")
LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
DIRECTIVE = re.compile(r"^<!-- (flags|section|cells): (.+?) -->$", re.MULTILINE)


def places():
    """File of the repository -> its place on the site, for files outside `docs/`; all paths with "/"."""
    found = {"README.md": "index.md", "notebooks": "notebooks/index.md", "layers/README.md": "cells/index.md"}
    found |= {f"{name}.md": f"project/{name.lower()}.md" for name in PROJECT}
    found |= {f"notebooks/{path.name}": f"notebooks/{path.stem}.md" for path in notebooks()}
    others = sorted(path for path in (ROOT / "layers").iterdir() if path.suffix in (".md", ".png"))
    return {f"layers/{path.name}": f"cells/{path.name}" for path in others} | found


def notebooks():
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def modules():
    """Part -> its public modules, by their dotted names, read without importing them."""
    imported = ast.parse((ROOT / "layers" / "__init__.py").read_text(encoding="utf-8"))
    layers = {node.module for node in ast.walk(imported) if isinstance(node, ast.ImportFrom)} | {"layers.decode"}
    dotted = {
        part: [
            ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for path in sorted((ROOT / part).rglob("*.py"))
            if not path.stem.startswith("__")
        ]
        for part in ("data", "pipelines")
    }
    return {"layers": sorted(layers), **dotted}


# What MkDocs calls.


def on_config(config):
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    pages = {
        "cells/": [place for place in places().values() if place.startswith("cells/") and place.endswith(".md")],
        "notebooks/": ["notebooks/index.md", *(places()[f"notebooks/{path.name}"] for path in notebooks())],
        "api/": ["api/index.md", *_api_navigation()],
    }
    config.nav = _filled(config.nav, pages)
    config.watch += [str(ROOT / name) for name in ("README.md", "layers", "notebooks")]
    return config


def on_files(files, config):
    from mkdocs.structure.files import File

    def add(place, **source):
        files.append(File.generated(config, place, **source))

    for source, place in places().items():
        if source.endswith((".md", ".png")):
            add(place, abs_src_path=str(ROOT / source))
    for path in notebooks():
        page, pictures = notebook(path)
        add(f"notebooks/{path.stem}.md", content=page)
        for name, picture in pictures.items():
            add(f"notebooks/{path.stem}_files/{name}", content=picture)
    add("notebooks/index.md", content=_list_of_notebooks())
    for name in (name for part in modules().values() for name in part):
        add(f"api/{name.replace('.', '/')}.md", content=f"# {name}\n\n::: {name}\n")
    return files


on_files.mkdocs_priority = 100  # before the link checker lists the files


def on_page_markdown(markdown, page, config, files):
    place = page.file.src_uri
    if place.startswith("cells/"):  # wide tables take the place of the list of headings
        page.meta["hide"] = ["toc"]
    source = {place: source for source, place in places().items()}.get(place, f"docs/{place}")
    return linked(expanded(markdown, source), source, place)


# Links and directives.


def linked(markdown, source, place):
    """Links from `source`, a file of the repository, as links from its place on the site."""
    elsewhere = places()

    def link(match):
        begin, target, anchor = match.groups()
        there = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        there = there.removeprefix("docs/") if there.startswith("docs/") else elsewhere.get(there)
        if there is None:
            return match[0]
        return f"{begin}{posixpath.relpath(there, posixpath.dirname(place) or '.')}{anchor or ''}"

    return LINK.sub(link, markdown)


def expanded(markdown, source):
    """The text of a page with its directives replaced; their paths are relative to `source`."""
    makers = {"flags": lambda name: flags(name), "cells": lambda names: cells(names.split())}
    makers["section"] = lambda words: section(source, *words.split(maxsplit=1))
    return DIRECTIVE.sub(lambda match: makers[match[1]](match[2]), markdown)


def section(source, file, heading):
    """What stands below a heading of another page, its links as seen from `source`."""
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), file))
    lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    levels = [len(line.split(" ")[0]) if re.match("#+ ", line) else 0 for line in lines]
    starts = [at for at, line in enumerate(lines) if levels[at] and line.lstrip("# ") == heading]
    if len(starts) != 1:
        raise ValueError(f"{source}: expected one heading {heading!r} in {path}, received {len(starts)}.")
    begin = starts[0] + 1
    end = next((at for at in range(begin, len(lines)) if 0 < levels[at] <= levels[begin - 1]), len(lines))
    below = [re.sub("^#+ (.*)", r"**\1**", line) for line in lines[begin:end]]

    def link(match):
        there = posixpath.normpath(posixpath.join(posixpath.dirname(path), match[2]))
        return f"{match[1]}{posixpath.relpath(there, posixpath.dirname(source) or '.')}{match[3] or ''}"

    return LINK.sub(lambda match: match[0] if ":" in match[2] else link(match), "\n".join(below).strip())


def flags(name):
    """What `python -m pipelines.NAME VERB --help` prints, for each verb; longer lists are folded."""
    from pipelines.engine import command

    os.environ["COLUMNS"] = "80"
    task = importlib.import_module(f"pipelines.{name}").TASK

    def printed(*arguments):
        with contextlib.redirect_stdout(io.StringIO()) as output:
            command.run(task, list(arguments))
        return output.getvalue()

    def block(text, indent=""):
        return "\n".join(indent + line for line in ("```text", *text.strip().splitlines(), "```"))

    program = f"python -m pipelines.{name}"
    blocks = [f"`{program} train --help` prints:", block(printed("train", "--help"))]
    for verb in re.findall(rf"{name} (\w+) --help$", printed("--help"), re.MULTILINE):
        blocks.append(f'??? note "`{program} {verb} --help-all`"\n\n' + block(printed(verb, "--help-all"), " " * 4))
    return "\n\n".join(blocks)


def cells(names):
    """A table of some cells: what they cost (`layers/README.md`) and what they remember (`layers/memory.md`)."""
    costs, *remembered = [
        {row["name" if "name" in row else "cell"]: row for row in table}
        for file in ("README.md", "memory.md")
        for table in _tables((ROOT / "layers" / file).read_text(encoding="utf-8"))
    ]
    titles = {list(table["lstm"])[2]: table for table in remembered}
    lines = [
        " | ".join(["cell", "parameters", "a training step, to LSTM", *(f"{title}, solved" for title in titles)]),
        " | ".join(["---", "---:", "---:", *("---" for _ in titles)]),
    ]
    for name in names:
        known = [f"{table[name][title].split(' ')[0]}, {table[name]['solved']}" for title, table in titles.items()]
        lines.append(" | ".join([f"`{name}`", costs[name]["parameters"], costs[name]["to LSTM"], *known]))
    return "\n".join(f"| {line} |" for line in lines)


def _tables(markdown):
    """The tables of a page, each a list of rows: {title of the column: content}."""
    for block in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        titles, _, *rows = ([cell.strip() for cell in line.strip("| ").split(" | ")] for line in block.splitlines())
        yield [dict(zip(titles, row, strict=True)) for row in rows]


# Notebooks.


def notebook(path):
    """A notebook as Markdown, and its pictures by name."""
    import nbformat
    from nbconvert import MarkdownExporter

    copy = EXECUTED / path.name
    content = nbformat.read(copy if copy.exists() else path, as_version=4)
    body, resources = MarkdownExporter().from_notebook_node(
        content, resources={"output_files_dir": f"{path.stem}_files", "unique_key": path.stem}
    )
    body = re.sub(r"\x1b\[[0-9;]*m", "", body).replace("![png](", "![what the code above draws](")
    return body, {posixpath.basename(name): picture for name, picture in resources.get("outputs", {}).items()}


def _list_of_notebooks():
    import nbformat

    lines = ["# Notebooks", "", "Read in order or alone; each runs in a few minutes on two cores.", ""]
    for path in notebooks():
        first = nbformat.read(path, as_version=4).cells[0].source
        title, *rest = [part.strip() for part in first.split("\n\n")]
        about = re.split(r"(?<=[.?!])\s", rest[0], maxsplit=1)[0] if rest else ""
        lines.append(f"- [{title.lstrip('# ')}]({path.stem}.md): {about}")
    return "\n".join(lines)


# Navigation.


def _api_navigation():
    """The public modules as nested lists: those of a folder in a list of its own."""
    for part, names in modules().items():
        folders = {}
        for name in names:
            folder, module = name.rsplit(".", 1)
            folders.setdefault(folder, []).append({module: f"api/{name.replace('.', '/')}.md"})
        first = folders.pop(part, [])
        yield {part: first + [{folder.rsplit(".", 1)[1]: entries} for folder, entries in folders.items()]}


def _filled(entry, pages):
    """A navigation entry with the names of folders replaced by their pages."""
    if isinstance(entry, dict):
        return {title: _filled(value, pages) for title, value in entry.items()}
    if isinstance(entry, list):
        return [_filled(one, pages) for one in entry]
    return pages.get(entry, entry)
