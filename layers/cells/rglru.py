"""The real-gated linear recurrent unit."""

import keras
from keras import ops

from layers.linear import LinearCell


@keras.saving.register_keras_serializable(package="layers")
class RGLRUCell(LinearCell):
    r"""Real-gated linear recurrent unit: a diagonal linear recurrence whose decay is gated by the input.

        x~_t = W x_t + b                                         input
        r_t = σ(W_a x_t + b_a)                                   recurrence gate
        i_t = σ(W_i x_t + b_i)                                   input gate
        log a_t = -κ softplus(-Λ) ⊙ r_t,                         that is, a_t = σ(Λ)^(κ r_t)
        h_t = a_t ⊙ h_{t-1} + √(1 - a_t²) ⊙ (i_t ⊙ x~_t)         hidden

    Source: S. De et al., "Griffin: Mixing Gated Linear Recurrences with Local Attention for Efficient Language Models",
    2024, arXiv:2402.19427, equations 1 to 4, with κ = 8 (the paper's c), and σ(Λ)^κ uniform in [0.9, 0.999] to begin
    with. W stands for the linear layer below; the paper's gates have block-diagonal matrices.

    Weights: `kernel` `(features, 3 * units)` and `bias` `(3 * units,)`, in the order input, recurrence gate, input
    gate; `decay` Λ `(units,)`.

    Args: those of `Cell`; `activation` and the recurrent kernel's are not used; and
        sharpness: κ, a positive number.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`, or if `sharpness` is negative.

    Example:

    >>> from layers import RGLRUCell, Recurrent
    >>> tuple(Recurrent(RGLRUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("candidate", "recurrence", "input")

    def __init__(self, units, sharpness=8.0, **kwargs):
        super().__init__(units, **kwargs)
        self.sharpness = self.within("sharpness", sharpness, 1e-6)

    def build(self, input_shape):
        super().build(input_shape)
        self.decay = self.new_weight("decay", (self.units,), "bias", self.initial_decay)

    def initial_decay(self, shape, dtype=None):
        a = keras.random.uniform(shape, 0.9, 0.999, dtype=dtype, seed=self.seed) ** (1 / self.sharpness)
        return ops.log(a) - ops.log(1 - a)

    def coefficients(self, x):
        x, r, i = self.split(x)
        r, i = self.recurrent_activation(r), self.recurrent_activation(i)
        log_a = -self.sharpness * ops.softplus(-self.decay.value) * r
        a = ops.exp(log_a)
        rest = -ops.tanh(log_a) * (1 + a * a)  # 1 - a², exact where a is near 1
        return a, ops.sqrt(ops.maximum(rest, 1e-12)) * i * x

    def get_config(self):
        return {**super().get_config(), "sharpness": self.sharpness}
