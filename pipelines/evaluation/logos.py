"""Pictures of a classifier of DNA: effects of mutations, motifs as logos, curves of its errors."""

import matplotlib.pyplot as plt
import numpy as np

from pipelines.evaluation.markup import AGAINST, FOR, HUES, shortened
from pipelines.evaluation.pictures import save

SHOWN = 150  # bases of a sequence in a map, at most
MOTIFS = 12  # logos in a picture, at most
LINES = 10  # labels with a curve of their own, at most
_HUES = ["#{:02x}{:02x}{:02x}".format(*hue) for hue, _ in HUES]
BASES = {"A": _HUES[2], "C": _HUES[0], "G": _HUES[1], "T": _HUES[4]}  # green, blue, orange, vermilion
_OF_LABELS = [*_HUES[:6], _HUES[7]]  # without yellow, which is hard to see on white


def mutagenesis_map(rows, path):
    """Effects of mutations: for each sequence its letters, as high as they matter, above all mutations as a heat map.

    The height of a letter is minus the mean effect of its mutations; letters that speak against the label hang below
    zero, upside down. Of a long sequence the 150 bases around the largest effect are shown; positions count from 1.

    Without rows, the picture says that there is nothing to show.

    Args:
        rows: (title, sequence, effects) of each; effects are `(timesteps, 4)`, see `mutagenesis.mutagenesis`.
        path: The file to write.
    """
    import logomaker
    import pandas as pd

    shown = [_cut(title, sequence, effects) for title, sequence, effects in rows if len(sequence)]
    if not shown:
        nothing("no effects of mutations for this kind of label", path)
        return
    longest = max(len(letters) for _, letters, _, _ in shown)
    size = max(7.0, 2.2 + 0.105 * longest), 2.9 * len(shown)
    ratios = {"height_ratios": (1.5, 1) * len(shown)}
    figure, axes = plt.subplots(2 * len(shown), 1, figsize=size, layout="constrained", gridspec_kw=ratios)
    for (above, below), (title, letters, first, effects) in zip(axes.reshape(-1, 2), shown, strict=True):
        above.sharex(below)
        above.tick_params(labelbottom=False)
        places = np.arange(first, first + len(letters))
        heights = pd.DataFrame(0.0, index=places, columns=sorted(set(letters)))
        for place, letter, row in zip(places, letters, effects, strict=True):
            heights.loc[place, letter] = -row.sum() / (3 if letter in BASES else 4)  # that of the base itself is 0
        colours = {letter: BASES.get(letter, "0.5") for letter in heights}
        logomaker.Logo(heights, ax=above, color_scheme=colours, flip_below=True, baseline_width=0.5)
        light(above)
        low, high = above.get_ylim()
        if low < 0:
            above.axhspan(1.05 * low, 0, color=AGAINST, alpha=0.06, zorder=-1)
        above.set_ylim(1.05 * low, max(1.05 * high, low + 1e-6))
        above.set_ylabel("importance")
        above.set_title(title, loc="left", fontsize=10, parse_math=False)
        above.spines[["top", "right"]].set_visible(False)

        most = max(1e-6, float(np.abs(effects).max()))
        image = below.imshow(
            effects.T,
            cmap="RdBu",
            vmin=-most,
            vmax=most,
            aspect="auto",
            interpolation="nearest",
            extent=(first - 0.5, first + len(letters) - 0.5, 3.5, -0.5),
        )
        stands = [
            (place, "ACGT".index(letter)) for place, letter in zip(places, letters, strict=True) if letter in BASES
        ]
        if stands:
            below.scatter(*zip(*stands, strict=True), s=3, color="0.55", linewidths=0)
        below.set_yticks(range(4), "ACGT")
        below.set_xlabel("position (grey dots: the base that stands)")
        below.set_xlim(first - 0.5, first + len(letters) - 0.5)
        below.xaxis.get_major_locator().set_params(integer=True)
        figure.colorbar(image, ax=[above, below], label="change of log odds", pad=0.01, aspect=25)
    save(figure, path)


