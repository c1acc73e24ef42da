"""The LSTM with a recurrent projection."""

import keras

from layers.cells.peephole import PeepholeLSTMCell


@keras.saving.register_keras_serializable(package="layers")
class ProjectedLSTMCell(PeepholeLSTMCell):
    r"""Projected LSTM: many cells, of which the network sees a narrow projection.

        i_t = σ(W_i x_t + U_i r_{t-1} + p_i ⊙ c_{t-1} + b_i)     input gate
        f_t = σ(W_f x_t + U_f r_{t-1} + p_f ⊙ c_{t-1} + b_f)     forget gate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ tanh(W_c x_t + U_c r_{t-1} + b_c)
        o_t = σ(W_o x_t + U_o r_{t-1} + p_o ⊙ c_t + b_o)         output gate
        r_t = W_r (o_t ⊙ tanh(c_t))                              projection

    Source: H. Sak, A. Senior and F. Beaufays, "Long Short-Term Memory Recurrent Neural Network Architectures for Large
    Scale Acoustic Modeling", Interspeech 2014, equations 1 to 6 (without the second, non-recurrent projection).

    Weights: those of `PeepholeLSTMCell`, with `recurrent_kernel` `(projection, 4 * units)`; `projection_kernel` W_r
    `(units, projection)`.

    Args: those of `PeepholeLSTMCell`, and
        projection: Width of r, a positive integer; None for half of `units`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[r, c]`, `(batch, projection)` and `(batch, units)`.

    Returns:
        `(r, [r, c])`.

    Raises:
        ValueError: as `Cell`, or if `projection` is not a positive integer.

    Example:

    >>> from layers import ProjectedLSTMCell, Recurrent
    >>> tuple(Recurrent(ProjectedLSTMCell(8, projection=3))(np.ones((2, 5, 3))).shape)
    (2, 3)
    """

    carry = ("projection", "cell")

    def __init__(self, units, projection=None, **kwargs):
        super().__init__(units, **kwargs)
        self.projection = self.positive("projection", projection, default=max(1, self.units // 2))
        self.state_size = [self.projection, self.units]
        self.output_size = self.projection

    @property
    def recurrent_width(self):
        return self.projection

    def build(self, input_shape):
        super().build(input_shape)
        self.projection_kernel = self.new_weight("projection_kernel", (self.units, self.projection), "kernel")

    def step(self, x, carry, recur):
        r, c = carry
        *_, c, h = self.remember(x + recur(r, *self.gates), c)
        r = recur(h, "projection_kernel")
        return r, (r, c)

    def get_config(self):
        return {**super().get_config(), "projection": self.projection}
