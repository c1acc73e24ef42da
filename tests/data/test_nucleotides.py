"""DNA in graph operations, against Biopython and against loops over letters written here."""

import itertools

import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf
from Bio.Data.IUPACData import ambiguous_dna_values
from Bio.Seq import Seq

from data.transforms import dna

SEQUENCES = st.lists(st.text("ACGTRYSWKMBDHVN", max_size=30), max_size=5)
SOME = ["ACGTTGNNAC", "RYA", "", "GGATCCAWTTSGA"]


def graph(function, *specs):
    return tf.function(function, input_signature=specs, autograph=False)


STRINGS = tf.TensorSpec([None], tf.string)
codes, letters = graph(dna.codes, STRINGS), graph(dna.letters, tf.RaggedTensorSpec([None, None], tf.int32))
other_strand = graph(dna.reverse_complement, STRINGS)


def strings(tensor):
    return [one.decode() for one in tensor.numpy()]


def padded(sequences):
    """Codes by a loop, padded with 0 at the right."""
    longest = max(map(len, sequences))
    return np.array([[dna.LETTERS.index(one) + 1 for one in s] + [0] * (longest - len(s)) for s in sequences])


def random_sequences(rng, letters, count=6, longest=40):
    return ["".join(rng.choice(list(letters), rng.integers(1, longest))) for _ in range(count)]


def test_the_tables_are_those_of_iupac():
    for number, letter in enumerate(dna.LETTERS, start=1):
        bases = ambiguous_dna_values[letter]
        assert dna.PROBABILITIES[number].tolist() == pytest.approx([(base in bases) / len(bases) for base in "ACGT"])
        assert dna.LETTERS[dna.COMPLEMENT[number] - 1] == str(Seq(letter).reverse_complement())
    assert dna.PROBABILITIES.shape == (16, 4) and not dna.PROBABILITIES[0].any() and dna.COMPLEMENT[0] == 0


@hypothesis.given(SEQUENCES)
def test_letters_are_the_inverse_of_codes(sequences):
    found = codes(tf.constant(sequences, tf.string))
    assert found.to_list() == [[dna.LETTERS.index(one) + 1 for one in sequence] for sequence in sequences]
    assert strings(letters(found)) == sequences
    assert strings(dna.letters(found.to_tensor())) == sequences


@hypothesis.given(SEQUENCES)
def test_the_reverse_complement_is_biopython_s_and_its_own_inverse(sequences):
    once = other_strand(tf.constant(sequences, tf.string))
    assert strings(once) == [str(Seq(sequence).reverse_complement()) for sequence in sequences]
    assert strings(once) == [dna.reverse_complement(sequence) for sequence in sequences]
    assert strings(other_strand(once)) == sequences


def test_case_uracil_and_white_space_do_not_matter():
    assert strings(dna.letters(dna.codes(["ac gu\tn\r\nA\f", "  ", "Uu"]))) == ["ACGTNA", "", "TT"]
    assert dna.reverse_complement("acGUn") == "nACgt"


@pytest.mark.parametrize("batch", [[], [""], ["", ""]])
def test_nothing_in_is_nothing_out(batch):
    found = codes(tf.constant(batch, tf.string))
    assert found.to_list() == [[] for _ in batch] and found.row_splits.dtype == tf.int64
    assert strings(letters(found)) == batch == strings(other_strand(tf.constant(batch, tf.string)))
    assert dna.one_hot(found).to_tensor(shape=[None, None, 4]).shape == (len(batch), 0, 4)


