"""A cell with attention at each timestep, for a context that feeds back into the next query."""

import keras
from keras import ops

from layers.attention import Attention
from layers.cell import Cell
from layers.step import look_at_a_step


@keras.saving.register_keras_serializable(package="layers")
class AttentionCell(Cell):
    r"""A cell that reads a memory at every timestep: the decoder of an encoder-decoder.

    Bahdanau's: the query is the state before, and the context is an input of the cell:

        c_i = attention(s_{i-1}, h)
        s_i = f(s_{i-1}, y_{i-1}, c_i)                              f is `cell`; its output is [s_i; c_i]

    Luong's, with `input_feeding`: the query is the new state, and the output is an input of the next timestep:

        s_i = f(s_{i-1}, y_{i-1}, s~_{i-1})
        c_i = attention(s_i, h)
        s~_i = tanh(W_c [c_i; s_i])                                 its output

    c_i, or s~_{i-1}, is multiplied by a matrix of its own and added to the cell's `project(y_{i-1})`: the same as one
    kernel over both, wherever `project` is a product and a bias.

    `Recurrent` takes the memory h as `constants=[memory, mask]`, or `constants=memory` without padding or where Keras
    keeps a mask with the memory. Luong's without input feeding, and without an attention that feeds its weights back,
    is faster as `Recurrent(cell)` and an attention over all its outputs.

    Source: D. Bahdanau et al., 2015, arXiv:1409.0473, section 3.1 and A.1.2; M. Luong et al., 2015, arXiv:1508.04025,
    equation 5 and section 3.3.

    Args:
        cell: A `Cell`.
        attention: An `Attention`.
        input_feeding: Whether to use Luong's form.
        totals: Whether the carry also has the sums of the weights over all timesteps so far.
        kernel_initializer, kernel_regularizer, kernel_constraint: Those of the matrices that this cell adds.

    Call arguments:
        inputs: `(batch, features)`, one timestep; or `(batch * beams, features)`, the beams of an example side by side.
        states: The carry: that of `cell`, then the tensor that is fed back, with `totals` the sums of the weights, and
            last the weights of the attention.
        constants: The result of `constants_of(memory, mask)`.

    Returns:
        `(output, states)`; the output is `(batch, units + features of the memory)`, with `input_feeding` `(batch,
        units)`. An initial state may be that of `cell` alone, or what that needs of it.

    Raises:
        ValueError: if `cell` or `attention` is of another class, or there is no memory.

    Example:

    >>> from layers import AdditiveAttention, AttentionCell, GRUCell, Recurrent
    >>> decoder = Recurrent(AttentionCell(GRUCell(8), AdditiveAttention(6)), return_sequences=True)
    >>> memory, mask = np.ones((2, 7, 4)), np.ones((2, 7), "bool")
    >>> tuple(decoder(np.ones((2, 5, 3)), constants=[memory, mask]).shape)
    (2, 5, 12)
    """

    def __init__(self, cell, attention, input_feeding=False, totals=False, **kwargs):
        for name, value, kind in (("cell", cell, Cell), ("attention", attention, Attention)):
            if not isinstance(value, kind):
                raise ValueError(f"AttentionCell: `{name}` must be a layers.{kind.__name__}. Received: {value!r}.")
        rates = {"dropout": cell.dropout, "recurrent_dropout": cell.recurrent_dropout, "seed": cell.seed}
        super().__init__(cell.units, **rates, **kwargs)
        self.cell, self.attention, self.input_feeding, self.totals = cell, attention, input_feeding, totals
        self.gates, self.recurrent_gates = cell.gates, cell.recurrent_gates
        self.carry = (*cell.carry, *(["attentional"] if input_feeding else []), *["totals"] * totals, "weights")

    def build(self, input_shape, memory_shape=None, mask_shape=None):
        if memory_shape is None:
            raise ValueError("AttentionCell: `constants` must be the memory, or [memory, mask]. Received: none.")
        if not self.cell.built:
            self.cell.build(input_shape)
            self.cell.built = True
        cell, features = self.cell, memory_shape[-1]
        if not self.attention.built:
            self.attention.build((None, None, cell.output_size), memory_shape)
            self.attention.built = True
        self.place, *_ = look_at_a_step(cell, input_shape[-1])
        fed = {}
        if self.input_feeding:
            fed["attentional"], self.output_size = cell.output_size, cell.output_size
        else:
            self.output_size = cell.output_size + features
            if self.place == len(cell.carry):
                fed["output"] = cell.output_size  # a query that the cell does not carry
        self.carry = (*cell.carry, *fed, *["totals"] * self.totals, "weights")
        self.state_size = [*cell.carry_sizes, *fed.values(), *[None] * self.totals, None]
        back = cell.output_size if self.input_feeding else features
        self.feed_kernel = self.new_weight("feed_kernel", (back, cell.projected_width(input_shape[-1])), "kernel")
        self.matrices = {"feed_kernel": self.feed_kernel, **self.attention.matrices}
        if self.input_feeding:
            shape = features + cell.output_size, cell.output_size
            self.matrices["attentional_kernel"] = self.new_weight("attentional_kernel", shape, "kernel")

    @property
    def recurrent_width(self):
        return self.cell.recurrent_width

    @property
    def least_states(self):
        return self.cell.least_states

    def constants_of(self, memory, mask=None):
        return self.attention.constants_of(memory, mask)

    def initial_carry(self, batch, memory, keys, padding):
        widths = [size for size in self.state_size[len(self.cell.carry) :] if size is not None]
        fed = [ops.zeros((batch, size), dtype=self.compute_dtype) for size in widths]
        totals = [ops.zeros_like(padding)] * self.totals
        return (*self.cell.initial_carry(batch), *fed, *totals, self.attention.first_weights(padding))

    def project(self, inputs):
        return self.cell.project(inputs)

    def recurrent_columns(self, gates):
        if len(gates) == 1 and gates[0] in self.matrices:
            return self.matrices[gates[0]].value
        return self.cell.recurrent_columns(gates)

    def step(self, x, carry, recur, *constants):
        *own, before = carry
        own, totals = (own[:-1], own[-1:]) if self.totals else (own, [])
        own, fed = own[: len(self.cell.carry)], own[len(self.cell.carry) :]
        if self.input_feeding:
            s, own = self.cell.step(x + recur(fed[0], "feed_kernel"), own, recur)
            c, weights = self.attention.read(s, recur, before, *constants)
            output = ops.tanh(recur(ops.concatenate([c, s], axis=-1), "attentional_kernel"))
            return output, (*own, output, *[some + weights for some in totals], weights)
        c, weights = self.attention.read([*own, *fed][self.place], recur, before, *constants)
        s, own = self.cell.step(x + recur(c, "feed_kernel"), own, recur)
        totals = [some + weights for some in totals]
        return ops.concatenate([s, c], axis=-1), (*own, *([s] if fed else []), *totals, weights)

    def get_config(self):
        config = super().get_config()
        for name in ("units", "dropout", "recurrent_dropout", "seed"):  # the cell's
            del config[name]
        own = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("cell", "attention")}
        return {**config, **own, "input_feeding": self.input_feeding, "totals": self.totals}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        read = lambda part: keras.saving.deserialize_keras_object(part, custom_objects=custom_objects)
        return cls(**{**config, "cell": read(config["cell"]), "attention": read(config["attention"])})
