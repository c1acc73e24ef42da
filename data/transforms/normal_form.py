"""Unicode normal form C in graph operations: one encoding for equal texts, such as "é" and "e" with an accent.

Source: "Unicode Normalization Forms", Unicode Standard Annex #15, and section 3.11 of the Unicode Standard; the tables
are those of Python's `unicodedata`.
"""

import functools
import itertools
import sys
import unicodedata
from typing import NamedTuple

import numpy as np
import tensorflow as tf

_LONGEST = 4  # characters in a canonical decomposition, at most
_NONE = -1  # no character

# Hangul syllables are made of a leading consonant, a vowel and perhaps a trailing consonant, by arithmetic.
_SYLLABLE, _LEADING, _VOWEL, _TRAILING = 0xAC00, 0x1100, 0x1161, 0x11A7  # the first ones; _TRAILING is the code before
_LEADINGS, _VOWELS, _TRAILINGS = 19, 21, 28
_SYLLABLES = _LEADINGS * _VOWELS * _TRAILINGS


class _Tables(NamedTuple):
    """Tables of Unicode; the keys are in increasing order."""

    settled: str  # pattern of texts that are certainly in normal form
    decomposable: np.ndarray  # (decomposable,) characters
    decompositions: np.ndarray  # (decomposable, _LONGEST) their full decompositions, filled up with _NONE
    marks: np.ndarray  # (marks,) characters whose combining class is not 0
    classes: np.ndarray  # (marks,) their combining classes
    pairs: np.ndarray  # (pairs,) two characters that compose, see `_pair`
    composites: np.ndarray  # (pairs,) the characters that they compose to


@functools.cache
def _tables():
    decompositions, classes, composites, unsettled = {}, {}, {}, set()
    unsettled.update(range(_VOWEL, _VOWEL + _VOWELS), range(_TRAILING + 1, _TRAILING + _TRAILINGS))
    for code in itertools.chain(range(0xD800), range(0xE000, sys.maxunicode + 1)):
        character = chr(code)
        if unicodedata.combining(character):
            classes[code] = unicodedata.combining(character)
        written = unicodedata.decomposition(character)
        if written and not written.startswith("<"):  # those with a tag are not canonical
            decompositions[code] = [ord(part) for part in unicodedata.normalize("NFD", character)]
            if unicodedata.normalize("NFC", character) == character:  # else it is excluded from composition
                first, second = (int(part, 16) for part in written.split())
                composites[int(_pair(first, second))] = code
                unsettled.add(second)
            else:
                unsettled.add(code)
    unsettled.update(classes)
    filled = [decompositions[code] + [_NONE] * (_LONGEST - len(decompositions[code])) for code in decompositions]
    pairs = sorted(composites)
    return _Tables(
        settled=r"[^\x{D800}-\x{DFFF}" + "".join(map(_range, _runs(sorted(unsettled)))) + "]*",
        decomposable=np.array(list(decompositions), "int32"),
        decompositions=np.array(filled, "int32"),
        marks=np.array(list(classes), "int32"),
        classes=np.array(list(classes.values()), "int32"),
        pairs=np.array(pairs, "int64"),
        composites=np.array([composites[pair] for pair in pairs], "int32"),
    )


def _runs(codes):
    """The first and the last of each run of consecutive integers."""
    codes = np.array(codes)
    breaks = np.flatnonzero(np.diff(codes) > 1)
    return zip(codes[np.append(0, breaks + 1)], codes[np.append(breaks, -1)], strict=True)


def _range(run):
    return rf"\x{{{run[0]:X}}}-\x{{{run[1]:X}}}"


def _pair(first, second):
    """One integer for two characters, 21 bits each."""
    return np.int64(first) << 21 | np.int64(second)


def nfc(texts):
    """Unicode normal form C: texts that are canonically equivalent become the same bytes.

    Most texts contain no character that could change; for them one regular expression is all that runs.

    Args:
        texts: `(batch,)` strings; malformed UTF-8 becomes U+FFFD.

    Returns:
        `(batch,)` strings.

    Example:
        >>> nfc(["cafe\\u0301"]).numpy()[0].decode()
        'café'
    """
    texts = tf.convert_to_tensor(texts)
    settled = tf.strings.regex_full_match(texts, _tables().settled)

    def normalised():
        rows = tf.where(tf.logical_not(settled))
        return tf.tensor_scatter_nd_update(texts, rows, _normalised(tf.gather_nd(texts, rows)))

    return tf.cond(tf.reduce_all(settled), lambda: tf.identity(texts), normalised)


@tf.autograph.experimental.do_not_convert  # the conversion took a second, and these are graph operations already
def _normalised(texts):
    characters = _decomposed(tf.strings.unicode_decode(texts, "UTF-8"))
    codes, rows = characters.flat_values, characters.value_rowids()
    codes, rows = _composed(_ordered(codes, rows), rows)
    characters = tf.RaggedTensor.from_value_rowids(codes, rows, characters.nrows(), validate=False)
    return tf.strings.unicode_encode(characters, "UTF-8")


