"""The rows of the benchmark, and how one of them runs."""

import functools
import importlib
import time

MODULES = ("association", "memory", "training", "trees")


@functools.cache
def rows():
    """{name: (function, words that pick the figures for the picture)} of all modules, one after the other."""
    modules = [importlib.import_module(f"tests.benchmarks.papers.{name}") for name in MODULES]
    return {row.__name__: (row, shown) for module in modules for row, shown in module.ROWS}


def run(key):
    """(key, {figure: number}) of a row and a seed, on one core."""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    name, seed = key
    begun = time.process_time()
    found = {figure: float(value) for figure, value in rows()[name][0](seed).items()}
    return key, found | {"seconds": time.process_time() - begun}
