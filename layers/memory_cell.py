"""A cell that is a controller with an external memory, which it writes and reads at every timestep."""

import keras
from keras import ops

from layers.cell import OBJECTS, Cell
from layers.cells.lstm import LSTMCell


class MemoryCell(Cell):
    r"""A controller and a memory; a subclass writes how a paper's memory is written and read.

        h_t = controller(x_t, r_{t-1})                           any cell; r_{t-1} is what was read last
        ξ_t = W_ξ h_t + b_ξ                                      interface: all that the memory is told
        r_t, memory_t = access(ξ_t, memory_{t-1})

    r_{t-1} is multiplied by a matrix of its own and added to the controller's `project(x_t)`: the same as one kernel
    over both, wherever `project` is a product and a bias.

    A subclass defines

        memory_sizes()             {name: width} of the tensors of the carry that follow the controller's
        interface_sizes()          {name: width} of the parts of ξ, in order
        access(interface, memory)  the memory's tensors after this timestep, from two dictionaries by name
        read_size, last_read       the width of r, and r_{t-1} of the memory's tensors; by default the tensor `read`
        first_memory(batch)        the memory's tensors before the first timestep, by default zeros
        output(h, memory)          the cell's output, by default h; its width is `output_size`

    Weights: those of the controller; `read_kernel` `(read_size, the width of the controller's projection)`;
    `interface_kernel` W_ξ `(the controller's output, interface)` and `interface_bias` `(interface,)`.

    Args: those of `Cell`, which are the controller's too, and
        controller: The controller's class, a `Cell`; None is one layer without recurrence, tanh(W x_t + R r_{t-1} + b).
            Arguments of `Cell` that are not given have the controller's defaults.

    Raises:
        ValueError: as `Cell`, or if `controller` is no class of cells, or one with a memory of its own.
    """

    largest_compiled = 2**15  # a step is many operations on small tensors, which XLA fuses

    def __init__(self, units, controller=LSTMCell, **kwargs):
        super().__init__(units, **kwargs)
        given = FeedforwardCell if controller is None else controller
        if isinstance(given, str):  # as `get_config` writes it
            given = keras.saving.get_registered_object(given)
        if not (isinstance(given, type) and issubclass(given, Cell)) or issubclass(given, MemoryCell):
            raise ValueError(
                f"{type(self).__name__}: `controller` must be a class of cells without a memory of their own, such as "
                f"layers.LSTMCell, or None. Received: controller={controller!r}."
            )
        told = {name: kwargs[name] for name in ("use_bias", *OBJECTS) if name in kwargs}
        self.controller = given(self.units, name="controller", dtype=self.dtype_policy, **told)
        for name in ("use_bias", *OBJECTS, "gates", "recurrent_gates", "has_recurrent_kernel"):
            setattr(self, name, getattr(self.controller, name))

    def set_sizes(self):
        """Sets the carry's names and widths; called by a subclass once its own arguments are known."""
        memory = self.memory_sizes()
        self.carry = (*self.controller.carry, *memory)
        self.state_size = [*self.controller.carry_sizes, *memory.values()]
        self.output_size = self.controller.output_size

    # What a subclass defines.

    def memory_sizes(self):
        """Width of each of the memory's tensors, by name."""
        raise NotImplementedError(f"{type(self).__name__} must define memory_sizes().")

    def interface_sizes(self):
        """Width of each part of the interface, by name."""
        raise NotImplementedError(f"{type(self).__name__} must define interface_sizes().")

    def access(self, interface, memory):
        """The memory's tensors, by name, after it was written and read."""
        raise NotImplementedError(f"{type(self).__name__} must define access(interface, memory).")

    @property
    def read_size(self):
        """Width of what is read."""
        return self.memory_sizes()["read"]

    def last_read(self, memory):
        """What was read at the last timestep, `(batch, read_size)`."""
        return memory["read"]

    def first_memory(self, batch):
        """The memory's tensors before the first timestep, by name."""
        return {name: ops.zeros((batch, size), dtype=self.compute_dtype) for name, size in self.memory_sizes().items()}

    def output(self, h, memory):
        """The cell's output, of the controller's and the memory."""
        return h

    # What all of them share.

    @property
    def least_states(self):
        return self.controller.least_states

    @property
    def recurrent_width(self):
        return self.controller.recurrent_width

    def initial_carry(self, batch):
        return (*self.controller.initial_carry(batch), *self.first_memory(batch).values())

    def build(self, input_shape):
        controller = self.controller
        if not controller.built:
            controller.build(input_shape)
            controller.built = True
        columns = sum(self.interface_sizes().values())
        shape = self.read_size, controller.projected_width(input_shape[-1])
        self.read_kernel = self.new_weight("read_kernel", shape, "kernel")
        self.interface_kernel = self.new_weight("interface_kernel", (controller.output_size, columns), "kernel")
        self.interface_bias = None
        if self.use_bias:
            self.interface_bias = self.new_weight("interface_bias", (columns,), "bias", self.initial_bias)

    def project(self, inputs):
        return self.controller.project(inputs)

    def recurrent_columns(self, gates):
        if gates in (("read_kernel",), ("interface_kernel",)):
            return getattr(self, gates[0]).value
        return self.controller.recurrent_columns(gates)

    def step(self, x, carry, recur):
        count = len(self.controller.carry)
        memory = dict(zip(self.memory_sizes(), carry[count:], strict=True))
        x = x + recur(self.last_read(memory), "read_kernel")
        h, own = self.controller.step(x, tuple(carry[:count]), recur)
        told = recur(h, "interface_kernel")
        told = told if self.interface_bias is None else told + self.interface_bias
        memory = self.access(self.parts_of(told), memory)
        return self.output(h, memory), (*own, *(memory[name] for name in self.memory_sizes()))

    def parts_of(self, told):
        """The parts of the interface by name, each `(batch, width)`."""
        sizes, ends, end = self.interface_sizes(), [], 0
        for size in sizes.values():
            end += size
            ends.append(end)
        return dict(zip(sizes, ops.split(told, ends[:-1], axis=-1), strict=True))

    def get_config(self):
        feedforward = type(self.controller) is FeedforwardCell
        name = None if feedforward else keras.saving.get_registered_name(type(self.controller))
        return {**super().get_config(), "controller": name}


