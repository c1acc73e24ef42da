"""IMDB, side by side in one run: the architecture of Keras's own example with stock layers, and `pipelines.sentiment`.

    python -m tests.benchmarks.imdb [--data ../shared/data/imdb] [--epochs 3]

Theirs: the first 200 tokens, 20,000 words, an embedding of 128, two stock bidirectional LSTM layers of 64, batches of
32, `fit` as it comes. Ours: `python -m pipelines.sentiment train` with the settings that are printed, on 400 tokens.
Accuracies are on the validation file; theirs has its epochs before and after ours, so that both see the same machine.
About 10 minutes on 2 cores.
"""

import argparse
import csv
import pathlib
import statistics
import tempfile
import time

import keras
import numpy as np
import tensorflow as tf

from data.sets import reviews
from data.transforms import words as text
from pipelines import sentiment
from pipelines.engine import verbs
from tests.benchmarks.sentiment import SETTINGS

OURS = SETTINGS["imdb"]


def columns(path):
    pairs = list(reviews.load(path).as_numpy_iterator())
    return [text for text, _ in pairs], np.array([int(label) for _, label in pairs])


def stock(train, validation):
    """`run()` trains the example's model for an epoch and returns (seconds, validation accuracy)."""
    words = text.learn_words(tf.data.Dataset.from_tensor_slices(train[0]), 20_000)
    tokenizer = text.Tokenizer(words, max_length=200)

    def padded(texts):
        ids = np.zeros((len(texts), 200), "int32")
        for start in range(0, len(texts), 1000):
            some = tokenizer(tf.constant(texts[start : start + 1000])).numpy()
            ids[start : start + len(some), : some.shape[1]] = some
        return ids

    x, held = padded(train[0]), padded(validation[0])
    word_ids = keras.Input((None,), dtype="int32")
    h = keras.layers.Embedding(tokenizer.size, 128)(word_ids)
    h = keras.layers.Bidirectional(keras.layers.LSTM(64, return_sequences=True))(h)
    h = keras.layers.Bidirectional(keras.layers.LSTM(64))(h)
    model = keras.Model(word_ids, keras.layers.Dense(1, activation="sigmoid")(h))
    model.compile("adam", "binary_crossentropy", metrics=["accuracy"])

    def run():
        begun = time.perf_counter()
        model.fit(x, train[1], batch_size=32, epochs=1, verbose=0)
        seconds = time.perf_counter() - begun
        return seconds, model.evaluate(held, validation[1], verbose=0)[1]

    return run


def ours(folder, run):
    """Trains as the command line does; rows of (seconds, validation accuracy)."""
    files = {"data": f"{folder}/train.csv.gz", "validation_data": f"{folder}/valid.csv.gz"}
    verbs.train(sentiment.TASK, sentiment.Config(run=run, baselines=False, **files, **OURS))
    with open(pathlib.Path(run) / "history.csv", encoding="utf-8") as file:
        return [(float(row["seconds"]), float(row["validation_accuracy"])) for row in csv.DictReader(file)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="../shared/data/imdb", help="folder with train.csv.gz and valid.csv.gz")
    parser.add_argument("--epochs", type=int, default=3, help="epochs of the stock model")
    flags = parser.parse_args()
    splits = [columns(f"{flags.data}/{name}.csv.gz") for name in ("train", "valid")]

    run = stock(*splits)
    theirs = [run()]
    with tempfile.TemporaryDirectory() as folder:
        found = ours(flags.data, f"{folder}/run")
    theirs += [run() for _ in range(flags.epochs - 1)]

    for name, rows in (("stock Keras example, 200 tokens", theirs), (f"ours, 400 tokens, {OURS}", found)):
        print(name)
        for epoch, (seconds, accuracy) in enumerate(rows, start=1):
            print(f"  epoch {epoch}  {seconds:6.1f} s  validation accuracy {accuracy:.4f}")
    medians = [statistics.median(seconds for seconds, _ in rows) for rows in (found, theirs)]
    print(f"median seconds an epoch, ours / theirs: {medians[0] / medians[1]:.2f}")
    best = [max(accuracy for _, accuracy in rows) for rows in (found, theirs)]
    print(f"best validation accuracy, ours {best[0]:.4f}, theirs {best[1]:.4f}")


if __name__ == "__main__":
    main()
