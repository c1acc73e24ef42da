"""Deep, bidirectional and residual recurrent networks."""

import keras
from keras import ops

from layers import arguments
from layers.recurrent import Recurrent, densified
from layers.saving import Extensible


def stack(
    cell,
    units,
    depth=1,
    bidirectional=False,
    residual=False,
    dropout=0.0,
    recurrent_dropout=0.0,
    return_sequences=True,
    seed=None,
    name=None,
    **cell_arguments,
):
    """A deep recurrent network: each level reads the outputs of the level below.

        h_{t,l} = g(W_h h_{t-1,l} + W_x h_{t,l-1} + b_l),    h_{t,0} = x_t

    Source: R. Pascanu et al., "How to Construct Deep Recurrent Neural Networks", 2014, arXiv:1312.6026, section 3.3.3
    (stacked); both directions: M. Schuster and K. Paliwal, "Bidirectional Recurrent Neural Networks", 1997.

    Args:
        cell: A cell's class, such as `LSTMCell`, or any function of `units` that returns a `Cell`.
        units: Width of each level and direction, a positive integer.
        depth: Number of levels, a positive integer.
        bidirectional: Whether each level reads the sequence both ways; its outputs are the two side by side.
        residual: Whether a level's input is added to its output, where both have the same width.
        dropout: Share of each level's input features dropped in training, in [0, 1); one mask a sequence.
        recurrent_dropout: Share of the hidden state dropped before recurrent_kernel, in [0, 1); one mask a sequence.
        return_sequences: Whether to return all timesteps of the last level or the last output of each direction.
        seed: Seed of the dropout masks, an integer or None.
        name: The layer's name.
        **cell_arguments: Handed to each cell.

    Returns:
        A `Stack`, a Keras layer.

    Raises:
        ValueError: if `depth` is not a positive integer, or as `Cell`.

    Example:

    >>> from layers import LSTMCell, stack
    >>> tuple(stack(LSTMCell, 8, depth=2, bidirectional=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 16)
    """
    arguments.positive("stack", "depth", depth)
    levels = []
    for level in range(depth):
        sequences = return_sequences or level < depth - 1
        directions = []
        for backwards in (False, True)[: 1 + bool(bidirectional)]:
            own_seed = None if seed is None else seed + 2 * level + backwards
            one = cell(units, dropout=dropout, recurrent_dropout=recurrent_dropout, seed=own_seed, **cell_arguments)
            directions.append(
                Recurrent(one, return_sequences=sequences, go_backwards=backwards, align_outputs=backwards)
            )
        levels.append(directions)
    return Stack(levels, residual=residual, name=name)


@keras.saving.register_keras_serializable(package="layers")
class Stack(Extensible, keras.layers.Layer):
    """Levels of `Recurrent` layers, each level reading the output of the one below; made by `stack`.

    The mask goes to every level, whatever the installed Keras does with masks between layers.

    Args:
        levels: List of lists of `Recurrent`: for each level its directions, whose outputs are put side by side. They
            return no states; a direction that goes backwards and returns sequences has `align_outputs`.
        residual: Whether a level's input is added to its output, where both are sequences of the same width.

    Call arguments:
        sequence: `(batch, timesteps, features)` or a `tf.RaggedTensor`.
        mask: `(batch, timesteps)` booleans, False where there is padding.
        training: Whether dropout is on.

    Returns:
        `(batch, timesteps, width)` or `(batch, width)`, as the last level returns; width is the sum over directions.

    Raises:
        ValueError: if `levels` is empty, a direction returns states or outputs that do not belong to the timesteps of
            its input, or as `Recurrent`.
    """

    def __init__(self, levels, residual=False, **kwargs):
        super().__init__(**kwargs)
        if not levels or not all(levels):
            raise ValueError(f"Stack: `levels` must be a list of lists of Recurrent. Received: levels={levels!r}.")
        for direction in (direction for directions in levels for direction in directions):
            turned = direction.return_sequences and direction.go_backwards and not direction.align_outputs
            if direction.return_state or turned:
                raise ValueError(
                    "Stack: each Recurrent must have return_state=False and, where it has go_backwards and "
                    "return_sequences, align_outputs=True: its outputs would be in reversed order beside others. "
                    f"Received: return_state={direction.return_state}, align_outputs={direction.align_outputs}, "
                    f"go_backwards={direction.go_backwards}."
                )
        self.levels = [list(directions) for directions in levels]
        self.residual = residual
        self.supports_masking = True

    def build(self, sequence_shape):
        for directions in self.levels:
            for direction in directions:
                if not direction.built:
                    direction.build(sequence_shape)
                    direction.built = True
            sequence_shape = (*sequence_shape[:2], sum(direction.cell.output_size for direction in directions))

    def __call__(self, sequence, mask=None, **kwargs):
        sequence, mask = densified(sequence, mask)
        return super().__call__(sequence, mask=mask, **kwargs)

    def call(self, sequence, mask=None, training=False):
        for directions in self.levels:
            outputs = [direction(sequence, mask=mask, training=training) for direction in directions]
            output = outputs[0] if len(outputs) == 1 else ops.concatenate(outputs, axis=-1)
            if self.residual and output.shape == sequence.shape:
                output = output + sequence
            sequence = output
        return sequence

    def compute_mask(self, inputs, mask=None):
        return mask if self.levels[-1][0].return_sequences else None

    def compute_output_shape(self, sequence_shape):
        width = sum(direction.cell.output_size for direction in self.levels[-1])
        return (*sequence_shape[:2], width) if self.levels[-1][0].return_sequences else (sequence_shape[0], width)

    def get_config(self):
        levels = [[keras.saving.serialize_keras_object(layer) for layer in directions] for directions in self.levels]
        return {**super().get_config(), "levels": levels, "residual": self.residual}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        read = lambda layer: keras.saving.deserialize_keras_object(layer, custom_objects=custom_objects)
        levels = [[read(layer) for layer in directions] for directions in config["levels"]]
        return cls(**{**config, "levels": levels})
