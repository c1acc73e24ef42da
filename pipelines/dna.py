"""What is this DNA, and where is its signal? Sequences with a label, several, or one at each base.

    python -m pipelines.dna                                          the built-in promoters: the demo
    python -m pipelines.dna train --data train.fasta --validation-data valid.fasta
    python -m pipelines.dna predict --run runs/dna TTGACATTAGCCGATTCGAATTGATATAAT
    python -m pipelines.dna predict --run runs/dna --input genome.fa --window 100 --to hits.bed
    python -m pipelines.dna variants --run runs/dna --data variants.vcf --reference genome.fa
    python -m pipelines.dna export --run runs/dna

A file is FASTA with `label=...` in its headers, a folder with a FASTA file for each label, BED with `--reference`, or a
table with the columns `sequence` and `label`. The result is a run folder with weights, metrics, those of k-mers as
baseline, and pictures; `export` writes a SavedModel from strings to labels and probabilities.
"""

import collections
import dataclasses
import functools
from typing import ClassVar, Literal

import keras
import numpy as np
import tensorflow as tf

from data import similar
from data.files import InputError
from data.sets import sequences
from data.transforms import dna
from data.transforms.labels import Labels
from layers import CRFAccuracy, CRFLoss, Scan
from pipelines.engine.command import main
from pipelines.engine.loading import splits_of
from pipelines.engine.settings import Network
from pipelines.engine.task import About, Extras, Parts, Task
from pipelines.engine.training import say
from pipelines.evaluation import classification, genomic
from pipelines.evaluation import sequences as evaluation
from pipelines.networks import genomic as genomic_network


@dataclasses.dataclass
class Config(Network):
    kind: Literal["one", "several", "positions"] = "one"
    """what a label is: one for a sequence, several with semicolons between, or a character at each base"""
    sequence_column: str = "sequence"
    """column of the sequence in a table"""
    label_column: str = "label"
    """column of the label in a table, or word before = in a FASTA header"""
    labels: str = ""
    """table with the columns id and label, for FASTA without labels in its headers"""
    reference: str = ""
    """FASTA file that the intervals of a BED file refer to"""
    signal: str = ""
    """the label to look for, in variants and .bedgraph; else the rarest one"""
    strand: Literal["one", "augment", "shared"] = "one"
    """strand that is read: as given; for both the same answer, with one drawn in training or both"""
    filters: int = 64
    """motifs that are looked for by convolution; 0: the recurrent levels read k-mers"""
    width: int = 11
    """bases of a motif"""
    kmer: int = 3
    """bases of a k-mer, without filters"""
    pool: int = 3
    """neighbouring positions of which the strongest motif is kept"""
    pooling: Literal["auto", "flat", "last", "mean", "max", "mean-max", "attention"] = "auto"
    """how timesteps become one vector; auto: flat, place by place, for sequences of one length, else mean-max"""
    linear: bool = True
    """whether linear paths over k-mers and places vote too"""
    crf: bool = True
    """with labels at each base, whether transitions between them are learnt"""
    balanced: bool = False
    """whether all labels weigh the same in the loss, also rare ones"""
    similar: float = 0.4
    """share of k-mers from which on two sequences stay in one fold of a cross-validation; 1: only equal ones"""
    length: int | None = None
    """length of all sequences, which are read place by place; 0: many lengths; else by the data"""
    max_length: int = 20_000
    """bases read of a sequence"""
    dropout: float = 0.4
    """share dropped before and after the recurrent levels"""
    # Shared settings with other defaults for DNA.
    units: int = 32
    """width of the carry, in each direction"""
    epochs: int = 30
    """passes over the training data"""
    patience: int = 6
    """epochs without improvement before it stops; 0: never"""

    RANGES: ClassVar = {
        **dict.fromkeys(("max_length", "width", "pool"), (1, None)),
        **{"filters": (0, None), "length": (0, 10_000), "kmer": (1, 6), "dropout": (0, 0.99), "similar": (0.1, 1)},
    }
    HELP: ClassVar = {
        "data": ("kind", "sequence_column", "label_column", "labels", "reference"),
        "network": ("strand", "filters", "linear", "dropout"),
    }


def load(config):
    if config.kind == "positions":
        if config.strand != "one":
            raise InputError("--strand", "expected one for labels at each base: predict reads both strands by itself.")
        if config.balanced:
            raise InputError("--balanced", "expected --no-balanced for labels at each base, which all weigh the same.")
    opened = lambda path: sequences.load(path, **reading(config))
    return splits_of(config, sequences, functools.partial(check, config), opened, labels=labels_of)


def labels_of(config, label):
    return sequences.singles(label.decode(), config.kind)


def check(config, path, known):
    most = {"most": config.length}
    if config.kind == "positions":
        most = {"most": config.max_length, "why": "see --max-length, as labels at each base are not cut"}
    return sequences.check(path, **reading(config), known=known, **most)


