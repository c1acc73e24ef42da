"""Attention: a weighted mean of a memory; a query decides the weights.

An attention is a Keras layer, `attention(queries, memory)`, for all timesteps at once. Where the context feeds back
into the next query, an `AttentionCell` runs it timestep by timestep. Both use the same `read`.
"""

import keras
from keras import ops

from layers import arguments
from layers.masked import own_mask
from layers.saving import Extensible

FAR = -1e30  # added to the scores of padding


class Attention(Extensible, keras.layers.Layer):
    r"""Weights over a memory, decided by a query, and the weighted mean of the memory.

        α_ij = softmax_j(e_ij)          weights
        c_i = Σ_j α_ij h_j              context

    A subclass defines the score `e_ij` of a query and a timestep of the memory.

        matrices                         name -> matrix that multiplies a query
        keys_of(memory)                  the part of a score that comes from the memory, made once
        score(ask, keys, before)
                                         scores `(batch, queries, timesteps)`; `ask(name)` is the query times the matrix
                                         of that name, `ask()` the query itself, `(batch, queries, width)`
        feeds_back                       whether the score reads `before`, the weights of the query before

    Call arguments:
        query: `(batch, queries, width)`.
        memory: `(batch, timesteps, features)`.
        mask: `(batch, timesteps)` booleans, False where the memory is padding; None: the mask that Keras keeps with the
            memory, if it has one.
        return_attention_scores: Whether to return the weights too.

    Returns:
        The context, `(batch, queries, features)`; with `return_attention_scores` a list of that and the weights,
        `(batch, queries, timesteps)`. Where all of the memory is padding, all weights are equal.

    Raises:
        ValueError: if query or memory is not of rank 3, or `feeds_back` is True.
    """

    feeds_back = False
    matrices = {}

    def build(self, query_shape, memory_shape):
        for name, shape in (("query", query_shape), ("memory", memory_shape)):
            if len(shape) != 3 or shape[2] is None:
                raise ValueError(
                    f"{type(self).__name__}: `{name}` must be (batch, timesteps, features) with a known number of "
                    f"features. Received: {name}.shape={tuple(shape)}."
                )
        self.build_score(query_shape[2], memory_shape[2])

    def build_score(self, query_width, memory_width):
        """Makes the weights of the score."""

    def keys_of(self, memory):
        return memory

    def score(self, ask, keys, before):
        raise NotImplementedError(f"{type(self).__name__} must define score(ask, keys, before).")

    def weights_of(self, scores, ask, before, padding):
        """From scores, with FAR at padding, to weights: `(batch, queries, timesteps)` both."""
        return ops.softmax(scores, axis=-1)

    def first_weights(self, padding):
        """The weights before the first query, `(batch, timesteps)`: all equal."""
        return ops.softmax(padding, axis=-1)

    def constants_of(self, memory, mask=None):
        """Made once from a memory: the memory, its keys, and the term to add to scores, FAR at padding.

        Without a mask the memory's own is taken, which Keras keeps with it, if it has one.
        """
        mask = own_mask(memory) if mask is None else mask
        memory = ops.cast(memory, self.compute_dtype)
        real = ops.ones(ops.shape(memory)[:2]) if mask is None else ops.cast(mask, "float32")
        if mask is not None:  # 0 times NaN at padding would be NaN
            memory = ops.where(ops.expand_dims(real, 2) > 0, memory, ops.cast(0, memory.dtype))
        return [memory, self.keys_of(memory), (1 - real) * FAR]

    def read(self, query, recur, before, memory, keys, padding, queries=-1):
        """Attends to the memory: `(rows, width)` -> context `(rows, features)` and weights `(rows, timesteps)`.

        There is one row for each example, or `queries` of them, side by side: the timesteps of a sequence, the beams of
        a search. `queries` must be given only where the batch may be empty.
        """
        batch = ops.shape(memory)[0]
        by_sentence = lambda x: ops.reshape(x, (batch, queries, ops.shape(x)[-1]))
        by_row = lambda x: ops.reshape(x, (-1, ops.shape(x)[-1]))
        ask = lambda name=None: by_sentence(query if name is None else recur(query, name))
        before = by_sentence(before) if self.feeds_back else None
        padding = ops.expand_dims(padding, 1)  # (batch, 1, timesteps)
        dtype = keras.backend.result_type(padding.dtype, "float32")  # FAR is beyond the range of float16
        padding = ops.cast(padding, dtype)
        scores = ops.cast(self.score(ask, keys, before), dtype) + padding
        weights = ops.cast(self.weights_of(scores, ask, before, padding), memory.dtype)
        return by_row(ops.matmul(weights, memory)), by_row(weights)

    def call(self, query, memory, mask=None, return_attention_scores=False):
        if self.feeds_back:
            raise ValueError(f"{type(self).__name__} feeds its weights back: run it in an AttentionCell.")
        if isinstance(mask, (list, tuple)) and len(mask) == 2 and not isinstance(mask[0], (list, tuple)):
            mask = mask[1]  # Keras's masks of query and memory
        rows = ops.reshape(ops.cast(query, self.compute_dtype), (-1, query.shape[-1]))
        *constants, padding = self.constants_of(memory, mask)
        constants = [*(ops.cast(x, self.compute_dtype) for x in constants), padding]
        context, weights = self.read(rows, self.product, None, *constants, queries=ops.shape(query)[1])
        by_query = lambda x: ops.reshape(x, (*ops.shape(query)[:2], ops.shape(x)[-1]))
        return [by_query(context), by_query(weights)] if return_attention_scores else by_query(context)

    def product(self, query, name):
        """`query` times the matrix of that name, where no loop computes the product."""
        return ops.matmul(query, ops.cast(self.matrices[name], self.compute_dtype))

    def compute_mask(self, *inputs, mask=None):
        return None

    def weight(self, name, shape, initializer="glorot_uniform"):
        return self.add_weight(name=name, shape=shape, initializer=initializer, autocast=False)


