"""True captions of the drawn scenes, and a judge of any caption.

Captions are written by the templates in `_TEMPLATES`, and `is_true` reads captions by the same templates.

A caption's noun phrase, such as "two blue squares", means all shapes of the scene that it fits, so it is true if
exactly two of them are blue squares.
"""

import random
import re
from typing import NamedTuple

from data.sets.scenes import COLOURS, RADII, RELATIONS, SHAPES

COUNTS = {1: "a", 2: "two", 3: "three"}
PLACES = {
    "left": "on the left",
    "right": "on the right",
    "top": "at the top",
    "bottom": "at the bottom",
    "middle": "in the middle",
}


class Phrase(NamedTuple):
    """A noun phrase; size and colour are "" if it does not name them."""

    count: int
    size: str
    colour: str
    shape: str

    def __str__(self):
        words = [self.size, self.colour, self.shape if self.count == 1 else SHAPES[self.shape]]
        said = " ".join(filter(None, words))
        return f"{'an' if self.count == 1 and said[0] in 'aeiou' else COUNTS[self.count]} {said}"

    def fits(self, group):
        """Whether a shape of this group may be meant."""
        return all(mine in ("", its) for mine, its in zip(self[1:], group[1:4], strict=True))


# Templates that say how two groups lie to each other, that leave that out, and of a scene with one group.
_RELATED = (
    "{one} {relation} {other}",
    "there {is} {one} {relation} {other}",
    "{one} {is} {relation} {other}",
    "the picture shows {one} {relation} {other}",
    "{one} with {other} {inverse} {it}",
    "{one} {place} and {other} {other_place}",
)
_PARTIAL = (
    "{one} and {other}",
    "there {is} {one} and {other}",
    "there {is} {one} in the picture",
    "{one} {place}",
    "there {is} {one} {place}",
    "the picture shows {one}",
)
_ALONE = (
    "{one} {place}",
    "there {is} {one} {place}",
    "{one} {is} {place}",
    "the picture shows {one} {place}",
    "there {is} {one} in the picture",
    "the picture shows {one}",
)
_TEMPLATES = tuple(dict.fromkeys(_RELATED + _PARTIAL + _ALONE + ("{one}",)))


def captions(scene):
    """Five different true captions of a scene, always the same ones.

    Of two groups, the first four captions name the one on the left or at the top first, as people read: the first three
    name everything, in different words, and the fourth leaves out a size or a colour. The last leaves out how the
    groups lie, or one of them. Of one group, the first three name everything, and the others leave something out.

    Returns:
        A list of strings, in lower case, without a full stop.

    Example:
        >>> from data.sets.scenes import scenes
        >>> for caption in captions(scenes("validation")[0]):
        ...     print(caption)
        three large yellow crosses left of two small blue triangles
        three large yellow crosses with two small blue triangles to the right of them
        there are three large yellow crosses left of two small blue triangles
        three large crosses on the left and two small blue triangles on the right
        the picture shows two small blue triangles
    """
    rng = random.Random(repr(scene))
    found = []
    for templates, less in _plan(scene):
        caption = ""
        while not caption or caption in found:
            swapped = templates is _PARTIAL and rng.random() < 0.5
            order = scene.groups[::-1] if swapped else scene.groups
            caption = _written(rng, rng.choice(templates), order, scene, less)
        found.append(caption)
    return found


def _plan(scene):
    """The templates of each caption, and whether it leaves out a size or a colour."""
    if len(scene.groups) == 2:
        return [(_RELATED[:1], False), *[(_RELATED[1:], False)] * 2, (_RELATED, True), (_PARTIAL, False)]
    return [(_ALONE[:4], False)] * 3 + [(_ALONE[:4], True), (_ALONE, True)]


