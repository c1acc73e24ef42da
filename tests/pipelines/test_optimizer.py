"""One pass gives what Keras's ten give."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from pipelines.engine.optimizer import OnePassAdamW, optimizer
from pipelines.engine.settings import Training

SETTINGS = {
    "plain": {},
    "decay and clipping": {"weight_decay": 0.1, "global_clipnorm": 0.5},
    "clipping by value": {"clipvalue": 0.3},
    "averages": {"use_ema": True, "ema_momentum": 0.9, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3},
}


def stepping(optimizer, weights, whole):
    """A step; Keras is given the whole gradient where it does not clip: it would add the squares of a row's parts."""

    def step(values, places, other):
        gradient = tf.IndexedSlices(values, places, (7, 3))
        optimizer.apply([tf.convert_to_tensor(gradient) if whole else gradient, other], weights)

    return step


@pytest.mark.parametrize("graph", [False, True])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_weights_momenta_and_averages_are_keras_s(settings, graph):
    rng = np.random.default_rng(0)
    starts = [rng.normal(size=(7, 3)).astype("float32"), rng.normal(size=(4,)).astype("float32")]
    rows = [rng.choice(7, 4) for _ in range(6)]  # an embedding's gradient names rows, some of them twice
    slices = [rng.normal(size=(4, 3)).astype("float32") for _ in rows]
    dense = [rng.normal(size=(4,)).astype("float32") for _ in rows]
    found = []
    for kind in (OnePassAdamW, keras.optimizers.AdamW):
        weights = [keras.Variable(start) for start in starts]
        optimizer = kind(keras.optimizers.schedules.ExponentialDecay(0.05, 2, 0.5), **settings)
        optimizer.build(weights)
        run = stepping(optimizer, weights, whole=kind is keras.optimizers.AdamW and "global_clipnorm" not in settings)
        run = tf.function(run) if graph else run
        for given in zip(slices, rows, dense, strict=True):
            run(*map(tf.constant, given))
        found.append([variable.numpy() for variable in (*weights, *optimizer.variables)])
    assert len(found[0]) == len(found[1])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)
    assert not np.allclose(found[0][0], starts[0], atol=0.01)


def test_what_the_kernel_has_not_is_refused():
    with pytest.raises(ValueError, match="`amsgrad` must be False"):
        OnePassAdamW(amsgrad=True)


def test_gradients_are_clipped_by_norm_unless_a_largest_value_is_given():
    kinds = [{}, {"clip_norm": 0.0}, {"clip_value": 0.5}, {"clip_norm": 2.0, "clip_value": 0.5}]
    made = [optimizer(Training(**kind), steps=10) for kind in kinds]
    assert [one.global_clipnorm for one in made] == [1.0, None, None, None]
    assert [one.clipvalue for one in made] == [None, None, 0.5, 0.5]
