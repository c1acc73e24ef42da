"""Trees in brackets against trees written by hand and by recursion."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from data.transforms import trees

WORDS = st.text("abcé-'.$", min_size=1, max_size=3)
NODES = st.recursive(
    st.tuples(WORDS, WORDS), lambda inner: st.tuples(WORDS, st.lists(inner, min_size=1, max_size=4)), max_leaves=12
)


def written(node):
    label, rest = node
    return f"({label} {rest})" if isinstance(rest, str) else f"({label} {' '.join(map(written, rest))})"


def leaves(node):
    return [node[1]] if isinstance(node[1], str) else [word for inner in node[1] for word in leaves(inner)]


def height(node):
    return 0 if isinstance(node[1], str) else 1 + max(map(height, node[1]))


@hypothesis.given(NODES)
def test_brackets_are_read_and_written_back(node):
    tree = trees.parse(written(node))
    assert trees.text(tree) == written(node)
    assert [word for word in tree.words if word] == leaves(node)
    assert trees.heights(tree)[0] == height(node)

    def same(number, node):
        label, rest = node
        assert tree.labels[number] == label
        if isinstance(rest, str):
            assert (tree.words[number], tree.children[number]) == (rest, [])
        else:
            assert tree.words[number] == "" and len(tree.children[number]) == len(rest)
            for child, inner in zip(tree.children[number], rest, strict=True):
                same(child, inner)

    same(0, node)


@hypothesis.given(NODES)
def test_a_binary_tree_has_the_words_of_the_tree_in_order_and_two_children_or_none(node):
    tree = trees.binary(trees.parse(written(node)))
    assert {len(children) for children in tree.children} <= {0, 2}
    assert [word for word in tree.words if word] == leaves(node)
    assert all(bool(word) != bool(children) for word, children in zip(tree.words, tree.children, strict=True))
    assert all(child > number for number, children in enumerate(tree.children) for child in children)


def test_the_forms_of_brackets():
    tree = trees.parse("( (S (NP the  cat)\n(VP (V sat))) )")
    assert tree.labels == ["", "S", "NP", "", "", "VP", "V"]
    assert tree.words == ["", "", "", "the", "cat", "", "sat"]
    assert tree.children == [[1], [2, 5], [3, 4], [], [], [6], []]
    assert trees.text(trees.binary(tree)) == "((NP the cat) (VP sat))"
    plain = trees.parse("( ( the cat ) sat )", labels=False)
    assert plain.words == ["", "", "the", "cat", "sat"] and set(plain.labels) == {""}
    assert trees.text(plain) == "((the cat) sat)"
    assert trees.parse(trees.text(plain), labels=False) == plain


def test_a_tree_as_deep_as_a_long_sentence_is_read():
    deep = "(a " * 5000 + "b" + ")" * 5000
    tree = trees.parse(deep)
    assert trees.heights(tree)[0] == 4999 and trees.text(tree) == deep
    assert trees.text(trees.binary(tree)) == "(a b)"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"expected '\(' at character 1, received an empty text"),
        ("  word", r"expected '\(' at character 3, received 'word'"),
        ("(S (A a) (B b)", r"expected '\)' for the '\(' at character 1, received the end of the text"),
        ("(S (A a (B b))", r"expected '\)' for the '\(' at character 1, received the end"),
        ("(A a))", r"expected the end of the text at character 6, received '\)'"),
        ("(A a) (B b)", r"expected the end of the text at character 7, received '\('"),
        (")", r"expected '\(' at character 1, received '\)'"),
        ("(S (A a) (B))", r"expected a word or a bracket in the bracket at character 10, received none"),
        ("()", r"expected a word or a bracket in the bracket at character 1"),
    ],
)
def test_an_error_names_the_place_of_the_bracket(text, message):
    with pytest.raises(ValueError, match=f"tree: {message}"):
        trees.parse(text)


def test_arrays_hold_each_node_once_at_its_height_below_its_parent():
    texts = ["(S (A a) (B (C c) (D d) (E (F f))))", "(A a)", "(S (A (B b) (C c)) (D (E e) (F f)))"]
    batch = [trees.parse(text) for text in texts]
    found = trees.arrays(batch, arity=4)
    assert found["words"].tolist()[1] == ["a"] + [""] * 6
    assert found["mask"].sum(axis=1).tolist() == [len(tree) for tree in batch] == [7, 1, 7]
    assert found["children"].shape == (3, 7, 4) and found["levels"].shape == (3, 3, 2)
    assert found["children"][0].tolist()[2] == [4, 5, 6, 0]
    for row, tree in enumerate(batch):
        high = trees.heights(tree)
        for level in range(3):
            numbers = found["levels"][row, level]
            assert sorted(numbers[numbers > 0]) == [n + 1 for n, h in enumerate(high) if h == level + 1]
    with pytest.raises(ValueError, match="expected 2 children of a node at most, received 3; see `trees.binary`"):
        trees.arrays(batch, arity=2)
    assert trees.arrays([trees.binary(tree) for tree in batch])["children"].shape[2] == 2
    alone = trees.arrays([batch[1]], arity=2)
    assert alone["levels"].shape == (1, 0, 0) and np.all(alone["children"] == 0)
