"""FASTA, BED and VCF against files cut by hand; every wrong file is named with its line."""

import collections
import gzip
import pathlib
import time

import numpy as np
import pandas as pd
import pytest
from Bio import SeqIO
from Bio.Seq import Seq

from data.files import Form, InputError
from data.genomes import cut, named, read_bed, read_fasta
from data.regions import region, windows
from data.variants import alleles, read_variants

GENOME, INTERVALS, VARIANTS = (f"tests/fixtures/{name}" for name in ("genome.fa", "intervals.bed", "variants.vcf"))


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def error_of(read, path, *others):
    with pytest.raises(InputError) as caught:
        list(read(path, *others))
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


def random_letters(count, seed=0):
    return "".join(np.random.default_rng(seed).choice(list("ACGTN"), count))


# FASTA.


def test_the_fixture_is_read_as_biopython_reads_it():
    found = list(read_fasta(GENOME))
    expected = list(SeqIO.parse(GENOME, "fasta"))
    assert [(one.name, one.description, one.sequence) for one in found] == [
        (one.id, one.description, str(one.seq)) for one in expected
    ]
    assert [one.line for one in found] == [1, 4]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_blank_lines_marks_and_gzip_do_not_matter(tmp_path, end, mark):
    text = mark + "\n\n> a b=1\nACG\n\nT t\tN \n\n>c\ngg".replace("\n", end)
    for name, content in (("a.fa", text.encode()), ("a.fa.gz", gzip.compress(text.encode()))):
        found = [tuple(one) for one in read_fasta(write(tmp_path / name, content))]
        assert found == [(3, "a", "a b=1", "ACGTtN"), (8, "c", "c", "gg")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ": expected rows, received an empty file"),
        ("\n \n", ": expected records, received blank lines only"),
        ("\nACGT\n>a\nAC\n", ":2: expected a FASTA file, whose first line begins with '>', received 'ACGT'"),
        (">\nACGT\n", ":1: expected a name after '>', received none"),
        (">a\nAC\n>  \nACGT\n", ":3: expected a name after '>', received none"),
        (">a\nAC\n>b\n\n>c\nAC\n", ":3: expected a sequence below the header of 'b', received none"),
        (">a\nAC\n>b", ":3: expected a sequence below the header of 'b', received none"),
        (">a\nAC\n>b\nAC\n>a x\nAC\n", ":5: expected another name than in line 1, received 'a'"),
        (">a\nAC\n>b\nACG\nA.C\n", ":3: 'b': expected letters of DNA (A C G T U and the IUPAC codes for"),
        (">b\nACG\nA.C\n", "received '.' at position 5."),
        (">b\nMKVL\n", "received 'L' at position 4; this looks like a protein."),
        (">b\nAC\0G\n", ":2: expected text, received a NUL byte"),
        (">b\nAC\xe9\n".encode("latin-1"), ":2: expected UTF-8, received the byte 0xe9"),
    ],
)
def test_a_wrong_fasta_file_is_named_with_its_line(tmp_path, content, expected):
    assert expected in error_of(read_fasta, write(tmp_path / "a.fa", content))


def test_a_damaged_gzip_file_is_named(tmp_path):
    path = write(tmp_path / "a.fa.gz", gzip.compress(b">a\n" + random_letters(5000).encode())[:-20])
    assert ": expected a whole gzip file, received a damaged one" in error_of(read_fasta, path)


def test_ten_million_bases_are_read_quickly_in_one_line_and_in_many(tmp_path):
    letters = random_letters(100_000) * 100
    for width in (len(letters), 60):
        lines = "\n".join(letters[start : start + width] for start in range(0, len(letters), width))
        path = write(tmp_path / "a.fa", f">a\n{lines}\n")
        start = time.process_time()
        (record,) = read_fasta(path)
        assert time.process_time() - start < 2
        assert record.sequence == letters


