"""Executes the notebooks and prints how many seconds each takes.

    python -m tests.notebooks                       all of notebooks/; `make notebooks` runs this
    python -m tests.notebooks 01 08                 those whose names begin so
    python -m tests.notebooks --to executed         writes the executed copies, with their outputs, to a folder

The notebooks themselves stay as they are. The exit status is 1 if one of them fails.
"""

import argparse
import pathlib
import sys
import time

import nbclient
import nbformat

FOLDER = pathlib.Path(__file__).parent.parent / "notebooks"
CELL_SECONDS = 1800  # a cell that takes longer has failed


def executed(path):
    """The notebook with its outputs, run in its own folder; and the error message, or "" if there was none."""
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    try:
        nbclient.NotebookClient(notebook, timeout=CELL_SECONDS, kernel_name="python3", resources=where).execute()
    except (nbclient.exceptions.CellExecutionError, nbclient.exceptions.CellTimeoutError) as error:
        return notebook, str(error)
    return notebook, ""


def main():
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("names", nargs="*", default=[""], help="beginnings of names; else all")
    flags.add_argument("--to", type=pathlib.Path, help="folder for the executed copies; else they are not kept")
    asked = flags.parse_args()
    paths = [path for path in sorted(FOLDER.glob("*.ipynb")) if path.name.startswith(tuple(asked.names))]
    if not paths:
        flags.error(f"expected beginnings of names in {FOLDER}, received {', '.join(asked.names)}.")
    failed = 0
    for path in paths:
        begun = time.monotonic()
        notebook, error = executed(path)
        print(f"{path.stem:24}{time.monotonic() - begun:6.0f} s{'  failed' * bool(error)}", flush=True)
        if error:
            failed += 1
            print(error, file=sys.stderr)
        if asked.to:
            asked.to.mkdir(parents=True, exist_ok=True)
            nbformat.write(notebook, asked.to / path.name)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
