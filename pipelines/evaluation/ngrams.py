"""N-grams of captions as token ids, for metrics of many captions at once."""

import numpy as np

LONGEST = 4  # tokens of the longest n-grams


def ngrams(sequences):
    """The n-grams of integers `(sequences, timesteps)`, for each length n of 1 to `LONGEST`.

    Yields:
        `(keys, base, rows, numbers)`: the distinct n-grams as sorted keys; the number of distinct tokens; and for each
        place where an n-gram is, its sequence and its number, a place in `keys`. The key of a token is itself. The key
        of a longer n-gram is `base` times the number of its first n - 1 tokens plus the number of its last token, so
        different n-grams have different keys.
    """
    real = np.minimum.accumulate(sequences, axis=1) >= 0
    row = np.nonzero(real)[0]
    keys, token = np.unique(sequences[real], return_inverse=True)
    base = len(keys)
    yield keys, base, row, token
    number, here = token, np.arange(len(token))  # here: where the n-grams begin among all tokens
    for length in range(2, LONGEST + 1):
        longer = here + length - 1 < len(token)
        longer[longer] = row[here[longer] + length - 1] == row[here[longer]]
        here = here[longer]
        keys, number = np.unique(number[longer] * base + token[here + length - 1], return_inverse=True)
        yield keys, base, row[here], number


def paired(metric, candidates, references):
    """Candidates and the references of each as sequences in one array, which has each distinct reference once.

    Several candidates of an image come with the same references, which are then counted once.

    Args:
        metric: The name of the metric in errors.
        candidates: Integers `(n, timesteps)`; a negative number ends a sequence.
        references: Integers `(n, references, timesteps)`; their number of timesteps may differ from that of the
            candidates.

    Returns:
        `(sequences, which)`: `(n + distinct references, timesteps)`, the candidates first, padded with -1; the row
        of each reference in it, `(n, references)`.

    Raises:
        ValueError: if the arrays are not integers of these shapes.
    """
    candidates = integers(metric, candidates, "candidates", 2)
    references = integers(metric, references, "references", 3)
    n, several, timesteps = references.shape
    if len(candidates) != n:
        raise ValueError(
            f"{metric}: `references` must be those of {len(candidates)} candidates. Received: shape {references.shape}."
        )
    distinct, which = _distinct(references.reshape(n * several, timesteps))
    sequences = np.full((n + len(distinct), max(candidates.shape[1], timesteps)), -1, "int64")
    sequences[:n, : candidates.shape[1]] = candidates
    sequences[n:, :timesteps] = distinct
    return sequences, n + which.reshape(n, several)


def tokens_of(sequences):
    """The number of tokens of each of `sequences`, `(sequences, timesteps)`."""
    return (np.minimum.accumulate(sequences, axis=1) >= 0).sum(axis=1)


def integers(metric, array, name, axes):
    array = np.asarray(array)
    if array.ndim != axes or array.dtype.kind not in "iu":
        raise ValueError(
            f"{metric}: `{name}` must be integers with {axes} axes. Received: {array.dtype}, shape {array.shape}."
        )
    return array.astype("int64", copy=False)


def _distinct(rows):
    """The distinct rows of a matrix of integers, and the number of each row among them."""
    rows = np.ascontiguousarray(rows)
    if not rows.size:
        return rows[:1], np.zeros(len(rows), int)
    whole = rows.view(np.dtype((np.void, rows.dtype.itemsize * rows.shape[1])))[:, 0]
    _, first, which = np.unique(whole, return_index=True, return_inverse=True)
    return rows[first], which
