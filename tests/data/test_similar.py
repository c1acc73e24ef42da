"""Clusters against all pairs compared by brute force; folds that keep them together."""

import collections

import numpy as np
import pytest
from Bio.Seq import Seq
from scipy.sparse.csgraph import connected_components

from data.similar import clusters, folds


def random_letters(rng, count):
    return "".join(rng.choice(list("ACGT"), count))


def changed(rng, sequence, share):
    return "".join(rng.choice(list("ACGT")) if rng.random() < share else one for one in sequence)


def family(rng, size, length=150, share=0.05):
    """Copies of one sequence with some letters drawn anew, some of them on the other strand."""
    first = random_letters(rng, length)
    copies = [first, *(changed(rng, first, share) for _ in range(size - 1))]
    return [str(Seq(one).reverse_complement()) if rng.random() < 0.5 else one for one in copies]


def by_brute_force(sequences, k, threshold):
    """The connected components of all pairs whose exact similarity is large enough."""
    sets = []
    for sequence in sequences:
        found = {sequence[start : start + k] for start in range(len(sequence) - k + 1)}
        sets.append({min(one, str(Seq(one).reverse_complement())) for one in found})
    similar = np.array([[len(one & other) / len(one | other) for other in sets] for one in sets])
    return connected_components(similar >= threshold)[1]


def same(one, other):
    """Whether two arrays divide their examples in the same way."""
    return ((one[:, None] == one) == (other[:, None] == other)).all()


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("threshold", [0.3, 0.5])
def test_clusters_are_those_of_all_pairs(seed, threshold):
    rng = np.random.default_rng(seed)
    sequences = [one for size in (1, 1, 1, 2, 4, 9) for one in family(rng, size, share=0.04)]
    rng.shuffle(sequences)
    expected = by_brute_force(sequences, 8, threshold)
    assert 6 <= len(set(expected)) < len(sequences)
    found = clusters(sequences, threshold=threshold)
    assert same(found, expected) and found.dtype == "int64"
    assert list(dict.fromkeys(found.tolist())) == list(range(len(set(expected))))
    np.testing.assert_array_equal(clusters(sequences, threshold=threshold), found)


def test_only_canonical_kmers_join_both_strands():
    rng = np.random.default_rng(3)
    first = random_letters(rng, 100)
    pair = [first, str(Seq(first).reverse_complement())]
    assert clusters(pair).tolist() == [0, 0]
    assert clusters(pair, canonical=False).tolist() == [0, 1]


def test_any_strings_can_be_compared():
    texts = ["the cat sat on the mat", "été à la mer", "the cat sat on the mat!", "été à la mer!", "", "a", ""]
    assert clusters(texts, k=3, canonical=False).tolist() == [0, 1, 0, 1, 2, 3, 2]
    assert clusters([]).tolist() == []


def test_unrelated_sequences_stay_apart():
    rng = np.random.default_rng(4)
    sequences = [random_letters(rng, rng.integers(50, 2000)) for _ in range(60)]
    assert clusters(sequences).tolist() == list(range(60))


@pytest.mark.parametrize("settings", [{"k": 0}, {"threshold": 0}, {"threshold": 1.1}])
def test_a_setting_out_of_range_is_named(settings):
    with pytest.raises(ValueError, match="`k` must be positive, `threshold` in"):
        clusters(["ACGT"], **settings)


@pytest.mark.parametrize("labelled", [False, True])
def test_folds_keep_groups_together_are_of_equal_size_and_spread_labels(labelled):
    rng = np.random.default_rng(5)
    sizes = rng.integers(1, 8, size=150)
    groups = rng.permutation(np.repeat(rng.permutation(1000)[:150], sizes))
    labels = np.array(["a" if one % 3 else "b" for one in groups])

    found = folds(groups, 5, seed=0, labels=labels if labelled else None)

    assert found.dtype == "int64" and set(found) == set(range(5))
    assert all(len(set(found[groups == group])) == 1 for group in set(groups))
    counts = np.bincount(found)
    assert counts.max() - counts.min() <= 0.02 * len(groups)
    if labelled:
        shares = [np.mean(labels[found == fold] == "a") for fold in range(5)]
        assert max(shares) - min(shares) < 0.02
    np.testing.assert_array_equal(folds(groups, 5, 0, labels if labelled else None), found)
    assert not same(folds(groups, 5, 1, labels if labelled else None), found)


def test_similar_sequences_are_in_one_fold():
    rng = np.random.default_rng(6)
    families = [family(rng, 4, share=0.03) for _ in range(12)]
    sequences = [one for some in families for one in some]
    found = folds(clusters(sequences), 3, seed=0, labels=["xy"[place % 2] for place in range(48)])
    assert all(len(set(found[4 * one : 4 * one + 4])) == 1 for one in range(12))
    assert collections.Counter(found.tolist()) == {0: 16, 1: 16, 2: 16}


def test_labels_may_be_rarer_than_folds():
    assert sorted(folds(range(6), 3, 0, labels=list("aaaaab")).tolist()) == [0, 0, 1, 1, 2, 2]
    assert sorted(folds(range(6), 3, 0, labels=list("abcdef")).tolist()) == [0, 0, 1, 1, 2, 2]
    with pytest.raises(ValueError, match="`count` must be in 2 ... the number of groups, 2. Received: count=3"):
        folds([1, 1, 2], 3, 0)


def test_the_ends_of_the_threshold_join_equal_ones_and_distant_relatives():
    one, other = "ACGTTGCATTGACCAGT", "TTTTTCCCCCAAAGGGG"
    assert clusters([one, other, one], k=4, threshold=1).tolist() == [0, 1, 0]
    assert clusters([one, one[:-1], other], k=4, threshold=1).tolist() == [0, 1, 2]
    assert clusters([one, one + other, other], k=4, threshold=0.1).tolist() == [0, 0, 0]
