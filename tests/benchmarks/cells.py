"""The family of cells: who they are, what a training step of each costs, which formats hold it, how it forgets.

    python -m tests.benchmarks.cells [--cells NAME ...] [--no-times] [--no-formats] [--write]

- times: a training step (forward, backward, all gradients) at 16 x 200 x 64 x 64 in a graph that knows these sizes, as
  `fit` has it of batches that are all of one size: of `Recurrent(cell)`, which compiles itself where it sees fit, of
  `keras.layers.RNN(the same cell)`, which `fit` leaves to the plain graph, and of `Recurrent(LSTMCell)`, taking turns;
  medians.
- formats: a sentiment network with the cell is written as SavedModel, ONNX and LiteRT, run, and compared.
- fading: for each cell with its own initialisation, the size of the gradient of the last output with respect to the
  input so many timesteps before, over 200 timesteps of random input.

`--write` writes `layers/README.md` and its picture from what was found; of cells that were not named, the rows that
stand there are kept. Without it a table is printed.
"""

import argparse
import os
import pathlib
import re
import statistics
import tempfile
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from layers import CELLS, Recurrent

SIZE = (16, 200, 64, 64)
FOLDER = pathlib.Path(__file__).parents[2] / "layers"

# Whom each cell comes from, and what was changed. The order is that of CELLS, a child under its parent.
TREE = {
    "elman": (None, "the state sees itself"),
    "jordan": ("elman", "the output is fed back, not the state"),
    "fully_recurrent": ("elman", "some of the units are the output"),
    "second_order": ("fully_recurrent", "products of state and input instead of sums"),
    "sequential_cascaded": ("second_order", "the state writes the weights of the next timestep"),
    "rmlp": ("elman", "several layers within a timestep, each with a memory"),
    "irnn": ("elman", "rectified, begins as the identity"),
    "indrnn": ("irnn", "each unit sees itself alone"),
    "antisymmetric": ("ctrnn", "an antisymmetric matrix: nothing fades or bursts"),
    "cornn": ("ctrnn", "second derivatives: springs"),
    "lem": ("cornn", "learnt steps, two states"),
    "ctrnn": ("elman", "continuous time, time constants"),
    "mtrnn": ("ctrnn", "fast and slow units"),
    "clockwork": ("elman", "modules with clocks"),
    "hierarchical": ("lstm", "levels that find where segments end"),
    "cfc": ("ltc", "the solution in closed form"),
    "ltc": ("ctrnn", "time constants that the input moves"),
    "echo_state": ("elman", "nothing is trained but a readout"),
    "original_lstm": ("elman", "a cell behind an input and an output gate"),
    "lstm": ("original_lstm", "a forget gate"),
    "peephole": ("lstm", "gates see the cell"),
    "coupled": ("peephole", "one gate forgets and writes"),
    "nig": ("peephole", "no input gate"),
    "nfg": ("peephole", "no forget gate"),
    "nog": ("peephole", "no output gate"),
    "niaf": ("peephole", "candidates are not squashed"),
    "noaf": ("peephole", "the cell is read as it is"),
    "np": ("peephole", "no peepholes"),
    "fgr": ("peephole", "gates see all gates"),
    "layernorm_lstm": ("lstm", "normalised sums"),
    "projected": ("peephole", "the state is a mixture of the cells"),
    "multiplicative": ("lstm", "each input has transitions of its own"),
    "nas": ("lstm", "found by a controller network"),
    "slstm": ("lstm", "exponential gates, a normaliser"),
    "mlstm": ("slstm", "a matrix of keys and values"),
    "gru": ("lstm", "one state, two gates"),
    "layernorm_gru": ("gru", "normalised sums"),
    "mut1": ("gru", "the update gate does not see the state"),
    "mut2": ("gru", "the reset gate sees the input as it is"),
    "mut3": ("gru", "the update gate sees the state squashed"),
    "mgu": ("gru", "one gate does both"),
    "ugrnn": ("gru", "no reset gate"),
    "janet": ("lstm", "nothing but the forget gate"),
    "ligru": ("gru", "no reset gate, rectified and normalised"),
    "fastgrnn": ("ugrnn", "gate and candidate share their matrices"),
    "scrn": ("elman", "slow units that average"),
    "ran": ("lstm", "the cell is a weighted sum of inputs"),
    "sru": ("qrnn", "a highway round the cell"),
    "qrnn": ("lstm", "gates do not see the state"),
    "mingru": ("gru", "gates do not see the state"),
    "minlstm": ("lstm", "gates do not see the state and share a whole"),
    "lru": ("elman", "linear, diagonal, complex"),
    "rglru": ("lru", "real, with a gated decay"),
    "stack": ("elman", "reads and writes stacks of numbers"),
    "neural_stack": ("lstm", "reads and writes a stack of vectors"),
    "neural_queue": ("neural_stack", "what was pushed first is read first"),
    "neural_deque": ("neural_stack", "pushed, popped and read at both ends"),
    "ntm": ("lstm", "reads and writes a memory by content and by place"),
    "dnc": ("ntm", "frees and allocates rows, knows the order of writing"),
}


