"""Drawn scenes: what they show is read from the pixels, and what captions say is read without the templates."""

import collections
import re

import numpy as np
import pytest
import tensorflow as tf

from data.sets import scene_captions, scenes
from data.sets.scenes import Drawn, Group, Scene

WORDS = {
    "count": {"a": 1, "an": 1, "two": 2, "three": 3},
    "size": ("small", "large"),
    "colour": ("red", "orange", "yellow", "green", "blue", "purple"),
    "shape": ("circle", "square", "triangle", "diamond", "star", "cross"),
}
# Red, green and blue of each colour, as anyone would write it.
PURE = {
    "red": (220, 30, 30),
    "orange": (255, 140, 0),
    "yellow": (240, 220, 30),
    "green": (30, 160, 50),
    "blue": (40, 80, 220),
    "purple": (140, 50, 180),
}
NOUNS = {f"{shape}{end}": shape for shape in WORDS["shape"] for end in ("", "es" if shape == "cross" else "s")}
FEW = 120  # scenes, where all take too long


@pytest.fixture(scope="module")
def some():
    return scenes.scenes("validation")[:FEW]


@pytest.fixture(scope="module")
def images(some):
    return scenes.pixels(some)


def described(*groups):
    """A scene that is only described."""
    return Scene(tuple(Group(int(count), *rest) for count, *rest in map(str.split, groups)), (), ())


def places(scene):
    """The shapes of each group of a scene, `(count, 2)`: across and down."""
    drawn, found = iter(scene.drawn), []
    for group in scene.groups:
        found.append(np.array([(one.x, one.y) for _, one in zip(range(group.count), drawn, strict=False)]))
    return found


def test_scenes_depend_on_the_seed_alone_and_none_is_in_two_splits(monkeypatch):
    made = {split: scenes.scenes(split) for split in scenes.SIZES}
    assert {split: len(some) for split, some in made.items()} == {"train": 10_000, "validation": 500, "test": 500}
    groups = [frozenset(scene.groups) for some in made.values() for scene in some]
    assert len(set(groups)) == len(groups)
    with pytest.raises(ValueError, match="split='dev'"):
        scenes.scenes("dev")
    monkeypatch.setattr(scenes, "SIZES", {"train": 50})
    again, other = (scenes._made.__wrapped__(seed)["train"] for seed in (0, 1))
    assert again == made["train"][:50] and other != again


def test_every_count_size_colour_shape_and_place_is_common():
    counts = collections.Counter(value for scene in scenes.scenes("train") for group in scene.groups for value in group)
    kinds = [*WORDS["count"].values(), *WORDS["size"], *WORDS["colour"], *WORDS["shape"], *scenes.PLACES]
    assert set(counts) == set(kinds)
    assert all(counts[kind] > (80 if kind == "middle" else 2500) for kind in kinds)


def test_shapes_are_whole_apart_from_each_other_and_where_the_scene_says(some):
    for scene in some:
        for one in scene.drawn:
            assert min(one.x, one.y) - one.radius > 0.99 and max(one.x, one.y) + one.radius < 63.01
            for other in scene.drawn:
                assert one is other or np.hypot(one.x - other.x, one.y - other.y) > one.radius + other.radius + 0.5
        for group, found in zip(scene.groups, places(scene), strict=True):
            across, down = found.T
            assert len(found) == group.count
            assert group.place != "left" or across.max() <= 20
            assert group.place != "right" or across.min() >= 44
            assert group.place != "top" or down.max() <= 20
            assert group.place != "bottom" or down.min() >= 44
            assert group.place != "middle" or np.abs(found.mean(0) - 32).max() < 5
        if len(scene.groups) == 2:
            apart = places(scene)[1].mean(0) - places(scene)[0].mean(0)
            along, aside = apart if scene.relation == "left of" else apart[::-1]
            assert along > 24 and abs(aside) < 12


def test_images_show_as_many_shapes_of_each_colour_and_area_as_the_scene_says(some, images):
    """The shapes are found in the pixels: connected areas unlike the background, with their colour and area."""
    for scene, image in zip(some, images, strict=True):
        wanted = sorted((group.colour, group.size) for group in scene.groups for _ in range(group.count))
        above = image - image[0, 0].astype(float)
        found = []
        for area in areas(np.abs(above).max(-1) > 60):
            colour = np.median(image[area], axis=0)
            nearest = min(PURE, key=lambda name, colour=colour: np.abs(colour - PURE[name]).sum())
            full = colour - image[0, 0]
            height, width = np.ptp(np.nonzero(area & (above @ full > full @ full / 2)), axis=1) + 1
            found.append((nearest, "large" if (height + width) / 2 > 12.5 else "small"))
        assert sorted(found) == wanted


