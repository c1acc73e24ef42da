"""Schmidhuber's history compressor: a higher network sees only what the lower one did not predict."""

import keras
from keras import ops

from layers import arguments
from layers.backend import backend
from layers.cell import Cell
from layers.recurrent import Recurrent
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class HistoryCompressor(Extensible, keras.layers.Layer):
    r"""Two recurrent networks: the automatiser predicts each symbol, the chunker reads those that it did not predict.

        a_t = automatiser(x_t, a_{t-1})
        p_t = softmax(V a_{t-1} + b_V)               the automatiser's prediction of x_t
        u_t = [p_t(x_t) < threshold], u_0 = 1        whether x_t is unexpected
        c_t = chunker((x_t, log(1 + e_t)), c_{t-1})  where u_t = 1, otherwise c_{t-1}
        q_t = softmax(Q c_{t-1} + b_Q)               the chunker's prediction of x_t, where u_t = 1
        r_t = R a_t + b_R                            the automatiser's imitation of c_t

    e_t is the number of timesteps since the last unexpected symbol (0 for the first), which together with the symbols
    themselves is all that the sequence says beyond the predictions. What is far apart in time, with predictable symbols
    between, is near for the chunker. Imitating c_t, which it sees as a target alone, the automatiser learns to keep
    what the chunker keeps.

    In training it adds to the model's loss: -log p_t(x_t), the mean over real timesteps but the first; -log q_t(x_t),
    the mean over unexpected ones but the first; both times `prediction`; and the mean of (c_t - r_t)^2 over units and
    real timesteps, times `imitation`.

    Source: J. Schmidhuber, "Learning Complex, Extended Sequences Using the Principle of History Compression", Neural
    Computation 4(2), 1992, sections 2 to 4. Departures: the losses are cross-entropies; time is told as e_t, on a
    logarithmic scale, instead of t.

    Args:
        automatiser, chunker: Cells, `layers.Cell`, different objects.
        symbols: Number of symbol ids, 2 or more.
        threshold: The probability under which a symbol is unexpected, in [0, 1].
        prediction, imitation: Weights of the losses, not negative.

    Call arguments:
        symbol_ids: `(batch, timesteps)` integers in [0, symbols).
        mask: `(batch, timesteps)` booleans, False where there is padding, at the right; or None.
        training: Whether losses are added.

    Returns:
        `(a, c, u)`: `(batch, timesteps, width of the automatiser)`, `(batch, timesteps, width of the chunker)`,
        `(batch, timesteps)` booleans.

    Raises:
        ValueError: if an argument is not as above.

    Example:

    >>> from layers import ElmanCell, HistoryCompressor
    >>> layer = HistoryCompressor(ElmanCell(4), ElmanCell(6), symbols=3)
    >>> a, c, u = layer(np.array([[0, 1, 2, 1]]))
    >>> tuple(a.shape), tuple(c.shape), tuple(u.shape)
    ((1, 4, 4), (1, 4, 6), (1, 4))
    """

    def __init__(self, automatiser, chunker, symbols, threshold=0.5, prediction=1.0, imitation=1.0, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # ids may come as floats, which 16 bits would round
        if not isinstance(automatiser, Cell) or not isinstance(chunker, Cell) or automatiser is chunker:
            raise ValueError(
                f"HistoryCompressor: `automatiser` and `chunker` must be two cells, such as LSTMCell(16) each. "
                f"Received: automatiser={automatiser!r}, chunker={chunker!r}."
            )
        self.automatiser, self.chunker = automatiser, chunker
        self.symbols = arguments.positive("HistoryCompressor", "symbols", symbols, least=2)
        self.threshold = arguments.within("HistoryCompressor", "threshold", threshold, 0, 1, closed=True)
        self.prediction = arguments.within("HistoryCompressor", "prediction", prediction, 0)
        self.imitation = arguments.within("HistoryCompressor", "imitation", imitation, 0)
        self.lower = Recurrent(automatiser, return_sequences=True, dtype=self.dtype_policy)
        self.higher = Recurrent(chunker, return_sequences=True, dtype=self.dtype_policy)

    def build(self, symbol_ids_shape):
        self.lower.build((*symbol_ids_shape, self.symbols))
        self.higher.build((*symbol_ids_shape, self.symbols + 1))
        self.lower.built = self.higher.built = True
        below, above = self.automatiser.output_size, self.chunker.output_size
        for name, inputs, outputs in (
            ("predict", below, self.symbols),
            ("predict_unexpected", above, self.symbols),
            ("imitate", below, above),
        ):
            kernel = self.add_weight(name=f"{name}_kernel", shape=(inputs, outputs), initializer="glorot_uniform")
            bias = self.add_weight(name=f"{name}_bias", shape=(outputs,), initializer="zeros")
            setattr(self, name, (kernel, bias))

    def call(self, symbol_ids, mask=None, training=False):
        symbol_ids = ops.cast(symbol_ids, "int32")
        real = ops.ones_like(symbol_ids, dtype="bool") if mask is None else ops.cast(mask, "bool")
        known = ops.logical_and(symbol_ids >= 0, symbol_ids < self.symbols)
        symbol_ids = backend.expect(
            ops.all(ops.logical_or(known, ops.logical_not(real))),
            f"HistoryCompressor: `symbol_ids` must be in [0, {self.symbols}).",
            {"symbol_ids": symbol_ids},
            symbol_ids,
        )
        x = ops.one_hot(symbol_ids, self.symbols, dtype=self.compute_dtype)  # (batch, timesteps, symbols)
        a = self.lower(x, mask=mask, training=training)
        log_p = self._log_probabilities(a[:, :-1], self.predict, x[:, 1:])
        # Whether a symbol was expected is no function to differentiate.
        unexpected = ops.stop_gradient(log_p) < ops.log(ops.cast(max(self.threshold, 1e-30), log_p.dtype))
        unexpected = ops.logical_and(ops.pad(unexpected, [[0, 0], [1, 0]], constant_values=True), real)
        elapsed = ops.log(1 + ops.cast(self.elapsed(unexpected), self.compute_dtype))
        events = ops.concatenate([x, ops.expand_dims(elapsed, -1)], axis=-1)
        c = self.higher(events, mask=unexpected, training=training)
        if training:
            log_q = self._log_probabilities(c[:, :-1], self.predict_unexpected, x[:, 1:])
            kernel, bias = self.imitate
            error = ops.mean((ops.stop_gradient(c) - ops.matmul(a, kernel) - bias) ** 2, axis=-1)
            predicted = self._mean(log_p, real[:, 1:]) + self._mean(log_q, unexpected[:, 1:])
            self.add_loss(self.imitation * self._mean(error, real) - self.prediction * predicted)
        return a, c, unexpected

    @staticmethod
    def elapsed(unexpected):
        """Timesteps since the last unexpected symbol, `(batch, timesteps)`; 0 for the first and where there is none."""
        timesteps = ops.shape(unexpected)[1]
        places = ops.expand_dims(ops.arange(timesteps, dtype="int32"), 0)
        in_order = ops.sort(ops.where(unexpected, places, timesteps), axis=1)  # the places of events, then the rest
        number = ops.cumsum(ops.cast(unexpected, "int32"), axis=1) - 2  # of the event before
        before = ops.take_along_axis(in_order, ops.maximum(number, 0), axis=1)
        return ops.where(ops.logical_and(unexpected, number >= 0), places - before, 0)

    @staticmethod
    def _log_probabilities(states, weights, x):
        """Log probabilities of the symbols that came, `(batch, timesteps - 1)`."""
        kernel, bias = weights
        return ops.sum(ops.log_softmax(ops.matmul(states, kernel) + bias, axis=-1) * x, axis=-1)

    @staticmethod
    def _mean(values, there):
        values = ops.cast(values, keras.backend.result_type(values.dtype, "float32"))  # sums leave the range of float16
        there = ops.cast(there, values.dtype)
        return ops.sum(values * there) / ops.maximum(ops.sum(there), 1)

    def compute_mask(self, inputs, mask=None):
        return mask, mask, mask

    def get_config(self):
        names = ("symbols", "threshold", "prediction", "imitation")
        cells = {name: keras.saving.serialize_keras_object(getattr(self, name)) for name in ("automatiser", "chunker")}
        return {**super().get_config(), **cells, **{name: getattr(self, name) for name in names}}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        read = lambda cell: keras.saving.deserialize_keras_object(cell, custom_objects=custom_objects)
        return cls(**{**config, **{name: read(config[name]) for name in ("automatiser", "chunker")}})
