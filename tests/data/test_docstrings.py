"""The examples in the docstrings run and print what they say."""

import doctest

import pytest

from data import batching, entities, files, nfc, reviews, spelling, subwords, tags, text


@pytest.mark.parametrize(
    "module",
    [batching, entities, files, nfc, reviews, spelling, subwords, tags, text],
    ids=lambda module: module.__name__,
)
def test_examples_in_docstrings_are_true(module):
    failed, tried = doctest.testmod(module)
    assert tried and not failed
