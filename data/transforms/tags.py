"""Tags of words for entities: the schemes and their conversion; from tags to places in a text and back."""

import bisect

import tensorflow as tf

from data.transforms.words import located, visible

SCHEMES = ("BIO", "IOB1", "BIOES", "BIOUL", "BMES", "IO")

# Prefix of the first, inner, last and only word of an entity.
_PREFIXES = {"BIO": "BIIB", "BIOES": "BIES", "BIOUL": "BILU", "BMES": "BMES"}


def spans(tags):
    """The entities that tags of any scheme mark, read as `conlleval` reads them.

    An entity begins at B, S or U, and at any other tag that does not continue an entity of its own type. So IOB1 needs
    no special rule, and tags that break their scheme still mark entities.

    Args:
        tags: List of "O" or of prefix, "-" and label, such as "B-PER".

    Returns:
        List of (start, end, label), in words, the end not included.

    Example:
        >>> spans(["I-PER", "I-PER", "O", "B-LOC", "B-LOC"])
        [(0, 2, 'PER'), (3, 4, 'LOC'), (4, 5, 'LOC')]
    """
    found, start, before = [], None, ("O", "")
    for place, tag in enumerate([*tags, "O"]):
        prefix, _, label = tag.partition("-")
        goes_on = prefix in ("I", "M", "E", "L") and before[0] in ("B", "I", "M") and label == before[1]
        if not goes_on:
            if start is not None:
                found.append((start, place, before[1]))
            start = None if prefix == "O" else place
        before = prefix, label
    return found


def tagged(entities, length, scheme="BIO"):
    """Tags of a scheme that mark entities: the inverse of `spans`, except in IO, where neighbours of a type are one.

    Args:
        entities: List of (start, end, label), in words; they do not overlap.
        length: Number of words.
        scheme: One of `SCHEMES`.

    Returns:
        List of `length` tags.

    Raises:
        ValueError: if there is no such scheme.

    Example:
        >>> tagged([(0, 3, "PER"), (3, 4, "PER")], 5, "BIOES")
        ['B-PER', 'I-PER', 'E-PER', 'S-PER', 'O']
    """
    if scheme not in SCHEMES:
        raise ValueError(f"`scheme` must be one of {', '.join(SCHEMES)}. Received: scheme={scheme!r}.")
    tags, before = ["O"] * length, None
    for start, end, label in sorted(entities):
        if scheme in ("IOB1", "IO"):
            first = "B" if scheme == "IOB1" and before == (start, label) else "I"
            prefixes = first + "I" * (end - start - 1)
        else:
            first, inner, last, only = _PREFIXES[scheme]
            prefixes = only if end - start == 1 else first + inner * (end - start - 2) + last
        tags[start:end] = [f"{prefix}-{label}" for prefix in prefixes]
        before = end, label
    return tags


def convert(tags, scheme):
    """Tags of any scheme as tags of another; only IO loses something: the border between neighbours of one type.

    Example:
        >>> convert(["I-PER", "I-PER", "O"], "BIO")
        ['B-PER', 'I-PER', 'O']
    """
    return tagged(spans(tags), len(tags), scheme)


def edges(texts):
    """Places of the visible words of texts; a span means some of these words.

    Args:
        texts: List of `str`.

    Returns:
        For each text `(starts, ends)`, lists of places in characters (Unicode code points), the end not included. The
        words are those of `words.located` without words of spaces, control characters and characters of no width.

    Example:
        >>> edges(["Ann \u200b\u200e met", " "])
        [([0, 7], [3, 10]), ([], [])]
    """
    words, starts, ends = located(tf.constant(texts, tf.string, shape=[len(texts)]))
    shown = words.with_flat_values(visible(words.flat_values) != "")
    starts, ends = (tf.ragged.boolean_mask(one, shown).to_list() for one in (starts, ends))
    return list(zip(starts, ends, strict=True))


def resolve(start, end, starts, ends):
    """The whole words that a span means: the words of `edges` that share a character with it.

    A span with spaces or characters of no width at its edges means the words within; one that begins or ends within a
    word means the whole word. These words are the entity in training, evaluation and answers.

    Args:
        start, end: The span, in characters, the end not included.
        starts, ends: The places of a text's words, see `edges`.

    Returns:
        `(start, end)` of the words; None if there are none.

    Example:
        >>> (edge,) = edges(["Ann Lee met"])
        >>> resolve(0, 4, *edge), resolve(1, 5, *edge), resolve(3, 4, *edge)
        ((0, 3), (0, 7), None)
    """
    first, last = bisect.bisect_right(ends, start), bisect.bisect_left(starts, end) - 1
    return (starts[first], ends[last]) if first <= last else None


