"""The GRU and the LSTM without what prevents a parallel run."""

import keras
from keras import ops

from layers.linear import LinearCell


@keras.saving.register_keras_serializable(package="layers")
class MinGRUCell(LinearCell):
    r"""Minimal GRU: an update gate that sees the input alone.

        z_t = σ(W_z x_t + b_z)                       update gate
        h~_t = W_h x_t + b_h                         candidate
        h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h~_t       hidden

    Source: L. Feng et al., "Were RNNs All We Needed?", 2024, arXiv:2410.01201, section 3.1.3.

    Weights: `kernel` `(features, 2 * units)` and `bias` `(2 * units,)`, in the order update, candidate.

    Args: those of `Cell`; `activation` and those of the recurrent kernel are not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MinGRUCell, Recurrent
    >>> tuple(Recurrent(MinGRUCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("update", "candidate")

    def coefficients(self, x):
        z, candidate = self.split(x)
        z = self.recurrent_activation(z)
        return 1 - z, z * candidate


@keras.saving.register_keras_serializable(package="layers")
class MinLSTMCell(LinearCell):
    r"""Minimal LSTM: a forget and an input gate that see the input alone and sum to 1.

        f_t = σ(W_f x_t + b_f)                            forget gate
        i_t = σ(W_i x_t + b_i)                            input gate
        h~_t = W_h x_t + b_h                              candidate
        f'_t = f_t / (f_t + i_t),  i'_t = i_t / (f_t + i_t)
        h_t = f'_t ⊙ h_{t-1} + i'_t ⊙ h~_t                hidden

    Source: L. Feng et al., "Were RNNs All We Needed?", 2024, arXiv:2410.01201, section 3.2.4.

    Weights: `kernel` `(features, 3 * units)` and `bias` `(3 * units,)`, in the order forget, input, candidate.

    Args: those of `Cell`; `activation` and those of the recurrent kernel are not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MinLSTMCell, Recurrent
    >>> tuple(Recurrent(MinLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("forget", "input", "candidate")

    def coefficients(self, x):
        f, i, candidate = self.split(x)
        f, i = self.recurrent_activation(f), self.recurrent_activation(i)
        whole = ops.maximum(f + i, 1e-7)  # both may be 0 in 32 bits
        return f / whole, i / whole * candidate
