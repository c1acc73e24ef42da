"""Writes the source of a step's kernels: one loop forward, and one backward by the chain rule on the same graph."""

import math

import numpy as np

from layers.fused.graph import Lane, Unfused
from layers.fused.rules import KEPT, LEARNT, RULES, depends
from layers.fused.step import array_of

BLOCK = 8  # timesteps whose gradients of the recurrent matrices are one product


class Body:
    """The lines of one loop over j, and the rows of arrays that they read and write."""

    def __init__(self, kernel, stage, length):
        self.kernel, self.home, self.length = kernel, (stage, length), length
        self.lines, self.names, self.arrays = [], {}, {}

    def name(self, expression):
        """A name for what an expression gives."""
        name = f"v{self.kernel.count}"
        self.kernel.count += 1
        self.lines.append(f"{name} = {expression}")
        return name

    def element(self, array, place, moves=True):
        self.arrays[array] = self.kernel.arrays[array] = None
        step = (f"{place} + j" if place else "j") if moves else f"{place}"
        return f"{array if flat(array) else f'{array}_row'}[{step}]"

    def value(self, lane):
        if lane not in self.names:
            self.names[lane] = self.kernel.evaluate(self, lane)
        return self.names[lane]

    def computed(self, lane):
        return self.name(RULES[lane.node.kind][0].format(*(self.value(of(lane, given)) for given in lane.node.inputs)))

    def loaded(self, lane):
        if lane.node.kind == "number":
            value = lane.node.value
            return f"F({value!r})" if math.isfinite(value) else f"F({'-' * (value < 0)}np.{abs(value)!r})"
        return self.name(self.element(array_of(lane.node), lane.place, lane.moves))

    def source(self):
        """The loop over the rows of the share, and within it over j."""
        rows = [f"{array}_row = {self.kernel.where(array)}" for array in self.arrays if not flat(array)]
        return ["for r in range(m):", *indented([*rows, f"for j in range({self.length}):", *indented(self.lines)])]


def flat(array):
    return array.removeprefix("d_").startswith(("weight", "table"))


def of(lane, given):
    """The lane of an input, for a lane of the node."""
    return Lane(given.node, given.place + lane.place * given.moves, given.moves and lane.moves)


def indented(lines, by=1):
    return ["    " * by + line for line in lines]


