"""Training without gradients: evolution strategies over the weights of small networks."""

import dataclasses

import numpy as np
from keras import ops

from layers import arguments

METHODS = ("cma", "es")
FLAT = ("tolfun", "tolfunhist")  # the library's reasons to stop where losses hardly differ


@dataclasses.dataclass
class Evolved:
    """What `evolve` did.

    Args:
        loss: The least loss that was found; the model has its weights.
        evaluations: Number of candidates that were evaluated.
        history: The least loss of each generation.
        stopped: Why it ended: "target", "generations", or the library's reason, such as "tolfun".
    """

    loss: float
    evaluations: int
    history: list
    stopped: str


def evolve(
    model,
    objective,
    method="cma",
    generations=100,
    population=None,
    deviation=0.5,
    target=None,
    together=False,
    seed=0,
):
    r"""Fits the weights of a small network to an objective that needs no gradient, such as the result of a simulation.

        w_k ~ m + σ N(0, C)                  candidates of a generation
        m <- Σ_k v_k w_k:λ                   weighted mean of the better half, best first
        σ, C <- by the paths of m            "es" keeps C = I

    Source: N. Hansen and A. Ostermeier, "Completely Derandomized Self-Adaptation in Evolution Strategies", 2001, as the
    library `cma` has it, with active updates; for recurrent controllers: C. Igel, "Neuroevolution for Reinforcement
    Learning Using Evolution Strategies", 2003. "es" is the strategy with cumulative step-size adaptation alone:
    A. Ostermeier, A. Gawelczyk and N. Hansen, "Step-size Adaptation Based on Non-local Use of Selection Information",
    1994.

    Args:
        model: A built Keras model, layer or cell; its trainable weights, up to some hundreds, are the first mean m.
        objective: `model -> loss`, a number, called with each candidate's weights in the model; less is better, NaN is
            worse than all. With `together` see there.
        method: "cma", which learns which weights depend on each other, or "es", which takes less time for many weights.
        generations: Most generations, a positive integer.
        population: Candidates of a generation, 4 or more; None: 4 + 3 ln(number of weights), rounded down.
        deviation: The first σ, a positive number.
        target: A loss at which it stops, or None.
        together: Whether `objective` takes a generation at once: a list with `(population, ...)` for each trainable
            weight, from which it returns `(population,)`.
        seed: Seed of the candidates, an integer.

    Returns:
        An `Evolved`; the model has the best weights that were found.

    Raises:
        ModuleNotFoundError: if `cma` is not installed, an extra of this package: `pip install unroll[evolution]`.
        ValueError: if an argument is out of its range, the model has no weights, or the objective returns other than a
            loss for each candidate.

    Example:

    >>> from layers import ElmanCell, Recurrent, evolve
    >>> _ = keras.utils.set_random_seed(0)
    >>> layer = Recurrent(ElmanCell(2))
    >>> layer.build((None, None, 1))
    >>> signs = np.array([[[1.0], [-1.0]], [[-1.0], [1.0]]])  # the loss counts: it has no gradient
    >>> wrong = lambda layer: float(ops.sum((layer(signs)[:, 0] > 0) != (signs[:, 0, 0] > 0)))
    >>> evolve(layer, wrong, generations=20, target=0).loss
    0.0
    """
    import cma

    if method not in METHODS:
        raise ValueError(f"evolve: `method` must be one of {', '.join(METHODS)}. Received: method={method!r}.")
    arguments.positive("evolve", "generations", generations)
    if population is not None:
        arguments.positive("evolve", "population", population, least=4)
    if not 0 < deviation < np.inf:
        raise ValueError(f"evolve: `deviation` must be a positive number. Received: deviation={deviation!r}.")
    weights = model.trainable_variables
    shapes = [tuple(weight.shape) for weight in weights]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])
    if not weights:
        raise ValueError("evolve: `model` must be built and have trainable weights. Received: a model without any.")
    begin = np.concatenate([np.ravel(ops.convert_to_numpy(weight)) for weight in weights]).astype("float64")
    rng = np.random.default_rng(seed)
    options = {
        "verbose": -9,
        "verb_log": 0,
        "tolflatfitness": generations,  # counts have plateaus: the library widens σ there, which finds the edge
        "signals_filename": "",  # no options from a file in the working folder
        "CMA_on": float(method == "cma"),
        "seed": np.nan,  # it would seed NumPy's global generator
        "randn": lambda rows, columns: rng.standard_normal((rows, columns)),
    }
    if population is not None:
        options["popsize"] = population

    def assign(values):
        for weight, part, shape in zip(weights, np.split(values, ends[:-1]), shapes, strict=True):
            weight.assign(part.reshape(shape))

    def losses_of(candidates):
        if together:
            parts = np.split(np.array(candidates), ends[:-1], axis=1)
            losses = objective([part.reshape(-1, *shape) for part, shape in zip(parts, shapes, strict=True)])
        else:
            losses = []
            for candidate in candidates:
                assign(candidate)
                losses.append(objective(model))
        losses = np.asarray(losses)
        if losses.shape != (len(candidates),) or losses.dtype.kind in "OUS":  # None, where it returns nothing
            raise ValueError(
                f"evolve: `objective` must return a loss for each of {len(candidates)} candidates. "
                f"Received: shape={losses.shape}, losses={losses.ravel()[:6].tolist()}."
            )
        losses = losses.astype("float64")
        return np.where(np.isnan(losses), np.inf, losses)

    strategy = cma.CMAEvolutionStrategy(begin, deviation, options)
    best, loss, history, evaluations, stopped, differed = begin, np.inf, [], 0, "generations", False
    try:
        for _ in range(generations):
            candidates = strategy.ask()
            losses = losses_of(candidates)
            evaluations += len(losses)
            history.append(float(losses.min()))
            if history[-1] < loss:
                best, loss = np.array(candidates[losses.argmin()]), history[-1]
            if target is not None and loss <= target:
                stopped = "target"
                break
            strategy.tell(candidates, np.minimum(losses, 1e100).tolist())  # the library knows no infinity
            # As long as no two losses have differed it is on a plateau, and has not converged.
            differed = differed or not losses.min() == losses.max() == history[0]
            reasons = [reason for reason in strategy.stop() if differed or reason not in FLAT]
            if reasons:
                stopped = ", ".join(reasons)
                break
    finally:
        assign(best)  # also where the objective raises an error, or the user interrupts
    return Evolved(loss, evaluations, history, stopped)
