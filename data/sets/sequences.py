"""Labelled DNA: the user's own file, the built-in set of promoters, and public sets by name.

`load`, `built_in` and `public` return the same thing: a `tf.data.Dataset` of (sequence, label), both scalar strings, in
a fixed order. Sequences are in upper case, without white space; U stays U.
"""

import collections
import pathlib
import re

import tensorflow as tf

from data import public_sets
from data.examples import in_chunks
from data.files import PACKED, InputError, kind_of
from data.genomes import FASTA, check_reference, cut, is_fasta, read_bed, read_fasta
from data.sets.promoters import SPLITS, built_in
from data.tables import SUFFIXES, error_at, read_table
from data.transforms.dna import problem, without_space
from data.transforms.labels import KINDS, SEPARATOR

__all__ = ["KINDS", "SPLITS", "built_in", "check", "common_length", "load", "public", "public_splits", "singles"]

INDEXES = (".fai", ".gzi", ".fxi")  # suffixes of what samtools and others write beside a FASTA file
AT_ONCE, LETTERS_AT_ONCE = 1024, 2**22  # sequences and their letters that are read together, at most
_SIGNATURE = (tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.string))


def check(
    path,
    *,
    known=None,
    most=None,
    why="the length of all training sequences",
    form=None,
    sequence_column="sequence",
    label_column="label",
    labels="",
    partly=False,
    reference="",
    kind="one",
):
    """Reads the whole file once to check and count its sequences.

    Args:
        path: The file or folder.
        known: The labels that may occur: those of the training data; None allows any.
        most: Bases that a sequence may have; None or 0 allows any.
        why: The reason, for the error.
        form, sequence_column, label_column, labels, partly, reference, kind: As for `load`.

    Returns:
        `{"rows": number, "labels": {label: number}}`, the most frequent label first, ties in alphabetical order; each
        of several labels, and each character of labels of positions, is counted by itself.

    Raises:
        InputError: at the first wrong line.

    Example:
        >>> check("tests/fixtures/sequences.fasta")
        {'rows': 3, 'labels': {'background': 2, 'promoter': 1}}
    """
    counts, rows = collections.Counter(), 0
    source = path, form, sequence_column, label_column, labels, partly, reference, kind
    for line, file, sequence, label in _rows(*source):
        found = collections.Counter(singles(label, kind))
        unknown = next((one for one in found if known is not None and one not in known), None)
        if unknown is not None:
            expected = ", ".join(map(repr, known))
            raise error_at(file, f"expected a label of the training data ({expected}), received {unknown!r}.", line)
        if most and len(sequence) > most:
            expected = f"expected at most {most} bases, {why}"
            raise error_at(file, f"{expected}, received {len(sequence)}.", line)
        counts.update(found)
        rows += 1
    return {"rows": rows, "labels": dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))}


def load(
    path,
    *,
    form=None,
    sequence_column="sequence",
    label_column="label",
    labels="",
    partly=False,
    reference="",
    kind="one",
):
    """The sequences and labels of a file, read while they are used.

    Args:
        path: One of these, the files also with `.gz`:
            A table that `data.tables.read_table` reads, with a column of sequences and one of labels.
            A FASTA file (`.fasta`, `.fa`, `.fna`, `.ffn`, `.fas`), whose headers hold `label=...` (`label_column` is
            the word before "="; a value with spaces is in double quotes), or whose labels are in the table `labels`.
            A folder with a FASTA file for each label, which is named after it: `promoter.fasta`. Files whose names
            begin with ".", and indexes such as `promoter.fasta.fai`, are left out.
            A BED file (`.bed`), whose fourth column is the label. Its sequences, on their strands, come from
            `reference`, and are all kept in memory.
        form: A `data.files.Form`; None takes the format from the file itself.
        sequence_column: Column or key of the sequence in a table.
        label_column: Column or key of the label.
        labels: A table with the columns `id`, the name of a sequence in the FASTA file, and `label_column`; "" if the
            headers hold the labels.
        partly: Whether `labels` may also name sequences that are not in the FASTA file, such as those of another split.
        reference: FASTA file that the intervals of a BED file refer to.
        kind: What a label is: "one" label for the sequence; "several", between semicolons, also none; "positions": a
            visible character for each base.

    Returns:
        A `tf.data.Dataset` of (sequence, label): scalar strings, in the order of the file. White space around labels
        is removed.

    Raises:
        InputError: at the first wrong line. The whole file is checked before this returns.
        ValueError: if there is no such kind.

    Example:
        >>> for sequence, label in load("tests/fixtures/sequences.csv").skip(2):
        ...     print(sequence.numpy().decode(), label.numpy().decode())
        AUGGCAUUACGGCAUUAA background
    """
    source = path, form, sequence_column, label_column, labels, partly, reference, kind
    for _ in _rows(*source):
        pass

    def chunks():
        sequences, found, letters = [], [], 0
        for _, _, sequence, label in _rows(*source):
            sequences.append(sequence)
            found.append(label)
            letters += len(sequence)
            if len(sequences) == AT_ONCE or letters > LETTERS_AT_ONCE:
                yield sequences, found
                sequences, found, letters = [], [], 0
        if sequences:
            yield sequences, found

    return in_chunks(chunks, _SIGNATURE)


