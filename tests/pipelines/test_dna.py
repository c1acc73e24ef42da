"""DNA from labelled sequences to an exported model: one label, several, or one at each base."""

import collections
import csv
import io
import json
import math
import shutil

import numpy as np
import pytest
import tensorflow as tf
from Bio.Seq import Seq

from data.sets import promoters
from pipelines import dna
from pipelines.engine import command, verbs
from pipelines.engine.folder import RunFolder
from pipelines.evaluation import logos, mutagenesis, sequences

SMALL = ["--units", "4", "--filters", "8", "--epochs", "3", "--batch-size", "32", "--no-tensorboard", "--seed", "3"]
SMALL += ["--cell", "elman", "--no-bidirectional"]  # most of a small run's time is tracing its network
LEAST = [*SMALL, "--no-baselines", "--epochs", "1"]
BOX = "TTGACA"


def drawn(rng, length, letters="ACGT"):
    return "".join(rng.choice(list(letters), length))


def written(path, rows, header="sequence,label"):
    path.write_text("\n".join([header, *(",".join(row) for row in rows)]) + "\n", encoding="utf-8")
    return path


def boxed(rng, count, lengths):
    """Half of the sequences hold a box at their tenth base, the others do not."""
    rows = []
    for row in range(count):
        sequence = drawn(rng, rng.choice(lengths))
        with_box = sequence[:9] + BOX + sequence[15:]
        rows.append((with_box, "box") if row % 2 else (sequence, "none"))
    return rows


def run(*arguments):
    return command.run(dna.TASK, list(map(str, arguments)))


@pytest.fixture(scope="session")
def boxes(tmp_path_factory):
    path = tmp_path_factory.mktemp("dna") / "boxes.csv"
    return written(path, boxed(np.random.default_rng(0), 260, [30]))


