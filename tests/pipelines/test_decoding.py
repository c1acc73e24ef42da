"""What all tasks that write have in common."""

import numpy as np
import pytest

from pipelines.engine.decoding import Written


@pytest.mark.parametrize("never", [(), (5,)])
def test_neither_the_first_token_nor_padding_is_written(never):
    begin, end, padding, vocabulary = 1, 2, 0, 8
    network = {"units": 4, "embedding": 3, "cell": "gru", "attention": "none", "feeding": "none", "dropout": 0.0}
    config = Written(**network, beam=3, max_length=6)
    decoder = config.decoder(vocabulary, begin)
    summary = np.random.default_rng(0).normal(size=(4, 5)).astype("float32")
    decoder(np.zeros((4, 2), int), summary)
    likely = np.zeros(vocabulary, "float32")
    likely[[padding, begin, 5]] = 20
    decoder.output_bias.assign(likely)
    found = config.searched(decoder, summary, None, None, config.max_length, end=end, padding=padding, never=never)
    written = found["tokens"].numpy()[np.arange(config.max_length) < found["lengths"].numpy()[..., None]]
    assert len(written) and not np.isin(written, [padding, begin, *never]).any()
    assert never or (written[found["lengths"].numpy()[0, 0] - 1] == 5)
