"""What each cell can remember: adding, copying and the embedded Reber grammar, at equal parameter counts.

    python -m tests.benchmarks.longterm [--task adding copy reber] [--cells NAME ...] [--jobs 2] [--results FILE]
    python -m tests.benchmarks.longterm --learning-rate 0.005 --task reber --cells multiplicative
    python -m tests.benchmarks.longterm --write

Every cell reads the inputs through a linear layer of 64 of their own (of two features alone, a cell without a recurrent
matrix would need thousands of units), and gets as many units as bring it nearest to 18,000 parameters; the same batches
of 32, Adam at 0.01 with gradients clipped to norm 1, and the same number of steps; a run ends early once it is solved.

- adding, 200 timesteps: numbers in [0, 1] and two marks; the answer is the sum of the marked numbers (S. Hochreiter and
  J. Schmidhuber, 1997, section 5.4). Always answering 1 gives a mean squared error of 0.167; solved: under 0.01.
- copy, 100 timesteps of waiting: ten symbols of eight, to be said again after the wait (as M. Arjovsky et al., 2016,
  arXiv:1511.06464, section 5.1). Shown is the cross-entropy in nats of the ten answers; guessing gives 2.08.
- reber: strings of the embedded Reber grammar (Hochreiter and Schmidhuber, 1997, section 5.1): after each symbol, which
  may follow. Solved: every symbol of every string of a test set of 256 predicted right, the last but one above all;
  shown is the share of strings that are not, and the training strings seen until then are 32 a step.

What is printed is a table: mean and spread over seeds, how many of them solved it, the sequences that training read
until then (a step reads 32), and the seconds of one core that a run took, `--jobs` of them beside each other. The whole
takes hours; with `--results` each run is written down, a line of JSON, as it ends, and what stands there is not run
again. What has been run so far is in `tests/benchmarks/longterm.jsonl`; `--write` runs nothing and writes
`layers/memory.md` and its picture of that file.
"""

import argparse
import functools
import json
import multiprocessing
import os
import pathlib
import statistics
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from layers import CELLS, Recurrent

PARAMETERS = 18_000
WIDTH = 64
BATCH = 32
LEARNING_RATE = 0.01  # with 0.005 the LSTM had not solved adding after 2,000 steps
# On one core a step of adding under XLA takes 0.24 to 0.97 of the plain graph's, but 1.0 to 1.6 for these.
PLAIN = ("clockwork", "echo_state", "mlstm")


# The tasks. Each is `batch(rng) -> (inputs, targets, weights)` and what its loss and verdict are.


def adding(rng, batch=BATCH, timesteps=200):
    numbers = rng.random((batch, timesteps))
    marks = np.zeros((batch, timesteps))
    rows = np.arange(batch)
    first, second = rng.integers(0, timesteps // 2, batch), rng.integers(timesteps // 2, timesteps, batch)
    marks[rows, first] = marks[rows, second] = 1
    target = numbers[rows, first] + numbers[rows, second]
    return np.stack([numbers, marks], axis=-1).astype("float32"), target[:, None].astype("float32"), None


def copy(rng, batch=BATCH, wait=100, length=10, symbols=8):
    said = rng.integers(0, symbols, (batch, length))
    blank, cue = symbols, symbols + 1
    given = np.full((batch, length + wait + length), blank)
    given[:, :length] = said
    given[:, -length - 1] = cue
    return np.eye(symbols + 2, dtype="float32")[given], said, None


# The Reber grammar: from each node, the symbols that may come and where they lead.
SYMBOLS = "BTPSXVE"
REBER = [{"T": 1, "P": 2}, {"S": 1, "X": 3}, {"T": 2, "V": 4}, {"X": 2, "S": 5}, {"P": 3, "V": 5}, {"E": None}]


def reber_string(rng):
    """A string of the embedded grammar, and for each of its symbols but the last the set that may follow."""
    outer = "TP"[rng.integers(2)]
    string, may = ["B", outer, "B"], ["TP", "B", "TP"]
    node = 0
    while node is not None:
        choices = sorted(REBER[node])
        symbol = choices[rng.integers(len(choices))]
        string.append(symbol)
        node = REBER[node][symbol]
        may.append("".join(REBER[node]) if node is not None else outer)
    return [*string, outer, "E"], [*may, "E"]


def reber(rng, batch=BATCH):
    strings = [reber_string(rng) for _ in range(batch)]
    timesteps = max(len(may) for _, may in strings)
    inputs = np.zeros((batch, timesteps, len(SYMBOLS)), "float32")
    targets, real = np.zeros_like(inputs), np.zeros((batch, timesteps), "float32")
    for row, (string, may) in enumerate(strings):
        real[row, : len(may)] = 1
        for t, follow in enumerate(may):
            inputs[row, t, SYMBOLS.index(string[t])] = 1
            targets[row, t, [SYMBOLS.index(symbol) for symbol in follow]] = 1
    return inputs, targets, real


def mean_squared(outputs, targets, real):
    return tf.reduce_mean((outputs[:, -1] - targets) ** 2)


def crossentropy(outputs, targets, real):
    return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(targets, outputs[:, -targets.shape[1] :]))