@pytest.fixture(scope="session")
def aligned(tmp_path_factory, boxes, kept_parts):
    """The folder of a finished run on sequences of one length; tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "aligned"
    with pytest.MonkeyPatch.context() as patch:  # a second for each sequence
        patch.setattr(sequences, "RUN_MAPS", 1)
        patch.setattr(logos, "MOTIFS", 2)
        assert run("train", "--data", boxes, "--run", folder, *SMALL, "--signal", "box") == 0
    kept_parts.add(str(folder))
    return folder


@pytest.fixture(scope="session")
def both(tmp_path_factory, kept_parts):
    """The folder of a finished run on sequences of many lengths, which reads both strands."""
    place = tmp_path_factory.mktemp("both")
    data = written(place / "a.csv", boxed(np.random.default_rng(1), 120, range(20, 33)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sequences, "plot_run", lambda *given: None)
        assert run("train", "--data", data, "--run", place / "run", *LEAST, "--strand", "shared") == 0
    kept_parts.add(str(place / "run"))
    return place / "run"


def probabilities(folder, given):
    return np.array([list(one["probabilities"].values()) for one in verbs.predict(dna.TASK, folder, given)])


def test_it_finds_the_box_and_shows_it(aligned):
    metrics = RunFolder(aligned).read_json("metrics.json")
    found = metrics["validation"]
    assert found["accuracy"] > 0.9 and found["auroc"] > 0.95
    low, high = found["interval"]["accuracy"]
    assert low <= found["accuracy"] <= high
    assert set(metrics["baselines"]["validation"]) == {"majority_class", "kmer_logistic_regression"}
    for name in (*sequences.PICTURES, "README.md"):
        assert (aligned / name).stat().st_size > 500

    parts = verbs.restored(dna.TASK, aligned)[2]
    rng, at_box = np.random.default_rng(2), 0
    for _ in range(10):
        sequence = drawn(rng, 9) + BOX + drawn(rng, 15)
        effects = mutagenesis.mutagenesis(parts, sequence)
        assert all(effects[place, "ACGT".index(base)] == 0 for place, base in enumerate(sequence))
        at_box += 9 <= np.abs(effects).max(axis=1).argmax() < 15
    assert at_box >= 9


def test_both_strands_have_one_answer(both):
    rng = np.random.default_rng(3)
    given = [drawn(rng, length, "ACGTRYN") for length in (5, 20, 31, 32, 45)]
    other = [str(Seq(one).reverse_complement()) for one in given]
    np.testing.assert_allclose(probabilities(both, given), probabilities(both, other), atol=1e-6)
    assert np.ptp(probabilities(both, given)[:, 0]) > 0


def test_a_batch_of_many_lengths_is_answered_as_each_alone(both):
    rng = np.random.default_rng(4)
    given = [drawn(rng, length, "ACGTN") for length in (1, 3, 17, 40, 0, 120)]
    alone_ = np.concatenate([probabilities(both, [one]) for one in given])
    np.testing.assert_allclose(probabilities(both, given), alone_, atol=1e-6)
    spelled = [one.lower().replace("t", "u") for one in given]
    np.testing.assert_allclose(probabilities(both, spelled), alone_, atol=1e-6)


def test_the_export_answers_alike_with_tensorflow_alone(aligned, both, alone, tmp_path, capsys):
    rng = np.random.default_rng(5)
    for folder, lengths in ((aligned, (0, 7, 30)), (both, (0, 7, 30, 64))):
        given = [drawn(rng, length, "ACGTN") for length in lengths]
        assert run("export", "--run", folder, "--to", tmp_path / folder.name) == 0
        found, told = alone(tmp_path / folder.name, given)
        np.testing.assert_allclose(found["probabilities"], probabilities(folder, given), atol=1e-6)
        assert set(found["label"].tolist()) <= set(told["labels"].tolist()) == {b"box", b"none"}
    with pytest.raises(tf.errors.InvalidArgumentError, match="expected sequences of at most 30 bases"):
        verbs.predict(dna.TASK, aligned, ["A" * 31])


def test_windows_over_a_genome_are_hits_on_both_strands(aligned, tmp_path):
    rng = np.random.default_rng(6)
    genome = drawn(rng, 100)
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">chr1 made up\n{genome}\n>chr2\n{genome[:25]}\n")
    given = ["predict", "--run", aligned, "--input", fasta, "--step", "20", "--to"]
    for name in ("a.bed", "a.bedgraph", "a.jsonl"):
        assert run(*given, tmp_path / name) == 0
    rows = [line.split("\t") for line in (tmp_path / "a.bed").read_text().splitlines()]
    assert [(row[0], int(row[1]), row[5]) for row in rows] == [
        *(("chr1", start, strand) for start in (0, 20, 40, 60, 70) for strand in "+-"),
        ("chr2", 0, "."),
    ]
    for row in rows[:-1]:
        cut = Seq(genome[int(row[1]) : int(row[2])])
        cut = str(cut.reverse_complement() if row[5] == "-" else cut)
        (expected,) = verbs.predict(dna.TASK, aligned, [cut])
        assert (row[3], int(row[4])) == (expected["label"], round(1000 * expected["probability"]))
    track = [line.split("\t") for line in (tmp_path / "a.bedgraph").read_text().splitlines()[1:]]
    signals = collections.defaultdict(list)
    for line in (tmp_path / "a.jsonl").read_text().splitlines()[:-1]:
        one = json.loads(line)
        signals[one["name"].split("(")[0]].append(one["probabilities"]["box"])
    assert [float(row[3]) for row in track[:5]] == pytest.approx([max(some) for some in signals.values()], abs=1e-4)


def test_windows_of_sequences_without_names_are_told_apart(aligned, tmp_path):
    rng = np.random.default_rng(11)
    given = [drawn(rng, 20), drawn(rng, 35), drawn(rng, 40)]
    for name in ("a.bed", "a.bedgraph", "a.csv"):
        assert run("predict", "--run", aligned, *given, "--to", tmp_path / name) == 0
    for name in ("a.bed", "a.bedgraph"):
        places = [line.split("\t")[0] for line in (tmp_path / name).read_text().splitlines() if "\t" in line]
        assert list(dict.fromkeys(places)) == ["sequence_1", "sequence_2", "sequence_3"]
    with open(tmp_path / "a.csv", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    assert names[:3] == ["sequence_1", "sequence_2:1-30(+)", "sequence_2:1-30(-)"]


def test_what_is_beyond_the_longest_sequence_is_told(both, tmp_path, capsys):
    folder = tmp_path / "run"
    shutil.copytree(both, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"max_length": 25}))
    genome = drawn(np.random.default_rng(8), 40)
    fasta = tmp_path / "genome.fa"
    fasta.write_text(f">chr1\n{genome}\n>chr2\n{genome[:25]}\n")
    given = ("predict", "--run", folder, "--input", fasta)
    assert run(*given, "--json") == 0
    out, err = capsys.readouterr()
    found = [json.loads(line) for line in out.splitlines()]
    assert [one["name"] for one in found] == ["chr1:1-25", "chr2"]
    assert found[0]["probabilities"] == found[1]["probabilities"]
    assert "chr1: only the first 25 of 40 bases are read, as in training" in err and "chr2" not in err
    assert run(*given, "--window", "26") == 2
    assert "--window: expected at most 25, the bases that the network reads" in capsys.readouterr().err


def test_effects_of_variants_are_differences_of_answers(aligned, tmp_path, capsys):
    rng = np.random.default_rng(7)
    genome = drawn(rng, 80)
    (tmp_path / "genome.fa").write_text(f">chr1\n{genome}\n")
    other = "ACGT"[("ACGT".index(genome[39]) + 1) % 4]
    lines = ["##fileformat=VCFv4.2", "#CHROM\tPOS\tID\tREF\tALT", f"chr1\t40\trs1\t{genome[39]}\t{other},<DEL>"]
    lines.append(f"chr1\t3\t.\t{genome[2:4]}\t{genome[2]}")
    (tmp_path / "a.vcf").write_text("\n".join(lines) + "\n")
    given = ["variants", "--run", aligned, "--data", tmp_path / "a.vcf", "--reference", tmp_path / "genome.fa"]
    assert run(*given, "--json") == 0
    said = capsys.readouterr()
    one, deleted = map(json.loads, said.out.splitlines())
    assert "1 of the kind symbol" in said.err
    start = 39 - (30 - 1) // 2
    before = genome[start : start + 30]
    after = before[: 39 - start] + other + before[40 - start :]
    p, q = (answer["probabilities"]["box"] for answer in verbs.predict(dna.TASK, aligned, [before, after]))
    assert (one["name"], one["id"], one["variant"]) == ("chr1:40-40", "rs1", f"{genome[39]}>{other}")
    assert one["effect"] == pytest.approx(math.log(q / (1 - q)) - math.log(p / (1 - p)), abs=1e-3)
    assert deleted["variant"] == f"{genome[2:4]}>{genome[2]}"
    (tmp_path / "a.vcf").write_text("\n".join(lines[:2] + [f"chr1\t40\t.\t{other}\tG"]) + "\n")
    assert run(*given) == 2
    assert "a.vcf:3: expected the letters of the reference" in capsys.readouterr().err


def test_several_labels_and_none(tmp_path, no_pictures):
    rng, rows = np.random.default_rng(8), []
    for _ in range(90):
        has = rng.random(2) < 0.5
        sequence = drawn(rng, 10) + ("GGGG" if has[0] else drawn(rng, 4)) + ("CATA" if has[1] else drawn(rng, 4))
        rows.append((sequence, ";".join(name for name, there in zip("gc", has, strict=True) if there)))
    data = written(tmp_path / "a.csv", rows)
    assert run("train", "--data", data, "--run", tmp_path / "run", *LEAST, "--kind", "several", "--balanced") == 0
    found = RunFolder(tmp_path / "run").read_json("metrics.json")["validation"]
    assert set(found["classes"]) == {"g", "c"} and 0 <= found["exact_match"] <= 1
    for one in verbs.predict(dna.TASK, tmp_path / "run", [drawn(rng, 18) for _ in range(9)]):
        assert one["labels"] == [name for name, p in one["probabilities"].items() if p >= 0.5]


def test_a_label_at_each_base(tmp_path, no_pictures):
    rng, rows = np.random.default_rng(9), []
    for length in rng.integers(8, 20, 60):
        sequence = drawn(rng, length)
        rows.append((sequence, "".join("é" if base in "CG" else "." for base in sequence)))
    data = written(tmp_path / "a.csv", rows)
    given = ["train", "--data", data, "--run", tmp_path / "run", *LEAST, "--kind", "positions", "--width", "3"]
    assert run(*given, "--epochs", "5", "--batch-size", "8", "--learning-rate", "0.02", "--dropout", "0") == 0
    assert RunFolder(tmp_path / "run").read_json("metrics.json")["validation"]["accuracy"] > 0.9
    given = [drawn(rng, length) for length in (3, 12, 30)]
    answers = verbs.predict(dna.TASK, tmp_path / "run", given)
    assert [len(one["labels"]) for one in answers] == [3, 12, 30]
    right = [
        a == ("é" if b in "CG" else ".") for one in answers for a, b in zip(one["labels"], one["sequence"], strict=True)
    ]
    assert np.mean(right) > 0.9


def test_kmers_without_filters_on_a_strand_drawn(tmp_path, no_pictures):
    data = written(tmp_path / "a.csv", boxed(np.random.default_rng(10), 60, [12, 30, 33]))
    given = ["--filters", "0", "--strand", "augment", "--pooling", "last", "--no-linear"]
    assert run("train", "--data", data, "--run", tmp_path / "run", *LEAST, *given) == 0
    found = probabilities(tmp_path / "run", ["ACGTTGA", "TCAACGT"])
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_similar_sequences_stay_in_one_fold():
    rng, rows = np.random.default_rng(11), []
    for family in range(12):
        one = drawn(rng, 60)
        rows += [(one[:30] + "ACGT"[member] + one[31:], "ab"[family % 2]) for member in range(3)]
    order = rng.permutation(len(rows))
    examples = tf.data.Dataset.from_tensor_slices(tuple(map(list, zip(*(rows[one] for one in order), strict=True))))
    groups, labels = dna.groups(dna.Config(), examples)
    assert labels.tolist() == [rows[one][1].encode() for one in order]
    assert all((groups[order // 3 == family] == groups[order // 3 == family][0]).all() for family in range(12))
    assert len(set(groups)) == 12


def test_wrong_input_is_named(aligned, both, boxes, tmp_path, capsys):
    def said(*arguments):
        assert run(*arguments) == 2
        return capsys.readouterr().err

    predict = ("predict", "--run", aligned)
    assert "predict: expected letters of DNA" in said(*predict, "MKVLAEA")
    assert "looks like a protein" in said(*predict, "MKVLAEA")
    (tmp_path / "a.bed").write_text("chr1\t0\t10\tx\t0\tleft\n")
    assert "a.bed: expected a FASTA file" in said(*predict, "--input", tmp_path / "a.bed")
    given = ("train", "--data", boxes, "--run", tmp_path / "run")
    assert "--signal: expected one of the labels" in said(*given, "--signal", "boxes")
    assert "--folds: expected 0, or 3 to" in said(*given, *LEAST, "--folds", "2")
    assert "boxes.csv: expected different columns" in said(*given, "--label-column", "sequence")
    assert "--pooling: expected another" in said(*given, "--pooling", "flat", "--kind", "several", "--length", "0")
    longer = written(tmp_path / "long.csv", [("A" * 31, "box"), ("C" * 30, "none")])
    assert "long.csv:2: expected at most 30 bases" in said("evaluate", "--run", aligned, "--data", longer)
    longer = written(tmp_path / "long.csv", [("A" * 31, "." * 31), ("C" * 30, "E" * 30)])
    given = ("train", "--data", longer, "--run", tmp_path / "run", "--kind", "positions", "--max-length", "30")
    assert "long.csv:2: expected at most 30 bases, see --max-length" in said(*given)
    assert "--window: expected at most 30, the length of the sequences" in said(*predict, "--window", "31", "ACGT")
    assert "--step: expected a number at least 0, received -1" in said(*predict, "--step", "-1", "ACGT")
    assert "--step: expected at most 30" in said(*predict, "--step", "31", "ACGT")
    assert "--step: expected --window too" in said("predict", "--run", both, "--step", "3", "ACGT")
    assert "--strand: expected one for labels at each base" in said(*given, "--strand", "shared")
    assert "--balanced: expected --no-balanced" in said(*given, "--balanced")
    variants = ("variants", "--run", aligned, "--data", tmp_path / "a.vcf")
    assert "--reference: expected a file" in said(*variants)
    (tmp_path / "a.fa").write_text(">c\nACGT\n")
    variants = (*variants, "--reference", tmp_path / "a.fa")
    assert "--window: expected a number at least 0" in said(*variants, "--window", "-1")
    assert "a file that ends in one of .csv, .html, .jsonl, received '.bed'" in said(*variants, "--to", "a.bed")


def test_sequences_of_standard_input(aligned, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"ACGT\n\n acg  \n")))
    assert run("predict", "--run", aligned, "--input", "-", "--json") == 0
    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    expected = verbs.predict(dna.TASK, aligned, ["ACGT", "acg"])
    assert [one["sequence"] for one in found] == ["ACGT", "acg"]
    assert [one["probabilities"] for one in found] == [one["probabilities"] for one in expected]
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"AC\n\xff\n")))
    assert run("predict", "--run", aligned, "--input", "-") == 2
    assert "standard input:2: expected UTF-8, received the byte 0xff" in capsys.readouterr().err


def test_the_boxes_of_the_built_in_set_are_where_it_says():
    rows = promoters.built_in("validation").take(60).as_numpy_iterator()
    for (sequence, label), planted in zip(rows, promoters.planted("validation"), strict=False):
        assert bool(planted) == (label == b"promoter")
        for start, end, strand in planted:
            assert end - start == 6 and strand in "+-" and end <= len(sequence)
