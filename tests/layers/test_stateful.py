"""A stateful layer takes batches of the size that it was built for, and says so."""

import keras
import numpy as np
import pytest
from cells import TENSORFLOW

from layers import GRUCell, LSTMCell, Recurrent


@pytest.mark.parametrize("rows", [1, 3, 9])
@pytest.mark.parametrize("cell", [LSTMCell, GRUCell])
def test_another_batch_size_names_both(cell, rows):
    layer = Recurrent(cell(2), stateful=True)
    layer.build((4, 5, 3))
    x = np.random.default_rng(0).normal(size=(9, 5, 3)).astype("float32")
    assert layer(x[:4]).shape == (4, 2)
    with pytest.raises(ValueError, match=f"built for a batch of 4 .*Received: a batch of {rows}"):
        layer(x[:rows])


@pytest.mark.skipif(not TENSORFLOW, reason="JAX knows all sizes")
def test_in_a_graph_that_does_not_know_the_batch_too():
    import tensorflow as tf

    layer = Recurrent(LSTMCell(2), stateful=True)
    layer.build((4, 5, 3))
    run = tf.function(lambda x: layer(x), [tf.TensorSpec([None, None, 3])])
    x = np.random.default_rng(0).normal(size=(9, 5, 3)).astype("float32")
    np.testing.assert_allclose(run(x[:4]).shape, (4, 2))
    for rows in (1, 9):
        with pytest.raises(tf.errors.InvalidArgumentError, match="built for a batch of 4"):
            run(x[:rows])


def test_a_smaller_last_batch_is_no_longer_silent():
    model = keras.Sequential([keras.Input(batch_shape=(4, 5, 3)), Recurrent(LSTMCell(2), stateful=True)])
    x = np.random.default_rng(0).normal(size=(6, 5, 3)).astype("float32")
    with pytest.raises(Exception, match="batch of 4"):
        model.predict(x, batch_size=4, verbose=0)


def test_weights_and_files_of_them_fit_any_batch_size(tmp_path):
    """A network is trained with large batches, then another one of its weights writes one character after the other."""

    def made(batch, stateful):
        layer = Recurrent(LSTMCell(2), return_sequences=True, stateful=stateful)
        return keras.Sequential([keras.Input(batch_shape=(batch, None, 3)), layer, Recurrent(LSTMCell(4))])

    x = np.random.default_rng(0).normal(size=(4, 5, 3)).astype("float32")
    trained = made(4, True)
    expected = np.asarray(trained(x))
    trained.save_weights(tmp_path / "trained.weights.h5")
    for batch, stateful in ((1, True), (4, True), (None, False)):
        by_file, by_hand = made(batch, stateful), made(batch, stateful)
        by_file.load_weights(tmp_path / "trained.weights.h5")
        by_hand.set_weights(trained.get_weights())
        for model in (by_file, by_hand):
            np.testing.assert_allclose(model(x[:batch]), expected[:batch], atol=1e-6)
    trained.layers[0].reset_state()
    trained.load_weights(tmp_path / "trained.weights.h5")
    np.testing.assert_allclose(trained(x), expected, atol=1e-6)
