"""Labels to numbers and back, in graph operations: one for an example, several, or one at each position."""

import tensorflow as tf

KINDS = ("one", "several", "positions")
SEPARATOR = ";"  # between several labels


class Labels(tf.Module):
    """Labels as strings to targets, and the scores of a network to labels.

    Args:
        names: The labels, strings; at positions single characters.
        kind: "one" label for an example; "several", with semicolons between, also none; "positions": a character for
            each.

    Raises:
        ValueError: if there is no such kind.

    Example:
        >>> several = Labels(["a", "b", "c"], "several")
        >>> several(["c;a", ""]).numpy().tolist(), several.text([[True, False, True]]).numpy().tolist()
        ([[1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], [b'a;c'])
    """

    def __init__(self, names, kind="one"):
        super().__init__()
        if kind not in KINDS:
            raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: kind={kind!r}.")
        self.names, self.kind = tf.constant(names), kind
        initial = tf.lookup.KeyValueTensorInitializer(names, tf.range(len(names), dtype="int64"))
        self.numbers = tf.lookup.StaticHashTable(initial, -1)

    def __call__(self, labels):
        """`(batch,)` strings to targets; a label that is not known is -1, or none of several.

        Returns:
            "one": `(batch,)` int64; "several": `(batch, labels)` float32, 0 or 1; "positions": `(batch, None)` ragged
            int64.
        """
        labels = tf.convert_to_tensor(labels, tf.string)
        if self.kind == "one":
            return self.numbers.lookup(labels)
        if self.kind == "several":
            numbers = self.numbers.lookup(tf.strings.split(labels, SEPARATOR).to_tensor(""))
            return tf.reduce_max(tf.one_hot(numbers, self.names.shape[0]), axis=1)
        letters = tf.strings.unicode_split(labels, "UTF-8")
        return letters.with_values(self.numbers.lookup(letters.values))

    def text(self, found):
        """The inverse: `(batch,)` strings.

        Args:
            found: "one": `(batch,)` integers; "several": `(batch, labels)` booleans; "positions": `(batch, None)`
                ragged integers.
        """
        if self.kind == "one":
            return tf.gather(self.names, found)
        if self.kind == "several":
            chosen = tf.ragged.boolean_mask(tf.broadcast_to(self.names, tf.shape(found)), found)
            return tf.strings.reduce_join(chosen, axis=1, separator=SEPARATOR)
        return tf.strings.reduce_join(found.with_values(tf.gather(self.names, found.values)), axis=1)
