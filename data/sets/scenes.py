"""The built-in images: drawn scenes of coloured shapes; `scene_captions` describes them.

A scene has one group of equal shapes, which is somewhere in the picture, or two groups, one left of or above the other.
"""

import functools
import math
import random
import struct
import zlib
from typing import NamedTuple

import numpy as np

SIZES = {"train": 10_000, "validation": 500, "test": 500}  # scenes
PIXELS = 64  # height and width of an image
RADII = {"small": (5.0, 6.0), "large": (9.0, 10.0)}  # pixels, the least and the largest
COLOURS = {
    "red": (214, 39, 40),
    "orange": (250, 140, 20),
    "yellow": (238, 216, 40),
    "green": (40, 160, 60),
    "blue": (45, 85, 215),
    "purple": (145, 60, 180),
}
SHAPES = {name: f"{name}s" for name in ("circle", "square", "triangle", "diamond", "star")} | {"cross": "crosses"}
PLACES = ("left", "right", "top", "bottom", "middle")
# How a group in the first place lies to a group in the second; the first spelling of each is the shorter.
RELATIONS = {
    ("left", "right"): ("left of", "to the left of"),
    ("right", "left"): ("right of", "to the right of"),
    ("top", "bottom"): ("above",),
    ("bottom", "top"): ("below",),
}
ALONE = 0.07  # share of the scenes with one group, before repeated ones are left out

_BORDER = 1.0  # pixels between the shapes and the edge of the image, and between two shapes
_NEAR = 20.0  # pixels from the edge of the image to the centre of a shape "on the left", at most
_ASIDE = 6.0, 12.0  # how far a group may lie from the middle of its edge; two groups from one level with each other
_TILT = 8.0  # degrees
_AT_ONCE = 256  # scenes drawn together
_SHADE = 14  # colours and background differ by so much from image to image, of 255


class Group(NamedTuple):
    """Shapes of a scene that are alike.

    Attributes:
        count: 1, 2 or 3.
        size: "small" or "large".
        colour: One of `COLOURS`.
        shape: One of `SHAPES`.
        place: One of `PLACES`.
    """

    count: int
    size: str
    colour: str
    shape: str
    place: str


class Drawn(NamedTuple):
    """One shape as it is drawn.

    Attributes:
        shape: One of `SHAPES`.
        x, y: Its centre in pixels, from the upper left corner of the image.
        radius: Radius in pixels of a circle that contains it.
        tilt: Degrees, clockwise.
        colour: Red, green and blue, 0 to 255.
    """

    shape: str
    x: float
    y: float
    radius: float
    tilt: float
    colour: tuple


class Scene(NamedTuple):
    """What an image shows.

    Attributes:
        groups: One or two `Group`s; the first of two is on the left or at the top.
        drawn: A `Drawn` for each shape.
        background: Red, green and blue, 0 to 255.
    """

    groups: tuple
    drawn: tuple
    background: tuple

    @property
    def relation(self):
        """How the first group lies to the second: "left of" or "above"; "" if there is one group."""
        return RELATIONS[tuple(group.place for group in self.groups)][0] if len(self.groups) == 2 else ""


def scenes(split, seed=0):
    """The scenes of a split; no two scenes, within a split or in two, have the same groups.

    Args:
        split: "train" (10,000 scenes), "validation" (500) or "test" (500).
        seed: Seed of the generator: another seed gives other scenes.

    Returns:
        A list of `Scene`s.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> [(group.count, group.size, group.colour, group.shape) for group in scenes("validation")[0].groups]
        [(3, 'large', 'yellow', 'cross'), (2, 'small', 'blue', 'triangle')]
    """
    if split not in SIZES:
        raise ValueError(f"`split` must be one of {', '.join(SIZES)}. Received: split={split!r}.")
    return list(_made(seed)[split])


@functools.lru_cache(maxsize=2)
def _made(seed):
    rng, seen, made = random.Random(seed), set(), {}
    for split, size in SIZES.items():
        made[split] = []
        while len(made[split]) < size:
            groups = _groups(rng)
            if groups not in seen:
                seen.add(groups)
                made[split].append(_drawn(rng, groups))
    return made


