"""The contract of a cell: what a recurrent network computes in one timestep."""

import contextlib
import contextvars

import keras
from keras import ops

from layers import arguments
from layers.backend import backend
from layers.saving import Extensible
from layers.tracing import traced

# The function that the driver applies to a candidate before it enters the carry, or None.
WAY_IN = contextvars.ContextVar("WAY_IN", default=None)


def plus_bias(x, bias):
    """`x + bias`, for x `(..., width)` and a bias `(width,)`, whose gradient is summed over all rows quickly."""
    return backend.plus_bias(x, ops.convert_to_tensor(bias))


def product(inputs, kernel):
    """`inputs` times a weight: in the dtype of `inputs`, 16 bits under mixed precision, and then in that of weights."""
    return ops.cast(ops.matmul(inputs, ops.cast(kernel, inputs.dtype)), kernel.dtype)


@contextlib.contextmanager
def updates(through):
    """Within: `update` applies the given function to candidates."""
    token = WAY_IN.set(through)
    try:
        yield
    finally:
        WAY_IN.reset(token)


class Cell(Extensible, keras.layers.Layer):
    r"""One timestep of a recurrent network; a subclass writes the equation of a paper.

    A subclass names its `gates` and its `carry` and writes `step`; this class adds weights, arguments, saving and
    Keras's cell protocol. `Recurrent` runs a cell over time; stock `keras.layers.RNN` gives the same numbers, slower.

        gates                  names of the column blocks of kernel, recurrent_kernel and bias, in order
        recurrent_gates        those of recurrent_kernel, where they are not the same
        carry                  names of the states
        project(inputs)        (..., features) -> (..., gates * units): all that depends on the input alone
        step(x, carry, recur)  one timestep: (output, new carry); x is `project`'s result, `carry` a tuple
        recur(hidden, *gates)  hidden @ the named columns of recurrent_kernel (no names: all), handed in by the driver;
                               recur(hidden, "name") with the name of another of the cell's matrices: hidden @ that
        self.update(candidate) what a timestep writes into the carry: the candidate after the driver's update dropout
        constants_of(*given)   tensors that stay the same over time, made once from the caller's `constants`;
                               step(x, carry, recur, *constants) then reads them, and they get gradients

    `step` may use its own weights element by element (biases, peepholes): the loop finds their gradients. It must not
    keep anything on `self`: the same call gives the same answer twice.

    Args:
        units: Width of the carry and of the output, a positive integer.
        activation: Squashes candidates and outputs.
        recurrent_activation: Squashes gates.
        use_bias: Whether `project` adds a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: Initial values of weights.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties on weights, or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Projections of weights after an update, or None.
        dropout: Share of the input features dropped in training, in [0, 1); one mask a sequence
            (Y. Gal and Z. Ghahramani, 2016, arXiv:1512.05287).
        recurrent_dropout: Share of the hidden state dropped before recurrent_kernel, in [0, 1); one mask a sequence.
            `Recurrent` draws both masks; stock `keras.layers.RNN` does not know them and gets a new mask each timestep.
        seed: Seed of the masks, an integer or None.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: List of the carry's tensors, each `(batch, units)`.
        constants: The result of `constants_of`, for a cell that has constants.

    Returns:
        `(output, states)`.

    Raises:
        ValueError: if `units` is not a positive integer or a rate is outside [0, 1).
    """

    gates = ("candidate",)
    recurrent_gates = None  # the same as `gates`
    carry = ("hidden",)
    has_recurrent_kernel = True
    # Numbers in the largest tensor of the carry, batch included, up to which XLA trains faster than a plain graph.
    largest_compiled = 2**10

    def __init__(
        self,
        units,
        activation="tanh",
        recurrent_activation="sigmoid",
        use_bias=True,
        kernel_initializer="glorot_uniform",
        recurrent_initializer="orthogonal",
        bias_initializer="zeros",
        kernel_regularizer=None,
        recurrent_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        recurrent_constraint=None,
        bias_constraint=None,
        dropout=0.0,
        recurrent_dropout=0.0,
        seed=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = self.positive("units", units)
        self.recurrent_gates = self.recurrent_gates or self.gates
        self.activation = keras.activations.get(activation)
        self.recurrent_activation = keras.activations.get(recurrent_activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.recurrent_initializer = keras.initializers.get(recurrent_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.recurrent_regularizer = keras.regularizers.get(recurrent_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.recurrent_constraint = keras.constraints.get(recurrent_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)
        self.dropout = self.within("dropout", dropout, 0, 1)
        self.recurrent_dropout = self.within("recurrent_dropout", recurrent_dropout, 0, 1)
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout or recurrent_dropout else None
        self.state_size = [self.units] * len(self.carry) if len(self.carry) > 1 else self.units
        self.output_size = self.units

    # What a subclass defines.

    def step(self, x, carry, recur):
        """The equation: `x` is (batch, gates * units), returns (output, new carry)."""
        raise NotImplementedError(f"{type(self).__name__} must define step(x, carry, recur).")

    def constants_of(self, *given):
        """The tensors that `step` reads at every timestep, a list, made once from the caller's `constants`."""
        return list(given)

    def initial_carry(self, batch):
        """The carry before the first timestep, by default zeros."""
        return tuple(ops.zeros((batch, size), dtype=self.compute_dtype) for size in self.carry_sizes)

    # What all cells share.

    @property
    def carry_sizes(self):
        """Width of each tensor of the carry."""
        return list(self.state_size) if isinstance(self.state_size, (list, tuple)) else [self.state_size]

    @property
    def least_states(self):
        """How many of the carry's tensors an initial state must have at least; the others get their initial values."""
        return len(self.carry)

    @property
    def kernel_width(self):
        """Columns of the kernel: `units` for each gate."""
        return len(self.gates) * self.units

    @property
    def recurrent_width(self):
        """Width of the tensor that recurrent_kernel multiplies."""
        return self.units

    @property
    def bias_shape(self):
        """Shape of the bias: one number for each gate and unit."""
        return (len(self.gates) * self.units,)

    def initial_bias(self, shape, dtype=None):
        """Initial value of the bias; a cell whose paper sets it overrides this."""
        return self.bias_initializer(shape, dtype=dtype)

    def positive(self, name, value, default=None, **bounds):
        """An argument that must be a positive integer; None stands for the default, where there is one."""
        given = default if value is None and default is not None else value
        return arguments.positive(type(self).__name__, name, given, **bounds)

    def within(self, name, value, low, high=None, closed=False):
        """An argument that must be a number in [low, high), or in [low, high] where `closed`."""
        return arguments.within(type(self).__name__, name, value, low, high, closed)

    def new_weight(self, name, shape, kind, initializer=None, trainable=True):
        """A weight; its `kind`, "kernel", "recurrent" or "bias", selects initializer, regularizer and constraint."""
        return self.add_weight(
            name=name,
            shape=shape,
            dtype=self.state_dtype,
            trainable=trainable,
            initializer=initializer or getattr(self, f"{kind}_initializer"),
            regularizer=getattr(self, f"{kind}_regularizer"),
            constraint=getattr(self, f"{kind}_constraint"),
            # The driver casts weights itself (products in 16 bits, element-wise work in 32), so Keras must not.
            autocast=False,
        )

    def build(self, input_shape):
        self.kernel = self.new_weight("kernel", (input_shape[-1], self.kernel_width), "kernel")
        if self.has_recurrent_kernel:
            self.build_recurrent()
        self.bias = self.new_weight("bias", self.bias_shape, "bias", self.initial_bias) if self.use_bias else None

    def build_recurrent(self):
        """Makes the weights that `recurrent_columns` reads, by default one matrix."""
        columns = len(self.recurrent_gates) * self.units
        self.recurrent_kernel = self.new_weight("recurrent_kernel", (self.recurrent_width, columns), "recurrent")

    def project(self, inputs):
        """W x + b for one timestep or for many: (..., features) -> (..., gates * units)."""
        x = product(inputs, self.kernel)
        return x if self.bias is None else plus_bias(x, self.bias)

    def projected_width(self, features):
        """Width of the result of `project` for inputs of that many features; the cell must be built."""
        return traced(self.project, keras.KerasTensor((1, features), self.state_dtype)).shape[-1]

    def split(self, x):
        """The blocks of `units` columns, one for each gate: (batch, n * units) -> n times (batch, units)."""
        return ops.split(x, x.shape[-1] // self.units, axis=-1)

    def recurrent_columns(self, gates):
        """The matrix of `recur(hidden, *gates)`: named column blocks of recurrent_kernel, or another matrix by name."""
        known, u = self.recurrent_gates, self.units
        if len(gates) == 1 and gates[0] not in known and gates[0] in (weight.name for weight in self.weights):
            return getattr(self, gates[0]).value
        if not gates or gates == known:
            return self.recurrent_kernel.value
        unknown = [gate for gate in gates if gate not in known]
        if unknown:
            raise ValueError(f"{type(self).__name__}: recur knows the gates {known}. Received: {unknown}.")
        first = known.index(gates[0])
        if gates == known[first : first + len(gates)]:
            return self.recurrent_kernel[:, first * u : (first + len(gates)) * u]
        blocks = [self.recurrent_kernel[:, known.index(g) * u : (known.index(g) + 1) * u] for g in gates]
        return ops.concatenate(blocks, axis=-1)

    def dropped(self, hidden, keep_hidden, gates):
        """`hidden` after recurrent dropout, for recurrent_kernel; unchanged for other matrices."""
        own = not gates or gates[0] in self.recurrent_gates
        return hidden * keep_hidden if keep_hidden is not None and own else hidden

    def update(self, candidate):
        """What a timestep writes into the carry: the candidate after the driver's update dropout.

        `step` passes each candidate to it once: a tensor, or the list of a complex one's parts, which are dropped
        together. Gates, and values read from the carry, are not passed. Without such a driver it returns its argument.
        """
        through = WAY_IN.get()
        return candidate if through is None else through(candidate)

    @property
    def state_dtype(self):
        """Dtype of the carry and of element-wise work: never fewer than 32 bits."""
        return "float32" if keras.backend.standardize_dtype(self.compute_dtype) in HALF else self.compute_dtype

    @contextlib.contextmanager
    def bound(self, weights, dtype):
        """Within: `self.kernel` and the others have the given tensors' values, cast to `dtype` (None: as they are)."""
        cast = [weight if dtype is None else ops.cast(weight, dtype) for weight in weights]
        with keras.StatelessScope(state_mapping=list(zip(self.variables_in_use, cast, strict=True))):
            yield

    @property
    def variables_in_use(self):
        """The weights that `project`, `step` and `recurrent_columns` may read, in a fixed order."""
        return self.weights

    # Keras's cell protocol.

    def get_initial_state(self, batch_size=None):
        return list(self.initial_carry(batch_size))

    def call(self, inputs, states, constants=(), training=False):
        keep_input, keep_hidden = self.dropout_masks(inputs, self.seed_generator) if training else (None, None)
        weights = [weight.value for weight in self.variables_in_use]
        with self.bound(weights, self.compute_dtype):
            x = self.project(inputs if keep_input is None else inputs * keep_input)

        def recur(hidden, *gates):
            hidden = ops.cast(hidden, self.compute_dtype)
            with self.bound(weights, self.compute_dtype):
                columns = self.recurrent_columns(gates)
            product = ops.matmul(self.dropped(hidden, keep_hidden, gates), columns)
            return ops.cast(product, self.state_dtype)

        with self.bound(weights, self.state_dtype):
            carry = tuple(ops.cast(state, self.state_dtype) for state in keras.tree.flatten(states))
            constants = [ops.cast(constant, self.state_dtype) for constant in constants]
            output, carry = self.step(ops.cast(x, self.state_dtype), carry, recur, *constants)
        return ops.cast(output, self.compute_dtype), [ops.cast(state, self.compute_dtype) for state in carry]

    def dropout_masks(self, inputs, seed_generator):
        """Masks for the input features and the hidden state, `(batch, width)` each, or None where the rate is 0."""

        def mask(rate, width):
            if not rate:
                return None
            ones = ops.ones((ops.shape(inputs)[0], width), dtype=self.compute_dtype)
            return keras.random.dropout(ones, rate, seed=seed_generator)

        return mask(self.dropout, inputs.shape[-1]), mask(self.recurrent_dropout, self.recurrent_width)

    def get_config(self):
        serialize = {
            "activation": keras.activations.serialize,
            "initializer": keras.initializers.serialize,
            "regularizer": keras.regularizers.serialize,
            "constraint": keras.constraints.serialize,
        }
        config = {name: getattr(self, name) for name in PLAIN}
        for name in OBJECTS:
            config[name] = serialize[name.rsplit("_", 1)[-1]](getattr(self, name))
        return {**super().get_config(), **config}


HALF = ("float16", "bfloat16")
PLAIN = ("units", "use_bias", "dropout", "recurrent_dropout", "seed")
OBJECTS = (
    "activation",
    "recurrent_activation",
    *(
        f"{weight}_{kind}"
        for kind in ("initializer", "regularizer", "constraint")
        for weight in ("kernel", "recurrent", "bias")
    ),
)
