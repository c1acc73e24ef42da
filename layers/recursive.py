"""The recursive network: one layer, applied again at each node of a tree."""

import keras
from keras import ops

from layers import arguments
from layers.tree import TreeNetwork


@keras.saving.register_keras_serializable(package="layers")
class RecursiveNetwork(TreeNetwork):
    r"""Recursive network: a node's state comes from its vector and the states of its children, by place.

        h_j = tanh(W x_j + Σ_k U_k h_jk + b)        h_jk: the k-th child of node j; 0 where there is none

    With vectors at all nodes this is the folding architecture of Goller and Küchler; with vectors at leaves and two
    children at the other nodes, p = f(W [c_1; c_2] + b), it is that of Socher et al.

    Source: C. Goller and A. Küchler, "Learning Task-Dependent Distributed Representations by Backpropagation Through
    Structure", 1996, section 3; R. Socher et al., "Parsing Natural Scenes and Natural Language with Recursive Neural
    Networks", 2011, equations 1 and 2. Departure from Socher et al.: leaves and other nodes share one bias.

    Weights: `kernel` W `(features, units)`, `bias` `(units,)`, `recurrent_kernel` U_1 to U_arity side by side, `(units,
    arity * units)`.

    Args: those of `TreeNetwork`; and
        arity: Most children of a node, a positive integer.
        activation: Squashes states.

    Call arguments and returns: those of `TreeNetwork`.

    Raises:
        ValueError: as `TreeNetwork`, or if `arity` is not a positive integer.

    Example:

    >>> from layers import RecursiveNetwork
    >>> children, levels = [[[2, 3], [0, 0], [0, 0]]], [[[1]]]  # the root and two leaves
    >>> tuple(RecursiveNetwork(8)(np.ones((1, 3, 5)), np.array(children), np.array(levels)).shape)
    (1, 8)
    """

    def __init__(self, units, arity=2, activation="tanh", **kwargs):
        super().__init__(units, **kwargs)
        self.arity = arguments.positive("RecursiveNetwork", "arity", arity)
        self.activation = keras.activations.get(activation)

    def build_children(self):
        self.recurrent_kernel = self.recurrent_weight("recurrent_kernel", self.arity)

    def compose(self, x, children):
        if children is None:
            return (self.activation(x),)
        matrices = self.split(self.recurrent_kernel)
        from_children = sum(ops.matmul(children[0][:, :, k], matrices[k]) for k in range(self.arity))
        return (self.activation(x + from_children),)

    def get_config(self):
        config = {"arity": self.arity, "activation": keras.activations.serialize(self.activation)}
        return {**super().get_config(), **config}