def about(name):
    """What a cell's class says of itself."""
    cell = CELLS[name](SIZE[-1])
    cell.build((None, SIZE[2]))
    text = " ".join(CELLS[name].__doc__.split())
    return {
        "name": name,
        "class": CELLS[name].__name__,
        "year": re.search(r"\b(19|20)\d\d\b", text[text.index("Source: ") :]).group(),
        "title": CELLS[name].__doc__.strip().splitlines()[0].rstrip("."),
        "gates": len(cell.gates) if len(cell.gates) > 1 else 0,
        "carry": ", ".join(cell.carry),
        "parameters": cell.count_params(),
    }


# Times.


def training_step(layer, x):
    layer(x)

    @tf.function(autograph=False, jit_compile=False)
    def run():
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(layer(x, training=True))
        return tape.gradient(loss, [x, *(weight.value for weight in layer.trainable_weights)])

    run()
    return run


def timed(run):
    """Seconds of a step that follows another one, as in `fit`: after another side's, threads may be on one core."""
    run()
    begun = time.perf_counter()
    run()
    run()
    return (time.perf_counter() - begun) / 2


def times(name, lstm, x, rounds):
    """Medians of ours in milliseconds, ours / RNN(the same cell), ours / LSTM."""
    units = SIZE[-1]
    ours = training_step(Recurrent(CELLS[name](units), return_sequences=True), x)
    stock = training_step(keras.layers.RNN(CELLS[name](units), return_sequences=True), x)
    found = np.array([[timed(run) for run in (ours, stock, lstm)] for _ in range(rounds)])
    return {
        "milliseconds": 1000 * float(np.median(found[:, 0])),
        "to RNN": float(np.median(found[:, 0] / found[:, 1])),
        "to LSTM": float(np.median(found[:, 0] / found[:, 2])),
    }


# Formats.


def formats(name):
    """Which formats hold a network with the cell, or why not."""
    from pipelines import sentiment
    from pipelines.engine import exporting

    config = sentiment.Config(cell=name, units=8, embedding=8, bag=False, seed=0)
    words = [f"word{i}" for i in range(30)]
    parts = sentiment.build(config, {"labels": ["bad", "good"], "words": words})
    found = {}
    for format in exporting.FORMATS:
        with tempfile.TemporaryDirectory() as folder:
            try:
                exporting.export(parts, pathlib.Path(folder) / "network", format)
                found[format] = "yes"
            except exporting.ExportError as error:
                found[format] = f"no: {reason(error)}"
    return found


def reason(error):
    """What an exporter says, without paths and names of nodes, which differ from run to run."""
    text = str(error).splitlines()[0].split(" In Node")[0]
    return re.sub(r"\S*/\S*", "...", text)


# Fading.


