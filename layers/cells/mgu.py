"""The minimal gated unit."""

import keras

from layers.cell import Cell


@keras.saving.register_keras_serializable(package="layers")
class MGUCell(Cell):
    r"""Minimal gated unit: a GRU whose one gate both resets and updates.

        f_t = σ(W_f x_t + U_f h_{t-1} + b_f)                     forget gate
        h~_t = tanh(W_h x_t + U_h (f_t ⊙ h_{t-1}) + b_h)         candidate
        h_t = (1 - f_t) ⊙ h_{t-1} + f_t ⊙ h~_t                   hidden

    A gate near 1 forgets; that is the reverse of the LSTM's forget gate.

    Source: G.-B. Zhou et al., "Minimal Gated Unit for Recurrent Neural Networks", 2016, arXiv:1603.09420, equations 5a
    to 5c.

    Weights: `kernel` `(features, 2 * units)`, `recurrent_kernel` `(units, 2 * units)` and `bias` `(2 * units,)`, in the
    order forget, candidate.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MGUCell, Recurrent
    >>> tuple(Recurrent(MGUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("forget", "candidate")

    def step(self, x, carry, recur):
        (h,) = carry
        x_f, x_h = self.split(x)
        f = self.recurrent_activation(x_f + recur(h, "forget"))
        candidate = self.update(self.activation(x_h + recur(f * h, "candidate")))
        h = (1 - f) * h + f * candidate
        return h, (h,)
