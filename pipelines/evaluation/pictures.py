"""Pictures: curves, confusion, words coloured by their influence on an answer, attention."""

import sys
import warnings

import matplotlib

# There may be no display. A notebook has a backend of its own, which shows the figures of its user.
if "ipykernel" not in sys.modules:
    matplotlib.use("Agg")
import matplotlib.font_manager
import matplotlib.pyplot as plt
import numpy as np

from pipelines.evaluation.markup import AGAINST, FOR, shortened

# Letters that are not in the first font are taken from the next one that is installed.
WANTED = ("DejaVu Sans Mono", "Noto Sans Mono CJK JP", "Noto Sans CJK JP", "Noto Sans Mono", "Noto Emoji", "Symbola")
MONOSPACE = [name for name in WANTED if name in matplotlib.font_manager.get_font_names()]


def curves(history, path):
    """The loss and the metrics of each epoch, on training and validation data."""
    names = [name for name in history[0] if f"validation_{name}" in history[0]]
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.2), squeeze=False, layout="constrained")
    epochs = [row["epoch"] for row in history]
    for axis, name in zip(axes[0], names, strict=True):
        axis.plot(epochs, [row[name] for row in history], "o-", color="0.6", markersize=3, label="training")
        axis.plot(
            epochs, [row[f"validation_{name}"] for row in history], "o-", color=FOR, markersize=3, label="validation"
        )
        axis.set_title(name)
        axis.set_xlabel("epoch")
        axis.xaxis.get_major_locator().set_params(integer=True)
        axis.grid(alpha=0.3)
    axes[0, 0].legend(frameon=False)
    save(figure, path)


def confusion(counts, labels, path):
    """Counts of true (rows) and predicted (columns) labels, coloured by share of the row."""
    counts = np.asarray(counts)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    size = 1.8 + 0.55 * len(labels)
    figure, axis = plt.subplots(figsize=(size + 1.2, size), layout="constrained")
    axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    shown = [shortened(label) for label in labels]
    axis.set_xticks(range(len(labels)), shown, rotation=0 if len(labels) < 4 else 60, parse_math=False)
    axis.set_yticks(range(len(labels)), shown, parse_math=False)
    axis.set_xlabel("predicted")
    axis.set_ylabel("true")
    if len(labels) <= 25:
        for row, column in np.ndindex(counts.shape):
            colour = "white" if shares[row, column] > 0.55 else "black"
            axis.text(column, row, f"{counts[row, column]:,}", ha="center", va="center", color=colour, fontsize=9)
    save(figure, path)


def words(strips, path, width=100):
    """Texts word by word: blue words raise the probability of the label, red ones lower it (by occlusion)."""
    lines = []
    for title, strip in strips:
        lines.append([(title, None)])
        line, used = [], 0
        largest = max((abs(value) for _, value in strip), default=0) or 1
        for word, value in strip:
            word = shortened(word, 40)
            if used + len(word) > width and line:
                lines.append(line)
                line, used = [], 0
            line.append((word, value / largest))
            used += len(word) + 1
        lines += [line, []]
    height = 0.26 * len(lines) + 0.5
    figure = plt.figure(figsize=(0.098 * width + 0.6, height))
    letter, line_height = 0.094 / (0.098 * width + 0.6), 0.26 / height
    for row, line in enumerate(lines):
        x, y = 0.02, 1 - (row + 1) * line_height
        for word, value in line:
            if value is None:
                figure.text(x, y, word, family=MONOSPACE, fontsize=11, weight="bold", parse_math=False)
                continue
            back = matplotlib.colors.to_rgba(FOR if value > 0 else AGAINST, 0.75 * abs(value))
            box = {"facecolor": back, "edgecolor": "none", "boxstyle": "round,pad=0.12"}
            figure.text(x, y, word, family=MONOSPACE, fontsize=11, bbox=box, parse_math=False)
            x += letter * (len(word) + 1)
    caption = "blue: without this word (occluded) the label's probability falls; red: it rises; scaled to each text"
    figure.text(0.02, 0.12 / height, caption, fontsize=8, color="0.35")
    save(figure, path)


def transitions(scores, tags, path):
    """Scores that a CRF has learnt for a tag (rows) and the next tag (columns); NaN where the scheme forbids it."""
    scores = np.asarray(scores)
    most = max(1e-6, float(np.nanmax(np.abs(scores))))
    size = 1.8 + 0.34 * len(tags)
    figure, axis = plt.subplots(figsize=(size + 1.4, size), layout="constrained")
    axis.set_facecolor("0.82")
    image = axis.imshow(scores, cmap="RdBu", vmin=-most, vmax=most)
    shown = [shortened(tag) for tag in tags]
    axis.set_xticks(range(len(tags)), shown, rotation=90, fontsize=8, parse_math=False)
    axis.set_yticks(range(len(tags)), shown, fontsize=8, parse_math=False)
    axis.set_xlabel("the tag after")
    axis.set_ylabel("a tag")
    figure.colorbar(image, ax=axis, label="score in nats; grey: forbidden", shrink=0.8)
    save(figure, path)


def lengths(rows, path):
    """BLEU by the number of words of the source; a row is a dictionary of `from`, `to`, `examples` and `bleu`."""
    figure, axis = plt.subplots(figsize=(1.5 + 0.9 * len(rows), 3.2), layout="constrained")
    named = [f"{row['from']}–{row['to']}" if row["to"] else f"from {row['from']}" for row in rows]
    bars = axis.bar(range(len(rows)), [row["bleu"] for row in rows], color=FOR)
    axis.bar_label(bars, [f"{row['bleu']:.0f}\n({row['examples']:,})" for row in rows], fontsize=8)
    axis.set_xticks(range(len(rows)), named)
    axis.set_xlabel("words of the source (sentences)")
    axis.set_ylabel("BLEU")
    axis.margins(y=0.2)
    save(figure, path)


def alignments(maps, path):
    """Heat maps of attention, two in each row: (source words, words written, shares `(written, source)`).

    Without maps, the picture says that there is no attention.
    """
    sizes = [(1.8 + 0.36 * len(source), 1.8 + 0.36 * len(written)) for source, written, _ in maps] or [(4, 1)]
    across, down = min(len(sizes), 2), (len(sizes) + 1) // 2
    wide = [max(width for width, _ in sizes[column::across]) for column in range(across)]
    high = [max(height for _, height in sizes[row * across : (row + 1) * across]) for row in range(down)]
    size = min(60, sum(wide)), min(60, sum(high))
    ratios = {"width_ratios": wide, "height_ratios": high}
    figure, axes = plt.subplots(down, across, figsize=size, squeeze=False, layout="constrained", gridspec_kw=ratios)
    for axis, (source, written, shares) in zip(axes.flat, maps, strict=False):
        axis.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axis.xaxis.tick_top()
        how = {"fontsize": 9, "parse_math": False}  # words may hold dollar signs
        axis.set_xticks(range(len(source)), [shortened(word) for word in source], rotation=90, **how)
        axis.set_yticks(range(len(written)), [shortened(word) for word in written], **how)
    for axis in axes.flat[len(maps) :]:
        axis.axis("off")
    if not maps:
        axes[0, 0].text(0.5, 0.5, "no attention to show", ha="center", va="center")
    save(figure, path, bbox_inches="tight")  # with square cells, words may reach beyond the axis


def save(figure, path, **how):
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")  # such a letter is drawn as a box
        figure.savefig(path, dpi=110, format="png", facecolor="white", **how)
    plt.close(figure)
