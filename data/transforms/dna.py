"""DNA to integers, probabilities and k-mers and back, in graph operations: training and the export use the same code.

The letters are those of IUPAC: A, C, G, T (U in RNA) and eleven for a base that is not certain, such as N for any of
the four. Positions are counted in bases.

Source: "Nomenclature for Incompletely Specified Bases in Nucleic Acid Sequences", IUPAC-IUB, 1984, table 1.
"""

import re

import keras
import numpy as np
import tensorflow as tf
from keras import ops

LETTERS = "ACGTRYSWKMBDHVN"  # the code of a letter is its place + 1; 0 is padding
AMBIGUOUS_BASE = 15  # N
PADDING, AMBIGUOUS, FIRST_KMER = 0, 1, 2  # numbers of k-mers
EXPECTED = "expected letters of DNA (A C G T U and the IUPAC codes for ambiguous bases)"

_BASES = {"A": "A", "C": "C", "G": "G", "T": "T", "R": "AG", "Y": "CT", "S": "CG", "W": "AT", "K": "GT", "M": "AC"}
_BASES |= {"B": "CGT", "D": "AGT", "H": "ACT", "V": "ACG", "N": "ACGT"}
_PAIRED = str.maketrans("ACGTURYSWKMBDHVNacgturyswkmbdhvn", "TGCAAYRSWMKVHDBNtgcaayrswmkvhdbn")
_FIRST = str.maketrans({"U": "T", **{letter: bases[0] for letter, bases in _BASES.items() if letter != "N"}})
_SPACE = " \t\n\r\f\v"
_NO_SPACE = str.maketrans("", "", _SPACE)
_ALLOWED = (LETTERS + "U" + LETTERS.lower() + "u" + _SPACE).encode()
_WRONG = re.compile(f"[^{_ALLOWED.decode()}]")
_PROTEIN = re.compile("[EFILPQJOXZ*]", re.IGNORECASE)  # letters of amino acids alone

# (16, 4) probabilities of A, C, G and T for each code.
PROBABILITIES = np.array([[0] * 4] + [[base in _BASES[one] for base in "ACGT"] for one in LETTERS], "float32")
PROBABILITIES /= np.maximum(PROBABILITIES.sum(axis=1, keepdims=True), 1)
# (16,) code -> code of the complementary letter.
COMPLEMENT = np.array([0] + [LETTERS.index(one.translate(_PAIRED)) + 1 for one in LETTERS], "int32")

# (256,) byte -> code; 0 for white space, which is dropped, and _NO_LETTER.
_NO_LETTER = -1
_CODES = np.full(256, _NO_LETTER, "int32")
_CODES[list(_SPACE.encode())] = 0
for _number, _letter in enumerate(LETTERS, start=1):
    _CODES[[ord(_letter), ord(_letter.lower())]] = _number
_CODES[[ord("U"), ord("u")]] = _CODES[ord("T")]


def problem(sequence):
    """What is wrong with the letters of a Python string; None if nothing is. White space is allowed.

    Example:
        >>> problem("acgt NNRY")
        >>> problem("MKVLAEA")
        "expected letters of DNA (A C G T U and the IUPAC codes for ambiguous bases), received 'L' at position 4; this \
looks like a protein"
    """
    if sequence.isascii() and not sequence.encode().translate(None, _ALLOWED):
        return None
    wrong = _WRONG.search(sequence)
    protein = "; this looks like a protein" if _PROTEIN.search(sequence) else ""
    return f"{EXPECTED}, received {wrong[0]!r} at position {wrong.start() + 1}{protein}"


def without_space(sequence):
    """A Python string without its ASCII white space."""
    return sequence.translate(_NO_SPACE)


def first_bases(sequence):
    """A Python string in upper case with a base for each letter but N: the first that it stands for, and T for U.

    Source: "The Variant Call Format Specification", version 4.3, section 1.6.1, on REF.

    Example:
        >>> first_bases("ACUNRY")
        'ACTNAC'
    """
    return sequence.translate(_FIRST)


