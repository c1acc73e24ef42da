"""Several paths to one answer, each trained by itself."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="layers")
class Vote(keras.layers.Layer):
    """Logits of several paths: kept apart in training, one weighted sum in inference.

        z = Σ_p s_p z_p

    In training the logits stay apart, so that a path that learns fast leaves the others something to learn. The caller
    sets the shares s from data that the paths were not trained on (`classification.shares` of the pipelines' evaluation
    does so); until then they are equal.

    Sources: D. Wolpert, "Stacked Generalization", 1992, for the shares; C. Guo et al., 2017, arXiv:1706.04599, section
    4.2: for a single path, the share is one over their temperature.

    Call arguments:
        paths: List of `(batch, classes)` logits.
        training: Whether to keep the paths apart.

    Returns:
        `(batch, classes)`; in training `(batch, paths, classes)`.

    Example:

    >>> paths = [np.array([[1.0, 3.0]]), np.array([[5.0, 1.0]])]
    >>> ops.convert_to_numpy(Vote()(paths)).tolist()
    [[3.0, 2.0]]
    """

    def build(self, shapes):
        number = len(shapes)
        equal = keras.initializers.Constant(1 / number)
        self.shares = self.add_weight(name="shares", shape=(number,), initializer=equal, trainable=False)

    def call(self, paths, training=False):
        logits = ops.stack(paths, axis=1)  # (batch, paths, classes)
        return logits if training else ops.sum(logits * ops.expand_dims(self.shares, -1), axis=1)

    def compute_output_shape(self, shapes):
        return shapes[0]