@keras.saving.register_keras_serializable(package="layers")
class AdditiveAttention(Attention):
    r"""Attention by a network of one layer.

        e_ij = v · tanh(W s_i + U h_j)                              plain
        e_ij = g v / |v| · tanh(W s_i + U h_j + b)                  normalised

    Source: D. Bahdanau et al., "Neural Machine Translation by Jointly Learning to Align and Translate", 2015,
    arXiv:1409.0473, section A.1.2; normalised: T. Salimans and D. Kingma, "Weight Normalization", 2016,
    arXiv:1602.07868, equation 2, with g beginning at the square root of 1 / units.

    Args:
        units: Width of the layer, a positive integer.
        normalized: Whether v is normalised and has a scale and a bias of its own.

    Call arguments, returns: see `Attention`.

    Raises:
        ValueError: if `units` is not a positive integer, or as `Attention`.

    Example:

    >>> from layers import AdditiveAttention
    >>> tuple(AdditiveAttention(8)(np.ones((2, 5, 3)), np.ones((2, 7, 4))).shape)
    (2, 5, 4)
    """

    def __init__(self, units, normalized=False, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.positive(type(self).__name__, "units", units)
        self.normalized = normalized

    def build_score(self, query_width, memory_width):
        self.query_kernel = self.weight("query_kernel", (query_width, self.units))
        self.memory_kernel = self.weight("memory_kernel", (memory_width, self.units))
        self.scale = self.weight("scale", (self.units,), keras.initializers.RandomUniform(-1, 1, seed=self.units))
        self.matrices = {"query_kernel": self.query_kernel}
        if self.normalized:
            self.gain = self.weight("gain", (), keras.initializers.Constant(self.units**-0.5))
            self.bias = self.weight("bias", (self.units,), "zeros")

    def keys_of(self, memory):
        keys = ops.matmul(memory, ops.cast(self.memory_kernel, memory.dtype))
        return keys + ops.cast(self.bias, keys.dtype) if self.normalized else keys

    def score(self, ask, keys, before):
        hidden = ops.expand_dims(ask("query_kernel"), 2) + ops.expand_dims(keys, 1)
        return self.energy(hidden)

    def energy(self, hidden):
        """`(batch, queries, timesteps, units)` -> `(batch, queries, timesteps)`."""
        v = ops.convert_to_tensor(self.scale)
        if self.normalized:
            v = self.gain * v / ops.sqrt(ops.sum(v * v))
        return ops.dot(ops.tanh(hidden), ops.cast(v, hidden.dtype))  # a product: the summands are never stored

    def get_config(self):
        return {**super().get_config(), "units": self.units, "normalized": self.normalized}


@keras.saving.register_keras_serializable(package="layers")
class MultiplicativeAttention(Attention):
    r"""Attention by products of query and memory.

        e_ij = s_i · h_j                                            dot
        e_ij = s_i · h_j / √width                                   scaled
        e_ij = s_i · W h_j                                          general

        p_i = (timesteps - 1) σ(v · tanh(W_p s_i))                  local: the position attended to
        α_ij = softmax_j(e_ij) exp(-(j - p_i)² / (2 (D / 2)²)),     j in [p_i - D, p_i + D]

    Source: M. Luong et al., "Effective Approaches to Attention-based Neural Machine Translation", 2015,
    arXiv:1508.04025, equations 8 to 10 (local-p); scaled: A. Vaswani et al., "Attention Is All You Need", 2017,
    arXiv:1706.03762, equation 1. Departure: positions count from 0, so that p_i lies in the memory at either end.

    Args:
        kind: "dot", "scaled" or "general".
        window: D, timesteps to either side of p_i, a positive integer; None attends to the whole memory.

    Call arguments, returns: see `Attention`.

    Raises:
        ValueError: if `kind` is none of these, `window` is not a positive integer, query and memory differ in width
            with "dot" or "scaled", or as `Attention`.

    Example:

    >>> from layers import MultiplicativeAttention
    >>> tuple(MultiplicativeAttention("general", window=2)(np.ones((2, 5, 3)), np.ones((2, 7, 4))).shape)
    (2, 5, 4)
    """

    KINDS = ("dot", "scaled", "general")

    def __init__(self, kind="general", window=None, **kwargs):
        super().__init__(**kwargs)
        if kind not in self.KINDS:
            expected = ", ".join(map(repr, self.KINDS))
            raise ValueError(f"MultiplicativeAttention: `kind` must be one of {expected}. Received: kind={kind!r}.")
        self.kind = kind
        self.window = window if window is None else arguments.positive("MultiplicativeAttention", "window", window)

    def build_score(self, query_width, memory_width):
        if self.kind == "general":
            self.memory_kernel = self.weight("memory_kernel", (memory_width, query_width))
        elif query_width != memory_width:
            raise ValueError(
                f"MultiplicativeAttention: query and memory must be of one width where kind={self.kind!r}. Received: "
                f"{query_width} and {memory_width}."
            )
        if self.window:
            self.position_kernel = self.weight("position_kernel", (query_width, query_width))
            self.position_scale = self.weight("position_scale", (query_width, 1))
            self.matrices = {"position_kernel": self.position_kernel}

    def keys_of(self, memory):
        if self.kind == "general":
            return ops.matmul(memory, ops.cast(self.memory_kernel, memory.dtype))
        return memory / memory.shape[-1] ** 0.5 if self.kind == "scaled" else memory

    def score(self, ask, keys, before):
        return ops.matmul(ask(), ops.transpose(keys, (0, 2, 1)))

    def weights_of(self, scores, ask, before, padding):
        if not self.window:
            return ops.softmax(scores, axis=-1)
        hidden = ops.tanh(ask("position_kernel"))
        share = ops.sigmoid(ops.matmul(hidden, ops.cast(self.position_scale, hidden.dtype)))  # (batch, queries, 1)
        place = ops.cumsum(ops.cast(padding == 0, "int32"), axis=-1) - 1  # among those that are no padding
        place = ops.cast(place, scores.dtype)
        off = place - place[:, :, -1:] * ops.cast(share, scores.dtype)
        near = ops.softmax(ops.where(ops.abs(off) <= self.window, scores, scores + FAR), axis=-1)
        return near * ops.exp(-2 * ops.square(off / self.window))

    def get_config(self):
        return {**super().get_config(), "kind": self.kind, "window": self.window}


@keras.saving.register_keras_serializable(package="layers")
class LocationAttention(AdditiveAttention):
    r"""Additive attention that also sees its last weights.

        f_i = F * α_{i-1}                                           convolution over the timesteps of the memory
        e_ij = v · tanh(W s_i + V h_j + U f_ij + b)

    The first query sees equal weights.

    Source: J. Chorowski et al., "Attention-Based Models for Speech Recognition", 2015, arXiv:1506.07503, equations 8
    and 9.

    Args:
        units: Width of the layer, a positive integer.
        filters: Number of filters F, a positive integer.
        width: Timesteps that a filter sees, a positive odd integer.

    Call arguments, returns: those of `AttentionCell`, which alone can run it.

    Raises:
        ValueError: if a size is not a positive integer or `width` is even, or as `Attention`.

    Example:

    >>> from layers import AttentionCell, GRUCell, LocationAttention, Recurrent
    >>> decoder = Recurrent(AttentionCell(GRUCell(8), LocationAttention(6)))
    >>> tuple(decoder(np.ones((2, 5, 3)), constants=np.ones((2, 7, 4))).shape)
    (2, 12)
    """

    feeds_back = True

    def __init__(self, units, filters=10, width=31, **kwargs):
        super().__init__(units, **kwargs)
        self.filters = arguments.positive("LocationAttention", "filters", filters)
        self.width = arguments.positive("LocationAttention", "width", width)
        if width % 2 == 0:
            raise ValueError(f"LocationAttention: `width` must be odd. Received: width={width}.")

    def build_score(self, query_width, memory_width):
        super().build_score(query_width, memory_width)
        self.filter_kernel = self.weight("filter_kernel", (self.width, 1, self.filters))
        self.location_kernel = self.weight("location_kernel", (self.filters, self.units))
        self.location_bias = self.weight("location_bias", (self.units,), "zeros")

    def score(self, ask, keys, before):
        batch, queries, timesteps = ops.shape(before)
        seen = ops.reshape(before, (-1, timesteps, 1))
        f = ops.conv(seen, ops.cast(self.filter_kernel, seen.dtype), padding="same")
        f = ops.matmul(f, ops.cast(self.location_kernel, f.dtype)) + ops.cast(self.location_bias, f.dtype)
        f = ops.reshape(f, (batch, queries, timesteps, self.units))
        return self.energy(ops.expand_dims(ask("query_kernel"), 2) + ops.expand_dims(keys, 1) + f)

    def get_config(self):
        return {**super().get_config(), "filters": self.filters, "width": self.width}


@keras.saving.register_keras_serializable(package="layers")
class MonotonicAttention(AdditiveAttention):
    r"""Attention that only moves forward: each query starts where the one before it stopped.

        e_ij = g v / |v| · tanh(W s_i + U h_j + b) + r
        p_ij = σ(e_ij)                                              probability of stopping at j, once there
        q_ij = (1 - p_{i,j-1}) q_{i,j-1} + α_{i-1,j}                probability of getting to j
        α_ij = p_ij q_ij

    The weights are the expected position, in training and in inference; 1 minus their sum is the probability of no
    stop. The first query starts at the first timestep. q_ij is computed as Σ_k α_{i-1,k} Π_{k≤l<j} (1 - p_il), in
    logarithms, without a division.

    Source: C. Raffel et al., "Online and Linear-Time Attention by Enforcing Monotonic Alignments", 2017,
    arXiv:1704.00784, equations 9 to 16. Departures: no noise is added to e_ij in training, and inference keeps soft
    weights.

    Args:
        units: Width of the layer, a positive integer.
        offset: Initial value of r; a negative one looks far ahead.

    Call arguments, returns: those of `AttentionCell`, which alone can run it.

    Raises:
        ValueError: if `units` is not a positive integer, or as `Attention`.

    Example:

    >>> from layers import AttentionCell, GRUCell, MonotonicAttention, Recurrent
    >>> decoder = Recurrent(AttentionCell(GRUCell(8), MonotonicAttention(6)))
    >>> tuple(decoder(np.ones((2, 5, 3)), constants=np.ones((2, 7, 4))).shape)
    (2, 12)
    """

    feeds_back = True

    def __init__(self, units, offset=-1.0, normalized=True, **kwargs):
        super().__init__(units, normalized=normalized, **kwargs)
        self.first_offset = offset

    def build_score(self, query_width, memory_width):
        super().build_score(query_width, memory_width)
        self.offset = self.weight("offset", (), keras.initializers.Constant(self.first_offset))

    def energy(self, hidden):
        e = super().energy(hidden)
        return e + ops.cast(self.offset, e.dtype)

    def first_weights(self, padding):
        return ops.cast(ops.arange(ops.shape(padding)[1]) == 0, padding.dtype) + ops.zeros_like(padding)

    def weights_of(self, scores, ask, before, padding):
        passed = ops.log_sigmoid(-scores)  # log(1 - p)
        upto = ops.cumsum(passed, axis=-1) - passed  # the sum over all timesteps before
        way = ops.expand_dims(upto, -2) - ops.expand_dims(upto, -1)  # (batch, queries, from, to)
        place = ops.arange(ops.shape(scores)[-1])
        way = ops.exp(ops.where(place[:, None] <= place, way, ops.cast(FAR, way.dtype)))
        q = ops.squeeze(ops.matmul(ops.expand_dims(before, -2), way), -2)
        return ops.sigmoid(scores) * q

    def get_config(self):
        return {**super().get_config(), "offset": self.first_offset}