@pytest.mark.parametrize(
    ("batch", "expected"),
    [
        (["ACGT", "AC-T"], "received the character - at position 3 of sequence 1"),
        (["", "", "ACGT E"], "received the character E at position 6 of sequence 2"),
        (["é"], "received the character é at position 1 of sequence 0"),
        (["ACG", "A\0C"], "at position 2 of sequence 1"),
    ],
)
def test_a_wrong_character_is_named_in_an_exported_model_too(exported, batch, expected):
    for called in (codes, exported):
        with pytest.raises(tf.errors.InvalidArgumentError, match="expected letters of DNA.*") as caught:
            called(tf.constant(batch))
        assert expected in str(caught.value)


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A saved and restored function from strings to the probabilities of both strands."""

    def both(sequences):
        found = dna.codes(sequences)
        return dna.one_hot(found).to_tensor(), dna.one_hot(dna.reverse_complement(found)).to_tensor()

    module, folder = tf.Module(), str(tmp_path_factory.mktemp("exported"))
    module.both = graph(both, STRINGS)
    tf.saved_model.save(module, folder)
    return tf.saved_model.load(folder).both


def test_the_export_computes_what_the_functions_compute(exported):
    for found, sequences in zip(exported(tf.constant(SOME)), (SOME, map(dna.reverse_complement, SOME)), strict=True):
        np.testing.assert_array_equal(found, dna.PROBABILITIES[padded(list(sequences))])


def test_a_python_string_is_checked():
    assert dna.problem("ACGTacgtuUNryswkmbdhvRYSWKMBDHV \t\r\n") is None
    assert dna.problem("") is None
    assert dna.problem("ACGT-A").endswith("received '-' at position 5")
    assert dna.problem("ACé").endswith("received 'é' at position 3")
    for one in "EFILPQJOXZ*eq":
        assert dna.problem(f"AC{one}").endswith(f"received {one!r} at position 3; this looks like a protein")


def linear(x, weights):
    return np.einsum("btc,tc->b", x, weights)


def test_an_ambiguous_base_gives_the_mean_of_a_linear_model():
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(9, 4))
    for letter in dna.LETTERS:
        spelled = [f"ACG{base}TTGCA" for base in ambiguous_dna_values[letter]]
        expected = linear(dna.one_hot(padded(spelled)), weights).mean()
        assert linear(dna.one_hot(padded([f"ACG{letter}TTGCA"])), weights)[0] == pytest.approx(expected, abs=1e-5)


def test_ambiguous_bases_give_the_mean_over_all_spellings_of_a_linear_model_of_kmers():
    weights = np.random.default_rng(2).normal(size=(64,))
    bases = [ambiguous_dna_values[one] for one in "CANRTGB"]
    spelled = ["".join(one) for one in itertools.product(*bases)]
    found = dna.expected_kmers(dna.one_hot(padded(["CANRTGB", *spelled])), 3).numpy() @ weights
    np.testing.assert_allclose(found[0], np.mean(found[1:], axis=0), atol=1e-5)


def number_of(kmer):
    """The number of a k-mer, by a loop."""
    if "" in kmer or any(one not in "ACGT" for one in kmer):
        return 0 if "" in kmer else 1
    number = 0
    for one in kmer:
        number = 4 * number + "ACGT".index(one)
    return 2 + number


@pytest.mark.parametrize("k", [1, 2, 5])
def test_kmers_are_numbered_and_expected_as_in_a_loop(k):
    sequences = random_sequences(np.random.default_rng(k), "ACGTACGTACGTN")
    x = padded(sequences)
    filled = [[*sequence] + [""] * (x.shape[1] - len(sequence)) for sequence in sequences]
    expected = [[number_of(one[start : start + k]) for start in range(len(one) - k + 1)] for one in filled]

    found = dna.kmers(x, k).numpy()
    shares = dna.expected_kmers(dna.one_hot(x), k).numpy()

    assert found.tolist() == expected and found.dtype == "int64" and {0, 1} <= set(found.flat) and found.max() > 1
    np.testing.assert_allclose(shares.sum(axis=2), found > 0, atol=1e-6)
    certain = found > 1
    np.testing.assert_array_equal(shares.argmax(axis=2)[certain], found[certain] - 2)
    assert (shares.max(axis=2)[certain] == 1).all() and (shares.max(axis=2)[found == 1] <= 0.5).all()


def test_sequences_shorter_than_k_have_no_kmers():
    assert dna.kmers(padded(["ACG"]), 5).shape == (1, 0)
    assert dna.expected_kmers(dna.one_hot(padded(["ACG"])), 5).shape == (1, 0, 4**5)
    for k in (0, 31):
        with pytest.raises(ValueError, match=f"k={k}"):
            dna.kmers(padded(["ACG"]), k)


@pytest.fixture(scope="module")
def model():
    """A Keras model of everything that works on the inputs of one."""
    ids = keras.Input([None], dtype="int64")
    shares, other = dna.one_hot(ids), dna.reverse_complement(ids)
    outputs = [shares, other, dna.reverse_complement(shares), dna.kmers(other, 3), dna.expected_kmers(shares, 2)]
    return keras.Model(ids, outputs)


def test_a_keras_model_computes_what_the_functions_compute(model):
    x = padded(random_sequences(np.random.default_rng(3), dna.LETTERS))
    shares, other, other_shares, kmers, expected = model(x)
    turned = padded([dna.reverse_complement(one) for one in strings(dna.letters(x))])
    np.testing.assert_array_equal(other, turned)
    np.testing.assert_array_equal(shares, dna.PROBABILITIES[x])
    np.testing.assert_allclose(other_shares, dna.PROBABILITIES[turned], atol=1e-7)
    np.testing.assert_array_equal(kmers, dna.kmers(turned, 3))
    np.testing.assert_array_equal(expected, dna.expected_kmers(dna.PROBABILITIES[x], 2))


def test_padded_codes_and_probabilities_are_turned_twice_to_themselves():
    x = padded(random_sequences(np.random.default_rng(4), dna.LETTERS))
    for one in (tf.constant(x, "int32"), dna.one_hot(x)):
        twice = dna.reverse_complement(dna.reverse_complement(one))
        assert twice.dtype == one.dtype
        np.testing.assert_allclose(twice, one, atol=1e-7)


def test_a_batch_of_unequal_lengths_equals_single_sequences(model):
    sequences = random_sequences(np.random.default_rng(5), dna.LETTERS)
    together = model(padded(sequences))
    for row, sequence in enumerate(sequences):
        for whole, alone in zip(together, model(padded([sequence])), strict=True):
            np.testing.assert_allclose(whole[row, : alone.shape[1]], alone[0], atol=1e-7)
            assert not np.any(whole[row, len(sequence) :])  # padding


@pytest.mark.parametrize(("width", "step"), [(4, 4), (5, 2), (7, 1), (100, 50)])
def test_windows_are_those_of_a_loop_and_hold_every_base(width, step):
    sequences = ["", *random_sequences(np.random.default_rng(6), dna.LETTERS)]
    expected = []
    for row, sequence in enumerate(sequences):
        start = 0
        while start + width < len(sequence):
            expected.append((row, start, sequence[start : start + width]))
            start += step
        start = max(len(sequence) - width, 0)
        expected.append((row, start, sequence[start:]))

    found, rows, starts = dna.windows(codes(tf.constant(sequences)), width, step)

    assert found.shape[1] == width
    rows, starts = rows.numpy().tolist(), starts.numpy().tolist()
    assert list(zip(rows, starts, strings(dna.letters(found)), strict=True)) == expected


def test_windows_need_a_step_that_leaves_out_no_base():
    for width, step in ((3, 0), (3, 4), (0, 0)):
        with pytest.raises(ValueError, match=f"width={width}, step={step}"):
            dna.windows(dna.codes(["ACGT"]), width, step)
