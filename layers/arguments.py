"""Checks of arguments; an error says whose argument it is, what was expected and what was received."""

import numbers


def positive(owner, name, value, most=None, least=1):
    """An argument that must be an integer of `least` or more, and of `most` at most."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or not least <= value <= (most or value):
        expected = "a positive integer" if least == 1 else f"an integer of {least} or more"
        expected += f" and at most {most}" if most else ""
        raise ValueError(f"{owner}: `{name}` must be {expected}. Received: {name}={value!r}.")
    return int(value)


def within(owner, name, value, low, high=None, closed=False):
    """An argument that must be a number in [low, high), or in [low, high] where `closed`; no `high`: no bound."""
    is_number = isinstance(value, numbers.Real)
    if not is_number or not (value >= low and (high is None or value < high or (closed and value == high))):
        number = "" if is_number else "a number "
        expected = f"at least {low}" if high is None else f"in [{low}, {high}{']' if closed else ')'}"
        raise ValueError(f"{owner}: `{name}` must be {number}{expected}. Received: {name}={value!r}.")
    return value
