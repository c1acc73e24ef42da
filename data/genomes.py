"""Files of genomes: FASTA, BED and VCF, gzip too, record by record; every error has file and line.

Positions in BED are from 0, with the end not included; those in VCF are from 1.
"""

import collections
import itertools
import re
from typing import NamedTuple

from Bio.SeqIO.FastaIO import SimpleFastaParser

from data.files import SUFFIXES, InputError, error_at, kind_of, read_lines, read_table
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


def windows(name, sequence, width, step, both=False):
    """Windows of equal width over a sequence. The last one ends at its end, so that each base is in one.

    Args:
        name: Name of the sequence.
        sequence: Its letters, a string.
        width: Bases of a window, a positive integer.
        step: Bases from the start of a window to the next, a positive integer, at most `width`.
        both: Whether each window is read on both strands.

    Returns:
        An iterator of (region, letters); a region is "chr1:101-181", from 1 and with its end, and with `both` followed
        by the strand: "(+)" or "(-)". A sequence that is shorter than `width` is one window. Where the name is itself
        a region, see `region`, the windows are places of its chromosome, in their order there.

    Raises:
        ValueError: if `width` or `step` is out of its range.

    Example:
        >>> list(windows("chr1", "ACGTT", 4, 3))
        [('chr1:1-4', 'ACGT'), ('chr1:2-5', 'CGTT')]
        >>> list(windows("chr1:101-105(-)", "ACGTT", 4, 3, both=True))[:2]
        [('chr1:101-104(-)', 'CGTT'), ('chr1:101-104(+)', 'AACG')]
    """
    check_windows(width, step)
    whole = region(name, len(sequence))
    last, strand = max(len(sequence) - width, 0), whole[-1]
    starts = itertools.chain(range(0, last, step), [last])
    for start in starts if strand != "-" else reversed(list(starts)):
        letters = sequence[start : start + width]
        place = _place(whole, start, len(letters))
        if both:
            yield f"{place}({'-' if strand == '-' else '+'})", letters
            yield f"{place}({'+' if strand == '-' else '-'})", reverse_complement(letters)
        else:
            yield f"{place}({strand})" if strand != "." else place, letters


def beginning(name, sequence, most):
    """The first bases of a sequence, at most `most`, and their region.

    Returns:
        `(name, letters)`; a sequence that is cut has a region as its name, as of `windows`.

    Example:
        >>> beginning("chr1", "ACGTT", 4), beginning("chr1:101-105(-)", "ACGTT", 4), beginning("chr1", "ACGTT", 5)
        (('chr1:1-4', 'ACGT'), ('chr1:102-105(-)', 'ACGT'), ('chr1', 'ACGTT'))
    """
    if len(sequence) <= most:
        return name, sequence
    whole = region(name, len(sequence))
    return _place(whole, 0, most) + (f"({whole[-1]})" if whole[-1] != "." else ""), sequence[:most]


def _place(whole, start, length):
    """The region, without its strand, of `length` bases from `start` on of a sequence whose own region is `whole`."""
    chromosome, offset, end, strand = whole
    first = offset + start if strand != "-" else end - start - length
    return f"{chromosome}:{first + 1}-{first + length}"


def region(name, length):
    """`(chromosome, start, end, strand)` of a sequence's name, with `start` from 0 and `end` not included.

    A region is written as samtools does, from 1 and with its last base, `chr1:101-181(-)`, with or without the strand,
    or as bedtools does, from 0: the number of bases says which. Another name is that of a whole sequence.

    Example:
        >>> region("chr1:101-181(-)", 81), region("chr1:100-181", 81), region("plasmid", 50)
        (('chr1', 100, 181, '-'), ('chr1', 100, 181, '.'), ('plasmid', 0, 50, '.'))
    """
    found = _REGION.fullmatch(name)
    if found:
        start, end = int(found["first"]), int(found["last"])
        start -= end - start != length
        if start >= 0 and end - start == length:
            return found["chromosome"], start, end, found["strand"] or "."
    return name, 0, length, "."


