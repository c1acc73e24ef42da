"""The grammar of the built-in sentences with people, places, organisations and dates; see `entities.built_in`."""

import functools
import random

SIZES = {"train": 4000, "validation": 500, "test": 500}


@functools.lru_cache(maxsize=2)
def written(seed):
    """The sentences of each split, all different: name -> list of (text, entities), each entity (start, end, label)."""
    rng, seen, found = random.Random(seed), set(), {}
    for split, size in SIZES.items():
        some = []
        while len(some) < size:
            text, entities = _sentence(rng)
            if text not in seen:
                seen.add(text)
                some.append((text, entities))
        found[split] = some
    return found


def _phrases(joined):
    return joined.split("|")


# Names that may be a person, a place or an organisation.
_SHARED = _phrases(
    "Jordan|Paris|Washington|Sydney|Florence|Austin|Chelsea|Madison|Georgia|Victoria|Lincoln|Morgan|Ford|Lloyd|Benton|"
    "Milan|Adelaide|Carson|Houston|Dallas|Orlando|Savannah|Sofia|Chester|Nelson|Stirling|Ashton|Camden|Devon|Preston"
)
# Words that are names in some places only.
_WORDS = _phrases("Will|Rose|Mark|Grant|Hope|Bill|May|Grace|Frank|Dean|Summer|Faith")
_SYLLABLES = _phrases(
    "ba|bel|bran|cal|dor|el|fen|gar|hal|is|jor|kel|lan|mar|nor|or|pel|quin|ros|sel|tam|ul|ver|wen|yar|zel"
)
_MONTHS = _phrases("January|February|March|April|May|June|July|August|September|October|November|December")
_DAYS = _phrases("Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday")

_PATTERNS = _phrases(
    "{PER} met {PER} in {LOC}{ON}.|{PER} told {PER} that the train to {LOC} was late.|{ORG} hired {PER}{ON}.|"
    "{PER} flew from {LOC} to {LOC}{ON}.|Shares in {ORG} fell after {PER} resigned{ON}.|"
    "{ORG} opened an office in {LOC}.|"
    "The streets of {LOC} were empty{ON}.|{PER} , who was born in {LOC} , works for {ORG}.|{LOC} is colder than {LOC}.|"
    '{ORG} bought {ORG} for two billion dollars{ON}.|"I never liked {LOC}" , said {PER}.|'
    "The mayor of {LOC} thanked {PER}.|"
    "Yesterday , {PER} married {PER} near {LOC}.|Will {PER} ever leave {LOC}?|The board of {ORG} dismissed {PER}{ON}.|"
    "{PER}'s brother lives in {LOC}.|Customers sued {ORG} in {LOC}{ON}.|They may march through {LOC}{ON}.|"
    "A rose from {PER} lay on the table.|Employees of {ORG} hope for better pay.|{DATE} was the day {PER} left {LOC}.|"
    "Rents in {LOC} rose again , {ORG} reported{ON}.|{PER} and {PER} wrote to {ORG}.|The river near {LOC} froze{ON}.|"
    "The bill was paid by {PER} of {ORG}.|We drove past {LOC} with {PER}.|{ORG} said that its profits had doubled.|"
    "{PER} laughed.|Nobody in {LOC} knew {PER}.|The grant went to {ORG}{ON}.|Summer in {LOC} is long."
)
_WHEN = _phrases(" on {DATE}| in {DATE}| {DATE}|||")


def _sentence(rng):
    """A pattern with names in its places: (text, entities)."""
    pattern = rng.choice(_PATTERNS)
    pattern = pattern.replace("{ON}", rng.choice(_WHEN))
    text, entities = "", []
    while "{" in pattern:
        plain, _, rest = pattern.partition("{")
        kind, _, pattern = rest.partition("}")
        text += plain
        before = text.split()[-1] if text else ""
        name = _date(rng, before) if kind == "DATE" else _name(rng, kind)
        entities.append((len(text), len(text) + len(name), kind))
        text += name
    return text + pattern, entities


def _new(rng):
    return "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((2, 2, 3)))).capitalize()


def _name(rng, kind):
    one = rng.choice(_SHARED) if rng.random() < 0.6 else _new(rng)
    if kind == "PER":
        first = rng.choice(_WORDS) if rng.random() < 0.3 else one
        return f"{first} {rng.choice(_SHARED) if rng.random() < 0.5 else _new(rng)}" if rng.random() < 0.5 else first
    if kind == "ORG" and rng.random() < 0.3:
        return f"{one} {rng.choice(('and Sons', 'Group', 'Bank', 'United', '& Co'))}"
    if kind == "LOC" and rng.random() < 0.2:
        return f"{rng.choice(('New', 'North', 'Lake', 'Port'))} {one}"
    return one


def _date(rng, before):
    year, month = rng.randint(1950, 2025), rng.choice(_MONTHS)
    if before == "in":
        return rng.choice((str(year), f"{month} {year}", month))
    if before in ("", "on"):
        return rng.choice((f"{rng.randint(1, 28)} {month}", f"{month} {rng.randint(1, 28)}, {year}"))
    return f"{rng.choice(('last', 'next'))} {rng.choice(_DAYS)}"
