"""Labelled DNA from files of every kind, from the generator and from TensorFlow Datasets, which is asked offline."""

import collections
import gzip
import pathlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from Bio.Seq import Seq
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from data.files import Form, InputError
from data.sets import promoters, sequences

FASTA, TABLE = "tests/fixtures/sequences.fasta", "tests/fixtures/sequences.csv"
GENOME, INTERVALS = "tests/fixtures/genome.fa", "tests/fixtures/intervals.bed"
ROWS = [
    ("TTGACATTAGCATGCAAGCTTATTATAATGCAT", "promoter"),
    ("GGCATCGATCNNRTAGCTAGCTAGCATTAGC", "background"),
    ("AUGGCAUUACGGCAUUAA", "background"),
]


def listed(dataset):
    assert dataset.element_spec == (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.string))
    batches = dataset.batch(1024).as_numpy_iterator()  # an element at a time takes seconds
    return [(one.decode(), label.decode()) for some in batches for one, label in zip(*some, strict=True)]


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def error_of(path, **settings):
    messages = set()
    for read in (sequences.check, sequences.load):
        with pytest.raises(InputError) as caught:
            read(path, **settings)
        messages.add(str(caught.value))
    (message,) = messages
    assert "\n" not in message
    return message


# Files.


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.csv.gz", "a.jsonl", "a.json", "a.parquet", "a.fna", "a.fasta.gz"]
)
def test_every_format_gives_the_same_rows(tmp_path, name):
    path, table = tmp_path / name, pd.read_csv(TABLE)
    if "csv" in name or "tsv" in name:
        table.to_csv(path, index=False, sep="\t" if "tsv" in name else ",")
    elif "json" in name:
        table.to_json(path, orient="records", lines=name == "a.jsonl")
    elif "parquet" in name:
        table.to_parquet(path)
    else:
        content = pathlib.Path(FASTA).read_bytes().replace(b"\n", b"\r\n")
        write(path, gzip.compress(content) if name.endswith(".gz") else content)
    assert listed(sequences.load(path)) == ROWS
    assert sequences.check(path) == {"rows": 3, "labels": {"background": 2, "promoter": 1}}


def test_other_columns_keys_and_forms_are_named(tmp_path):
    path = write(tmp_path / "a.csv", "dna;class\nac gt; x \nGG;y\n")
    settings = {"sequence_column": "dna", "label_column": "class", "form": Form(separator=";")}
    assert listed(sequences.load(path, **settings)) == [("ACGT", "x"), ("GG", "y")]
    path = write(tmp_path / "a.fas", '>a label=x class="two words"\nAC\n>b class=y\nGT\n')
    assert listed(sequences.load(path, label_column="class")) == [("AC", "two words"), ("GT", "y")]


def test_labels_of_a_fasta_file_may_be_in_a_table(tmp_path):
    labels = write(tmp_path / "labels.tsv", "id\tlabel\nthree\tc\none\ta\ntwo\tb\n")
    assert [label for _, label in listed(sequences.load(FASTA, labels=labels))] == ["a", "b", "c"]


def test_a_folder_has_a_file_for_each_label(tmp_path):
    write(tmp_path / "yes.fa.fai", "a\t4\t5\t4\t5\n")  # as samtools and pyfaidx leave it
    write(tmp_path / "yes.fa", ">a\nACGT\n>b\nGGNN\n")
    write(tmp_path / "no.v2.fasta.gz", gzip.compress(b">a\nTTTT\n"))
    write(tmp_path / ".hidden", "x")
    assert listed(sequences.load(tmp_path)) == [("TTTT", "no.v2"), ("ACGT", "yes"), ("GGNN", "yes")]
    assert sequences.check(tmp_path)["labels"] == {"yes": 2, "no.v2": 1}
    with pytest.raises(
        InputError, match=r"yes.fa:1: expected a label of the training data \('no.v2'\), received 'yes'"
    ):
        sequences.check(tmp_path, known=["no.v2"])


def test_intervals_are_cut_out_of_the_reference(tmp_path):
    chromosome = "ACGTTGACATTGACTGATTGGCATGACAGGTATAATCGAT"
    expected = [
        (chromosome[5:17], "promoter"),
        (str(Seq(chromosome[14:26]).reverse_complement()), "background"),
        ("TTGACA", "promoter"),
    ]
    assert listed(sequences.load(INTERVALS, reference=GENOME)) == expected
    packed = write(tmp_path / "a.bed.gz", gzip.compress(pathlib.Path(INTERVALS).read_bytes()))
    assert listed(sequences.load(packed, reference=GENOME)) == expected


