"""Training that can be killed and resumed: batches are a function of (seed, epoch); a checkpoint is one file."""

import contextlib
import csv
import ctypes
import io
import os
import signal
import sys
import time

import keras
import numpy as np
import tensorflow as tf

from data import batching
from data.files import InputError
from pipelines.engine.folder import CHECKPOINT, HISTORY, TENSORBOARD, WEIGHTS

TOLD_SECONDS = 5  # between two messages of progress


class Interrupted(Exception):
    """Ctrl-C was pressed; a checkpoint has been written."""


@contextlib.contextmanager
def interrupted_as(folder):
    """Within: an interrupted stage or fold names the run that it belongs to, which is the one to resume."""
    try:
        yield
    except Interrupted:
        raise Interrupted(folder) from None


def fit(parts, config, folder, train, validation):
    """Trains until the last epoch, or until validation has not improved for `config.patience` epochs.

    The weights of the best epoch (averaged ones, with `config.ema`) are set in the model and written to the folder.

    Args:
        parts: The task's `Parts`, with a compiled model.
        config: A `Training`.
        folder: `RunFolder`; training continues from a checkpoint in it.
        train, validation: `batching.Cached`.

    Returns:
        The history, a list with a dictionary for each epoch.

    Raises:
        Interrupted: on Ctrl-C, after a checkpoint has been written.
        InputError: if the checkpoint does not fit the model or the data.
    """
    bounds = batching.bounds_of(train)
    state = State(parts, folder, train, validation, config)
    watched = in_order(validation, parts.extras.teacher_forcing)
    if folder.has(CHECKPOINT):
        state.restore()
        state.validate(watched.take(1))  # makes the variables of the metrics
    else:
        state.save()  # holds, from the first step on, which data the run is of
    with Interrupts() as interrupts:
        while state.epoch < config.epochs and not state.stopped(config.patience):
            batches = batching.batches(
                train, config.batch_size, bounds, seed=config.seed, epoch=state.epoch, skip=state.step
            )
            batches = forced(batches, parts.extras.teacher_forcing)
            left = int(batches.cardinality())
            follow = Follow(state, config, interrupts, left + state.step)
            if state.step and not left:  # the run was killed after the last batch of an epoch
                results = follow.remembered(parts.model)
            else:
                parts.model.fit(batches, epochs=1, shuffle=False, verbose=0, callbacks=[follow])
                results = follow.results()
            if interrupts.came:
                state.save()
                raise Interrupted(folder)
            state.end_epoch(results, watched)
    state.board.on_train_end()
    parts.model.set_weights(state.best)
    folder.write(WEIGHTS, lambda path: save_weights(parts.model, path))
    return state.history


def in_order(examples, teacher_forcing=None):
    """Batches of the model's inputs in a fixed order, sequences of similar length together."""
    return forced(batching.batches(examples, 256, batching.bounds_of(examples)), teacher_forcing)


def forced(batches, teacher_forcing):
    """Batches with the inputs of `teacher_forcing`, if it is given."""
    return batches.map(tf.autograph.experimental.do_not_convert(teacher_forcing)) if teacher_forcing else batches


def save_weights(model, path):
    whole = path.with_name(path.name + ".weights.h5")
    model.save_weights(whole)
    whole.replace(path)


