"""Linear models beside a network, whose logits vote with its own: fitted before training, fixed in it."""

import keras
import numpy as np


class LinearPaths:
    """Linear models of features of the same inputs.

    Args:
        inputs: A `keras.Input` of the network.
        classes: Number of logits of each path, a positive integer.
    """

    def __init__(self, inputs, classes):
        self.inputs, self.classes, self.paths = inputs, classes, []

    def logits(self, features, strength):
        """The logits `(batch, classes)` of a new path.

        Args:
            features: `(batch, features)` Keras tensor, made of the inputs.
            strength: As for `use_logistic`.
        """
        layer = keras.layers.Dense(self.classes, trainable=False, dtype="float32")
        found = layer(features)
        self.paths.append((layer, keras.Model(self.inputs, features), strength))
        return found

    def fit(self, batches):
        """Fits all paths to `batches` of (inputs, targets), as `use_logistic` does."""
        for layer, features, strength in self.paths:
            use_logistic(layer, features, batches, strength)


def use_logistic(layer, features, batches, strength, most=20_000):
    """Sets a Dense layer to a logistic regression of targets on features, fitted to the end.

    Args:
        layer: A built `keras.layers.Dense`.
        features: Maps a batch of the model's inputs to `(batch, features)`, the layer's inputs.
        batches: Iterable of (inputs, targets): classes `(batch,)`, or several labels `(batch, labels)`, 0 or 1.
        strength: Inverse of the penalty's weight, a positive number: scikit-learn's C.
        most: Examples that it is fitted on, at most; the first ones.
    """
    import scipy.sparse
    import sklearn.linear_model

    rows, targets, count = [], [], 0
    for inputs, target in batches:
        if count >= most:
            break
        rows.append(scipy.sparse.csr_matrix(np.asarray(features(inputs))[: most - count]))
        targets.append(np.asarray(target)[: most - count])
        count += len(targets[-1])
    rows, targets = scipy.sparse.vstack(rows), np.concatenate(targets)
    kernel, bias = (np.zeros(weight.shape) for weight in layer.get_weights())
    classes = np.eye(len(bias))[targets] if targets.ndim == 1 else targets
    regression = sklearn.linear_model.LogisticRegression(C=strength, max_iter=1000)
    if targets.ndim == 1 and len(np.unique(targets)) > 2:
        regression.fit(rows, targets)
        kernel[:, regression.classes_], bias[regression.classes_] = regression.coef_.T, regression.intercept_
    else:
        for label in range(classes.shape[1]):
            if 0 < classes[:, label].mean() < 1:
                regression.fit(rows, classes[:, label])
                kernel[:, label], bias[label] = regression.coef_[0], regression.intercept_[0]
            elif classes[:, label].all() and targets.ndim > 1:
                bias[label] = np.log(1 + len(classes))
        if targets.ndim == 1:  # two classes share what is between them
            kernel, bias = kernel / 2, bias / 2
    missing = classes.sum(axis=0) == 0
    bias[missing] = bias.min() - np.log(1 + len(classes))
    layer.set_weights([kernel, bias])
