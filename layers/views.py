"""One of several views of an example, another one each time that it is trained on."""

import keras
from keras import ops

from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class RandomView(Extensible, keras.layers.Layer):
    """In training an example or one of its views, at random and equally often; in inference the example itself.

    Args:
        seed: An integer or None.

    Call arguments:
        original: `(batch, ...)`.
        views: `(batch, views, ...)`, of the same shape and dtype otherwise; there may be none.
        training: Whether to draw.

    Returns:
        `(batch, ...)`.

    Raises:
        ValueError: if the shapes do not agree.

    Example:

    >>> original, views = np.zeros((2, 3)), np.ones((2, 4, 3))
    >>> ops.convert_to_numpy(RandomView()(original, views)).tolist()
    [[0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    def __init__(self, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.seed = seed
        self.generator = keras.random.SeedGenerator(seed)

    def build(self, original_shape, views_shape):
        if len(views_shape) != len(original_shape) + 1 or tuple(views_shape[2:]) != tuple(original_shape[1:]):
            raise ValueError(
                "RandomView: `views` must be (batch, views, ...) with the shape of `original` after that. Received: "
                f"original.shape={tuple(original_shape)}, views.shape={tuple(views_shape)}."
            )

    def call(self, original, views, training=False):
        if not training:
            return original
        every = ops.concatenate([ops.expand_dims(original, 1), views], axis=1)
        batch, count = ops.shape(every)[:2]
        drawn = keras.random.randint((batch,), 0, count, seed=self.generator)
        rows = ops.reshape(every, (-1, *every.shape[2:]))  # the views of an example, side by side
        return ops.take(rows, ops.arange(batch) * count + drawn, axis=0)

    def get_config(self):
        return {**super().get_config(), "seed": self.seed}
