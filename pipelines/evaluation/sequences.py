"""Metrics, baselines and display of a classifier of DNA: a label, several labels, or a label at each base.

`parts.extras.known["kind"]` says which: "one", "several" or "positions". With TP, FP, FN and TN, the counts of right
and wrong answers for one label against the rest:

    precision = TP / (TP + FP)        recall = TP / (TP + FN)        F1 = 2 TP / (2 TP + FP + FN)
    MCC = (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))

AUROC is the area under the curve of recall by the share of the rest that is answered wrongly; AUPRC, the average
precision, that under the curve of precision by recall. A metric that is not defined, because all examples have the same
label, is left out.

Source of the coefficient for several classes: "Comparing two K-category assignments by a K-category correlation
coefficient", J. Gorodkin, 2004, equation 8.
"""

import itertools
import re
import warnings

import numpy as np
import tensorflow as tf

from data.files import InputError
from data.transforms import dna
from layers.crf import best_tags, marginals
from pipelines.engine.training import say
from pipelines.evaluation import classification, markup
from pipelines.evaluation.translation import portions

PICTURES = ("curves.png", "confusion.png", "roc.png", "mutagenesis.png", "motifs.png")
RESAMPLES = 1000  # of the examples, for an interval
RESAMPLED = 20_000_000  # examples in all resamples together for the interval of an area, at most, about
BASELINE_ROWS, BASELINE_BASES = 100_000, 10_000_000  # what the linear baseline is fitted on, at most
BASELINE_POSITIONS, NEIGHBOURS = 200_000, 5  # the same for labels of bases, and bases that it sees on each side
AT_ONCE, BASES_AT_ONCE = 1024, 250_000  # sequences in a batch, and their bases with padding, at most
MUTATED = 2000  # bases of a sequence that are mutated, at most
MAPS, RUN_MAPS = 8, 6  # sequences in a picture of mutations, at most: of answers, and of a run
MAPPED = 500  # bases of each of them that are mutated, at most
PLOTTED, PLOTTED_BASES = 5000, 2_000_000  # validation sequences that pictures are made of, and their bases, at most
OF_MOTIFS = 1000  # those of them that motifs are read from, at most
SHOWN_BASES = 60  # bases of a sequence in a line of text
SHOWN_LABELS = 40  # labels in a table of metrics
BACKGROUND = "N.-0"  # labels of bases that no line of a BED file is written for


def evaluate(parts, data, examples):
    """Metrics on prepared examples `data`, all shares in [0, 1]; the raw `examples` are not used.

    Returns:
        Dictionary of `examples` and `labels`, and for the kind of label

        "one": `accuracy`, `macro_f1`, `auroc` and `auprc` (two classes: of the second one; more: mean of one against
            the rest), `mcc`, `calibration_error` and `confusion` as in `classification.evaluate`; `classes`: label ->
            `examples`, `precision`, `recall`, `f1`, `auroc`, `auprc` and `mcc` of this label against the rest;
            `interval`: name -> [low, high], the 95 % confidence interval of accuracy, MCC and AUROC, see `intervals`;
        "several": `exact_match`, the share of examples with all labels right; `macro_f1`, `micro_f1`; `auroc` and
            `auprc`, means over labels; `classes` as above; a label is answered if its probability is 0.5 or more;
        "positions": `bases`; over bases `accuracy`, `macro_f1` and `mcc`; `exact_match`, the share of sequences with
            all bases right; `confusion`; `classes`: label -> `bases`, `precision`, `recall` and `f1`.
    """
    labels, kind = parts.extras.constants["labels"], parts.extras.known["kind"]
    found = classification.predicted(parts, data)
    if kind == "positions":
        return metrics_of_positions(found, labels)
    probabilities, truth = map(np.concatenate, zip(*found, strict=True))
    return {"one": metrics_of_one, "several": metrics_of_several}[kind](probabilities, truth, labels)


