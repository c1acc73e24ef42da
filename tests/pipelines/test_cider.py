import collections
import math

import numpy as np
import pytest

from pipelines.evaluation.cider import CiderD

REFERENCES = [
    [
        "two young girls are playing with a lego toy",
        "two girls play with lego bricks on the floor",
        "children build with toys",
    ],
    ["a man in a red shirt climbs a rock", "a climber in red on a steep rock face", "a man climbs"],
    [
        "a dog runs through the grass",
        "a brown dog runs through tall green grass",
        "the dog is running in a field",
        "a dog a dog a dog",
    ],
    ["a small boat on a lake"],
]
CANDIDATES = [
    "two young girls are playing with lego toy",
    "a man in a red shirt climbs a rock",
    "a dog a dog a dog a dog runs through the grass and then through the water of a lake",
    "boat",
]
# What the authors' scorer gave for these (PyPI: pycocoevalcap 1.2, cider_scorer.CiderScorer).
PUBLISHED = [3.0963242082, 4.1337217153, 0.1939047606, 1.0127162255]


def padded(sentences, timesteps):
    return np.array([[*sentence, *[-1] * (timesteps - len(sentence))] for sentence in sentences])


def numbered(references, candidates, timesteps=24):
    """Texts as arrays of numbers of words, with as many references for each image as the image with most has."""
    words = collections.defaultdict(lambda: len(words))
    ids = lambda text: [words[word] for word in text.split()]
    most = max(map(len, references))
    those = [padded([*map(ids, some), *[[]] * (most - len(some))], timesteps) for some in references]
    return np.stack(those), padded(map(ids, candidates), timesteps)


def read_slowly(corpus, candidate, references):
    """CIDEr-D of one caption, from lists of tokens, as the paper has it but for its term frequencies, which are counts
    as in the authors' code."""

    def grams(sentence, n):
        return collections.Counter(tuple(sentence[k : k + n]) for k in range(len(sentence) - n + 1))

    def weighed(sentence, n):
        with_it = lambda gram: sum(any(gram in grams(one, n) for one in some) for some in corpus)
        return {g: count * math.log(len(corpus) / max(1, with_it(g))) for g, count in grams(sentence, n).items()}

    total = 0.0
    for n in (1, 2, 3, 4):
        c = weighed(candidate, n)
        for reference in references:
            r = weighed(reference, n)
            shared = sum(min(c[gram], r[gram]) * r[gram] for gram in c if gram in r)
            norms = math.dist(c.values(), [0] * len(c)) * math.dist(r.values(), [0] * len(r))
            penalty = math.exp(-((len(candidate) - len(reference)) ** 2) / (2 * 6**2))
            total += penalty * shared / norms if norms else 0
    return 10 * total / 4 / len(references)


def test_scores_are_those_of_the_authors_code():
    references, candidates = numbered(REFERENCES, CANDIDATES)
    np.testing.assert_allclose(CiderD(references).scores(candidates, references), PUBLISHED, rtol=0, atol=1e-9)


def test_scores_equal_those_worked_by_hand():
    references = np.array([[[0, 1, 2, 3], [0, 1, 4, -1]], [[5, 6, 7, 8], [5, 6, 3, -1]]])
    found = CiderD(references).scores([[0, 1, 2, 3], [5, 8, -1, -1]], references)
    # All weights are log 2, but that of 3, which is in both images: 0.
    first = [4 / 4, (2 / 3 + 1 / math.sqrt(6)) / 4 * math.exp(-1 / 72)]
    second = [2 / math.sqrt(8) / 4 * math.exp(-4 / 72), 1 / 2 / 4 * math.exp(-1 / 72)]
    np.testing.assert_allclose(found, [10 * np.mean(first), 10 * np.mean(second)], rtol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_a_slow_reading_of_the_paper(seed):
    rng = np.random.default_rng(seed)
    sentence = lambda most, tokens=7: rng.integers(0, tokens, rng.integers(0, most)).tolist()
    corpus = [[sentence(9) or [0] for _ in range(rng.integers(1, 4))] for _ in range(12)]
    # Of the scored images some are in the corpus; others have tokens, and so n-grams, that it has not.
    of = [corpus[k % 12] if k % 3 else [sentence(9, 10) or [1] for _ in range(2)] for k in range(40)]
    candidates = [some[0] + sentence(5) if k % 2 else sentence(12, 11) for k, some in enumerate(of)]
    arrays = [np.stack([padded([*some, *[[]] * (3 - len(some))], 10) for some in all_]) for all_ in (corpus, of)]
    found = CiderD(arrays[0]).scores(padded(candidates, 16), arrays[1])
    wanted = [read_slowly(corpus, *one) for one in zip(candidates, of, strict=True)]
    assert min(wanted) == 0 and max(wanted) > 3
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_reference_scores_10_against_itself_and_repetition_gains_nothing():
    references, _ = numbered([["a dog runs fast"], ["two cats sleep here"]], [""])
    cider = CiderD(references)
    np.testing.assert_allclose(cider.scores(references[:, 0], references), [10, 10])
    _, repeated = numbered([["a dog runs fast"], ["two cats sleep here"]], ["a dog runs fast", "dog " * 12])
    whole, repeated = cider.scores(repeated, references[[0, 0]])
    assert repeated < 0.1 * whole


def test_the_answer_depends_on_neither_the_numbers_of_tokens_nor_what_follows_the_end():
    references, candidates = numbered(REFERENCES, CANDIDATES)
    wanted = CiderD(references).scores(candidates, references)
    other = np.random.default_rng(0).permutation(2**40 + np.arange(max(references.max(), candidates.max()) + 1))
    renamed = [np.where(array < 0, -7, other[array]) for array in (references, candidates)]
    np.testing.assert_allclose(CiderD(renamed[0]).scores(renamed[1], renamed[0]), wanted, rtol=1e-12)
    dirty = [array.copy() for array in (references, candidates)]
    for array in dirty:
        array[..., 1:][(array[..., 1:] < 0) & (array[..., :-1] < 0)] = 3
    np.testing.assert_allclose(CiderD(dirty[0]).scores(dirty[1], dirty[0]), wanted, rtol=1e-12)


def test_empty_captions_and_captions_without_references_score_0():
    references, candidates = numbered(REFERENCES, CANDIDATES)
    cider = CiderD(references)
    assert cider.scores(np.full((4, 3), -1), references).tolist() == [0] * 4
    assert cider.scores(candidates, np.full((4, 2, 5), -1)).tolist() == [0] * 4
    assert cider.scores(candidates[:0], references[:0]).shape == (0,)
    assert CiderD(references[:1]).scores(candidates[:1], references[:1]).tolist() == [0]  # one image weighs nothing
    none = CiderD(np.full((4, 1, 4), -1))  # no n-gram is in it: all weigh the same
    np.testing.assert_allclose(none.scores(references[:, 0], references[:, :1]), [10] * 4)


def test_what_is_no_array_of_token_ids_is_named():
    references, candidates = numbered(REFERENCES, CANDIDATES)
    cider = CiderD(references)
    with pytest.raises(
        ValueError, match=r"`references` must be integers with 3 axes. Received: int64, shape \(4, 24\)"
    ):
        CiderD(candidates)
    with pytest.raises(ValueError, match="`candidates` must be integers with 2 axes. Received: float64"):
        cider.scores(candidates.astype(float), references)
    with pytest.raises(ValueError, match="`references` must be those of 4 candidates. Received: shape .3, 4, 24"):
        cider.scores(candidates, references[:3])
    with pytest.raises(ValueError, match="must have an image"):
        CiderD(references[:0])