def common_length(splits, most):
    """The length of all sequences of several data sets; 0 if it differs, or is more than `most`.

    Example:
        >>> common_length([tf.data.Dataset.from_tensor_slices((["ACG", "GGC"], ["a", "b"]))], most=100)
        3
    """
    lengths = set()
    for examples in splits:
        for texts, _ in examples.batch(4096).as_numpy_iterator():
            lengths |= set(map(len, texts.tolist()))
            if len(lengths) > 1 or max(lengths) > most:
                return 0
    return max(lengths, default=0)


def singles(label, kind):
    """The single labels that a label of this kind holds.

    Example:
        >>> singles("a;b", "several"), singles("..E", "positions"), singles("a;b", "one")
        (['a', 'b'], ['.', '.', 'E'], ['a;b'])
    """
    if kind == "several":
        return label.split(SEPARATOR) if label else []
    return list(label) if kind == "positions" else [label]


def _rows(path, form, sequence_column, label_column, labels, partly, reference, kind):
    """(line, file, sequence, label) of each example, checked; the file is another than `path` in a folder."""
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}.")
    encoding = form.encoding if form else ""
    if labels and (pathlib.Path(path).is_dir() or not is_fasta(path)):
        raise InputError("--labels", f"expected data in a FASTA file, received {path}, which has labels of its own.")
    if pathlib.Path(path).is_dir():
        rows = _folder_rows(path, encoding)
    elif is_fasta(path):
        rows = _fasta_rows(path, form, label_column, labels, partly, kind)
    elif kind_of(path) == ".bed":
        rows = _bed_rows(path, encoding, reference, kind)
    else:
        rows = _table_rows(path, form, sequence_column, label_column, kind)
    for line, file, sequence, label in rows:
        yield line, file, sequence.upper(), _label(file, line, sequence, label, kind)


def _label(path, line, sequence, label, kind):
    """A label without white space around it, and several ones without repetition; checked."""
    label = label.strip()
    if kind == "several":
        return SEPARATOR.join(dict.fromkeys(one.strip() for one in label.split(SEPARATOR) if one.strip()))
    if not label:
        raise error_at(path, "expected a label, received none.", line)
    if kind == "positions":
        if len(label) != len(sequence):
            expected = f"expected a label of one character for each of the {len(sequence)} bases"
            raise error_at(path, f"{expected}, received {len(label)}.", line)
        unseen = next((one for one in sorted(set(label)) if one.isspace() or not one.isprintable()), None)
        if unseen:
            raise error_at(path, f"expected visible characters as labels of positions, received {unseen!r}.", line)
    return label


def _table_rows(path, form, sequence_column, label_column, kind):
    """The rows of a table."""
    columns = [sequence_column, label_column]
    if kind_of(path) not in SUFFIXES:
        known = ", ".join((*SUFFIXES, *FASTA, ".bed"))
        raise InputError(
            path, f"expected a folder of FASTA files or one of {known}, received {kind_of(path) or 'no suffix'!r}."
        )
    required = columns[:1] if kind == "several" else columns
    for frame in read_table(path, columns, required=required, chunk_rows=AT_ONCE, form=form):
        for line, sequence, label in frame.itertuples(name=None):
            if wrong := problem(sequence):
                raise error_at(path, f"column {sequence_column!r}: {wrong}.", line)
            yield line, path, without_space(sequence), label


