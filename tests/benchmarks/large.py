"""What does not fit in memory: a million texts, or 20,000 images, trained on in 2 GiB, killed and resumed.

    python -m tests.benchmarks.large text
    python -m tests.benchmarks.large images

The data is made, in a temporary folder. Three processes train on it, each under a limit of 2 GiB of its own memory
(`RLIMIT_DATA`; pages of files that are mapped do not count, as the system takes them back when it needs to): one to the
end, one that is killed in its second epoch, and one that resumes it. Printed are the seconds of each epoch, the peaks
of memory, and whether the weights of both runs are the same. About 6 minutes (text) and 2 (images) on 2 cores.
"""

import argparse
import contextlib
import csv
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import time

import h5py
import numpy as np

LIMIT = 2 * 2**30  # bytes
TEXTS, IMAGES, SIZE = 1_000_000, 20_000, 160
FLAGS = {
    "text": "--batch-size=512 --units=8 --embedding=8 --vocabulary=5000 --no-bag --memory=0.01",
    "images": "--batch-size=64 --memory=0.1",
}
SHARED = ["--epochs", "3", "--patience", "0", "--no-baselines", "--checkpoint-minutes", "0.1"]


def image_task(path):
    """A task of the benchmark's own: uint8 images to one of two classes."""
    import keras
    import tensorflow as tf
    from keras import ops

    from pipelines.engine import inputs
    from pipelines.engine.settings import Training
    from pipelines.engine.task import Parts, Task
    from tests.pipelines.kinds import Plain

    shape = (SIZE, SIZE, 3)

    def rows():
        pixels = np.memmap(path, "uint8", "r", shape=(IMAGES, *shape))
        for number, one in enumerate(pixels):
            yield one.tobytes(), number % 2

    def build(config, vocabularies):
        pixels = keras.Input(shape, dtype="uint8", name="pixels")
        seed = keras.initializers.GlorotUniform(seed=config.seed)
        x = keras.layers.Conv2D(4, 8, 8, activation="relu", kernel_initializer=seed)(ops.cast(pixels, "float32") / 255)
        x = keras.layers.Dense(2, kernel_initializer=seed)(keras.layers.GlobalAveragePooling2D()(x))
        return Parts(
            signature=tf.TensorSpec([None], tf.string, "raw"),
            prepare=lambda raw: tf.reshape(tf.io.decode_raw(raw, tf.uint8), (-1, *shape)),
            target=lambda raw, labels: labels,
            model=keras.Model(pixels, x),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            metrics=[keras.metrics.SparseCategoricalAccuracy("accuracy")],
            answer=lambda logits, raw: {"probabilities": tf.nn.softmax(logits)},
            samples=[bytes(SIZE * SIZE * 3)],
        )

    spec = (tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.int64))
    examples = tf.data.Dataset.from_generator(rows, output_signature=spec)
    return Task(
        "images",
        Training,
        load=lambda config: {"train": examples, "validation": examples.take(64)},
        vocabularies=lambda config, train: {},
        build=build,
        evaluation=Plain,
        labelled=lambda path, config, vocabularies: examples,
        inputs=inputs.files((".raw",)),
    )


def make(kind, folder):
    rng = np.random.default_rng(0)
    if kind == "images":
        with open(folder / "images", "wb") as file:
            for number in range(IMAGES):
                file.write(rng.integers(128 * (number % 2), 256, (SIZE, SIZE, 3), "uint8").tobytes())
        return folder / "images"
    words = np.array([f"w{number}" for number in range(4000)])
    with open(folder / "texts.csv", "w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("text", "label"))
        for lengths in rng.integers(3, 20, (TEXTS // 1000, 1000)):
            for length in lengths:
                rows.writerow((" ".join(words[rng.integers(0, 4000, length)]), length % 2))
    return folder / "texts.csv"


def child(kind, path, run, more):
    """Trains; runs in a process of its own."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))
    from pipelines import sentiment
    from pipelines.engine import command

    task = image_task(path) if kind == "images" else sentiment.TASK
    data = [] if kind == "images" else ["--data", path]
    raise SystemExit(command.run(task, ["train", *data, "--run", run, *FLAGS[kind].split(), *SHARED, *more]))


def trained(kind, path, run, more=(), kill=False):
    """Trains in a process; prints its seconds and its peaks of memory."""
    command = [sys.executable, "-m", "tests.benchmarks.large", kind, "--path", str(path), "--run", str(run), *more]
    begun, peaks, history = time.perf_counter(), {"RssAnon": 0, "VmHWM": 0}, pathlib.Path(run, "history.csv")
    process = subprocess.Popen(command, stderr=subprocess.STDOUT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"})
    while process.poll() is None:
        time.sleep(0.2)
        with contextlib.suppress(OSError):  # it may have ended
            for line in pathlib.Path(f"/proc/{process.pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in peaks:
                    peaks[name] = max(peaks[name], int(value.split()[0]))
        if kill and history.exists():  # an epoch is done; the next one gets three seconds
            time.sleep(3)
            process.send_signal(signal.SIGKILL)
            process.wait()
            break
    own, all_pages = (peak / 2**20 for peak in peaks.values())
    seconds = time.perf_counter() - begun
    print(
        f"--- ended with {process.returncode} after {seconds:.0f} s; GiB: {own:.2f} of its own, {all_pages:.2f} in all"
    )


def weights(path):
    """Name -> array of a file of weights."""
    found = {}
    with h5py.File(path) as file:
        file.visititems(lambda name, part: found.update({name: part[()]}) if isinstance(part, h5py.Dataset) else None)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=FLAGS)
    parser.add_argument("--path", help=argparse.SUPPRESS)
    parser.add_argument("--run", help=argparse.SUPPRESS)
    flags, more = parser.parse_known_args()
    if flags.path:
        child(flags.kind, flags.path, flags.run, more)
    with tempfile.TemporaryDirectory() as scratch:
        folder = pathlib.Path(scratch)
        path = make(flags.kind, folder)
        print(f"--- {path.stat().st_size / 2**20:,.0f} MiB of {flags.kind}", flush=True)
        trained(flags.kind, path, folder / "whole")
        trained(flags.kind, path, folder / "killed", kill=True)
        trained(flags.kind, path, folder / "killed", ["--resume"])
        whole, killed = (weights(folder / run / "model.weights.h5") for run in ("whole", "killed"))
        same = whole.keys() == killed.keys() and all((whole[name] == killed[name]).all() for name in whole)
        print(f"--- killed and resumed: {'the same weights' if same else 'OTHER WEIGHTS'}, {len(whole)} arrays")


if __name__ == "__main__":
    main()
