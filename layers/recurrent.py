"""`Recurrent`: runs a cell over a sequence."""

import functools

import keras
from keras import ops

from layers import arguments, vendor
from layers.backend import backend
from layers.cell import Cell, updates
from layers.linear import LinearCell, linear_scan
from layers.loop import any_length, block_of, pieces, unroll, whole_blocks
from layers.masked import own_mask
from layers.saving import Extensible
from layers.step import look_at_a_step


def densified(sequence, mask):
    """A `tf.RaggedTensor` as a padded batch and its mask; anything else as it is."""
    if not hasattr(sequence, "row_lengths"):
        return sequence, mask
    lengths, width = sequence.row_lengths(), sequence.shape[-1]
    sequence = sequence.to_tensor(shape=None if width is None else [None, None, width])
    return sequence, ops.arange(ops.shape(sequence)[1]) < ops.cast(lengths, "int32")[:, None]


def checked(mask, sequence):
    """A mask as `(batch, timesteps)` booleans; an error if it has neither a row for each sequence nor one for all."""
    mask = ops.cast(mask, "bool")  # it may be a list
    agree = [None in sizes or sizes[0] == sizes[1] for sizes in zip(mask.shape, sequence.shape, strict=False)]
    if len(mask.shape) != 2 or not agree[1] or not (agree[0] or mask.shape[0] == 1):
        raise ValueError(
            f"Recurrent: `mask` must be (batch, timesteps), as the sequence, or one row for all. Received: "
            f"mask.shape={tuple(mask.shape)}, sequence.shape={tuple(sequence.shape)}."
        )
    return ops.broadcast_to(mask, ops.shape(sequence)[:2]) if mask.shape[0] == 1 else mask


def shapes_of(shape):
    """The shapes of a tensor or of a list of them, as a list; none where there is no tensor."""
    if shape is None:
        return []
    return [shape] if isinstance(shape[0], int | None) else list(shape)


def updates_dropped(masks):
    """Within: a step's candidates are multiplied by the masks, one after the other; no masks: they do not change."""
    left = iter(masks)

    def through(candidate):
        mask = next(left)
        return keras.tree.map_structure(lambda part: part * mask, candidate)

    return updates(through if masks else None)


class Held(keras.layers.Layer):
    """The carry that a stateful layer holds.

    As in stock Keras, it is no weight of the layer: the same weights, and files of them, fit layers of any batch size.
    """

    def __init__(self, cell, batch, **kwargs):
        super().__init__(name="held", **kwargs)
        self.carry = [
            self.add_weight(shape=(batch, size), initializer="zeros", trainable=False, name=name)
            for size, name in zip(cell.carry_sizes, cell.carry, strict=True)
        ]

    @property
    def weights(self):
        return []

    def save_own_variables(self, store):
        """Writes nothing."""

    def load_own_variables(self, store):
        """Reads nothing."""