def codes(sequences):
    """Letters to codes. Lower case is like upper case, U is T, and ASCII white space is dropped.

    Args:
        sequences: `(batch,)` strings.

    Returns:
        `(batch, None)` ragged int32, 1 to 15.

    Raises:
        tf.errors.InvalidArgumentError: at another character, also in an exported model; the message names the sequence
            (its place in the batch, from 0), the position (from 1, white space included) and the character.

    Example:
        >>> codes(["ACGU", "n a"]).to_list()
        [[1, 2, 3, 4], [15, 1]]
    """
    sequences = tf.convert_to_tensor(sequences, tf.string)
    bytes_ = tf.io.decode_raw(tf.strings.reduce_join(sequences), tf.uint8)  # all sequences as one
    found = tf.gather(tf.constant(_CODES), tf.cast(bytes_, "int32"))
    lengths = tf.cast(tf.strings.length(sequences), "int64")
    right = tf.reduce_all(found != _NO_LETTER)
    checked = tf.cond(right, lambda: tf.constant(True), lambda: _refused(sequences, found, lengths))
    with tf.control_dependencies([checked]):
        keep = tf.RaggedTensor.from_row_lengths(found > 0, lengths, validate=False)
    kept = tf.reduce_sum(tf.cast(keep, "int64"), axis=1)
    return tf.RaggedTensor.from_row_lengths(tf.boolean_mask(found, keep.values), kept, validate=False)


def _refused(sequences, found, lengths):
    """Fails with the first wrong character of a batch."""
    place = tf.argmax(found == _NO_LETTER, output_type="int64")
    ends = tf.cumsum(lengths)
    row = tf.searchsorted(ends, place[None], side="right")[0]
    position = place - (ends[row] - lengths[row])
    # All before it is ASCII, so its place in bytes is its place in characters; it may have several bytes itself.
    rest = tf.strings.unicode_transcode(tf.strings.substr(sequences[row], position, 4), "UTF-8", "UTF-8")
    character = tf.strings.substr(rest, 0, 1, unit="UTF8_CHAR")
    where = [" at position ", tf.strings.as_string(position + 1), " of sequence ", tf.strings.as_string(row)]
    # Without quotation marks, which the assertion would escape.
    message = tf.strings.join([f"{EXPECTED}, received the character ", character, *where, " (counted from 0)"])
    with tf.control_dependencies([tf.debugging.Assert(False, [message])]):
        return tf.constant(False)


def fixed(codes, length=None):
    """Codes as features of a network: a sequence without a base is read as N.

    Args:
        codes: `(batch, None)` ragged codes.
        length: The length of all sequences that a network was trained on, None if they had several.

    Returns:
        `(batch, None)` ragged codes without a length, else `(batch, length)`, padded with 0 at the right.

    Raises:
        tf.errors.InvalidArgumentError: if a sequence is longer than `length`, also in an exported model.

    Example:
        >>> fixed(codes(["AC", ""]), 3).numpy().tolist()
        [[1, 2, 0], [15, 0, 0]]
    """
    empty = tf.cast(codes.row_lengths() == 0, "int64")
    unknown = tf.RaggedTensor.from_row_lengths(tf.fill([tf.reduce_sum(empty)], AMBIGUOUS_BASE), empty)
    codes = tf.concat([codes, tf.cast(unknown, codes.dtype)], axis=1)
    if not length:
        return codes
    expected = f"expected sequences of at most {length} bases, the length of all in training; cut longer ones"
    with tf.control_dependencies([tf.debugging.Assert(tf.reduce_all(codes.row_lengths() <= length), [expected])]):
        return tf.ensure_shape(codes.to_tensor(0, shape=[None, length]), [None, length])


def letters(codes):
    """The inverse of `codes`: `(batch, timesteps)` integers, ragged or padded with 0 -> `(batch,)` strings.

    Example:
        >>> letters([[1, 2, 15], [4, 0, 0]]).numpy().tolist()
        [b'ACN', b'T']
    """
    table = tf.constant(["", *LETTERS])
    if isinstance(codes, tf.RaggedTensor):
        return tf.strings.reduce_join(codes.with_flat_values(tf.gather(table, codes.flat_values)), axis=-1)
    return tf.strings.reduce_join(tf.gather(table, codes), axis=-1)


