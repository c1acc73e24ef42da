"""What is asked of a genome: windows in `predict`, metrics of a file, and `variants`, effects of a few other bases."""

import collections
import dataclasses
import functools
from typing import ClassVar

import numpy as np

from data import genomes, regions
from data.files import InputError
from data.variants import alleles
from pipelines.engine import command, inputs, verbs, writing
from pipelines.engine.settings import Answers, Evaluate, Predict
from pipelines.engine.task import Verb
from pipelines.engine.training import say
from pipelines.evaluation import mutagenesis, sequences

WIDTH = 200  # bases around a variant that are read, where the training data have many lengths
AT_ONCE = 512


@dataclasses.dataclass
class Windows(Predict):
    """Answers to sequences, to those of files (--input), or to windows over them."""

    window: int = 0
    """bases of the windows that longer sequences are cut into; else the length of all training sequences"""
    step: int = 0
    """bases from a window to the next; else half a window"""
    reference: str | None = None
    """FASTA file that the intervals of a BED file refer to"""

    RANGES: ClassVar = dict.fromkeys(("window", "step"), (0, None))


@dataclasses.dataclass
class Measure(Evaluate):
    """Metrics on labelled sequences."""

    labels: str = ""
    """table with the columns id and label, for FASTA without labels in its headers"""
    reference: str | None = None
    """FASTA file that the intervals of a BED file refer to"""


def asked(flags, config):
    """The sequences of `predict`, or windows over longer ones: on both strands, if the network reads one."""
    width = width_of(flags, config)
    if flags.step and not width:
        raise InputError("--step", "expected --window too, the bases of a window.")
    if flags.step > width:
        raise InputError("--step", f"expected at most {width}, the bases of a window, received {flags.step}.")
    settings = {"form": config.form, "sequence_column": config.sequence_column, "reference": config.reference}
    check = functools.partial(genomes.checked, "predict", None)
    found = inputs.read(flags, check, functools.partial(genomes.named, **settings))
    step = flags.step or -(-width // 2)
    if width:
        one_strand = config.strand == "one" or config.kind == "positions"
        return regions.in_windows(found, width, step, both=one_strand)
    return whole(found, config.max_length)


def whole(named, most):
    """Pairs of (name, sequence) as they come; longer sequences than the network reads are named and cut."""
    for number, (name, sequence) in enumerate(named, start=1):
        if len(sequence) > most:
            name = name or f"sequence_{number}"
            say(
                f"{name}: only the first {most:,} of {len(sequence):,} bases are read, as in training; --window reads "
                "all of it"
            )
            name, sequence = regions.beginning(name, sequence, most)
        yield name, sequence


def width_of(flags, config):
    """Bases of a window; 0 for whole sequences."""
    if config.length and flags.window > config.length:
        wanted = f"expected at most {config.length}, the length of the sequences of training"
        raise InputError("--window", f"{wanted}, which the network reads place by place; received {flags.window}.")
    if flags.window > config.max_length:
        wanted = f"expected at most {config.max_length}, the bases that the network reads of a sequence"
        raise InputError("--window", f"{wanted}; received {flags.window}.")
    return flags.window or config.length


@dataclasses.dataclass
class Variants(Answers):
    """Effects of variants: the change of the signal's log odds from the reference's bases to the alternative ones."""

    data: str = ""
    """VCF file, or table with the columns chromosome, position, reference and alternative"""
    reference: str = ""
    """FASTA file of the genome"""
    window: int = 0
    """bases read around a variant; else the length of all training sequences, or 200"""
    signal: str | None = None
    """the label whose log odds are compared; else as in training"""

    RANGES: ClassVar = {"window": (0, None)}


def variants(task, flags):
    """Writes or prints the effect of each variant of a file."""
    for name in ("data", "reference"):
        if not getattr(flags, name):
            raise InputError(f"--{name}", "expected a file, received none.")
    config, _, parts = verbs.restored(task, flags.run, **command.replaced(task, flags))
    if config.kind == "positions":
        raise InputError("variants", "expected a run with labels of sequences, received one with labels at each base.")
    if config.signal and config.signal not in parts.extras.constants["labels"]:
        labels = ", ".join(parts.extras.constants["labels"])
        raise InputError("--signal", f"expected one of the labels {labels}, received {config.signal!r}.")
    skipped, width = collections.Counter(), width_of(flags, config) or WIDTH
    found = alleles(flags.data, flags.reference, width, config.form, skipped)
    command.show(writing.TABLES, parts, effects(parts, found), flags, format_effects)
    if skipped:
        kinds = ", ".join(f"{number:,} of the kind {kind}" for kind, number in skipped.items())
        say(f"{flags.data}: left out, as they have no letters: {kinds}")


def effects(parts, variants):
    """The effects of variants, as they come.

    Args:
        parts: `Parts` of a classifier of sequences; `extras.known["signal"]` is the label whose log odds are compared.
        variants: Iterator of (variant, letters, letters with the alternative), see `data.variants.alleles`.

    Returns:
        Iterator of dictionaries: `name`, a region such as "chr1:101-101"; `id`; `variant`, such as "A>G"; the
        probability of the signal with the letters of the `reference` and of the `alternative`; `effect`, the change of
        its log odds in nats.
    """
    signal = parts.extras.constants["labels"].index(parts.extras.known["signal"])
    for some in verbs.grouped(variants, AT_ONCE):
        answers = sequences.answers(parts, [letters for _, *both in some for letters in both])
        probabilities = np.array([list(answer["probabilities"].values()) for answer in answers])  # in the labels' order
        odds = mutagenesis.log_odds(parts, probabilities)
        p, odds = (of_labels[:, signal].reshape(-1, 2) for of_labels in (probabilities, odds))
        for (variant, *_), (one, other), change in zip(some, p, odds[:, 1] - odds[:, 0], strict=True):
            last = variant.position + len(variant.reference) - 1
            yield {
                "name": f"{variant.chromosome}:{variant.position}-{last}",
                "id": variant.id,
                "variant": f"{variant.reference}>{variant.alternative}",
                "reference": float(one),
                "alternative": float(other),
                "effect": float(change),
            }


def format_effects(parts, found, colours):
    """A line for each of `effects`: place, variant, both probabilities of the signal, and the effect."""
    for one in found:
        place, change = one["name"].rsplit("-", 1)[0], f"{one['effect']:+.4f}"
        yield f"{place}\t{one['variant']}\t{one['reference']:.4f}\t{one['alternative']:.4f}\t{change}"


VARIANTS = Verb(Variants, variants)
