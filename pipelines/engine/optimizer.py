"""AdamW whose step passes over each variable once, by TensorFlow's own kernel, and its learning-rate schedule."""

import functools

import keras
import numpy as np
import tensorflow as tf
from keras import ops


class OnePassAdamW(keras.optimizers.AdamW):
    """`keras.optimizers.AdamW`, with the same arguments, variables and numbers, in less time.

    A step of Keras is ten operations, each of which reads and writes an array of the variable's size: with a large
    vocabulary a fifth of a short training step. One thing differs: if a batch uses an embedding's row twice, the second
    moment gets the square of the summed gradient, where Keras, unless it clips, adds the squares of the two gradients.

    Source: I. Loshchilov and F. Hutter, "Decoupled Weight Decay Regularization", ICLR 2019, arXiv:1711.05101,
    algorithm 2; the decay and the clipping of gradients are Keras's.

    Raises:
        ValueError: if `amsgrad` is True; the kernel does not have it.

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

    rate = numbers = None  # within `apply`: the learning rate of the step, and the kernel's numbers for each dtype

    def apply(self, grads, trainable_variables=None):
        # Keras computes the scheduled rate and the powers again for each variable: hundreds of operations to trace.
        self.rate = rate = self.learning_rate
        self.numbers = functools.cache(lambda dtype: self._numbers(rate, dtype))
        try:
            super().apply(grads, trainable_variables)
        finally:
            self.rate = self.numbers = None

    @keras.optimizers.AdamW.learning_rate.getter  # the setter stays Keras's
    def learning_rate(self):
        return super().learning_rate if self.rate is None else self.rate

    def update_step(self, gradient, variable, learning_rate):
        place = self._get_variable_index(variable)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=self._momentums[place].value.handle,
            v=self._velocities[place].value.handle,
            **self.numbers(variable.dtype),
            grad=ops.cast(tf.convert_to_tensor(gradient), variable.dtype),
        )

    def _clip_gradients(self, grads):
        if self.global_clipnorm:  # of an embedding, whose gradients are rows, Keras makes whole arrays here, twice
            return tf.clip_by_global_norm(grads, self.global_clipnorm)[0]
        if self.clipvalue:  # an embedding's row may have several gradients: their sum is clipped, not each of them
            grads = [tf.convert_to_tensor(gradient) for gradient in grads]
        return super()._clip_gradients(grads)

    def _apply_weight_decay(self, variables):
        if self.weight_decay:  # Keras subtracts zeros too
            super()._apply_weight_decay(variables)

    def _update_model_variables_moving_average(self, trainable_variables):
        share = ops.where(ops.equal(self.iterations, 0), 1.0, 1 - self.ema_momentum)
        for variable, average in zip(trainable_variables, self._model_variables_moving_average, strict=True):
            if average is not None:
                alpha, delta = ops.cast(share, variable.dtype), average - variable
                tf.raw_ops.ResourceApplyGradientDescent(var=average.value.handle, alpha=alpha, delta=delta)

    def _numbers(self, rate, dtype):
        """The kernel's scalars."""
        step, rate, beta_1, beta_2, epsilon = (
            ops.cast(number, dtype) for number in (self.iterations + 1, rate, self.beta_1, self.beta_2, self.epsilon)
        )
        powers = {"beta1_power": beta_1**step, "beta2_power": beta_2**step}
        return {"lr": rate, "beta1": beta_1, "beta2": beta_2, "epsilon": epsilon, **powers}


def optimizer(config, steps):
    """The optimizer of a configuration, for training of `steps` steps."""
    return OnePassAdamW(
        Schedule(config.learning_rate, steps, rise=int(steps * config.warmup), fall=config.schedule),
        weight_decay=config.weight_decay,
        clipvalue=config.clip_value or None,
        global_clipnorm=None if config.clip_value else config.clip_norm or None,
        use_ema=config.ema > 0,
        ema_momentum=config.ema or 0.99,
    )


class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate that rises to `peak` over `rise` steps, then falls to 0 or stays.

    Args:
        peak: The largest rate.
        steps: Number of all steps.
        rise: Number of steps in which it rises.
        fall: "cosine", "linear" or "constant".
    """

    def __init__(self, peak, steps, rise, fall):
        self.peak, self.steps, self.rise, self.fall = peak, steps, rise, fall

    def __call__(self, step):
        step = ops.cast(step, "float32")
        risen = ops.minimum((step + 1) / (self.rise + 1), 1.0)
        done = ops.clip((step - self.rise) / max(1, self.steps - self.rise), 0.0, 1.0)
        shares = {"cosine": (1 + ops.cos(np.pi * done)) / 2, "linear": 1 - done, "constant": 1.0}
        return self.peak * risen * shares[self.fall]

    def get_config(self):
        return {"peak": self.peak, "steps": self.steps, "rise": self.rise, "fall": self.fall}
