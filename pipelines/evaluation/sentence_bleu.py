"""BLEU of single captions, for many captions at once."""

import functools

import numpy as np
import scipy.sparse

from pipelines.evaluation.ngrams import LONGEST, ngrams, paired, tokens_of


def sentence_bleu(candidates, references):
    r"""The mean of BLEU-1, BLEU-2, BLEU-3 and BLEU-4 of each candidate.

        p_1    = m_1 / t_1        p_n = (m_n + 1) / (t_n + 1)        n = 2, 3, 4
        BLEU-n = exp(min(0, 1 - l(r) / l(c))) (p_1 ... p_n)^(1/n)

    t_n is the number of n-grams of the candidate c, and m_n how many of them a reference has, each at most as often as
    the reference that has it most. r is the reference whose length l is closest to that of c, the shorter of two. The
    1 that is added keeps a caption without a common 4-gram above 0, so that the better of two such captions shows.

    The sequences are read as they come, as by `CiderD`.

    Source: K. Papineni et al., "BLEU: a Method for Automatic Evaluation of Machine Translation", 2002, section 2;
    smoothing: C.-Y. Lin and F. Och, "ORANGE: a Method for Evaluating Automatic Evaluation Metrics for Machine
    Translation", 2004, section 4.

    Args:
        candidates: Integers `(n, timesteps)`; a negative number ends a sequence.
        references: Integers `(n, references, timesteps)`: those of each candidate; a sequence that begins with a
            negative number is not there, as images may have different numbers of references.

    Returns:
        `(n,)` float64 in [0, 1]; 0 for a candidate that is empty or has no references.

    Raises:
        ValueError: if the arrays are not integers of these shapes.

    Example:

        >>> sentence_bleu([[0, 1, 2, 3], [5, 8, -1, -1]], [[[0, 1, 2, 3]], [[5, 6, 7, -1]]]).round(2).tolist()
        [1.0, 0.35]
    """
    sequences, which = paired("sentence_bleu", candidates, references)
    n, several = which.shape
    if not several:
        return np.zeros(n)
    lengths = tokens_of(sequences)
    c, r = lengths[:n], lengths[which]
    differences = np.where(r > 0, 2 * np.abs(r - c[:, None]) + (r > c[:, None]), np.iinfo("int64").max)
    closest = r[np.arange(n), differences.argmin(axis=1)]

    precisions = []
    for length, (keys, _, rows, numbers) in enumerate(ngrams(sequences), 1):
        shape = len(sequences), max(len(keys), 1)
        counts = scipy.sparse.csr_array((np.ones(len(rows)), (rows, numbers)), shape=shape)
        counts.sum_duplicates()
        most = functools.reduce(lambda x, y: x.maximum(y), (counts[row] for row in which.T))
        matched, total = counts[:n].minimum(most).sum(axis=1), np.maximum(c - length + 1, 0)
        smooth = length > 1
        precisions.append((matched + smooth) / np.maximum(total + smooth, 1))
    with np.errstate(divide="ignore"):
        means = np.cumsum(np.log(precisions), axis=0) / np.arange(1, LONGEST + 1)[:, None]
    penalty = np.minimum(0, 1 - closest / np.maximum(c, 1))
    return np.where((c > 0) & (closest > 0), np.exp(penalty + means).mean(axis=0), 0.0)
