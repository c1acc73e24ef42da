"""Words, sentences, document: a recurrent network over the sentences that another one has read word by word."""

import keras
from keras import ops

from layers import arguments
from layers.pooling import Pooling
from layers.saving import Extensible
from layers.stack import Stack, stack


def hierarchical(cell, units, depth=1, bidirectional=True, pooling="attention", seed=None, name=None, **given):
    r"""A network that reads words into sentences and sentences into a document, with attention in both.

        h_it = words(x_it)                        words t of sentence i, both ways
        s_i = Σ_t α_it h_it                       α_it = softmax_t(v · tanh(W h_it))
        h_i = sentences(s_i)                      both ways
        d = Σ_i α_i h_i                           α_i likewise, with weights of its own

    Source: Z. Yang et al., "Hierarchical Attention Networks for Document Classification", 2016, equations 1 to 12.
    Departures: any cell and any pooling; W has no bias.

    Args:
        cell, units, depth, bidirectional, seed: As for `stack`; the same for words and sentences.
        pooling: As for `Pooling`; "attention" is the paper's.
        name: The layer's name.
        **given: Other arguments of `stack`, such as dropout.

    Returns:
        A `HierarchicalReader`, a Keras layer.

    Raises:
        ValueError: as `stack` and `Pooling`.

    Example:

    >>> from layers import GRUCell, hierarchical
    >>> tuple(hierarchical(GRUCell, 8)(np.ones((2, 3, 5, 4))).shape)  # 2 documents of 3 sentences of 5 words
    (2, 16)
    """
    levels = []
    for level in range(2):
        own_seed = None if seed is None else seed + 1000 * level
        levels.append(stack(cell, units, depth=depth, bidirectional=bidirectional, seed=own_seed, **given))
        levels.append(Pooling(pooling))
    return HierarchicalReader(*levels, name=name)


@keras.saving.register_keras_serializable(package="layers")
class HierarchicalReader(Extensible, keras.layers.Layer):
    """Reads sentences word by word, then the document sentence by sentence; made by `hierarchical`.

    Args:
        words, sentences: `Stack`s that return sequences.
        word_pooling, sentence_pooling: `Pooling` layers.

    Call arguments:
        document: `(batch, sentences, words, features)`.
        mask: `(batch, sentences, words)` booleans, False where there is padding; every document needs a word.
        training: Whether dropout is on.

    Returns:
        `(batch, width)`.

    Raises:
        ValueError: if the document is not of rank 4.
    """

    def __init__(self, words, word_pooling, sentences, sentence_pooling, **kwargs):
        super().__init__(**kwargs)
        for name, layer, kind in (
            ("words", words, Stack),
            ("word_pooling", word_pooling, Pooling),
            ("sentences", sentences, Stack),
            ("sentence_pooling", sentence_pooling, Pooling),
        ):
            if not isinstance(layer, kind):
                raise ValueError(f"HierarchicalReader: `{name}` must be a {kind.__name__}. Received: {layer!r}.")
            setattr(self, name, layer)
        self.supports_masking = True

    def build(self, document_shape):
        if len(document_shape) != 4:
            raise ValueError(
                f"HierarchicalReader: `document` must be (batch, sentences, words, features). "
                f"Received: document.shape={tuple(document_shape)}."
            )
        batch, sentences, words, features = document_shape
        for level, pooling, timesteps in (
            (self.words, self.word_pooling, words),
            (self.sentences, self.sentence_pooling, sentences),
        ):
            shape = (None, timesteps, features)
            for layer in (level, pooling):
                if not layer.built:
                    layer.build(shape)
                    layer.built = True
                shape = layer.compute_output_shape(shape)
            features = shape[-1]

    def call(self, document, mask=None, training=False):
        batch, sentences, words = ops.shape(document)[:3]
        if mask is None:
            mask = ops.ones((batch, sentences, words), dtype="bool")
        word_mask = ops.reshape(mask, (-1, words))
        h = ops.reshape(document, (-1, words, document.shape[3]))
        h = self.words(h, mask=word_mask, training=training)
        s = self.word_pooling(h, mask=word_mask)  # a sentence without words is left out below
        s = ops.reshape(s, (batch, sentences, s.shape[-1]))
        sentence_mask = ops.any(mask, axis=2)
        h = self.sentences(s, mask=sentence_mask, training=training)
        return self.sentence_pooling(h, mask=sentence_mask)

    def compute_mask(self, document, mask=None):
        return None

    def compute_output_shape(self, document_shape):
        shape = self.words.compute_output_shape((None, *document_shape[2:]))
        shape = (None, document_shape[1], self.word_pooling.compute_output_shape(shape)[-1])
        shape = self.sentences.compute_output_shape(shape)
        return (document_shape[0], self.sentence_pooling.compute_output_shape(shape)[-1])

    def get_config(self):
        names = ("words", "word_pooling", "sentences", "sentence_pooling")
        layers = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in names}
        return {**super().get_config(), **layers}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        names = ("words", "word_pooling", "sentences", "sentence_pooling")
        read = lambda layer: keras.saving.deserialize_keras_object(layer, custom_objects=custom_objects)
        return cls(**{**config, **{name: read(config[name]) for name in names}})