def _decomposed(characters):
    """Each character as its full canonical decomposition; `(batch, characters)` ragged int32, before and after."""
    codes = characters.flat_values
    place, known = _find(codes, _tables().decomposable)
    number = codes - _SYLLABLE
    trailing = number % _TRAILINGS
    syllable = (
        _LEADING + number // (_VOWELS * _TRAILINGS),
        _VOWEL + number // _TRAILINGS % _VOWELS,
        tf.where(trailing > 0, _TRAILING + trailing, _NONE),
    )
    is_syllable = (number >= 0) & (number < _SYLLABLES)
    parts = _filled(codes)  # (characters, _LONGEST)
    parts = tf.where(known[:, None], tf.gather(_tables().decompositions, place), parts)
    parts = tf.where(is_syllable[:, None], _filled(*syllable), parts)
    parts = tf.RaggedTensor.from_tensor(parts, padding=_NONE)
    return characters.with_flat_values(parts).merge_dims(1, 2)


def _filled(*columns):
    """Up to `_LONGEST` columns as `(..., _LONGEST)`; missing columns are _NONE."""
    none = tf.fill(tf.shape(columns[0]), _NONE)
    return tf.stack([*columns, *[none] * (_LONGEST - len(columns))], axis=1)


def _ordered(codes, rows):
    """Sorts the marks after each character by their combining classes."""
    classes = _classes(codes)
    first = tf.concat([tf.ones([1], "bool"), rows[1:] != rows[:-1]], 0)[: tf.size(rows)]  # of a text
    run = tf.cumsum(tf.cast(first | (classes == 0), "int32"))
    return tf.gather(codes, tf.argsort(run * 256 + classes, stable=True))


def _composed(codes, rows):
    """Composes characters and marks until there is nothing left to compose.

    A round composes the first pair of each starter. The next round tries again the marks that did not compose; this is
    harmless: two characters are in the table only if their full decomposition, in canonical order, composes to the same
    character.
    """

    def compose(codes, rows, changed):
        classes, place = _classes(codes), tf.range(tf.size(codes))
        is_starter = tf.cast(classes == 0, "int32")
        before = tf.cumsum(is_starter, exclusive=True)  # starters before each character
        starters = tf.concat([[0], tf.cast(tf.where(is_starter)[:, 0], "int32")], 0)
        starter = tf.gather(starters, before)  # the last starter before each character
        previous = tf.concat([[0], classes[:-1]], 0)[: tf.size(codes)]
        adjacent = starter == place - 1
        reaches = (before > 0) & (tf.gather(rows, starter) == rows) & (adjacent | (previous < classes))
        composite, known = _composite(tf.gather(codes, starter), codes)
        possible = reaches & known
        possible &= ~tf.gather(possible, starter)  # a starter that is itself composed waits for the next round
        count = tf.cumsum(tf.cast(possible, "int32"))
        chosen = possible & (count - 1 == tf.gather(count, starter))
        taken = tf.where(chosen)
        codes = tf.tensor_scatter_nd_update(
            codes, tf.gather_nd(starter, taken)[:, None], tf.gather_nd(composite, taken)
        )
        return tf.boolean_mask(codes, ~chosen), tf.boolean_mask(rows, ~chosen), tf.reduce_any(chosen)

    shapes = tf.TensorShape([None]), tf.TensorShape([None]), tf.TensorShape([])
    codes, rows, _ = tf.while_loop(
        lambda codes, rows, changed: changed, compose, (codes, rows, tf.constant(True)), shape_invariants=shapes
    )
    return codes, rows


def _composite(first, second):
    """The character that two characters compose to, and whether they do."""
    pair = tf.bitwise.left_shift(tf.cast(first, "int64"), tf.constant(21, "int64")) | tf.cast(second, "int64")
    place, known = _find(pair, _tables().pairs)
    composite = tf.gather(_tables().composites, place)
    leading, vowel, trailing, syllable = first - _LEADING, second - _VOWEL, second - _TRAILING, first - _SYLLABLE
    opens = (leading >= 0) & (leading < _LEADINGS) & (vowel >= 0) & (vowel < _VOWELS)
    closes = (syllable >= 0) & (syllable < _SYLLABLES) & (syllable % _TRAILINGS == 0)
    closes &= (trailing > 0) & (trailing < _TRAILINGS)
    composite = tf.where(opens, _SYLLABLE + (leading * _VOWELS + vowel) * _TRAILINGS, composite)
    return tf.where(closes, first + trailing, composite), known | opens | closes


def _classes(codes):
    place, known = _find(codes, _tables().marks)
    return tf.where(known, tf.gather(_tables().classes, place), 0)


def _find(values, keys):
    """The position of each value among the increasing `keys`, and whether it is one of them."""
    place = tf.minimum(tf.searchsorted(keys, values), len(keys) - 1)
    return place, tf.gather(keys, place) == values
