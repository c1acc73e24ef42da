"""Runs rows of the benchmark: each is a function `name(seed) -> {figure: number}`."""

import argparse
import statistics
import time


def about(row):
    return row.__doc__.strip().splitlines()[0]


def table(row, seeds):
    """Runs a row with each seed; yields lines of Markdown: mean, spread and each seed's figures, and the seconds."""
    found, seconds = [], []
    for seed in seeds:
        begun = time.perf_counter()
        found.append(row(seed))
        seconds.append(time.perf_counter() - begun)
    yield f"## {row.__name__}: {about(row)}"
    yield ""
    yield "| figure | mean | spread |" + "".join(f" seed {seed} |" for seed in seeds)
    yield "| --- |" + " ---: |" * (2 + len(seeds))
    for figure in [*found[0], "seconds"]:
        values = seconds if figure == "seconds" else [float(one[figure]) for one in found]
        shown = [statistics.mean(values), statistics.stdev(values) if len(values) > 1 else 0.0, *values]
        yield f"| {figure} | " + " | ".join(f"{value:.4g}" for value in shown) + " |"
    yield ""


def main(rows, description):
    rows = {row.__name__: row for row in rows}
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"some of {', '.join(rows)}; by default all")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    flags = parser.parse_args()
    unknown = [name for name in flags.rows if name not in rows]
    if unknown:
        parser.error(f"argument ROW: expected some of {', '.join(rows)}, received {', '.join(unknown)}")
    for name in flags.rows or rows:
        for line in table(rows[name], flags.seeds):
            print(line, flush=True)
