"""Networks over trees against recursion in plain Python, in float64."""

import functools

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, filled, gradients
from keras import ops

from layers import BinaryTreeLSTM, ChildSumTreeLSTM, ElmanCell, LSTMCell, Recurrent, RecursiveNetwork

ATOL = 1e-12 if TENSORFLOW else 2e-5  # JAX computes in 32 bits
FEATURES, UNITS = 3, 4
# A node is (its number, its children); the root of a tree is number 1.
BINARY = [
    (1, [(2, [(4, []), (5, [(6, []), (7, [])])]), (3, [])]),
    (1, []),
    (1, [(2, [(3, []), (4, [])]), (5, [(6, []), (7, [])])]),
]
ANY = [
    (1, [(2, []), (3, [(5, []), (6, []), (7, [])]), (4, [(8, [])])]),
    (1, [(2, [(3, [(4, [])])])]),
    (1, []),
]


def arrays(trees, arity):
    """`children` and `levels`, by recursion."""
    children, levels = np.zeros((3, 8, arity), int), np.zeros((3, 3, 3), int)
    for row, tree in enumerate(trees):

        def visit(node, row=row):
            number, inner = node
            children[row, number - 1, : len(inner)] = [child for child, _ in inner]
            height = max((visit(child) for child in inner), default=0)
            if inner:
                place = np.flatnonzero(levels[row, height - 1] == 0)[0]
                levels[row, height - 1, place] = number
            return height + 1

        visit(tree)
    return children, levels


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def recursive(x, h, c, kernel, bias, recurrent):
    total = kernel.T @ x + bias
    for place, state in enumerate(h):
        total = total + recurrent[:, UNITS * place : UNITS * (place + 1)].T @ state
    return np.tanh(total), None


def child_sum(x, h, c, kernel, bias, recurrent):
    W = dict(zip("ifuo", np.split(kernel, 4, axis=1), strict=True))
    U = dict(zip("ifuo", np.split(recurrent, 4, axis=1), strict=True))
    b = dict(zip("ifuo", np.split(bias, 4), strict=True))
    total = sum(h, np.zeros(UNITS))
    i, o = (sigmoid(x @ W[g] + total @ U[g] + b[g]) for g in "io")
    new = i * np.tanh(x @ W["u"] + total @ U["u"] + b["u"])
    for h_k, c_k in zip(h, c, strict=True):
        new = new + sigmoid(x @ W["f"] + h_k @ U["f"] + b["f"]) * c_k
    return o * np.tanh(new), new


def binary(x, h, c, kernel, bias, left, right):
    W = dict(zip("ifuo", np.split(kernel, 4, axis=1), strict=True))
    b = dict(zip("ifuo", np.split(bias, 4), strict=True))
    U = [dict(zip("ilruo", np.split(side, 5, axis=1), strict=True)) for side in (left, right)]
    gate = lambda own, block: x @ W[own] + b[own] + sum((s @ u[block] for s, u in zip(h, U, strict=False)), 0)
    new = sigmoid(gate("i", "i")) * np.tanh(gate("u", "u"))
    for c_k, side in zip(c, "lr", strict=False):
        new = new + sigmoid(gate("f", side)) * c_k
    return sigmoid(gate("o", "o")) * np.tanh(new), new


NETWORKS = {
    "recursive": (RecursiveNetwork, {"arity": 2}, BINARY, recursive),
    "recursive, three": (RecursiveNetwork, {"arity": 3}, ANY, recursive),
    "child sum": (ChildSumTreeLSTM, {}, ANY, child_sum),
    "binary": (BinaryTreeLSTM, {}, BINARY, binary),
}


def example(name, **given):
    kind, arguments, trees, equation = NETWORKS[name]
    children, levels = arrays(trees, 2 if trees is BINARY else 3)
    x = np.random.default_rng(5).normal(size=(3, 8, FEATURES))
    layer = kind(UNITS, dtype="float64", **arguments, **given)
    layer.build(x.shape, children.shape, levels.shape)
    return filled(layer, x.shape), x, children, levels, trees, equation


@pytest.mark.parametrize("name", NETWORKS)
def test_trees_are_read_as_recursion_in_python_reads_them(name):
    layer, x, children, levels, trees, equation = example(name, return_nodes=True)
    weights = [np.asarray(weight, "float64") for weight in layer.get_weights()]
    expected = np.zeros((3, 8, UNITS))
    for row, tree in enumerate(trees):

        def visit(node, row=row):
            number, inner = node
            states = [visit(child) for child in inner]
            h, c = ([state[part] for state in states] for part in (0, 1))
            state = equation(x[row, number - 1], h, c, *weights)
            expected[row, number - 1] = state[0]
            return state

        visit(tree)
    mask = np.any(expected != 0, axis=2)
    x[~mask] = np.nan
    np.testing.assert_allclose(layer(x, children, levels, mask=mask), expected, atol=ATOL)
    x[~mask] = 7
    layer.return_nodes = False
    np.testing.assert_allclose(layer(x, children, levels), expected[:, 0], atol=ATOL)


