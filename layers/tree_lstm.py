"""Tree-LSTMs: an LSTM's memory along the branches of a tree."""

import keras
from keras import ops

from layers.tree import TreeNetwork


class TreeLSTM(TreeNetwork):
    """What both Tree-LSTMs share: gates of a node, and one forget gate for each child."""

    carry = ("hidden", "cell")
    blocks = 4  # input, forget, candidate and output, in the order of `keras.layers.LSTM`

    def initial_bias(self, shape, dtype=None):
        # A forget gate that is open at first lets gradients pass to the leaves, as in `keras.layers.LSTM`.
        zeros = ops.zeros((self.units,), dtype=dtype)
        return ops.concatenate([zeros, ops.ones_like(zeros), zeros, zeros])

    def state_of(self, i, u, o, kept):
        """c_j and h_j of gates before they are squashed; `kept` is what the forget gates keep of the children."""
        c = ops.sigmoid(i) * ops.tanh(u) + kept
        return ops.sigmoid(o) * ops.tanh(c), c


@keras.saving.register_keras_serializable(package="layers")
class ChildSumTreeLSTM(TreeLSTM):
    r"""Child-sum Tree-LSTM: any number of children, in any order, such as those of a dependency tree.

        h~_j = Σ_k h_jk                                     the sum over the children of node j
        i_j = σ(W_i x_j + U_i h~_j + b_i)                   input gate
        f_jk = σ(W_f x_j + U_f h_jk + b_f)                  forget gate of child k
        o_j = σ(W_o x_j + U_o h~_j + b_o)                   output gate
        u_j = tanh(W_u x_j + U_u h~_j + b_u)                candidate
        c_j = i_j ⊙ u_j + Σ_k f_jk ⊙ c_jk
        h_j = o_j ⊙ tanh(c_j)

    On a chain, with one child at each node, it is an LSTM.

    Source: K. S. Tai, R. Socher and C. D. Manning, "Improved Semantic Representations From Tree-Structured Long
    Short-Term Memory Networks", 2015, arXiv:1503.00075, equations 2 to 8. Departure: the bias of forget gates begins
    at 1.

    Weights, with blocks in the order of `keras.layers.LSTM` (i, f, u, o): `kernel` `(features, 4 * units)`, `bias` `(4
    * units,)`, `recurrent_kernel` `(units, 4 * units)`.

    Args: those of `TreeNetwork`.

    Call arguments and returns: those of `TreeNetwork`.

    Raises:
        ValueError: as `TreeNetwork`.

    Example:

    >>> from layers import ChildSumTreeLSTM
    >>> children, levels = [[[2, 3, 4], [0] * 3, [0] * 3, [0] * 3]], [[[1]]]  # the root and three leaves
    >>> tuple(ChildSumTreeLSTM(8)(np.ones((1, 4, 5)), np.array(children), np.array(levels)).shape)
    (1, 8)
    """

    def build_children(self):
        self.recurrent_kernel = self.recurrent_weight("recurrent_kernel", 4)

    def compose(self, x, children):
        i, f, u, o = self.split(x)
        if children is None:
            return self.state_of(i, u, o, 0.0)
        h, c = children
        units = self.units
        at_child = ops.matmul(h, self.recurrent_kernel[:, units : 2 * units])
        f = ops.sigmoid(ops.expand_dims(f, 2) + at_child)  # (batch, width, arity, units)
        total = ops.sum(h, axis=2)
        i, u, o = (
            part + ops.matmul(total, self.recurrent_kernel[:, block * units : (block + 1) * units])
            for part, block in ((i, 0), (u, 2), (o, 3))
        )
        return self.state_of(i, u, o, ops.sum(f * c, axis=2))


@keras.saving.register_keras_serializable(package="layers")
class BinaryTreeLSTM(TreeLSTM):
    r"""Binary Tree-LSTM: two children, left and right, such as those of a binarized constituency tree.

        i_j = σ(W_i x_j + Σ_l U_i,l h_jl + b_i)             input gate, l = 1, 2
        f_jk = σ(W_f x_j + Σ_l U_f,kl h_jl + b_f)           forget gate of child k = 1, 2
        o_j = σ(W_o x_j + Σ_l U_o,l h_jl + b_o)             output gate
        u_j = tanh(W_u x_j + Σ_l U_u,l h_jl + b_u)          candidate
        c_j = i_j ⊙ u_j + Σ_k f_jk ⊙ c_jk
        h_j = o_j ⊙ tanh(c_j)

    Source: K. S. Tai, R. Socher and C. D. Manning, "Improved Semantic Representations From Tree-Structured Long
    Short-Term Memory Networks", 2015, arXiv:1503.00075, equations 9 to 14 with N = 2. Departure: the bias of forget
    gates begins at 1.

    Weights: `kernel` `(features, 4 * units)` and `bias` `(4 * units,)` in blocks i, f, u, o; `left_kernel` and
    `right_kernel` `(units, 5 * units)`, which multiply the left and the right child, in blocks i, f of the left child,
    f of the right child, u, o.

    Args: those of `TreeNetwork`.

    Call arguments and returns: those of `TreeNetwork`.

    Raises:
        ValueError: as `TreeNetwork`, or if `children` is not `(batch, nodes, 2)`.

    Example:

    >>> from layers import BinaryTreeLSTM
    >>> children, levels = [[[2, 3], [0, 0], [0, 0]]], [[[1]]]  # the root and two leaves
    >>> tuple(BinaryTreeLSTM(8)(np.ones((1, 3, 5)), np.array(children), np.array(levels)).shape)
    (1, 8)
    """

    arity = 2

    def build_children(self):
        self.left_kernel = self.recurrent_weight("left_kernel", 5)
        self.right_kernel = self.recurrent_weight("right_kernel", 5)

    def compose(self, x, children):
        i, f, u, o = self.split(x)
        if children is None:
            return self.state_of(i, u, o, 0.0)
        h, c = children
        from_children = ops.matmul(h[:, :, 0], self.left_kernel) + ops.matmul(h[:, :, 1], self.right_kernel)
        at_i, at_left, at_right, at_u, at_o = self.split(from_children)
        kept = ops.sigmoid(f + at_left) * c[:, :, 0] + ops.sigmoid(f + at_right) * c[:, :, 1]
        return self.state_of(i + at_i, u + at_u, o + at_o, kept)