def areas(mask):
    """The connected areas of a mask, by spreading from a pixel of each."""
    left = mask.copy()
    while left.any():
        area = np.zeros_like(mask)
        area[np.unravel_index(left.argmax(), mask.shape)] = True
        while True:
            grown = area.copy()
            grown[1:] |= area[:-1]
            grown[:-1] |= area[1:]
            grown[:, 1:] |= area[:, :-1]
            grown[:, :-1] |= area[:, 1:]
            grown[1:, 1:] |= area[:-1, :-1]
            grown[:-1, :-1] |= area[1:, 1:]
            grown[1:, :-1] |= area[:-1, 1:]
            grown[:-1, 1:] |= area[1:, :-1]
            grown &= mask
            if (grown == area).all():
                break
            area = grown
        left &= ~area
        yield area


def inside(shape, x, y):
    """Whether points belong to a shape of radius 1, by its corners; `y` looks downwards."""
    turn = lambda degrees: (np.cos(np.radians(degrees)), np.sin(np.radians(degrees)))
    if shape == "circle":
        return x**2 + y**2 <= 0.9**2
    if shape == "cross":
        return (abs(x) <= 0.95) & (abs(y) <= 0.3) | (abs(x) <= 0.3) & (abs(y) <= 0.95)
    corners = {
        "square": [(-0.74, -0.74), (0.74, -0.74), (0.74, 0.74), (-0.74, 0.74)],
        "diamond": [(0, -1), (0.68, 0), (0, 1), (-0.68, 0)],
        "triangle": [np.multiply(0.98, turn(angle)) for angle in (-90, 30, 150)],
        "star": [np.multiply((0.95, 0.43)[number % 2], turn(-90 + 36 * number)) for number in range(10)],
    }[shape]
    crossed = np.zeros(x.shape, bool)  # an odd number of edges to the right of the point
    for (x_0, y_0), (x_1, y_1) in zip(corners, corners[1:] + corners[:1], strict=True):
        if y_0 != y_1:
            crossed ^= ((y_0 > y) != (y_1 > y)) & (x < x_0 + (y - y_0) * (x_1 - x_0) / (y_1 - y_0))
    return crossed


@pytest.mark.parametrize("shape", WORDS["shape"])
@pytest.mark.parametrize("radius, tilt", [(9.5, 0.0), (5.2, 7.0)])
def test_a_pixel_s_colour_is_the_shape_s_share_of_its_area(shape, radius, tilt):
    scene = Scene((), (Drawn(shape, 30.3, 20.8, radius, tilt, (200, 0, 0)),), (0, 0, 0))
    found = scenes.pixels([scene])[0, :, :, 0] / 200
    fine = (np.arange(64 * 16) + 0.5) / 16
    x, y = (fine - 30.3)[None] / radius, (fine - 20.8)[:, None] / radius
    c, s = np.cos(np.radians(tilt)), np.sin(np.radians(tilt))
    expected = inside(shape, x * c + y * s, y * c - x * s).reshape(64, 16, 64, 16).mean((1, 3))
    assert np.abs(found - expected).max() < 0.45  # at a corner
    assert np.abs(found - expected).mean() < 0.002
    assert abs(found.sum() / expected.sum() - 1) < 0.04


def test_the_png_is_read_as_the_pixels(some, images):
    files = scenes.encoded(some[:20])
    for scene, file, image in zip(some, files, images[:20], strict=False):
        np.testing.assert_array_equal(tf.io.decode_png(file), image)
        assert scenes.rendered(scene) == file and len(file) < 2500


# Captions.


def phrases(caption):
    """(count, size or None, colour or None, shape) of each noun phrase of a caption, word by word."""
    found = []
    for phrase in re.findall(rf"\b(?:a|an|two|three) (?:\w+ )*?(?:{'|'.join(NOUNS)})\b", caption):
        article, *adjectives, noun = phrase.split()
        assert (noun in WORDS["shape"]) == (WORDS["count"][article] == 1)
        pick = lambda kind, adjectives=adjectives: next((one for one in adjectives if one in WORDS[kind]), None)
        found.append((WORDS["count"][article], pick("size"), pick("colour"), NOUNS[noun]))
    return found


