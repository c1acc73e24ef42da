"""A picture of how gradients vanish or explode on their way back in time."""

import numpy as np

from pipelines.evaluation.markup import AGAINST, FOR
from pipelines.evaluation.pictures import plt, save

COLOURS = {"vanishing": FOR, "exploding": AGAINST, "steady": "0.35", "no gradient": "0.7"}
STYLES = ("-", "--", ":", "-.")


def flows(measured, path):
    """The mean norm of dL/dh_t at each timestep, on a logarithmic axis; the colour says what became of it.

    Args:
        measured: Name -> `layers.GradientFlow`, such as one for each cell or each epoch.
        path: The picture's file.
    """
    figure, axis = plt.subplots(figsize=(7.2, 3.8), layout="constrained")
    for number, (title, flow) in enumerate(measured.items()):
        for name in flow.norms:
            mean, verdict = flow.mean(name), flow.verdict(name)
            shown = np.where(mean > 0, mean, np.nan)  # a logarithm of 0 cannot be drawn
            label = f"{title}, {name}: {verdict}"
            if np.isfinite(flow.factor(name)):
                label += f", × {flow.factor(name):.2g} a timestep"
            axis.plot(
                shown, STYLES[number % len(STYLES)], color=COLOURS[verdict], marker=".", markersize=3, label=label
            )
    axis.set_yscale("log")
    axis.set_xlabel("timestep t")
    axis.set_ylabel("mean norm of dL/dh at t")
    axis.xaxis.get_major_locator().set_params(integer=True)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False, fontsize=8, loc="upper left")  # "best" is slow
    save(figure, path)
