"""Linear models of DNA, to compare with: of k-mers for a sequence's label, of its neighbours for a base's label."""

import itertools
import warnings

import numpy as np
import tensorflow as tf

from data.transforms import dna
from pipelines.engine.training import say
from pipelines.evaluation.label_metrics import areas, crossed, mean_areas, metrics_of_several, total

BASELINE_ROWS, BASELINE_BASES = 100_000, 10_000_000  # what the linear baseline is fitted on, at most
BASELINE_POSITIONS, NEIGHBOURS = 200_000, 5  # the same for labels of bases, and bases that it sees on each side


def baselines(parts, data, splits):
    """Scores of the majority class and of a linear model, from the same raw examples.

    The linear model is a logistic regression, for labels of sequences on TF-IDF of all k-mers of 1 to 6 bases, for
    labels of bases on the base and the 5 before and after it.

    Returns:
        `fitted_on`, sequences or bases, and for each split but the training data `majority_class` and
        `kmer_logistic_regression` or `window_logistic_regression`: name of the metric -> value, as in
        `sequences.evaluate`.
    """
    say("fitting the linear baseline")
    labels, kind = parts.extras.constants["labels"], parts.extras.known["kind"]
    train = list(itertools.islice(splits["train"].as_numpy_iterator(), BASELINE_ROWS))
    others = {split: list(rows.as_numpy_iterator()) for split, rows in splits.items() if split != "train"}
    if kind == "positions":
        return _window_baselines(labels, train, others)
    return _kmer_baselines(labels, kind, train, others)


def _kmer_baselines(labels, kind, train, others):
    import sklearn.feature_extraction.text
    import sklearn.linear_model
    import sklearn.multiclass
    import sklearn.pipeline

    sequences, truth = read(drawn(train, BASELINE_BASES), labels, kind)
    regression = sklearn.linear_model.LogisticRegression(max_iter=1000, C=10.0)
    linear = sklearn.pipeline.make_pipeline(
        sklearn.feature_extraction.text.TfidfVectorizer(
            analyzer="char", ngram_range=(1, 6), sublinear_tf=True, lowercase=False
        ),
        regression if kind == "one" else sklearn.multiclass.OneVsRestClassifier(regression),
    )
    values, counts = np.unique(truth, axis=0, return_counts=True)
    majority = values[counts.argmax()]
    if len(values) > 1:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Label not .* is present in all training examples")
            linear.fit(sequences, truth)
    found = {"fitted_on": len(sequences)}
    for split, rows in others.items():
        sequences, truth = read(rows, labels, kind)
        probabilities = np.zeros((len(rows), len(labels)))
        probabilities[:] = majority if kind == "several" else np.eye(len(labels))[majority]
        of_majority = _scores(probabilities, truth, labels, kind)
        if len(values) > 1:
            # Of one label alone, the library returns the probability of its absence before that of the label.
            known = values if kind == "one" else slice(None)
            probabilities[:, known] = linear.predict_proba(sequences)[:, -len(labels) :]
        found[split] = {
            "majority_class": {name: of_majority[name] for name in ("accuracy", "exact_match") if name in of_majority},
            "kmer_logistic_regression": _scores(probabilities, truth, labels, kind),
        }
    return found


def drawn(rows, bases):
    """Some of the examples, in random order, with at most this many bases, but at least one example.

    The files of users are often in the order of their labels, so the first part would not do.
    """
    order = np.random.default_rng(0).permutation(len(rows))
    upto = np.cumsum([len(rows[row][0]) for row in order])
    return [rows[row] for row in order[: max(1, np.searchsorted(upto, bases, side="right"))]]


def read(rows, labels, kind):
    """Sequences in upper case with T for U, and their classes `(rows,)` or, of several labels, `(rows, labels)`."""
    sequences = [sequence.decode().upper().replace("U", "T") for sequence, _ in rows]
    given = [label.decode() for _, label in rows]
    places = {label: place for place, label in enumerate(labels)}
    if kind == "one":
        return sequences, np.array([places[label] for label in given])
    truth = np.zeros((len(rows), len(labels)), int)
    for row, some in enumerate(given):
        truth[row, [places[label] for label in some.split(";") if label]] = 1
    return sequences, truth


def _scores(probabilities, truth, labels, kind):
    """The metrics of a whole split that `sequences.evaluate` has too."""
    if kind == "several":
        found = metrics_of_several(probabilities, truth, labels)
        return {name: value for name, value in found.items() if name not in ("examples", "labels", "classes")}
    columns = [1] if len(labels) == 2 else range(len(labels))
    found = total(crossed(truth, probabilities.argmax(axis=1), len(labels)))
    return found | mean_areas([areas(probabilities[:, column], truth == column) for column in columns])


def _window_baselines(labels, train, others):
    import sklearn.linear_model

    windows, truth = _neighbourhoods(train, labels)
    chosen = np.random.default_rng(0).permutation(len(truth))[:BASELINE_POSITIONS]
    truth = truth[chosen]
    majority = np.bincount(truth).argmax()
    several = len(np.unique(truth)) > 1
    if several:
        linear = sklearn.linear_model.LogisticRegression(max_iter=1000, C=10.0).fit(_one_hot(windows[chosen]), truth)
    found = {"fitted_on": len(truth)}
    for split, rows in others.items():
        windows, truth = _neighbourhoods(rows, labels)
        guess = np.full(len(truth), majority)
        of_majority = total(crossed(truth, guess, len(labels)))
        for start in range(0, len(truth) if several else 0, BASELINE_POSITIONS):
            some = slice(start, start + BASELINE_POSITIONS)
            guess[some] = linear.predict(_one_hot(windows[some]))
        found[split] = {
            "majority_class": {"accuracy": of_majority["accuracy"]},
            "window_logistic_regression": total(crossed(truth, guess, len(labels))),
        }
    return found


def _neighbourhoods(rows, labels):
    """For all bases of all rows the codes around each, `(bases, 11)`, 0 beyond the ends, and its class, `(bases,)`."""
    codes = dna.codes([sequence for sequence, _ in rows])
    beyond = np.zeros((len(rows), NEIGHBOURS), "int32")
    flat = tf.concat([beyond, codes, beyond], axis=1).flat_values.numpy()
    windows = np.lib.stride_tricks.sliding_window_view(flat, 2 * NEIGHBOURS + 1)
    return windows[flat[NEIGHBOURS:-NEIGHBOURS] > 0], base_classes(rows, labels)


def base_classes(rows, labels):
    """The class of each base of all rows, one after the other, `(bases,)`."""
    letters = np.array([ord(label) for label in labels])
    order = np.argsort(letters)
    found = np.frombuffer(b"".join(label for _, label in rows).decode().encode("utf-32-le"), "uint32")
    return order[np.searchsorted(letters[order], found)]


def _one_hot(windows):
    """`(bases, 44)` probabilities of A, C, G and T at each base and its neighbours."""
    return dna.PROBABILITIES[windows].reshape(len(windows), -1)
