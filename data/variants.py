"""Variants: differences to a reference, from VCF files, gzip too, and tables; every error has file and line.

Positions are from 1.
"""

import collections
from typing import NamedTuple

from data.files import InputError, kind_of, read_lines
from data.genomes import integer, read_fasta, unknown_chromosome
from data.tables import error_at, read_table
from data.transforms.dna import first_bases, problem, without_space


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
        position = integer(path, "position", position, line)
        reference = _allele(path, "reference", reference, line)
        for alternative in alternatives.split(","):
            kind = _kind_of(alternative.strip())
            if kind:
                skipped[kind] += 1
                continue
            if position < 1:  # a symbol may stand before the first base, at 0
                raise error_at(path, f"expected a position of 1 or more, received {position}.", line)
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
        shorter, with the variant in the middle unless it is near an end. Where the genome has an ambiguous letter, both
        have the bases of the variant, as VCF knows none but N and names the first of those that it stands for.

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
        if (longer := max(len(variant.reference), len(variant.alternative))) > width:
            expected = f"expected a variant within the {width} bases of a window, see --window"
            raise error_at(path, f"{expected}; received one of {longer}.", variant.line)
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
        unknown_chromosome(path, reference, names, variant)


def _around(path, sequence, variant, width):
    """The window around a variant, without and with its alternative."""
    at, after = variant.position - 1, variant.position - 1 + len(variant.reference)
    if after > len(sequence):
        expected = f"expected a position within {variant.chromosome!r}, which has {len(sequence)} bases"
        raise error_at(path, f"{expected}, received {variant.position}.", variant.line)
    if first_bases(sequence[at:after]) != first_bases(variant.reference):
        expected = f"expected the letters of the reference at this position, {sequence[at:after]}"
        raise error_at(path, f"{expected}, received {variant.reference}; is this another reference?", variant.line)
    inserted = len(variant.alternative) - len(variant.reference)
    longer = max(len(variant.reference), len(variant.alternative))
    start = max(0, min(at - (width - longer) // 2, len(sequence) - width))
    # Near the right end the window of the alternative begins elsewhere, so that it is as wide and holds all of it.
    begin = max(0, min(start, len(sequence) + inserted - width))
    begin = max(begin, at + len(variant.alternative) - width)
    both = [(start, variant.reference), (begin, variant.alternative)]
    return [(sequence[first:at] + letters + sequence[after : after + width])[:width] for first, letters in both]
