"""Answers about regions of a genome as tracks for genome browsers: BED and bedGraph."""

import itertools
import math
import re

from data import regions
from data.files import InputError
from data.transforms import dna

BACKGROUND = "N.-0"  # labels of bases that no line of a BED file is written for


def region(name, length):
    """`(chromosome, start, end, strand)` of an answer's name, with `start` from 0 and `end` not included.

    The name is read by `data.regions.region`.

    Example:
        >>> region("plasmid 1", 50)
        ('plasmid_1', 0, 50, '.')
    """
    chromosome, *place = regions.region(name, length)
    return _column(chromosome), *place


def _column(text):
    """A text without the white space that would end a column."""
    return re.sub(r"\s+", "_", text.strip()) or "."


def _placed(found):
    """Each answer with its `region`; answers without a name are numbered from 1."""
    for number, answer in enumerate(found, start=1):
        yield answer, region(answer.get("name", f"sequence_{number}"), len(dna.without_space(answer["sequence"])))


def write_bed(parts, found, path):
    """Writes BED: chromosome, start (from 0), end, label, score and strand; a line for each answer, as they come.

    The score is 1000 times the probability of the label. Of several labels the line has that of `known["signal"]`. Of
    labels of bases there is a line for each run of bases with the same label, except N, "." , "-" and 0, with score 0,
    as they have no probability of their own; on the strand - the first base is the last one of the window.

    Source of the format: "The Browser Extensible Data (BED) format", J. Niu, D. Denisko and M. M. Hoffman, 2022.
    """
    with open(path, "w", encoding="utf-8") as file:
        for answer, (chromosome, start, end, strand) in _placed(found):
            for first, last, label, score in _features(parts, answer, end - start):
                if strand == "-":
                    first, last = end - start - last, end - start - first
                place = f"{chromosome}\t{start + first}\t{start + last}"
                file.write(f"{place}\t{_column(label)}\t{score}\t{strand}\n")


def _features(parts, answer, length):
    """(start, end, label, score) of the features of an answer, in bases of its sequence."""
    if "probability" in answer:
        yield 0, length, answer["label"], round(1000 * answer["probability"])
    elif "probabilities" in answer:
        signal = parts.extras.known["signal"]
        yield 0, length, signal, round(1000 * answer["probabilities"][signal])
    else:
        end = 0
        for label, run in itertools.groupby(answer["labels"]):
            start, end = end, end + len(list(run))
            if label not in BACKGROUND:
                yield start, end, label, 0


def write_bedgraph(parts, found, path):
    """Writes bedGraph: chromosome, start (from 0), end and the probability of the label `known["signal"]`.

    Both strands of a window are one line, with the larger probability. Lines may not overlap, so each base is in that
    of the last window over it: a window ends where the next one begins, and goes on where one within it has ended.
    Lines are written as the answers come, those of the last windows excepted.

    Source of the format: "bedGraph Track Format", genome browser of the University of California, Santa Cruz.

    Raises:
        InputError: if the labels are those of bases, or if windows are not in the order of their starts, chromosome by
            chromosome.
    """
    if parts.extras.known["kind"] == "positions":
        raise InputError(
            "--to",
            "expected .bed, .jsonl, .csv or .html for labels of bases, received .bedgraph, which holds one probability "
            "for each window.",
        )
    signal = parts.extras.known["signal"]
    with open(path, "w", encoding="utf-8") as file:
        named = signal.replace('"', "'")
        file.write(f'track type=bedGraph name="{named}" description="probability of {named}"\n')
        before, done = None, set()  # the place of the last window, and the chromosomes before its own
        reaching = []  # (end, probability) of the windows that are not written to their ends, the shortest last
        for answer, (chromosome, start, end, _) in _placed(found):
            probability, place = answer["probabilities"][signal], (chromosome, start, end)
            if before:
                same = before[0] == chromosome
                if start < before[1] if same else chromosome in done:
                    raise _disordered(before, *place)
                if place == before:
                    probability = max(probability, reaching[-1][1])
                file.writelines(_lines(before, start if same else math.inf, reaching))
            reaching = [*(one for one in reaching if one[0] > end), (end, probability)]
            before = place
            done.add(chromosome)
        if before:
            file.writelines(_lines(before, math.inf, reaching))


def _lines(before, until, reaching):
    """The lines from the start of the last window to `until`; windows that end there are taken out of `reaching`."""
    chromosome, start, _ = before
    while reaching and start < until:
        end, probability = reaching[-1]
        stop = min(end, until)
        yield f"{chromosome}\t{start}\t{stop}\t{probability:.4f}\n"
        start = stop
        if end <= until:
            reaching.pop()


def _disordered(before, chromosome, start, end):
    last, begun, ended = before
    received = f"{chromosome}:{start + 1}-{end} after {last}:{begun + 1}-{ended}"
    expected = "expected windows in the order of their starts, chromosome by chromosome, for .bedgraph"
    return InputError("--to", f"{expected}, received {received}.")
