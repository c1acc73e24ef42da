"""Texts to pieces of words and back without loss, in graph operations: no text is unknown.

A vocabulary of pieces is a unigram language model: each piece has a log probability, and a word is split so that their
sum is greatest. Characters that no piece contains become their UTF-8 bytes. `sentencepiece` learns the model; applying
it needs only TensorFlow.

Source: "Subword Regularization: Improving Neural Network Translation Models with Multiple Subword Candidates", 2018,
arXiv:1804.10959.
"""

import collections
import io
import itertools
import math

import numpy as np
import tensorflow as tf

from data.transforms.normal_form import nfc
from data.transforms.words import PADDING, counted

BEGIN, END = 1, 2  # ids
FIRST_BYTE = 3
FIRST_PIECE = FIRST_BYTE + 256
SPACE = "▁"  # U+2581: how a space is written in a piece, always its first character

_MOST_CHARACTERS = 20_000_000  # from which pieces are learnt; the library holds some 40 bytes for each
_LEAST_COVERAGE = 0.98  # the library refuses less
_UNKNOWN_PENALTY = 10.0  # nats between the worst piece and a character that is in no piece, as in sentencepiece
_ROOT = 0  # root of the tree of pieces; also: no such node

# Characters with a special meaning in the library; they become bytes.
_RESERVED = r"[\x00▁▅]"


def learn(texts, size, *, held=2_000_000):
    """A vocabulary of pieces, learnt from the counts of a data set's words, in one pass.

    The most frequent characters have a piece of their own, in half of the vocabulary at most; rarer ones become bytes.
    Of more than 20 million characters, 20 million are used, with each word's share kept.

    Args:
        texts: `tf.data.Dataset` of scalar strings.
        size: Number of ids, `FIRST_PIECE` (259) of which are no pieces; a small data set yields fewer.
        held: Words counted at a time; if there are more, the rarest half is dropped, which bounds the memory.

    Returns:
        List of `[piece, score]`, `str` and log probability in nats, for `Subwords`; the same for the same texts.

    Raises:
        ValueError: if `size` leaves no room for pieces or for nearly all characters of the texts, or if there is no
            text to learn from.

    Example:
        >>> pieces = learn(tf.data.Dataset.from_tensor_slices(["low lower lowest", "new newer newest"]), 300)
        >>> [piece for piece, score in pieces][:2]
        ['r', '▁low']
    """
    if size < FIRST_PIECE + 8:
        raise ValueError(f"`size` must be an integer of at least {FIRST_PIECE + 8}. Received: size={size}.")
    words = _count(texts, held)
    if not words:
        raise ValueError("`texts` must hold at least one word to learn from. Received: none.")
    return _train(words, size)


def _count(texts, held):
    """`{word: times}` of the words to learn from, without reserved characters."""

    def words_of(batch):
        words = tf.strings.regex_replace(_words(nfc(batch)).flat_values, _RESERVED, " ")
        return tf.strings.split(words).flat_values

    total = counted(texts, words_of, held)
    return {word.decode(): times for word, times in sorted(total.items())}


def _train(words, size):
    import sentencepiece

    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=_sentences(words),
        model_writer=written,
        model_type="unigram",
        vocab_size=size - FIRST_BYTE + 1,  # the library has one id before the bytes
        hard_vocab_limit=False,
        unk_id=0,
        bos_id=-1,
        eos_id=-1,
        pad_id=-1,
        byte_fallback=True,
        character_coverage=_coverage(words, size),
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        max_sentence_length=2**30,  # bytes; longer sentences would be left out
        num_threads=1,  # sums of floats depend on the number of threads
        minloglevel=2,
    )
    model = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    first = 1 + 256
    return [[model.id_to_piece(number), model.get_score(number)] for number in range(first, model.get_piece_size())]


