"""Real-time recurrent learning: gradients that run forwards in time, beside the sequence."""

import keras
import numpy as np
from keras import ops

from layers import arguments
from layers.cells.fully_recurrent import FullyRecurrentCell

# f(s), and f'(s) as a function of y = f(s).
ACTIVATIONS = {
    "sigmoid": (lambda s: 0.5 + 0.5 * np.tanh(0.5 * s), lambda y: y * (1 - y)),
    "tanh": (np.tanh, lambda y: 1 - y**2),
    "linear": (lambda s: s, np.ones_like),
}


class RealTimeLearning:
    r"""Real-time recurrent learning of a fully recurrent network.

        z_t = (x_t, y_{t-1}, 1)                                   what the units see
        s_t = w z_t,  y_t = f(s_t)
        p^k_ij,t = f'(s_k,t) (Σ_l U_kl p^l_ij,t-1 + δ_ik z_j,t)   p^k_ij = dy_k / dw_ij, 0 at first
        J_t = 1/2 Σ_k (d_k,t - y_k,t)^2                           over the outputs k that have a target at t
        dJ_t / dw_ij = -Σ_k (d_k,t - y_k,t) p^k_ij,t

    Nothing of the past is kept, so sequences may be endless; but a timestep of a network of n units takes about n^4
    products and n^3 numbers, which suits small networks. Summed over a sequence the gradient is that of backpropagation
    through time. All is computed in 64 bits, without the backend and its derivatives: an independent check of them.

    Source: R. J. Williams and D. Zipser, "A Learning Algorithm for Continually Running Fully Recurrent Neural
    Networks", Neural Computation 1(2), 1989, equations 1 to 9. Departure: the paper's y(t + 1) is the y_t that input
    x_t gives here.

    Args:
        cell: A `FullyRecurrentCell` whose activation is "sigmoid", "tanh" or "linear"; built, or built by the first
            inputs.

    Raises:
        ValueError: if the cell is another one, or inputs and targets do not fit.

    Example:

    >>> from layers import FullyRecurrentCell, RealTimeLearning
    >>> learning = RealTimeLearning(FullyRecurrentCell(3, outputs=1, seed=0))
    >>> x, d = np.ones((1, 200, 2)), np.full((1, 200, 1), 0.9)
    >>> losses = learning.learn(x, d, learning_rate=0.5)
    >>> bool(losses[-1] < 0.1 * losses[0])
    True
    """

    def __init__(self, cell):
        if not isinstance(cell, FullyRecurrentCell):
            raise ValueError(f"RealTimeLearning: `cell` must be a FullyRecurrentCell. Received: cell={cell!r}.")
        activation = keras.activations.serialize(cell.activation)
        if activation not in ACTIVATIONS:
            raise ValueError(
                f"RealTimeLearning: `cell` must have one of the activations {', '.join(ACTIVATIONS)}. "
                f"Received: activation={activation!r}."
            )
        self.cell = cell
        self.activation, self.slope = ACTIVATIONS[activation]

    def gradients(self, inputs, targets):
        """The gradient of Σ_t J_t, summed over the batch; the weights stay as they are.

        Args:
            inputs: `(batch, timesteps, features)`.
            targets: `(batch, timesteps, outputs)`; NaN where there is none.

        Returns:
            `(losses, gradients)`: J_t summed over the batch, `(timesteps,)`, and a list with the gradient of each of
            the cell's weights, in their order.
        """
        losses, found = [], []
        for loss, gradient in self._run(inputs, targets):
            losses.append(loss)
            found = [total + one for total, one in zip(found, gradient, strict=True)] if found else gradient
        totals = found or [np.zeros(weight.shape) for weight in self.cell.weights]
        return np.array(losses), totals

    def learn(self, inputs, targets, learning_rate):
        """Changes the weights after each timestep, while the network runs on.

        Args:
            inputs, targets: As in `gradients`.
            learning_rate: α, a number that is not negative.

        Returns:
            J_t before each change, summed over the batch, `(timesteps,)`.
        """
        rate = arguments.within("RealTimeLearning", "learning_rate", learning_rate, 0)
        return np.array([loss for loss, _ in self._run(inputs, targets, rate)])

    def _run(self, inputs, targets, rate=0.0):
        """For each timestep J_t and its gradient, a list; with a rate the weights go downhill after each."""
        cell = self.cell
        x, d = (np.asarray(ops.convert_to_numpy(part), "float64") for part in (inputs, targets))
        if x.ndim != 3 or d.shape != (*x.shape[:2], cell.outputs):
            raise ValueError(
                f"RealTimeLearning: `inputs` must be (batch, timesteps, features) and `targets` (batch, timesteps, "
                f"{cell.outputs}). Received: inputs.shape={x.shape}, targets.shape={d.shape}."
            )
        if not cell.built:
            cell.build((x.shape[0], x.shape[2]))
            cell.built = True
        weights = [np.asarray(ops.convert_to_numpy(weight), "float64") for weight in cell.weights]
        (batch, _, features), units = x.shape, cell.units
        y = np.zeros((batch, units))
        p = np.zeros((batch, units, units, features + units + cell.use_bias))  # (batch, k, i, j)
        diagonal = np.arange(units)
        for t in range(x.shape[1]):
            kernel, recurrent = weights[:2]
            z = np.concatenate([x[:, t], y, np.ones((batch, int(cell.use_bias)))], axis=1)
            y = self.activation(z @ np.concatenate([kernel, recurrent, *(bias[None] for bias in weights[2:])]))
            p = np.einsum("lk,blij->bkij", recurrent, p, optimize=True)
            p[:, diagonal, diagonal] += z[:, None]
            p *= self.slope(y)[:, :, None, None]
            error = np.where(np.isnan(d[:, t]), 0, d[:, t] - y[:, : cell.outputs])
            gradient = -np.einsum("bk,bkij->ji", error, p[:, : cell.outputs])
            gradients = np.split(gradient, [features, features + units][: 1 + cell.use_bias])
            gradients = [one.reshape(weight.shape) for one, weight in zip(gradients, weights, strict=True)]
            yield (error**2).sum() / 2, gradients
            if rate:
                weights = [weight - rate * one for weight, one in zip(weights, gradients, strict=True)]
        if rate:
            for weight, value in zip(cell.weights, weights, strict=True):
                weight.assign(value)
