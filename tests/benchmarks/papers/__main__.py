"""What papers say that their architectures can do, shown by runs.

    python -m tests.benchmarks.papers                        every row, with seeds 0, 1 and 2
    python -m tests.benchmarks.papers copy --seeds 0 1 2     some of them
    python -m tests.benchmarks.papers --write                run nothing; write layers/papers.md and its picture

A row is a function `name(seed) -> {figure: number}` in the list ROWS of a module in this folder, beside the words that
pick the figures for the picture; its docstring says what it shows. Printed are, for each figure, its mean over the
seeds and their standard deviation, then each seed's number, and the seconds of one core that a seed took, `--jobs` of
them beside each other. With `--results` each run is written down, a line of JSON, as it ends, and what stands there is
not run again; the page is written from `tests/benchmarks/papers/results.jsonl`.
"""

import argparse
import json
import multiprocessing
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from tests.benchmarks.papers import page
from tests.benchmarks.papers.run import rows, run

HERE = pathlib.Path(__file__).parent


def known(path):
    """Runs that are written down: {(row, seed): {figure: number}}."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    return {tuple(key): found for key, found in map(json.loads, lines)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of {', '.join(rows())}; by default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs beside each other")
    parser.add_argument("--results", type=pathlib.Path, help="file to keep runs in")
    parser.add_argument("--write", action="store_true", help="write layers/papers.md and layers/papers.png")
    flags = parser.parse_args()
    unknown = [name for name in flags.rows if name not in rows()]
    if unknown:
        parser.error(f"argument ROW: expected some of {', '.join(rows())}, received {', '.join(unknown)}")
    if flags.write:
        return page.write(known(HERE / "results.jsonl"), rows(), HERE.parents[2] / "layers")
    done = known(flags.results)
    names = flags.rows or list(rows())
    wanted = [(name, seed) for seed in flags.seeds for name in names if (name, seed) not in done]
    # A process for each run: it gives its memory back, and none begins with what another one compiled.
    with multiprocessing.get_context("spawn").Pool(flags.jobs, maxtasksperchild=1) as pool:
        for number, (key, found) in enumerate(pool.imap_unordered(run, wanted), start=1):
            done[key] = found
            if flags.results:
                with open(flags.results, "a", encoding="utf-8") as file:
                    print(json.dumps([key, found]), file=file)
            print(f"{number} of {len(wanted)}: {' '.join(map(str, key))}", file=sys.stderr, flush=True)
    for name in names:
        print("\n".join(page.section(rows()[name][0], [(seed, done[name, seed]) for seed in flags.seeds])))


if __name__ == "__main__":
    main()
