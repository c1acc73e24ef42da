"""A linear readout fitted in closed form."""

import keras
import numpy as np
from keras import ops

from layers import arguments
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class RidgeReadout(Extensible, keras.layers.Layer):
    r"""A linear layer fitted by ridge regression over a stream of batches, as an echo state network's readout is.

        W = (X^T X + β I)^{-1} X^T Y

    Only X^T X and X^T Y are held while the batches pass, in 64 bits. The bias is not penalised.

    Source: H. Jaeger, "The echo state approach to analysing and training recurrent neural networks", GMD Report 148,
    2001, section 3; the penalty: A. E. Hoerl and R. W. Kennard, "Ridge Regression", Technometrics 12(1), 1970.

    Args:
        outputs: Width of the output, a positive integer.
        penalty: β, a number that is not negative.

    Call arguments:
        inputs: `(..., features)`.

    Returns:
        `(..., outputs)`.

    Raises:
        ValueError: if `outputs` is not a positive integer, `penalty` is negative, or the batches of `adapt` do not fit.

    Example:

    >>> from layers import RidgeReadout
    >>> x = np.random.default_rng(0).normal(size=(100, 3))
    >>> readout = RidgeReadout(1, penalty=0.0)
    >>> readout.adapt([(x, x @ [[1.0], [2.0], [3.0]] + 4)])
    >>> np.round(readout.kernel.numpy().ravel(), 3).tolist()
    [1.0, 2.0, 3.0]
    """

    def __init__(self, outputs, penalty=1e-6, **kwargs):
        super().__init__(**kwargs)
        self.outputs = arguments.positive("RidgeReadout", "outputs", outputs)
        self.penalty = float(arguments.within("RidgeReadout", "penalty", penalty, 0))

    def build(self, inputs_shape):
        fitted = {"initializer": "zeros", "trainable": False}  # by `adapt`, also where a model is made trainable again
        self.kernel = self.add_weight(name="kernel", shape=(inputs_shape[-1], self.outputs), **fitted)
        self.bias = self.add_weight(name="bias", shape=(self.outputs,), **fitted)

    def adapt(self, batches, through=None):
        """Fits kernel and bias.

        Args:
            batches: Iterable, such as a `tf.data.Dataset`, of `(features, targets)` or `(features, targets, mask)`:
                `(..., features)`, `(..., outputs)` and, where given, `(...)`, False for rows that do not count.
            through: A layer applied to the features first, such as `Recurrent(EchoStateCell(500))`; or None.
        """
        gram = moments = None
        for features, targets, *mask in batches:
            features = features if through is None else through(features)
            x, y = (np.asarray(ops.convert_to_numpy(part), "float64") for part in (features, targets))
            if x.shape[:-1] != y.shape[:-1] or y.shape[-1] != self.outputs:
                raise ValueError(
                    f"RidgeReadout: `targets` must be (..., {self.outputs}), one for each row of features. "
                    f"Received: features.shape={x.shape}, targets.shape={y.shape}."
                )
            x, y = x.reshape(-1, x.shape[-1]), y.reshape(-1, self.outputs)
            if mask:
                counts = np.asarray(ops.convert_to_numpy(mask[0])).reshape(-1) > 0
                if len(counts) != len(x):
                    raise ValueError(
                        f"RidgeReadout: `mask` must have one value for each of {len(x)} rows of features. "
                        f"Received: {len(counts)}."
                    )
                x, y = x[counts], y[counts]
            width = self.kernel.shape[0] if self.built else x.shape[1] if gram is None else len(gram) - 1
            if x.shape[1] != width:
                raise ValueError(
                    f"RidgeReadout: `features` must be (..., {width}), as before. Received: (..., {x.shape[1]})."
                )
            x = np.concatenate([x, np.ones((len(x), 1))], axis=1)
            gram = x.T @ x + (0 if gram is None else gram)
            moments = x.T @ y + (0 if moments is None else moments)
        if gram is None:
            raise ValueError("RidgeReadout: `batches` must not be empty. Received: no batch.")
        if not self.built:
            self.build((None, len(gram) - 1))
            self.built = True
        penalty = np.append(np.full(len(gram) - 1, self.penalty), 0.0)
        found, *_ = np.linalg.lstsq(gram + np.diag(penalty), moments, rcond=None)
        self.kernel.assign(found[:-1])
        self.bias.assign(found[-1])

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel) + self.bias

    def compute_output_shape(self, inputs_shape):
        return (*inputs_shape[:-1], self.outputs)

    def get_config(self):
        return {**super().get_config(), "outputs": self.outputs, "penalty": self.penalty}
