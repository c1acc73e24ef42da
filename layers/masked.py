"""Numbers in place of what is masked."""


def lowest(dtype):
    """A finite number that no other of this precision is below, or hardly any: those of 32 bits end at -3.4e38."""
    return -65504.0 if dtype == "float16" else -3e38