@keras.saving.register_keras_serializable(package="layers")
class Sentences(Extensible, keras.layers.Layer):
    """Cuts texts, as ids of words, into sentences, in the graph.

    A sentence ends after the last of the ids in `ends` that follow each other, and after `longest` words.

    Args:
        ends: Ids of the words that end a sentence, such as ".", "!" and "?"; a list, possibly empty.
        longest: Most words of a sentence, a positive integer.
        sentences: Number of sentences returned, the first ones, each of `longest` places; None: as many and as long as
            the batch has, which JAX can do only outside of compiled functions.

    Call arguments:
        word_ids: `(batch, timesteps)` integers; 0 is padding, at the right.

    Returns:
        `(batch, sentences, words)` ids, with 0 for padding.

    Raises:
        ValueError: if an argument is out of its range.

    Example:

    >>> layer = Sentences(ends=[9], longest=3)
    >>> ops.convert_to_numpy(layer(np.array([[5, 6, 9, 9, 7], [1, 2, 3, 4, 0]]))).tolist()
    [[[5, 6, 9], [9, 0, 0], [7, 0, 0]], [[1, 2, 3], [4, 0, 0], [0, 0, 0]]]
    """

    def __init__(self, ends, longest=50, sentences=None, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # ids may come as floats, which 16 bits would round
        self.ends = [int(end) for end in ends]
        self.longest = arguments.positive("Sentences", "longest", longest)
        self.sentences = sentences if sentences is None else arguments.positive("Sentences", "sentences", sentences)

    def call(self, word_ids):
        word_ids = ops.pad(ops.cast(word_ids, "int32"), [[0, 0], [0, 1]])  # so that there is a timestep
        real, timesteps = word_ids != 0, ops.shape(word_ids)[1]
        places = ops.expand_dims(ops.arange(timesteps, dtype="int32"), 0)
        is_end = ops.zeros_like(real)
        for end in self.ends:
            is_end = ops.logical_or(is_end, word_ids == end)
        begins = ops.logical_and(ops.pad(is_end, [[0, 0], [1, 0]])[:, :-1], ops.logical_not(is_end))
        begins = ops.logical_and(ops.logical_or(begins, places == 0), real)
        since = places - self._in_order(begins, timesteps, ops.cumsum(ops.cast(begins, "int32"), axis=1) - 1)
        begins = ops.logical_and(since % self.longest == 0, real)
        count = ops.sum(ops.cast(begins, "int32"), axis=1, keepdims=True)
        sentences = ops.max(count, initial=1) if self.sentences is None else self.sentences
        numbers = ops.expand_dims(ops.arange(sentences, dtype="int32"), 0)
        begin, end = (
            ops.where(numbers + more < count, self._in_order(begins, timesteps, numbers + more), last)
            for more, last in ((0, timesteps), (1, ops.sum(ops.cast(real, "int32"), axis=1, keepdims=True)))
        )
        words = ops.max(end - begin, initial=1) if self.sentences is None else self.longest
        at = ops.expand_dims(begin, 2) + ops.arange(words, dtype="int32")  # (batch, sentences, words)
        inside = at < ops.expand_dims(end, 2)
        flat = ops.reshape(ops.minimum(at, timesteps - 1), (-1, sentences * words))
        found = ops.reshape(ops.take_along_axis(word_ids, flat, axis=1), (-1, sentences, words))
        return ops.where(inside, found, 0)

    @staticmethod
    def _in_order(begins, timesteps, numbers):
        """The places of the sentences' beginnings that have these numbers, both `(batch, ...)`."""
        places = ops.expand_dims(ops.arange(timesteps, dtype="int32"), 0)
        in_order = ops.sort(ops.where(begins, places, timesteps), axis=1)
        numbers = ops.broadcast_to(numbers, (ops.shape(begins)[0], ops.shape(numbers)[1]))
        return ops.take_along_axis(in_order, ops.clip(numbers, 0, timesteps - 1), axis=1)

    def compute_output_spec(self, word_ids):
        words = None if self.sentences is None else self.longest
        return keras.KerasTensor((word_ids.shape[0], self.sentences, words), "int32")

    def get_config(self):
        names = ("ends", "longest", "sentences")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
