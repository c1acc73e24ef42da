"""Features of a word: its number, its case and its letters, for tasks where unseen names matter."""

import collections

import tensorflow as tf

from data.transforms.words import PADDING, UNKNOWN, located

# The cases of a word; the first pattern that fits counts. 0 is padding.
_CASES = (
    r"\pN[\pN.,:/-]*",
    r".*\pN.*",
    r"\p{Lu}",
    r"\p{Lu}\P{Lu}+",
    r"\p{Lu}[\p{Lu}.]+",
    r"[\p{Ll}']+",
    r".*\pL.*",
    r".*",
)
CASES = 1 + len(_CASES)


def key(words):
    """The form in which words are looked up: lower case, digits as 0."""
    return tf.strings.lower(tf.strings.regex_replace(words, r"\pN", "0"), encoding="utf-8")


def learn(texts, size, minimum=1):
    """The most frequent words, by their `key`, and all characters of a data set.

    Args:
        texts: `tf.data.Dataset` of scalar strings.
        size: Largest number of words, a positive integer.
        minimum: How often a word must occur.

    Returns:
        `(words, characters)`, lists of `str`, the most frequent first, ties in alphabetical order.

    Example:
        >>> learn(tf.data.Dataset.from_tensor_slices(["Ann 7 ann"]), 1)
        (['ann'], ['n', '7', 'A', 'a'])
    """

    @tf.autograph.experimental.do_not_convert
    def look(batch):
        words = located(batch)[0].flat_values
        return words, key(words)

    words, characters = collections.Counter(), collections.Counter()
    for written, keys in texts.batch(512).map(look, num_parallel_calls=2).as_numpy_iterator():
        words.update(keys.tolist())
        characters.update(b"".join(written.tolist()).decode())
    first = sorted((-times, word) for word, times in words.items() if times >= minimum)[:size]
    return [word.decode() for _, word in first], [one for _, one in sorted((-n, one) for one, n in characters.items())]


class Spelling(tf.Module):
    """Texts to numbers for each word: one for the word, one for its case and one for each letter.

    Args:
        words: The words that have a number, as `learn` returns them; others are unknown.
        characters: The characters that have a number.
        letters: How many characters of a word are read, from its start; a positive integer.

    Attributes:
        sizes: How many numbers words, cases and characters have; 0 is padding, 1 an unknown word or character.

    Call arguments:
        texts: `(batch,)` strings.

    Returns:
        `(batch, timesteps, 2 + letters)` int64, padded with 0 at the right, at least one timestep.

    Example:
        >>> spelling = Spelling(["ann"], ["A", "n"], letters=4)
        >>> spelling(["Ann met"]).numpy().tolist()
        [[[2, 4, 2, 3, 3, 0], [1, 6, 1, 1, 1, 0]]]
    """

    def __init__(self, words, characters, letters=16):
        super().__init__()
        self.letters = letters
        self.sizes = UNKNOWN + 1 + len(words), CASES, UNKNOWN + 1 + len(characters)
        self.words = _table(words, tf.string)
        self.characters = _table([ord(one) for one in characters], tf.int64)

    def features(self, words):
        """`(words,)` strings -> `(words, 2 + letters)` int64."""
        letters = tf.strings.unicode_decode(words, "UTF-8")[:, : self.letters]
        letters = letters.with_flat_values(self.characters.lookup(tf.cast(letters.flat_values, "int64")))
        letters = letters.to_tensor(PADDING, shape=[None, self.letters])
        case = tf.zeros(tf.shape(words), "int64")
        for number, pattern in reversed(list(enumerate(_CASES, start=1))):
            case = tf.where(tf.strings.regex_full_match(words, f"(?s:{pattern})"), tf.cast(number, "int64"), case)
        return tf.concat([self.words.lookup(key(words))[:, None], case[:, None], letters], axis=1)

    def ragged(self, texts):
        """The result of a call without padding, ragged."""
        words = located(texts)[0]
        return words.with_values(self.features(words.values))

    def __call__(self, texts):
        found = self.ragged(texts).to_tensor(PADDING, shape=[None, None, 2 + self.letters])
        missing = tf.cast(tf.shape(found)[1] == 0, "int32")  # a batch of empty texts
        return tf.pad(found, [[0, 0], [0, missing], [0, 0]])


def _table(keys, dtype):
    values = tf.range(UNKNOWN + 1, UNKNOWN + 1 + len(keys), dtype="int64")
    return tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(tf.constant(keys, dtype), values), UNKNOWN)