def labelled(path, config, vocabularies):
    check(config, path, vocabularies["labels"])
    return sequences.load(path, **reading(config))


def reading(config):
    """Arguments of `sequences.check` and `sequences.load` from the configuration."""
    names = ("sequence_column", "label_column", "labels", "reference", "kind", "form")
    several = bool(config.validation_data or config.test_data)  # files, which may share a table of labels
    return {**{name: getattr(config, name) for name in names}, "partly": several}


def choose(config, splits):
    """Sets the length of all sequences, if they have the same one: the network reads these place by place."""
    length = config.length if config.kind != "positions" and config.pooling in ("auto", "flat") else 0
    length = sequences.common_length(splits.values(), config.max_length) if length is None else length
    if length:
        say(f"all sequences have {length} bases: the network reads them place by place")
    elif config.pooling == "flat":
        raise InputError("--pooling", "expected another for labels at each base, or for sequences of many lengths.")
    return dataclasses.replace(config, length=length)


def vocabularies(config, train):
    """The labels, the rarest last, and how often each occurs."""
    counts, longer = collections.Counter(), 0
    read = train.map(lambda text, label: (label, tf.strings.length(text) > config.max_length))
    for labels, are_longer in read.batch(4096).as_numpy_iterator():
        counts.update(one for label in labels.tolist() for one in sequences.singles(label.decode(), config.kind))
        longer += are_longer.sum()
    if longer:
        say(f"{longer:,} training sequences are longer than --max-length: {config.max_length:,} bases of each are read")
    if len(counts) < (1 if config.kind == "several" else 2):
        raise InputError(config.data or config.dataset, f"expected two or more labels, received {list(counts)}.")
    if config.signal and config.signal not in counts:
        raise InputError("--signal", f"expected one of the labels {', '.join(counts)}, received {config.signal!r}.")
    labels = sorted(counts, key=lambda label: (-counts[label], label))
    return {"labels": labels, "counts": [counts[one] for one in labels]}


def build(config, vocabularies):
    labels, length = vocabularies["labels"], config.length or None
    transform = Labels(labels, config.kind)
    codes = keras.Input([length], dtype="int64", name="codes")  # (batch, timesteps)
    pool = 1 if config.kind == "positions" else config.pool
    scan = Scan(config.filters, config.width, pool, config.seed) if config.filters else None
    known = {"kind": config.kind, "signal": config.signal or labels[-1], "scan": scan}
    extras = Extras(constants={"labels": labels}, known=known)
    if config.kind == "positions":
        model, loss, metric = genomic_network.tagger(config, codes, scan, labels), CRFLoss(), CRFAccuracy()
    else:
        model, vote, extras.adapt = genomic_network.classifier(config, codes, scan, len(labels))
        weights = np.mean(vocabularies["counts"]) / vocabularies["counts"] if config.balanced else None
        loss, metric = classification.SmoothedCrossentropy(weights=weights), classification.Accuracy()
        if config.kind == "several":
            loss, metric = classification.SeveralCrossentropy(weights), classification.SeveralAUROC(len(labels))
        extras.calibrate = functools.partial(classification.calibrate, vote)
    return Parts(
        signature=tf.TensorSpec([None], tf.string, "sequence"),
        prepare=lambda texts: dna.fixed(dna.codes(texts)[:, : config.max_length], length),
        target=lambda texts, given: transform(given),
        model=model,
        loss=loss,
        metrics=[metric],
        answer=functools.partial(evaluation.answer, transform),
        samples=["", "ACGTN", ("acgu" * 8)[:length]],
        extras=extras,
    )


def groups(config, examples):
    """The cluster of similar sequences that each example belongs to, and its label."""
    texts, labels = zip(*examples.as_numpy_iterator(), strict=True)
    found = similar.clusters([text.decode().replace("U", "T") for text in texts], threshold=config.similar)
    return found, np.array(labels) if config.kind == "one" else None


ABOUT = About(
    pipeline_tag="text-classification",
    metrics={"accuracy": "accuracy", "macro_f1": "f1", "auroc": "roc_auc", "mcc": "matthews_correlation"},
    limits=(
        "A probability is one for sequences as frequent as in the training data. Along a genome a signal is far rarer, "
        "so most hits there are false unless they are ranked.",
        "Sequences of another species, length or place than the training data get an answer too.",
        "Effects of mutations are those on the network's answer, not on an organism. It is no medical device.",
    ),
    examples=lambda config: ["TTGACATTAGCCGATTCGAATTGATATAAT"],
    pasted=lambda text: ".fasta" if text.lstrip().startswith(">") else "",
)


TASK = Task(
    "dna",
    Config,
    load,
    vocabularies,
    build,
    evaluation,
    labelled,
    predict=genomic.Windows,
    evaluate=genomic.Measure,
    inputs=genomic.asked,
    choose=choose,
    groups=groups,
    labels=labels_of,
    verbs={"variants": genomic.VARIANTS},
    about=ABOUT,
)

if __name__ == "__main__":
    main(TASK)
