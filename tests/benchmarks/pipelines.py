"""Every cell of `CELLS` through a pipeline: `python -m pipelines.sentiment --cell NAME` trains, exports and answers.

    python -m tests.benchmarks.pipelines [--cells NAME ...]

Each trains for an epoch on 300 of the built-in reviews and is exported; the SavedModel's probabilities on 50 others are
compared with the run's own. Printed are the seconds of both and the largest difference. About 8 minutes on 2 cores.
"""

import argparse
import contextlib
import csv
import io
import pathlib
import tempfile
import time

import numpy as np
import tensorflow as tf

from data.sets import reviews
from layers import CELLS
from pipelines import sentiment
from pipelines.engine import command, verbs


def tried(name, folder, data, texts):
    """(seconds, largest difference) of one cell; raises if a command fails."""
    begun, run = time.perf_counter(), folder / name
    size = ["--units", "12", "--embedding", "16", "--epochs", "1", "--no-baselines"]
    for arguments in (
        ["train", "--data", str(data), "--cell", name, "--run", str(run), *size],
        ["export", "--run", str(run)],
    ):
        told = io.StringIO()
        with contextlib.redirect_stderr(told), contextlib.redirect_stdout(told):
            status = command.run(sentiment.TASK, arguments)
        if status:
            raise RuntimeError(f"{name}: {arguments[0]} ended with status {status}: {told.getvalue()}")
    served = tf.saved_model.load(str(run / "export"))
    found = served.signatures["serve"](text=tf.constant(texts))["probabilities"].numpy()
    answers = verbs.predict(sentiment.TASK, run, texts)
    expected = np.array([list(answer["probabilities"].values()) for answer in answers])
    return time.perf_counter() - begun, float(np.abs(found - expected).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), metavar="NAME")
    flags = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        rows = [(text.decode(), label.decode()) for text, label in reviews.built_in("train").as_numpy_iterator()]
        with open(folder / "reviews.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows[:300]])
        for name in flags.cells:
            seconds, worst = tried(name, folder, folder / "reviews.csv", [text for text, _ in rows[300:350]])
            print(f"{name:24}{seconds:6.1f} s   largest difference {worst:.1e}", flush=True)
            if not worst < 1e-5:
                raise SystemExit(f"{name}: the export gives other probabilities than the run")
    print(f"{len(flags.cells)} cells train, export and answer")


if __name__ == "__main__":
    main()
