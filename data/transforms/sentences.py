"""Sentences to the ids of their words and back, in graph operations, for models that write: without punctuation."""

import itertools

import tensorflow as tf

from data.transforms.subwords import BEGIN, END
from data.transforms.words import PADDING, UNKNOWN_WORD, counted, split

__all__ = ["BEGIN", "END", "PADDING", "UNKNOWN", "Sentences", "learn", "plain"]

UNKNOWN, FIRST_WORD = 3, 4  # ids; those of padding, begin and end are the same as of subwords

_WORD = r".*[\pL\pN].*"
_CLITIC = r" (n't|'(?:s|ll|re|ve|d|m))( |$)"  # what `split` cuts off


def plain(texts):
    """Words of each text in lower case, without punctuation: those of `words.split` with a letter or a number.

    Args:
        texts: `(batch,)` strings.

    Returns:
        `(batch, None)` `tf.RaggedTensor` of strings.

    Example:
        >>> plain(["A dog, and its ball ."]).to_list()
        [[b'a', b'dog', b'and', b'its', b'ball']]
    """
    words = split(texts)
    return tf.ragged.boolean_mask(words, words.with_values(tf.strings.regex_full_match(words.values, _WORD)))


def learn(texts, size, *, minimum=1, held=2_000_000):
    """The most frequent words of a data set.

    Args:
        texts: `tf.data.Dataset` of scalar strings.
        size: Largest number of words to return, a positive integer.
        minimum: How often a word must occur.
        held: Words counted at a time, see `words.counted`.

    Returns:
        List of `str`, the most frequent first, ties in alphabetical order.

    Example:
        >>> learn(tf.data.Dataset.from_tensor_slices(["A dog.", "A cat."]), 2)
        ['a', 'cat']
    """
    total = counted(texts, lambda batch: plain(batch).flat_values, held)
    found = sorted((-times, word) for word, times in total.items() if times >= minimum)
    return [word.decode() for _, word in itertools.islice(found, size)]


class Sentences(tf.Module):
    """Texts to ids of their words and back: 0 is padding, then BEGIN, END, UNKNOWN, and the words of the vocabulary.

    The names of its methods are those of `subwords.Subwords`.

    Args:
        words: The vocabulary, without repetitions.

    Call arguments:
        texts: `(batch,)` strings.

    Returns:
        `(batch, None)` `tf.RaggedTensor` of int64, without BEGIN and END.

    Attributes:
        size: The number of ids.

    Raises:
        ValueError: if a word occurs twice.

    Example:
        >>> sentences = Sentences(["a", "dog", "isn't"])
        >>> ids = sentences(["A dog; a cat!"])
        >>> ids.to_list(), sentences.text(ids).numpy().tolist()
        ([[4, 5, 4, 3]], [b'a dog a <unk>'])
    """

    def __init__(self, words):
        super().__init__()
        if len(set(words)) != len(words):
            twice = next(word for place, word in enumerate(words) if word in words[:place])
            raise ValueError(f"`words` must be different from each other. Received twice: {twice!r}.")
        self.size = FIRST_WORD + len(words)
        self.written = tf.constant(["", "", "", UNKNOWN_WORD, *words])
        self.shown = tf.constant(["", "<s>", "</s>", UNKNOWN_WORD, *words])
        ids = tf.range(FIRST_WORD, self.size, dtype=tf.int64)
        self.ids = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(words, tf.string), ids), UNKNOWN
        )

    def __call__(self, texts):
        return tf.ragged.map_flat_values(self.ids.lookup, plain(texts))

    def text(self, ids):
        """The texts of ids; padding, BEGIN and END are left out.

        Args:
            ids: `(batch, timesteps)` integers, ragged or padded with 0.

        Returns:
            `(batch,)` strings.
        """
        joined = tf.strings.reduce_join(tf.gather(self.written, ids), axis=1, separator=" ")
        joined = tf.strings.strip(tf.strings.regex_replace(joined, " +", " "))
        return tf.strings.regex_replace(joined, _CLITIC, r"\1\2")

    def pieces(self, ids):
        """Each word for display: <s>, </s>, <unk>, and "" for padding.

        Args:
            ids: Integers of any shape, dense or ragged.

        Returns:
            Strings of the same shape.
        """
        return tf.gather(self.shown, ids)