def _groups(rng):
    """The groups of a scene; two groups differ in more than their count."""
    if rng.random() < ALONE:
        return (_group(rng, rng.choice(PLACES)),)
    places = rng.choice([("left", "right"), ("top", "bottom")])
    while True:
        one, other = (_group(rng, place) for place in places)
        if one[1:4] != other[1:4]:
            return one, other


def _group(rng, place):
    count, size = rng.choice((1, 2, 3)), rng.choice(list(RADII))
    return Group(count, size, rng.choice(list(COLOURS)), rng.choice(list(SHAPES)), place)


# Drawing.


def _drawn(rng, groups):
    """A scene of these groups, with all that is left to chance: where each shape is, its exact size and colour."""
    while True:
        radii = [[rng.uniform(*RADII[group.size]) for _ in range(group.count)] for group in groups]
        centres = [_centres(rng, group.place, some) for group, some in zip(groups, radii, strict=True)]
        # On the axis along which the groups do not differ, so that nobody would say "above" of a group on the left.
        axis = 1 if groups[0].place in ("left", "right") else 0
        middles = [math.fsum(centre[axis] for centre in some) / len(some) for some in centres]
        if len(groups) == 2 and abs(middles[0] - middles[1]) < _ASIDE[1]:
            break
        if len(groups) == 1 and abs(middles[0] - PIXELS / 2) < _ASIDE[0]:
            break
    drawn = []
    for group, some, places in zip(groups, radii, centres, strict=True):
        colour = _shaded(rng, COLOURS[group.colour])
        for radius, (x, y) in zip(some, places, strict=True):
            drawn.append(Drawn(group.shape, x, y, radius, rng.uniform(-_TILT, _TILT), colour))
    return Scene(groups, tuple(drawn), _shaded(rng, (225, 225, 225)))


def _shaded(rng, colour):
    return tuple(min(max(value + rng.randint(-_SHADE, _SHADE), 0), 255) for value in colour)


def _centres(rng, place, radii):
    """(x, y) of each shape of a group: along an edge of the image, or around its middle."""
    if place == "middle":
        x, y = (PIXELS / 2 + rng.uniform(-4, 4) for _ in range(2))
        # Of shapes on a circle, two neighbours are `2 sin(π / count)` radii of the circle apart.
        apart = (2 * max(radii) + _BORDER) / (2 * math.sin(math.pi / len(radii))) if len(radii) > 1 else 0.0
        turn = rng.uniform(0, 2 * math.pi)
        angles = [turn + 2 * math.pi * number / len(radii) for number in range(len(radii))]
        return [(x + apart * math.cos(angle), y + apart * math.sin(angle)) for angle in angles]
    free = PIXELS - 2 * sum(radii) - _BORDER * (len(radii) + 1)
    cuts = sorted(rng.uniform(0, free) for _ in radii)
    before, centres = _BORDER, []
    for cut, radius in zip(cuts, radii, strict=True):
        along, across = before + cut + radius, rng.uniform(_BORDER + radius, _NEAR)
        across = PIXELS - across if place in ("right", "bottom") else across
        centres.append((across, along) if place in ("left", "right") else (along, across))
        before += 2 * radius + _BORDER
    return centres


def pixels(some):
    """The images of scenes.

    Args:
        some: List of `Scene`s.

    Returns:
        `(scenes, 64, 64, 3)` uint8, red, green and blue.

    Example:
        >>> pixels(scenes("test")[:2]).shape
        (2, 64, 64, 3)
    """
    made = np.empty((len(some), PIXELS, PIXELS, 3), "uint8")
    for start in range(0, len(some), _AT_ONCE):
        part = some[start : start + _AT_ONCE]
        images = np.empty((len(part), PIXELS, PIXELS, 3), "float32")
        images[:] = np.array([scene.background for scene in part], "float32").reshape(-1, 1, 1, 3)
        for shape in SHAPES:
            found = [(image, one) for image, scene in enumerate(part) for one in scene.drawn if one.shape == shape]
            if found:
                _draw(images, shape, found)
        made[start : start + _AT_ONCE] = np.rint(images)
    return made


