"""How far gradients reach back in time: the norm of dL/dh_t at each timestep of a recurrent layer."""

import contextlib
import dataclasses

import keras
import numpy as np
from keras import ops

from layers.backend import backend
from layers.cell import Cell
from layers.recurrent import Recurrent
from layers.step import look_at_a_step


@dataclasses.dataclass
class GradientFlow:
    """Norms of the gradients of a loss with respect to the states of a recurrent layer.

    Args:
        norms: Name of each tensor of the carry -> `(batch, timesteps)`: the norm, over units, of the loss's whole
            derivative with respect to that tensor after each timestep; infinite where it overflowed, NaN at padding.

    Example:

    >>> flow = GradientFlow({"hidden": 0.5 ** np.arange(12.0)[None, ::-1]})
    >>> round(flow.factor("hidden"), 3), flow.verdict("hidden")
    (0.5, 'vanishing')
    """

    norms: dict

    FAR = 1e3  # the ratio of first to last norm from which a gradient vanishes or explodes

    def mean(self, name):
        """The mean norm over the examples that have a timestep, `(timesteps,)`; NaN where none has."""
        norms = self.norms[name]
        real = ~np.isnan(norms)
        total, count = np.where(real, norms, 0).sum(axis=0), real.sum(axis=0)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)

    def reach(self, name):
        """The mean norm at the first timestep divided by that at the last one which the loss reads; NaN if none."""
        mean = self.mean(name)
        first, read = np.flatnonzero(~np.isnan(mean)), np.flatnonzero((mean > 0) & (mean < np.inf))
        return float(mean[first[0]] / mean[read[-1]]) if len(read) else float("nan")

    def factor(self, name):
        """What the norm is multiplied by for each timestep back in time, fitted to the logarithms; NaN if unknown."""
        mean = self.mean(name)
        places = np.flatnonzero((mean > 0) & (mean < np.inf))
        return float(np.exp(-np.polyfit(places, np.log(mean[places]), 1)[0])) if len(places) > 1 else float("nan")

    def verdict(self, name):
        """ "vanishing" where `reach` is under 1 / 1000, "exploding" where it is over 1000 or not finite, "steady"
        between, and "no gradient" where no norm is above 0."""
        if any(np.isinf(norms).any() for norms in self.norms.values()):
            return "exploding"
        reach = self.reach(name)
        if np.isnan(reach):
            return "no gradient"
        return "vanishing" if reach < 1 / self.FAR else "exploding" if reach > self.FAR else "steady"


def gradient_flow(model, inputs, targets, layer=None, loss=None):
    r"""Measures how the gradient of a loss changes on its way back through a recurrent layer.

    A variable δ_t = 0 is added to the state after each timestep, h_t = step(x_t, h_{t-1}) + δ_t. The gradient with
    respect to δ_t is the whole dL/dh_t: what the loss reads from h_t itself and what it reads from later states.

        dL/dh_t = ∂L/∂h_t + (∂h_{t+1}/∂h_t)^T dL/dh_{t+1}

    Source: Y. Bengio, P. Simard and P. Frasconi, "Learning Long-Term Dependencies with Gradient Descent is Difficult",
    1994; R. Pascanu, T. Mikolov and Y. Bengio, "On the difficulty of training Recurrent Neural Networks", 2013,
    arXiv:1211.5063, equations 3 to 5.

    Args:
        model: A Keras model or layer that contains `Recurrent` or a stock recurrent layer. It runs as in inference.
        inputs: The inputs of the model, a batch.
        targets: The targets of the loss.
        layer: The recurrent layer or its name; None: the only one in the model.
        loss: `(targets, outputs) -> ` losses, of which the mean is taken; None: the loss that the model was compiled
            with.

    Returns:
        A `GradientFlow`, its timesteps in the order of the sequence.

    Raises:
        ValueError: if the layer is not there, not unique, not called once, or reads constants; or if there is no loss.

    Example:

    >>> from layers import ElmanCell, Recurrent
    >>> model = keras.Sequential([Recurrent(ElmanCell(8)), keras.layers.Dense(1)])
    >>> flow = gradient_flow(model, np.ones((2, 30, 3)), np.ones((2, 1)), loss=keras.losses.MeanSquaredError())
    >>> flow.norms["hidden"].shape
    (2, 30)
    """
    loss = loss or keras.losses.get(getattr(model, "loss", None))
    if not callable(loss):
        raise ValueError(f"gradient_flow: `loss` must be a function, as the model has none. Received: loss={loss!r}.")
    if not model.built:
        model(inputs)
    layer = _found(model, layer)
    cell = layer.cell
    names, sizes = _states_of(cell)
    seen = []

    def look(sequence, initial_state=None, mask=None, constants=None, training=False):
        seen.append((sequence, mask, constants))
        return type(layer).call(layer, sequence, initial_state=initial_state, mask=mask)

    with _called_instead(layer, look):
        model(inputs, training=False)
    if len(seen) != 1 or seen[0][2] is not None:
        times = "with constants" if len(seen) == 1 else f"{len(seen)} times"
        raise ValueError(
            f"gradient_flow: `layer` must be called once in the model, without constants. "
            f"Received: {layer.name}, called {times}."
        )
    sequence, mask, _ = seen[0]
    batch, timesteps, features = sequence.shape
    probe = _probe(layer, features, sizes)

    def loss_of(*changes):
        def perturbed(sequence, initial_state=None, mask=None, constants=None, training=False):
            if initial_state is None and layer.stateful:
                initial_state = [state.value for state in layer.states]
            sequence = ops.cast(sequence, layer.compute_dtype)
            results = probe(
                ops.concatenate([sequence, *changes], axis=-1), initial_state=initial_state, mask=mask, training=False
            )
            output, *states = results if layer.return_state else [results]
            if layer.go_backwards and layer.return_sequences and getattr(layer, "align_outputs", False):
                output = ops.flip(output, 1)
            return (output, *states) if layer.return_state else output

        with _called_instead(layer, perturbed):
            outputs = model(inputs, training=False)
        return [ops.mean(loss(targets, outputs))], None

    changes = [ops.zeros((batch, timesteps, size), dtype=layer.compute_dtype) for size in sizes]
    (value,), _, pull = backend.vjp(loss_of, changes)
    found = [np.asarray(ops.convert_to_numpy(d), "float64") for d in pull([ops.ones_like(value)])]
    norms = [np.nan_to_num(np.linalg.norm(d, axis=2), nan=np.inf, posinf=np.inf) for d in found]  # NaN: it overflowed
    if mask is not None:
        norms = [np.where(ops.convert_to_numpy(mask), norm, np.nan) for norm in norms]
    return GradientFlow(dict(zip(names, norms, strict=True)))


