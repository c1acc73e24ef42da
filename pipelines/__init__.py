"""Tasks that people have: each takes the user's own file, trains, evaluates, shows, predicts and exports."""

import os
import signal
import sys

# `python -m pipelines.TASK`: until the libraries are loaded Ctrl-C ends the program at once. Python's own way is an
# exception in the middle of whatever is being imported, and its traceback. `command.main` takes over.
if sys.argv[:1] == ["-m"] and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
    signal.signal(signal.SIGINT, signal.SIG_DFL)

if "TF_CPP_MIN_LOG_LEVEL" not in os.environ:  # nobody asked to hear of TensorFlow's own start
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