@pytest.mark.parametrize(("width", "step"), [(10, 10), (16, 5), (40, 40), (1000, 1)])
def test_windows_hold_every_base_and_end_where_the_sequence_ends(width, step):
    for record in read_fasta(GENOME):
        own = []
        for place_of, letters in windows(record.name, record.sequence, width, step):
            name, _, place = place_of.rpartition(":")
            start, end = map(int, place.split("-"))
            own.append((start - 1, end, letters))
            assert name == record.name
        assert all(letters == record.sequence[start:end] for start, end, letters in own)
        assert own[0][0] == 0 and own[-1][1] == len(record.sequence)
        assert all(end - start == min(width, len(record.sequence)) for start, end, _ in own)
        assert [start for start, *_ in own[:-1]] == list(range(0, len(record.sequence) - width, step))
        both = dict(windows(record.name, record.sequence, width, step, both=True))
        assert len(both) == 2 * len(own)
        for start, end, letters in own:
            region = f"{record.name}:{start + 1}-{end}"
            assert both[f"{region}(+)"] == letters
            assert both[f"{region}(-)"] == str(Seq(letters).reverse_complement())
    with pytest.raises(ValueError, match="width=5, step=6"):
        list(windows("a", "ACGT", 5, 6))


# BED.


def test_intervals_are_cut_by_hand_on_both_strands(tmp_path):
    one, two = random_letters(200, 1), random_letters(90, 2).lower()
    genome = write(tmp_path / "g.fa", f">one\n{one[:70]}\n{one[70:]}\n>two\n{two}\n>three\nACGT\n")
    rows = [("two", 0, 90, "a", "+"), ("one", 60, 80, "b", "-"), ("two", 30, 31, "c", "-"), ("one", 0, 1, "d", ".")]
    text = "".join(
        f"{chromosome}\t{start}\t{end}\t{name}\t0\t{strand}\n" for chromosome, start, end, name, strand in rows
    )
    path = write(tmp_path / "a.bed", "track name=x\nbrowser position one\n#note\n\n" + text)

    intervals = list(read_bed(path))

    assert [tuple(one) for one in intervals] == [(line, *row) for line, row in enumerate(rows, start=5)]
    expected = [two, str(Seq(one[60:80]).reverse_complement()), str(Seq(two[30]).reverse_complement()), one[0]]
    assert cut(genome, intervals, path) == expected
    assert cut(genome, [], path) == []


def test_bed_files_may_have_three_columns_spaces_windows_line_ends_and_gzip(tmp_path):
    path = write(
        tmp_path / "a.bed.gz", gzip.compress(b"\xef\xbb\xbfchr1 1   5\r\nchr1\t2\t6\t.\r\ntrack1\t2\t6\tan x\r\n")
    )
    assert [tuple(one) for one in read_bed(path)] == [
        (1, "chr1", 1, 5, "", "."),
        (2, "chr1", 2, 6, "", "."),
        (3, "track1", 2, 6, "an x", "."),
    ]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("chr1\t1\n", ":1: expected a chromosome, a start and an end, between tabs or spaces, received 2 of three"),
        ("#\nchr1,1,2\n", ":2: expected a chromosome, a start and an end, between tabs or spaces, received 1 of three"),
        ("chr1\t1\tx\n", ":1: expected an integer as end, received 'x'"),
        ("chr1\t1_0\t20\n", ":1: expected an integer as start, received '1_0'"),
        ("chr1\t1.0\t20\n", ":1: expected an integer as start, received '1.0'"),
        ("chr1\t-1\t20\n", ":1: expected a start of 0 or more, received -1"),
        ("chr1\t1\t5\nchr1\t20\t20\n", ":2: expected an end after the start, 20, received 20"),
        ("chr1\t1\t5\ta\t0\tminus\n", ":1: expected the strand + or - or . in the sixth column, received 'minus'"),
        ("# nothing\n", ": expected intervals, received none"),
    ],
)
def test_a_wrong_bed_file_is_named_with_its_line(tmp_path, content, expected):
    assert expected in error_of(read_bed, write(tmp_path / "a.bed", content))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "chr1\t60\t70\nchr1\t60\t71\n",
            ":2: expected an interval within 'chr1', which has 70 bases, received 60 ... 71",
        ),
        (
            "chr1\t1\t5\nchrX\t1\t5\nchrY\t1\t5\n",
            ":2: expected a chromosome of tests/fixtures/genome.fa ('chr1', 'chr2'),",
        ),
        ("1\t1\t5\n", "received '1'."),
    ],
)
def test_an_interval_outside_of_the_genome_is_named_with_its_line(tmp_path, content, expected):
    path = write(tmp_path / "a.bed", content)
    assert expected in error_of(lambda path: cut(GENOME, list(read_bed(path)), path), path)


