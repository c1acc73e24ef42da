"""Tasks for users: each takes the user's own file, trains, evaluates, plots, predicts and exports."""

import gc
import os
import signal
import sys

COMMAND = sys.argv[:1] == ["-m"]  # `python -m pipelines.TASK`, not an import
LISTING = COMMAND and sys.orig_argv[-2:] == ["-m", "pipelines"]  # `python -m pipelines` needs no library

# Until the libraries are loaded, Ctrl-C ends the program at once. Python's default would raise an exception within an
# import and print its traceback. `command.main` restores the default.
if COMMAND and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

# While a command imports and traces a network it makes millions of small objects that stay alive. Garbage collection
# among them took a quarter of the start.
if COMMAND:
    gc.disable()

# Keras imports scikit-learn and Matplotlib, if they are installed, for wrappers and galleries that no task uses. This
# took another quarter. They are hidden from Keras here, and visible again after its import.
HIDDEN = [name for name in ("sklearn", "matplotlib") if COMMAND and not LISTING and name not in sys.modules]
sys.modules.update(dict.fromkeys(HIDDEN))

if not LISTING and "TF_CPP_MIN_LOG_LEVEL" not in os.environ:  # hides TensorFlow's messages at its start by default
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow as tf

        tf.config.list_physical_devices()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)

if HIDDEN:
    import keras  # noqa: F401

    for name in HIDDEN:
        del sys.modules[name]

if COMMAND:
    gc.freeze()
    gc.set_threshold(100_000, 20, 20)
    gc.enable()
