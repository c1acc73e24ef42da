"""Every cell says what it computes, where that is published, and what goes in and out."""

import re

import pytest

from layers import CELLS


@pytest.mark.parametrize("name", CELLS)
def test_a_cell_s_docstring_has_equation_source_weights_shapes_and_an_example(name):
    text = CELLS[name].__doc__
    assert re.search(r"^ {8}\S.* = ", text, re.MULTILINE), "an equation, indented by eight"
    assert re.search(r"Source: .*(19|20)\d\d", text, re.DOTALL)
    for section in ("Weights", "Args", "Call arguments", "Returns", "Raises", "Example"):
        assert re.search(rf"^ {{4}}{section}.*:", text, re.MULTILINE), section
    assert "`(batch, features)`" in text and text.count("(batch, ") > 1
    assert CELLS[name].__dict__.get("__doc__"), "its own, not its parent's"