def test_every_caption_says_what_is_so_and_full_ones_say_all(some):
    openings = set()
    for scene in some:
        captions = scene_captions.captions(scene)
        assert captions == scene_captions.captions(scene) and len(set(captions)) == 5
        full = {group[:4] for group in scene.groups}
        for number, caption in enumerate(captions):
            assert scene_captions.is_true(caption, scene)
            said = phrases(caption)
            for count, size, colour, shape in said:
                fits = [
                    group
                    for group in scene.groups
                    if group.shape == shape and size in (None, group.size) and colour in (None, group.colour)
                ]
                assert sum(group.count for group in fits) == count
            if number < 3:
                assert set(said) == full
            openings.add(re.sub("|".join(WORDS["colour"]), "", caption).split()[0])
        if len(scene.groups) == 2:
            assert scene.relation in captions[0]
            for caption in captions[:3]:  # in reading order
                assert phrases(caption) == [group[:4] for group in scene.groups]
    assert openings == {"a", "an", "two", "three", "there", "the"}
    everything = " ".join(caption for scene in some for caption in scene_captions.captions(scene))
    assert all(f" {word} " in everything for word in ("left of", "right of", "above", "below"))


@pytest.mark.parametrize(
    "caption, true",
    [
        ("a small red circle left of two large blue squares", True),
        ("A small red circle  to the left of two blue squares .", True),
        ("two large blue squares to the right of a red circle", True),
        ("a red circle is left of two squares", True),
        ("two blue squares are to the right of a circle", True),
        ("there are two blue squares in the picture", True),
        ("a red circle with two blue squares to the right of it", True),
        ("two blue squares with a red circle left of them", True),
        ("a red circle on the left and two blue squares on the right", True),
        ("there is a red circle and two blue squares", True),
        ("the picture shows two large blue squares", True),
        ("a small red circle right of two large blue squares", False),
        ("a small red circle above two large blue squares", False),
        ("a large red circle left of two large blue squares", False),
        ("a small green circle left of two large blue squares", False),
        ("a small red star left of two large blue squares", False),
        ("a small red circle left of three large blue squares", False),
        ("a blue square left of a red circle", False),
        ("two red circles", False),
        ("two blue squares on the left", False),
        ("a red circle on the left and two blue squares on the left", False),
        ("a red circle and a red circle", False),
        ("a red circle with two blue squares left of it", False),
        ("a red circle with two blue squares to the right of them", False),
        ("a circle left of two squares", False),
        ("a circle", False),
        ("a red shape", False),
        ("there are a red circle", False),
        ("two blue square", False),
        ("a red circles", False),
        ("an red circle left of two blue squares", False),
        ("red circle", False),
        ("a red circle left of", False),
        ("a red small circle left of two blue squares", False),
        ("a red circle left of two blue squares above", False),
        ("left of", False),
        ("", False),
    ],
)
def test_a_caption_is_true_if_all_that_it_says_is_so(caption, true):
    scene = described("1 small red circle left", "2 large blue square right")
    assert scene_captions.is_true(caption, scene) is true


@pytest.mark.parametrize(
    "groups, caption, true",
    [
        (["2 small red star top", "1 large red star bottom"], "a large red star below two small red stars", True),
        (["2 small red star top", "1 large red star bottom"], "two red stars above a red star", False),
        (["2 small red star top", "1 large red star bottom"], "there are three red stars in the picture", True),
        (["2 small red star top", "1 large red star bottom"], "three red stars at the top", False),
        (["1 large orange cross middle"], "an orange cross in the middle", True),
        (["1 large orange cross middle"], "a orange cross in the middle", False),
        (["1 large orange cross middle"], "a large orange cross", True),
        (["1 large orange cross middle"], "a large red cross", False),
        (["1 large orange cross middle"], "an orange cross above an orange cross", False),
        (["3 small green cross left"], "three small green crosses on the left", True),
        (["3 small green cross left"], "three green crosses in the middle", False),
    ],
)
def test_a_phrase_means_all_shapes_that_it_fits(groups, caption, true):
    assert scene_captions.is_true(caption, described(*groups)) is true


def test_the_captions_of_one_scene_are_seldom_true_of_another(some):
    captions = [scene_captions.captions(scene)[0] for scene in some]
    others = [scene_captions.is_true(caption, some[number - 1]) for number, caption in enumerate(captions)]
    assert np.mean(others) < 0.02


def test_the_captions_of_the_most_similar_training_image_are_mostly_false():
    train, held_out = scenes.scenes("train")[:4000], scenes.scenes("test")[:FEW]
    coarse = lambda some: (
        scenes.pixels(some).reshape(-1, 16, 4, 16, 4, 3).mean((2, 4), "float32").reshape(len(some), -1)
    )
    base, asked = coarse(train), coarse(held_out)
    nearest = ((base**2).sum(1) - 2 * asked @ base.T).argmin(1)
    rng = np.random.default_rng(0)
    true = [
        scene_captions.is_true(rng.choice(scene_captions.captions(train[found])), scene)
        for found, scene in zip(nearest, held_out, strict=True)
    ]
    assert np.mean(true) < 0.4
