"""Profiles of terms against scikit-learn's TF-IDF of characters and against counting by hand."""

import collections
import itertools

import keras
import numpy as np
import pytest
from cells import TENSORFLOW
from keras import ops

from layers import TermProfile

SIZES, IGNORED = [7, 12, 5], 2


def some(seed, batch=20):
    """Numbers of three kinds, each with timesteps of its own."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, size, (batch, timesteps)) for size, timesteps in zip(SIZES, (9, 4, 15), strict=True)]


def terms(numbers, row):
    """How often each (kind, number) occurs in one sequence."""
    return collections.Counter(
        (kind, int(number)) for kind, rows in enumerate(numbers) for number in rows[row] if number >= IGNORED
    )


@pytest.mark.skipif(not TENSORFLOW, reason="k-mers are of the part that needs TensorFlow")
@pytest.mark.parametrize("longest", [1, 3])
def test_a_profile_of_kmers_is_the_tfidf_of_scikit_learn(longest):
    from sklearn.feature_extraction.text import TfidfVectorizer

    from data.transforms import dna

    rng = np.random.default_rng(longest)
    draw = lambda number: ["".join(rng.choice(list("ACGTN"), length)) for length in rng.integers(1, 30, number)]
    kinds = range(1, longest + 1)

    def kmers(texts):
        codes = dna.codes(texts).to_tensor(0)
        return [dna.kmers(codes, k) for k in kinds]

    known = ["".join(letters) for k in kinds for letters in itertools.product("ACGT", repeat=k)]
    how = {"analyzer": "char", "ngram_range": (1, longest), "lowercase": False, "vocabulary": known}
    reference = TfidfVectorizer(**how, sublinear_tf=True)
    texts, new = draw(31), [*draw(10), "NN", "A"]
    reference.fit(texts)
    layer = TermProfile([4**k + dna.FIRST_KMER for k in kinds], ignored=dna.FIRST_KMER)
    layer.adapt(kmers(part) for part in (texts[:12], texts[12:13], texts[13:]))

    np.testing.assert_allclose(layer(kmers(new)), reference.transform(new).toarray(), atol=1e-6)
    np.testing.assert_allclose(layer.idf, reference.idf_, rtol=1e-6)


def test_a_profile_is_counted_by_hand_and_leaves_ignored_numbers_out():
    layer, seen, new = TermProfile(SIZES, ignored=IGNORED), some(0, batch=5), some(1)
    plain = ops.convert_to_numpy(layer(new))
    layer.adapt([seen])
    found = ops.convert_to_numpy(layer(new))
    features = [(kind, number) for kind, size in enumerate(SIZES) for number in range(IGNORED, size)]
    having = collections.Counter(term for row in range(5) for term in terms(seen, row))
    assert found.shape == layer.compute_output_shape([rows.shape for rows in new]) == (20, len(features))
    for row in range(20):
        counts = terms(new, row)
        v = np.array([1 + np.log(counts[term]) if term in counts else 0 for term in features])
        np.testing.assert_allclose(plain[row], v / np.linalg.norm(v), atol=1e-6)
        v *= [1 + np.log(6 / (1 + having[term])) for term in features]
        np.testing.assert_allclose(found[row], v / np.linalg.norm(v), atol=1e-6)


def test_a_kind_may_have_no_timesteps_and_a_sequence_no_terms():
    layer = TermProfile(SIZES, ignored=IGNORED)
    layer.adapt([some(2)])
    whole = some(3)
    shorter = [whole[0], whole[1][:, :0], whole[2]]
    ignored = [whole[0], whole[1] % IGNORED, whole[2]]
    np.testing.assert_array_equal(layer(shorter), layer(ignored))
    none = [rows % IGNORED for rows in whole]
    np.testing.assert_array_equal(layer(none), np.zeros((20, layer.features)))


def test_adapting_again_forgets_what_was_seen_before():
    twice, once = TermProfile(SIZES, ignored=IGNORED), TermProfile(SIZES, ignored=IGNORED)
    twice.adapt([some(4)])
    twice.adapt([some(5)])
    once.adapt([some(5)])
    np.testing.assert_array_equal(twice.idf, once.idf)
    assert not np.allclose(once.idf, 1)


def test_a_profile_survives_saving(tmp_path):
    given = [keras.Input([None], dtype="int32") for _ in SIZES]
    layer = TermProfile(SIZES, ignored=IGNORED)
    model = keras.Model(given, layer(given))
    layer.adapt([some(6)])
    model.save(tmp_path / "profile.keras")
    again = keras.models.load_model(tmp_path / "profile.keras")
    np.testing.assert_array_equal(again(some(7)), model(some(7)))
    np.testing.assert_array_equal(model(some(7)), layer(some(7)))
    assert again.layers[-1].get_config() == layer.get_config()
    assert not model.trainable_variables


@pytest.mark.parametrize(
    "wrong",
    [{"sizes": []}, {"sizes": [0]}, {"sizes": [4, 2.5]}, {"sizes": [5, 2], "ignored": 2}, {"ignored": -1}],
    ids=str,
)
def test_wrong_arguments_of_a_profile_are_named(wrong):
    with pytest.raises(
        ValueError, match=f"TermProfile: `{next(iter(wrong))}` must be .* Received: {next(iter(wrong))}"
    ):
        TermProfile(**{"sizes": [4], **wrong})


def test_numbers_of_too_few_kinds_are_refused():
    with pytest.raises(ValueError, match="zip"):
        TermProfile(SIZES)(some(8)[:2])


def test_a_long_profile_in_16_bits():
    """The sum of its squares is beyond the range of float16."""
    numbers = [np.arange(IGNORED, 2_500)[None]]
    layer = TermProfile([2_500], ignored=IGNORED, dtype="mixed_float16")
    layer.adapt([numbers])
    assert abs(np.linalg.norm(ops.convert_to_numpy(layer(numbers)).astype("float64")) - 1) < 1e-2
