"""The stack-augmented recurrent network."""

import keras
from keras import ops

from layers.cells.elman import ElmanCell
from layers.memory_cell import MemoryCell, by_rows, flat


@keras.saving.register_keras_serializable(package="layers")
class StackCell(MemoryCell):
    r"""Stack-augmented recurrent network: stacks of numbers that are pushed, popped or left, each to some extent.

        h_t = σ(U x_t + R h_{t-1} + P s^k_{t-1} + b)                       s^k: the k topmost numbers of each stack
        a_t = softmax(A h_t + b_a)                                         for each stack: push, pop, no operation
        s_t[0] = a_t[push] σ(D h_t + b_d) + a_t[pop] s_{t-1}[1] + a_t[none] s_{t-1}[0]
        s_t[i] = a_t[push] s_{t-1}[i-1] + a_t[pop] s_{t-1}[i+1] + a_t[none] s_{t-1}[i],    i > 0

    An empty place holds -1. The numbers are kept as s + 1, which changes none of the equations since a_t sums up to
    one, so that an empty stack is a carry of zeros.

    Source: A. Joulin and T. Mikolov, "Inferring Algorithmic Patterns with Stack-Augmented Recurrent Nets", NeurIPS
    2015, arXiv:1503.01007, section "Pushdown network", with its no-operation and several stacks. Departures: biases,
    and a stack of a fixed depth, at whose bottom numbers are lost.

    Weights: those of the controller; `read_kernel` P `(stacks * tops, ...)`; `interface_kernel` A and D
    `(units, 4 * stacks)` and `interface_bias`, columns in the order pushed value (of each stack), push, pop and none
    (of each stack).

    Args: those of `Cell`, which are the controller's too, and
        stacks: Number of stacks, a positive integer.
        depth: Numbers that a stack holds, an integer of 2 or more.
        tops: k, how many of a stack's topmost numbers are read, a positive integer of at most `depth`.
        activation: By default the logistic function, as in the paper.
        controller: The controller's class, a `Cell`, the paper's by default; None for one layer without recurrence.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: Those of the controller, `[h]`, `(batch, units)`; then s + 1, `(batch, stacks * depth)`.

    Returns:
        `(h, states)`, h `(batch, units)`.

    Raises:
        ValueError: as `Cell`, if `controller` is no class of cells, or a size is not in its range.

    Example:

    >>> from layers import Recurrent, StackCell
    >>> tuple(Recurrent(StackCell(8, depth=100))(np.ones((2, 5, 3))).shape)
    (2, 8)
    """

    def __init__(self, units, stacks=4, depth=32, tops=2, activation="sigmoid", controller=ElmanCell, **kwargs):
        super().__init__(units, activation=activation, controller=controller, **kwargs)
        self.stacks = self.positive("stacks", stacks)
        self.depth = self.positive("depth", depth, least=2)
        self.tops = self.positive("tops", tops, most=self.depth)
        self.set_sizes()

    def memory_sizes(self):
        return {"stack": self.stacks * self.depth}

    def interface_sizes(self):
        return {"value": self.stacks, "action": 3 * self.stacks}

    @property
    def read_size(self):
        return self.stacks * self.tops

    def last_read(self, memory):
        return flat(by_rows(memory["stack"], self.stacks)[:, :, : self.tops]) - 1.0

    def access(self, interface, memory):
        actions = ops.softmax(by_rows(interface["action"], self.stacks), axis=-1)
        values = self.update(self.recurrent_activation(interface["value"]) + 1.0)
        stack = by_rows(memory["stack"], self.stacks)
        return {"stack": flat(moved(stack, actions, ops.expand_dims(values, 2)))}

    def get_config(self):
        return {**super().get_config(), "stacks": self.stacks, "depth": self.depth, "tops": self.tops}


def moved(stack, actions, values):
    """The stacks after their actions.

    Args:
        stack: `(batch, stacks, depth)`, the top first, 0 where it is empty.
        actions: `(batch, stacks, 3)`, the shares of push, pop and no operation.
        values: `(batch, stacks, 1)`, what is pushed.

    Returns:
        `(batch, stacks, depth)`.
    """
    pushed = ops.concatenate([values, stack[:, :, :-1]], axis=2)
    popped = ops.concatenate([stack[:, :, 1:], ops.zeros_like(values)], axis=2)
    return actions[:, :, 0:1] * pushed + actions[:, :, 1:2] * popped + actions[:, :, 2:3] * stack
