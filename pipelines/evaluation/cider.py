"""CIDEr-D, the agreement of a caption with the reference captions of its image, for many captions at once."""

import numpy as np
import scipy.sparse

from pipelines.evaluation.ngrams import LONGEST, integers, ngrams, paired, tokens_of

SIGMA = 6.0  # standard deviation, in tokens, of the Gaussian penalty of a difference in length
SCALE = 10.0


class CiderD:
    r"""CIDEr-D: TF-IDF weighted n-grams that a caption shares with its references, for captions as token ids.

        g_k(s)   = (count of n-gram k in s) log(images / max(1, images with k in a reference))
        D_n(c,r) = exp(-(l(c) - l(r))² / (2 σ²)) Σ_k min(g_k(c), g_k(r)) g_k(r) / (‖g(c)‖ ‖g(r)‖)
        CIDEr-D  = 10 mean_n mean_r D_n(c, r)                                      n = 1, 2, 3, 4, σ = 6

    l is the number of tokens, k runs over the n-grams of one length n, and the minimum clips: to repeat an n-gram more
    often than a reference does is of no use. A quotient whose denominator is 0 is 0.

    The scale is that of the authors' code and of the COCO evaluation: 0 to 10 for one caption. Published tables show
    the mean over captions times 100, so that a mean of 0.94 is their 94.

    The sequences are read as they come: whoever wants the end of a caption to count, as self-critical training does,
    leaves the token of the end in both candidates and references.

    Source: R. Vedantam et al., "CIDEr: Consensus-based Image Description Evaluation", 2015, arXiv:1411.5726, equations
    1 and 4. Equation 1 divides a count by the number of n-grams in s; the authors' code does not, which changes the
    minimum, and neither does this.

    Args:
        references: Integers `(images, references, timesteps)`, the corpus that the document frequencies are counted
            in; one document is all references of one image. A negative number ends a sequence, and a sequence that
            begins with one is not there, as images may have different numbers of references.

    Raises:
        ValueError: if `references` is not an array of integers with three axes, or has no image.

    Example:

        >>> references = np.array([[[0, 1, 2, 3], [0, 1, 4, -1]], [[5, 6, 7, 8], [5, 6, 3, -1]]])
        >>> cider = CiderD(references)
        >>> cider.scores([[0, 1, 2, 3], [5, 8, -1, -1]], references).round(2).tolist()
        [6.33, 1.45]
    """

    def __init__(self, references):
        references = integers("CiderD", references, "references", 3)
        images, several, timesteps = references.shape
        if not images:
            raise ValueError(f"CiderD: `references` must have an image. Received: shape {references.shape}.")
        self.most = np.log(images)  # the weight of an n-gram that no reference contains
        self.known = []  # for each length: (sorted keys of the n-grams, their weights)
        for keys, base, rows, numbers in ngrams(references.reshape(images * several, timesteps)):
            in_an_image = np.unique(rows // several * max(len(keys), 1) + numbers) % max(len(keys), 1)
            weights = self.most - np.log(np.bincount(in_an_image, minlength=len(keys)))
            self.known.append((keys, weights))
            self.base = base

    def scores(self, candidates, references):
        """CIDEr-D of each candidate.

        Args:
            candidates: Integers `(n, timesteps)`; a negative number ends a sequence.
            references: Integers `(n, references, timesteps)`: those of each candidate, which need not be in the corpus;
                as in the constructor, and its number of timesteps may differ from that of the candidates.

        Returns:
            `(n,)` float64 in [0, 10]; 0 for a candidate that is empty or has no references.

        Raises:
            ValueError: if the arrays are not integers of these shapes.
        """
        sequences, which = paired("CiderD", candidates, references)
        n, several = which.shape
        counts, squares = self._counted(sequences)
        lengths = tokens_of(sequences)

        norms = np.sqrt(counts.power(2) @ squares)  # (sequences, lengths of n-grams)
        c, r = np.repeat(np.arange(n), several), which.reshape(-1)  # the pairs
        pairs = np.flatnonzero((lengths[c] > 0) & (lengths[r] > 0))
        c, r = c[pairs], r[pairs]
        theirs = counts[r]
        shared = counts[c].minimum(theirs).multiply(theirs).tocsr() @ squares  # (pairs, lengths of n-grams)
        both = norms[c] * norms[r]
        cosines = np.divide(shared, both, out=np.zeros_like(shared), where=both > 0).mean(axis=1)
        penalty = np.exp(-((lengths[c] - lengths[r]) ** 2) / (2 * SIGMA**2))
        total = np.bincount(c, cosines * penalty, minlength=n)
        there = (lengths[which] > 0).sum(axis=1)
        return SCALE * total / np.maximum(there, 1)

    def _counted(self, sequences):
        """(counts, squares): how often each n-gram of any length is in each of `sequences`, a sparse matrix
        `(sequences, n-grams)`; the squared weight of each n-gram, `(n-grams, LONGEST)`, in the column of its length.
        """
        rows, columns, squares, places = [], [], [], []  # places: of this length's n-grams in the corpus, or -1
        upto = 0
        for length, (keys, base, row, number) in enumerate(ngrams(sequences)):
            if length:
                before, last = np.divmod(keys, base)  # numbers of the first n - 1 tokens and of the last one
                known_before, known_last = places[-1][before], places[0][last]
                wanted = np.where((known_before >= 0) & (known_last >= 0), known_before * self.base + known_last, -1)
            else:
                wanted = keys
            known, weights = self.known[length]
            place = _places(known, wanted)
            weight = np.full(len(keys), self.most)
            weight[place >= 0] = weights[place[place >= 0]]
            square = np.zeros((len(keys), LONGEST))
            square[:, length] = weight**2
            rows.append(row)
            columns.append(number + upto)
            squares.append(square)
            places.append(place)
            upto += len(keys)
        row, column = np.concatenate(rows), np.concatenate(columns)
        counts = scipy.sparse.csr_array((np.ones(len(row)), (row, column)), shape=(len(sequences), upto))
        counts.sum_duplicates()
        return counts, np.concatenate(squares)


def _places(known, wanted):
    """The place of each of `wanted` in the sorted `known`, -1 for what is not in it."""
    if not len(known):
        return np.full(len(wanted), -1)
    place = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.where(known[place] == wanted, place, -1)
