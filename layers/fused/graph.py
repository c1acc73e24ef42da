"""Reads the graph that TensorFlow traced of a step: what a lane, one number of a row, is computed from."""

import dataclasses

import numpy as np
import tensorflow as tf

# TensorFlow's operations that work element by element, with the names that `rules.py` has for them.
OPERATIONS = {
    **{name: name.lower() for name in ("Tanh", "Sigmoid", "Relu", "Exp", "Log", "Softplus", "Sqrt", "Rsqrt", "Square")},
    **{name: name.lower() for name in ("Sin", "Cos", "Abs", "Neg", "Sub", "Mul", "Maximum", "Minimum", "Round")},
    **{"AddV2": "add", "RealDiv": "divide", "FloorMod": "modulo", "SelectV2": "where", "StopGradient": "stop"},
    **{"Greater": "greater", "GreaterEqual": "greater_equal", "Less": "less", "LessEqual": "less_equal"},
    **{"Equal": "equal", "NotEqual": "not_equal", "LogicalAnd": "both", "LogicalOr": "either", "LogicalNot": "no"},
    **{"Cast": "cast", "Identity": "identity", "ZerosLike": "zero", "OnesLike": "one"},
}
MOVES = ("Split", "SplitV", "StridedSlice", "ConcatV2", "Reshape", "ExpandDims", "Squeeze")


class Unfused(Exception):
    """The step does what no kernel is written for; the text says what."""


@dataclasses.dataclass(frozen=True, eq=False)
class Node:
    """Numbers that are computed alike.

    Attributes:
        kind: A name of `rules.py`; or of a leaf: "input", "carry", "product", "weight", "extra", "fixed" with their
            place as `index`, "number" with its `value`, "table" with its values.
        width: How many there are.
        inputs: `Lane`s, those of the first of these numbers.
        stage: How many products must be known before it can be computed.
    """

    kind: str
    width: int
    inputs: tuple = ()
    index: int = 0
    value: object = None
    stage: int = 0


@dataclasses.dataclass(frozen=True)
class Lane:
    """A number of a node: the `place`th of its numbers, or, where `moves`, `place + j` in a loop over j."""

    node: Node
    place: int
    moves: bool


class Row:
    """A tensor as its numbers: for each, its node and its place there. The batch is left out."""

    def __init__(self, nodes, places):
        self.nodes, self.places = nodes, places  # object and integer arrays of the tensor's shape without the batch

    @classmethod
    def of(cls, node, shape=None):
        shape = (node.width,) if shape is None else shape
        nodes = np.empty(shape, object)
        nodes[...] = node
        return cls(nodes, np.arange(node.width).reshape(shape))

    def runs(self):
        """`(begin, length, node, place)` of each run of numbers that follow each other."""
        nodes, places = self.nodes.ravel(), self.places.ravel()
        begin = 0
        for end in range(1, len(nodes) + 1):
            if end == len(nodes) or nodes[end] is not nodes[begin] or places[end] - places[begin] != end - begin:
                yield begin, end - begin, nodes[begin], int(places[begin])
                begin = end