def _sentences(words):
    """Each word as often as it occurs, or its share of `_MOST_CHARACTERS`, two words in a sentence.

    The library considers only strings that are followed by different characters, or by the end. In texts a word like
    "their" is always followed by a space and would get no piece; in "their their" the second one ends the sentence.
    """
    share = min(1, _MOST_CHARACTERS / sum(len(SPACE + word) * times for word, times in words.items()))
    seen = 0
    for word, times in words.items():
        # Fractions are added up from word to word, so that rare words are not all rounded to 0.
        pairs, odd = divmod(int(share * (seen + times)) - int(share * seen), 2)
        seen += times
        yield from itertools.repeat(f"{word} {word}", pairs)
        yield from itertools.repeat(word, odd)


def _coverage(words, size):
    """Share of the text that consists of its most frequent characters, half as many as there are pieces."""
    characters = collections.Counter()
    for word, times in words.items():
        for character in SPACE + word:
            characters[character] += times
    written = np.cumsum([times for _, times in characters.most_common()]) / characters.total()
    most = (size - FIRST_PIECE) // 2
    coverage = written[min(most, len(written)) - 1]
    if coverage < _LEAST_COVERAGE:
        least = FIRST_PIECE + 2 * (int(np.searchsorted(written, _LEAST_COVERAGE)) + 1)
        raise ValueError(
            f"`size` must leave room for {_LEAST_COVERAGE:.0%} of the texts' characters: at least {least} for these "
            f"texts, which have {len(written)} different characters. Received: size={size}."
        )
    return float(coverage)


def _words(texts):
    """Words between single spaces: `(batch,)` -> `(batch, None)` ragged; joined by spaces they give the text."""
    words = tf.strings.split(texts, " ")
    lengths = tf.where(texts == "", tf.zeros([], "int64"), words.row_lengths())
    return tf.RaggedTensor.from_row_lengths(tf.ragged.boolean_mask(words, texts != "").values, lengths)