def _written(rng, template, order, scene, less):
    """A caption of the groups, in this order."""
    phrases = [Phrase(*group[:4]) for group in order]
    shorter = [
        (number, phrase)
        for number, group in enumerate(phrases)
        for phrase in (group._replace(size=""), group._replace(colour=""))
        if less and _meant(phrase, scene) is not None and (phrase.colour or len(phrases) == 2)
    ]
    if shorter:
        number, phrase = rng.choice(shorter)
        phrases[number] = phrase
    one, other = order[0], order[-1]
    return template.format(
        one=phrases[0],
        other=phrases[-1],
        relation=rng.choice(RELATIONS.get((one.place, other.place), [""])),
        inverse=rng.choice(RELATIONS.get((other.place, one.place), [""])),
        place=PLACES[one.place],
        other_place=PLACES[other.place],
        **_AGREEING[one.count == 1],
    )


_AGREEING = {True: {"is": "is", "it": "it"}, False: {"is": "are", "it": "them"}}


def is_true(caption, scene):
    """Whether a caption is true of a scene.

    It must be written by one of the templates, in correct English; every count, size, colour, shape, place and relation
    that it names must be that of the scene; and it must name at least one group with its colour and its shape. Upper
    case, further spaces and a full stop at the end do not matter.

    Example:
        >>> from data.sets.scenes import scenes
        >>> scene = scenes("validation")[0]
        >>> is_true("two blue triangles right of three crosses", scene), is_true("three blue triangles", scene)
        (True, False)
    """
    text = " ".join(caption.lower().split()).removesuffix(".").rstrip()
    return any(_holds(match.groupdict(), scene) for pattern in _PATTERNS if (match := pattern.fullmatch(text)))


def _holds(said, scene):
    """Whether all that a caption says, as field of its template -> words, is true."""
    one, other = (_phrase(said[field]) if field in said else None for field in ("one", "other"))
    if any(said.get(field, word) != word for field, word in _AGREEING[one is not None and one.count == 1].items()):
        return False
    if one is None or not any(phrase and phrase.colour for phrase in (one, other)):
        return False
    first = _meant(one, scene)
    if first is None or ("place" in said and {PLACES[group.place] for group in first} != {said["place"]}):
        return False
    if "other" not in said:
        return True
    second = _meant(other, scene) if other else None
    if second is None or set(first) & set(second):
        return False
    if "other_place" in said:
        return {PLACES[group.place] for group in second} == {said["other_place"]}
    places = first[0].place, second[0].place
    return said.get("relation", "") in ("", *RELATIONS[places]) and said.get("inverse", "") in (
        "",
        *RELATIONS[places[::-1]],
    )


def _meant(phrase, scene):
    """The groups that a phrase means; None if they have another number of shapes than it says."""
    found = [group for group in scene.groups if phrase.fits(group)]
    return found if sum(group.count for group in found) == phrase.count else None


def _phrase(words):
    """The phrase that is written so; None if the article or the plural is wrong."""
    count, size, colour, noun = _PHRASE.fullmatch(words).groups(default="")
    count = {word: number for number, word in COUNTS.items()}.get(count, 1)
    phrase = Phrase(count, size, colour, noun if noun in SHAPES else _SINGULAR[noun])
    return phrase if str(phrase) == words else None


_SINGULAR = {plural: shape for shape, plural in SHAPES.items()}
_ONE_OF = lambda words: "|".join(sorted(words, key=len, reverse=True))
_NOUN_PHRASE = (
    f"({_ONE_OF([*COUNTS.values(), 'an'])}) (?:({_ONE_OF(RADII)}) )?(?:({_ONE_OF(COLOURS)}) )?"
    f"({_ONE_OF([*SHAPES, *_SINGULAR])})"
)
_PHRASE = re.compile(_NOUN_PHRASE)
_RELATION = _ONE_OF([word for words in RELATIONS.values() for word in words])
_FIELDS = {
    "one": _NOUN_PHRASE,
    "other": _NOUN_PHRASE,
    "is": "is|are",
    "it": "it|them",
    "relation": _RELATION,
    "inverse": _RELATION,
    "place": _ONE_OF(PLACES.values()),
    "other_place": _ONE_OF(PLACES.values()),
}
_PATTERNS = [
    re.compile(template.format(**{field: f"(?P<{field}>{words})" for field, words in _FIELDS.items()}))
    for template in _TEMPLATES
]
