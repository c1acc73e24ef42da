"""The neural Turing machine."""

import functools

import keras
from keras import ops

from layers.memory_cell import MemoryCell, by_rows, content_weighting, flat

# What is added to a weighting before its logarithm is taken: no more than the smallest numbers of 32 bits.
SMALLEST = 1e-30


@keras.saving.register_keras_serializable(package="layers")
class NTMCell(MemoryCell):
    r"""Neural Turing machine: heads find rows of a memory by their content or by moving on, read them and write them.

        h_t = controller(x_t, r_{t-1})
        k, a = tanh(·),  β = softplus(·),  g, e = σ(·),  s = softmax(·),  γ = 1 + softplus(·)    of W_ξ h_t + b_ξ
        w^c_t(i) = exp(β K(k, M_{t-1}(i))) / Σ_j exp(β K(k, M_{t-1}(j)))         content (5), K the cosine (6)
        w^g_t = g w^c_t + (1 - g) w_{t-1}                                        interpolation (7)
        w~_t(i) = Σ_j w^g_t(j) s(i - j)                                          shift, modulo the rows (8)
        w_t(i) = w~_t(i)^γ / Σ_j w~_t(j)^γ                                       sharpening (9)
        M_t(i) = M_{t-1}(i) ⊙ Π (1 - w_t(i) e) + Σ w_t(i) a                      over the write heads (3, 4)
        r_t = Σ_i w_t(i) M_t(i)                                                  for each read head (2)

    k key, β its strength, g gate, s shift, γ sharpness, e erased, a added: of each head, the last two of write heads.

    Source: A. Graves, G. Wayne and I. Danihelka, "Neural Turing Machines", 2014, arXiv:1410.5401, equations 1 to 9.
    The paper leaves open how k and a are squashed and where a run begins: here by tanh, from an empty memory and with
    all heads at the first row. The output is h_t and r_t side by side; the layer above mixes them.

    Weights: those of the controller; `read_kernel` `(read_heads * width, ...)`, for r_{t-1}; `interface_kernel` W_ξ
    and `interface_bias` b_ξ, columns in the order k (of each head, read heads first), a, e (of each write head), g, β,
    γ, s (of each head).

    Args: those of `Cell`, which are the controller's too, and
        rows: Rows of the memory, the paper's N, a positive integer above `2 * shift`.
        width: Width of a row, the paper's M, a positive integer.
        read_heads, write_heads: Numbers of heads, positive integers.
        shift: How many rows a head may move in a timestep, back or forth, a positive integer.
        controller: The controller's class, a `Cell`, or None for one layer without recurrence.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: Those of the controller, of an LSTM `[h, c]`, `(batch, units)`; then M `(batch, rows * width)`, r
            `(batch, read_heads * width)`, w of the read heads `(batch, read_heads * rows)` and of the write heads.

    Returns:
        `(output, states)`, the output `(batch, units + read_heads * width)`.

    Raises:
        ValueError: as `Cell`, if `controller` is no class of cells, or a size is not in its range.

    Example:

    >>> from layers import NTMCell, Recurrent
    >>> tuple(Recurrent(NTMCell(8, rows=32, width=4))(np.ones((2, 5, 3))).shape)
    (2, 12)
    """

    def __init__(self, units, rows=16, width=8, read_heads=1, write_heads=1, shift=1, **kwargs):
        super().__init__(units, **kwargs)
        self.width = self.positive("width", width)
        self.read_heads = self.positive("read_heads", read_heads)
        self.write_heads = self.positive("write_heads", write_heads)
        self.shift = self.positive("shift", shift)
        self.rows = self.positive("rows", rows, least=2 * self.shift + 1)
        self.heads = self.read_heads + self.write_heads
        self.set_sizes()
        self.output_size += self.read_size

    def memory_sizes(self):
        return {
            "memory": self.rows * self.width,
            "read": self.read_heads * self.width,
            "read_weights": self.read_heads * self.rows,
            "write_weights": self.write_heads * self.rows,
        }

    def interface_sizes(self):
        heads, written = self.heads, self.write_heads * self.width
        return {
            "key": heads * self.width,
            "add": written,
            "erase": written,
            "gate": heads,
            "strength": heads,
            "sharpness": heads,
            "shift": heads * (2 * self.shift + 1),
        }

    def first_memory(self, batch):
        memory = super().first_memory(batch)
        for name in ("read_weights", "write_weights"):
            at_first = ops.cast(ops.arange(memory[name].shape[-1]) % self.rows == 0, self.compute_dtype)
            memory[name] = memory[name] + at_first
        return memory

    def output(self, h, memory):
        return ops.concatenate([h, memory["read"]], axis=-1)

    def access(self, interface, memory):
        M = by_rows(memory["memory"], self.rows)
        last = ops.concatenate([memory["read_weights"], memory["write_weights"]], axis=-1)
        w = self.address(interface, M, by_rows(last, self.heads))
        w_read, w_write = w[:, : self.read_heads], w[:, self.read_heads :]
        erase = by_rows(self.recurrent_activation(interface["erase"]), self.write_heads)
        add = by_rows(self.update(self.activation(interface["add"])), self.write_heads)
        M = written(M, w_write, erase, add)
        return {
            "memory": flat(M),
            "read": flat(ops.matmul(w_read, M)),  # (2)
            "read_weights": flat(w_read),
            "write_weights": flat(w_write),
        }

    def address(self, interface, M, last):
        """The heads' weightings, `(batch, heads, rows)`, from the memory and the last ones."""
        keys = by_rows(self.activation(interface["key"]), self.heads)
        w = content_weighting(keys, ops.softplus(interface["strength"]), M)  # (5, 6)
        w = interpolated(w, last, self.recurrent_activation(interface["gate"]))
        w = shifted(w, ops.softmax(by_rows(interface["shift"], self.heads), axis=-1))
        return sharpened(w, 1.0 + ops.softplus(interface["sharpness"]))

    def get_config(self):
        names = ("rows", "width", "read_heads", "write_heads", "shift")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def interpolated(content, last, gates):
    """Equation 7: from the weighting by content and the last one, `(batch, heads, rows)`, and g `(batch, heads)`."""
    return last + ops.expand_dims(gates, 2) * (content - last)


def shifted(weights, shifts):
    """Equation 8: `(batch, heads, rows)` moved by -S ... S rows, with the shares `(batch, heads, 2 S + 1)` of each."""
    rows, most = weights.shape[-1], shifts.shape[-1] // 2
    round_about = ops.concatenate([weights[:, :, rows - most :], weights, weights[:, :, :most]], axis=-1)
    moved = []
    for place in range(2 * most + 1):  # the share at `place` moves forward by place - S rows
        begin = 2 * most - place
        moved.append(shifts[:, :, place : place + 1] * round_about[:, :, begin : begin + rows])
    return functools.reduce(ops.add, moved)


def sharpened(weights, sharpness):
    """Equation 9: `(batch, heads, rows)` to the power of `(batch, heads)`, divided by their sum."""
    return ops.softmax(ops.expand_dims(sharpness, 2) * ops.log(weights + SMALLEST), axis=-1)


def written(memory, weights, erase, add):
    """Equations 3 and 4: `(batch, rows, width)` after all heads erased and added; `(batch, heads, width)` each."""
    kept = memory
    for head in range(weights.shape[1]):
        kept = kept * (1.0 - ops.expand_dims(weights[:, head], 2) * erase[:, head : head + 1])
    return kept + ops.matmul(ops.transpose(weights, (0, 2, 1)), add)