# Variants.


def test_every_format_of_variants_gives_the_same(tmp_path):
    skipped = collections.Counter()
    expected = [("chr1", 8, "C", "A"), ("chr1", 23, "AT", "A"), ("chr1", 23, "AT", "G")]
    found = list(read_variants(VARIANTS, skipped=skipped))
    assert [(one.line, one.id) for one in found] == [(3, "rs1"), (4, ""), (4, "")]
    assert [one[1:5] for one in found] == expected and skipped == {"symbol": 1, "none": 1}

    packed = write(tmp_path / "a.vcf.bgz", gzip.compress(pathlib.Path(VARIANTS).read_bytes().replace(b"\n", b"\r\n")))
    assert list(read_variants(packed)) == found

    table = pd.DataFrame(expected, columns=["chromosome", "position", "reference", "alternative"]).assign(other=1)
    table.to_csv(tmp_path / "a.csv", index=False)
    table.to_csv(tmp_path / "b.csv", index=False, sep=";")
    table.to_parquet(tmp_path / "a.parquet")
    table.to_json(tmp_path / "a.jsonl", orient="records", lines=True)
    for name, form in (("a.csv", None), ("b.csv", Form(separator=";")), ("a.parquet", None), ("a.jsonl", None)):
        assert [one[1:5] for one in read_variants(tmp_path / name, form)] == expected


def test_alternatives_without_letters_are_counted_by_kind(tmp_path):
    lines = "1\t0\t.\tN\t<DEL>\n1\t5\t.\tG\t*,.,<DUP>,<*>,G]17:198982],]13:1]T,.A,G.,T\tx\n"
    path = write(tmp_path / "a.vcf", "#CHROM\n" + lines)
    skipped = collections.Counter()
    assert [one.alternative for one in read_variants(path, skipped=skipped)] == ["T"]
    assert skipped == {"lost": 1, "none": 1, "symbol": 3, "breakend": 4}


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.vcf", "##x\n1\t5\t.\tG\n", ":2: expected CHROM, POS, ID, REF and ALT, between tabs, received 4 of five"),
        ("a.vcf", "##x\n1\tx\t.\tG\tA\n", ":2: expected an integer as position, received 'x'"),
        ("a.vcf", "1\t0\t.\tG\tA\n", ":1: expected a position of 1 or more, received 0"),
        ("a.vcf", "1\t5\t.\tG\tA,E\n", ":1: alternative: expected letters of DNA (A C G T U and the IUPAC"),
        ("a.vcf", "1\t5\t.\t\tA\n", ":1: reference: expected letters, received none"),
        ("a.vcf", "1\t5\t.\tg\tG\n", ":1: expected another alternative than the reference, received 'G'"),
        ("a.vcf", "##x\n", ": expected a VCF file, with a line #CHROM and variants below it, received neither"),
        ("a.csv", "chromosome,position\n1,2\n", ":1: expected one column 'reference'"),
        ("a.csv", "chromosome,position,reference,alternative\n1,2,A,\n", ":2: expected a value in the column 'altern"),
        ("a.csv", "chromosome,position,reference,alternative\n1,2,A,-\n", ":2: alternative: expected letters of DNA"),
        ("a.txt", "1 2 A C", ": expected one of .csv, .tsv"),
    ],
)
def test_a_wrong_file_of_variants_is_named_with_its_line(tmp_path, name, content, expected):
    assert expected in error_of(read_variants, write(tmp_path / name, content))


def test_a_wrong_row_of_parquet_is_named_by_its_number(tmp_path):
    rows = {"chromosome": ["1", "1"], "position": [5, -5], "reference": ["A", "A"], "alternative": ["C", "C"]}
    pd.DataFrame(rows).to_parquet(tmp_path / "a.parquet")
    assert ": row 2: expected a position of 1 or more, received -5" in error_of(read_variants, tmp_path / "a.parquet")


