"""Several paths to one answer, each learning for itself."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="layers")
class Vote(keras.layers.Layer):
    """Logits of several paths: side by side in training, as one weighted sum for the answer.

        z = Σ_p s_p z_p

    In training each path answers alone, so that a quick learner does not leave the others nothing to learn. The shares
    s are set from outside, from data that the paths were not trained on (`classification.shares` of the pipelines'
    evaluation does so); until then they are equal.

    Sources: D. Wolpert, "Stacked Generalization", 1992, for the shares; C. Guo et al., 2017, arXiv:1706.04599, section
    4.2, which for a single path is the same thing: its share is one over their temperature.

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
