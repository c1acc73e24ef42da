"""Files of genomes: FASTA, BED and VCF, gzip too, record by record; every error has file and line.

Positions in BED are from 0, with the end not included; those in VCF are from 1.
"""

import collections
import itertools
import re
from typing import NamedTuple

from Bio.SeqIO.FastaIO import SimpleFastaParser

from data.files import InputError, error_at, kind_of, read_lines, read_table
from data.transforms.dna import check_windows, problem, reverse_complement, without_space

FASTA = (".fasta", ".fa", ".fna", ".ffn", ".fas")  # suffixes, each also with `.gz`
STRANDS = ("+", "-", ".")
NAMED = 5  # names in an error, at most
_INTEGER = re.compile(r"-?[0-9]{1,18}")


class Record(NamedTuple):
    """A sequence of a FASTA file.

    Attributes:
        line: Line of its header, from 1.
        name: First word of the header.
        description: The whole header, without ">".
        sequence: Its letters as in the file, without white space.
    """

    line: int
    name: str
    description: str
    sequence: str


class Interval(NamedTuple):
    """A line of a BED file.

    Attributes:
        line: Line of the file, from 1.
        chromosome: Name of the sequence that it lies on.
        start, end: Bases, from 0; the end is not included.
        name: Its name; "" if it has none.
        strand: "+", "-", or "." if it is not known.
    """

    line: int
    chromosome: str
    start: int
    end: int
    name: str
    strand: str


class Variant(NamedTuple):
    """One difference to a reference.

    Attributes:
        line: Line of the file, from 1; in Parquet the row.
        chromosome: Name of the sequence that it lies on.
        position: Its first base, from 1.
        reference, alternative: Letters in the reference and instead of them, in upper case.
        id: Its name; "" if it has none.
    """

    line: int
    chromosome: str
    position: int
    reference: str
    alternative: str
    id: str


def is_fasta(path):
    """Whether a file's suffix is one of FASTA.

    Example:
        >>> is_fasta("genome.fna.gz"), is_fasta("genome.csv")
        (True, False)
    """
    return kind_of(path) in FASTA


def read_fasta(path, encoding=""):
    """The sequences of a FASTA file, with one of them in memory.

    Args:
        path: The file, see `data.files.read_lines`. Blank lines are skipped.
        encoding: Encoding of a file that is not UTF-8.

    Returns:
        An iterator of `Record`.

    Raises:
        InputError: while iterating, at a file without records, a header without name or sequence, a name that occurred
            before, or a letter that is none of DNA.

    Example:
        >>> for record in read_fasta("tests/fixtures/genome.fa"):
        ...     print(record.line, record.name, record.description, len(record.sequence))
        1 chr1 chr1 made up 70
        4 chr2 chr2 40
    """
    headers, lines_of = collections.deque(), {}

    def lines():
        for number, line in read_lines(path, encoding):
            if line[0] == ">":
                headers.append(number)
            elif not headers and not lines_of and line.strip():
                expected = "expected a FASTA file, whose first line begins with '>'"
                raise InputError(path, f"{expected}, received {line.strip()[:40]!r}.", number)
            yield line

    for title, sequence in SimpleFastaParser(lines()):
        line, description = headers.popleft(), title.strip()
        name = description.split(maxsplit=1)[0] if description else ""
        if not name:
            raise InputError(path, "expected a name after '>', received none.", line)
        if name in lines_of:
            raise InputError(path, f"expected another name than in line {lines_of[name]}, received {name!r}.", line)
        lines_of[name] = line
        sequence = without_space(sequence)
        if not sequence:
            raise InputError(path, f"expected a sequence below the header of {name!r}, received none.", line)
        if wrong := problem(sequence):
            raise InputError(path, f"{name!r}: {wrong}.", line)
        yield Record(line, name, description, sequence)
    if not lines_of:
        raise InputError(path, "expected records, received blank lines only.")


