"""The differentiable neural computer."""

import keras
import numpy as np
from keras import ops

from layers.memory_cell import MemoryCell, by_rows, content_weighting, flat

# What is added to a usage before its logarithm is taken: no more than the smallest numbers of 32 bits.
SMALLEST = 1e-30


@keras.saving.register_keras_serializable(package="layers")
class DNCCell(MemoryCell):
    r"""Differentiable neural computer: a memory that frees and allocates its rows, and knows the order of writing.

        h_t = controller(x_t, r_{t-1})
        β = 1 + softplus(·),  e, f, g^a, g^w = σ(·),  π = softmax(·),  k and v as they are,   of W_ξ h_t + b_ξ
        C(M, k, β)(i) = exp(β K(k, M(i))) / Σ_j exp(β K(k, M(j)))                content, K the cosine
        ψ_t = Π_heads (1 - f w^r_{t-1})                                          retention
        u_t = (u_{t-1} + w^w_{t-1} - u_{t-1} ⊙ w^w_{t-1}) ⊙ ψ_t                  usage
        a_t(φ_j) = (1 - u_t(φ_j)) Π_{i<j} u_t(φ_i),  φ rows by rising usage      allocation
        w^w_t = g^w (g^a a_t + (1 - g^a) C(M_{t-1}, k^w, β^w))                   write weighting
        M_t = M_{t-1} ⊙ (1 - w^w_t e^T) + w^w_t v^T                              memory
        L_t(i, j) = (1 - w^w_t(i) - w^w_t(j)) L_{t-1}(i, j) + w^w_t(i) p_{t-1}(j),  L_t(i, i) = 0      links
        p_t = (1 - Σ_i w^w_t(i)) p_{t-1} + w^w_t                                 precedence
        w^r_t = π_1 L_t^T w^r_{t-1} + π_2 C(M_t, k^r, β^r) + π_3 L_t w^r_{t-1}   read weighting, of each head
        r_t = M_t^T w^r_t                                                        read

    Source: A. Graves et al., "Hybrid computing using a neural network with dynamic external memory", Nature 538, 2016,
    section Methods. The paper's output matrices W_y and W_r are left to the layer above: the output is h_t and r_t side
    by side. Rows of equal usage are allocated in their order.

    Weights: those of the controller; `read_kernel` `(read_heads * width, ...)`, for r_{t-1}; `interface_kernel` W_ξ
    and `interface_bias` b_ξ, columns in the order k^r (of each head), k^w, v, e, f (of each head), g^a, g^w, β^r (of
    each head), β^w, π (of each head: backward, content, forward).

    Args: those of `Cell`, which are the controller's too, and
        rows: Rows of the memory, the paper's N, a positive integer.
        width: Width of a row, the paper's W, a positive integer.
        read_heads: Number of read heads, the paper's R, a positive integer.
        controller: The controller's class, a `Cell`, or None for one layer without recurrence.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: Those of the controller, of an LSTM `[h, c]`, `(batch, units)`; then M `(batch, rows * width)`, r
            `(batch, read_heads * width)`, w^r `(batch, read_heads * rows)`, w^w, u and p `(batch, rows)`, and L
            `(batch, rows * rows)`.

    Returns:
        `(output, states)`, the output `(batch, units + read_heads * width)`.

    Raises:
        ValueError: as `Cell`, if `controller` is no class of cells, or a size is not a positive integer.

    Example:

    >>> from layers import DNCCell, Recurrent
    >>> tuple(Recurrent(DNCCell(8, rows=32, width=4, read_heads=2))(np.ones((2, 5, 3))).shape)
    (2, 16)
    """

    def __init__(self, units, rows=16, width=8, read_heads=1, **kwargs):
        super().__init__(units, **kwargs)
        self.rows = self.positive("rows", rows)
        self.width = self.positive("width", width)
        self.read_heads = self.positive("read_heads", read_heads)
        self.set_sizes()
        self.output_size += self.read_size

    def memory_sizes(self):
        return {
            "memory": self.rows * self.width,
            "read": self.read_heads * self.width,
            "read_weights": self.read_heads * self.rows,
            "write_weights": self.rows,
            "usage": self.rows,
            "precedence": self.rows,
            "links": self.rows**2,
        }

    def interface_sizes(self):
        heads = self.read_heads
        return {
            "read_key": heads * self.width,
            "write_key": self.width,
            "write": self.width,
            "erase": self.width,
            "free": heads,
            "allocate": 1,
            "write_gate": 1,
            "read_strength": heads,
            "write_strength": 1,
            "mode": 3 * heads,
        }

    def output(self, h, memory):
        return ops.concatenate([h, memory["read"]], axis=-1)

    def access(self, interface, memory):
        M, L = by_rows(memory["memory"], self.rows), by_rows(memory["links"], self.rows)
        w_r, w_w = by_rows(memory["read_weights"], self.read_heads), memory["write_weights"]
        e, f, g_a, g_w = (
            self.recurrent_activation(interface[name]) for name in ("erase", "free", "allocate", "write_gate")
        )

        u = used(memory["usage"], w_w, f, w_r)
        key = by_rows(interface["write_key"], 1)
        c = content_weighting(key, oneplus(interface["write_strength"]), M)[:, 0]
        w_w = g_w * (c + g_a * (allocation(u) - c))
        w_rows = ops.expand_dims(w_w, 2)  # (batch, rows, 1)
        v = self.update(interface["write"])
        M = M - w_rows * (M * ops.expand_dims(e, 1) - ops.expand_dims(v, 1))

        L = linked(L, memory["precedence"], w_w)
        p = (1.0 - ops.sum(w_w, axis=1, keepdims=True)) * memory["precedence"] + w_w
        forward, backward = ops.matmul(w_r, ops.transpose(L, (0, 2, 1))), ops.matmul(w_r, L)
        c = content_weighting(by_rows(interface["read_key"], self.read_heads), oneplus(interface["read_strength"]), M)
        modes = ops.softmax(by_rows(interface["mode"], self.read_heads), axis=-1)
        w_r = modes[:, :, 0:1] * backward + modes[:, :, 1:2] * c + modes[:, :, 2:3] * forward
        return {
            "memory": flat(M),
            "read": flat(ops.matmul(w_r, M)),
            "read_weights": flat(w_r),
            "write_weights": w_w,
            "usage": u,
            "precedence": p,
            "links": flat(L),
        }

    def get_config(self):
        return {**super().get_config(), "rows": self.rows, "width": self.width, "read_heads": self.read_heads}