def test_a_sequence_may_have_several_labels_or_none(tmp_path):
    path = write(tmp_path / "a.csv", "sequence,label\nAC,b; a ;b\nGT,\nTT,a\n")
    assert listed(sequences.load(path, kind="several")) == [("AC", "b;a"), ("GT", ""), ("TT", "a")]
    assert sequences.check(path, kind="several") == {"rows": 3, "labels": {"a": 2, "b": 1}}
    path = write(tmp_path / "a.fa", ">a label=a;b\nAC\n>b label=\nGT\n")
    assert listed(sequences.load(path, kind="several")) == [("AC", "a;b"), ("GT", "")]
    with pytest.raises(InputError, match=r"fa:1: expected a label of the training data \('b'\), received 'a'"):
        sequences.check(path, kind="several", known=["b"])


def test_a_sequence_may_have_a_label_for_each_base(tmp_path):
    path = write(tmp_path / "a.csv", "sequence,label\nACGT A,..EEI\nGT, é.\n")
    assert listed(sequences.load(path, kind="positions")) == [("ACGTA", "..EEI"), ("GT", "é.")]
    assert sequences.check(path, kind="positions") == {"rows": 2, "labels": {".": 3, "E": 2, "I": 1, "é": 1}}


def test_long_and_many_sequences_are_read_in_chunks(tmp_path, monkeypatch):
    monkeypatch.setattr(sequences, "AT_ONCE", 7)
    monkeypatch.setattr(sequences, "LETTERS_AT_ONCE", 100)
    rng = np.random.default_rng(0)
    rows = [("".join(rng.choice(list("ACGT"), rng.integers(1, 150))), f"{row % 3}") for row in range(60)]
    path = write(tmp_path / "a.fa", "".join(f">{row} label={label}\n{s}\n" for row, (s, label) in enumerate(rows)))
    dataset = sequences.load(path)
    assert listed(dataset) == rows == listed(dataset)


@pytest.mark.parametrize(
    ("name", "content", "settings", "expected"),
    [
        ("a.fa", "", {}, "a.fa: expected rows, received an empty file"),
        ("a.fa", ">a label=x\n>b label=x\nA\n", {}, "a.fa:1: expected a sequence below the header of 'a'"),
        (
            "a.fa",
            ">a label=x\nAC\n>b\nAC\n",
            {},
            "a.fa:3: expected label=... in the header of 'b', received none; labels",
        ),
        ("a.fa", ">a label=\nAC\n", {}, "a.fa:1: expected a label, received none"),
        ("a.fa", ">a label=x\nAC\n>a label=x\nAC\n", {}, "a.fa:3: expected another name than in line 1, received 'a'"),
        ("a.fa", ">a label=x\nMKVLAA\n", {}, "a.fa:1: 'a': expected letters of DNA (A C G T U and the IUPAC codes"),
        (
            "a.fa",
            ">a label=x\nACG\n",
            {"kind": "positions"},
            "a.fa:1: expected a label of one character for each of the 3",
        ),
        ("a.csv", "sequence,label\nAC,x\nAC-T,x\n", {}, "a.csv:3: column 'sequence': expected letters of DNA"),
        ("a.csv", "sequence,label\n ,x\n", {}, "a.csv:2: expected a value in the column 'sequence', received none"),
        ("a.csv", "sequence,label\nAC,\n", {}, "a.csv:2: expected a value in the column 'label', received none"),
        ("a.csv", "sequence,label\nAC, \n", {"kind": "positions"}, "a.csv:2: expected a value in the column 'label'"),
        ("a.csv", "sequence,label\nACG,a b\n", {"kind": "positions"}, "a.csv:2: expected visible characters as labels"),
        ("a.csv", "sequence,label\nAC,EEE\n", {"kind": "positions"}, "each of the 2 bases, received 3"),
        (
            "a.csv",
            "text,label\nAC,x\n",
            {},
            "a.csv:1: expected one column 'sequence', received the columns 'text', 'label'",
        ),
        ("a.txt", "AC x\n", {}, "a.txt: expected a folder of FASTA files or one of .csv"),
        ("a", "AC x\n", {}, "received 'no suffix'"),
        (
            "a.bed",
            "chr1\t0\t5\tx\n",
            {},
            "a.bed: expected a FASTA file that the intervals refer to, received none; add --ref",
        ),
        (
            "a.bed",
            "chr1\t0\t5\tx\nchr1\t0\t5\n",
            {"reference": GENOME},
            "a.bed:2: expected a label in the fourth column",
        ),
        (
            "a.bed",
            "chr1\t0\t71\tx\n",
            {"reference": GENOME},
            "a.bed:1: expected an interval within 'chr1', which has 70",
        ),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, name, content, settings, expected):
    assert expected in error_of(write(tmp_path / name, content), **settings)


def test_a_protein_in_a_table_is_named_with_its_position(tmp_path):
    path = write(tmp_path / "a.csv", "sequence,label\nACGT,x\nMKVLAEA,x\n")
    assert error_of(path).endswith("received 'L' at position 4; this looks like a protein.")


def test_a_wrong_row_of_parquet_is_named_by_its_number(tmp_path):
    pd.DataFrame({"sequence": ["AC", "A?"], "label": [1, 2]}).to_parquet(tmp_path / "a.parquet")
    assert "a.parquet: row 2: column 'sequence': expected letters" in error_of(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("id,label\none,a\nthree,c\n", "sequences.fasta:3: expected a label of 'two' in "),
        (
            "id,label\none,a\ntwo,b\nthree,c\nfour,d\n",
            "a.csv:5: expected a sequence 'four' in tests/fixtures/sequences.fa",
        ),
        ("id,label\none,a\ntwo,b\none,c\n", "a.csv:4: expected another id than in line 2, received 'one'"),
        ("id,label\none,a\ntwo,\n", "a.csv:3: expected a value in the column 'label', received none"),
        ("name,label\none,a\n", "a.csv:1: expected one column 'id'"),
    ],
)
def test_labels_and_sequences_must_fit(tmp_path, content, expected):
    assert expected in error_of(FASTA, labels=write(tmp_path / "a.csv", content))


