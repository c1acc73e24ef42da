"""A sequence of bases read on both strands of the double helix."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="layers")
class Strands(keras.layers.Layer):
    """A network's logits from a sequence and from its reverse complement: exactly the same for both strands.

        z = (f(x) + f(x̄)) / 2

    x̄ is the reverse complement of x. In training, "shared" computes the same z; "augment" computes f of one strand,
    drawn for each sequence, which takes half the time.

    Source: H. Zhou, A. Shrikumar and A. Kundaje, "Towards a Better Understanding of Reverse-Complement Equivariance for
    Deep Learning Models in Genomics", MLCB 2021: "shared" is their Siamese network, "augment" their post-hoc conjoined
    one.

    Args:
        network: Keras model from `(batch, timesteps)` ids to logits, one tensor or a list.
        in_training: "shared" or "augment".
        seed: Seed of the strands drawn in training, an integer or None.

    Call arguments:
        strands: Pair of `(batch, timesteps)` ids: x and x̄.
        training: Whether the network is trained.

    Returns:
        As `network`.

    Raises:
        ValueError: if `in_training` is neither "shared" nor "augment".

    Example:

    >>> ids = keras.Input([None], dtype="int32")
    >>> network = keras.Model(ids, keras.layers.GlobalMaxPooling1D()(keras.layers.Embedding(5, 1)(ids)))
    >>> acc, ggt = np.array([[1, 2, 2]]), np.array([[3, 3, 4]])
    >>> both = Strands(network)
    >>> bool(both([acc, ggt])[0, 0] == both([ggt, acc])[0, 0])
    True
    """

    def __init__(self, network, in_training="shared", seed=None, **kwargs):
        super().__init__(**kwargs)
        self.autocast = False  # ids may come as floats, which 16 bits would round
        if in_training not in ("shared", "augment"):
            raise ValueError(
                f"Strands: `in_training` must be 'shared' or 'augment'. Received: in_training={in_training!r}."
            )
        self.network, self.in_training, self.seed = network, in_training, seed
        self.seed_generator = keras.random.SeedGenerator(seed)

    def call(self, strands, training=False):
        one, other = strands
        if training and self.in_training == "augment":
            turned = keras.random.uniform((ops.shape(one)[0], 1), dtype="float32", seed=self.seed_generator) < 0.5
            return self.network(ops.where(turned, other, one), training=True)
        found = [self.network(strand, training=training) for strand in strands]
        return keras.tree.map_structure(lambda a, b: (a + b) / 2, *found)

    def compute_output_shape(self, shapes):
        return self.network.compute_output_shape(shapes[0])

    def compute_output_spec(self, strands, training=False):
        return self.network.compute_output_spec(strands[0])

    def get_config(self):
        network = keras.saving.serialize_keras_object(self.network)
        return {**super().get_config(), "network": network, "in_training": self.in_training, "seed": self.seed}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        network = keras.saving.deserialize_keras_object(config["network"], custom_objects=custom_objects)
        return cls(**{**config, "network": network})