def pieces(path, width, step):
    """Windows over all sequences of a FASTA file, with one sequence in memory.

    Args:
        path: The file, as for `read_fasta`.
        width: Bases of a window, a positive integer.
        step: Bases from the start of a window to the next, a positive integer, at most `width`.

    Returns:
        An iterator of (name, start, end, letters); the start is from 0 and the end not included. The last window of a
        sequence ends at its end; a sequence that is shorter than `width` is one window.

    Raises:
        ValueError: if `width` or `step` is out of its range.
        InputError: as `read_fasta`.

    Example:
        >>> [(name, start, end) for name, start, end, _ in pieces("tests/fixtures/genome.fa", 50, 25)]
        [('chr1', 0, 50), ('chr1', 20, 70), ('chr2', 0, 40)]
    """
    check_windows(width, step)
    return _pieces(path, width, step)


def _pieces(path, width, step):
    for record in read_fasta(path):
        last = max(len(record.sequence) - width, 0)
        for start in itertools.chain(range(0, last, step), [last]):
            letters = record.sequence[start : start + width]
            yield record.name, start, start + len(letters), letters


def read_bed(path, encoding=""):
    """The intervals of a BED file: chromosome, start and end, and perhaps name, score and strand.

    Args:
        path: The file. Fields are between tabs or, in a line without tabs, spaces. Blank lines, comments and lines of
            `track` and `browser` are skipped. "." is no name.
        encoding: Encoding of a file that is not UTF-8.

    Returns:
        An iterator of `Interval`.

    Raises:
        InputError: while iterating, at the first wrong line.

    Example:
        >>> next(read_bed("tests/fixtures/intervals.bed"))
        Interval(line=2, chromosome='chr1', start=5, end=17, name='promoter', strand='+')
    """
    found = False
    for line, text in read_lines(path, encoding):
        text = text.strip()
        if not text or text[0] == "#" or text.split(maxsplit=1)[0] in ("track", "browser"):
            continue
        fields = [field.strip() for field in text.split("\t")] if "\t" in text else text.split()
        if len(fields) < 3:
            expected = "expected a chromosome, a start and an end, between tabs or spaces"
            raise InputError(path, f"{expected}, received {len(fields)} of three.", line)
        start, end = (
            _integer(path, name, field, line) for name, field in zip(("start", "end"), fields[1:], strict=False)
        )
        if start < 0:
            raise InputError(path, f"expected a start of 0 or more, received {start}.", line)
        if end <= start:
            raise InputError(path, f"expected an end after the start, {start}, received {end}.", line)
        name, _, strand = (fields[3:6] + [""] * 3)[:3]
        if (strand or ".") not in STRANDS:
            raise InputError(path, f"expected the strand + or - or . in the sixth column, received {strand!r}.", line)
        yield Interval(line, fields[0], start, end, "" if name == "." else name, strand or ".")
        found = True
    if not found:
        raise InputError(path, "expected intervals, received none.")


def _integer(path, name, text, line):
    if not _INTEGER.fullmatch(text):
        raise error_at(path, f"expected an integer as {name}, received {text!r}.", line)
    return int(text)


def cut(reference, intervals, path):
    """The sequences of intervals, with one sequence of the reference in memory.

    Args:
        reference: FASTA file of the genome. It is read until all chromosomes of the intervals are found.
        intervals: A list of `Interval`.
        path: The BED file of the intervals, for errors.

    Returns:
        List of strings, in the order of the intervals, with the letters of the file; on the strand "-" the reverse
        complement.

    Raises:
        InputError: at an interval on an unknown chromosome or beyond its end, with the line of the BED file; and as
            `read_fasta`.

    Example:
        >>> intervals = list(read_bed("tests/fixtures/intervals.bed"))
        >>> cut("tests/fixtures/genome.fa", intervals, "tests/fixtures/intervals.bed")[1]
        'TCATGCCAATCA'
    """
    found, names, wanted = [None] * len(intervals), [], collections.defaultdict(list)
    for place, interval in enumerate(intervals):
        wanted[interval.chromosome].append((place, interval))
    for record in read_fasta(reference) if wanted else ():
        names.append(record.name)
        for place, interval in wanted.pop(record.name, ()):
            if interval.end > len(record.sequence):
                expected = f"expected an interval within {record.name!r}, which has {len(record.sequence)} bases"
                raise InputError(path, f"{expected}, received {interval.start} ... {interval.end}.", interval.line)
            letters = record.sequence[interval.start : interval.end]
            found[place] = reverse_complement(letters) if interval.strand == "-" else letters
        if not wanted:
            break
    if wanted:
        _, interval = min(one for some in wanted.values() for one in some)
        some = ", ".join(map(repr, names[:NAMED])) + (", ..." if len(names) > NAMED else "")
        expected = f"expected a chromosome of {reference} ({some})"
        raise InputError(path, f"{expected}, received {interval.chromosome!r}.", interval.line)
    return found


