"""What is read of a word."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import tensorflow as tf

from data.transforms.spelling import Spelling, learn

TEXTS = ["Ann met 12 men in 1998.", "ann's U.S. iPhone (IBM) ?", ""]


def test_words_are_looked_up_without_case_and_with_digits_alike():
    words, letters = learn(tf.data.Dataset.from_tensor_slices(TEXTS), 100)
    assert words[0] == "ann" and {"00", "0000", "u.s.", "'s", "iphone", "."} <= set(words)
    assert len(learn(tf.data.Dataset.from_tensor_slices(TEXTS), 3)[0]) == 3
    assert learn(tf.data.Dataset.from_tensor_slices(TEXTS), 100, minimum=2)[0] == ["ann"]
    look = Spelling(words, letters, letters=5)
    one, other = look(["ANN in 2024"]).numpy()[0], look(["Ann in 1998"]).numpy()[0]
    np.testing.assert_array_equal(one[:, 0], other[:, 0])
    assert (one[:, 0] > 1).all() and not (one[0] == other[0]).all()
    assert look.sizes == (2 + len(words), 9, 2 + len(letters))


def test_the_case_is_the_first_that_fits():
    look = Spelling(["x"], ["x"], letters=1)
    words = ["7", "3.5", "B2B", "A", "Ann", "U.S.", "IBM", "dog", "iPhone", "?", "É", "Été"]
    cases = look([" ".join(words)]).numpy()[0, :, 1].tolist()
    assert cases == [1, 1, 2, 3, 4, 5, 5, 6, 7, 8, 3, 4]


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.lists(st.text(max_size=20), min_size=1, max_size=3))
def test_any_text_has_features_in_their_ranges(texts):
    look = Spelling(["a"], ["a", "b"], letters=3)
    found = look(tf.constant([text.encode("utf-8", "replace") for text in texts])).numpy()
    assert found.shape[0] == len(texts) and found.shape[1] >= 1 and found.shape[2] == 5
    assert (found.reshape(-1, 5).max(axis=0) < np.array([look.sizes[0], look.sizes[1], *[look.sizes[2]] * 3])).all()
    real = found[..., 0] > 0
    assert ((found[..., 1] > 0) == real).all() and ((found[..., 2] > 0) == real).all()
    np.testing.assert_array_equal(look.ragged(tf.constant(texts)).row_lengths(), real.sum(axis=1))
