"""The contract of a cell: what a recurrent network computes in one timestep."""

import contextlib

import keras
from keras import ops


class Cell(keras.layers.Layer):
    r"""One timestep of a recurrent network; a subclass is the equation of a paper.

    A subclass names its `gates` and its `carry` and writes `step`; weights, arguments, saving and Keras's cell protocol
    are here. Run over time by `Recurrent`, or by stock `keras.layers.RNN`, which gives the same numbers, slower.

        gates                  names of the column blocks of kernel, recurrent_kernel and bias, in order
        carry                  names of the states
        project(inputs)        (..., features) -> (..., gates * units): all that depends on the input alone
        step(x, carry, recur)  one timestep: (output, new carry); x is `project`'s result, `carry` a tuple
        recur(hidden, *gates)  hidden @ the named columns of recurrent_kernel (no names: all), handed in by the driver

    `step` may use its own weights element by element (biases, peepholes): the loop finds their gradients. It must not
    keep anything on `self`: the same call gives the same answer twice.

    Args:
        units: Width of the carry and of the output, a positive integer.
        activation: Squashes candidates and outputs.
        recurrent_activation: Squashes gates.
        use_bias: Whether `project` adds a bias.
        kernel_initializer, recurrent_initializer, bias_initializer: How weights begin.
        kernel_regularizer, recurrent_regularizer, bias_regularizer: Penalties on weights, or None.
        kernel_constraint, recurrent_constraint, bias_constraint: Projections of weights after an update, or None.
        dropout: Share of the input features dropped in training, in [0, 1); one mask a sequence
            (Y. Gal and Z. Ghahramani, 2016, arXiv:1512.05287).
        recurrent_dropout: Share of the hidden state dropped before recurrent_kernel, in [0, 1); one mask a sequence.
            Both masks are drawn by `Recurrent`; stock `keras.layers.RNN`, which knows nothing of them, gets a new mask
            each timestep.
        seed: Seed of the masks, an integer or None.

    Call arguments:
        inputs: `(batch, features)`, one timestep.
        states: List of the carry's tensors, each `(batch, units)`.

    Returns:
        `(output, states)`.

    Raises:
        ValueError: if `units` is not a positive integer or a rate is outside [0, 1).
    """

    gates = ("candidate",)
    carry = ("hidden",)
    has_recurrent_kernel = True

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
        if isinstance(units, bool) or not hasattr(units, "__index__") or units <= 0:
            raise ValueError(f"{type(self).__name__}: `units` must be a positive integer. Received: units={units!r}.")
        for name, rate in (("dropout", dropout), ("recurrent_dropout", recurrent_dropout)):
            if not 0 <= rate < 1:
                raise ValueError(f"{type(self).__name__}: `{name}` must be in [0, 1). Received: {name}={rate!r}.")
        self.units = int(units)
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
        self.dropout = dropout
        self.recurrent_dropout = recurrent_dropout
        self.seed = seed
        self.seed_generator = keras.random.SeedGenerator(seed) if dropout or recurrent_dropout else None
        self.state_size = [self.units] * len(self.carry) if len(self.carry) > 1 else self.units
        self.output_size = self.units

    # What a paper fills in.

    def step(self, x, carry, recur):
        """The equation: `x` is (batch, gates * units), returns (output, new carry)."""
        raise NotImplementedError(f"{type(self).__name__} must define step(x, carry, recur).")

    def initial_carry(self, batch):
        """The carry before the first timestep: zeros, unless the paper says otherwise."""
        return tuple(ops.zeros((batch, size), dtype=self.compute_dtype) for size in self.carry_sizes)

    # What all papers share.

    @property
    def carry_sizes(self):
        """Width of each tensor of the carry."""
        return list(self.state_size) if isinstance(self.state_size, (list, tuple)) else [self.state_size]

    @property
    def bias_shape(self):
        """Shape of the bias: one number for each column of the kernel."""
        return (len(self.gates) * self.units,)

    def initial_bias(self, shape, dtype=None):
        """What the bias begins as; a paper that has a say in it overrides this."""
        return self.bias_initializer(shape, dtype=dtype)

    def build(self, input_shape):
        columns = len(self.gates) * self.units
        # The driver casts weights itself (products in 16 bits, element-wise work in 32), so Keras must not.
        self.kernel = self.add_weight(
            name="kernel",
            shape=(input_shape[-1], columns),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
            autocast=False,
        )
        if self.has_recurrent_kernel:
            self.recurrent_kernel = self.add_weight(
                name="recurrent_kernel",
                shape=(self.units, columns),
                initializer=self.recurrent_initializer,
                regularizer=self.recurrent_regularizer,
                constraint=self.recurrent_constraint,
                autocast=False,
            )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=self.bias_shape,
                initializer=self.initial_bias,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
                autocast=False,
            )

    def project(self, inputs):
        """W x + b for one timestep or for many: (..., features) -> (..., gates * units)."""
        x = ops.matmul(inputs, self.kernel)
        return x if self.bias is None else x + self.bias

    def split(self, x):
        """The blocks of `units` columns, one for each gate: (batch, n * units) -> n times (batch, units)."""
        return ops.split(x, x.shape[-1] // self.units, axis=-1)

    def recurrent_columns(self, gates):
        """The named column blocks of recurrent_kernel, in the order named; all of them where none is named."""
        if not gates or gates == self.gates:
            return self.recurrent_kernel.value
        unknown = [gate for gate in gates if gate not in self.gates]
        if unknown:
            raise ValueError(f"{type(self).__name__}: recur knows the gates {self.gates}. Received: {unknown}.")
        first, u = self.gates.index(gates[0]), self.units
        if gates == self.gates[first : first + len(gates)]:
            return self.recurrent_kernel[:, first * u : (first + len(gates)) * u]
        blocks = [self.recurrent_kernel[:, self.gates.index(g) * u : (self.gates.index(g) + 1) * u] for g in gates]
        return ops.concatenate(blocks, axis=-1)

    @property
    def state_dtype(self):
        """What carry and element-wise work are computed in: never fewer than 32 bits."""
        return "float32" if keras.backend.standardize_dtype(self.compute_dtype) in HALF else self.compute_dtype

    @contextlib.contextmanager
    def bound(self, weights, dtype):
        """Within: `self.kernel` and the others read as the given tensors, cast to `dtype` (None: as they are)."""
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

    def call(self, inputs, states, training=False):
        keep_input, keep_hidden = self.dropout_masks(inputs, self.seed_generator) if training else (None, None)
        weights = [weight.value for weight in self.variables_in_use]
        with self.bound(weights, self.compute_dtype):
            x = self.project(inputs if keep_input is None else inputs * keep_input)

        def recur(hidden, *gates):
            hidden = ops.cast(hidden, self.compute_dtype)
            with self.bound(weights, self.compute_dtype):
                columns = self.recurrent_columns(gates)
            product = ops.matmul(hidden if keep_hidden is None else hidden * keep_hidden, columns)
            return ops.cast(product, self.state_dtype)

        with self.bound(weights, self.state_dtype):
            carry = tuple(ops.cast(state, self.state_dtype) for state in keras.tree.flatten(states))
            output, carry = self.step(ops.cast(x, self.state_dtype), carry, recur)
        return ops.cast(output, self.compute_dtype), [ops.cast(state, self.compute_dtype) for state in carry]

    def dropout_masks(self, inputs, seed_generator):
        """Masks for the input features and the hidden state, `(batch, width)` each, or None where the rate is 0."""

        def mask(rate, width):
            if not rate:
                return None
            ones = ops.ones((ops.shape(inputs)[0], width), dtype=self.compute_dtype)
            return keras.random.dropout(ones, rate, seed=seed_generator)

        return mask(self.dropout, inputs.shape[-1]), mask(self.recurrent_dropout, self.carry_sizes[0])

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
