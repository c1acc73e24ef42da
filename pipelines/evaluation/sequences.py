"""Metrics, baselines and display of a classifier of DNA: a label, several labels, or a label at each base.

`parts.extras.known["kind"]` says which: "one", "several" or "positions"; `label_metrics` defines the metrics.
"""

import itertools

import numpy as np
import tensorflow as tf

from data.files import InputError
from data.transforms import dna
from layers.crf import best_tags, marginals
from pipelines.evaluation import classification, linear_baselines, markup
from pipelines.evaluation.label_metrics import metrics_of_one, metrics_of_positions, metrics_of_several
from pipelines.evaluation.mutagenesis import AT_ONCE, BASES_AT_ONCE, motifs, mutagenesis
from pipelines.evaluation.portions import portions
from pipelines.evaluation.tracks import write_bed, write_bedgraph

PICTURES = ("curves.png", "confusion.png", "roc.png", "mutagenesis.png", "motifs.png")
MAPS, RUN_MAPS = 8, 6  # sequences in a picture of mutations, at most: of answers, and of a run
MAPPED = 500  # bases of each of them that are mutated, at most
PLOTTED, PLOTTED_BASES = 5000, 2_000_000  # validation sequences that pictures are made of, and their bases, at most
OF_MOTIFS = 1000  # those of them that motifs are read from, at most
SHOWN_BASES = 60  # bases of a sequence in a line of text
SHOWN_LABELS = 40  # labels in a table of metrics

baselines = linear_baselines.baselines


def evaluate(parts, data, examples):
    """Metrics on prepared examples `data`, all shares in [0, 1]; the raw `examples` are not used.

    Returns:
        Dictionary of `examples` and `labels`, and for the kind of label

        "one": `accuracy`, `macro_f1`, `auroc` and `auprc` (two classes: of the second one; more: mean of one against
            the rest), `mcc`, `calibration_error` and `confusion` as in `classification.evaluate`; `classes`: label ->
            `examples`, `precision`, `recall`, `f1`, `auroc`, `auprc` and `mcc` of this label against the rest;
            `interval`: name -> [low, high], the 95 % confidence interval of accuracy, MCC and AUROC;
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


# Pictures.


def maps(parts, sequences):
    """Input of `logos.mutagenesis_map`: (title, letters, effects) of each sequence."""
    found = []
    for sequence, answer in zip(sequences, answers(parts, sequences), strict=True):
        by_label = answer["probabilities"]
        label = max(by_label, key=by_label.get)
        letters = dna.letters(parts.features(tf.constant([sequence]))).numpy()[0].decode()  # those that are read
        found.append((f"{label}  {by_label[label]:.2f}", letters, mutagenesis(parts, sequence, MAPPED)))
    return found


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

    rows = linear_baselines.drawn(list(splits["validation"].as_numpy_iterator()), PLOTTED_BASES)[:PLOTTED]
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
            found = np.concatenate([one[: len(label.decode())] for one, (_, label) in zip(found, some, strict=True)])
            truth.append(linear_baselines.base_classes(some, labels))
        else:
            truth.append(linear_baselines.read(some, labels, kind)[1])
        probabilities.append(found)
    return np.concatenate(probabilities), np.concatenate(truth)