class State:
    """The state of training that, with the configuration and the data, decides how it continues."""

    def __init__(self, parts, folder, train, validation, config):
        self.parts, self.model, self.folder = parts, parts.model, folder
        self.examples, self.checksums = len(train), [train.checksums(), validation.checksums()]
        self.averaged = config.ema > 0
        tensorboard = keras.callbacks.TensorBoard(str(folder / TENSORBOARD), write_graph=False)
        self.board = tensorboard if config.tensorboard else keras.callbacks.Callback()
        self.board.set_model(self.model)
        self.epoch, self.step, self.history = 0, 0, []
        self.best, self.best_epoch = None, None
        self.seconds = 0.0
        self.metrics = None  # variables of an interrupted epoch
        self.validation = None
        self.model.optimizer.build(self.model.trainable_variables)

    def variables(self):
        return [*self.model.variables, *self.model.optimizer.variables]

    def save(self):
        arrays = {f"variable{i}": v.numpy() for i, v in enumerate(self.variables())}
        arrays |= {f"metric{i}": v.numpy() for i, v in enumerate(self.model.metrics_variables) if self.step}
        arrays |= {f"best{i}": v for i, v in enumerate(self.best or [])}
        arrays = {key: v.astype("float32") if v.dtype.name == "bfloat16" else v for key, v in arrays.items()}
        names = ("epoch", "step", "history", "best_epoch", "seconds", "examples", "checksums")
        self.folder.write_arrays(CHECKPOINT, arrays, {name: getattr(self, name) for name in names})

    def restore(self):
        arrays, note = self.folder.read_arrays(CHECKPOINT)
        if note["examples"] != self.examples:
            raise InputError(
                self.folder / CHECKPOINT,
                f"expected {note['examples']} training examples, as when the run began, received {self.examples}.",
            )
        if note.get("checksums", self.checksums) != self.checksums:  # runs of earlier versions have none
            raise InputError(
                self.folder / CHECKPOINT,
                "expected the examples and labels of when the run began, received others, as many; bring the files "
                "back as they were, or begin again with --overwrite.",
            )
        for name, value in note.items():
            setattr(self, name, value)
        variables = self.variables()
        if [v.shape for v in variables] != [
            arrays.get(f"variable{i}", np.zeros(())).shape for i in range(len(variables))
        ]:
            raise InputError(self.folder / CHECKPOINT, "expected the weights of this model, received other shapes.")
        assign(variables, [arrays[f"variable{i}"] for i in range(len(variables))])
        self.metrics = [arrays[f"metric{i}"] for i in range(len(arrays)) if f"metric{i}" in arrays]
        self.best = [arrays[f"best{i}"] for i in range(len(arrays)) if f"best{i}" in arrays] or None

    def stopped(self, patience):
        """Whether the last `patience` epochs were no better than the best one before them."""
        return bool(patience and self.history and len(self.history) - 1 - self.best_epoch >= patience)

    def validate(self, batches):
        """The loss and the metrics on `batches`, as from `model.evaluate`, without tracing the network again."""
        if self.validation is None:
            self.validation = keras.metrics.Mean("loss"), self._step(batches.element_spec)
        loss, step = self.validation
        loss.reset_state()
        self.model.reset_metrics()
        for batch in batches:
            found = step(*batch)
            loss.update_state(found, sample_weight=len(keras.tree.flatten(batch)[0]))
        found = self.model.get_metrics_result()
        found["loss"] = loss.result()
        self.model.reset_metrics()
        return {name: float(found[name]) for name in sorted(found, key="loss".__eq__)}

    def _step(self, spec):
        """The loss of a batch, which also updates the metrics. Scores come from the network's one inference graph."""
        model, forward = self.model, self.parts.forward

        def step(features, target, weights=None):
            scores = forward(features)
            model.compute_metrics(features, target, scores, sample_weight=weights)
            return model.compute_loss(features, target, scores, sample_weight=weights, training=False)

        return tf.function(step, input_signature=spec, autograph=False)

    def end_epoch(self, results, validation):
        """Validates (the averaged weights, if there are any), keeps the best weights, writes the checkpoint."""
        model = self.model
        own = values(model.trainable_variables)
        if self.averaged:
            model.optimizer.finalize_variable_values(model.trainable_variables)
        if self.parts.extras.calibrate:
            self.parts.extras.calibrate(self.parts.forward, validation)
        found = self.validate(validation)
        row = {"epoch": self.epoch + 1, **results, **{f"validation_{name}": value for name, value in found.items()}}
        row["seconds"] = round(self.seconds, 1)
        self.history.append(row)
        if self.best_epoch is None or merit(row) > merit(self.history[self.best_epoch]):
            self.best, self.best_epoch = model.get_weights(), self.epoch
        assign(model.trainable_variables, own)
        self.epoch, self.step, self.metrics, self.seconds = self.epoch + 1, 0, None, 0.0
        self.save()
        table = io.StringIO()
        writer = csv.DictWriter(table, list(row))
        writer.writeheader()
        writer.writerows(self.history)
        self.folder.write_text(HISTORY, table.getvalue())
        self.board.on_epoch_end(self.epoch - 1, {**results, **{f"val_{name}": value for name, value in found.items()}})
        shown = "  ".join(f"{name} {value:.4f}" for name, value in row.items() if isinstance(value, float))
        say(f"epoch {self.epoch}  {shown}")


def values(variables):
    return [variable.numpy() for variable in variables]


def assign(variables, values):
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def merit(row):
    """The key by which the best epoch is chosen: its first metric on validation data, and among equals the loss."""
    metric = next((value for name, value in row.items() if name not in NOT_MERIT and "validation_" in name), 0)
    return round(metric, 6), -row["validation_loss"]


NOT_MERIT = ("validation_loss",)


