"""Each test begins with the same random numbers; room for what JAX compiles."""

import gc
import itertools

import keras
import pytest

TESTS = itertools.count(1)


@pytest.fixture(autouse=True)
def same_random_numbers():
    """A test that fails fails again: weights, and what dropout drops, are those of the last time."""
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def room_for_compiled_code():
    """JAX keeps all that it has compiled, in maps of memory that Linux counts: at 65,530 the process dies."""
    yield
    if keras.backend.backend() == "jax" and next(TESTS) % 20 == 0:
        import jax

        jax.clear_caches()
        gc.collect()
