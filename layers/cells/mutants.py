"""The three cells that an evolutionary search found best."""

import keras
from keras import ops

from layers.cell import Cell, product


@keras.saving.register_keras_serializable(package="layers")
class MUT1Cell(Cell):
    r"""MUT1: a GRU whose update gate does not see the state.

        z_t = σ(W_z x_t + b_z)                                              update gate
        r_t = σ(W_r x_t + U_r h_{t-1} + b_r)                                reset gate
        h_t = tanh(U_h (r_t ⊙ h_{t-1}) + tanh(W_h x_t) + b_h) ⊙ z_t + h_{t-1} ⊙ (1 - z_t)

    Source: R. Jozefowicz, W. Zaremba and I. Sutskever, "An Empirical Exploration of Recurrent Network Architectures",
    ICML 2015, section 3.3, MUT1.
    Departure: tanh(W_h x_t) where the paper has tanh(x_t), which needs inputs as wide as the state.

    Weights: `kernel` `(features, 3 * units)` and `bias` `(3 * units,)`, in the order update, reset, candidate;
    `recurrent_kernel` `(units, 2 * units)`, in the order reset, candidate.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MUT1Cell, Recurrent
    >>> tuple(Recurrent(MUT1Cell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("update", "reset", "candidate")
    recurrent_gates = ("reset", "candidate")

    def project(self, inputs):
        x = product(inputs, self.kernel)
        if self.bias is None:
            return x
        return x + ops.concatenate([self.bias[: 2 * self.units], ops.zeros((self.units,), x.dtype)])

    def step(self, x, carry, recur):
        (h,) = carry
        x_z, x_r, x_h = self.split(x)
        z = self.recurrent_activation(x_z)
        r = self.recurrent_activation(x_r + recur(h, "reset"))
        s = recur(r * h, "candidate") + ops.tanh(x_h)
        s = s if self.bias is None else s + self.bias[2 * self.units :]
        h = self.update(self.activation(s)) * z + h * (1 - z)
        return h, (h,)


@keras.saving.register_keras_serializable(package="layers")
class MUT2Cell(Cell):
    r"""MUT2: a GRU whose reset gate sees the inputs as they are.

        z_t = σ(W_z x_t + U_z h_{t-1} + b_z)                                update gate
        r_t = σ(W_r x_t + U_r h_{t-1} + b_r)                                reset gate
        h_t = tanh(U_h (r_t ⊙ h_{t-1}) + W_h x_t + b_h) ⊙ z_t + h_{t-1} ⊙ (1 - z_t)

    Source: R. Jozefowicz, W. Zaremba and I. Sutskever, "An Empirical Exploration of Recurrent Network Architectures",
    ICML 2015, section 3.3, MUT2.
    Departure: W_r x_t where the paper has x_t, which needs inputs as wide as the state; the result is the GRU with the
    reset before the product and the update gate's roles exchanged.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and `bias` `(3 * units,)`, in the
    order update, reset, candidate.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MUT2Cell, Recurrent
    >>> tuple(Recurrent(MUT2Cell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    gates = ("update", "reset", "candidate")

    def step(self, x, carry, recur):
        (h,) = carry
        x_z, x_r, x_h = self.split(x)
        z = self.recurrent_activation(x_z + recur(self.seen_by_update(h), "update"))
        r = self.recurrent_activation(x_r + recur(h, "reset"))
        candidate = self.activation(recur(r * h, "candidate") + x_h)
        h = self.update(candidate) * z + h * (1 - z)
        return h, (h,)

    def seen_by_update(self, h):
        return h


@keras.saving.register_keras_serializable(package="layers")
class MUT3Cell(MUT2Cell):
    r"""MUT3: a GRU whose update gate sees the state squashed.

        z_t = σ(W_z x_t + U_z tanh(h_{t-1}) + b_z)                          update gate
        r_t = σ(W_r x_t + U_r h_{t-1} + b_r)                                reset gate
        h_t = tanh(U_h (r_t ⊙ h_{t-1}) + W_h x_t + b_h) ⊙ z_t + h_{t-1} ⊙ (1 - z_t)

    Source: R. Jozefowicz, W. Zaremba and I. Sutskever, "An Empirical Exploration of Recurrent Network Architectures",
    ICML 2015, section 3.3, MUT3.

    Weights: `kernel` `(features, 3 * units)`, `recurrent_kernel` `(units, 3 * units)` and `bias` `(3 * units,)`, in the
    order update, reset, candidate.

    Args: those of `Cell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: `[h]`, `(batch, units)`.

    Returns:
        `(h, [h])`, both `(batch, units)`.

    Raises:
        ValueError: as `Cell`.

    Example:

    >>> from layers import MUT3Cell, Recurrent
    >>> tuple(Recurrent(MUT3Cell(8))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def seen_by_update(self, h):
        return ops.tanh(h)