class _Perturbed(keras.layers.Layer):
    """A cell whose inputs are those of another and, beside them, what is added to each tensor of its new state."""

    def __init__(self, cell, features, sizes, output_index, zoneout):
        super().__init__(dtype=cell.dtype_policy)
        self.cell, self.output_index, self.zoneout = cell, output_index, zoneout
        self.places = np.cumsum([features, *sizes[:-1]]).tolist()
        self.state_size, self.output_size, self.built = list(sizes), cell.output_size, True

    def get_initial_state(self, batch_size=None):
        return keras.tree.flatten(self.cell.get_initial_state(batch_size=batch_size))

    def call(self, inputs, states, training=False):
        x, *changes = ops.split(inputs, self.places, axis=-1)
        before = keras.tree.flatten(states)
        output, new = self.cell.call(x, before, training=training)
        new = keras.tree.flatten(new)
        same = [place for place, state in enumerate(new) if state is output]
        index = self.output_index if self.output_index is not None else (same or [len(new)])[0]
        if self.zoneout:
            new = [z * old + (1 - z) * now for z, old, now in zip(self.zoneout, before, new, strict=True)]
        new = [state + change for state, change in zip(new, changes, strict=True)]
        return new[index] if index < len(new) else output, new


def _probe(layer, features, sizes):
    """A stock layer that runs the layer's cell with perturbed states."""
    cell, index = layer.cell, None
    if isinstance(cell, Cell):
        index, *_ = look_at_a_step(cell, features)
    perturbed = _Perturbed(cell, features, sizes, index, getattr(layer, "zoneout", None))
    return keras.layers.RNN(
        perturbed,
        return_sequences=layer.return_sequences,
        return_state=layer.return_state,
        go_backwards=layer.go_backwards,
        zero_output_for_mask=layer.zero_output_for_mask,
        dtype=layer.dtype_policy,
    )


def _states_of(cell):
    """Names and widths of the tensors of a cell's state."""
    if isinstance(cell, Cell):
        return list(cell.carry), cell.carry_sizes
    sizes = keras.tree.flatten(cell.state_size)
    known = {1: ["hidden"], 2: ["hidden", "cell"]}
    return known.get(len(sizes), [f"state {number}" for number in range(len(sizes))]), sizes


def _found(model, layer):
    """The recurrent layer that is meant."""
    inside = model._flatten_layers() if hasattr(model, "_flatten_layers") else model.layers
    recurrent = [one for one in inside if isinstance(one, (Recurrent, keras.layers.RNN))]
    chosen = recurrent if layer is None else [one for one in recurrent if layer in (one, one.name)]
    if len(chosen) != 1:
        names = ", ".join(one.name for one in recurrent) or "none"
        raise ValueError(
            f"gradient_flow: `layer` must be one of the model's recurrent layers, {names}. Received: layer={layer!r}."
        )
    return chosen[0]


@contextlib.contextmanager
def _called_instead(layer, call):
    """Within: the layer runs another function as its `call`."""
    object.__setattr__(layer, "call", call)
    try:
        yield
    finally:
        object.__delattr__(layer, "call")
