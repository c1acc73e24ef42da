"""The two cells of the extended LSTM."""

import keras
from keras import ops

from layers.cell import Cell

# m before the first timestep: smaller than any later m.
LOWEST = -1e4


def stabilized(i, f, m):
    """Exponential gates, divided by the same exp(m) so that they stay in bounds (equations 15 to 17).

    Args:
        i: The input gate's sum, its logarithm.
        f: The forget gate's sum, before the logistic function.
        m: The last stabiliser.

    Returns:
        `(i', f', m)`.
    """
    log_f = -ops.softplus(-f)
    new = ops.maximum(log_f + m, i)
    return ops.exp(i - new), ops.exp(log_f + m - new), new


@keras.saving.register_keras_serializable(package="layers")
class SLSTMCell(Cell):
    r"""sLSTM: an LSTM with an exponential input gate, and a cell divided by its accumulated input gates.

        z_t = tanh(W_z x_t + U_z h_{t-1} + b_z)                  candidate
        i_t = exp(W_i x_t + U_i h_{t-1} + b_i)                   input gate
        f_t = σ(W_f x_t + U_f h_{t-1} + b_f)                     forget gate
        o_t = σ(W_o x_t + U_o h_{t-1} + b_o)                     output gate
        c_t = f_t ⊙ c_{t-1} + i_t ⊙ z_t                          cell
        n_t = f_t ⊙ n_{t-1} + i_t                                normaliser
        h_t = o_t ⊙ c_t / n_t                                    hidden

    c and n are kept divided by exp(m_t), m_t = max(log f_t + m_{t-1}, log i_t), which does not change h.

    Source: M. Beck et al., "xLSTM: Extended Long Short-Term Memory", NeurIPS 2024, arXiv:2405.04517, equations 8 to 17,
    with one head and, of the paper's two forget gates, the logistic one.

    Weights: `kernel` `(features, 4 * units)`, `recurrent_kernel` `(units, 4 * units)` and `bias` `(4 * units,)`, in the
    order input, forget, candidate, output.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h, c, n, m]`, all `(batch, units)`; m begins at -10,000.

    Returns:
        `(h, [h, c, n, m])`, all `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import Recurrent, SLSTMCell
    >>> tuple(Recurrent(SLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("input", "forget", "candidate", "output")
    carry = ("hidden", "cell", "normaliser", "stabiliser")

    def initial_carry(self, batch):
        *zeros, m = super().initial_carry(batch)
        return (*zeros, m + LOWEST)

    def step(self, x, carry, recur):
        h, c, n, m = carry
        i, f, z, o = self.split(x + recur(h))
        i, f, m = stabilized(i, f, m)
        c = f * c + i * self.update(self.activation(z))
        n = f * n + i
        h = self.recurrent_activation(o) * c / n
        return h, (h, c, n, m)


@keras.saving.register_keras_serializable(package="layers")
class MLSTMCell(Cell):
    r"""mLSTM: a memory of keys and values, a matrix that is written, kept and read through exponential gates.

        q_t, k_t, v_t = W_q x_t + b_q,  (W_k x_t + b_k) / √units,  W_v x_t + b_v        query, key, value
        i_t = exp(w_i · x_t + b_i),  f_t = σ(w_f · x_t + b_f)                           a number each
        o_t = σ(W_o x_t + b_o)                                                          output gate
        C_t = f_t C_{t-1} + i_t v_t k_t^T                                               memory
        n_t = f_t n_{t-1} + i_t k_t                                                     normaliser
        h_t = o_t ⊙ C_t q_t / max(|n_t · q_t|, 1)                                       output

    C and n are kept divided by exp(m_t), m_t = max(log f_t + m_{t-1}, log i_t), which does not change h.

    Source: M. Beck et al., "xLSTM: Extended Long Short-Term Memory", NeurIPS 2024, arXiv:2405.04517, equations 19 to
    27, with one head and, of the paper's two forget gates, the logistic one.

    Weights: `kernel` `(features, 4 * units + 2)` and `bias` `(4 * units + 2,)`, in the order q, k, v, o, i, f.

    Args: those of `Cell`; `activation` and the recurrent kernel's are not used.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[C, n, m]`, `(batch, units * units)`, `(batch, units)` and `(batch, 1)`; m begins at -10,000.

    Returns:
        `(h, [C, n, m])`, h `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MLSTMCell, Recurrent
    >>> tuple(Recurrent(MLSTMCell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    has_recurrent_kernel = False
    carry = ("memory", "normaliser", "stabiliser")

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = [self.units**2, self.units, 1]

    @property
    def kernel_width(self):
        return 4 * self.units + 2

    @property
    def bias_shape(self):
        return (self.kernel_width,)

    def initial_carry(self, batch):
        *zeros, m = super().initial_carry(batch)
        return (*zeros, m + LOWEST)

    def step(self, x, carry, recur):
        memory, n, m = carry
        u = self.units
        q, k, v, o = self.split(x[:, : 4 * u])
        k = k / u**0.5
        i, f, m = stabilized(x[:, 4 * u : 4 * u + 1], x[:, 4 * u + 1 :], m)
        written = ops.expand_dims(i * self.update(v), 2) * ops.expand_dims(k, 1)  # i v k^T
        memory = f * memory + ops.reshape(written, (-1, u * u))
        n = f * n + i * k
        read = ops.sum(ops.reshape(memory, (-1, u, u)) * ops.expand_dims(q, 1), axis=2)  # C q
        whole = ops.maximum(ops.abs(ops.sum(n * q, axis=1, keepdims=True)), ops.exp(ops.minimum(-m, 80.0)))
        return self.recurrent_activation(o) * read / whole, (memory, n, m)
