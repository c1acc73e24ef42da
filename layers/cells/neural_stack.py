"""Neural stack, queue and double-ended queue: vectors that are pushed and popped, each to some extent."""

import math

import keras
from keras import ops

from layers.memory_cell import MemoryCell, by_rows, flat


@keras.saving.register_keras_serializable(package="layers")
class NeuralStackCell(MemoryCell):
    r"""Neural stack: vectors with strengths; what was pushed last is popped and read first.

        h_t = controller(x_t, r_{t-1})
        d_t, u_t = σ(·),  v_t = tanh(·)    of W_ξ h_t + b_ξ                             push, pop, pushed vector
        V_t[i] = V_{t-1}[i] for i < t,  V_t[t] = v_t                                    values (1)
        s_t[i] = max(0, s_{t-1}[i] - max(0, u_t - Σ_{i<j<t} s_{t-1}[j])) for i < t,
        s_t[t] = d_t                                                                    strengths (2)
        r_t = Σ_i min(s_t[i], max(0, 1 - Σ_{i<j<=t} s_t[j])) V_t[i]                     read (3)

    Source: E. Grefenstette et al., "Learning to Transduce with Unbounded Memory", NeurIPS 2015, arXiv:1506.02516,
    equations 1 to 3. Departures: the output is h_t, which the paper calls o'_t; its tanh(W_o o'_t + b_o) is left to
    the layers above. The memory has `capacity` rows: of these and the new one, the row with the least strength is given
    up, which changes nothing as long as one has strength 0. The newest row comes first.

    Weights: those of the controller; `read_kernel` `(width, ...)`, for r_{t-1}; `interface_kernel` W_ξ
    `(units, width + 2)` and `interface_bias` b_ξ, columns in the order v, d, u.

    Args: those of `Cell`, which are the controller's too, and
        capacity: Vectors that the memory holds at a time, a positive integer.
        width: Width of a vector, a positive integer.
        controller: The controller's class, a `Cell`, or None for one layer without recurrence.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: Those of the controller, of an LSTM `[h, c]`, `(batch, units)`; then V `(batch, capacity * width)`, s
            `(batch, capacity)` and r `(batch, width)`.

    Returns:
        `(h, states)`, h `(batch, units)`.

    Raises:
        ValueError: as `Cell`, if `controller` is no class of cells, or a size is not a positive integer.

    Example:

    >>> from layers import NeuralStackCell, Recurrent
    >>> tuple(Recurrent(NeuralStackCell(8, capacity=100))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    ends = 1  # where vectors are pushed, popped and read

    def __init__(self, units, capacity=16, width=8, **kwargs):
        super().__init__(units, **kwargs)
        self.capacity = self.positive("capacity", capacity)
        self.width = self.positive("width", width)
        self.set_sizes()

    def memory_sizes(self):
        read = self.ends * self.width
        return {"values": self.capacity * self.width, "strengths": self.capacity, "read": read}

    def interface_sizes(self):
        return {"value": self.ends * self.width, "push": self.ends, "pop": self.ends}

    def access(self, interface, memory):
        V, s = by_rows(memory["values"], self.capacity), memory["strengths"]
        v = by_rows(self.update(self.activation(interface["value"])), self.ends)
        d, u = (self.recurrent_activation(interface[name]) for name in ("push", "pop"))
        V, s, r = self.turn(V, s, v, d, u)
        return {"values": flat(V), "strengths": s, "read": r}

    def turn(self, V, s, v, d, u):
        """One timestep of the memory alone: pops, pushes, and reads.

        Args:
            V: `(batch, capacity, width)`, the newest row first.
            s: `(batch, capacity)`.
            v: `(batch, 1, width)`.
            d, u: `(batch, 1)`.

        Returns:
            V, s and r `(batch, width)`.
        """
        V, s = pushed(V, popped(s, u, newer(s)), v, d)
        return V, s, read(V, s, newer(s))

    def get_config(self):
        return {**super().get_config(), "capacity": self.capacity, "width": self.width}


@keras.saving.register_keras_serializable(package="layers")
class NeuralQueueCell(NeuralStackCell):
    r"""Neural queue: vectors with strengths; what was pushed first is popped and read first.

        h_t = controller(x_t, r_{t-1})
        d_t, u_t = σ(·),  v_t = tanh(·)    of W_ξ h_t + b_ξ                             push, pop, pushed vector
        V_t[i] = V_{t-1}[i] for i < t,  V_t[t] = v_t                                    values (1)
        s_t[i] = max(0, s_{t-1}[i] - max(0, u_t - Σ_{j<i} s_{t-1}[j])) for i < t,
        s_t[t] = d_t                                                                    strengths (4)
        r_t = Σ_i min(s_t[i], max(0, 1 - Σ_{j<i} s_t[j])) V_t[i]                        read (5)

    Source: E. Grefenstette et al., "Learning to Transduce with Unbounded Memory", NeurIPS 2015, arXiv:1506.02516,
    equations 1, 4 and 5, with the departures of `NeuralStackCell`.

    Weights: those of `NeuralStackCell`.

    Args: those of `NeuralStackCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: Those of `NeuralStackCell`: of the controller `(batch, units)`, then V, s and r.

    Returns:
        `(h, states)`, h `(batch, units)`.

    Raises:
        ValueError: as `NeuralStackCell`.

    Example:

    >>> from layers import NeuralQueueCell, Recurrent
    >>> tuple(Recurrent(NeuralQueueCell(8, capacity=100))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def turn(self, V, s, v, d, u):
        V, s = pushed(V, popped(s, u, older(s)), v, d)
        return V, s, read(V, s, older(s))


@keras.saving.register_keras_serializable(package="layers")
class NeuralDequeCell(NeuralStackCell):
    r"""Neural double-ended queue: vectors with strengths that are pushed, popped and read at both ends.

        h_t = controller(x_t, r^top_{t-1}, r^bot_{t-1})
        d^top, d^bot, u^top, u^bot = σ(·),  v^top, v^bot = tanh(·)    of W_ξ h_t + b_ξ
        V_t = [v^bot; V_{t-1}; v^top]                                                   from bottom to top (6)
        s^top[i] = max(0, s_{t-1}[i] - max(0, u^top - Σ_{j>i} s_{t-1}[j]))              popped at the top (7)
        s^both[i] = max(0, s^top[i] - max(0, u^bot - Σ_{j<i} s^top[j]))                 and at the bottom (8)
        s_t = [d^bot; s^both; d^top]                                                    (9)
        r^top_t = Σ_i min(s_t[i], max(0, 1 - Σ_{j>i} s_t[j])) V_t[i]                    (10)
        r^bot_t = Σ_i min(s_t[i], max(0, 1 - Σ_{j<i} s_t[j])) V_t[i]                    (11)

    Source: E. Grefenstette et al., "Learning to Transduce with Unbounded Memory", NeurIPS 2015, arXiv:1506.02516,
    equations 6 to 11, with the departures of `NeuralStackCell`; the top row comes first.

    Weights: those of `NeuralStackCell`, of both ends: `interface_kernel` `(units, 2 * width + 4)`, in the order v^top,
    v^bot, d^top, d^bot, u^top, u^bot.

    Args: those of `NeuralStackCell`.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: Those of `NeuralStackCell`: of the controller `(batch, units)`, then V, s, and r^top and r^bot side by
            side, `(batch, 2 * width)`.

    Returns:
        `(h, states)`, h `(batch, units)`.

    Raises:
        ValueError: as `NeuralStackCell`.

    Example:

    >>> from layers import NeuralDequeCell, Recurrent
    >>> tuple(Recurrent(NeuralDequeCell(8, capacity=100))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    ends = 2

    def turn(self, V, s, v, d, u):
        s = popped(s, u[:, :1], newer(s))
        s = popped(s, u[:, 1:], older(s))
        V, s = pushed(V, s, v[:, :1], d[:, :1])
        V, s = pushed(V, s, v[:, 1:], d[:, 1:], at_bottom=True)
        return V, s, ops.concatenate([read(V, s, newer(s)), read(V, s, older(s))], axis=-1)


def newer(strengths):
    """For each row the sum of the strengths above it, `(batch, capacity)`; rows come from the top."""
    return ops.cumsum(strengths, axis=1) - strengths


def older(strengths):
    """For each row the sum of the strengths below it."""
    return ops.sum(strengths, axis=1, keepdims=True) - ops.cumsum(strengths, axis=1)


def popped(strengths, pop, before):
    """Equations 2, 4, 7 and 8: the rows give up `pop` `(batch, 1)` in all, those before a row first."""
    return ops.relu(strengths - ops.relu(pop - before))


def pushed(values, strengths, value, push, at_bottom=False):
    """Equations 1 and 2, 6 and 9: one more row, in place of the weakest one, beyond which no row moves.

    Where the new row is weaker than all others, it is the one that is given up.
    """
    weakest = ops.expand_dims(ops.argmin(strengths, axis=1), 1)
    enters = push >= ops.min(strengths, axis=1, keepdims=True, initial=math.inf)  # `initial`: for no rows
    places = ops.expand_dims(ops.arange(strengths.shape[1], dtype=weakest.dtype), 0)
    if at_bottom:
        moves = ops.logical_and(enters, places >= weakest)
        rows, numbers = [values[:, 1:], value], [strengths[:, 1:], push]
    else:
        moves = ops.logical_and(enters, places <= weakest)
        rows, numbers = [value, values[:, :-1]], [push, strengths[:, :-1]]
    values = ops.where(ops.expand_dims(moves, 2), ops.concatenate(rows, axis=1), values)
    return values, ops.where(moves, ops.concatenate(numbers, axis=1), strengths)


def read(values, strengths, before):
    """Equations 3, 5, 10 and 11: the mean of the rows that come first, of strength 1 in all, `(batch, width)`."""
    shares = ops.minimum(strengths, ops.relu(1.0 - before))
    return ops.matmul(ops.expand_dims(shares, 1), values)[:, 0]