def metrics_of_one(probabilities, truth, labels):
    """As `evaluate`, from `(examples, classes)` probabilities and `(examples,)` true classes."""
    found = classification.metrics_of(probabilities, truth, labels)
    counts = np.array(found["confusion"])
    right, wrong, missed = answered(counts)
    found["classes"] = {}
    for label, name in enumerate(labels):
        found["classes"][name] = {
            "examples": int(counts[label].sum()),
            **shares(right[label], wrong[label], missed[label], len(truth)),
            **areas(probabilities[:, label], truth == label),
        }
    found |= mean_areas([found["classes"][name] for name in (labels[1:] if len(labels) == 2 else labels)])
    found |= defined({"mcc": mcc(counts)})
    found["interval"] = intervals(probabilities, truth, counts)
    order = ("examples", "accuracy", "macro_f1", "auroc", "auprc", "mcc")
    return {name: found[name] for name in (*order, *found) if name in found}


def metrics_of_several(probabilities, truth, labels):
    """As `evaluate`, from `(examples, labels)` probabilities and `(examples, labels)` true labels, 0 or 1."""
    truth, guess = truth > 0.5, probabilities >= 0.5
    pairs = (guess, truth), (guess, ~truth), (~guess, truth)
    right, wrong, missed = ((one & other).sum(axis=0) for one, other in pairs)
    classes = {}
    for label, name in enumerate(labels):
        classes[name] = {
            "examples": int(truth[:, label].sum()),
            **shares(right[label], wrong[label], missed[label], len(truth)),
            **areas(probabilities[:, label], truth[:, label]),
        }
    return {
        "examples": len(truth),
        "exact_match": float((guess == truth).all(axis=1).mean()),
        "macro_f1": mean_f1(classes),
        "micro_f1": shares(right.sum(), wrong.sum(), missed.sum(), truth.size).get("f1", 0.0),
        **mean_areas(classes.values()),
        "labels": list(labels),
        "classes": classes,
    }


def metrics_of_positions(found, labels):
    """As `evaluate`, from pairs of `(batch, timesteps, labels)` probabilities and `(batch, timesteps)` true labels.

    True labels below 0 are padding. One batch is in memory at a time.
    """
    counts, examples, exact = np.zeros((len(labels), len(labels)), int), 0, 0
    for probabilities, truth in found:
        guess, real = probabilities.argmax(axis=-1), truth >= 0
        counts += crossed(truth[real], guess[real], len(labels))
        examples += len(truth)
        exact += int(((guess == truth) | ~real).all(axis=1).sum())
    right, wrong, missed = answered(counts)
    classes = {}
    for label, name in enumerate(labels):
        scores = shares(right[label], wrong[label], missed[label], counts.sum())
        scores.pop("mcc", None)
        classes[name] = {"bases": int(counts[label].sum()), **scores}
    return {
        "examples": examples,
        "bases": int(counts.sum()),
        **total(counts),
        "macro_f1": mean_f1(classes),
        "exact_match": exact / examples,
        "labels": list(labels),
        "confusion": counts.tolist(),
        "classes": classes,
    }


# Metrics from counts. `counts` are confusion matrices, `(..., labels, labels)` with a row for each true label.


def crossed(truth, guess, labels):
    """The confusion matrix `(labels, labels)` of true and guessed labels, integers from 0."""
    return np.bincount(truth * labels + guess, minlength=labels * labels).reshape(labels, labels)


def answered(counts):
    """For each label how often it was answered rightly, answered wrongly and missed, `(labels,)` each."""
    right = np.diagonal(counts)
    return right, counts.sum(axis=0) - right, counts.sum(axis=1) - right


def total(counts):
    """Accuracy and, if there are several true labels, MCC of a confusion matrix."""
    return defined({"accuracy": np.trace(counts) / max(1, counts.sum()), "mcc": mcc(counts)})


def shares(right, wrong, missed, examples):
    """Precision, recall, F1 and MCC of one label against the rest, those that are defined."""
    with np.errstate(invalid="ignore", divide="ignore"):
        found = {
            "precision": np.divide(right, right + wrong),
            "recall": np.divide(right, right + missed),
            "f1": np.divide(2 * right, 2 * right + wrong + missed),
        }
    rest = examples - right - wrong - missed
    return defined({**found, "mcc": mcc(np.array([[rest, wrong], [missed, right]]))})


