"""AdamW whose step goes over each variable once, by TensorFlow's own kernel."""

import keras
import tensorflow as tf
from keras import ops


class OnePassAdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, with its arguments, variables and numbers, in less time.

    Keras writes a step as ten operations, each of which reads and writes an array of the variable's size: with a large
    vocabulary a fifth of a short training step. One thing differs: of an embedding's row that a batch names twice, the
    second moment gets the square of the whole gradient, where Keras, unless it clips, adds the squares of its parts.

    Source: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101,
    algorithm 2; the decay and the clipping of gradients are Keras's.

    Raises:
        ValueError: if `amsgrad` is asked for, which the kernel does not have.

    Example:
        >>> weights = keras.Variable([1.0, -1.0])
        >>> optimizer = OnePassAdamW(0.1, weight_decay=0.0)
        >>> optimizer.apply([tf.constant([0.5, 0.5])], [weights])
        >>> [round(float(weight), 3) for weight in weights.numpy()]
        [0.9, -1.1]
    """

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if self.amsgrad:
            raise ValueError("OnePassAdamW: `amsgrad` must be False. Received: amsgrad=True.")

    def update_step(self, gradient, variable, learning_rate):
        place = self._get_variable_index(variable)
        step, rate, beta_1, beta_2, epsilon = (
            ops.cast(number, variable.dtype)
            for number in (self.iterations + 1, learning_rate, self.beta_1, self.beta_2, self.epsilon)
        )
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            beta1_power=beta_1**step,
            beta2_power=beta_2**step,
            lr=rate,
            beta1=beta_1,
            beta2=beta_2,
            epsilon=epsilon,
            grad=ops.cast(tf.convert_to_tensor(gradient), variable.dtype),
        )