def which_follow(outputs, targets, real):
    loss = tf.reduce_sum(tf.nn.sigmoid_cross_entropy_with_logits(targets, outputs), axis=-1)
    return tf.reduce_sum(loss * real) / tf.reduce_sum(real)


def strings_wrong(outputs, targets, real):
    """Share of strings with a symbol that may follow below one that may not."""
    low = tf.reduce_min(tf.where(targets > 0, outputs, np.inf), axis=-1)
    high = tf.reduce_max(tf.where(targets > 0, -np.inf, outputs), axis=-1)
    right = tf.reduce_all((low > high) | (real < 0.5), axis=1)
    return 1 - tf.reduce_mean(tf.cast(right, "float32"))


TASKS = {  # batch, outputs, loss, what is shown, its name, under which it is solved
    "adding": (adding, 1, mean_squared, mean_squared, "squared error", 0.01),
    "copy": (copy, 8, crossentropy, crossentropy, "nats", 0.05),
    "reber": (reber, len(SYMBOLS), which_follow, strings_wrong, "share wrong", 1e-6),
}


def sized(cell, features):
    """Units that bring the cell nearest to the number of parameters that all get, and that number."""

    def count(units):
        layer = cell(units)
        layer.build((None, features))
        return layer.count_params()

    low, high = 4, 8  # the count rises with the units
    while count(high) <= PARAMETERS:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if count(middle) <= PARAMETERS else (low, middle)
    units = min((low, high), key=lambda units: abs(count(units) - PARAMETERS))
    return units, count(units)


def run(task, name, seed, most, learning_rate):
    """(what is shown at the end, steps, seconds, parameters)."""
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    batch, outputs, loss_of, shown_of, _, solved = TASKS[task]
    features = batch(np.random.default_rng(0), 2)[0].shape[-1]
    keras.utils.set_random_seed(seed)
    units, count = sized(CELLS[name], WIDTH)
    inputs = keras.Input((None, features))
    x = keras.layers.Dense(WIDTH, use_bias=False)(inputs)
    compiled = task != "reber" and name not in PLAIN  # reber's strings are of every length
    x = Recurrent(CELLS[name](units), return_sequences=True, jit_compile=compiled)(x)
    model = keras.Model(inputs, keras.layers.Dense(outputs)(x))
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)

    @tf.function(reduce_retracing=True, autograph=False)
    def train(inputs, targets, real):
        with tf.GradientTape() as tape:
            loss = loss_of(model(inputs, training=True), targets, real)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    @tf.function(reduce_retracing=True, autograph=False)
    def show(inputs, targets, real):
        return shown_of(model(inputs, training=False), targets, real)

    rng = np.random.default_rng(seed)
    test = batch(np.random.default_rng(10_000), 256)
    held = [None if part is None else tf.constant(part) for part in test]
    begun = time.process_time()
    for step in range(1, most + 1):
        loss = train(*(None if part is None else tf.constant(part) for part in batch(rng)))
        if step % 100 == 0 or step == most:
            shown = float(show(*held))
            if shown < solved or not np.isfinite(float(loss)):
                break
    return shown, step, time.process_time() - begun, count


def keyed(learning_rate, key):
    return key, run(*key, learning_rate)


def known(path):
    """Runs that are written down: {(task, cell, seed, steps): (shown, steps taken, seconds, parameters)}."""
    lines = path.read_text(encoding="utf-8").splitlines() if path and path.exists() else []
    return {tuple(key): tuple(found) for key, found in map(json.loads, lines)}


def table(done, tasks, cells, seeds, most):
    """Lines of Markdown: a row for each cell, for each task what is shown, how often solved, sequences, seconds."""
    yield (
        "| cell | parameters | "
        + " | ".join(f"{task}: {TASKS[task][-2]} | solved | sequences | seconds" for task in tasks)
        + " |"
    )
    yield "| --- |" + " ---: |" * (1 + 4 * len(tasks))
    for name in cells:
        row, count = [], ""
        for task in tasks:
            runs = [done[key] for seed in range(seeds) if (key := (task, name, seed, most)) in done]
            if not runs:
                row.append("| | |")
                continue
            shown, steps, seconds, counts = zip(*runs, strict=True)
            count = f"{counts[0]:,}"
            finite = [value for value in shown if np.isfinite(value)]
            told = [f"{statistics.mean(finite):.4f}"] if finite else []
            told += [f"± {statistics.stdev(finite):.4f}"] if len(finite) > 1 else []
            told += [f"({len(runs) - len(finite)} diverged)"] if len(finite) < len(runs) else []
            solved = sum(value < TASKS[task][-1] for value in finite)
            row.append(
                f"{' '.join(told)} | {solved} of {len(runs)} | {BATCH * statistics.mean(steps):,.0f} | "
                f"{statistics.mean(seconds):.0f}"
            )
        yield f"| {name} | {count} | " + " | ".join(row) + " |"