def _fasta_rows(path, form, label_column, labels, partly, kind):
    """The records of a FASTA file, with the labels of their headers or of the table `labels`."""
    quoted = r"""(?P<mark>["'])(?P<quoted>.*?)(?P=mark)(?!\S)"""
    value = re.compile(rf"(?:^|\s){re.escape(label_column)}=(?:{quoted}|(?P<plain>\S*))")
    given = _given_labels(labels, form, label_column, kind) if labels else {}
    for record in read_fasta(path, form.encoding if form else ""):
        if labels and record.name not in given:
            raise InputError(path, f"expected a label of {record.name!r} in {labels}, received none.", record.line)
        found = value.search(record.description)
        if not labels and not found:
            expected = f"expected {label_column}=... in the header of {record.name!r}, received none"
            raise InputError(path, f"{expected}; labels may also be in a table, see --labels.", record.line)
        if not labels and (found["plain"] or "").startswith(('"', "'")):
            expected = f"expected a closing quote after {label_column}= in the header of {record.name!r}"
            raise InputError(path, f"{expected}, received none.", record.line)
        label = given.pop(record.name)[0] if labels else found["quoted"] or found["plain"] or ""
        yield record.line, path, record.sequence, label
    for name, (_, line) in () if partly else given.items():
        raise error_at(labels, f"expected a sequence {name!r} in {path}, received none.", line)


def _given_labels(path, form, label_column, kind):
    """Name -> (label, line) of a table of labels."""
    columns, found = ["id", label_column], {}
    for frame in read_table(path, columns, required=columns[:1] if kind == "several" else columns, form=form):
        for line, name, label in frame.itertuples(name=None):
            name = name.strip()
            if name in found:
                expected = f"expected another id than in line {found[name][1]}"
                raise error_at(path, f"{expected}, received {name!r}.", line)
            found[name] = label, line
    return found


def _folder_rows(path, encoding):
    """The records of a folder of FASTA files, each named after its label."""
    found = {}
    for file in sorted(pathlib.Path(path).iterdir()):
        if file.name.startswith(".") or file.suffix.lower() in INDEXES:
            continue
        if file.is_dir() or not is_fasta(file):
            expected = "expected FASTA files alone, one for each label"
            raise InputError(path, f"{expected}, received {file.name!r}.")
        label = pathlib.Path(file.stem).stem if file.suffix.lower() in PACKED else file.stem
        if label in found:
            raise InputError(path, f"expected one file for each label, received {found[label]!r} and {file.name!r}.")
        found[label] = file.name
    if not found:
        raise InputError(path, "expected FASTA files, one for each label, received an empty folder.")
    for label, name in found.items():
        file = pathlib.Path(path) / name
        for record in read_fasta(file, encoding):
            yield record.line, file, record.sequence, label


def _bed_rows(path, encoding, reference, kind):
    """The intervals of a BED file, with their sequences."""
    check_reference(path, reference)
    intervals = list(read_bed(path, encoding))
    for interval in intervals:
        if kind != "several" and not interval.name:
            expected = "expected a label in the fourth column, the name of the interval"
            raise InputError(path, f"{expected}, received none.", interval.line)
    for interval, sequence in zip(intervals, cut(reference, intervals, path), strict=True):
        yield interval.line, path, sequence, interval.name


def public(name, split, *, data_dir=None):
    """A public set of labelled sequences in TensorFlow Datasets, downloaded at the first use.

    Args:
        name: Its name there, such as "genomics_ood".
        split: One of `public_splits(name)`.
        data_dir: Folder of the data sets; None is `~/tensorflow_datasets`.

    Returns:
        A `tf.data.Dataset` of (sequence, name of the label): scalar strings, in a fixed order.

    Raises:
        InputError: if there is no such set or split, or it has no labelled sequences or cannot be downloaded.
    """
    found = public_sets.Public(name, data_dir)
    wanted = "seq" if "seq" in found.features else "sequence"
    sequence, label = found.feature(wanted, found.is_text), found.feature("label", found.is_label)
    names = tf.constant(found.features[label].names)
    # Sets made for a contest have -1 for labels that are not published.
    examples = found.examples(split).filter(lambda example: example[label] >= 0)
    if next(iter(examples.take(1)), None) is None:
        raise InputError(name, f"expected labels in the split {split!r}, received none.")
    return examples.map(lambda example: (tf.strings.upper(example[sequence]), tf.gather(names, example[label])))


def public_splits(name, *, data_dir=None):
    """Which of "train", "validation" and "test" a public set has; downloads the set if needed.

    Raises:
        InputError: as `public`.
    """
    return list(public_sets.Public(name, data_dir).splits)
