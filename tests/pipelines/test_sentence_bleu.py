import numpy as np
import pytest
import sacrebleu

from pipelines.evaluation.sentence_bleu import sentence_bleu


def padded(sentences, timesteps):
    return np.array([[*sentence, *[-1] * (timesteps - len(sentence))] for sentence in sentences])


def read_slowly(candidate, references):
    """The same by sacrebleu, from lists of tokens."""
    text = lambda tokens: " ".join(map(str, tokens))
    metric = lambda n: sacrebleu.BLEU(
        max_ngram_order=n, smooth_method="add-k", smooth_value=1, tokenize="none", effective_order=True
    )
    given = text(candidate), [text(one) for one in references]
    return np.mean([metric(n).sentence_score(*given).score for n in (1, 2, 3, 4)]) / 100


@pytest.mark.parametrize("seed", range(3))
def test_scores_are_those_of_sacrebleu(seed):
    rng = np.random.default_rng(seed)
    sentence = lambda least, most, tokens=6: rng.integers(0, tokens, rng.integers(least, most)).tolist()
    references = [[sentence(2, 12) for _ in range(rng.integers(1, 5))] for _ in range(60)]
    # Parts of references, so that long n-grams are shared; with words that no reference has.
    candidates = [some[0][: k % 12] + sentence(1, 9, 20) for k, some in enumerate(references)]
    found = sentence_bleu(
        padded(candidates, 80), np.stack([padded([*some, *[[]] * (4 - len(some))], 12) for some in references])
    )
    wanted = [read_slowly(*one) for one in zip(candidates, references, strict=True)]
    assert min(wanted) < 0.2 and max(wanted) > 0.5
    np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_a_reference_scores_1_and_its_parts_less():
    references = np.array([[[3, 1, 4, 1, 5, 9], [2, 7, 1, -1, -1, -1]]] * 3)
    found = sentence_bleu([[3, 1, 4, 1, 5, 9], [2, 7, 1, -1, 8, 8], [3, 1, -1, -1, -1, -1]], references)
    np.testing.assert_allclose(found[:2], 1)
    np.testing.assert_allclose(found[2], np.exp(1 - 3 / 2))  # the closest reference has three tokens


def test_empty_captions_and_captions_without_references_score_0():
    references = np.array([[[3, 1, 4], [-1, 0, 0]]] * 2)
    assert sentence_bleu(np.full((2, 3), -1), references).tolist() == [0, 0]
    assert sentence_bleu(references[:, 0], np.full((2, 2, 5), -1)).tolist() == [0, 0]
    assert sentence_bleu(references[:, 0], references[:, :0]).tolist() == [0, 0]
    assert sentence_bleu(references[:0, 0], references[:0]).shape == (0,)
    assert sentence_bleu([[7, 8, 9]], references[:1]).tolist() == [0]


def test_what_is_no_array_of_token_ids_is_named():
    references = np.zeros((4, 2, 3), int)
    with pytest.raises(ValueError, match="sentence_bleu: `candidates` must be integers with 2 axes. Received: float64"):
        sentence_bleu(np.zeros((4, 3)), references)
    with pytest.raises(ValueError, match="sentence_bleu: `references` must be those of 4 candidates. Received: shape"):
        sentence_bleu(references[:, 0], references[:3])
