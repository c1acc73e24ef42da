"""PNG of images: a sheet of them with texts below, and attention laid over an image word by word."""

import textwrap

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf

from data.transforms import image
from pipelines.evaluation.markup import shortened
from pipelines.evaluation.pictures import MONOSPACE, save

ACROSS, LETTERS, LINES = 4, 36, 5  # images of a sheet side by side, letters in a line below them, lines of a text
PANELS, MOST_WORDS = 9, 26  # panels of attention side by side, words of a caption that are shown
DARK = 0.2  # what is left of the light of an image where nothing is attended to
GLOW = 0.25  # share of white where attention is largest, so that it shows on dark images too
SIDE = 224  # pixels


def decoded(contents, most):
    """An image file's pixels, `(height, width, 3)` uint8, with the aspect ratio kept; the longer side is `most`.

    Example:
        >>> decoded(tf.io.encode_png(np.zeros((20, 40, 3), "uint8")).numpy(), 16).shape
        (8, 16, 3)
    """
    width, height = image.check(contents)
    pixels = image.decode(tf.constant([contents]), most, "pad").numpy()[0]
    high, wide = (max(1, round(side * most / max(width, height))) for side in (height, width))
    top, left = (most - high) // 2, (most - wide) // 2
    return pixels[top : top + high, left : left + wide]


def squeezed(contents):
    """Image files, `(batch,)` strings, as `(batch, height, width, 3)` uint8, without their aspect ratio."""
    return image.decode(contents, SIDE, "squeeze")


def jpeg(pixels):
    """Pixels as the bytes of a JPEG file."""
    return tf.io.encode_jpeg(pixels, quality=85).numpy()


def sheet(rows, path):
    """Images side by side, each with a title above and texts below.

    Args:
        rows: List of (pixels, title, text, text in grey); pixels are `(height, width, 3)`, a text may be "".
        path: The file to write.
    """
    wrap = lambda text: textwrap.wrap(text, LETTERS, max_lines=LINES, placeholder=" …")
    texts = [
        [*((line, "black") for line in wrap(text)), *((line, "0.5") for line in wrap(grey))] for *_, text, grey in rows
    ]
    down = max(1, -(-len(rows) // ACROSS))
    lines = [max((len(one) for one in texts[k * ACROSS : (k + 1) * ACROSS]), default=0) + 1 for k in range(down)]
    ratios = [ratio for count in lines for ratio in (2.2, 0.15 * count)]  # inches
    figure, axes = plt.subplots(
        2 * down,
        ACROSS,
        figsize=(2.55 * ACROSS, sum(ratios) + 0.3 * down),
        squeeze=False,
        layout="constrained",
        gridspec_kw={"height_ratios": ratios},
    )
    for axis in axes.flat:
        axis.axis("off")
    for number, ((pixels, title, *_), text) in enumerate(zip(rows, texts, strict=True)):
        row, column = divmod(number, ACROSS)
        above, below = axes[2 * row, column], axes[2 * row + 1, column]
        above.imshow(pixels)
        above.set_anchor("S")
        above.set_title(title, fontsize=9, parse_math=False)
        below.set_xlim(0, 1)
        below.set_ylim(lines[row], 0)
        for line, (words, colour) in enumerate(text):
            how = {"family": MONOSPACE, "fontsize": 8, "color": colour, "va": "top", "parse_math": False}
            below.text(0, line, words, **how)
    if not rows:
        axes[0, 0].text(0.5, 0.5, "no image to show", ha="center", va="center")
    save(figure, path)


def overlay(pixels, shares):
    """An image that is light where attention is.

    Args:
        pixels: `(height, width, 3)` uint8.
        shares: `(rows, columns)` of a grid over the whole image, not negative.

    Returns:
        `(height, width, 3)` float32 in [0, 1]: the image's light times `DARK` where the share is 0, and the image with
        a little white, `GLOW`, where the share is largest; between the centres of cells the shares are interpolated.
    """
    shares = np.asarray(shares, "float32") / max(float(np.max(shares)), 1e-12)
    light = tf.image.resize(shares[:, :, None], pixels.shape[:2], "bicubic").numpy().clip(0, 1)
    pixels = np.asarray(pixels, "float32") / 255
    return (DARK + (1 - DARK) * light) * pixels + GLOW * light * (1 - pixels)


def attentions(rows, path):
    """Each image, and a panel for each word of its caption with the `overlay` of the attention that it was written by.

    Args:
        rows: List of (pixels, words, shares `(words, rows, columns)`).
        path: The file to write.
    """
    panels = []
    for pixels, words, shares in rows:
        panels.append((pixels, ""))
        some = zip(words[:MOST_WORDS], shares, strict=False)
        panels += [(overlay(pixels, one), shortened(word)) for word, one in some]
        panels += [None] * (-len(panels) % PANELS)
    down = max(1, len(panels) // PANELS)
    figure, axes = plt.subplots(down, PANELS, figsize=(1.3 * PANELS, 1.55 * down), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.axis("off")
    for axis, panel in zip(axes.flat, panels, strict=False):
        if panel is not None:
            axis.imshow(panel[0])
            axis.set_title(panel[1], fontsize=10, family=MONOSPACE, parse_math=False)
    if not rows:
        axes[0, 0].text(0.5, 0.5, "no image to show", ha="center", va="center")
    save(figure, path)
