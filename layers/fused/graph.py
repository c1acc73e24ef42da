"""Reads the graph that TensorFlow traced of a step: what a lane, one number of a row, is computed from."""

import dataclasses

import numpy as np
import tensorflow as tf

# TensorFlow's operations that work element by element, with the names that `rules.py` has for them.
OPERATIONS = {
    **{name: name.lower() for name in ("Tanh", "Sigmoid", "Relu", "Exp", "Log", "Softplus", "Sqrt", "Rsqrt", "Square")},
    **{name: name.lower() for name in ("Sin", "Cos", "Abs", "Neg", "Sub", "Mul", "Maximum", "Minimum", "Round")},
    **{"AddV2": "add", "BiasAdd": "add", "RealDiv": "divide", "FloorMod": "modulo", "SelectV2": "where"},
    **{"Greater": "greater", "GreaterEqual": "greater_equal", "Less": "less", "LessEqual": "less_equal"},
    **{"Equal": "equal", "NotEqual": "not_equal", "LogicalAnd": "both", "LogicalOr": "either", "LogicalNot": "no"},
    **{"Cast": "cast", "Identity": "identity", "StopGradient": "stop", "ZerosLike": "zero", "OnesLike": "one"},
}
AXES = dict.fromkeys(("split_dim", "squeeze_dims", "dim"), "axis")  # names in graphs, and those of `tf.raw_ops`
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
        if (value := tf.get_static_value(tensor)) is not None:
            return constant(value)
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
        """The numbers of an operation that computes nothing: it is run on their places instead."""
        sizes = [None if x.dtype.is_floating else tf.get_static_value(x) for x in op.inputs]
        rows = [row(x) for x, size in zip(op.inputs, sizes, strict=True) if size is None]
        if not rows:
            raise Unfused(f"{op.type} makes numbers of its own")
        batch, first, left, places = any(id(x) in with_batch for x in op.inputs), 0, iter(rows), []
        for value in sizes:
            if value is None:
                nodes = next(left).nodes
                value = np.arange(first, first + nodes.size).reshape((1,) * batch + nodes.shape)
                first += nodes.size
            places.append(value)
        found = run_eagerly(op, places)[tensor.value_index]
        if batch:
            if found.ndim < 1 or found.shape[0] != 1:
                raise Unfused(f"{op.type} moves the batch")
            found = found[0]
            with_batch.add(id(tensor))
        nodes = np.concatenate([one.nodes.ravel() for one in rows])
        where = np.concatenate([one.places.ravel() for one in rows])
        return Row(np.asarray(nodes[found], object), np.asarray(where[found]))

    return [row(x) for x in tensors]


def products_of(tensor, factors):
    """The products with a matrix that a tensor is computed from, in order: `[(result, argument, matrix)]`.

    Args:
        tensor: A tensor of the traced graph.
        factors: ids of the tensors that are searched for as arguments and matrices.
    """
    found, seen, left = [], set(), [tensor]
    while left:
        op = left.pop().op
        if op in seen:
            continue
        seen.add(op)
        given = [same_as(x) for x in op.inputs]
        plain = op.type == "MatMul" and not (op.get_attr("transpose_a") or op.get_attr("transpose_b"))
        if plain and all(id(x) in factors for x in given):
            found.append((op.outputs[0], *given))
        left += op.inputs
    return found


def same_as(tensor):
    """The tensor that this one repeats."""
    while tensor.op.type == "Identity":
        tensor = tensor.op.inputs[0]
    return tensor


def run_eagerly(op, inputs):
    """A list of the outputs, arrays, that a traced operation has for other inputs."""
    names, given, left = {attribute.name for attribute in op.op_def.attr}, {}, list(inputs)
    for argument in op.op_def.input_arg:
        count = op.get_attr(argument.number_attr) if argument.number_attr else 1
        given[argument.name] = left[:count] if argument.number_attr else left[0]
        left = left[count:]
        names -= {argument.number_attr, argument.type_attr, argument.type_list_attr}
    given |= {name: op.get_attr(name) for name in names if not isinstance(op.get_attr(name), tf.DType)}
    given = {AXES.get(name, name): value for name, value in given.items()}
    try:
        with tf.init_scope():
            found = getattr(tf.raw_ops, op.type)(**given)
    except (ValueError, TypeError, tf.errors.OpError) as error:
        raise Unfused(f"{op.type} works on other than rows") from error
    return [x.numpy() for x in (found if isinstance(found, list) else [found])]


def changed(before, after):
    """What a change of the dtype does to numbers: the kernels compute with floats and truths."""
    if before.is_bool:
        return "cast"
    if after.is_bool:
        return "truth"
    return "truncate" if before.is_floating and after.is_integer else "identity"


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