def mcc(counts):
    """Matthews' correlation coefficient, in [-1, 1], of each confusion matrix.

    NaN if all examples have one true label; 0, its limit, if one label is answered for all.
    """
    counts = np.asarray(counts, "float64")
    true, guessed, size = counts.sum(axis=-1), counts.sum(axis=-2), counts.sum(axis=(-2, -1))
    right = np.trace(counts, axis1=-2, axis2=-1)
    true_spread, spread = size**2 - (true**2).sum(axis=-1), size**2 - (guessed**2).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        found = (right * size - (true * guessed).sum(axis=-1)) / np.sqrt(true_spread * spread)
    return np.where(true_spread == 0, np.nan, np.where(spread == 0, 0.0, found))


def areas(scores, truth):
    """`auroc` and `auprc` of `(examples,)` scores of a label; nothing if the truth is the same for all examples."""
    import sklearn.metrics

    if truth.all() or not truth.any():
        return {}
    return {
        "auroc": float(sklearn.metrics.roc_auc_score(truth, scores)),
        "auprc": float(sklearn.metrics.average_precision_score(truth, scores)),
    }


def mean_areas(classes):
    """The means of `auroc` and `auprc` over the labels that have them."""
    found = {name: [one[name] for one in classes if name in one] for name in ("auroc", "auprc")}
    return {name: float(np.mean(values)) for name, values in found.items() if values}


def mean_f1(classes):
    """The mean F1 over all labels; a label that neither occurs nor is answered counts as 0, as in `classification`."""
    return float(np.mean([one.get("f1", 0.0) for one in classes.values()]))


def defined(metrics):
    """The metrics that are numbers: JSON knows no NaN."""
    return {name: float(value) for name, value in metrics.items() if np.isfinite(value)}