@pytest.mark.parametrize(("value", "label"), [("'two words'", "two words"), ('"o\'clock" x', "o'clock"), ("x,", "x,")])
def test_labels_of_several_words_are_between_quotes(tmp_path, value, label):
    path = write(tmp_path / "a.fa", f'>a label={value}\nAC\n>b label="b"\nAC\n')
    assert sequences.check(path)["labels"] == {label: 1, "b": 1}


def test_a_quote_that_is_not_closed_and_labels_for_other_files_are_named(tmp_path):
    path = write(tmp_path / "a.fa", '>a label="two words\nAC\n')
    assert "a.fa:1: expected a closing quote after label= in the header of 'a'" in error_of(path)
    table = write(tmp_path / "a.csv", "id,label\na,b\n")
    assert "--labels: expected data in a FASTA file, received" in error_of(TABLE, labels=table)
    (tmp_path / "folder").mkdir()
    write(tmp_path / "folder" / "a.fa", ">a\nAC\n")
    assert "--labels: expected data in a FASTA file" in error_of(tmp_path / "folder", labels=table)


def test_labels_may_be_those_of_several_files(tmp_path):
    table = write(tmp_path / "a.csv", "id,label\none,a\ntwo,b\nthree,c\nfour,d\n")
    assert sequences.check(FASTA, labels=table, partly=True)["labels"] == {"a": 1, "b": 1, "c": 1}
    assert len(list(sequences.load(FASTA, labels=table, partly=True))) == 3


def test_a_wrong_folder_is_named(tmp_path):
    assert "expected FASTA files, one for each label, received an empty folder" in error_of(tmp_path)
    write(tmp_path / "a.fa", ">a\nAC\n")
    write(tmp_path / "a.fasta.gz", gzip.compress(b">a\nAC\n"))
    assert "expected one file for each label, received 'a.fa' and 'a.fasta.gz'" in error_of(tmp_path)
    write(tmp_path / "README.txt", "x")
    assert "expected FASTA files alone, one for each label, received 'README.txt'" in error_of(tmp_path)


def test_an_unknown_label_or_kind_is_named():
    with pytest.raises(
        InputError, match=r"csv:2: expected a label of the training data \('background'\), received 'prom"
    ):
        sequences.check(TABLE, known=["background"])
    with pytest.raises(ValueError, match="`kind` must be one of one, several, positions. Received: kind='many'"):
        sequences.load(TABLE, kind="many")


# The built-in set.


@pytest.fixture(scope="module")
def made():
    return {split: listed(sequences.built_in(split)) for split in sequences.SPLITS}


def test_the_built_in_set_has_its_sizes_is_balanced_and_repeats_no_sequence(made):
    assert {split: len(rows) for split, rows in made.items()} == {"train": 4000, "validation": 500, "test": 500}
    for rows in made.values():
        counts = collections.Counter(label for _, label in rows)
        assert set(counts) == {"promoter", "background"} and len(set(counts.values())) == 1
        assert all(80 <= len(sequence) <= 120 and set(sequence) <= set("ACGT") for sequence, _ in rows)
    assert len({sequence for rows in made.values() for sequence, _ in rows}) == 5000


def test_the_built_in_set_depends_on_its_seed_alone(made):
    assert listed(sequences.built_in("test")) == made["test"]
    assert listed(sequences.built_in("test", seed=1)) != made["test"]
    for read in (sequences.built_in, promoters.planted):
        with pytest.raises(ValueError, match="split='dev'"):
            read("dev")


