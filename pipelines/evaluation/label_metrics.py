"""Metrics of a label, of several labels, or of a label at each base.

With TP, FP, FN and TN, the counts of right and wrong answers for one label against the rest:

    precision = TP / (TP + FP)        recall = TP / (TP + FN)        F1 = 2 TP / (2 TP + FP + FN)
    MCC = (TP TN - FP FN) / sqrt((TP + FP) (TP + FN) (TN + FP) (TN + FN))

AUROC is the area under the curve of recall by the share of the rest that is answered wrongly; AUPRC, the average
precision, that under the curve of precision by recall. A metric that is not defined, because all examples have the same
label, is left out.

Source of the coefficient for several classes: "Comparing two K-category assignments by a K-category correlation
coefficient", J. Gorodkin, 2004, equation 8.
"""

import numpy as np

from pipelines.evaluation import classification

RESAMPLES = 1000  # of the examples, for an interval
RESAMPLED = 20_000_000  # examples in all resamples together for the interval of an area, at most, about


def metrics_of_one(probabilities, truth, labels):
    """As `sequences.evaluate`, from `(examples, classes)` probabilities and `(examples,)` true classes."""
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
    """As `sequences.evaluate`, from `(examples, labels)` probabilities and `(examples, labels)` true labels, 0 or 1."""
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
    """As `sequences.evaluate`, of labels of bases.

    `found` are pairs of `(batch, timesteps, labels)` probabilities and `(batch, timesteps)` true labels; those below 0
    are padding. One batch is in memory at a time.
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
    """95 % confidence intervals of accuracy, MCC and AUROC, as in `sequences.evaluate`, by the bootstrap over examples.

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