def intervals(probabilities, truth, counts, seed=0):
    """95 % confidence intervals of accuracy, MCC and AUROC, as in `evaluate`, by the bootstrap over examples.

    The percentiles 2.5 and 97.5 over 1,000 resamples of the examples with replacement; for AUROC over at least 100, if
    there are very many examples. Resamples in which a metric is not defined do not count.

    Source: "Bootstrap Methods: Another Look at the Jackknife", B. Efron, 1979.

    Args:
        probabilities: `(examples, classes)`.
        truth: `(examples,)` classes.
        counts: Their confusion matrix `(classes, classes)`.
        seed: The same seed gives the same intervals.

    Returns:
        Name -> [low, high].
    """
    rng = np.random.default_rng(seed)
    # Accuracy and MCC depend on the counts alone, and these of a resample are multinomial.
    again = rng.multinomial(len(truth), counts.ravel() / len(truth), RESAMPLES).reshape(-1, *counts.shape)
    found = {"accuracy": np.trace(again, axis1=1, axis2=2) / len(truth), "mcc": mcc(again)}

    columns = [1] if probabilities.shape[1] == 2 else range(probabilities.shape[1])
    ranks = [np.unique(probabilities[:, column], return_inverse=True)[1] for column in columns]
    resamples = int(np.clip(RESAMPLED // (len(truth) * len(columns)), 100, RESAMPLES))
    found["auroc"] = []
    for _ in range(resamples):
        weights = np.bincount(rng.integers(len(truth), size=len(truth)), minlength=len(truth))
        of_labels = [_auroc(rank, truth == column, weights) for rank, column in zip(ranks, columns, strict=True)]
        of_labels = [one for one in of_labels if one is not None]
        found["auroc"].append(np.mean(of_labels) if of_labels else np.nan)
    kept = {name: values[np.isfinite(values)] for name, values in ((k, np.asarray(v)) for k, v in found.items())}
    return {name: np.percentile(values, (2.5, 97.5)).tolist() for name, values in kept.items() if len(values)}


def _auroc(rank, truth, weights):
    """AUROC of examples with these ranks of their scores, integers from 0, and weights; None if it is not defined."""
    of_label = np.bincount(rank, weights * truth)
    of_rest = np.bincount(rank, weights * ~truth)
    pairs = of_label.sum() * of_rest.sum()
    return float(of_label @ (np.cumsum(of_rest) - of_rest / 2) / pairs) if pairs else None


# Baselines.


def baselines(parts, splits):
    """Scores of the majority class and of a linear model, from the same raw examples.

    The linear model is a logistic regression, for labels of sequences on TF-IDF of all k-mers of 1 to 6 bases, for
    labels of bases on the base and the 5 before and after it.

    Returns:
        `fitted_on`, sequences or bases, and for each split but the training data `majority_class` and
        `kmer_logistic_regression` or `window_logistic_regression`: name of the metric -> value, as in `evaluate`.
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

    sequences, truth = _read(_drawn(train, BASELINE_BASES), labels, kind)
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
        sequences, truth = _read(rows, labels, kind)
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


def _drawn(rows, bases):
    """Some of the examples, in random order, with at most this many bases, but at least one example.

    The files of users are often in the order of their labels, so the first part would not do.
    """
    order = np.random.default_rng(0).permutation(len(rows))
    upto = np.cumsum([len(rows[row][0]) for row in order])
    return [rows[row] for row in order[: max(1, np.searchsorted(upto, bases, side="right"))]]


def _read(rows, labels, kind):
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
    """The metrics of a whole split that `evaluate` has too."""
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
    return windows[flat[NEIGHBOURS:-NEIGHBOURS] > 0], _classes(rows, labels)


def _classes(rows, labels):
    """The class of each base of all rows, one after the other, `(bases,)`."""
    table = np.zeros(256, int)
    table[[ord(label) for label in labels]] = range(len(labels))
    return table[np.frombuffer(b"".join(label for _, label in rows), "uint8")]


def _one_hot(windows):
    """`(bases, 44)` probabilities of A, C, G and T at each base and its neighbours."""
    return dna.PROBABILITIES[windows].reshape(len(windows), -1)


# What the network looks at.


def mutagenesis(parts, sequence, most=MUTATED):
    """The effect of each mutation: the change of the log odds of the predicted label when a base becomes another.

    Of a sequence of more than `most` bases, only those in the middle are mutated, and only those are read, unless the
    network reads sequences of one length; the label is that of the whole sequence. For labels of bases there are no
    effects.

    Sources: "Predicting the sequence specificities of DNA- and RNA-binding proteins by deep learning", B. Alipanahi et
    al., 2015 (mutation maps); "Predicting effects of noncoding variants with deep learning-based sequence model",
    J. Zhou and O. Troyanskaya, 2015 (in-silico mutagenesis, log odds).

    Args:
        parts: `Parts` of a classifier of one or several labels.
        sequence: A string.
        most: Bases to mutate, at most.

    Returns:
        `(timesteps, 4)` effects of A, C, G and T, in nats; 0 for the base that stands. In place of an ambiguous letter
        all four are effects relative to it as it stands. NaN where a base was not mutated. Probabilities, and
        those of the rest, are at least 1e-7 in the log odds.
    """
    codes = parts.features(tf.constant([sequence])).numpy()  # (1, timesteps)
    bases = np.count_nonzero(codes)
    effects = np.full((bases, 4), np.nan)
    if not bases:
        return effects
    label = _log_odds(parts, codes)[0].argmax()
    first = max(0, (bases - most) // 2)
    mutated = np.arange(first, min(bases, first + most))
    before = 0  # bases that are not read
    if bases > most and parts.model.input.shape[1] is None:
        before, codes = first, codes[:, mutated]
    stands = _log_odds(parts, codes)[0, label]
    effects[mutated] = 0
    places, letters = np.nonzero(codes[0, mutated - before][:, None] != np.arange(1, 5))
    at_once = max(1, BASES_AT_ONCE // codes.shape[1])
    for some in np.split(np.arange(len(places)), range(at_once, len(places), at_once)):
        mutants = np.repeat(codes, len(some), axis=0)
        place, letter = mutated[places[some]], letters[some]
        mutants[np.arange(len(some)), place - before] = letter + 1
        effects[place, letter] = _log_odds(parts, mutants)[:, label] - stands
    return effects


def _log_odds(parts, codes):
    """`(batch, labels)` log odds of the labels of `(batch, timesteps)` codes."""
    probabilities = np.asarray(parts.answer(parts.scores(codes), None)["probabilities"], "float64")
    # Near 1, single precision is too coarse for 1 - p; the sum of the other labels' probabilities is not.
    one = parts.extras.known["kind"] == "one"
    rest = (probabilities.sum(axis=1, keepdims=True) if one else 1) - probabilities
    return log_odds(probabilities, rest)


def log_odds(p, rest):
    """log(p / rest), in nats, with both at least 1e-7."""
    return np.log(np.clip(p, 1e-7, 1)) - np.log(np.clip(rest, 1e-7, 1))


def maps(parts, sequences):
    """Input of `logos.mutagenesis_map`: (title, letters, effects) of each sequence."""
    found = []
    for sequence, answer in zip(sequences, answers(parts, sequences), strict=True):
        by_label = answer["probabilities"]
        label = max(by_label, key=by_label.get)
        letters = dna.letters(parts.features(tf.constant([sequence]))).numpy()[0].decode()  # those that are read
        found.append((f"{label}  {by_label[label]:.2f}", letters, mutagenesis(parts, sequence, MAPPED)))
    return found


def motifs(parts, sequences):
    """What the motifs of a network look for, as position weight matrices.

    For each motif, all windows that it fits by more than half of its best fit over all sequences are aligned and their
    bases counted. Windows that reach beyond a sequence do not count.

    Sources: B. Alipanahi et al., 2015, as for `mutagenesis`; "Basset: learning the regulatory code of the accessible
    genome with deep convolutional neural networks", D. Kelley, J. Snoek and J. Rinn, 2016.

    Args:
        parts: `Parts`; `extras.known["scan"]` is the model's `layers.Scan` over one-hot bases, or None.
        sequences: List of strings.

    Returns:
        List of dictionaries, one for each filter that is active anywhere; empty if there is no such layer. `filter`,
        its number from 0; `windows`, their number; `matrix`, `(width, 4)` probabilities of A, C, G and T, with a
        quarter of a window added to each count; `bits`, `(width,)`, 2 minus the entropy; `information`, their sum.
    """
    layer = parts.extras.known["scan"]
    if layer is None or not sequences:
        return []
    width = layer.width

    def batches():
        """(codes, activations `(batch, windows, filters)`) of the windows that lie within a sequence."""
        before = (width - 1) // 2  # zeros that padding "same" puts before a sequence
        for rows in portions(sequences, AT_ONCE, BASES_AT_ONCE):
            codes = parts.features(tf.constant([sequences[row] for row in rows])).numpy()
            windows = codes.shape[1] - width + 1
            if windows > 0:
                active = np.asarray(layer.fits(dna.one_hot(codes)))[:, before : before + windows]
                yield codes, np.where(codes[:, width - 1 :, None] > 0, active, -np.inf)

    largest = np.full(layer.filters, -np.inf)
    for _, active in batches():
        largest = np.maximum(largest, active.max(axis=(0, 1)))
    threshold = np.where(largest > 0, largest / 2, np.inf)
    number, counts = np.zeros(layer.filters, int), np.zeros((layer.filters, width, 4))
    for codes, active in batches():
        chosen = (active > threshold).astype("float32")
        number += chosen.sum(axis=(0, 1)).astype(int)
        bases = dna.PROBABILITIES[codes]  # (batch, timesteps, 4)
        for place in range(width):
            counts[:, place] += np.tensordot(chosen, bases[:, place : place + chosen.shape[1]], ((0, 1), (0, 1)))
    found = []
    for one in np.flatnonzero(number):
        matrix = (counts[one] + 0.25) / (number[one] + 1)
        bits = 2 + (matrix * np.log2(matrix)).sum(axis=1)
        told = {"filter": int(one), "windows": int(number[one]), "matrix": matrix, "bits": bits}
        found.append(told | {"information": float(bits.sum())})
    return found


# Display.

COLUMNS = {"precision": "precision", "recall": "recall", "f1": "F1", "auroc": "AUROC", "auprc": "AUPRC", "mcc": "MCC"}
NAMES = {"macro_f1": "macro F1", "micro_f1": "micro F1", "auroc": "AUROC", "auprc": "AUPRC", "mcc": "MCC"}
METRICS = ("accuracy", "exact_match", "macro_f1", "micro_f1", "auroc", "auprc", "mcc", "calibration_error")
BASELINES = {
    "majority_class": "the majority class",
    "kmer_logistic_regression": "k-mers + logistic regression",
    "window_logistic_regression": "neighbours + logistic regression",
}


def format_metrics(metrics, splits=("validation", "test")):
    """The metrics of these splits, if they exist, as a table to read."""
    lines = []
    for split in splits:
        if split not in metrics:
            continue
        found, base = metrics[split], metrics.get("baselines", {}).get(split, {})
        bases = f", {found['bases']:,} bases" if "bases" in found else ""
        lines.append(f"{split} ({found['examples']:,} sequences{bases})")
        for name in METRICS:
            if name in found:
                low, high = found.get("interval", {}).get(name, (None, None))
                between = "" if low is None else f"   95 % interval {low:.4f} to {high:.4f}"
                lines.append(f"  {NAMES.get(name, name.replace('_', ' ')):34}{found[name]:.4f}{between}")
        for name, scores in base.items():
            told = ", ".join(f"{NAMES.get(kind, kind.replace('_', ' '))} {value:.4f}" for kind, value in scores.items())
            lines.append(f"  {BASELINES[name]:34}{told}")
        classes = found["classes"]
        counted = "bases" if "bases" in found else "examples"
        columns = [name for name in COLUMNS if any(name in one for one in classes.values())]
        lines.append(f"  {'label':26}{counted:>10}" + "".join(f"{COLUMNS[name]:>10}" for name in columns))
        for label, one in itertools.islice(classes.items(), SHOWN_LABELS):
            cells = "".join(f"{one[name]:10.4f}" if name in one else f"{'':10}" for name in columns)
            lines.append(f"  {markup.shortened(label, 24):26}{one[counted]:10,}{cells}".rstrip())
        if len(classes) > SHOWN_LABELS:
            lines.append(f"  and {len(classes) - SHOWN_LABELS:,} more labels")
    return "\n".join(lines)


def answer(labels, scores, texts):
    """Dictionary of `label` or `labels`, `(batch,)` strings as in a file, and `probabilities`, `(batch, labels)`.

    Of several labels those with a probability of 0.5 or more are answered. With labels at each base, probabilities are
    `(batch, timesteps, labels)`, and without texts, whose lengths are not known then, there are no `labels`.
    """
    if labels.kind == "one":
        return {"label": labels.text(tf.argmax(scores, axis=1)), "probabilities": tf.nn.softmax(scores)}
    if labels.kind == "several":
        return {"labels": labels.text(scores >= 0), "probabilities": tf.sigmoid(scores)}
    found = {"probabilities": marginals(scores)}
    if texts is not None:
        tags = tf.RaggedTensor.from_tensor(best_tags(scores), dna.codes(texts).row_lengths())
        found["labels"] = labels.text(tags)
    return found


def answers(parts, inputs):
    """For each raw input a dictionary, whose content depends on the kind of label.

    Returns:
        List of dictionaries with `sequence` and

        "one": `label`, its `probability`, and `probabilities` by label;
        "several": `labels`, those with a probability of 0.5 or more, and `probabilities` by label;
        "positions": `labels`, a string with one character for each base.
    """
    found = []
    for start in range(0, len(inputs), AT_ONCE):
        found += _answers(parts, inputs[start : start + AT_ONCE])
    return found


def _answers(parts, inputs):
    labels, kind = parts.extras.constants["labels"], parts.extras.known["kind"]
    found = [None] * len(inputs)
    for rows in portions(inputs, AT_ONCE, BASES_AT_ONCE):
        answer = parts.ask([inputs[row] for row in rows])
        if kind == "positions":
            for row, text in zip(rows, answer["labels"].numpy(), strict=True):
                found[row] = {"sequence": inputs[row], "labels": text.decode()}
            continue
        for row, probabilities in zip(rows, np.asarray(answer["probabilities"]), strict=True):
            by_label = {label: float(p) for label, p in zip(labels, probabilities, strict=True)}
            if kind == "one":
                best = int(probabilities.argmax())
                told = {"label": labels[best], "probability": float(probabilities[best])}
            else:
                told = {"labels": [label for label, p in by_label.items() if p >= 0.5]}
            found[row] = {"sequence": inputs[row], **told, "probabilities": by_label}
    return found


def format_answers(parts, found, colours):
    """A line for each of `answers`: label, probability and sequence; of labels of bases the sequence and its labels.

    Of several labels the line has each one with its probability. Long sequences are shortened in the middle.
    """
    for answer in found:
        if "probability" in answer:
            yield f"{answer['label']}\t{answer['probability']:.4f}\t{shortened(answer['sequence'])}"
        elif "probabilities" in answer:
            told = "; ".join(f"{label} {answer['probabilities'][label]:.4f}" for label in answer["labels"])
            yield f"{told or 'no label'}\t{shortened(answer['sequence'])}"
        else:
            yield f"{dna.without_space(answer['sequence'])}\n{answer['labels']}"


def shortened(sequence, most=SHOWN_BASES):
    """A sequence of more than `most` bases without its middle, and with its number of bases.

    Example:
        >>> shortened("ACGTACGTACGTACGTACGT", 8)
        'ACGT…ACGT (20 bases)'
    """
    sequence = " ".join(sequence.split())
    half = most // 2
    return sequence if len(sequence) <= most else f"{sequence[:half]}…{sequence[-half:]} ({len(sequence):,} bases)"


# Tracks for genome browsers.

_REGION = re.compile(r"(?P<chromosome>.+):(?P<first>\d+)-(?P<last>\d+)(?:\((?P<strand>[-+.])\))?")


def region(name, length):
    """`(chromosome, start, end, strand)` of an answer's name, with `start` from 0 and `end` not included.

    A region is written as samtools does, from 1 and with its last base, `chr1:101-181(-)`, with or without the strand.
    Another name is that of a whole sequence of `length` bases.

    Example:
        >>> region("chr1:101-181(-)", 81), region("HLA:A*01:1-9", 9), region("plasmid", 50)
        (('chr1', 100, 181, '-'), ('HLA:A*01', 0, 9, '.'), ('plasmid', 0, 50, '.'))
    """
    found = _REGION.fullmatch(name)
    if found and 1 <= int(found["first"]) <= int(found["last"]):
        return _column(found["chromosome"]), int(found["first"]) - 1, int(found["last"]), found["strand"] or "."
    return _column(name), 0, length, "."


def _column(text):
    """A text without the white space that would end a column."""
    return re.sub(r"\s+", "_", text.strip()) or "."


def _placed(found):
    """Each answer with its `region`; answers without a name are numbered from 1."""
    for number, answer in enumerate(found, start=1):
        yield answer, region(answer.get("name", f"sequence_{number}"), len(dna.without_space(answer["sequence"])))


def write_bed(parts, found, path):
    """Writes BED: chromosome, start (from 0), end, label, score and strand; a line for each answer, as they come.

    The score is 1000 times the probability of the label. Of several labels the line has that of `known["signal"]`. Of
    labels of bases there is a line for each run of bases with the same label, except N, "." , "-" and 0, with score 0,
    as they have no probability of their own; on the strand - the first base is the last one of the window.

    Source of the format: "The Browser Extensible Data (BED) format", J. Niu, D. Denisko and M. M. Hoffman, 2022.
    """
    with open(path, "w", encoding="utf-8") as file:
        for answer, (chromosome, start, end, strand) in _placed(found):
            for first, last, label, score in _features(parts, answer, end - start):
                if strand == "-":
                    first, last = end - start - last, end - start - first
                place = f"{chromosome}\t{start + first}\t{start + last}"
                file.write(f"{place}\t{_column(label)}\t{score}\t{strand}\n")


def _features(parts, answer, length):
    """(start, end, label, score) of the features of an answer, in bases of its sequence."""
    if "probability" in answer:
        yield 0, length, answer["label"], round(1000 * answer["probability"])
    elif "probabilities" in answer:
        signal = parts.extras.known["signal"]
        yield 0, length, signal, round(1000 * answer["probabilities"][signal])
    else:
        end = 0
        for label, run in itertools.groupby(answer["labels"]):
            start, end = end, end + len(list(run))
            if label not in BACKGROUND:
                yield start, end, label, 0


def write_bedgraph(parts, found, path):
    """Writes bedGraph: chromosome, start (from 0), end and the probability of the label `known["signal"]`.

    Both strands of a window are one line, with the larger probability. A line may not overlap the next one, so a window
    ends where the next one begins. Lines are written as the answers come, the last one excepted.

    Source of the format: "bedGraph Track Format", genome browser of the University of California, Santa Cruz.

    Raises:
        InputError: if the labels are those of bases, or if a window begins before the one that it follows.
    """
    if parts.extras.known["kind"] == "positions":
        raise InputError(
            "--to",
            "expected .bed, .jsonl, .csv or .html for labels of bases, received .bedgraph, which holds one probability "
            "for each window.",
        )
    signal = parts.extras.known["signal"]
    with open(path, "w", encoding="utf-8") as file:
        named = signal.replace('"', "'")
        file.write(f'track type=bedGraph name="{named}" description="probability of {named}"\n')
        before = None
        for answer, (chromosome, start, end, _) in _placed(found):
            probability = answer["probabilities"][signal]
            if before and before[0] == chromosome:
                _, begun, ended, larger = before
                if start < begun:
                    raise InputError(
                        "--to",
                        f"expected windows in the order of their starts for .bedgraph, received {chromosome}:"
                        f"{start + 1}-{end} after {chromosome}:{begun + 1}-{ended}.",
                    )
                if start == begun:
                    before = chromosome, start, max(end, ended), max(probability, larger)
                    continue
                before = chromosome, begun, min(ended, start), larger
            if before:
                file.write(_line(*before))
            before = chromosome, start, end, probability
        if before:
            file.write(_line(*before))


def _line(chromosome, start, end, probability):
    return f"{chromosome}\t{start}\t{end}\t{probability:.4f}\n"


# Pictures.


def plot_answers(parts, found, path):
    """Writes a PNG of the effects of mutations on the first 8 of the answers, see `mutagenesis`.

    Raises:
        InputError: if the labels are those of bases.
    """
    from pipelines.evaluation import logos

    if parts.extras.known["kind"] == "positions":
        raise InputError(
            "--to",
            "expected .bed, .jsonl, .csv or .html for labels of bases, received .png, which shows the effects of "
            "mutations on the label of a sequence.",
        )
    sequences = [answer["sequence"] for answer in itertools.islice(found, MAPS)]
    logos.mutagenesis_map(maps(parts, sequences), path)


WRITERS = {".bed": write_bed, ".bedgraph": write_bedgraph, ".png": plot_answers}


def plot_run(parts, folder, history, metrics, splits):
    """Plots curves, the confusion matrix, curves of the errors, effects of mutations and motifs.

    A picture that this kind of label does not have says so.
    """
    from pipelines.evaluation import logos, pictures

    labels, kind = parts.extras.constants["labels"], parts.extras.known["kind"]
    folder.write("curves.png", lambda path: pictures.curves(history, path))
    if kind == "several":
        folder.write("confusion.png", lambda path: logos.nothing("no confusion of several labels", path))
    else:
        folder.write("confusion.png", lambda path: pictures.confusion(metrics["confusion"], labels, path))

    rows = _drawn(list(splits["validation"].as_numpy_iterator()), PLOTTED_BASES)[:PLOTTED]
    probabilities, truth = _asked(parts, rows)
    folder.write("roc.png", lambda path: logos.roc(probabilities, truth, labels, path))
    by_label = {}
    for sequence, label in rows:
        by_label.setdefault(label, []).append(sequence.decode())
    in_turn = (one for some in itertools.zip_longest(*by_label.values()) for one in some if one)
    shown = [] if kind == "positions" else maps(parts, list(itertools.islice(in_turn, RUN_MAPS)))
    folder.write("mutagenesis.png", lambda path: logos.mutagenesis_map(shown, path))
    found = motifs(parts, [sequence.decode() for sequence, _ in rows[:OF_MOTIFS]])
    folder.write("motifs.png", lambda path: logos.motif_logos(found, path))


def _asked(parts, rows):
    """Probabilities `(n, labels)` and true labels, `(n,)` or `(n, labels)`, of raw examples or of all their bases."""
    labels, kind = parts.extras.constants["labels"], parts.extras.known["kind"]
    sequences, probabilities, truth = [sequence for sequence, _ in rows], [], []
    for batch in portions(sequences, AT_ONCE, BASES_AT_ONCE):
        found = np.asarray(parts.ask([sequences[row] for row in batch])["probabilities"])
        some = [rows[row] for row in batch]
        if kind == "positions":
            found = np.concatenate([one[: len(label)] for one, (_, label) in zip(found, some, strict=True)])
            truth.append(_classes(some, labels))
        else:
            truth.append(_read(some, labels, kind)[1])
        probabilities.append(found)
    return np.concatenate(probabilities), np.concatenate(truth)