class Tags(tf.Module):
    """The entities of a text as a number for each word, and back, in graph operations.

    Args:
        labels: The kinds of entities, different from each other.
        scheme: "BIO", "BIOES", "BIOUL" or "BMES".

    Attributes:
        names: The tags in the order of their numbers, "O" first.

    Raises:
        ValueError: if the scheme is not one of these; in IOB1, for example, a tag depends on the entity before it.

    Example:
        >>> tags = Tags(["PER"], "BIO")
        >>> starts, ends = tf.ragged.constant([[0, 4, 8]]), tf.ragged.constant([[3, 7, 14]])  # Ann met Bo Lee
        >>> tags(starts, ends, tf.ragged.constant([[["8", "14", "PER"]]], ragged_rank=1)).to_list()
        [[0, 0, 1]]
    """

    def __init__(self, labels, scheme="BIOES"):
        super().__init__()
        if scheme not in _PREFIXES:
            raise ValueError(f"`scheme` must be one of {', '.join(_PREFIXES)}. Received: scheme={scheme!r}.")
        self.labels = list(labels)
        self.names = ["O"]
        marks = []  # for each label: the tags of the first, an inner, the last and the only word
        for label in self.labels:
            long, short = tagged([(0, 3, label)], 3, scheme), tagged([(0, 1, label)], 1, scheme)
            self.names += list(dict.fromkeys(long + short))
            marks.append([self.names.index(name) for name in long + short])
        self.marks = tf.constant(marks, "int64", shape=(len(marks), 4))
        label_of = [self.labels.index(name[2:]) if name != "O" else -1 for name in self.names]
        self.label_of = tf.constant(label_of, "int64")
        goes_on = [
            ["O" not in (one, other) and len(spans([one, other])) == 1 for other in self.names] for one in self.names
        ]
        self.goes_on = tf.constant(goes_on)
        numbers = tf.range(len(self.labels), dtype="int64")
        self.numbers = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(self.labels, numbers), -1)

    def __call__(self, starts, ends, entities):
        """The tag of each word: that of the entity that shares a character with it, the last one of several.

        Args:
            starts, ends: `(batch, None)` ragged int64, places of the words, as `words.located` returns them.
            entities: `(batch, None, 3)` ragged strings, see `data.sets.entities`, in the order of the text. Entities
                whose label is not in `labels` are left out.

        Returns:
            `(batch, None)` ragged int64.
        """
        rows, wide = starts.value_rowids(), tf.cast(2**32, "int64")
        table = entities.flat_values
        label = self.numbers.lookup(table[:, 2])
        known = label >= 0
        place = tf.boolean_mask(tf.strings.to_number(table[:, :2], "int64"), known)
        label = tf.boolean_mask(label, known)
        row = tf.boolean_mask(entities.value_rowids(), known)
        # The last entity that starts before the word ends; the first key stands for no entity.
        keys = tf.concat([[-1], row * wide + place[:, 0]], 0)
        stops = tf.concat([[-1], row * wide + place[:, 1]], 0)
        starts_at, ends_at = (rows * wide + tf.cast(x.flat_values, "int64") for x in (starts, ends))
        found = tf.searchsorted(keys, ends_at - 1, side="right") - 1
        inside = tf.gather(stops, found) > starts_at
        found = tf.where(inside, found, -1 - tf.range(tf.size(found)))  # words outside differ from their neighbours
        same = found[1:] == found[:-1]
        edge = tf.ones([tf.minimum(tf.size(found), 1)], tf.bool)
        first = tf.concat([edge, tf.logical_not(same)], 0)
        last = tf.concat([tf.logical_not(same), edge], 0)
        mark = tf.where(first, tf.where(last, 3, 0), tf.where(last, 2, 1))
        label = tf.gather(tf.concat([[0], label], 0), tf.maximum(found, 0))
        tag = tf.gather_nd(self.marks, tf.stack([label, tf.cast(mark, "int64")], 1))
        return starts.with_flat_values(tf.where(inside, tag, 0))

    def entities(self, tags):
        """The entities that numbers of tags mark, read as `spans` reads them.

        Args:
            tags: `(batch, timesteps)` integers, 0 at padding.

        Returns:
            `(row, first, last, label)`, each `(entities,)` int64, in the order of the text: the number of the text, the
            first and the last word, and the number of the first word's label.
        """
        tags = tf.cast(tags, "int64")
        before, after = tf.pad(tags, [[0, 0], [1, 0]])[:, :-1], tf.pad(tags, [[0, 0], [0, 1]])[:, 1:]
        follows = tf.gather_nd(self.goes_on, tf.stack([before, tags], 2))
        followed = tf.gather_nd(self.goes_on, tf.stack([tags, after], 2))
        first = tf.where((tags > 0) & ~follows)
        last = tf.where((tags > 0) & ~followed)
        return first[:, 0], first[:, 1], last[:, 1], tf.gather(self.label_of, tf.gather_nd(tags, first))
