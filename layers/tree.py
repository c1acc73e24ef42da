"""Networks over trees: from the leaves to the root, all nodes of one height at once."""

import keras
from keras import ops

from layers import arguments
from layers.backend import backend
from layers.saving import Extensible


class TreeNetwork(Extensible, keras.layers.Layer):
    r"""A network that computes each node of a tree from the states of its children; a subclass writes the equation.

    The trees of a batch may differ in form and size. Leaves are computed first, at once for all trees; then, height by
    height, all nodes of that height in all trees. `data.transforms.trees.arrays` makes the three inputs from brackets.

        carry                           names of the tensors of a node's state; the first is its output
        blocks                          columns of the kernel, in units
        compose(x, children)            the state of nodes: a tuple of `(batch, width, units)`. `x`, `(batch, width,
                                        blocks * units)`, is W x + b; `children` has for each tensor of the state
                                        `(batch, width, arity, units)`, zeros where there is no child; None at leaves
        build_children()                makes the weights that multiply the children's states

    Args:
        units: Width of a node's state, a positive integer.
        return_nodes: Whether to return all nodes instead of the root.
        kernel_initializer, recurrent_initializer: Initial values of the weights of inputs and of children.

    Call arguments:
        inputs: `(batch, nodes, features)`: the vector of each node, of zeros where it has none. The first node of a
            tree is its root.
        children: `(batch, nodes, arity)` integers: the numbers of a node's children from 1, which is the root; 0 for
            none.
        levels: `(batch, heights, width)` integers: the numbers of the nodes of height 1 (with leaves as children), of
            height 2 and so on, each height of a tree in a row of its own; 0 for none.
        mask: `(batch, nodes)` booleans, False at padding, where outputs then are zeros.

    Returns:
        `(batch, units)`, the root's output; with `return_nodes` `(batch, nodes, units)`.

    Raises:
        ValueError: if `units` is not a positive integer, an input has a wrong rank, or a number is none of a node.
    """

    carry = ("hidden",)
    blocks = 1
    arity = None  # the number of children that the weights tell apart; None: any

    def __init__(
        self,
        units,
        return_nodes=False,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = arguments.positive(type(self).__name__, "units", units)
        self.return_nodes = return_nodes
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        if keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA has no gradient of a loop whose length comes with the batch

    def compose(self, x, children):
        raise NotImplementedError(f"{type(self).__name__} must define compose(x, children).")

    def build_children(self):
        raise NotImplementedError(f"{type(self).__name__} must define build_children().")

    def initial_bias(self, shape, dtype=None):
        """Initial value of the bias; a network whose paper sets it overrides this."""
        return ops.zeros(shape, dtype=dtype)

    def build(self, inputs_shape, children_shape, levels_shape):
        name = type(self).__name__
        for argument, shape, form in (
            ("inputs", inputs_shape, "(batch, nodes, features)"),
            ("children", children_shape, "(batch, nodes, arity)"),
            ("levels", levels_shape, "(batch, heights, width)"),
        ):
            if len(shape) != 3:
                raise ValueError(f"{name}: `{argument}` must be {form}. Received: {argument}.shape={tuple(shape)}.")
        if self.arity is not None and children_shape[2] not in (None, self.arity):
            raise ValueError(
                f"{name}: `children` must be (batch, nodes, {self.arity}). "
                f"Received: children.shape={tuple(children_shape)}."
            )
        width = self.blocks * self.units
        self.kernel = self.add_weight(
            name="kernel", shape=(inputs_shape[2], width), initializer=self.kernel_initializer
        )
        self.bias = self.add_weight(name="bias", shape=(width,), initializer=self.initial_bias)
        self.build_children()

    def recurrent_weight(self, name, blocks):
        """A matrix that multiplies children's states, `(units, blocks * units)`, each block initialised by itself."""

        def initial(shape, dtype=None):
            square = (self.units, self.units)
            return ops.concatenate([self.recurrent_initializer.clone()(square, dtype=dtype) for _ in range(blocks)], 1)

        return self.add_weight(name=name, shape=(self.units, blocks * self.units), initializer=initial)

    def split(self, x):
        """The blocks of `units` columns: (..., n * units) -> n times (..., units)."""
        return ops.split(x, x.shape[-1] // self.units, axis=-1)

    def __call__(self, inputs, children, levels, *args, **kwargs):
        # Keras casts floats to the layer's precision, and 16 bits would round the numbers of nodes.
        is_float = lambda numbers: keras.backend.is_float_dtype(getattr(numbers, "dtype", "int32"))
        children, levels = (ops.cast(part, "int32") if is_float(part) else part for part in (children, levels))
        return super().__call__(inputs, children, levels, *args, **kwargs)

    def call(self, inputs, children, levels, mask=None):
        if mask is not None:  # 0 times NaN is NaN
            inputs = ops.where(ops.expand_dims(mask, -1), inputs, ops.cast(0, inputs.dtype))
        children, levels = (ops.cast(numbers, "int32") for numbers in (children, levels))
        (batch, nodes), heights = ops.shape(inputs)[:2], ops.shape(levels)[1]
        children, levels = (
            backend.expect(
                ops.all(ops.logical_and(numbers >= 0, numbers <= nodes)),
                f"{type(self).__name__}: `{name}` must be numbers of nodes from 1 on, 0 for none.",
                {"nodes": nodes, name: numbers},
                numbers,
            )
            for name, numbers in (("children", children), ("levels", levels))
        )
        x = ops.matmul(inputs, self.kernel) + self.bias  # of all nodes at once
        # Node 0 is "no child", whose state stays zero. The trees of a batch stand one after the other.
        states = tuple(
            ops.reshape(ops.pad(state, [[0, 0], [1, 0], [0, 0]]), (-1, self.units)) for state in self.compose(x, None)
        )
        begin = ops.expand_dims(ops.arange(batch, dtype="int32") * (nodes + 1), 1)  # (batch, 1)
        x = ops.reshape(ops.pad(x, [[0, 0], [1, 0], [0, 0]]), (-1, self.blocks * self.units))
        children = ops.pad(children, [[0, 0], [1, 0], [0, 0]])
        arity = ops.shape(children)[2]
        children = ops.reshape(children, (-1, arity))

        def one_height(height, states):
            numbers = ops.take(levels, height, axis=1)  # (batch, width)
            at = begin + numbers
            below = ops.take(children, at, axis=0) + ops.expand_dims(begin, 1)  # (batch, width, arity)
            new = self.compose(ops.take(x, at, axis=0), [ops.take(state, below, axis=0) for state in states])
            is_node = ops.cast(ops.expand_dims(numbers > 0, -1), self.compute_dtype)
            at = ops.reshape(at, (-1, 1))
            return tuple(
                ops.scatter_update(state, at, ops.reshape(part * is_node, (-1, self.units)))
                for state, part in zip(states, new, strict=True)
            )

        states = ops.fori_loop(0, heights, one_height, states)
        output = ops.reshape(states[0], (batch, nodes + 1, self.units))[:, 1:]
        if not self.return_nodes:
            return output[:, 0]
        return output if mask is None else output * ops.cast(ops.expand_dims(mask, -1), output.dtype)

    def compute_mask(self, inputs, mask=None):
        return None  # it is an argument of its own

    def compute_output_shape(self, inputs_shape, children_shape, levels_shape):
        return (*inputs_shape[:2], self.units) if self.return_nodes else (inputs_shape[0], self.units)

    def get_config(self):
        config = {name: getattr(self, name) for name in ("units", "return_nodes")}
        for name in ("kernel_initializer", "recurrent_initializer"):
            config[name] = keras.initializers.serialize(getattr(self, name))
        return {**super().get_config(), **config}