# The page.

RESULTS, FOLDER = pathlib.Path(__file__).with_name("longterm.jsonl"), pathlib.Path(__file__).parents[2] / "layers"
HEAD = """# What the cells remember

Written by `python -m tests.benchmarks.longterm --write`; the tasks are described there. Each cell reads its input
through 64 linear features and has about 18,000 parameters; Adam at 0.01, batches of 32, 2,000 steps at most, one seed a
run. A number is the mean over the seeds and their standard deviation; "sequences" are those that training read until
the task was solved, or in total; "seconds" are of one core. One learning rate for all is not the best for each: with
`--learning-rate 0.005` the multiplicative LSTM and MUT2 solve reber 3 of 3, in 18,133 and 39,467 sequences.

- adding, 200 timesteps: mean squared error, solved under {adding}; always answering 1 gives 0.167.
- copy, ten symbols over 100 timesteps: cross-entropy in nats, solved under {copy}; guessing gives 2.079.
- reber, the embedded Reber grammar: share of 256 strings with a wrong prediction, solved at none.

![The final error, and for reber the sequences read, for each cell and seed](memory.png)
"""


def draw(done, path):
    """A panel for each task, a row for each cell, a dot for each seed: full where the task was solved."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = [name for name in CELLS if any(key[1] == name for key in done)]
    figure, axes = plt.subplots(1, len(TASKS), figsize=(11, 0.2 * len(names) + 1.2), sharey=True)
    guess = {"adding": 1 / 6, "copy": np.log(8)}
    for axis, (task, (*_, told, solved)) in zip(axes, TASKS.items(), strict=True):
        for (of, name, *_), (shown, steps, *_) in done.items():
            if of == task:
                well = np.isfinite(shown)
                value = (shown if well else 2 * guess[task]) if task in guess else BATCH * steps
                colour = "tab:blue" if well and shown < solved else "tab:orange"
                axis.plot(value, names.index(name), "o" if well else "x", color=colour, markersize=4)
        if task in guess:
            axis.axvline(guess[task], color="0.6", linewidth=1)
        axis.set_title(f"{task}: {told if task in guess else 'training sequences'}", fontsize=10)
        axis.grid(alpha=0.3)
        if task != "copy":
            axis.set_xscale("log")
        if task not in guess:
            axis.minorticks_off()
            axis.set_xticks([4_000, 16_000, 64_000], ["4,000", "16,000", "64,000"])
    axes[0].set_yticks(range(len(names)), names, fontsize=7)
    axes[0].set_ylim(len(names) - 0.5, -0.5)
    figure.supxlabel("blue: solved, orange: not, cross: diverged, grey line: knowing nothing", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


def write():
    done = known(RESULTS)
    lines = [HEAD.format(**{task: TASKS[task][-1] for task in TASKS})]
    for task in TASKS:
        names = [name for name in CELLS if any(key[:2] == (task, name) for key in done)]
        lines += [f"## {task}", "", *table(done, [task], names, 3, 2000), ""]
    draw(done, FOLDER / "memory.png")
    (FOLDER / "memory.md").write_text("\n".join(lines), encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), metavar="NAME")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--learning-rate", type=float, default=LEARNING_RATE)
    parser.add_argument("--results", type=pathlib.Path, help="file to keep runs in, all at the usual learning rate")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="runs beside each other")
    parser.add_argument("--write", action="store_true", help="write layers/memory.md and layers/memory.png")
    flags = parser.parse_args()
    if flags.write:
        return write()
    if flags.results and flags.learning_rate != LEARNING_RATE:
        parser.error(f"--results keeps runs at {LEARNING_RATE} alone: leave it out, or --learning-rate")
    done = known(flags.results)
    # Of a task all cells with one seed, then with the next: what is known early is known of all.
    wanted = [
        (task, name, seed, flags.steps) for task in flags.task for seed in range(flags.seeds) for name in flags.cells
    ]
    wanted = [key for key in wanted if key not in done]
    # A new process after every eight runs: it gives all its memory back, and few wait for TensorFlow to be imported.
    with multiprocessing.get_context("spawn").Pool(flags.jobs, maxtasksperchild=8) as pool:
        runs = pool.imap_unordered(functools.partial(keyed, flags.learning_rate), wanted)
        for number, (key, found) in enumerate(runs, start=1):
            done[key] = found
            if flags.results:
                with open(flags.results, "a", encoding="utf-8") as file:
                    print(json.dumps([key, found]), file=file)
            print(f"{number} of {len(wanted)}: {key} {found}", file=sys.stderr, flush=True)
    for line in table(done, flags.task, flags.cells, flags.seeds, flags.steps):
        print(line)


if __name__ == "__main__":
    main()