def one_hot(codes):
    """The probability of A, C, G and T at each position: 1 for a base that is certain, equal shares else, 0 at padding.

    Args:
        codes: `(...)` integers, dense or ragged; inputs of a Keras model too.

    Returns:
        `(..., 4)` float32.

    Example:
        >>> one_hot([1, 5, 15, 0]).numpy().tolist()
        [[1.0, 0.0, 0.0, 0.0], [0.5, 0.0, 0.5, 0.0], [0.25, 0.25, 0.25, 0.25], [0.0, 0.0, 0.0, 0.0]]
    """
    if isinstance(codes, tf.RaggedTensor):
        return codes.with_flat_values(tf.gather(tf.constant(PROBABILITIES), codes.flat_values))
    return ops.take(PROBABILITIES, codes, axis=0)


def reverse_complement(x):
    """The other strand, read in its own direction. Applied twice it gives what it was given.

    Dense integers and probabilities may be inputs of a Keras model: `keras.ops` alone work on them.

    Args:
        x: One of
            `(batch,)` strings, or one Python string, whose case is kept. In a batch of strings, letters become upper
            case, U becomes T and white space is dropped;
            `(batch, None)` ragged codes;
            `(batch, timesteps)` codes, padded with 0 at the right; the padding stays there;
            `(batch, timesteps, 4)` probabilities, padded with zeros at the right; the padding stays there.

    Returns:
        The same kind as `x`.

    Example:
        >>> reverse_complement("ACCN")
        'NGGT'
        >>> reverse_complement(np.array([[1, 2, 2, 0]])).numpy().tolist()
        [[3, 3, 4, 0]]
    """
    if isinstance(x, str):
        return x.translate(_PAIRED)[::-1]
    if isinstance(x, tf.RaggedTensor):
        return tf.reverse(x.with_flat_values(tf.cast(tf.gather(COMPLEMENT, x.flat_values), x.dtype)), axis=[1])
    if not keras.utils.is_keras_tensor(x):
        x = tf.convert_to_tensor(x)
        if x.dtype == tf.string:
            return letters(reverse_complement(codes(x)))
    if len(x.shape) == 3:
        real, other = ops.any(ops.not_equal(x, 0), axis=-1), ops.flip(x, axis=-1)  # A C G T are T G C A backwards
    else:
        real, other = ops.not_equal(x, 0), ops.cast(ops.take(COMPLEMENT, x, axis=0), x.dtype)
    # The last timestep that is no padding comes first. Rows are taken from all sequences, one after the other: this is
    # several times as fast as `take_along_axis`.
    ones = ops.ones_like(real, dtype="int32")
    places, timesteps = ops.cumsum(ones, axis=1), ops.sum(ones, axis=1, keepdims=True)  # places from 1
    sources = ops.max(ops.where(real, places, 0), axis=1, keepdims=True) - places  # (batch, timesteps)
    before = ops.cumsum(timesteps, axis=0) - timesteps  # (batch, 1) timesteps of the sequences before
    found = ops.take(ops.reshape(other, (-1, *x.shape[2:])), before + ops.maximum(sources, 0), axis=0)
    inside = ops.greater_equal(sources, 0)
    return ops.where(inside if len(x.shape) == 2 else inside[..., None], found, ops.zeros_like(found))


def _shifted(x, k):
    """The letters of all k-mers: k tensors `(batch, timesteps - k + 1, ...)`; without timesteps if there are fewer."""
    return [x[:, place : place - k + 1 or None] for place in range(k)]


def kmers(codes, k):
    """The number of the k-mer that begins at each position; in `keras.ops`, so for inputs of a Keras model too.

    Args:
        codes: `(batch, timesteps)` integers, padded with 0.
        k: Letters of a k-mer, a positive integer.

    Returns:
        `(batch, timesteps - k + 1)` int64, in [0, 4**k + 2): 0 where a letter is padding, 1 where a letter is
        ambiguous, else 2 + the k-mer's number in base 4, with A C G T as digits. No timesteps if there are fewer than
        k.

    Raises:
        ValueError: if `k` is not in 1 ... 30; numbers of longer ones do not fit.

    Example:
        >>> kmers(np.array([[1, 2, 15, 4, 4, 0]]), 2).numpy().tolist()
        [[3, 1, 1, 17, 0]]
    """
    if not 1 <= k <= 30:
        raise ValueError(f"`k` must be in 1 ... 30. Received: k={k}.")
    number, least, most = 0, None, None
    for one in _shifted(ops.cast(codes, "int64"), k):
        number = number * 4 + one - 1
        least = one if least is None else ops.minimum(least, one)
        most = one if most is None else ops.maximum(most, one)
    number = ops.where(ops.greater(most, 4), ops.full_like(number, AMBIGUOUS), number + FIRST_KMER)
    return ops.where(ops.equal(least, 0), ops.zeros_like(number), number)