@keras.saving.register_keras_serializable(package="layers")
class Recurrent(Extensible, keras.layers.Layer):
    """Runs a cell over time: computes the same as `keras.layers.RNN(cell)`, faster, and passes the mask on.

    Masks may have any pattern. A masked timestep leaves the carry as it was and repeats the last output (zeros before
    the first timestep that is not masked), as in stock Keras.

    Args:
        cell: A `Cell`.
        return_sequences: Whether to return the output of every timestep instead of the last.
        return_state: Whether to return the last carry too.
        go_backwards: Whether to process the sequence from its end. The outputs come in the order of processing, as in
            stock Keras.
        stateful: Whether a batch begins with the last carry of the batch before; `reset_state()` resets it. Needs a
            fixed batch size. The carry is not saved, as in stock Keras, so weights fit layers of any batch size.
        zero_output_for_mask: Whether masked timesteps output zeros; with `return_sequences` only.
        align_outputs: Whether the outputs of `go_backwards` are reversed, so that output t belongs to input t. Leave it
            off within stock `keras.layers.Bidirectional`, which reverses them itself.
        window: Timesteps, a positive integer: a training step then keeps the carry of every `window`th timestep alone
            and computes the others again in its backward pass (T. Chen et al., "Training Deep Nets with Sublinear
            Memory Cost", 2016, arXiv:1604.06174). Gradients are the same; memory stays near that of the outputs; a step
            takes up to 1.5 times as long. Use it for thousands of timesteps. None keeps everything.
        parallel: Whether a cell whose carry enters linearly (`LinearCell`) is run over all timesteps at once.
        fused: Whether kernels made of the cell's `step` run on a CPU, not the loop: True, False or "auto", which leaves
            inference and short sequences (fewer than 10 timesteps of an LSTM, 30 of an Elman network) to the loop.
            Numbers and gradients are the same up to rounding. Kernels need TensorFlow and numba, the extra
            `unroll[fused]`; for steps that are not element by element between their products, with `window`, and under
            XLA (`jit_compile=True` here or in `compile`, and what Keras's "auto" makes of it) the loop runs.
        zoneout: Share of the carry's units that keep their last value at a timestep, in [0, 1]: in training at random;
            in inference each unit mixes that share of its last value with its new value (D. Krueger et al., "Zoneout",
            2017, arXiv:1606.01305, equation 7). A number, or a list with one for each tensor of the carry. Linear cells
            then run timestep by timestep.
        zoneout_seed: Seed of zoneout, an integer or None.
        update_dropout: Share of the candidate, which a timestep writes into the carry, that is dropped in training, in
            [0, 1), drawn for each timestep, example and unit; kept values are divided by 1 - rate. A cell that adds to
            its carry keeps the values there; a cell that overwrites it (Elman's) loses what is dropped (S. Semeniuta,
            A. Severyn and E. Barth, "Recurrent Dropout without Memory Loss", 2016, arXiv:1603.05118).
        update_dropout_seed: Seed of update dropout, an integer or None.
        jit_compile: Whether XLA compiles the loop: True, False or "auto", which compiles on a CPU where a graph knows
            all sizes, batch and timesteps too: in inference, and in training where the sequences have 100 timesteps or
            more and the network is small (a carry of up to 16 x 64, batch x units; of a `MemoryCell` up to 32 x 1,024).
            Larger networks train faster without XLA. Under `compile(jit_compile=True)` the whole model is compiled
            anyway. Converters to ONNX need False for graphs of fixed sizes.

    Call arguments:
        sequence: `(batch, timesteps, features)`, or a `tf.RaggedTensor`, which gives the same as its padded batch.
        initial_state: The carry to begin with: a tensor or a list of them, each `(batch, units)`; by default zeros.
        mask: `(batch, timesteps)` booleans, or one row for all, False where there is padding.
        constants: Tensors that the cell reads at every timestep, such as the memory of an `AttentionCell`: one or a
            list of them, the batch first. They get gradients.
        training: Whether dropout is on, and whether to keep the tensors that a gradient needs (without them a gradient
            is right too, but costs one more forward pass).

    Returns:
        `(batch, timesteps, units)` with `return_sequences`, else `(batch, units)`; with `return_state` a tuple of that
        and the carry's tensors.

    Raises:
        ValueError: if `cell` is not a `Cell`, the sequence is not of rank 3 or not of the width built with, the mask
            is not of its batch and timesteps, the number of initial states is not the cell's, `window` is not a
            positive integer, a rate is out of its range, `stateful` has an unknown batch size, or `update_dropout` a
            cell that passes nothing to `update`.

    Example:

    >>> from layers import GRUCell, Recurrent
    >>> tuple(Recurrent(GRUCell(8), return_sequences=True)(np.ones((2, 5, 3))).shape)
    (2, 5, 8)
    """

    def __init__(
        self,
        cell,
        return_sequences=False,
        return_state=False,
        go_backwards=False,
        stateful=False,
        zero_output_for_mask=False,
        align_outputs=False,
        window=None,
        parallel=True,
        jit_compile="auto",
        fused="auto",
        zoneout=0.0,
        zoneout_seed=None,
        update_dropout=0.0,
        update_dropout_seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        if not isinstance(cell, Cell):
            raise ValueError(
                f"Recurrent: `cell` must be a layers.Cell, such as LSTMCell(64); stock Keras cells run in "
                f"keras.layers.RNN. Received: cell={cell!r}."
            )
        if self.compute_dtype == "float64" != cell.compute_dtype:
            raise ValueError(
                f"Recurrent: a layer of float64 needs a cell of it, such as LSTMCell(64, dtype='float64'). "
                f"Received: dtype={cell.compute_dtype!r} of {type(cell).__name__}."
            )
        self.cell = cell
        self.return_sequences = return_sequences
        self.return_state = return_state
        self.go_backwards = go_backwards
        self.stateful = stateful
        self.zero_output_for_mask = zero_output_for_mask
        self.align_outputs = align_outputs
        self.window = window if window is None else arguments.positive("Recurrent", "window", window)
        self.parallel = parallel
        if jit_compile not in (True, False, "auto"):
            raise ValueError(
                f"Recurrent: `jit_compile` must be True, False or 'auto'. Received: jit_compile={jit_compile!r}."
            )
        self.jit_compile = jit_compile
        if fused not in (True, False, "auto"):
            raise ValueError(f"Recurrent: `fused` must be True, False or 'auto'. Received: fused={fused!r}.")
        self.fused = fused if fused == "auto" else bool(fused)  # 1 is True
        rates = list(zoneout) if isinstance(zoneout, (list, tuple)) else [zoneout] * len(cell.carry)
        if len(rates) != len(cell.carry) or not all(0 <= rate <= 1 for rate in rates):
            raise ValueError(
                f"Recurrent: `zoneout` must be in [0, 1], one number or one for each of {type(cell).__name__}'s "
                f"{', '.join(cell.carry)}. Received: zoneout={zoneout!r}."
            )
        self.zoneout = tuple(rates) if any(rates) else None
        self.zoneout_seed = zoneout_seed
        self.zoneout_generator = keras.random.SeedGenerator(zoneout_seed) if self.zoneout else None
        self.update_dropout = arguments.within("Recurrent", "update_dropout", update_dropout, 0, 1)
        self.update_dropout_seed = update_dropout_seed
        self.update_generator = keras.random.SeedGenerator(update_dropout_seed) if update_dropout else None
        self.input_spec = None
        self.held = None
        self.supports_masking = True

    def build(self, sequence_shape, initial_state_shape=None, constants_shape=None):
        if len(sequence_shape) != 3 or sequence_shape[2] is None:
            raise ValueError(
                f"Recurrent: `sequence` must be (batch, timesteps, features) with a known number of features. "
                f"Received: sequence.shape={tuple(sequence_shape)}."
            )
        constants = shapes_of(constants_shape)
        if not self.cell.built:
            self.cell.build((sequence_shape[0], sequence_shape[2]), *constants)
            self.cell.built = True
        self.features = sequence_shape[2]
        self.output_index, self.update_widths, self.fuses = look_at_a_step(self.cell, self.features, constants)
        if self.update_dropout and not self.update_widths:
            raise ValueError(
                f"Recurrent: `update_dropout` needs a cell whose `step` hands its candidate to `self.update`; "
                f"{type(self.cell).__name__} does not. Received: update_dropout={self.update_dropout!r}."
            )
        self.by_vendor = vendor.may_run(self.cell)
        if self.by_vendor and keras.backend.backend() == "tensorflow":
            self.supports_jit = False  # XLA knows no vendor's kernel
        if self.stateful and self.states is None:
            if sequence_shape[0] is None:
                raise ValueError(
                    "Recurrent: `stateful` needs a fixed batch size: keras.Input(batch_shape=(batch, timesteps, "
                    f"features)). Received: sequence.shape={tuple(sequence_shape)}."
                )
            self.held = Held(self.cell, sequence_shape[0], dtype=self.dtype_policy)
            self.reset_state()

    @property
    def states(self):
        """The variables of the carry that a stateful layer holds, or None."""
        return self.held and self.held.carry

    def reset_state(self):
        """Forgets the carry that a stateful layer holds."""
        if self.states:
            first = self.cell.initial_carry(self.states[0].shape[0])
            for state, value in zip(self.states, first, strict=True):
                state.assign(ops.cast(value, state.dtype))

    reset_states = reset_state  # the stock layers have both

    def get_initial_state(self, batch_size):
        """The carry before the first timestep, a list of `(batch_size, units)`."""
        return list(self.cell.initial_carry(batch_size))

    def __call__(self, sequence, initial_state=None, mask=None, constants=None, **kwargs):
        sequence, mask = densified(sequence, mask)
        return super().__call__(sequence, initial_state=initial_state, mask=mask, constants=constants, **kwargs)

    def call(self, sequence, initial_state=None, mask=None, constants=None, training=False):
        if len(sequence.shape) != 3 or sequence.shape[2] != self.features:
            raise ValueError(
                f"Recurrent: `sequence` must be (batch, timesteps, {self.features}), the width it was built with. "
                f"Received: sequence.shape={tuple(sequence.shape)}."
            )
        if self.stateful:
            sequence = self._of_held_size(sequence)
        mask = own_mask(sequence) if mask is None else mask
        if mask is not None:  # values at padding must not enter a product: 0 times NaN is NaN, in gradients too
            mask = checked(mask, sequence)
            real = ops.expand_dims(mask, 2)
            sequence = ops.where(real, sequence, ops.cast(0, sequence.dtype))
        cell, (batch, timesteps) = self.cell, ops.shape(sequence)[:2]
        given = [] if constants is None else keras.tree.flatten(constants)
        constants = [ops.cast(x, cell.state_dtype) for x in cell.constants_of(*given)]
        carry, begins_at_zero = self._initial_carry(initial_state, batch, constants)
        keep_input, keep_hidden = cell.dropout_masks(sequence, cell.seed_generator) if training else (None, None)
        if keep_input is not None:
            sequence = sequence * ops.expand_dims(keep_input, 1)

        # For the loop, constants are weights that come with each batch: it sums their gradients.
        weights = [*(weight.value for weight in cell.variables_in_use), *constants]
        fixed = [] if keep_hidden is None else [keep_hidden]
        zones = self._zones(timesteps, carry) if training and self.zoneout else []
        kept = self._kept_updates(timesteps, batch) if training and self.update_dropout else []
        in_parallel = self.parallel and isinstance(cell, LinearCell) and not self.zoneout
        held_back = fixed or self.zoneout or kept or self.window or sequence.shape[1] == 0
        by_vendor = self.by_vendor and not held_back
        fused = self.fused if training else self.fused is True
        fused = fused if self.fuses and not self.window and self.jit_compile is not True else False

        def run():
            inputs, real = self._by_time(sequence, mask)
            in_turn = lambda: self._in_turn(inputs, real, zones, kept, carry, weights, fixed, bool(training), fused)
            if in_parallel:
                outputs, last = self._in_parallel(inputs, real, kept, carry, weights)
            elif by_vendor:
                outputs, last = vendor.run(cell, inputs, real, carry, weights, self.return_sequences, in_turn)
            else:
                outputs, last = in_turn()
            output = self._output(outputs, last, real, begins_at_zero)
            return output, [ops.cast(state, self.compute_dtype) for state in last[: len(cell.carry)]]

        if in_parallel or by_vendor or fused:
            output, carry = run()
        else:
            tensors, largest = (carry, weights), cell.largest_compiled
            output, carry = backend.compiled(run, self.jit_compile, training, sequence.shape, tensors, largest)
        if self.stateful:
            for held, state in zip(self.states, carry, strict=True):
                held.assign(ops.cast(state, held.dtype))
        return (output, *carry) if self.return_state else output

    def _of_held_size(self, sequence):
        """The sequence; an error if its batch size is not that of the carry that a stateful layer holds."""
        held, batch = self.states[0].shape[0], ops.shape(sequence)[0]
        expected = (
            f"Recurrent: a stateful layer built for a batch of {held} must be given a batch of {held}; build another "
            f"layer, or pad the batch."
        )
        if isinstance(batch, int) and batch != held:
            raise ValueError(f"{expected} Received: a batch of {batch}, sequence.shape={tuple(sequence.shape)}.")
        return (
            sequence if isinstance(batch, int) else backend.expect(batch == held, expected, {"batch": batch}, sequence)
        )

    def _initial_carry(self, initial_state, batch, constants):
        """The carry to begin with, and whether it is all zeros."""
        cell, dtype, static = self.cell, self.cell.state_dtype, batch if isinstance(batch, int) else None
        given = keras.tree.flatten(initial_state) if initial_state is not None else self.states
        carry = [] if given is None else [ops.convert_to_tensor(x) for x in given]
        if given is not None and len(carry) not in (cell.least_states, len(cell.carry)):
            raise ValueError(
                f"Recurrent: `initial_state` must have {cell.least_states} tensors, {type(cell).__name__}'s "
                f"{', '.join(cell.carry[: cell.least_states])}. Received: {len(carry)}."
            )
        if len(carry) < len(cell.carry):
            carry += cell.initial_carry(batch, *constants)[len(carry) :]
        for state, size, name in zip(carry, cell.carry_sizes, cell.carry, strict=True):
            if size is not None and state.shape[-1] != size:
                raise ValueError(
                    f"Recurrent: `initial_state` must have width {size} for {type(cell).__name__}'s {name}. "
                    f"Received: shape={tuple(state.shape)}."
                )
            if None not in (state.shape[0], static) and state.shape[0] not in (1, static):
                raise ValueError(
                    f"Recurrent: `initial_state` must have {static} rows, as the sequence, or one for all. "
                    f"Received: shape={tuple(state.shape)} for {name}."
                )
        every = lambda x: ops.broadcast_to(x, (batch, *ops.shape(x)[1:])) if x.shape[0] == 1 else x
        carry = [every(ops.cast(state, dtype)) for state in carry]
        if self.output_index == len(carry):
            carry.append(ops.zeros((batch, cell.output_size), dtype=dtype))
        return carry, given is None and type(cell).initial_carry is Cell.initial_carry

    def _by_time(self, sequence, mask):
        """Inputs `(timesteps, batch, features)` in the order of processing, and the mask `(timesteps, batch, 1)`."""
        inputs = ops.transpose(ops.cast(sequence, self.compute_dtype), (1, 0, 2))
        if mask is not None:
            mask = ops.expand_dims(ops.transpose(ops.cast(mask, self.cell.state_dtype)), -1)
        if self.go_backwards:
            inputs, mask = ops.flip(inputs, 0), None if mask is None else ops.flip(mask, 0)
        return inputs, mask

    def _zones(self, timesteps, carry):
        """For each tensor of the carry `(timesteps, batch, size)`, 1 where a unit keeps its last value."""
        dtype, zones = self.cell.state_dtype, []
        for rate, state in zip(self.zoneout, carry, strict=False):
            drawn = keras.random.uniform((timesteps, *ops.shape(state)), seed=self.zoneout_generator, dtype=dtype)
            zones.append(ops.cast(drawn < rate, dtype))
        return zones

    def _kept_updates(self, timesteps, batch):
        """For each `update` of a step `(timesteps, batch, width)`: 0 where it is dropped, 1 / (1 - rate) elsewhere."""
        ones = [ops.ones((timesteps, batch, width), dtype=self.cell.state_dtype) for width in self.update_widths]
        return [keras.random.dropout(one, self.update_dropout, seed=self.update_generator) for one in ones]

    def _in_turn(self, inputs, mask, zones, kept, carry, weights, fixed, keep, fused):
        """One timestep after the other: (outputs or None, carry)."""
        extras = [*zones, *kept]
        (timesteps, batch), padded = ops.shape(inputs)[:2], False
        # Where the loop needs whole blocks, the last one is filled with padding.
        if self.window or (inputs.shape[0] is None and not any_length(keep)):
            missing = whole_blocks(timesteps, self.window or block_of(keep)) - timesteps
            padded = not isinstance(missing, int) or missing > 0
            if padded:
                mask = ops.ones((timesteps, batch, 1), dtype=self.cell.state_dtype) if mask is None else mask
                inputs, mask, *extras = (ops.pad(x, [[0, missing], [0, 0], [0, 0]]) for x in (inputs, mask, *extras))
        masks = [] if mask is None else [mask]

        outputs, last = unroll(
            self._project,
            functools.partial(self._step, (len(masks), len(zones))),
            self._columns,
            inputs,
            [*masks, *extras],
            carry,
            weights,
            fixed,
            keep=keep,
            return_sequences=self.return_sequences,
            window=self.window,
            fused=fused,
        )
        return outputs[:timesteps] if padded and self.return_sequences else outputs, last

    def _in_parallel(self, inputs, mask, kept, carry, weights):
        """All timesteps at once, for a cell whose carry enters linearly: (outputs, carry)."""
        cell, count = self.cell, len(self.cell.carry)
        x = ops.cast(self._project(inputs, weights), cell.state_dtype)

        def recur(hidden, *gates):
            columns = ops.cast(self._columns(gates, weights), self.compute_dtype)
            return ops.cast(ops.matmul(ops.cast(hidden, self.compute_dtype), columns), cell.state_dtype)

        with cell.bound(weights, cell.state_dtype), updates_dropped(kept):
            a, b = cell.parts(x)
            if mask is not None:
                is_real = mask > 0.5
                one = [ops.ones_like(a[0]), *(ops.zeros_like(part) for part in a[1:])]
                a = [ops.where(is_real, part, still) for part, still in zip(a, one, strict=True)]
                b = [ops.where(is_real, part, ops.zeros_like(part)) for part in b]
            c = linear_scan(a, b, carry[:count])
            outputs = cell.output_of(x, c, recur)
        if mask is not None and self.output_index == count:  # a masked timestep repeats the output of the last real one
            place = ops.reshape(ops.arange(1, ops.shape(x)[0] + 1, dtype=x.dtype), (-1, 1, 1))
            real = ops.cast(is_real, x.dtype)
            place = ops.cast(linear_scan([1 - real], [real * place], [ops.zeros_like(carry[0][:, :1])])[0], "int32")
            padded = ops.concatenate([ops.zeros_like(outputs[:1]), outputs])
            outputs = ops.take_along_axis(padded, ops.broadcast_to(place, ops.shape(outputs)), axis=0)
        pairs = zip(carry, [*c, outputs], strict=False)
        last = [ops.concatenate([ops.expand_dims(before, 0), after])[-1] for before, after in pairs]
        return ops.cast(outputs, self.compute_dtype), last

    # Functions that the loop runs. Weights are arguments, so that the loop finds their gradients.

    def _own(self, weights):
        """The cell's weights, and its constants."""
        return pieces(weights, len(self.cell.variables_in_use))

    def _project(self, inputs, weights):
        with self.cell.bound(self._own(weights)[0], self.compute_dtype):
            return self.cell.project(inputs)

    def _columns(self, gates, weights):
        with self.cell.bound(self._own(weights)[0], None):
            return self.cell.recurrent_columns(gates)

    def _step(self, counts, x, extras, carry, recur, weights, fixed):
        cell, (masks, zones, kept) = self.cell, pieces(extras, *counts)
        own, constants = self._own(weights)

        def recur_in_compute_dtype(hidden, *gates):
            hidden = cell.dropped(ops.cast(hidden, self.compute_dtype), fixed[0] if fixed else None, gates)
            return ops.cast(recur(hidden, *gates), cell.state_dtype)

        with cell.bound(own, cell.state_dtype), updates_dropped(kept):
            before = carry[: len(cell.carry)]
            output, new = cell.step(ops.cast(x, cell.state_dtype), before, recur_in_compute_dtype, *constants)
        if self.zoneout:
            share = zones or self.zoneout
            new = [z * before + (1 - z) * after for z, before, after in zip(share, carry, new, strict=False)]
            output = new[self.output_index] if self.output_index < len(new) else output
        new = [*new, output][: len(carry)]
        if masks:
            # Padding must not move the carry: the last real timestep is what a shorter batch would have returned.
            is_real = masks[0] > 0.5
            new = [ops.where(is_real, after, before) for after, before in zip(new, carry, strict=True)]
        return ops.cast(new[self.output_index], self.compute_dtype), new

    def _output(self, outputs, carry, mask, begins_at_zero):
        last = None if self.return_sequences else ops.cast(carry[self.output_index], self.compute_dtype)
        if mask is not None:
            is_real = mask > 0.5
            if last is not None and not begins_at_zero:
                last = ops.where(ops.any(is_real, axis=0), last, ops.zeros_like(last))
            if last is None and self.zero_output_for_mask:
                outputs = ops.where(is_real, outputs, ops.zeros_like(outputs))
            elif last is None and not begins_at_zero:
                # Before the first real timestep there is no output to repeat, even where there is a carry.
                begun = ops.cumsum(ops.cast(is_real, "int32"), axis=0) > 0
                outputs = ops.where(begun, outputs, ops.zeros_like(outputs))
        if last is not None:
            return last
        if self.go_backwards and self.align_outputs:
            outputs = ops.flip(outputs, 0)
        return ops.transpose(outputs, (1, 0, 2))

    # Keras's layer protocol.

    def compute_mask(self, inputs, mask=None):
        mask = mask[0] if isinstance(mask, (list, tuple)) else mask
        if mask is not None and self.go_backwards and not self.align_outputs:
            mask = ops.flip(mask, 1)  # as the outputs are
        mask = mask if self.return_sequences else None
        return [mask] + [None] * len(self.cell.carry) if self.return_state else mask

    def compute_output_shape(self, sequence_shape, initial_state_shape=None, constants_shape=None):
        batch, timesteps = sequence_shape[:2]
        width = self.cell.output_size
        output = (batch, timesteps, width) if self.return_sequences else (batch, width)
        return (output, *((batch, size) for size in self.cell.carry_sizes)) if self.return_state else output

    def get_config(self):
        names = (
            "return_sequences",
            "return_state",
            "go_backwards",
            "stateful",
            "zero_output_for_mask",
            "align_outputs",
            "window",
            "parallel",
            "jit_compile",
            "fused",
            "zoneout_seed",
            "update_dropout",
            "update_dropout_seed",
        )
        config = {name: getattr(self, name) for name in names}
        config["zoneout"] = list(self.zoneout) if self.zoneout else 0.0
        return {**super().get_config(), **config, "cell": keras.saving.serialize_keras_object(self.cell)}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        cell = keras.saving.deserialize_keras_object(config["cell"], custom_objects=custom_objects)
        return cls(**{**config, "cell": cell})
