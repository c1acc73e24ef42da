"""Pairs of sentences for translation: tables, two parallel files, a built-in set, and public sets by name.

An example is (source, target): two scalar strings, in the order of the file. The arguments `source` and `target` name
columns of a table, or the languages at the end of the names of parallel files. Sentences are as on disk, except that
control characters, including line ends within a cell, become spaces; tabs are kept. Pairs with a side that has no
visible character are left out.
"""

import functools
import itertools
import pathlib
import re

import tensorflow as tf

from data import public_sets
from data.examples import in_chunks
from data.files import Form, InputError, kind_of, read_lines
from data.sets import bitext_grammar
from data.tables import SUFFIXES, fields_of, read_table
from data.transforms.words import visible

SPLITS = bitext_grammar.SIZES  # pairs in the built-in set

_SIGNATURE = (tf.TensorSpec([None], tf.string), tf.TensorSpec([None], tf.string))
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f-\x9f]")  # Unicode category Cc without the tab


def check(path, *, source="0", target="1", form=None):
    """Reads all pairs once to check and count them.

    Args:
        path, source, target, form: As for `load`.

    Returns:
        A dictionary of counts: "pairs"; the pairs left out because both sides ("empty") or one side ("one_sided") have
        no visible character; pairs whose sides are the "same" (if many, both may be in one language); pairs with a
        "control" character, which `load` replaces by a space; words, between spaces, of the "longest" sentence.

    Raises:
        InputError: at the first error: no such files, a file in another encoding, parallel files with different
            numbers of lines, or no pairs.

    Example:
        >>> check("tests/fixtures/pairs.tsv")
        {'pairs': 4, 'empty': 0, 'one_sided': 0, 'same': 0, 'control': 0, 'longest': 10}
    """
    found = {"pairs": 0, "empty": 0, "one_sided": 0, "same": 0, "control": 0, "longest": 0}
    for sides, pair, shown in _pairs(path, source, target, form):
        if not any(shown):
            found["empty"] += 1
        elif not all(shown):
            found["one_sided"] += 1
        else:
            found["pairs"] += 1
            found["same"] += pair[0].strip() == pair[1].strip()
            found["control"] += pair != sides
            found["longest"] = max(found["longest"], *(len(side.split()) for side in pair))
    if not found["pairs"]:
        some = f"{found['one_sided']:,} with a sentence on one side alone" if found["one_sided"] else "none"
        raise InputError(path, f"expected pairs of sentences, received {some}.")
    return found


def load(path, *, source="0", target="1", form=None):
    """The pairs of sentences of a table or of two parallel files, read while they are used.

    Args:
        path: A table, see `data.tables.read_table`; or `.tsv` or `.txt` without a header, with tabs between columns and
            no special meaning of quotation marks, as Anki and Tatoeba export them. Or the common beginning of the names
            of two parallel files, one sentence on each line: "train" of `train.en` and `train.de`. Each also with
            `.gz`, except Parquet.
        source, target: Names of columns of a table; their numbers, from "0", if there is no header; or the ends of
            the names of parallel files, such as "en" and "de".
        form: A `data.files.Form`; None takes the format from the file itself.

    Returns:
        A `tf.data.Dataset` of (source, target): scalar strings, in the order of the file.

    Raises:
        InputError: as `check`. All pairs are checked before this returns.

    Example:
        >>> for english, french in load("tests/fixtures/parallel", source="en", target="fr").take(1):
        ...     print(english.numpy().decode(), french.numpy().decode())
        We saw her yesterday. Nous l'avons vue hier.
    """
    check(path, source=source, target=target, form=form)

    def chunks():
        pairs = (pair for _, pair, shown in _pairs(path, source, target, form) if all(shown))
        while chunk := list(itertools.islice(pairs, 1024)):
            yield tuple(map(list, zip(*chunk, strict=True)))

    return in_chunks(chunks, _SIGNATURE)


def _pairs(path, source, target, form):
    """For each pair (sides as in the file, sides without control characters, whether each side is visible)."""
    rows = _rows(_files(path, source, target), source, target, form or Form())
    while some := [list(sides) for sides in itertools.islice(rows, 1024)]:
        clean = [[_CONTROL.sub(" ", side) for side in sides] for sides in some]
        yield from zip(some, clean, (visible(clean) != "").numpy().tolist(), strict=True)


def _files(path, source, target):
    """The file of the sources and the file of the targets; a table is both."""
    if source == target:
        expected = f"expected two languages, received {source!r} twice"
        raise InputError(path, f"{expected}; name them as in --source en --target de.")
    if pathlib.Path(path).is_file() and kind_of(path) in (*SUFFIXES, ".txt"):
        return path, path
    names = [f"{path}.{language}" for language in (source, target)]
    files = [next(filter(_is_file, (name, f"{name}.gz")), name) for name in names]
    if not any(map(_is_file, files)):
        tables = ", ".join((*SUFFIXES, ".txt"))
        expected = f"expected a table ({tables}) or the parallel files {' and '.join(names)}, received neither"
        raise InputError(path, f"{expected}; say train.en and train.de as --data train --source en --target de.")
    return tuple(files)