class Subwords(tf.Module):
    """Texts to ids of pieces and back: `text(subwords(texts))` is `nfc(texts)`.

    Ids: 0 is padding, 1 begins and 2 ends a sequence, 3 to 258 are the bytes, then come the `pieces`. A text is split
    at its spaces. Each space belongs to the word after it; one is added before the first word. A word's pieces are
    those whose scores have the greatest sum.

    Args:
        pieces: List of `[piece, score]`, as `learn` returns it: different strings in which "▁" stands for a space and
            occurs only at the beginning, and their log probabilities.

    Attributes:
        size: Number of ids.

    Call arguments:
        texts: `(batch,)` strings; malformed UTF-8 becomes U+FFFD.

    Returns:
        `(batch, None)` `tf.RaggedTensor` of int64, without begin and end; an empty text has no pieces.

    Raises:
        ValueError: if a piece is empty, occurs twice or has "▁" elsewhere, or if its score is not finite.

    Example:
        >>> subwords = Subwords([["▁new", -1.0], ["er", -1.5], ["▁", -3.0], ["e", -3.5]])
        >>> ids = subwords(["newer é"])
        >>> [piece.decode() for piece in subwords.pieces(ids)[0].numpy()]
        ['▁new', 'er', '▁', '<0xC3>', '<0xA9>']
        >>> subwords.text(ids).numpy()[0].decode()
        'newer é'
    """

    def __init__(self, pieces):
        super().__init__()
        _check(pieces)
        names = [piece for piece, _ in pieces]
        spoken = [piece.replace(SPACE, " ") for piece in names]
        raw = [bytes([value]) for value in range(256)]
        shown = [f"<0x{value:02X}>" for value in range(256)]
        self.size = FIRST_PIECE + len(pieces)
        self.longest = max(map(len, spoken), default=1)  # characters in a piece
        self.written = tf.constant(["", "", "", *raw, *[piece.encode() for piece in spoken]])
        self.shown = tf.constant(["", "<s>", "</s>", *shown, *names])
        self.unknown_score = min((score for _, score in pieces), default=0.0) - _UNKNOWN_PENALTY
        edges, scores, ids = _tree(spoken, [score for _, score in pieces])
        # A table must not be empty: -1 is an edge that no text has.
        keys, values = tf.constant([-1, *edges], "int64"), tf.constant([_ROOT, *edges.values()], "int64")
        self.edges = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(keys, values), _ROOT)
        self.scores, self.ids = tf.constant(scores, "float32"), tf.constant(ids, "int64")  # (nodes,)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    def __call__(self, texts):
        with tf.device("CPU"):  # these are thousands of small operations
            words = _words(nfc(texts))
            different, place = tf.unique(words.flat_values)
            ids = tf.gather(self._segmented(different), place)
            return words.with_values(ids).merge_dims(1, 2)

    def text(self, ids):
        """The texts of ids; 0, 1 and 2 are left out, and malformed UTF-8 becomes U+FFFD.

        Args:
            ids: `(batch, timesteps)` integers, ragged or padded with 0.

        Returns:
            `(batch,)` strings.
        """
        joined = tf.strings.reduce_join(tf.gather(self.written, ids), axis=1)
        texts = tf.strings.unicode_transcode(joined, "UTF-8", "UTF-8", errors="replace")
        return tf.strings.regex_replace(texts, "^ ", "")

    def pieces(self, ids):
        """Each piece for display: "▁" for a space, <0xC3> for a byte, <s>, </s>, and "" for padding.

        Args:
            ids: Integers of any shape, dense or ragged.

        Returns:
            Strings of the same shape.
        """
        return tf.gather(self.shown, ids)

    def _segmented(self, words):
        """The best pieces of each word: `(words,)` strings -> `(words, pieces)` ragged int64.

        The characters of all words are in one tensor, each word with its space.
        """
        words = tf.strings.unicode_decode(tf.strings.join([" ", words]), "UTF-8")  # (words, characters)
        nodes = self._matched(tf.cast(words.values, "int64"))  # (characters, longest)
        lengths = _best_lengths(self._scored(nodes), words)
        begins = _begins(lengths, words)
        node = tf.gather_nd(nodes, tf.stack([begins, tf.gather(lengths, begins) - 1], 1))
        piece = tf.gather(self.ids, node)[:, None]
        ids = tf.where(piece != PADDING, tf.pad(piece, [[0, 0], [0, 3]]), _byte_ids(tf.gather(words.values, begins)))
        ids = tf.RaggedTensor.from_tensor(ids, padding=PADDING)  # one id, or the ids of 1 to 4 bytes
        rows = tf.gather(words.value_rowids(), begins)
        return tf.RaggedTensor.from_value_rowids(ids, rows, words.nrows(), validate=False).merge_dims(1, 2)

    def _matched(self, codes):
        """Nodes of the tree that 1 to `longest` characters, from each character on, lead to; `_ROOT` if there is none.

        A piece has a space only at its beginning, so it cannot extend past its word; one more space ends the tensor.
        """
        characters, columns = tf.size(codes, "int64"), []
        codes = tf.concat([codes, [ord(" ")]], 0)
        place, node = tf.range(characters), tf.fill([characters], tf.constant(_ROOT, "int64"))
        for length in range(self.longest):
            node = self.edges.lookup(_edge(node, tf.gather(codes, place + length)))
            alive = tf.where(node != _ROOT)
            place, node = tf.gather_nd(place, alive), tf.gather_nd(node, alive)
            columns.append(tf.scatter_nd(place[:, None], node, [characters]))
        return tf.stack(columns, axis=1)

    def _scored(self, nodes):
        """Scores of the pieces that end at nodes, minus infinity if none does; single characters always have one."""
        scores = tf.gather(self.scores, nodes)
        single = scores[:, :1]
        single = tf.where(single == -math.inf, self.unknown_score, single)
        return tf.concat([single, scores[:, 1:]], 1)


