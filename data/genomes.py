"""Files of genomes: FASTA and BED, gzip too, record by record; every error has file and line.

Positions in BED are from 0, with the end not included.
"""

import collections
import re
from typing import NamedTuple

from Bio.SeqIO.FastaIO import SimpleFastaParser

from data.files import InputError, kind_of, read_lines
from data.tables import SUFFIXES, error_at, read_table
from data.transforms.dna import problem, reverse_complement, without_space

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
            integer(path, name, field, line) for name, field in zip(("start", "end"), fields[1:], strict=False)
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


def integer(path, name, text, line):
    """A field of a line as an integer; raises InputError if it is none."""
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
        unknown_chromosome(path, reference, names, min(one for some in wanted.values() for one in some)[1])
    return found


def named(path, *, form=None, sequence_column="sequence", reference=""):
    """The sequences of a file without labels, with names for their answers.

    Args:
        path: A FASTA file; a BED file, cut out of `reference`; a table with a column of sequences; or a text file with
            a sequence on each line.
        form, sequence_column, reference: As for `data.sets.sequences.load`.

    Returns:
        An iterator of (name, sequence). The name is that of the record, of a BED file a region such as
        "chr1:101-181(-)", else the path and the line.

    Raises:
        InputError: while iterating, at the first wrong line.

    Example:
        >>> [(name, len(sequence)) for name, sequence in named("tests/fixtures/genome.fa")]
        [('chr1', 70), ('chr2', 40)]
    """
    encoding = form.encoding if form else ""
    if is_fasta(path):
        yield from ((record.name, record.sequence) for record in read_fasta(path, encoding))
    elif kind_of(path) == ".bed":
        check_reference(path, reference)
        intervals = list(read_bed(path, encoding))
        for interval, sequence in zip(intervals, cut(reference, intervals, path), strict=True):
            yield f"{interval.chromosome}:{interval.start + 1}-{interval.end}({interval.strand})", sequence
    elif kind_of(path) in SUFFIXES:
        for frame in read_table(path, [sequence_column], required=[sequence_column], form=form):
            for line, sequence in frame[sequence_column].items():
                yield f"{path}:{line}", checked(path, line, sequence)
    else:
        for line, text in read_lines(path, encoding):
            if text.strip():
                yield f"{path}:{line}", checked(path, line, text)


def checked(path, line, sequence):
    """A sequence without white space; raises InputError at letters that are not DNA's."""
    if wrong := problem(sequence):
        raise error_at(path, f"{wrong}.", line)
    return without_space(sequence)


def check_reference(path, reference):
    if not reference:
        raise InputError(path, "expected a FASTA file that the intervals refer to, received none; add --reference.")


def unknown_chromosome(path, reference, names, found):
    """Raises InputError: an interval or a variant is on none of the sequences `names` of the reference."""
    some = ", ".join(map(repr, names[:NAMED])) + (", ..." if len(names) > NAMED else "")
    expected = f"expected a chromosome of {reference} ({some})"
    raise error_at(path, f"{expected}, received {found.chromosome!r}.", found.line)