def _is_file(path):
    return pathlib.Path(path).is_file()


def _rows(files, source, target, form):
    """(source, target) of each row, with control characters."""
    if files[0] != files[1]:
        return _parallel_rows(files, form)
    if kind_of(files[0]) in (".tsv", ".txt") and source.isdecimal() and target.isdecimal():
        return _rows_without_header(files[0], int(source), int(target), form)
    return _table_rows(files[0], source, target, form)


def _parallel_rows(files, form):
    lines = [0, 0]
    for rows in itertools.zip_longest(*(read_lines(file, form.encoding) for file in files)):
        lines = [row[0] if row else number for row, number in zip(rows, lines, strict=True)]
        if all(rows):
            yield tuple(line.rstrip("\r\n") for _, line in rows)
    if lines[0] != lines[1]:
        raise InputError(files[1], f"expected {lines[0]:,} lines, as in {files[0]}, received {lines[1]:,}.")


def _rows_without_header(path, source, target, form):
    for number, line in read_lines(path, form.encoding):
        if line.strip():
            fields = fields_of(path, number, line, max(source, target), form.separator)
            yield fields[source], fields[target]
        else:
            yield "", ""


def _table_rows(path, source, target, form):
    try:
        for frame in read_table(path, [source, target], form=form):
            yield from zip(frame[source], frame[target], strict=True)
    except InputError as error:
        if "expected one column" in str(error):
            error.args = (f"{str(error).removesuffix('.')}; name two of them: --source en --target de.",)
        raise


# Public sets.


def public(name, split, *, source="0", target="1", data_dir=None):
    """A public set of translations of TensorFlow Datasets, downloaded at the first use.

    Args:
        name: Its name there, such as "ted_hrlr_translate/pt_to_en".
        split: One of `public_splits(name)`.
        source, target: Codes of languages, such as "pt" and "en"; "0" and "1" are the set's supervised source and
            target or, if it has none, its first and second language in alphabetical order.
        data_dir: Folder of the data sets; None is `~/tensorflow_datasets`.

    Returns:
        A `tf.data.Dataset` of (source, target): scalar strings, in a fixed order.

    Raises:
        InputError: if there is no such set, split or language, or it has no translations or cannot be downloaded.
    """
    found = public_sets.Public(name, data_dir)
    if found.is_translation(found.features):
        translation, of = found.features, lambda example: example
    else:
        feature = found.feature("translation", found.is_translation)
        translation, of = found.features[feature], lambda example: example[feature]
    languages = sorted(translation)
    order = [language for language in found.builder.info.supervised_keys or () if language in languages] or languages
    chosen = [order[int(one)] if one in ("0", "1") and one not in languages else one for one in (source, target)]
    for language in chosen:
        if language not in languages:
            expected = f"expected one of the languages {', '.join(languages)}, received {language!r}"
            raise InputError(name, f"{expected}; name two of them: --source {order[0]} --target {order[1]}.")
    if chosen[0] == chosen[1]:
        raise InputError(name, f"expected two languages, received {chosen[0]!r} twice.")
    pairs = found.examples(split).map(lambda example: tuple(of(example)[language] for language in chosen))
    return pairs.filter(lambda *pair: tf.reduce_all(visible(tf.stack(pair)) != ""))


def public_splits(name, *, data_dir=None):
    """Which of "train", "validation" and "test" a public set has; downloads the set if needed.

    Raises:
        InputError: as `public`.
    """
    return list(public_sets.Public(name, data_dir).splits)


# The built-in set.


def built_in(split, seed=0):
    """English sentences of everyday life and their French translations, made by the grammar in `bitext_grammar`.

    The translation of a word depends on the whole sentence: articles, adjectives and participles agree, verbs have a
    form for each person, pronouns stand before the verb ("I see him": "je le vois"), "not" is two words, and a question
    inverts verb and subject. So translating word by word fails, but every English sentence has one translation. No
    English sentence occurs twice, within a split or in two; every word of validation and test is common in training.

    Args:
        split: "train" (16,000 pairs), "validation" (500) or "test" (500).
        seed: Seed of the generator: another seed gives other sentences.

    Returns:
        A `tf.data.Dataset` of (English, French): scalar strings, in a fixed order.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> for english, french in built_in("train").take(1):
        ...     print(english.dtype, french.dtype)
        <dtype: 'string'> <dtype: 'string'>
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}.")
    english, french = zip(*_written(seed)[split], strict=True)
    return tf.data.Dataset.from_tensor_slices((list(english), list(french)))


@functools.lru_cache(maxsize=2)
def _written(seed):
    return bitext_grammar.written(seed)
