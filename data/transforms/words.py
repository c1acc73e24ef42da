"""Words to integers and back, in graph operations, so that one object serves training and export."""

import collections
import itertools

import numpy as np
import tensorflow as tf

from data.files import InputError, read_lines

PADDING, UNKNOWN, FIRST_WORD = 0, 1, 2  # ids
UNKNOWN_WORD = "<unk>"

# Control characters and all spaces except the plain one, including those of no width.
_SPACE = r"[\p{Cc}\p{Zl}\p{Zp}\x{A0}\x{1680}\x{2000}-\x{200C}\x{202F}\x{205F}\x{2060}\x{3000}\x{FEFF}]"
# Invisible characters: spaces, control characters, those that Unicode calls ignorable, an empty braille cell.
_NOTHING = (
    r"[\pZ\p{Cc}\x{AD}\x{34F}\x{61C}\x{115F}\x{1160}\x{17B4}\x{17B5}\x{180B}-\x{180F}\x{200B}-\x{200F}\x{202A}-\x{202E}"
    r"\x{2060}-\x{206F}\x{2800}\x{3164}\x{FE00}-\x{FE0F}\x{FEFF}\x{FFA0}\x{FFF0}-\x{FFF8}\x{1BCA0}-\x{1BCA3}"
    r"\x{1D173}-\x{1D17A}\x{E0000}-\x{E0FFF}]+"
)
# Chinese and Japanese characters, each a word of its own.
_IDEOGRAPH = r"[\p{Han}\p{Hiragana}\p{Katakana}]"
# A flag is two letters; a family or a coloured hand is several symbols, joined.
_PICTURE = r"[\x{1F3FB}-\x{1F3FF}\x{FE0F}]*"
_EMOJI = rf"[\x{{1F1E6}}-\x{{1F1FF}}]{{2}}|\p{{So}}{_PICTURE}(?:\x{{200D}}[\pS\p{{So}}]{_PICTURE})*"

_CONTRACTION = (r"(?i)(\pL)(n't)\b", r"\1 \2")

# Rewrites before the text is split into words, in this order.
_REWRITES = (
    (r"(?i)</?(?:br|p|i|b|u|em|strong|span|div|a|hr)(?:[\s/][^<>]{0,500})?>", " "),  # markup
    (r"[‘’ʼ`´]", "'"),
    (r"[“”„]", '"'),
    _CONTRACTION,
    (_IDEOGRAPH, r" \0 "),
    (r"!{4,}", "!!!"),
    (r"\?{4,}", "???"),
)

# Pattern of a word; the first alternative that fits is taken.
_WORD = "|".join(
    (
        r"(?i:n't)\b",
        r"'(?i:s|ll|re|ve|d|m)\b",
        r"<[a-z]+>",  # <unk>
        r"(?i:-[lr][rsc]b-)",  # -lrb-, as treebanks write "("
        r"[:;=]-?[()]|(?i:[:;=]-?d\b)|<3",  # :-)
        r"\pN+(?:[.,:/]\pN+)+",  # 3.5, 8/10
        r"[\pL\pM\pN_]+",
        _EMOJI,
        r"\.{2,}",
        r"\S",
    )
)

_ABBREVIATION = r"(?:\pL\.){2,}"  # U.S.


def visible(texts):
    """The texts unchanged, but "" for those without a visible character: only spaces and characters without width.

    Example:
        >>> visible([" a ", " \u200b"]).numpy().tolist()
        [b' a ', b'']
    """
    return tf.where(tf.strings.regex_full_match(texts, _NOTHING), "", texts)


