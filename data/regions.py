"""Windows over sequences, and the places on a genome that their names say."""

import functools
import itertools
import re

from data.transforms.dna import check_windows, reverse_complement


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
        place = functools.partial(_place, whole, start, len(letters))
        if both:
            this, other = ("-", "+") if strand == "-" else ("+", "-")
            yield place(this), letters
            yield place(other), reverse_complement(letters)
        else:
            yield place(strand), letters


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
    return _place(whole, 0, most, whole[-1]), sequence[:most]


def _place(whole, start, length, strand):
    """The region, on a strand, of `length` bases from `start` on of a sequence whose own region is `whole`."""
    chromosome, offset, end, own = whole
    first = offset + start if own != "-" else end - start - length
    return f"{chromosome}:{first + 1}-{first + length}" + (f"({strand})" if strand != "." else "")


def region(name, length):
    """`(chromosome, start, end, strand)` of a sequence's name, with `start` from 0 and `end` not included.

    A region is written as samtools does, from 1 and with its last base, `chr1:101-181(-)`, with or without the strand,
    or as bedtools does, from 0: the number of bases says which. What bedtools puts before it, as in "exon::chr1:9-12",
    is left out. Another name is that of a whole sequence.

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


_REGION = re.compile(r"(?:.*::)?(?P<chromosome>.+):(?P<first>\d+)-(?P<last>\d+)(?:\((?P<strand>[-+.])\))?")


def in_windows(named, width, step, both):
    """Pairs of (name, sequence), with windows in place of each sequence that is longer than `width`; see `windows`.

    A sequence without a name is `sequence_1`, by its number, so that its windows are told from those of others.
    """
    for number, (name, sequence) in enumerate(named, start=1):
        name = name or f"sequence_{number}"
        if len(sequence) <= width:
            yield name, sequence
        else:
            yield from windows(name, sequence, width, step, both)