def oneplus(x):
    return 1.0 + ops.softplus(x)


def used(usage, write_weights, free, read_weights):
    """u_t `(batch, rows)`, from u_{t-1} and w^w_{t-1}, `(batch, rows)`, f `(batch, heads)` and w^r_{t-1}."""
    usage = usage + write_weights - usage * write_weights
    for head in range(read_weights.shape[1]):
        usage = usage * (1.0 - free[:, head : head + 1] * read_weights[:, head])
    return usage


def allocation(usage):
    """a_t `(batch, rows)`: most at the row that is used least.

    Each row finds those before it in the order of usage by comparing all pairs; the memory is small, and no sorted
    tensor has to be brought back into its order.
    """
    rows = usage.shape[-1]
    mine, theirs = ops.expand_dims(usage, 2), ops.expand_dims(usage, 1)
    earlier = np.arange(rows)[None, :] < np.arange(rows)[:, None]  # of two equal ones the earlier
    before = ops.where(earlier, theirs <= mine, theirs < mine)  # (batch, rows, rows that may be before)
    products = ops.sum(ops.cast(before, usage.dtype) * ops.expand_dims(ops.log(usage + SMALLEST), 1), axis=2)
    return (1.0 - usage) * ops.exp(products)


def linked(links, precedence, write_weights):
    """L_t `(batch, rows, rows)`: how far row i was written right after row j."""
    w_i, w_j = ops.expand_dims(write_weights, 2), ops.expand_dims(write_weights, 1)
    off_diagonal = 1.0 - np.eye(write_weights.shape[-1], dtype="float32")
    links = (1.0 - w_i - w_j) * links + w_i * ops.expand_dims(precedence, 1)
    return links * ops.cast(off_diagonal, links.dtype)
