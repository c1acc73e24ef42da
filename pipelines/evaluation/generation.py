"""What answers that a search has written have in common, such as translations and captions."""

import math


def n_best(name, texts, answer):
    """The texts of one answer, the best first, as dictionaries for JSON: `name`, `score` and `log_probability`.

    Args:
        name: What a text is called.
        texts: `(beam,)` bytes.
        answer: Dictionary of `scores` and `log_probabilities`, `(beam,)`; a score of minus infinity: no text.
    """
    return [
        {name: text.decode(), "score": float(score), "log_probability": float(log_probability)}
        for text, score, log_probability in zip(texts, answer["scores"], answer["log_probabilities"], strict=True)
        if math.isfinite(score)
    ]
