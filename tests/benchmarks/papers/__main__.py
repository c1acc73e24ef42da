"""What papers say that their architectures can do, shown by runs.

    python -m tests.benchmarks.papers                        every row, with seeds 0, 1 and 2
    python -m tests.benchmarks.papers copy --seeds 0 1 2     some of them

A row is a function `name(seed) -> {figure: number}` in the list ROWS of a module in this folder; the first line of its
docstring says what it shows. Printed are, for each figure, its mean over the seeds and their standard deviation, then
each seed's number, and the seconds that a seed took.
"""

import importlib
import os
import pathlib

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.benchmarks.papers.run import main


def rows():
    """All rows, module after module."""
    names = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[!_]*.py"))
    modules = [importlib.import_module(f"tests.benchmarks.papers.{name}") for name in names]
    return [row for module in modules for row in getattr(module, "ROWS", [])]


if __name__ == "__main__":
    main(rows(), __doc__)