def log_odds(sequence, box, weights):
    """Of a box at each place of a sequence, against the composition."""
    scores = np.log(np.array(promoters.matrix(box))) - np.log(weights)
    letters = np.array(["ACGT".index(one) for one in sequence])
    return sum(scores[place][letters[place : len(letters) - 5 + place]] for place in range(6))


def log_likelihood_ratio(sequence):
    """Of a promoter against letters from the composition, over all places, spacers and strands."""
    found = []
    for strand in (sequence, str(Seq(sequence).reverse_complement())):
        minus_35, minus_10 = (
            log_odds(strand, box, promoters.COMPOSITION) for box in (promoters.MINUS_35, promoters.MINUS_10)
        )
        for spacer, share in promoters.SPACERS.items():
            both = minus_35[: -6 - spacer] + minus_10[6 + spacer :]
            found.append(both + np.log(share / len(both) / 2))
    return np.logaddexp.reduce(np.concatenate(found))


def test_who_knows_the_boxes_tells_promoters_from_background(made):
    scores = [log_likelihood_ratio(sequence) for sequence, _ in made["validation"]]
    assert roc_auc_score([label == "promoter" for _, label in made["validation"]], scores) >= 0.985


def counts_of_kmers(sequences):
    """How often each of the 340 k-mers of 1 to 4 letters occurs in each sequence."""
    rows = []
    for sequence in sequences:
        letters, row = np.array(["ACGT".index(one) for one in sequence]), []
        for k in (1, 2, 3, 4):
            numbers = sum(4**place * letters[place : len(letters) - k + 1 + place] for place in range(k))
            row.append(np.bincount(numbers, minlength=4**k))
        rows.append(np.concatenate(row))
    return np.array(rows)


def test_counting_kmers_is_not_enough(made):
    letters, labels = zip(*made["train"], strict=True)
    held_out, expected = zip(*made["validation"], strict=True)
    counts = counts_of_kmers(letters)
    scale = lambda some: (some - counts.mean(axis=0)) / (counts.std(axis=0) + 1)
    linear = LogisticRegression(C=0.1, solver="newton-cholesky").fit(scale(counts), labels)
    scores = linear.decision_function(scale(counts_of_kmers(held_out)))
    assert 0.6 < roc_auc_score([one == "promoter" for one in expected], scores) < 0.8


def test_the_composition_says_nothing(made):
    shares = {"promoter": [], "background": []}
    for sequence, label in made["train"]:
        shares[label].append((sequence.count("A") + sequence.count("T")) / len(sequence))
    means = {label: np.mean(some) for label, some in shares.items()}
    assert abs(means["promoter"] - means["background"]) < 0.005


def test_the_boxes_are_where_they_are_said_to_be(made):
    bases, spacers, strands = [0, 0], collections.Counter(), collections.Counter()
    for (sequence, label), boxes in zip(made["train"], promoters.planted("train"), strict=True):
        assert bool(boxes) == (label == "promoter")
        if not boxes:
            continue
        (start, end, strand), (other_start, other_end, other_strand) = boxes
        assert strand == other_strand and end - start == other_end - other_start == 6
        spacers[other_start - end if strand == "+" else start - other_end] += 1
        strands[strand] += 1
        for box, (first, last) in enumerate([(start, end), (other_start, other_end)]):
            found = sequence[first:last] if strand == "+" else str(Seq(sequence[first:last]).reverse_complement())
            bases[box] += sum(one == other for one, other in zip(found, ("TTGACA", "TATAAT")[box], strict=True)) / 6
    assert all(0.95 < share / strands.total() < 0.98 for share in bases)
    assert set(spacers) == {15, 16, 17, 18, 19} and spacers.most_common(1)[0][0] == 17
    assert abs(strands["+"] / strands.total() - 0.5) < 0.05


# Public sets.


def test_a_public_set_gives_sequences_and_names_of_labels(tmp_path):
    text, names = tfds.features.Text(), tfds.features.ClassLabel(names=["one", "two"])
    rows = {"seq": ["acgt", "GG"], "seq_info": ["x", "y"], "label": [1, 0]}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="little_genomes",
        version="1.0.0",
        data_dir=tmp_path,
        features=tfds.features.FeaturesDict({"seq": text, "seq_info": text, "label": names}),
        split_datasets={
            "train": tf.data.Dataset.from_tensor_slices(rows),
            "test": tf.data.Dataset.from_tensor_slices({**rows, "label": [-1, -1]}),
        },
        disable_shuffling=True,
    )
    assert listed(sequences.public("little_genomes", "train", data_dir=tmp_path)) == [("ACGT", "two"), ("GG", "one")]
    assert sequences.public_splits("little_genomes", data_dir=tmp_path) == ["train", "test"]
    with pytest.raises(InputError, match="little_genomes: expected labels in the split 'test'"):
        sequences.public("little_genomes", "test", data_dir=tmp_path)
