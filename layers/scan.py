"""Motifs that are looked for along a sequence."""

import keras
from keras import ops

from layers import arguments
from layers.saving import Extensible


@keras.saving.register_keras_serializable(package="layers")
class Scan(Extensible, keras.layers.Layer):
    """How well each motif fits at each place of a sequence, and of `pool` neighbouring places the best.

        s_t,f = max(0, b_f + Σ_i W_f,i · x_{t+i}),    i = -(width - 1) / 2 ... width / 2
        z_u,f = max of s_t,f over t = u pool ... (u + 1) pool - 1

    The result at real timesteps does not depend on the padding of a batch.

    Source: B. Alipanahi et al., "Predicting the Sequence Specificities of DNA- and RNA-binding Proteins by Deep
    Learning", 2015; before recurrent levels: D. Quang and X. Xie, "DanQ", 2016.

    Args:
        filters: Number of motifs, a positive integer.
        width: Timesteps of a motif, a positive integer.
        pool: Neighbouring places of which the best one is kept, a positive integer; 1 keeps all.
        seed: Seed of the initial motifs, an integer or None.

    Call arguments:
        sequence: `(batch, timesteps, features)`.
        mask: `(batch, timesteps)` booleans, False where there is padding, at the right.

    Returns:
        `(batch, ceil(timesteps / pool), filters)`, and the mask `(batch, ceil(timesteps / pool))`.

    Raises:
        ValueError: if an argument is not a positive integer.

    Example:

    >>> z, mask = Scan(filters=8, width=5, pool=2)(np.ones((2, 7, 4)), mask=np.ones((2, 7), bool))
    >>> tuple(z.shape), tuple(mask.shape)
    ((2, 4, 8), (2, 4))
    """

    def __init__(self, filters, width, pool=1, seed=None, **kwargs):
        super().__init__(**kwargs)
        for name, value in (("filters", filters), ("width", width), ("pool", pool)):
            setattr(self, name, arguments.positive("Scan", name, value))
        self.seed = seed

    def build(self, sequence_shape):
        self.kernel = self.add_weight(
            name="kernel",
            shape=(self.width, sequence_shape[-1], self.filters),
            initializer=keras.initializers.GlorotUniform(self.seed),
        )
        self.bias = self.add_weight(name="bias", shape=(self.filters,), initializer="zeros")

    def fits(self, sequence):
        """s: how well each motif fits at each place, `(batch, timesteps, filters)`."""
        return ops.relu(ops.conv(sequence, self.kernel, padding="same") + self.bias)

    def call(self, sequence, mask):
        real = ops.cast(ops.expand_dims(mask, -1), self.compute_dtype)
        s = self.fits(ops.where(real > 0, sequence, ops.zeros_like(sequence))) * real  # 0 times NaN would be NaN
        if self.pool == 1:
            return s, mask
        s, real = (ops.pad(one, [[0, 0], [0, self.pool - 1], [0, 0]]) for one in (s, real))
        z, real = (ops.max_pool(one, self.pool, self.pool) for one in (s, real))  # on JAX strides must be said
        return z, real[:, :, 0] > 0

    def compute_mask(self, sequence, mask=None):
        return None  # it is returned

    def compute_output_shape(self, sequence_shape):
        timesteps = sequence_shape[1] if sequence_shape[1] is None else -(-sequence_shape[1] // self.pool)
        return (sequence_shape[0], timesteps, self.filters), (sequence_shape[0], timesteps)

    def compute_output_spec(self, sequence, mask):
        found, real = self.compute_output_shape(sequence.shape)
        return keras.KerasTensor(found, self.compute_dtype), keras.KerasTensor(real, "bool")

    def get_config(self):
        own = {name: getattr(self, name) for name in ("filters", "width", "pool", "seed")}
        return {**super().get_config(), **own}
