"""What a network of DNA looks at: the effect of each mutation, and the motifs of its first layer."""

import numpy as np
import tensorflow as tf

from data.transforms import dna
from pipelines.evaluation.portions import portions

AT_ONCE, BASES_AT_ONCE = 1024, 250_000  # sequences in a batch, and their bases with padding, at most
MUTATED = 2000  # bases of a sequence that are mutated, at most


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
    return log_odds(parts, parts.answer(parts.scores(codes), None)["probabilities"])


def log_odds(parts, probabilities):
    """log(p / (1 - p)), in nats, of `(batch, labels)` probabilities of all labels; p and 1 - p are at least 1e-7."""
    p = np.asarray(probabilities, "float64")
    # Near 1, single precision is too coarse for 1 - p; the sum of the other labels' probabilities is not.
    one = parts.extras.known["kind"] == "one"
    rest = (p.sum(axis=1, keepdims=True) if one else 1) - p
    return np.log(np.clip(p, 1e-7, 1)) - np.log(np.clip(rest, 1e-7, 1))


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
