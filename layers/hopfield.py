"""Hopfield's network: patterns are the fixed points of its dynamics."""

import keras
import numpy as np
from keras import ops

from layers import arguments
from layers.saving import Extensible

RULES = ("hebb", "pseudo_inverse", "storkey")
UPDATES = ("asynchronous", "synchronous")


ZERO = 1e-6  # a sum that is 0 may differ by so much, as couplings are rounded to 32 bits


def signs(field, before):
    """1 and -1 by the sign of `field`, both `(...)`; where it is 0, what was there before."""
    one = ops.ones_like(before)
    return ops.where(field > ZERO, one, ops.where(field < -ZERO, -one, before))


def bipolar(owner, name, patterns, width):
    """Patterns as float64 `(patterns, width)`; an error if they have another shape or values that are not -1 or 1."""
    patterns = np.asarray(ops.convert_to_numpy(patterns), "float64")
    if patterns.ndim != 2 or patterns.shape[1] != width or not np.isin(patterns, (-1, 1)).all():
        shown = np.unique(patterns)[:6].tolist()
        raise ValueError(
            f"{owner}: `{name}` must be (patterns, {width}) of -1 and 1. "
            f"Received: {name}.shape={patterns.shape}, values={shown}."
        )
    return patterns


@keras.saving.register_keras_serializable(package="layers")
class Hopfield(Extensible, keras.layers.Layer):
    r"""Hopfield network: a state runs downhill in energy to a stored pattern near it.

        s_i <- sign(Σ_j W_ij s_j)            where the sum is 0, s_i stays as it is
        E(s) = -1/2 Σ_i Σ_j W_ij s_i s_j     never rises when units are updated one after the other

    `store` adds patterns ξ to W by one of three rules, with N units:

        hebb             W += ξ ξ^T / N
        pseudo_inverse   W += r r^T / (r^T r),  r = ξ - W ξ: the projection onto the patterns, pattern by pattern
        storkey          W_ij += (ξ_i ξ_j - ξ_i h_ji - h_ij ξ_j) / N,  h_ij = Σ_{k ≠ i, j} W_ik ξ_k

    The diagonal of W, which the pseudo-inverse needs to add patterns, is left out of updates and of the energy. Random
    patterns are recalled with few errors up to 0.138 N of them by Hebb's rule, N / sqrt(2 ln N) without any error by
    Storkey's rule, and N linearly independent ones by the pseudo-inverse.

    Source: J. J. Hopfield, "Neural networks and physical systems with emergent collective computational abilities",
    1982, equations 1, 2 and 7. L. Personnaz, I. Guyon and G. Dreyfus, "Information storage and retrieval in
    spin-glass like neural networks", 1985, and, without the diagonal, I. Kanter and H. Sompolinsky, "Associative recall
    of memory without errors", 1987. A. Storkey, "Increasing the capacity of a Hopfield network without sacrificing
    functionality", 1997. Departures: units are -1 and 1 instead of 0 and 1; all thresholds are 0; the order of
    asynchronous updates is one random permutation, the same in each sweep, so that an answer can be repeated.

    Args:
        units: N, a positive integer.
        rule: "hebb", "pseudo_inverse" or "storkey".
        updates: "asynchronous": one unit after the other, to a fixed point; or "synchronous": all at once, to a fixed
            point or to a cycle of two states.
        sweeps: Most updates of each unit, a positive integer.
        seed: Seed of the order of asynchronous updates, an integer; None: in the order of the units.

    Call arguments:
        inputs: `(batch, units)` of -1 and 1; 0 for a unit whose value is not known.

    Returns:
        `(batch, units)`, the state at the end. It has no gradient.

    Raises:
        ValueError: if an argument is not one of these, or `store` gets other than -1 and 1.

    Example:

    >>> from layers import Hopfield
    >>> memory = Hopfield(6)
    >>> memory.store([[1, 1, 1, -1, -1, -1], [1, -1, 1, -1, 1, -1]])
    >>> ops.convert_to_numpy(memory(np.array([[1, 1, 0, -1, -1, 0]]))).astype(int).tolist()
    [[1, 1, 1, -1, -1, -1]]
    """

    def __init__(self, units, rule="hebb", updates="asynchronous", sweeps=100, seed=None, **kwargs):
        super().__init__(**kwargs)
        self.units = arguments.positive("Hopfield", "units", units)
        for name, value, known in (("rule", rule, RULES), ("updates", updates, UPDATES)):
            if value not in known:
                raise ValueError(f"Hopfield: `{name}` must be one of {', '.join(known)}. Received: {name}={value!r}.")
        self.rule, self.updates, self.seed = rule, updates, seed
        self.sweeps = arguments.positive("Hopfield", "sweeps", sweeps)

    def build(self, inputs_shape=None):
        # Couplings and products of 16 bits could turn a sign.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.units, self.units),
            dtype=keras.backend.result_type(self.variable_dtype, "float32"),
            initializer="zeros",
            trainable=False,
            autocast=False,
        )

    def store(self, patterns):
        """Adds patterns to those that are stored.

        Args:
            patterns: `(patterns, units)` of -1 and 1.
        """
        if not self.built:
            self.build()
            self.built = True
        kernel = np.asarray(ops.convert_to_numpy(self.kernel), "float64")
        for pattern in bipolar("Hopfield", "patterns", patterns, self.units):
            kernel = kernel + self._change(kernel, pattern)
        self.kernel.assign(kernel)

    def _change(self, kernel, pattern):
        """What a pattern adds to the kernel, `(units, units)`."""
        both = np.outer(pattern, pattern)
        if self.rule == "hebb":
            return both / self.units
        if self.rule == "pseudo_inverse":
            rest = pattern - kernel @ pattern
            # A pattern that depends linearly on the stored ones has no rest, and is a fixed point already.
            return np.outer(rest, rest) / (rest @ rest) if rest @ rest > 1e-6 * self.units else 0 * both
        reach = kernel * pattern  # W_ik ξ_k
        field = reach.sum(axis=1, keepdims=True) - np.diag(reach)[:, None] - reach  # h_ij where i and j differ
        from_j = field * pattern
        return (both - from_j - from_j.T) / self.units

    @property
    def couplings(self):
        """W without its diagonal, `(units, units)`."""
        return ops.stop_gradient(self.kernel * (1 - ops.eye(self.units, dtype=self.kernel.dtype)))

    def energy(self, states):
        """E of each state: `(batch, units)` -> `(batch,)`."""
        states = ops.cast(states, self.kernel.dtype)
        return -0.5 * ops.sum(ops.matmul(states, self.couplings) * states, axis=-1)

    def call(self, inputs):
        if inputs.shape[-1] != self.units:
            raise ValueError(
                f"Hopfield: `inputs` must be (batch, {self.units}). Received: inputs.shape={tuple(inputs.shape)}."
            )
        states, couplings = ops.stop_gradient(ops.cast(inputs, self.kernel.dtype)), self.couplings
        run = self._one_by_one if self.updates == "asynchronous" else self._all_at_once
        return ops.cast(run(states, couplings), self.compute_dtype)

    def _one_by_one(self, states, couplings):
        order = np.arange(self.units) if self.seed is None else np.random.default_rng(self.seed).permutation(self.units)
        order, places = ops.convert_to_tensor(order, "int32"), ops.arange(self.units, dtype="int32")

        def update(states, step, still):
            unit = ops.take(order, step % self.units)
            column = ops.reshape(ops.take(couplings, unit, axis=1), (self.units, 1))
            updated = ops.where(places == unit, signs(ops.matmul(states, column), states), states)
            return updated, step + 1, ops.where(ops.any(updated != states), 0, still + 1)

        # It is a fixed point once all units in turn have stayed as they were.
        going_on = lambda states, step, still: ops.logical_and(still < self.units, step < self.sweeps * self.units)
        zero = ops.zeros((), "int32")
        return ops.while_loop(going_on, update, (states, zero, zero))[0]

    def _all_at_once(self, states, couplings):
        def settled(states, before, last):
            same = lambda other: ops.all(states == other, axis=-1, keepdims=True)
            return ops.logical_or(same(before), same(last))

        def update(states, before, last, step):
            # What has settled, or goes to and fro, stays: an answer does not depend on those beside it.
            stays = settled(states, before, last)
            new = ops.where(stays, states, signs(ops.matmul(states, couplings), states))
            return new, ops.where(stays, before, states), ops.where(stays, last, before), step + 1

        def going_on(states, before, last, step):
            return ops.logical_and(ops.logical_not(ops.all(settled(states, before, last))), step < self.sweeps)

        nowhere = ops.full_like(states, 2)
        return ops.while_loop(going_on, update, (states, nowhere, nowhere, ops.zeros((), "int32")))[0]

    def compute_output_shape(self, inputs_shape):
        return inputs_shape

    def get_config(self):
        names = ("units", "rule", "updates", "sweeps", "seed")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}