@pytest.mark.parametrize(
    ("network", "cell"),
    [
        (ChildSumTreeLSTM, LSTMCell),
        (functools.partial(RecursiveNetwork, arity=1), ElmanCell),
    ],
    ids=["lstm", "elman"],
)
def test_a_tree_that_is_a_chain_is_the_sequence_model(network, cell):
    x = np.random.default_rng(6).normal(size=(2, 6, FEATURES))
    children = np.tile(np.array([2, 3, 4, 5, 6, 0])[None, :, None], (2, 1, 1))
    levels = np.tile(np.array([5, 4, 3, 2, 1])[None, :, None], (2, 1, 1))  # the leaf is node 6
    network = network(UNITS, dtype="float64")
    network.build(x.shape, children.shape, levels.shape)
    filled(network, x.shape)
    sequence = Recurrent(cell(UNITS, dtype="float64"), dtype="float64")
    sequence.build(x.shape)
    kernel, bias, recurrent = network.get_weights()
    sequence.set_weights([kernel, recurrent, bias])
    np.testing.assert_allclose(network(x, children, levels), sequence(x[:, ::-1]), atol=ATOL)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_are_those_of_small_differences(name):
    layer, x, children, levels, *_ = example(name)
    weights = np.random.default_rng(7).normal(size=(3, UNITS))
    loss = lambda layer, x: ops.sum(layer(x, children, levels) * ops.convert_to_tensor(weights, "float64"))
    found = gradients(layer, loss, x)
    rng, step = np.random.default_rng(8), 1e-6 if TENSORFLOW else 1e-2
    values = [x, *(np.array(weight) for weight in layer.trainable_variables)]
    ways, results = [rng.normal(size=value.shape) for value in values], []
    for sign in (1, -1):  # all of them are moved at once
        moved = [value + sign * step * way for value, way in zip(values, ways, strict=True)]
        layer.set_weights(moved[1:])
        results.append(float(loss(layer, moved[0])))
    expected = (results[0] - results[1]) / (2 * step)
    assert all(np.isfinite(gradient).all() and gradient.any() for gradient in found)
    total = sum(np.sum(gradient * way) for gradient, way in zip(found, ways, strict=True))
    np.testing.assert_allclose(total, expected, rtol=1e-6 if TENSORFLOW else 0.02)


def test_trees_of_unknown_sizes_train_are_saved_and_exported(tmp_path):
    numbers = [keras.Input(shape, dtype="int32") for shape in ([None, 2], [None, None])]
    given = (keras.Input([None, FEATURES]), *numbers)
    model = keras.Model(given, keras.layers.Dense(1)(BinaryTreeLSTM(UNITS)(*given)))
    _, x, children, levels, *_ = example("binary")
    inputs = (x.astype("float32"), children.astype("int32"), levels.astype("int32"))
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(inputs, np.ones((3, 1)), epochs=1, verbose=0)
    assert not any(np.array_equal(one, other) for one, other in zip(before, model.get_weights(), strict=True))
    model.save(tmp_path / "trees.keras")
    again = keras.models.load_model(tmp_path / "trees.keras")
    found = [again(inputs)]
    if TENSORFLOW:
        import tensorflow as tf

        model.export(tmp_path / "export", verbose=False)
        exported = tf.saved_model.load(str(tmp_path / "export"))
        found.append(exported.serve(tuple(tf.constant(part[:2, :7]) for part in inputs[:2]) + (inputs[2][:2],)))
    for result in found:
        np.testing.assert_allclose(result, np.asarray(model(inputs))[: len(result)], atol=1e-6)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_layer_over_trees_is_made_again_from_its_config(name):
    kind, arguments, *_ = NETWORKS[name]
    layer = kind(UNITS, return_nodes=True, recurrent_initializer="glorot_normal", **arguments)
    again = kind.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (again.units, again.return_nodes, again.arity) == (UNITS, True, arguments.get("arity", kind.arity))


def test_wrong_arguments_of_trees_are_named():
    x, two, levels = np.ones((1, 3, 2)), np.zeros((1, 3, 2), int), np.zeros((1, 1, 1), int)
    cases = [
        (lambda: BinaryTreeLSTM(0), "BinaryTreeLSTM: `units` must be a positive integer"),
        (lambda: RecursiveNetwork(2, arity=0), "RecursiveNetwork: `arity` must be a positive integer"),
        (lambda: BinaryTreeLSTM(2)(x, np.zeros((1, 3, 3), int), levels), r"must be \(batch, nodes, 2\). .*\(1, 3, 3\)"),
        (lambda: ChildSumTreeLSTM(2)(x, two, levels[0]), r"`levels` must be \(batch, heights, width\). .*\(1, 1\)"),
    ]
    for make, message in cases:
        with pytest.raises(ValueError, match=message):
            make()


@pytest.mark.parametrize(
    ("children", "levels", "name"), [([2, 4], 1, "children"), ([2, 3], 4, "levels"), ([2, -1], 1, "children")]
)
def test_numbers_that_are_none_of_a_node_are_named(children, levels, name):
    """They would be those of the next tree."""
    with pytest.raises(ValueError, match=f"`{name}` must be numbers of nodes from 1 on, 0 for none"):
        RecursiveNetwork(4)(np.ones((1, 3, 2)), np.array([[children, [0, 0], [0, 0]]]), np.array([[[levels]]]))
