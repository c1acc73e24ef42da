"""Labels to targets and back, against dictionaries."""

import numpy as np
import pytest
import tensorflow as tf

from data.transforms.labels import KINDS, Labels

NAMES = {"one": ["promoter", "a b", "é;è"], "several": ["helix", "coil", "a b", "ü"], "positions": list("E.Iαé")}


def drawn(kind, number=30, seed=0):
    """Random labels, as strings."""
    rng, names = np.random.default_rng(seed), NAMES[kind]
    if kind == "one":
        return rng.choice(names, number).tolist()
    if kind == "several":  # in the order of the names; also none
        chosen = rng.random((number, len(names))) < 0.4
        return [";".join(np.array(names)[row]) for row in chosen]
    return ["".join(rng.choice(names, length)) for length in rng.integers(0, 9, number)]


def expected(kind, labels):
    """Targets of Python strings; an unknown label is -1, or none of several."""
    names = NAMES[kind]
    number = lambda name: names.index(name) if name in names else -1
    if kind == "one":
        return [number(label) for label in labels]
    if kind == "several":
        return [[float(name in label.split(";")) for name in names] for label in labels]
    return [[number(letter) for letter in label] for label in labels]


def listed(targets):
    return targets.to_list() if isinstance(targets, tf.RaggedTensor) else targets.numpy().tolist()


def asked(kind, targets):
    return targets > 0.5 if kind == "several" else targets


def decoded(strings):
    return [one.decode() for one in strings.numpy()]


@pytest.mark.parametrize("kind", KINDS)
def test_labels_become_targets_and_text_again(kind):
    labels, transform = drawn(kind), Labels(NAMES[kind], kind)
    targets = transform(labels)
    assert listed(targets) == expected(kind, labels)
    assert targets.dtype == ("float32" if kind == "several" else "int64")
    assert decoded(transform.text(asked(kind, targets))) == labels
    assert kind == "one" or "" in labels


@pytest.mark.parametrize("kind", KINDS)
def test_labels_within_a_graph_are_the_same(kind):
    labels, transform = drawn(kind, seed=1), Labels(NAMES[kind], kind)
    made = tf.data.Dataset.from_tensor_slices(labels).batch(7).map(transform)
    assert [row for targets in made for row in listed(targets)] == expected(kind, labels)
    text = tf.function(lambda labels: transform.text(asked(kind, transform(labels))), autograph=False)
    assert decoded(text(tf.constant(labels))) == labels


@pytest.mark.parametrize(
    ("kind", "labels"),
    [
        ("one", ["Promoter", "a b", "", "a b "]),
        ("several", ["sheet", "sheet;coil", "Helix;ü;x", "coil;coil", ";", "ü;helix"]),
        ("positions", ["E-I", "xyz", "", "αβ"]),
    ],
)
def test_labels_that_are_not_known_are_minus_one_or_none_of_several(kind, labels):
    assert listed(Labels(NAMES[kind], kind)(labels)) == expected(kind, labels)


@pytest.mark.parametrize("kind", KINDS)
def test_no_examples_give_no_targets(kind):
    targets = Labels(NAMES[kind], kind)([])
    assert targets.shape[0] == 0
    assert kind != "several" or targets.shape == (0, 4)


def test_text_of_several_takes_numpy_and_lists():
    transform = Labels(NAMES["several"], "several")
    chosen = np.random.default_rng(2).random((9, 4)) < 0.5
    texts = [";".join(name for name, it_is in zip(NAMES["several"], row, strict=True) if it_is) for row in chosen]
    assert decoded(transform.text(chosen)) == decoded(transform.text(chosen.tolist())) == texts


def test_an_unknown_kind_is_named():
    with pytest.raises(ValueError, match="`kind` must be one of one, several, positions. Received: kind='two'"):
        Labels(["a", "b"], "two")
