"""Raw files, public data sets and small built-in data as `tf.data`; transforms that run inside the graph.

The modules of `data.sets` and `data.transforms` can be imported by their own names: `from data import reviews, words`.
"""

import importlib

_FOLDERS = {
    "sets": ("bitext", "captions", "entities", "promoters", "reviews", "scenes", "sequences"),
    "transforms": ("dna", "labels", "normal_form", "numbers", "spelling", "subwords", "tags", "words"),
}


def __getattr__(name):
    for folder, modules in _FOLDERS.items():
        if name in modules:
            return importlib.import_module(f"data.{folder}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
