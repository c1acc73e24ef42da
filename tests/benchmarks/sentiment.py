"""`pipelines.sentiment` on three public sets: validation accuracy, median of three seeds, beside linear baselines.

    python -m tests.benchmarks.sentiment mr | sst | imdb [--data ../shared/data] [--seeds 0 1 2]

Settings were found on a tenth of the training data that was held out; the validation file picks the epoch. For `sst`
the network trains on all labelled phrases of the training trees, is undecided on the neutral ones, and is validated on
the sentences that are not neutral.
"""

import argparse
import csv
import gzip
import pathlib
import statistics
import tempfile
import time

from sklearn.feature_extraction.text import CountVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.pipeline import make_pipeline

from data.sets import reviews
from pipelines import sentiment
from pipelines.engine import verbs

SHARED = {"dropout": 0.5, "units": 32}
SETTINGS = {
    "mr": {
        **SHARED,
        "epochs": 5,
        "learning_rate": 2e-3,
        "embedding_dropout": 0.4,
        "word_dropout": 0.2,
        "minimum_count": 2,
    },
    "sst": {
        "neutral": "neutral",
        "epochs": 3,
        "batch_size": 256,
        "dropout": 0.5,
        "embedding": 48,
        "embedding_dropout": 0.3,
        "word_dropout": 0.15,
        "depth": 2,
    },
    "imdb": {
        **SHARED,
        "epochs": 4,
        "batch_size": 256,
        "embedding": 64,
        "bag_pairs": 2**20,
        "embedding_dropout": 0.3,
        "word_dropout": 0.1,
        "minimum_count": 2,
    },
}


def files(name, folder, scratch):
    """Training and validation file of a set, with the columns `text` and `label`."""
    folder = pathlib.Path(folder)
    if name == "mr":
        return folder / "mr" / "train.csv", folder / "mr" / "valid.csv"
    if name == "imdb":
        return folder / "imdb" / "train.csv.gz", folder / "imdb" / "valid.csv.gz"
    with gzip.open(folder / "sst" / "phrases_train.csv.gz", "rt", encoding="utf-8", newline="") as file:
        classes = ["negative", "negative", "neutral", "positive", "positive"]
        train = [(row["text"], classes[int(row["label5"])]) for row in csv.DictReader(file)]
    with open(folder / "sst" / "valid.csv", encoding="utf-8", newline="") as file:
        classes = {"0": "negative", "1": "positive"}
        held = [(row["text"], classes[row["label2"]]) for row in csv.DictReader(file) if row["label2"]]
    for split, rows in (("train", train), ("valid", held)):
        with open(pathlib.Path(scratch) / f"{split}.csv", "w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows])
    return pathlib.Path(scratch) / "train.csv", pathlib.Path(scratch) / "valid.csv"


def naive_bayes(train, held):
    """Accuracy of the words' counts alone."""
    sides = []
    for path in (train, held):
        rows = [(text.decode(), label.decode()) for text, label in reviews.load(path).as_numpy_iterator()]
        sides.append(zip(*(row for row in rows if row[1] != "neutral"), strict=True))
    (texts, labels), (held_texts, held_labels) = sides
    model = make_pipeline(CountVectorizer(binary=True, token_pattern=r"\S+"), MultinomialNB())
    return model.fit(texts, labels).score(held_texts, held_labels)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=SETTINGS)
    parser.add_argument("--data", default="../shared/data", help="folder of the data sets")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    flags = parser.parse_args()
    found, seconds = [], []
    with tempfile.TemporaryDirectory() as scratch:
        train, held = files(flags.name, flags.data, scratch)
        print(f"{flags.name}  naive Bayes on words  {naive_bayes(train, held):.4f}", flush=True)
        for seed in flags.seeds:
            begun = time.perf_counter()
            config = sentiment.Config(
                data=str(train),
                validation_data=str(held),
                run=f"{scratch}/run{seed}",
                seed=seed,
                baselines=seed == flags.seeds[0],
                **SETTINGS[flags.name],
            )
            metrics = verbs.train(sentiment.TASK, config)
            found.append(metrics["validation"]["accuracy"])
            seconds.append(time.perf_counter() - begun)
            if config.baselines:
                linear = metrics["baselines"]["validation"]["tfidf_logistic_regression"]
                print(f"{flags.name}  TF-IDF + logistic regression  {linear:.4f}", flush=True)
            print(f"{flags.name}  seed {seed}  {found[-1]:.4f}  {seconds[-1]:.0f} s", flush=True)
    print(f"{flags.name}  median {statistics.median(found):.4f}  {statistics.median(seconds):.0f} s a run")
    print(f"settings: {SETTINGS[flags.name]}")


if __name__ == "__main__":
    main()