def _best_lengths(scores, words):
    """The length of the first of the best pieces from each character to the end of its word: `(characters,)` int64.

    Viterbi from the end of all words at once. The words are sorted, longest first, so that the active ones come first.

    Args:
        scores: `(characters, longest)`, scores of the pieces that begin at each character, by their length.
        words: `(words, characters)` ragged.
    """
    order = tf.argsort(words.row_lengths(), direction="DESCENDING")
    sizes, ends = tf.gather(words.row_lengths(), order), tf.gather(words.row_limits(), order)
    none = tf.fill([tf.size(ends), scores.shape[1] - 1], -math.inf)
    best = tf.concat([tf.zeros([tf.size(ends), 1]), none], 1)  # best sums from 1, 2, ... characters later to the end
    most = tf.reduce_max(tf.concat([[0], sizes], 0))
    kinds = {"size": tf.cast(most, "int32"), "element_shape": [None], "infer_shape": False}
    places, lengths = tf.TensorArray("int64", **kinds), tf.TensorArray("int64", **kinds)

    def step(left, best, places, lengths):
        """`left`: characters up to the end of the word, this one included."""
        active = tf.searchsorted(-sizes, [-left], side="right")[0]
        place = ends[:active] - left
        best = best[:active]
        sums = best + tf.gather(scores, place)
        number = tf.cast(left - 1, "int32")
        places, lengths = places.write(number, place), lengths.write(number, tf.argmax(sums, axis=1) + 1)
        return left + 1, tf.concat([tf.reduce_max(sums, 1, True), best[:, :-1]], 1), places, lengths

    shapes = tf.TensorShape([]), tf.TensorShape([None, scores.shape[1]]), *[tf.TensorShape(None)] * 2
    start = tf.constant(1, "int64"), best, places, lengths
    *_, places, lengths = tf.while_loop(lambda left, *_: left <= most, step, start, shape_invariants=shapes)
    return tf.scatter_nd(places.concat()[:, None], lengths.concat(), tf.shape(scores, "int64")[:1])


def _begins(lengths, words):
    """Places of the characters at which a best piece begins: `(pieces,)` int64.

    `leap` is the next such place from each character. Each round marks the places that marked ones lead to, and
    doubles the leaps.
    """
    characters = tf.size(lengths, "int64")
    leap = tf.concat([tf.range(characters) + lengths, [characters]], 0)
    starts = words.row_starts()
    marked = tf.scatter_nd(starts[:, None], tf.ones_like(starts), [characters + 1])
    rounds = tf.reduce_max(tf.concat([[0], words.row_lengths()], 0))

    def mark(reach, marked, leap):
        marked = tf.maximum(marked, tf.math.unsorted_segment_max(marked, leap, characters + 1))
        return 2 * reach, marked, tf.gather(leap, leap)

    start = tf.constant(1, "int64"), marked, leap
    _, marked, _ = tf.while_loop(lambda reach, *_: reach < rounds, mark, start)
    return tf.where(marked[:-1] > 0)[:, 0]


def _byte_ids(codes):
    """Ids of the UTF-8 bytes of characters: `(characters,)` -> `(characters, 4)` int64, padded with 0."""
    bytes_ = tf.io.decode_raw(tf.strings.unicode_encode(codes[:, None], "UTF-8"), tf.uint8, fixed_length=4)
    is_byte = (bytes_ > 0) | tf.constant([True, False, False, False])  # the first may be 0
    return tf.where(is_byte, FIRST_BYTE + tf.cast(bytes_, "int64"), PADDING)


def _edge(node, code):
    """One integer for a node and the next character."""
    return node * 2**21 + code


def _tree(pieces, scores):
    """The characters of all pieces as one tree.

    Returns:
        `(edges, scores, ids)`: `{edge: node}`, and for each node the score and the id of the piece that ends there,
        minus infinity and 0 if none does.
    """
    edges, at, ids = {}, [-math.inf], [PADDING]
    for number, (piece, score) in enumerate(zip(pieces, scores, strict=True), start=FIRST_PIECE):
        node = _ROOT
        for character in piece:
            edge = _edge(node, ord(character))
            if edge not in edges:
                edges[edge] = len(at)
                at.append(-math.inf)
                ids.append(PADDING)
            node = edges[edge]
        at[node], ids[node] = score, number
    return edges, at, ids


def _check(pieces):
    seen = set()
    for piece, score in pieces:
        if not piece or SPACE in piece[1:] or " " in piece:
            raise ValueError(
                f'`pieces` must be strings of at least one character, with "{SPACE}" for a space and only at the '
                f"beginning. Received: {piece!r}."
            )
        if piece in seen:
            raise ValueError(f"`pieces` must be different from each other. Received twice: {piece!r}.")
        if not math.isfinite(score):
            raise ValueError(f"`pieces` must have finite scores. Received: {piece!r} with {score}.")
        seen.add(piece)