class Follow(keras.callbacks.Callback):
    """Counts the steps of an epoch, shows progress, writes checkpoints, and stops on Ctrl-C."""

    def __init__(self, state, config, interrupts, total):
        super().__init__()
        self.state, self.config, self.interrupts, self.total = state, config, interrupts, total
        self.logs = {}

    def on_epoch_begin(self, epoch, logs=None):
        self.begun = self.saved = self.shown = time.monotonic()
        self.first, self.before = self.state.step, self.state.seconds
        self._go_on(self.model)

    def on_epoch_end(self, epoch, logs=None):
        self.own = values(self.model.trainable_variables)

    def on_train_end(self, logs=None):
        assign(self.model.trainable_variables, self.own)  # Keras has replaced them by the averaged ones

    def _go_on(self, model):
        """Restores the metrics of an interrupted epoch."""
        if self.state.metrics:
            assign(model.metrics_variables, self.state.metrics)
        self.state.metrics = None

    def remembered(self, model):
        """The results of an epoch whose batches had all been seen before the run was killed."""
        self._go_on(model)
        return {name: float(value) for name, value in model.get_metrics_result().items()}

    def on_train_batch_end(self, batch, logs=None):
        self.logs = dict(logs)
        state, now = self.state, time.monotonic()
        if state.step == self.first:
            keep_memory()
        state.step += 1
        state.seconds = self.before + now - self.begun
        if self.interrupts.came:
            self.model.stop_training = True
        elif now - self.saved >= 60 * self.config.checkpoint_minutes:
            state.save()
            self.saved = time.monotonic()
        if sys.stderr.isatty() and (now - self.shown > 0.2 or state.step == self.total):
            self.shown = now
            self._show(now)

    def _show(self, now):
        state = self.state
        done = state.step / self.total if self.total else 0
        bar = "━" * int(24 * done) + "─" * (24 - int(24 * done))
        left = ""
        if self.total:
            steps = self.total * (self.config.epochs - state.epoch) - state.step
            seconds = int((now - self.begun) / (state.step - self.first) * steps)
            left = f"  {seconds // 60}:{seconds % 60:02d} left at most"
        values = "  ".join(f"{name} {float(value):.4f}" for name, value in self.logs.items())
        of = f"/{self.total}" if self.total else ""
        sys.stderr.write(
            f"\r\x1b[Kepoch {state.epoch + 1}/{self.config.epochs}  {bar}  {state.step}{of}  {values}{left}"
        )
        if state.step == self.total:
            sys.stderr.write("\r\x1b[K")
        sys.stderr.flush()

    def results(self):
        return {name: float(value) for name, value in self.logs.items()}


class Interrupts:
    """Context in which the first Ctrl-C lets the batch finish, and the second one interrupts at once."""

    def __enter__(self):
        self.came, self.before = False, None
        with contextlib.suppress(ValueError):  # only the main thread gets Ctrl-C
            self.before = signal.signal(signal.SIGINT, self._note)
        return self

    def _note(self, number, frame):
        if self.came:
            raise KeyboardInterrupt
        self.came = True
        say("\nstopping after this batch; Ctrl-C again stops at once")

    def __exit__(self, *error):
        if self.before is not None:
            signal.signal(signal.SIGINT, self.before)


def say(text):
    """Prints progress and logs to standard error; standard output is for answers."""
    print(text, file=sys.stderr, flush=True)


class Progress:
    """Tells every few seconds how much of some work is done; of short work nothing.

    Args:
        work: What is being done, the begin of each message.
        noun: What is counted.
    """

    def __init__(self, work, noun):
        self.work, self.noun, self.before = work, noun, time.monotonic()

    def __call__(self, count):
        if time.monotonic() - self.before > TOLD_SECONDS:
            self.before = time.monotonic()
            say(f"{self.work}: {count:,} {self.noun} so far")


def share_cores():
    """Gives half of the cores to the products of each direction of a network, as the two run in parallel.

    If each product uses all cores, small products wait for each other: on 2 cores, a bidirectional LSTM of 64 took 1.3
    times as long.
    """
    with contextlib.suppress(RuntimeError):  # TensorFlow is running already
        tf.config.threading.set_inter_op_parallelism_threads(os.cpu_count())
        tf.config.threading.set_intra_op_parallelism_threads(max(1, os.cpu_count() // 2))


def keep_memory():
    """Lets the C library keep freed memory, which the next training step allocates again.

    TensorFlow's datasets from Python generators make it return all above 128 kB to the system; every step of a network
    with a large vocabulary then took twice as long, half of it in the kernel. So call this after the first batch.
    """
    with contextlib.suppress(AttributeError, OSError):  # not glibc
        trim_threshold, mmap_threshold = -1, -3
        library = ctypes.CDLL(None)
        library.mallopt(trim_threshold, 2**30)
        library.mallopt(mmap_threshold, 2**30)


def repeatable(seed):
    """Seeds all random generators; the same seed gives the same weights."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
