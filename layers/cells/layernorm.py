"""LSTM and GRU with layer normalisation."""

import keras
from keras import ops

from layers.cell import Cell, plus_bias, product
from layers.cells.lstm import LSTMCell


def normalized(x, gain):
    """LN(x; α) = α ⊙ (x - μ) / σ, with mean and deviation over the last axis; computed in at least 32 bits."""
    wide = ops.cast(x, keras.backend.result_type(x.dtype, "float32"))
    wide = wide - ops.mean(wide, axis=-1, keepdims=True)
    wide = wide * ops.rsqrt(ops.mean(ops.square(wide), axis=-1, keepdims=True) + 1e-5)
    return ops.cast(wide, x.dtype) * gain


@keras.saving.register_keras_serializable(package="layers")
class LayerNormLSTMCell(LSTMCell):
    r"""Layer-normalised LSTM: the gates' sums and the cell as read have mean 0 and deviation 1 across units.

        (i, f, c~, o)_t = LN(W x_t; α_1) + LN(U h_{t-1}; α_2) + b
        c_t = σ(f_t) ⊙ c_{t-1} + σ(i_t) ⊙ tanh(c~_t)
        h_t = σ(o_t) ⊙ tanh(LN(c_t; α_3) + β_3)

    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450, equations 20 to 22;
    b stands for the sum of the paper's b, β_1 and β_2.

    Weights: those of `LSTMCell`; `gains` α_1 and α_2 `(2, 4 * units)`; `cell_gain` α_3 and `cell_bias` β_3 `(units,)`.

    Args: those of `LSTMCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c]`, both `(batch, units)`.

    Returns:
        `(h, [h, c])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import LayerNormLSTMCell, Recurrent
    >>> tuple(Recurrent(LayerNormLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def build(self, input_shape):
        super().build(input_shape)
        self.gains = self.new_weight("gains", (2, 4 * self.units), "bias", keras.initializers.Ones())
        self.cell_gain = self.new_weight("cell_gain", (self.units,), "bias", keras.initializers.Ones())
        self.cell_bias = self.new_weight("cell_bias", (self.units,), "bias", keras.initializers.Zeros())

    def project(self, inputs):
        x = normalized(product(inputs, self.kernel), self.gains[0])
        return x if self.bias is None else plus_bias(x, self.bias)

    def step(self, x, carry, recur):
        return super().step(x, carry, lambda h: normalized(recur(h), self.gains[1]))

    def read(self, c):
        return self.activation(normalized(c, self.cell_gain) + self.cell_bias)


@keras.saving.register_keras_serializable(package="layers")
class LayerNormGRUCell(Cell):
    r"""Layer-normalised GRU.

        (z, r)_t = LN(W x_t; α_1) + LN(U h_{t-1}; α_2) + b
        h~_t = tanh(LN(W_h x_t; α_3) + b_h + σ(r_t) ⊙ (LN(U_h h_{t-1}; α_4) + β_4))
        h_t = (1 - σ(z_t)) ⊙ h_{t-1} + σ(z_t) ⊙ h~_t

    A z near 1 forgets; that is the reverse of `GRUCell`.

    Source: J. L. Ba, J. R. Kiros and G. E. Hinton, "Layer Normalization", 2016, arXiv:1607.06450, equations 23 to 25; b
    stands for the sum of the paper's β_1 and β_2, b_h for β_3.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)`, `bias` `(3 * units,)` and
    `gains` `(2, 3 * units)` (α_1 and α_3, α_2 and α_4), in the order update, reset, candidate; `candidate_bias` β_4
    `(units,)`.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import LayerNormGRUCell, Recurrent
    >>> tuple(Recurrent(LayerNormGRUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("update", "reset", "candidate")

    def build(self, input_shape):
        super().build(input_shape)
        self.gains = self.new_weight("gains", (2, 3 * self.units), "bias", keras.initializers.Ones())
        self.candidate_bias = self.new_weight("candidate_bias", (self.units,), "bias") if self.use_bias else None

    def project(self, inputs):
        x = self.normalized_parts(product(inputs, self.kernel), self.gains[0])
        return x if self.bias is None else plus_bias(x, self.bias)

    def normalized_parts(self, x, gains):
        """z and r are normalised together, the candidate by itself."""
        cut = 2 * self.units
        parts = [normalized(x[..., :cut], gains[:cut]), normalized(x[..., cut:], gains[cut:])]
        return ops.concatenate(parts, axis=-1)

    def step(self, x, carry, recur):
        (h,) = carry
        x_z, x_r, x_h = self.split(x)
        r_z, r_r, r_h = self.split(self.normalized_parts(recur(h), self.gains[1]))
        r_h = r_h if self.candidate_bias is None else r_h + self.candidate_bias
        z, r = self.recurrent_activation(x_z + r_z), self.recurrent_activation(x_r + r_r)
        h = (1 - z) * h + z * self.update(self.activation(x_h + r * r_h))
        return h, (h,)