class FeedforwardCell(Cell):
    """The controller without recurrence: one layer, h_t = tanh(W x_t + b)."""

    has_recurrent_kernel = False
    carry = ()

    def __init__(self, units, **kwargs):
        super().__init__(units, **kwargs)
        self.state_size = []

    def step(self, x, carry, recur):
        return self.activation(x), ()


def by_rows(flat, rows):
    """`(batch, rows * width)` -> `(batch, rows, width)`."""
    return ops.reshape(flat, (-1, rows, flat.shape[-1] // rows))


def flat(matrix):
    """`(batch, rows, width)` -> `(batch, rows * width)`: the carry's tensors have two axes."""
    return ops.reshape(matrix, (-1, matrix.shape[1] * matrix.shape[2]))


# What is added to a squared norm: rows that are empty have a similarity of 0, and a gradient.
LEAST_SQUARE = 1e-6


def content_weighting(keys, strengths, memory):
    r"""Which rows of a memory are like a key.

        w(i) = exp(β K(k, M(i))) / Σ_j exp(β K(k, M(j))),  K(u, v) = u · v / (|u| |v|)

    Norms are sqrt(|u|^2 + 10^-6), so that empty rows have a similarity and a gradient.

    Source: A. Graves, G. Wayne and I. Danihelka, "Neural Turing Machines", 2014, arXiv:1410.5401, equations 5 and 6.

    Args:
        keys: k, `(batch, heads, width)`.
        strengths: β, `(batch, heads)`, positive.
        memory: M, `(batch, rows, width)`.

    Returns:
        `(batch, heads, rows)`, a distribution over rows.
    """
    dots = ops.matmul(keys, ops.transpose(memory, (0, 2, 1)))
    squares = [ops.sum(x * x, axis=-1) + LEAST_SQUARE for x in (keys, memory)]
    scaled = ops.expand_dims(strengths * ops.rsqrt(squares[0]), 2) * ops.expand_dims(ops.rsqrt(squares[1]), 1)
    return ops.softmax(dots * scaled, axis=-1)