class Forward:
    """The forward kernel.

    Args:
        step: A `Step`.
        saved: Names of the products that it writes down for the backward pass.
        read: The kept values that a loop over j reads of another, if there is no backward pass: no others are then
            written, and of the carry only the output of each timestep. None: there is a backward pass.

    Attributes:
        name: Its name in the source.
        source: Its text.
        parameters: The names of the arrays that it takes.
        homes: (node, place) of a kept lane -> the loop that computes it.
        kept: Node -> its number among the arrays of kept values.
        read: Names of the kept values that a loop over j reads of another.
    """

    def __init__(self, step, saved=(), read=None):
        self.step, self.saved, self.keep, self.count = step, saved, read is None, 0
        self.name = "forward" if self.keep else "infer"
        self.read = set() if read is None else read
        self.arrays, self.homes, self.kept, self.lengths = {}, {}, {}, {}
        lines, count = [], len(step.arguments)
        for stage in range(count + 1):
            direct = step.direct(stage) if stage < count else None
            if direct is None:
                for length, roots in step.loops(stage).items():
                    body = Body(self, stage, length)
                    for name, begin, node, place in roots:
                        found = body.value(Lane(node, place, True))
                        body.lines.append(f"{body.element(name, begin)} = {found}")
                    lines += body.source()
            if stage < count:
                argument = f"argument_{stage}" if direct is None else self.rows(direct)
                product = f"product_{stage}"
                lines.append(f"product({argument}, packed_{stage}, {product + '[t][lo:hi]' * (product in saved)})")
                self.arrays |= {f"columns_{stage}": None, product: None}
        widths = step.widths | {f"kept_{number}": node.width for node, number in self.kept.items()}
        short = [i for i in range(len(step.carry)) if not self.whole(i)]
        own = [name for name in self.arrays if self.is_own(name)]
        given = [name for name in self.arrays if name not in own and not name.startswith("next")]
        given += [f"carry_{i}" for i in range(len(step.carry)) if i not in short]
        given += [name for i in short for name in (f"first_{i}", f"last_{i}")]
        self.parameters = sorted({"input", *given, *saved} - {f"carry_{i}" for i in short})
        self.source = "\n".join(
            [
                f"def {self.name}(lo, hi, {', '.join(self.parameters)}):",
                "    m = hi - lo",
                *indented(f"packed_{stage} = packed(columns_{stage})" for stage in range(count)),
                *indented(f"{name} = np.empty((m, {widths[name]}), input.dtype)" for name in own),
                *indented(f"carry_{i} = np.empty((2, m, {widths[f'carry_{i}']}), input.dtype)" for i in short),
                *indented(f"carry_{i}[0] = first_{i}[lo:hi]" for i in short),
                "    for t in range(input.shape[0]):",
                *indented(lines, 2),
                *indented(f"last_{i}[lo:hi] = carry_{i}[input.shape[0] % 2]" for i in short),
            ]
        )

    def whole(self, index):
        """Whether a tensor of the carry is written down at every timestep, and not by turns in two places."""
        return self.keep or index == self.step.output

    def is_own(self, name):
        """Whether an array is the kernel's own: it holds one timestep of the share."""
        return name.startswith(("argument", "product", "kept")[: 2 if self.keep else 3]) and name not in self.saved

    def rows(self, array, t="t", r=":"):
        """Rows of the share, all or row `r`, of the input or of a tensor of the carry before timestep `t`."""
        if array == "input" or self.whole(int(array.removeprefix("carry_"))):
            return f"{array}[{t}][{'lo:hi' if r == ':' else f'lo + {r}'}]"
        return f"{array}[{t if t == 't' else f'({t})'} % 2][{r}]"

    def evaluate(self, body, lane):
        node = lane.node
        if node.kind not in RULES:
            return body.loaded(lane)
        if node.kind not in KEPT or not lane.moves:
            return body.computed(lane)
        name = f"kept_{self.kept.setdefault(node, len(self.kept))}"
        lengths = self.lengths.setdefault(node, {})  # place -> length of the part that was computed there
        if body.length > lengths.setdefault(lane.place, body.length) or any(
            lane.place < place < lane.place + body.length or place < lane.place < place + length
            for place, length in lengths.items()
        ):
            raise Unfused("parts of a row that overlap are read")  # each is computed, and has a gradient, of its own
        if self.homes.setdefault((node, lane.place), body.home) != body.home:
            self.read.add(name)
            return body.name(body.element(name, lane.place))
        found = body.computed(lane)
        if self.keep or name in self.read:
            body.lines.append(f"{body.element(name, lane.place)} = {found}")
        return found

    def where(self, array):
        """The row of an array in a loop over r."""
        kind, _, index = array.partition("_")
        if kind in ("next", "carry"):
            return self.rows(f"carry_{index}", "t + 1" if kind == "next" else "t", "r")
        if kind == "fixed":
            return f"{array}[lo + r]"
        return f"{array}[r]" if self.is_own(array) else f"{array}[t][lo + r]"


