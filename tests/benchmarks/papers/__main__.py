"""What papers say that their architectures can do, shown by runs.

    python -m tests.benchmarks.papers                        every row, with seeds 0, 1 and 2
    python -m tests.benchmarks.papers copy --seeds 0 1 2     some of them
    python -m tests.benchmarks.papers --list                 their names and what each shows

A row is a function `name(seed) -> {figure: number}` in the list ROWS of a module in this folder; the first line of its
docstring says what it shows. Printed are, for each figure, its mean over the seeds and their standard deviation, then
each seed's number, and the seconds that a seed took.
"""

import argparse
import importlib
import os
import pathlib
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def rows():
    """All rows by name, module after module."""
    names = sorted(path.stem for path in pathlib.Path(__file__).parent.glob("[!_]*.py"))
    modules = [importlib.import_module(f"tests.benchmarks.papers.{name}") for name in names]
    return {row.__name__: row for module in modules for row in getattr(module, "ROWS", [])}


def about(row):
    return row.__doc__.strip().splitlines()[0]


def table(name, row, seeds):
    """Runs a row with each seed; yields lines of Markdown."""
    found, seconds = [], []
    for seed in seeds:
        begun = time.perf_counter()
        found.append(row(seed))
        seconds.append(time.perf_counter() - begun)
    yield f"## {name}: {about(row)}"
    yield ""
    yield "| figure | mean | spread |" + "".join(f" seed {seed} |" for seed in seeds)
    yield "| --- |" + " ---: |" * (2 + len(seeds))
    for figure in [*found[0], "seconds"]:
        values = seconds if figure == "seconds" else [float(one[figure]) for one in found]
        shown = [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0, *values]
        yield f"| {figure} | " + " | ".join(f"{value:.4g}" for value in shown) + " |"
    yield ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help="rows to run, by default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--list", action="store_true", help="print the rows and run none")
    flags = parser.parse_args()
    known = rows()
    unknown = [name for name in flags.rows if name not in known]
    if unknown:
        parser.error(f"argument ROW: expected some of {', '.join(known)}, received {', '.join(unknown)}")
    for name in flags.rows or known:
        if flags.list:
            print(f"{name}: {about(known[name])}")
            continue
        for line in table(name, known[name], flags.seeds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
