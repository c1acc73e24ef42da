"""What XLA compiles in two epochs of batches in buckets: once a bucket in the first, nothing in the second.

    python -m tests.benchmarks.buckets

An LSTM in `fit`, 4 buckets of 4 batches, with `compile(jit_compile=True)` (the whole step), with
`Recurrent(jit_compile=True)` (the loop forward and the loop backward: two programs) and with both. The programs are
counted by the files that XLA is asked to write of each.
"""

import os
import pathlib
import subprocess
import sys
import tempfile
import time

BUCKETS = (10, 20, 40, 80)
BATCH = 16
WAYS = {"the step": (True, "auto"), "the layer": (False, True), "both": (True, True)}  # of the model, of the layer


def two_epochs(way, folder):
    """Prints for each epoch the programs compiled in it and its seconds; XLA writes programs to `folder`."""
    import keras
    import numpy as np
    import tensorflow as tf

    from data import batching
    from layers import LSTMCell, Recurrent

    whole, alone = WAYS[way]
    rng = np.random.default_rng(0)
    lengths = np.repeat(BUCKETS, 4 * BATCH)
    ids = tf.RaggedTensor.from_row_lengths(rng.integers(1, 50, lengths.sum()), lengths)
    targets = rng.normal(size=(len(lengths), 1)).astype("float32")
    examples = tf.data.Dataset.from_tensor_slices((ids, targets))
    examples = batching.Cached(batching.prepared(examples, tf.identity, lambda ids, target: target))
    parts = keras.layers.Embedding(50, 16), Recurrent(LSTMCell(32), jit_compile=alone), keras.layers.Dense(1)
    model = keras.Sequential([keras.Input((None,), dtype="int64"), *parts])
    model.compile("adam", "mse", jit_compile=whole)
    compiled = 0
    for epoch in range(2):
        begun = time.perf_counter()
        model.fit(batching.batches(examples, BATCH, BUCKETS, seed=0, epoch=epoch), verbose=0)
        seconds = time.perf_counter() - begun
        before, compiled = compiled, len(list(pathlib.Path(folder).glob("*.before_optimizations.txt")))
        print(f"epoch {epoch + 1}: {compiled - before} in {seconds:.1f} s", end="  ")


def main():
    print(f"Programs that XLA compiles, {len(BUCKETS)} buckets of 4 batches:", flush=True)
    for way in WAYS:
        with tempfile.TemporaryDirectory() as folder:
            flags = {"XLA_FLAGS": f"--xla_dump_to={folder} --xla_dump_hlo_as_text", "TF_CPP_MIN_LOG_LEVEL": "3"}
            command = [sys.executable, "-m", "tests.benchmarks.buckets", way, folder]
            told = subprocess.run(
                command, env={**os.environ, **flags}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
            )
        print(f"  compiling {way}: {told.stdout if told.returncode == 0 else 'failed'}", flush=True)


if __name__ == "__main__":
    two_epochs(*sys.argv[1:]) if sys.argv[1:] else main()