def split(texts, *, lower=True):
    """Words of each text, including signs that carry meaning, such as "n't", "!" and "8/10".

    "Don't!" is do, n't, !; punctuation, Chinese characters and emoji are words of their own; `<br />` is dropped;
    hyphenated words are split; invalid UTF-8 becomes U+FFFD. Text that is already split stays as it is. A text without
    a visible character has no words.

    Args:
        texts: `(batch,)` strings.
        lower: Whether to write everything in lower case.

    Returns:
        `(batch, None)` `tf.RaggedTensor` of strings.

    Example:
        >>> split(["I don't like it!"]).to_list()
        [[b'i', b'do', b"n't", b'like', b'it', b'!']]
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.regex_replace(texts, _SPACE, " ")  # before `lower`, which stops at a NUL
    if lower:
        texts = tf.strings.lower(texts, encoding="utf-8")
    for pattern, replacement in _REWRITES:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    return tf.strings.split(tf.strings.regex_replace(visible(texts), _WORD, r" \0 "))


def located(texts):
    """Words of each text with their places; nothing is rewritten, so that `text[start:end]` is the word.

    Words are those of `split`, except that case, quotation marks, markup and repeated signs stay as they are, and that
    letters with dots are one word ("U.S.").

    Args:
        texts: `(batch,)` strings; invalid UTF-8 becomes U+FFFD, one character.

    Returns:
        `(words, starts, ends)`, each a `(batch, None)` `tf.RaggedTensor`: strings, and int64 in characters (Unicode
        code points), the end not included.

    Example:
        >>> words, starts, ends = located(["Ann\xa0can't."])
        >>> [word.decode() for word in words[0].numpy()], starts[0].numpy().tolist(), ends[0].numpy().tolist()
        (['Ann', 'ca', "n't", '.'], [0, 4, 6, 9], [3, 6, 9, 10])
    """
    texts = visible(tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace"))
    texts = tf.strings.regex_replace(texts, _SPACE, " ")  # one character becomes one character
    spaced = texts
    for pattern, replacement in (_CONTRACTION, (_IDEOGRAPH, r" \0 "), (rf"{_ABBREVIATION}|{_WORD}", r" \0 ")):
        spaced = tf.strings.regex_replace(spaced, pattern, replacement)
    words = tf.strings.split(spaced)
    # Only spaces were added, so the concatenated words are the text without its spaces.
    characters = tf.strings.unicode_decode(texts, "UTF-8")
    is_space = characters.flat_values == ord(" ")
    places = tf.ragged.range(characters.row_lengths()).flat_values  # of each character in its own text
    places = tf.boolean_mask(places, tf.logical_not(is_space))
    lengths = tf.cast(tf.strings.length(words.flat_values, unit="UTF8_CHAR"), "int64")
    last = tf.cumsum(lengths) - 1
    starts, ends = tf.gather(places, last - lengths + 1), tf.gather(places, last) + 1
    return words, words.with_flat_values(starts), words.with_flat_values(ends)


def learn_words(texts, size, *, lower=True, minimum=1, held=2_000_000):
    """The most frequent words of a data set, found in one pass.

    Args:
        texts: `tf.data.Dataset` of scalar strings.
        size: Largest number of words to return, a positive integer.
        lower: As for `split`.
        minimum: How often a word must occur.
        held: Words counted at a time; if there are more, the rarest half is dropped, which bounds the memory.

    Returns:
        List of `str`, the most frequent first, ties in alphabetical order.

    Raises:
        ValueError: if `size` is not positive.

    Example:
        >>> learn_words(tf.data.Dataset.from_tensor_slices(["good , good", "bad"]), 2)
        ['good', ',']
    """
    if size < 1:
        raise ValueError(f"`size` must be a positive integer. Received: size={size}.")

    total = counted(texts, lambda batch: split(batch, lower=lower).flat_values, held)
    total.pop(UNKNOWN_WORD.encode(), None)
    found = sorted(((-times, word) for word, times in total.items() if times >= minimum))
    return [word.decode() for _, word in itertools.islice(found, size)]


def counted(texts, words_of, held):
    """How often each word occurs, a `collections.Counter` of bytes.

    Args:
        texts: `tf.data.Dataset` of scalar strings.
        words_of: Maps texts `(batch,)` to all of their words, `(words,)`; graph operations only.
        held: Words counted at a time; if there are more, the rarest half is dropped, which bounds the memory.
    """

    @tf.autograph.experimental.do_not_convert
    def count(batch):
        words, _, counts = tf.unique_with_counts(words_of(batch))
        return words, counts

    total = collections.Counter()
    for words, counts in texts.batch(512).map(count, num_parallel_calls=2).as_numpy_iterator():
        total.update(dict(zip(words.tolist(), counts.tolist(), strict=True)))
        if len(total) > held:
            total = collections.Counter(dict(total.most_common(held // 2)))
    return total


class Tokenizer(tf.Module):
    """Texts to word ids and back: 0 is padding, 1 an unknown word, 2 the first of `words`.

    Args:
        words: The vocabulary, without repetitions and without `<unk>`, which is the unknown word.
        lower: Whether texts are converted to lower case.
        max_length: Words kept of a text; None keeps all.
        keep: Which words of a longer text are kept: those at the "start" or at the "end".

    Call arguments:
        texts: `(batch,)` strings.

    Returns:
        `(batch, timesteps)` int64, padded with 0 at the right. A text without words is one unknown word, so that
        every row has at least one timestep; an empty batch has one timestep too.

    Raises:
        ValueError: if a word occurs twice, `max_length` is not positive or `keep` is neither.

    Example:
        >>> tokenizer = Tokenizer(["good", "not"])
        >>> tokenizer(["Not good!", ""]).numpy().tolist()
        [[3, 2, 1], [1, 0, 0]]
    """

    def __init__(self, words, *, lower=True, max_length=None, keep="start"):
        super().__init__()
        words = [UNKNOWN_WORD, *words]
        if len(set(words)) != len(words):
            twice = next(word for word, times in collections.Counter(words).items() if times > 1)
            raise ValueError(f"`words` must be different from each other. Received twice: {twice!r}.")
        if max_length is not None and max_length < 1:
            raise ValueError(f"`max_length` must be a positive integer or None. Received: max_length={max_length}.")
        if keep not in ("start", "end"):
            raise ValueError(f'`keep` must be "start" or "end". Received: keep={keep!r}.')
        self.lower, self.max_length, self.keep = lower, max_length, keep
        self.size = UNKNOWN + len(words)  # number of ids
        ids = tf.range(UNKNOWN, self.size, dtype="int64")
        self.table = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(words), ids), UNKNOWN)
        self.written = tf.constant(["", *words])

    def split(self, texts):
        """All words of each text: `(batch,)` strings -> `(batch, None)` ragged strings."""
        return split(texts, lower=self.lower)

    def shown(self, texts):
        """The words whose ids `ragged` returns, cut at `max_length`: `(batch, None)` ragged strings."""
        words = self.split(texts)
        if self.max_length is not None:
            words = words[:, : self.max_length] if self.keep == "start" else words[:, -self.max_length :]
        empty = tf.cast(words.row_lengths() == 0, "int64")
        filler = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], UNKNOWN_WORD), empty)
        return tf.concat([words, filler], axis=1)

    def ragged(self, texts):
        """Ids without padding: `(batch,)` strings -> `(batch, None)` ragged int64."""
        return tf.ragged.map_flat_values(self.table.lookup, self.shown(texts))

    def __call__(self, texts):
        ids = self.ragged(texts).to_tensor(PADDING)
        return tf.pad(ids, [[0, 0], [0, tf.cast(tf.shape(ids)[1] == 0, "int32")]])

    def inverse(self, ids):
        """The words of ids, joined by a space; padding is dropped and an unknown word is `<unk>`.

        Args:
            ids: `(batch, timesteps)` integers, dense or ragged.

        Returns:
            `(batch,)` strings.
        """
        if not isinstance(ids, tf.RaggedTensor):
            ids = tf.RaggedTensor.from_tensor(ids)
        ids = tf.ragged.boolean_mask(ids, ids != PADDING)
        words = tf.ragged.map_flat_values(lambda values: tf.gather(self.written, values), ids)
        return tf.strings.reduce_join(words, axis=1, separator=" ")


def load_vectors(path, words, *, seed=0):
    """Pretrained word vectors in the text format of GloVe and word2vec (with or without its first line), gzip too.

    Args:
        path: The file: on each line a word and its numbers, between spaces.
        words: The vocabulary of a `Tokenizer`.
        seed: For words that are not in the file: their vectors are drawn from a normal distribution with the
            standard deviation of those in the file.

    Returns:
        `(matrix, found)`: `(len(words) + 2, features)` float32 with zeros for padding; how many words were found.

    Raises:
        InputError: if the file cannot be read, or a line has another number of features or a field that is no number.

    Example:
        >>> matrix, found = load_vectors("tests/fixtures/glove.txt", ["film", "unheard"])
        >>> matrix.shape, found
        ((4, 3), 1)
    """
    wanted = {word: row for row, word in enumerate(words, start=FIRST_WORD)}
    features, word, vectors = None, None, {}
    for number, line in read_lines(path):
        fields = line.rstrip().split(" ")
        if number == 1 and len(fields) == 2 and all(field.isdecimal() for field in fields):
            features = int(fields[1])
            continue
        if features is None:
            features = len(fields) - 1
        word = " ".join(fields[:-features]) if features else ""
        # GloVe has a few words with spaces, such as ". . ."; if one ends in a number, the line has too many features.
        if not word or (len(fields) > features + 1 and _is_number(fields[-features - 1])):
            raise InputError(path, f"expected a word and {features} numbers, received {len(fields) - 1}.", number)
        row = wanted.get(word)
        if row is not None and row not in vectors:
            try:
                vectors[row] = np.array(fields[-features:], "float32")
            except ValueError:
                wrong = next(field for field in fields[-features:] if not _is_number(field))
                raise InputError(path, f"expected {features} numbers, received {wrong!r}.", number) from None
            if not np.isfinite(vectors[row]).all():
                raise InputError(path, "expected finite numbers, received nan or infinity.", number)
    if word is None:
        raise InputError(path, "expected a word and its numbers on each line, received none.")
    scale = np.std(list(vectors.values())) if vectors else 0.05
    matrix = np.random.default_rng(seed).normal(scale=scale, size=(FIRST_WORD + len(wanted), features))
    matrix = matrix.astype("float32")
    matrix[PADDING] = 0
    for row, vector in vectors.items():
        matrix[row] = vector
    return matrix, len(vectors)


def _is_number(field):
    try:
        float(field)
    except ValueError:
        return False
    return True