def _cut(title, sequence, effects):
    """(title, letters, first position from 1, effects) of the bases to show; effects that are NaN are not shown."""
    effects = np.asarray(effects, "float64")
    known = np.flatnonzero(np.isfinite(effects).all(axis=1))
    start, end = known[0], known[-1] + 1
    if end - start > SHOWN:
        best = int(np.nanmax(np.abs(effects), axis=1, where=np.isfinite(effects), initial=0).argmax())
        start = int(np.clip(best - SHOWN // 2, start, end - SHOWN))
        end = start + SHOWN
    if end - start < len(sequence):
        title = f"{title}   bases {start + 1:,} to {end:,} of {len(sequence):,}"
    return title, sequence[start:end].upper(), start + 1, effects[start:end]


def motif_logos(found, path):
    """The 12 motifs with the most information as logos: the height of a letter is its share of the position's bits.

    Without motifs, the picture says that there are none.

    Source of the logos: "Sequence Logos: A New Way to Display Consensus Sequences", Schneider & Stephens, 1990.

    Args:
        found: List of `mutagenesis.motifs`.
        path: The file to write.
    """
    import logomaker
    import pandas as pd

    if not found:
        nothing("no motifs to show", path)
        return
    found = sorted(found, key=lambda one: -one["information"])[:MOTIFS]
    across = min(3, len(found))
    down = -(-len(found) // across)
    figure, axes = plt.subplots(down, across, figsize=(4 * across, 1.7 * down), squeeze=False, layout="constrained")
    for axis, one in zip(axes.flat, found, strict=False):
        heights = one["matrix"] * one["bits"][:, None]
        table = pd.DataFrame(heights, columns=list("ACGT"), index=range(1, len(heights) + 1))
        logomaker.Logo(table, ax=axis, color_scheme=BASES, baseline_width=0.5)
        light(axis)
        axis.set_ylim(0, 2)
        axis.set_yticks((0, 1, 2))
        axis.spines[["top", "right"]].set_visible(False)
        axis.set_title(f"filter {one['filter']}: {one['windows']:,} windows", fontsize=9)
        axis.xaxis.get_major_locator().set_params(integer=True)
    for axis in axes[:, 0]:
        axis.set_ylabel("bits")
    for axis in axes.flat[len(found) :]:
        axis.axis("off")
    save(figure, path)


def roc(probabilities, truth, labels, path):
    """Recall by the share of the rest answered wrongly, and precision by recall, a line for each label with its area.

    Of two classes there is one line, that of the second; of more than 10 labels the 10 with the most examples have one.

    Args:
        probabilities: `(examples, labels)`.
        truth: `(examples,)` classes or, of several labels, `(examples, labels)`, 0 or 1.
        labels: Their names.
        path: The file to write.
    """
    import sklearn.metrics

    probabilities, truth = np.asarray(probabilities), np.asarray(truth)
    columns = range(1, 2) if truth.ndim == 1 and len(labels) == 2 else range(len(labels))
    of_label = {column: truth == column if truth.ndim == 1 else truth[:, column] > 0 for column in columns}
    shown = [column for column in columns if of_label[column].any() and not of_label[column].all()]
    if not shown:
        nothing("no curves: all examples have the same label", path)
        return
    shown = sorted(sorted(shown, key=lambda column: -of_label[column].sum())[:LINES])
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    for number, column in enumerate(shown):
        scores, right = probabilities[:, column], of_label[column]
        how = {
            "color": FOR if len(shown) == 1 else _OF_LABELS[number % len(_OF_LABELS)],
            "linestyle": "-" if number < len(_OF_LABELS) else "--",
        }
        wrong, recall, _ = sklearn.metrics.roc_curve(right, scores)
        area = sklearn.metrics.roc_auc_score(right, scores)
        axes[0].plot(wrong, recall, label=f"{shortened(labels[column])}  {area:.3f}", **how)
        precision, recall, _ = sklearn.metrics.precision_recall_curve(right, scores)
        area = sklearn.metrics.average_precision_score(right, scores)
        axes[1].plot(recall, precision, drawstyle="steps-post", label=f"{shortened(labels[column])}  {area:.3f}", **how)
    axes[0].plot((0, 1), (0, 1), ":", color="0.6")
    if len(shown) == 1:
        axes[1].axhline(of_label[shown[0]].mean(), linestyle=":", color="0.6")
    titles = ("ROC", "share of the rest answered wrongly", "recall"), ("precision and recall", "recall", "precision")
    for axis, (title, across, up) in zip(axes, titles, strict=True):
        axis.set(title=title, xlabel=across, ylabel=up, xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
        axis.grid(alpha=0.3)
        legend = axis.legend(frameon=False, title="area", fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        for text in legend.get_texts():
            text.set_parse_math(False)
    save(figure, path)


def light(axis):
    """Leaves the letters of a logo out of the layout, which would measure each one and take most of the time."""
    for patch in axis.patches:
        patch.set_in_layout(False)


def nothing(why, path):
    """A picture that says why there is nothing to show."""
    figure, axis = plt.subplots(figsize=(4, 1), layout="constrained")
    axis.axis("off")
    axis.text(0.5, 0.5, why, ha="center", va="center")
    save(figure, path, bbox_inches="tight")