def fading(name, timesteps=200, batch=8):
    """The gradient's size, by how many timesteps before the last one."""
    keras.utils.set_random_seed(0)
    x = tf.random.stateless_normal((batch, timesteps, SIZE[2]), (0, 1))
    layer = Recurrent(CELLS[name](SIZE[-1]))
    layer(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        loss = tf.reduce_sum(layer(x) * tf.random.stateless_normal((1, layer.cell.output_size), (0, 2)))
    gradient = tape.gradient(loss, x)
    return np.sqrt((np.asarray(gradient, "float64") ** 2).sum(axis=2).mean(axis=0))[::-1]


def draw(curves, path):
    """A panel for each cell; in each the LSTM in grey."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    across = 6
    down = -(-len(curves) // across)
    figure, axes = plt.subplots(down, across, figsize=(2.1 * across, 1.5 * down), sharex=True, sharey=True)
    relative = {name: np.maximum(curve / curve[0], 1e-12) for name, curve in curves.items()}
    for axis, (name, curve) in zip(axes.flat, relative.items(), strict=False):
        axis.semilogy(relative["lstm"], color="0.75", linewidth=1)
        axis.semilogy(curve, color="tab:blue", linewidth=1.4)
        axis.set_title(name, fontsize=9)
        axis.set_ylim(1e-12, 1e4)
        axis.grid(alpha=0.3)
    for axis in axes.flat[len(curves) :]:
        axis.set_axis_off()
    figure.supxlabel("timesteps before the last")
    figure.supylabel("gradient of the last output, relative (grey: LSTM)")
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)


# The page.


def tree_lines(parent=None, depth=0):
    for name, (above, changed) in TREE.items():
        if above == parent:
            yield f"{'    ' * depth}{name}: {changed}"
            yield from tree_lines(name, depth + 1)


HEAD = """# The cells

Written by `python -m tests.benchmarks.cells --write`. Parameters are for 64 features and 64 units; times are of a
training step at {size} (batch x timesteps x features x units) on 2 CPU cores, in a graph that knows these
sizes: milliseconds, and ratios to `Recurrent(LSTMCell)` and to `keras.layers.RNN` of the same cell, which `fit` runs in
the plain graph; they took turns. For each format, a network with the cell was exported, run and compared.
"""
FADING = """
## How they forget

The size of the gradient of the last output with respect to the input so many timesteps before, over 200 timesteps of
normal random input, each cell with 64 units and its own initialisation (seed 0), mean over 8 sequences, relative to the
last timestep.

![The gradients of all cells, fading](fading.png)

What each cell can remember when it adds, copies and reads a grammar: [memory.md](memory.md)."""


def standing(path):
    """The rows of a page, by name; their numbers are as rounded as the page has them."""
    table = [line for line in path.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    header, lines = table[0], table[2:]
    columns, rows = [part.strip() for part in header.strip("|").split("|")], {}
    for line in lines:
        row = dict(zip(columns, (part.strip() for part in line.strip("|").split("|")), strict=True))
        whole = {name: int(row[name].replace(",", "")) for name in ("gates", "parameters")}
        rows[row["name"]] = row | whole | {name: float(row[name]) for name in ("milliseconds", "to LSTM", "to RNN")}
    return rows


def page(rows, forms):
    columns = ["name", "class", "year", "gates", "carry", "parameters"]
    if "milliseconds" in rows[0]:
        columns += ["milliseconds", "to LSTM", "to RNN"]
    if forms:
        columns += list(next(iter(forms.values())))
    lines = [HEAD.format(size=" x ".join(map(str, SIZE)))]
    lines += ["| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    reasons = {}
    for row in (row | forms.get(row["name"], {}) for row in rows):
        shown = []
        for column in columns:
            value = row[column]
            if isinstance(value, float):
                value = f"{value:.2f}" if column.startswith("to") else f"{value:.0f}"
            if str(value).startswith("no: "):
                mark = reasons.setdefault(value, len(reasons) + 1)
                value = f"no ({mark})"
            shown.append(f"{value:,}" if isinstance(value, int) else str(value))
        lines.append("| " + " | ".join(shown) + " |")
    lines += ["", *(f"{mark}. {reason[4:]}" for reason, mark in reasons.items())]
    if "to RNN" in rows[0]:
        ratios = [row["to RNN"] for row in rows]
        lines += ["", f"To `keras.layers.RNN`: median {statistics.median(ratios):.2f}, highest {max(ratios):.2f}."]
    lines += ["", "## Who comes from whom", "", "```", *tree_lines(), "```"]
    lines.append(FADING)
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=CELLS, default=list(CELLS), metavar="NAME")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--no-times", action="store_true")
    parser.add_argument("--no-formats", action="store_true")
    parser.add_argument("--write", action="store_true", help="write layers/README.md and layers/fading.png")
    flags = parser.parse_args()
    x = tf.random.stateless_normal(SIZE[:3], (0, 0))
    lstm = None if flags.no_times else training_step(Recurrent(CELLS["lstm"](SIZE[-1]), return_sequences=True), x)
    rows, forms = [], {}
    for name in flags.cells:
        rows.append(about(name) | ({} if flags.no_times else times(name, lstm, x, flags.rounds)))
        if not flags.no_formats:
            forms[name] = formats(name)
        print(" ".join(f"{key}={value}" for key, value in (rows[-1] | forms.get(name, {})).items()), flush=True)
    if not flags.write:
        return print(page(rows, forms))
    known = standing(FOLDER / "README.md") if len(rows) < len(CELLS) else {}
    known |= {row["name"]: row | forms.get(row["name"], {}) for row in rows}
    text = page([known[name] for name in CELLS if name in known], forms)
    draw({name: fading(name) for name in CELLS}, FOLDER / "fading.png")
    (FOLDER / "README.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