def read_variants(path, form=None, skipped=None):
    """The variants of a VCF file (`.vcf`, `.vcf.gz`), or of a table.

    A table has the columns `chromosome`, `position`, `reference` and `alternative`. Several alternatives, between
    commas, are several variants. Alternatives without letters of their own are skipped: `.` (none), `*` (lost with a
    longer one), symbols such as `<DEL>`, and breakends such as `G]17:198982]`.

    Args:
        path: The file.
        form: A `data.files.Form`; None takes the format from the file itself.
        skipped: A `collections.Counter` to which the skipped alternatives are added, by these kinds: "none", "lost",
            "symbol", "breakend".

    Returns:
        An iterator of `Variant`.

    Raises:
        InputError: while iterating, at the first wrong line.

    Example:
        >>> skipped = collections.Counter()
        >>> for variant in read_variants("tests/fixtures/variants.vcf", skipped=skipped):
        ...     print(variant.chromosome, variant.position, variant.reference, variant.alternative)
        chr1 8 C A
        chr1 23 AT A
        chr1 23 AT G
        >>> dict(skipped)
        {'symbol': 1, 'none': 1}
    """
    skipped = collections.Counter() if skipped is None else skipped
    rows = _vcf_rows(path, form) if kind_of(path) == ".vcf" else _variant_rows(path, form)
    for line, chromosome, position, name, reference, alternatives in rows:
        position = _integer(path, "position", position, line)
        if position < 1:
            raise error_at(path, f"expected a position of 1 or more, received {position}.", line)
        reference = _allele(path, "reference", reference, line)
        for alternative in alternatives.split(","):
            kind = _kind_of(alternative.strip())
            if kind:
                skipped[kind] += 1
                continue
            alternative = _allele(path, "alternative", alternative, line)
            if alternative == reference:
                raise error_at(path, f"expected another alternative than the reference, received {reference!r}.", line)
            yield Variant(line, chromosome, position, reference, alternative, "" if name == "." else name)


def _vcf_rows(path, form):
    """(line, chromosome, position, name, reference, alternatives) of each line of a VCF file."""
    found = False
    for line, text in read_lines(path, form.encoding if form else ""):
        if text[0] == "#" or not text.strip():
            found = found or text.startswith("#CHROM")
            continue
        fields = [field.strip() for field in text.split("\t")]
        if len(fields) < 5:
            expected = "expected CHROM, POS, ID, REF and ALT, between tabs"
            raise InputError(path, f"{expected}, received {len(fields)} of five.", line)
        found = True
        yield line, *fields[:5]
    if not found:
        raise InputError(path, "expected a VCF file, with a line #CHROM and variants below it, received neither.")


def _variant_rows(path, form):
    """(line, chromosome, position, name, reference, alternatives) of each row of a table."""
    columns = ["chromosome", "position", "reference", "alternative"]
    for frame in read_table(path, columns, required=columns, form=form):
        for line, *fields in frame.itertuples(name=None):
            chromosome, position, reference, alternatives = (field.strip() for field in fields)
            yield line, chromosome, position, "", reference, alternatives


def _kind_of(alternative):
    """The kind of an alternative without letters of its own; "" if it has letters."""
    if alternative in (".", "*"):
        return "none" if alternative == "." else "lost"
    if "[" in alternative or "]" in alternative or (alternative.strip(".") != alternative):
        return "breakend"
    return "symbol" if alternative.startswith("<") and alternative.endswith(">") else ""


def _allele(path, name, letters, line):
    """An allele in upper case."""
    letters = without_space(letters)
    if wrong := problem(letters) if letters else "expected letters, received none":
        raise error_at(path, f"{name}: {wrong}.", line)
    return letters.upper()
