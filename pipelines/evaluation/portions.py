"""Inputs of similar length together, so that little of a batch is padding."""


def portions(texts, at_once, length_at_once):
    """Batches of indices of texts, those of similar length together; a batch with a very long text has few others."""
    batch, longest = [], 0
    for row in sorted(range(len(texts)), key=lambda row: len(texts[row])):
        longest = max(longest, len(texts[row]))
        if batch and (len(batch) == at_once or longest * (len(batch) + 1) > length_at_once):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