@pytest.mark.parametrize(("strand", "both"), [("+", False), ("-", False), ("-", True), (".", True)])
def test_windows_over_an_interval_are_places_of_its_chromosome(tmp_path, strand, both):
    """Cut out of the genome by their names, they have the same letters."""
    rng = np.random.default_rng(5)
    genome = "".join(rng.choice(list("ACGT"), 400))
    interval = genome[100:307] if strand != "-" else str(Seq(genome[100:307]).reverse_complement())
    name = "chr1:101-307" + (f"({strand})" if strand != "." else "")
    found, begun = list(windows(name, interval, 50, 30, both=both)), []
    for place, letters in found:
        chromosome, start, end, side = region(place, 50)
        there = genome[start:end]
        assert (chromosome, letters) == ("chr1", str(Seq(there).reverse_complement()) if side == "-" else there)
        begun.append(start)
    assert begun == sorted(begun) and (min(begun), max(begun)) == (100, 257)


def test_variants_and_their_reference_may_be_rna(tmp_path):
    (tmp_path / "rna.fa").write_text(">r\nACUUG\n")
    table = write(tmp_path / "v.csv", "chromosome,position,reference,alternative\nr,3,T,C\nr,4,U,A\n")
    assert [both for _, *both in alleles(table, tmp_path / "rna.fa", 5)] == [["ACTUG", "ACCUG"], ["ACUUG", "ACUAG"]]


def test_a_variant_names_the_first_base_of_an_ambiguous_letter_of_the_genome(tmp_path):
    """As VCF 4.3 wants it, whose reference bases are A, C, G, T and N."""
    (tmp_path / "g.fa").write_text(">chr1\nACrTCNYA\n")
    table = write(tmp_path / "v.vcf", "chr1\t3\t.\tA\tG\nchr1\t2\t.\tCAT\tC\nchr1\t3\t.\tR\tC\n")
    found = [both for _, *both in alleles(table, tmp_path / "g.fa", 5)]
    assert found == [["ACATC", "ACGTC"], ["ACATC", "ACCNY"], ["ACRTC", "ACCTC"]]
    for line in ("chr1\t3\t.\tG\tA\n", "chr1\t6\t.\tA\tG\n"):
        path = write(tmp_path / "w.vcf", line)
        assert "is this another reference?" in error_of(lambda path: alleles(path, tmp_path / "g.fa", 5), path)


def test_a_variant_that_is_longer_than_the_window_says_so(tmp_path):
    path = write(tmp_path / "v.vcf", "#CHROM\nchr1\t8\t.\tC\tCACGT\n")
    expected = ":2: expected a variant within the 4 bases of a window, see --window; received one of 5"
    assert expected in error_of(lambda path: alleles(path, GENOME, 4), path)


def test_blank_lines_between_sequences_are_none(tmp_path):
    assert [letters for _, letters in named(write(tmp_path / "a.txt", "ACGT\n\nGG\n"))] == ["ACGT", "GG"]


@pytest.mark.parametrize("width", [9, 12, 40])
@pytest.mark.parametrize("change", ["G>GATTACAC", "ATTACA>A", "A>T"])
@pytest.mark.parametrize("place", [0, 3, 30, "last"])
def test_the_window_of_an_alternative_holds_all_of_it(tmp_path, width, change, place):
    """It is as wide as that of the reference, a stretch of the changed sequence, and the variant is in it."""
    before, after = change.split(">")
    filler = "".join(np.random.default_rng(6).choice(list("ACGT"), 60 - len(before)))
    place = len(filler) if place == "last" else place
    genome, changed = (filler[:place] + one + filler[place:] for one in (before, after))
    (tmp_path / "genome.fa").write_text(f">chr1\n{genome}\n")
    (tmp_path / "v.csv").write_text(f"chromosome,position,reference,alternative\nchr1,{place + 1},{before},{after}\n")
    ((_, one, other),) = alleles(tmp_path / "v.csv", tmp_path / "genome.fa", width)
    assert len(one) == len(other) == width and one in genome and other in changed
    assert any(genome.startswith(one, begin) for begin in range(place + len(before) - width, place + 1) if begin >= 0)
    assert any(changed.startswith(other, begin) for begin in range(place + len(after) - width, place + 1) if begin >= 0)
