"""Sequences that are alike: clusters of them, and folds for cross-validation that keep a cluster together.

Similar examples in training and test data make a test optimistic. Two sequences are similar if they share most of their
k-mers. Libraries are imported where they are used: scikit-learn takes a second.
"""

import warnings

import numpy as np

from data.transforms.dna import reverse_complement

PERMUTATIONS = 128  # of a MinHash
PROPOSED = 0.9  # pairs of this similarity are proposed at least; the library has no index for 1
# MinHash is to miss few pairs; pairs that it proposes in vain cost an exact comparison each.
WEIGHTS = (0.1, 0.9)  # of pairs proposed in vain, and of pairs missed


def clusters(sequences, *, k=8, threshold=0.4, seed=0, canonical=True):
    """Joins sequences whose sets of k-mers have a Jaccard similarity of `threshold` or more, directly or by others.

        J(A, B) = |A ∩ B| / |A ∪ B|

    MinHash proposes pairs (locality-sensitive hashing), whose similarity is then computed exactly. It misses some six
    in a hundred pairs at the threshold of 0.4, and fewer than one at 0.5; most of them are joined by others.

    Source: "On the resemblance and containment of documents", Broder, 1997.

    Args:
        sequences: Strings, such as DNA in upper case.
        k: Letters of a k-mer, a positive integer. A shorter sequence is one k-mer by itself.
        threshold: Smallest similarity of two sequences that are joined, in (0, 1].
        seed: Of the hash functions.
        canonical: Whether a k-mer and its reverse complement are one, so that a sequence is
            similar to its other strand. A and T, C and G are complementary, and the ambiguous letters as in
            `data.transforms.dna`. False for strings that are no DNA.

    Returns:
        `(sequences,)` int64: the number of the cluster of each sequence, in the order of their first sequences, from 0.

    Raises:
        ValueError: if `k` or `threshold` is out of its range.

    Example:
        >>> clusters(["ACGTTGCATTGACC", "TTTTTTTTTTTTTT", "GGTCAATGCAACGT"], k=4).tolist()
        [0, 1, 0]
    """
    if k < 1 or not 0 < threshold <= 1:
        raise ValueError(f"`k` must be positive, `threshold` in (0, 1]. Received: k={k}, threshold={threshold}.")
    from datasketch import MinHash, MinHashLSH

    known = {}  # k-mer -> number; its reverse complement has the same
    sets = [_kmers(sequence, k, canonical, known) for sequence in sequences]
    index = MinHashLSH(threshold=min(threshold, PROPOSED), num_perm=PERMUTATIONS, weights=WEIGHTS)
    empty = MinHash(num_perm=PERMUTATIONS, seed=seed, hashfunc=int)
    parents = list(range(len(sets)))
    for place, kmers in enumerate(sets):
        sketch = empty.copy()
        sketch.update_batch(kmers.tolist())
        for other in sorted(index.query(sketch)):
            ours, theirs = _root(parents, place), _root(parents, other)
            if ours != theirs and _jaccard(kmers, sets[other]) >= threshold:
                parents[max(ours, theirs)] = min(ours, theirs)
        index.insert(place, sketch, check_duplication=False)
    roots = [_root(parents, place) for place in range(len(sets))]
    numbers = {root: number for number, root in enumerate(dict.fromkeys(roots))}
    return np.array([numbers[root] for root in roots], "int64")


def _kmers(sequence, k, canonical, known):
    """The numbers of a sequence's k-mers, in increasing order, each once; a new k-mer gets a number."""
    found = set()
    for place in range(max(len(sequence) - k + 1, 1)):  # in order, so that the numbers are the same in each process
        one = sequence[place : place + k]
        number = known.get(one)
        if number is None:
            number = known[one] = len(known)
            if canonical:
                known[reverse_complement(one)] = number
        found.add(number)
    return np.sort(np.fromiter(found, "int64", len(found)))


def _jaccard(one, other):
    shared = np.intersect1d(one, other, assume_unique=True).size
    return shared / (one.size + other.size - shared)


def _root(parents, place):
    """The first sequence of a cluster; the path to it is halved on the way."""
    while parents[place] != place:
        parents[place] = parents[parents[place]]
        place = parents[place]
    return place


def folds(groups, count, seed, labels=None):
    """Divides examples into folds of about equal size; the examples of a group are in one fold.

    Args:
        groups: `(examples,)` integers or strings, the group of each example, such as the result of `clusters`.
        count: Number of folds, 2 or more, and at most the number of groups.
        seed: Decides between divisions that are equally good.
        labels: `(examples,)` labels, which are spread over the folds as evenly as whole groups allow; None ignores
            them.

    Returns:
        `(examples,)` int64: the fold of each example, in [0, count).

    Raises:
        ValueError: if there are fewer groups than folds.

    Example:
        >>> found = folds([7, 7, 8, 8, 9, 9], 3, seed=0)
        >>> sorted(found.tolist()), bool(found[0] == found[1])
        ([0, 0, 1, 1, 2, 2], True)
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    _, groups = np.unique(np.asarray(groups), return_inverse=True)
    number = len(np.unique(groups))
    if not 2 <= count <= number:
        raise ValueError(f"`count` must be in 2 ... the number of groups, {number}. Received: count={count}.")
    # Groups of equal size are taken in the order of their numbers.
    groups = np.random.default_rng(seed).permutation(number)[groups]
    labels = None if labels is None else np.unique(np.asarray(labels), return_inverse=True)[1]
    # scikit-learn needs a label that occurs in each fold.
    spread = labels is not None and np.bincount(labels).max() >= count
    kind = StratifiedGroupKFold(count, shuffle=True, random_state=seed) if spread else GroupKFold(count)
    found = np.zeros(len(groups), "int64")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels that are rarer than folds
        for fold, (_, held_out) in enumerate(kind.split(groups, labels if spread else None, groups)):
            found[held_out] = fold
    return found