def expected_kmers(one_hot, k):
    """The probability of each k-mer at each position, the product of its letters' probabilities.

    At certain letters it is a one-hot row at the number of `kmers`, less 2; ambiguous letters are treated exactly.

    Args:
        one_hot: `(batch, timesteps, 4)` probabilities of A, C, G and T, 0 at padding; inputs of a Keras model too.
        k: Letters of a k-mer, a positive integer.

    Returns:
        `(batch, timesteps - k + 1, 4**k)`, zeros where a letter is padding.

    Raises:
        ValueError: if `k` is not positive.

    Example:
        >>> found = expected_kmers(one_hot(np.array([[1, 5]])), 2)  # A, then A or G
        >>> found.numpy().nonzero()[2].tolist(), float(found[0, 0, 2])
        ([0, 2], 0.5)
    """
    if k < 1:
        raise ValueError(f"`k` must be a positive integer. Received: k={k}.")
    found = None
    for place, one in enumerate(_shifted(one_hot, k)):
        found = one if found is None else ops.repeat(found, 4, axis=-1) * ops.tile(one, (1, 1, 4**place))
    return found


def places(codes):
    """What stands at each place of sequences of one length: the base, and the base with the one after it.

    A linear layer over it is a weight array model: M. Q. Zhang and T. G. Marr, "A Weight Array Method for Splicing
    Signal Analysis", 1993.

    Args:
        codes: `(batch, length)` integers, padded with 0; inputs of a Keras model too.

    Returns:
        `(batch, length * 4 + (length - 1) * 16)` probabilities of bases, then of pairs; zeros at padding.

    Example:
        >>> places(np.array([[1, 2]])).numpy().nonzero()[1].tolist()  # A, C, and the second of all pairs
        [0, 5, 9]
    """
    bases = one_hot(codes)
    found = bases, expected_kmers(bases, 2)
    return ops.concatenate([ops.reshape(x, (-1, x.shape[1] * x.shape[2])) for x in found], axis=1)


def windows(codes, width, step):
    """Windows of equal width over sequences. The last of a sequence ends at its end, so that each base is in one.

    Args:
        codes: `(batch, None)` ragged codes.
        width: Bases of a window, a positive integer.
        step: Bases from the start of a window to the next, a positive integer, at most `width`.

    Returns:
        `(windows, rows, starts)`: `(n, width)` codes, of a sequence that is shorter than `width` one window, padded
        with 0; `(n,)` int64, the sequence of each; `(n,)` int64, where it starts.

    Raises:
        ValueError: if `width` or `step` is out of its range.

    Example:
        >>> found, rows, starts = windows(codes(["ACGTA", "GG"]), 3, 3)
        >>> letters(found).numpy().tolist(), rows.numpy().tolist(), starts.numpy().tolist()
        ([b'ACG', b'GTA', b'GG'], [0, 0, 1], [0, 2, 0])
    """
    check_windows(width, step)
    lengths = codes.row_lengths()
    counts = 1 + (tf.maximum(lengths - width, 0) + step - 1) // step
    rows = tf.repeat(tf.range(tf.shape(lengths, "int64")[0]), counts)
    starts = tf.minimum(tf.ragged.range(counts).values * step, tf.maximum(tf.gather(lengths, rows) - width, 0))
    places = starts[:, None] + tf.range(width, dtype="int64")
    inside = places < tf.gather(lengths, rows)[:, None]
    values = tf.concat([codes.values, tf.zeros([1], codes.dtype)], axis=0)  # the last one is padding
    padding = tf.shape(values, "int64")[0] - 1
    found = tf.gather(values, tf.where(inside, tf.gather(codes.row_starts(), rows)[:, None] + places, padding))
    return tf.ensure_shape(found, [None, width]), rows, starts


def check_windows(width, step):
    """Raises ValueError unless windows of this width and step hold every base."""
    if not 1 <= step <= width:
        raise ValueError(f"`step` must be in 1 ... `width`. Received: width={width}, step={step}.")