def read(tensors, leaves, batched, tables):
    """The rows of tensors.

    Args:
        tensors: Tensors of the traced graph.
        leaves: id of a tensor -> `Node`, where reading ends.
        batched: ids of the leaves whose first axis is the batch.
        tables: List to which arrays of constants are added.

    Raises:
        Unfused: if an operation is not known or works on other than rows.
    """
    known, with_batch = {}, set(batched)

    def row(tensor):
        if id(tensor) not in known:
            known[id(tensor)] = leaf(tensor) if id(tensor) in leaves else computed(tensor)
        return known[id(tensor)]

    def leaf(tensor):
        sizes = tensor.shape[1:] if id(tensor) in with_batch else tensor.shape
        return Row.of(leaves[id(tensor)], tuple(sizes))

    def computed(tensor):
        op = tensor.op
        if op.type == "Const":
            return constant(tf.get_static_value(tensor))
        if op.type in MOVES:
            return moved(op, tensor)
        if op.type not in OPERATIONS:
            raise Unfused(f"{op.type} is not computed element by element")
        inputs = [row(x) for x in op.inputs]
        kind = OPERATIONS[op.type]
        if op.type == "Cast":
            kind = changed(op.inputs[0].dtype, tensor.dtype)
        if any(id(x) in with_batch for x in op.inputs):
            with_batch.add(id(tensor))
        try:
            shape = np.broadcast_shapes(*(one.nodes.shape for one in inputs))
        except ValueError:
            raise Unfused(f"{op.type} works on other than rows") from None
        if len(shape) > 1:
            raise Unfused(f"{op.type} works on tensors of more than one axis")
        return elementwise(kind, inputs, shape)

    def constant(value):
        value = np.asarray(value)
        if value.size == 1:
            return Row.of(Node("number", 1, value=float(value.ravel()[0])), value.shape)
        tables.append(value.ravel())
        return Row.of(Node("table", value.size, index=len(tables) - 1), value.shape)

    def moved(op, tensor):
        """Split, slice and concatenation: the same is done with the numbers' places."""
        first, last = {"Split": (1, 2), "ConcatV2": (0, len(op.inputs) - 1)}.get(op.type, (0, 1))
        sources, sizes = list(op.inputs)[first:last], [*op.inputs[:first], *op.inputs[last:]]
        rows = [row(x) for x in sources]
        batch = any(id(x) in with_batch for x in sources)
        first, numbers = 0, []
        for one in rows:
            shape = ((1,) if batch else ()) + one.nodes.shape
            numbers.append(np.arange(first, first + one.nodes.size).reshape(shape))
            first += one.nodes.size
        static = [tf.get_static_value(x) for x in sizes]
        if any(value is None for value in static):
            raise Unfused(f"{op.type} by sizes that the graph does not know")
        try:
            with tf.init_scope():
                places = as_eager(op, numbers, static, batch)[tensor.value_index]
        except (ValueError, TypeError) as error:
            raise Unfused(f"{op.type} works on other than rows") from error
        if batch:
            if places.ndim < 1 or places.shape[0] != 1:
                raise Unfused(f"{op.type} moves the batch")
            places = places[0]
            with_batch.add(id(tensor))
        nodes = np.concatenate([one.nodes.ravel() for one in rows])
        where = np.concatenate([one.places.ravel() for one in rows])
        return Row(np.asarray(nodes[places], object), np.asarray(where[places]))

    return [row(x) for x in tensors]


def as_eager(op, numbers, sizes, batch):
    """What a move does with arrays: a list of its outputs."""
    if op.type == "Split":
        return [x.numpy() for x in tf.split(numbers[0], op.get_attr("num_split"), axis=int(sizes[0]))]
    if op.type == "SplitV":
        return [x.numpy() for x in tf.split(numbers[0], sizes[0], axis=int(sizes[1]))]
    if op.type == "ConcatV2":
        return [np.concatenate(numbers, axis=int(sizes[0]))]
    if op.type == "StridedSlice":
        masks = {f"{name}_mask": op.get_attr(f"{name}_mask") for name in MASKS}
        begin, end, strides = (tf.constant(value) for value in sizes)
        return [tf.raw_ops.StridedSlice(input=numbers[0], begin=begin, end=end, strides=strides, **masks).numpy()]
    if op.type == "Reshape":
        return [numbers[0].reshape([1, *sizes[0][1:]] if batch else sizes[0])]
    if op.type == "ExpandDims":
        return [np.expand_dims(numbers[0], int(sizes[0]))]
    return [np.squeeze(numbers[0], tuple(op.get_attr("squeeze_dims")) or None)]


def changed(before, after):
    """What a change of the dtype does to numbers: the kernels compute with floats and truths."""
    if before.is_bool:
        return "cast"
    if after.is_bool:
        return "truth"
    return "truncate" if before.is_floating and after.is_integer else "identity"


MASKS = ("begin", "end", "ellipsis", "new_axis", "shrink_axis")


def elementwise(kind, inputs, shape):
    """The row of an operation on rows: a node for each stretch in which all inputs follow each other."""
    width = shape[0] if shape else 1
    wide = [one.nodes.size > 1 or width == 1 for one in inputs]
    cuts = {0, width}
    for one, moves in zip(inputs, wide, strict=True):
        if moves and one.nodes.size > 1:
            cuts |= {begin for begin, *_ in one.runs()}
    cuts = sorted(cuts)
    nodes, places = np.empty(width, object), np.empty(width, int)
    for begin, end in zip(cuts[:-1], cuts[1:], strict=True):
        lanes = tuple(
            Lane(one.nodes.ravel()[begin], int(one.places.ravel()[begin]), True)
            if one.nodes.size > 1
            else Lane(one.nodes.ravel()[0], int(one.places.ravel()[0]), False)
            for one in inputs
        )
        stage = max(lane.node.stage for lane in lanes)
        nodes[begin:end] = Node(kind, end - begin, lanes, stage=stage)
        places[begin:end] = np.arange(end - begin)
    return Row(nodes.reshape(shape), places.reshape(shape))