class Backward:
    """The backward kernel.

    Args:
        step: A `Step`.
        forward: Its `Forward`.
        to_input: Whether the input has a gradient, or is data.

    Attributes:
        name: Its name in the source.
        source: Its text.
        parameters: The names of the arrays that it takes.
        pulled: Numbers of the products whose argument has a gradient.
    """

    def __init__(self, step, forward, to_input=True):
        self.name, self.to_input = "backward" if to_input else "backward_to_data", to_input
        self.step, self.homes, self.kept = step, forward.homes, forward.kept
        self.count, self.arrays, self.known, self.written, self.clear, self.terms = 0, {}, {}, {}, {}, {}
        lines, count = [], len(step.arguments)
        self.pulled = [k for k, row in enumerate(step.arguments) if any(map(self.learns, set(row.nodes.ravel())))]
        for stage in reversed(range(count + 1)):
            if stage < count:
                self.arrays[f"d_product_{stage}"] = None
                lines.append(stage)
            for length, roots in reversed(step.loops(stage).items()):
                body = Body(self, stage, length)
                self.chain(body, roots)
                lines += body.source()
        self.source = "\n".join(self.whole(lines))

    def learns(self, node):
        return depends(node, self.known, (*LEARNT, "input") if self.to_input else LEARNT)

    def evaluate(self, body, lane):
        if lane.node.kind not in RULES:
            return body.loaded(lane)
        if lane.moves and (lane.node, lane.place) in self.homes:
            return body.name(body.element(f"kept_{self.kept[lane.node]}", lane.place))
        return body.computed(lane)

    def chain(self, body, roots):
        """The chain rule from the roots of a loop to its leaves."""
        gradients, order, seen = {}, [], set()

        def visit(lane):
            if lane in seen or not self.learns(lane.node):
                return
            seen.add(lane)
            if self.goes_on(lane, body):
                for given, rule in zip(lane.node.inputs, RULES[lane.node.kind][1], strict=True):
                    if rule is not None:
                        visit(of(lane, given))
            order.append(lane)

        for name, begin, node, place in roots:
            lane = Lane(node, place, True)
            if name.startswith("argument"):
                hidden = body.element(name.replace("argument", "hidden"), begin)
                body.lines.append(f"{hidden} = {body.value(lane)}")
                if int(name.removeprefix("argument_")) not in self.pulled:
                    continue
            found = [body.name(body.element(f"d_{name}", begin))]
            if name == f"next_{self.step.output}":
                found.append(body.name(body.element("d_output", begin)))
            visit(lane)
            gradients.setdefault(lane, []).extend(found)
        for lane in reversed(order):
            self.pull(body, lane, gradients)

    def goes_on(self, lane, body):
        """Whether the chain rule goes on from a lane in this loop: it is no leaf, and no earlier loop computed it."""
        home = self.homes.get((lane.node, lane.place), body.home) if lane.moves else body.home
        return lane.node.kind in RULES and home == body.home

    def pull(self, body, lane, gradients):
        """Hands the gradient of a lane on to its inputs, or writes it down."""
        node, terms = lane.node, gradients.get(lane, [])
        goes_on = self.goes_on(lane, body)
        if goes_on and lane.moves and (node, lane.place) in self.homes:
            name = f"d_kept_{self.kept[node]}"
            written = self.written.get(name, np.zeros(0, bool))[lane.place : lane.place + body.length]
            if written.any():
                if not written.all():
                    self.clear[name] = None
                terms = [*terms, body.name(body.element(name, lane.place))]
        if not terms:
            return
        g = terms[0] if len(terms) == 1 else body.name(" + ".join(terms))
        if not goes_on:
            self.write(body, f"kept_{self.kept[node]}" if node.kind in RULES else array_of(node), lane, g)
            return
        for given, rule in zip(node.inputs, RULES[node.kind][1], strict=True):
            if rule is not None and self.learns(given.node):
                values = [
                    body.value(of(lane, one)) if f"{{{i}}}" in rule else None for i, one in enumerate(node.inputs)
                ]
                found = rule.format(*values, v=body.value(lane) if "{v}" in rule else None, g=g)
                gradients.setdefault(of(lane, given), []).append(found if found == g else body.name(found))

    def write(self, body, array, lane, g):
        """Adds a gradient to the row of an array; the first one to reach an element overwrites what was there."""
        target = body.element(f"d_{array}", lane.place, lane.moves)
        if array.startswith("weight"):
            body.lines.append(f"{target} += {g}")
            return
        written = self.written.setdefault(f"d_{array}", np.zeros(self.width_of(array), bool))
        part = written[lane.place : lane.place + (body.length if lane.moves else 1)]
        overwrites = lane.moves and not part.any()
        if not overwrites and not (lane.moves and part.all()):
            self.clear[f"d_{array}"] = None
        body.lines.append(f"{target} {'=' if overwrites else '+='} {g}")
        part[:] = True
        self.terms.setdefault(array, []).append((lane.place, lane.moves, overwrites, g))

    def width_of(self, array):
        if array.startswith("kept"):
            return next(node.width for node, number in self.kept.items() if f"kept_{number}" == array)
        return self.step.widths[array]

    def where(self, array):
        """The row of an array in a loop over r."""
        if array.startswith(("d_next", "d_carry", "d_argument", "d_kept")):
            return f"{array}[r]"
        if array.startswith(("d_product", "hidden")):
            return f"{array}[q + r]"
        return f"{array}[lo + r]" if array.startswith("fixed") else f"{array}[t][lo + r]"

    def whole(self, lines):
        """The kernel around the lines of a timestep, in which the number of a product stands for its own lines."""
        step, carries, products = self.step, range(len(self.step.carry)), range(len(self.step.arguments))
        # Where two products are only added to each other, they have one gradient, which is written and packed once.
        terms = [sorted(self.terms.get(f"product_{k}", ())) for k in products]
        same = [terms.index(one) for one in terms]
        again = [f"d_product_{k}" for k in products if same[k] < k]
        row_names = tuple(f"{name}_row" for name in again)
        pulls = {k: f"product(d_product_{same[k]}[q : q + m], packed_{k}, d_argument_{k})" for k in self.pulled}
        lines = [pulls.get(line, line) for line in lines if line in pulls or line not in products]
        lines = [line for line in lines if not line.strip().startswith(row_names)]
        covered = lambda name: name in self.written and self.written[name].all()
        wanted = ["d_input"] * self.to_input
        wanted += [*(f"d_carry_{i}" for i in carries), *(f"d_product_{k}" for k in products if same[k] == k)]
        clear = {**self.clear, **{name: None for name in wanted if not covered(name)}}
        spans = {"d_input": "d_input[t][lo:hi]"} | {f"d_product_{k}": f"d_product_{k}[q : q + m]" for k in products}
        begun = [f"{spans.get(name, name)}[:] = 0" for name in clear if name not in again]
        ended, buffers = [], []
        dtype = "carry_0.dtype"
        for i in carries:
            buffers.append(f"d_next_{i} = d_last_{i}[lo:hi].copy()")
            buffers.append(f"d_carry_{i} = np.empty_like(d_next_{i})")
        for k in products:
            rows, columns = step.widths[f"argument_{k}"], step.widths[f"product_{k}"]
            if k in self.pulled:
                buffers.append(f"packed_{k} = packed(columns_{k}.T)")
                buffers.append(f"d_argument_{k} = np.empty((m, {rows}), {dtype})")
            if same[k] == k:
                buffers.append(f"d_product_{k} = np.empty(({BLOCK} * m, {columns}), {dtype})")
                buffers.append(f"panels_{k} = panels({BLOCK} * m, {columns}, carry_0)")
                ended.append(f"pack(d_product_{k}[: (end - begin) * m], panels_{k})")
            buffers.append(f"hidden_{k} = np.empty(({BLOCK} * m, {rows}), {dtype})")
            ended.append(f"add_product(hidden_{k}[: (end - begin) * m], panels_{same[k]}, d_columns_{k})")
        for node, number in self.kept.items():
            if f"d_kept_{number}" in self.written:
                buffers.append(f"d_kept_{number} = np.empty((m, {node.width}), {dtype})")
        own = {line.split(" ", 1)[0] for line in buffers} | {f"d_product_{k}" for k in products}
        outside = {"carry_0", *wanted[: self.to_input], *(f"d_columns_{k}" for k in products)}
        outside |= {f"{name}_{i}" for name in ("d_first", "d_last") for i in carries}
        outside |= {f"columns_{k}" for k in self.pulled}
        self.parameters = sorted({*(name for name in self.arrays if name not in own), *outside})
        swap = ", ".join(f"d_next_{i}" for i in carries), ", ".join(f"d_carry_{i}" for i in carries)
        return [
            f"def {self.name}(lo, hi, {', '.join(self.parameters)}):",
            *indented(["m = hi - lo", *buffers, "end = carry_0.shape[0] - 1", "while end > 0:"]),
            f"        begin = max(0, end - {BLOCK})",
            "        for t in range(end - 1, begin - 1, -1):",
            *indented(["q = (t - begin) * m", *begun, *lines, f"{swap[0]}, {swap[1]} = {swap[1]}, {swap[0]}"], 3),
            *indented([*ended, "end = begin"], 2),
            *indented(f"d_first_{i}[lo:hi] = d_next_{i}" for i in carries),
        ]