_REGION = re.compile(r"(?P<chromosome>.+):(?P<first>\d+)-(?P<last>\d+)(?:\((?P<strand>[-+.])\))?")


def in_windows(named, width, step, both):
    """Pairs of (name, sequence), with windows in place of each sequence that is longer than `width`; see `windows`."""
    for name, sequence in named:
        if len(sequence) <= width:
            yield name, sequence
        else:
            yield from windows(name or "sequence", sequence, width, step, both)


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
        _unknown_chromosome(path, reference, names, min(one for some in wanted.values() for one in some)[1])
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
            yield f"{path}:{line}", checked(path, line, text)


def checked(path, line, sequence):
    """A sequence without white space; raises InputError at letters that are not DNA's."""
    if wrong := problem(sequence):
        raise error_at(path, f"{wrong}.", line)
    return without_space(sequence)


def check_reference(path, reference):
    if not reference:
        raise InputError(path, "expected a FASTA file that the intervals refer to, received none; add --reference.")


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


def alleles(path, reference, width, form=None, skipped=None):
    """The variants of a file, with the letters around them, in the order of the reference's sequences.

    Args:
        path: VCF file or table of variants, see `read_variants`.
        reference: FASTA file of the genome; one of its sequences is in memory.
        width: Letters of a window around a variant, a positive integer.
        form, skipped: As for `read_variants`.

    Returns:
        An iterator of (variant, letters, letters with the alternative): `width` of each, or fewer if the sequence is
        shorter, with the variant in the middle unless it is near an end.

    Raises:
        InputError: at a variant on an unknown sequence, beyond its end, longer than the window, or whose reference
            letters are not those of the reference, with the line of the variant.

    Example:
        >>> for variant, one, other in alleles("tests/fixtures/variants.vcf", "tests/fixtures/genome.fa", 6):
        ...     print(variant.position, one, other)
        8 GACATT GAAATT
        23 GCATGA GCAGAC
        23 GCATGA GCGGAC
    """
    wanted = collections.defaultdict(list)
    for variant in read_variants(path, form, skipped):
        if max(len(variant.reference), len(variant.alternative)) > width:
            raise error_at(path, f"expected a variant within the {width} bases of a window.", variant.line)
        wanted[variant.chromosome].append(variant)
    names = []
    for record in read_fasta(reference) if wanted else ():
        names.append(record.name)
        sequence = record.sequence.upper()
        for variant in wanted.pop(record.name, ()):
            yield variant, *_around(path, sequence, variant, width)
        if not wanted:
            return
    if wanted:
        variant = min((one for some in wanted.values() for one in some), key=lambda one: one.line)
        _unknown_chromosome(path, reference, names, variant)


def _around(path, sequence, variant, width):
    """The window around a variant, without and with its alternative."""
    at, after = variant.position - 1, variant.position - 1 + len(variant.reference)
    if after > len(sequence):
        expected = f"expected a position within {variant.chromosome!r}, which has {len(sequence)} bases"
        raise error_at(path, f"{expected}, received {variant.position}.", variant.line)
    if sequence[at:after] != variant.reference:
        expected = f"expected the letters of the reference at this position, {sequence[at:after]}"
        raise error_at(path, f"{expected}, received {variant.reference}; is this another reference?", variant.line)
    inserted = len(variant.alternative) - len(variant.reference)
    longer = max(len(variant.reference), len(variant.alternative))
    start = max(0, min(at - (width - longer) // 2, len(sequence) - width))
    # Near the right end the window of the alternative begins elsewhere, so that it is as wide and holds all of it.
    begin = max(0, min(start, len(sequence) + inserted - width))
    begin = max(begin, at + len(variant.alternative) - width)
    changed = sequence[begin:at] + variant.alternative + sequence[after : after + width]
    return sequence[start : start + width], changed[:width]


def _unknown_chromosome(path, reference, names, found):
    some = ", ".join(map(repr, names[:NAMED])) + (", ..." if len(names) > NAMED else "")
    expected = f"expected a chromosome of {reference} ({some})"
    raise error_at(path, f"{expected}, received {found.chromosome!r}.", found.line)