def _draw(images, shape, found):
    """Draws (number of the image, `Drawn`) of one shape into the images.

    A pixel's share of the shape's colour is 0.5 - d, between 0 and 1, where d is the distance in pixels of its centre
    from the shape's outline, negative within the shape. Shapes are so far apart that no pixel has a share of two.
    """
    half = math.ceil(RADII["large"][1] + 1)
    x, y, radius, tilt = np.array([one[1:5] for _, one in found], "float32").T[:, :, None, None]
    rows = np.floor(y).astype(int) + np.arange(-half, half + 1)[:, None]  # (shapes, height of a window, 1)
    columns = np.floor(x).astype(int) + np.arange(-half, half + 1)  # (shapes, 1, width of a window)
    right, down = columns + np.float32(0.5) - x, rows + np.float32(0.5) - y
    sine, cosine = np.sin(np.radians(tilt)) / radius, np.cos(np.radians(tilt)) / radius
    distances = radius * _OUTLINES[shape](right * cosine + down * sine, down * cosine - right * sine)
    shares = np.clip(0.5 - distances, 0, 1)
    within = (rows >= 0) & (rows < PIXELS) & (columns >= 0) & (columns < PIXELS)
    number, row, column = np.nonzero((shares > 0) & within)
    share = shares[number, row, column, None]
    colours = np.array([one.colour for _, one in found], "float32")[number]
    place = np.array([image for image, _ in found])[number], rows[number, row, 0], columns[number, 0, column]
    images[place] += share * (colours - images[place])


# Distances from the outline of each shape, from `x` to the right and `y` downwards, in its radius.


def _polygon(x, y, corners, apothem, turn):
    """A regular polygon whose edges are `apothem` from the centre; the first edge looks in the direction `turn`."""
    angles = turn + 2 * math.pi * np.arange(corners) / corners
    return functools.reduce(np.maximum, (x * math.cos(one) + y * math.sin(one) - apothem for one in angles))


def _star(x, y, outer=0.95, inner=0.43):
    """Five points, each turned onto the one that points upwards; `outer` and `inner` are radii of its corners."""
    fifth = 2 * math.pi / 5
    angle = np.abs(np.mod(np.arctan2(x, -y) + fifth / 2, fifth) - fifth / 2)
    radius = np.hypot(x, y)
    across, along = radius * np.sin(angle), radius * np.cos(angle)
    # The edge from the outer corner to the inner one, which is half of a fifth further.
    right, down = inner * math.sin(fifth / 2), outer - inner * math.cos(fifth / 2)
    return ((along - outer) * right + across * down) / math.hypot(right, down)


def _bar(x, y, half_width, half_height):
    return np.maximum(np.abs(x) - half_width, np.abs(y) - half_height)


_OUTLINES = {
    "circle": lambda x, y: np.hypot(x, y) - 0.9,
    "square": lambda x, y: _bar(x, y, 0.74, 0.74),
    "triangle": lambda x, y: _polygon(x, y, 3, 0.49, math.pi / 2),
    "diamond": lambda x, y: (np.abs(x) - 0.68 + np.abs(y) * 0.68) / math.hypot(1, 0.68),
    "star": _star,
    "cross": lambda x, y: np.minimum(_bar(x, y, 0.95, 0.3), _bar(x, y, 0.3, 0.95)),
}


def rendered(scene):
    """The image of a scene as the bytes of a PNG file, 64 x 64 pixels.

    Example:
        >>> tf.io.decode_png(rendered(scenes("test")[0])).shape
        TensorShape([64, 64, 3])
    """
    return encoded([scene])[0]


def encoded(some):
    """The images of many scenes, as `rendered`: faster than one at a time.

    Example:
        >>> len(encoded(scenes("test")[:3]))
        3
    """
    return [_png(image) for image in pixels(some)]


def _png(image):
    """A PNG file of 8-bit colours, as the standard says in chapters 5 and 11, with filter 0 in each row.

    TensorFlow's `encode_png` takes four times as long.
    """
    height, width, _ = image.shape
    rows = np.concatenate([np.zeros((height, 1), "uint8"), image.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows.tobytes(), 6)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
