"""Trees in brackets, and the arrays that networks over trees read; both are made in Python, before the graph.

A bracket of the Penn Treebank holds a label and either a word or other brackets. Without labels, as in the binary
parses of SNLI, it holds words and other brackets.
"""

import dataclasses
import re

import numpy as np

_TOKEN = re.compile(r"[()]|[^\s()]+")


@dataclasses.dataclass(frozen=True)
class Tree:
    """A tree as lists over its nodes, the root first and each node before its children, as the string names them.

    Args:
        labels: The label of each node; "" where there is none.
        words: The word of each node; "" where there is none.
        children: For each node the numbers of its children, from 0, from left to right.

    Example:
        >>> parse("(S (DT the) (NN cat))")
        Tree(labels=['S', 'DT', 'NN'], words=['', 'the', 'cat'], children=[[1, 2], [], []])
    """

    labels: list
    words: list
    children: list

    def __len__(self):
        return len(self.words)

    def add(self, label, word, parent):
        """A new node, the last child of `parent`, or the root if that is None; returns its number."""
        self.labels.append(label)
        self.words.append(word)
        self.children.append([])
        if parent is not None:
            self.children[parent].append(len(self) - 1)
        return len(self) - 1

    def remove_last(self):
        for lists in (self.labels, self.words, self.children):
            lists.pop()


def parse(text, labels=True):
    """Reads a tree of any depth.

    A word beside other words or brackets is a node of its own: `(NP the cat)` has two children. A bracket around one
    bracket, such as the one without label around each tree of the Penn Treebank, is a node with one child.

    Args:
        text: One tree, such as "(S (DT the) (NN cat))". Brackets within words are written as -LRB- and -RRB-.
        labels: Whether a bracket begins with a label, unless another bracket comes first.

    Returns:
        A `Tree`.

    Raises:
        ValueError: if the text is not one tree; the message has the place of the character, from 1.

    Example:
        >>> parse("( ( the cat ) sat )", labels=False).children
        [[1, 4], [2, 3], [], [], []]
    """
    found, opened, bare, before = Tree([], [], []), [], set(), ""
    for match in _TOKEN.finditer(text):
        token, place = match.group(), match.start() + 1
        if before and not opened:
            raise ValueError(f"tree: expected the end of the text at character {place}, received {token!r}.")
        parent = opened[-1][0] if opened else None
        if token == "(":
            opened.append((found.add("", "", parent), place))
        elif not opened:
            raise ValueError(f"tree: expected '(' at character {place}, received {token!r}.")
        elif token == ")":
            node, begin = opened.pop()
            inner = found.children[node]
            if not inner:
                raise ValueError(
                    f"tree: expected a word or a bracket in the bracket at character {begin}, received none."
                )
            if len(inner) == 1 and inner[0] in bare:  # a label and one word are one node
                found.words[node] = found.words[inner.pop()]
                found.remove_last()
        elif labels and before == "(":
            found.labels[parent] = token
        else:
            bare.add(found.add("", token, parent))
        before = token
    if opened:
        raise ValueError(f"tree: expected ')' for the '(' at character {opened[-1][1]}, received the end of the text.")
    if not before:
        raise ValueError("tree: expected '(' at character 1, received an empty text.")
    return found


def text(tree):
    """The inverse of `parse`.

    Example:
        >>> text(parse("(S (DT the)  (NN cat))"))
        '(S (DT the) (NN cat))'
    """
    found, waiting = [], [0]
    while waiting:
        node = waiting.pop()
        if node == ")":
            found[-1] += ")"
        elif tree.words[node]:
            found.append(f"({tree.labels[node]} {tree.words[node]})" if tree.labels[node] else tree.words[node])
        else:
            found.append(f"({tree.labels[node]}" if tree.labels[node] else "(")
            waiting += [")", *reversed(tree.children[node])]
    return " ".join(found).replace("( ", "(")


def binary(tree):
    """The tree with two children at each node that has any.

    A node with one child takes over the word and the children of that one and keeps its own label. Of more than two
    children the first ones become a new node without label, so that trees branch to the left.

    Example:
        >>> text(binary(parse("(S (A a) (B b) (C (D d)))")))
        '(S ((A a) (B b)) (C d))'
    """
    found, waiting = Tree([], [], []), [(tree.labels[0], [0], None)]
    while waiting:
        label, nodes, parent = waiting.pop()
        while len(nodes) == 1 and tree.children[nodes[0]]:
            nodes = tree.children[nodes[0]]
        one = found.add(label, tree.words[nodes[0]] if len(nodes) == 1 else "", parent)
        if len(nodes) > 1:
            *first, last = nodes
            waiting.append((tree.labels[last], [last], one))
            waiting.append((tree.labels[first[0]] if len(first) == 1 else "", first, one))
    return found


def heights(tree):
    """The height of each node: 0 for a node without children, otherwise one more than the highest child.

    Example:
        >>> heights(parse("(S (A a) (B (C c) (D d)))"))
        [2, 0, 1, 0, 0]
    """
    found = [0] * len(tree)
    for node in reversed(range(len(tree))):  # children come after their parents
        found[node] = 1 + max((found[child] for child in tree.children[node]), default=-1)
    return found


def arrays(trees, arity=None):
    """The arrays of a batch of trees, padded, as the layers over trees read them.

    Args:
        trees: List of `Tree`.
        arity: Most children of a node; None: as many as there are.

    Returns:
        A dictionary: `words` and `labels`, `(batch, nodes)` strings, "" at padding; `mask`, `(batch, nodes)`, True
        where there is a node; `children`, `(batch, nodes, arity)` int32, the numbers of a node's children from 1, which
        is the root, and 0 for none; `levels`, `(batch, heights, width)` int32: the numbers of the nodes of height 1, of
        height 2 and so on, 0 for none.

    Raises:
        ValueError: if a node has more than `arity` children.

    Example:
        >>> found = arrays([parse("(S (A a) (B (C c) (D d)))"), parse("(A a)")])
        >>> found["children"][0].tolist(), found["levels"].tolist()
        ([[2, 3], [0, 0], [4, 5], [0, 0], [0, 0]], [[[3], [1]], [[0], [0]]])
    """
    high = [heights(tree) for tree in trees]
    most = max((len(children) for tree in trees for children in tree.children), default=0)
    if arity is not None and most > arity:
        raise ValueError(f"trees: expected {arity} children of a node at most, received {most}; see `trees.binary`.")
    by_height = []
    for one in high:
        by_height.append([[] for _ in range(max(one))])
        for node, height in enumerate(one):
            if height:
                by_height[-1][height - 1].append(node + 1)
    nodes, depth = max(map(len, trees)), max(map(len, by_height))
    width = max((len(level) for levels in by_height for level in levels), default=0)
    found = {name: np.full((len(trees), nodes), "", object) for name in ("words", "labels")}
    found["mask"] = np.zeros((len(trees), nodes), bool)
    found["children"] = np.zeros((len(trees), nodes, most if arity is None else arity), "int32")
    found["levels"] = np.zeros((len(trees), depth, width), "int32")
    for row, tree in enumerate(trees):
        found["words"][row, : len(tree)], found["labels"][row, : len(tree)] = tree.words, tree.labels
        found["mask"][row, : len(tree)] = True
        for node, children in enumerate(tree.children):
            found["children"][row, node, : len(children)] = np.add(children, 1)
        for level, members in enumerate(by_height[row]):
            found["levels"][row, level, : len(members)] = members
    return found
