"""A traced step as rows of numbers: what kernels are written from."""

import dataclasses

import numpy as np

from layers.fused.graph import Node, Unfused, products_of, read


@dataclasses.dataclass
class Step:
    """A step as rows.

    Attributes:
        arguments: The `Row` that each product multiplies.
        carry: The `Row` of each new tensor of the carry.
        output: Which tensor of the carry is the output of each timestep, or None where only the last one is asked for.
        widths: Name of an array -> its width: "input", "carry_0", "product_0", "argument_0", ...
        tables: Name of an array of constants -> its values.
        matrices: For each of the first products, those of the input, the index of the weight that is its matrix.
    """

    arguments: list
    carry: list
    output: int | None
    widths: dict
    tables: dict
    matrices: list

    def loops(self, stage):
        """What is computed before product `stage`, or after the last one, in groups of equal length.

        Returns:
            `{length: [(name, begin, node, place)]}`.
        """
        last = stage == len(self.arguments)
        rows = {f"next_{i}": row for i, row in enumerate(self.carry)} if last else {}
        rows = rows or {f"argument_{stage}": self.arguments[stage]}
        found = {}
        for name, row in rows.items():
            for begin, length, node, place in row.runs():
                found.setdefault(length, []).append((name, begin, node, place))
        return found

    def direct(self, stage):
        """The input or the tensor of the carry that is the argument of product `stage`, as it is; else None."""
        begin, length, node, place = next(self.arguments[stage].runs())
        whole = node.kind in ("input", "carry") and place == 0 and length == node.width
        return array_of(node) if whole and length == self.arguments[stage].nodes.size else None


def step_of(traced, sequences, project):
    """The `Step` of a `TracedStep`.

    Args:
        traced: A `TracedStep`.
        sequences: Whether the output of every timestep is asked for.
        project: Whether the projection of the input is part of it.

    Raises:
        Unfused: if the step does what no kernel is written for.
    """
    leaves, batched, widths = {}, [], {}
    given = traced.unprojected if project else traced.input
    numbers = {id(weight): index for index, weight in enumerate(traced.weights)}
    own = products_of(traced.input, {id(given), *numbers}) if project else []

    def leaf(kind, tensor, index, stage=0):
        sizes = tensor.shape if kind == "weight" else tensor.shape[1:]
        if None in sizes or (kind != "weight" and len(sizes) != 1):
            raise Unfused(f"a tensor of {kind} has other axes than the batch and one more")
        leaves[id(tensor)] = node = Node(kind, int(np.prod(sizes)), index=index, stage=stage)
        widths[array_of(node)] = node.width
        if kind != "weight":
            batched.append(id(tensor))

    leaf("input", given, 0)
    kinds = {"carry": traced.carry, "weight": traced.weights, "extra": traced.extras, "fixed": traced.constants}
    for kind, tensors in kinds.items():
        for index, tensor in enumerate(tensors):
            leaf(kind, tensor, index)
    for index, tensor in enumerate([*(result for result, *_ in own), *traced.products]):
        leaf("product", tensor, index, stage=index + 1)
    tables, arguments = [], [*(argument for _, argument, _ in own), *traced.arguments]
    rows = read([*arguments, *traced.new, traced.output], leaves, batched, tables)
    count = len(arguments)
    arguments, new, output = rows[:count], rows[count:-1], rows[-1]
    for index, row in enumerate(arguments):
        widths[f"argument_{index}"] = row.nodes.size
    same = [i for i, row in enumerate(new) if list(row.runs()) == list(output.runs())]
    if sequences and not same:
        raise Unfused("the output is not a tensor of the carry")
    for tensor, row in zip(traced.carry, new, strict=True):
        if tensor.shape[1] != row.nodes.size:
            raise Unfused("a tensor of the carry changes its width")
    matrices = [numbers[id(matrix)] for *_, matrix in own]
    return Step(arguments, new, same[0] if sequences else None, widths, named("table", tables), matrices)


def array_of(node):
    return "input" if node.kind == "input" else f"{node.kind}_{node.index}"


def named(kind, tensors):
    return {f"{kind}_{index}": tensor for index, tensor in enumerate(tensors)}
