"""Texts with named entities: columns as CoNLL has them, JSON lines with spans, and a built-in set.

An example is (text, entities): a scalar string, and `(entities, 3)` strings, for each entity where it starts and ends,
in characters (Unicode code points) of the text, the end not included, and its label. Words in columns are joined by one
space.
"""

import functools
import json
import pathlib
import random

import tensorflow as tf

from data import public_sets
from data.files import InputError, read_lines
from data.transforms.tags import SCHEMES, convert, spans

SPLITS = {"train": 4000, "validation": 500, "test": 500}  # sentences in the built-in set
_SIGNATURE = (tf.TensorSpec([], tf.string), tf.TensorSpec([None, 3], tf.string))


# Files.


def check(path, *, token_column=0, tag_column=-1, scheme=None, strict=False, known=None):
    """Read the whole file once: is everything right, and what is in it?

    Args:
        path: The file: `.jsonl` or `.ndjson` with `text` and `entities`, a list of `start`, `end` and `label`; any
            other is columns, see `load`. Each also with `.gz`.
        token_column, tag_column: Which columns hold the word and the tag, from 0, or from the end where negative.
        scheme: The scheme that the tags are in, one of `tags.SCHEMES`; None: that which most of them fit.
        strict: Whether tags that break the scheme are an error; otherwise they are read as `tags.spans` reads them, and
            counted.
        known: The labels that may occur, those of the training data; None allows any.

    Returns:
        `{"sentences": number, "words": number, "scheme": name, "repaired": number, "labels": {label: number}}`; words
        are counted where the file has columns.

    Raises:
        InputError: at the first line that is wrong.
    """
    found = {"sentences": 0, "words": 0, "scheme": None, "repaired": 0, "labels": {}}
    wrong = {name: [] for name in ([scheme] if scheme else SCHEMES)}  # scheme -> (line, tag) of those that break it
    for line, _, entities, tags in _sentences(path, token_column, tag_column):
        found["sentences"] += 1
        found["words"] += len(tags)
        for name, broken in wrong.items():
            pairs = zip(tags, convert(tags, name), strict=True)
            broken += [(line + place, tag) for place, (tag, right) in enumerate(pairs) if tag != right]
        for _, _, label in entities:
            if known is not None and label not in known:
                expected = ", ".join(map(repr, known))
                raise InputError(path, f"expected a label of the training data ({expected}), received {label!r}.", line)
            found["labels"][label] = found["labels"].get(label, 0) + 1
    if not found["sentences"]:
        raise InputError(path, "expected sentences, received none.")
    if found["words"]:
        found["scheme"], broken = min(wrong.items(), key=lambda pair: len(pair[1]))
        found["repaired"] = len(broken)
        if broken and strict:
            line, tag = broken[0]
            raise InputError(path, f"expected tags of scheme {found['scheme']}, received {tag!r} there.", line)
    return found


def load(path, *, token_column=0, tag_column=-1):
    """The texts and entities of a file, read as they are needed.

    Args:
        path: The file. Columns: a word on each line, with its tag in a column of its own, between tabs or spaces, and a
            blank line between sentences; `-DOCSTART-` and comments (a line that begins with "#" and has another number
            of columns) are left out. JSON lines: see `check`.
        token_column, tag_column: As for `check`.

    Returns:
        A `tf.data.Dataset` of (text, entities), see the top of this module, in the order of the file.

    Raises:
        InputError: at the first line that is wrong. The whole file is checked before this returns.

    Example:
        >>> for text, entities in load("tests/fixtures/entities.conll").take(1):
        ...     print(text.numpy().decode(), entities.numpy().tolist())
        Jordan met Paris in Washington . [[b'0', b'6', b'PER'], [b'11', b'16', b'PER'], [b'20', b'30', b'LOC']]
    """
    check(path, token_column=token_column, tag_column=tag_column)

    def examples():
        for _, text, entities, _ in _sentences(path, token_column, tag_column):
            yield text, _table(entities)

    return tf.data.Dataset.from_generator(examples, output_signature=_SIGNATURE)


def _table(entities):
    return [[str(start), str(end), label] for start, end, label in entities] or tf.zeros([0, 3], tf.string)


def _sentences(path, token_column, tag_column):
    """(line, text, entities in characters, tags) of each sentence; tags are none where there are no columns."""
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes if suffix.lower() != ".gz"]
    if suffixes[-1:] and suffixes[-1] in (".jsonl", ".ndjson"):
        for line, text, entities in _json_lines(path):
            yield line, text, entities, []
        return
    for line, rows in _columns(path):
        words = [_cell(path, row, token_column, at) for at, row in enumerate(rows, start=line)]
        tags = [_cell(path, row, tag_column, at) for at, row in enumerate(rows, start=line)]
        for at, tag in enumerate(tags, start=line):
            if tag != "O" and not (tag[:1] in "BIESLUM" and tag[1:2] == "-" and tag[2:]):
                raise InputError(path, f"expected O or a tag such as B-PER, received {tag!r}.", at)
        yield line, *_joined(words, tags), tags


def _joined(words, tags):
    """The text of words, and where its entities stand."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    return " ".join(words), [(starts[start], starts[end] - 1, label) for start, end, label in spans(tags)]


def _cell(path, row, column, line):
    try:
        return row[column]
    except IndexError:
        raise InputError(path, f"expected a column {column}, received {len(row)} columns.", line) from None


def _columns(path):
    """(line of the first word, rows) of each sentence."""
    count = by_tab = None
    rows, first = [], None
    for number, line in read_lines(path):
        line = line.rstrip("\r\n")
        if not line.strip():
            if rows:
                yield first, rows
            rows = []
            continue
        if by_tab is None and not line.startswith("#"):
            by_tab = "\t" in line
        fields = line.split("\t") if by_tab else line.split()
        if line.startswith("#") and (count is None or len(fields) != count):
            continue
        if fields[0] == "-DOCSTART-":
            continue
        count = count or len(fields)
        if len(fields) != count:
            mixed = by_tab and "\t" not in line
            advice = " separated by tabs, as above" if mixed else ""
            raise InputError(path, f"expected {count} columns{advice}, received {len(fields)}.", number)
        if count < 2:
            raise InputError(path, f"expected a word and a tag, received {line[:40]!r}.", number)
        first = number if not rows else first
        rows.append(fields)
    if rows:
        yield first, rows


def _json_lines(path):
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise InputError(path, f"expected a JSON object, received: {error.msg}.", number) from None
        if not isinstance(row, dict) or not isinstance(row.get("text"), str):
            raise InputError(path, "expected an object with a `text`, received none.", number)
        if not isinstance(row.get("entities"), list):
            raise InputError(path, "expected a list `entities`, received none; [] where there are none.", number)
        text, entities, last = row["text"], [], 0
        for entity in row["entities"]:
            try:
                start, end, label = entity["start"], entity["end"], entity["label"]
                right = 0 <= start < end <= len(text) and isinstance(label, str) and label
            except (TypeError, KeyError):
                right = False
            if not right:
                expected = f"`start`, `end` in 0 ... {len(text)} and a `label`"
                raise InputError(path, f"expected {expected}, received {json.dumps(entity)[:80]}.", number)
            entities.append((start, end, label))
        entities.sort()
        for start, end, _ in entities:
            if start < last:
                raise InputError(path, f"expected entities side by side, received two that hold {start}.", number)
            last = end
        yield number, text, entities


# Public sets.


def public(name, split, *, data_dir=None):
    """A public set of tagged words of TensorFlow Datasets, downloaded when first asked for.

    Args:
        name: Its name there, such as "conll2003" or "wikiann/en".
        split: One of `public_splits(name)`.
        data_dir: Folder of the data sets; None is `~/tensorflow_datasets`.

    Returns:
        A `tf.data.Dataset` of (text, entities), see the top of this module, in a fixed order. Words come from the
        feature "tokens", or the only one of words; tags from "ner", or the only one of tags.

    Raises:
        InputError: if there is no such set or split, it holds no tagged words or cannot be downloaded.
    """
    found = public_sets.Public(name, data_dir)
    words, tags = found.feature("tokens", found.is_words), found.feature("ner", found.is_tags)
    names = found.features[tags].feature.names
    examples = found.examples(split)

    def rows():
        for example in examples.as_numpy_iterator():
            text, entities = _joined(
                [word.decode("utf-8", errors="replace") for word in example[words]],
                [names[number] for number in example[tags]],
            )
            yield text, _table(entities)

    return tf.data.Dataset.from_generator(rows, output_signature=_SIGNATURE)


def public_splits(name, *, data_dir=None):
    """Which of "train", "validation" and "test" a public set has, downloading it if need be.

    Raises:
        InputError: as `public`.
    """
    return list(public_sets.Public(name, data_dir).splits)


# The built-in set.


def built_in(split, seed=0):
    """Sentences made by a grammar: people, places, organisations and dates whose names do not tell which they are.

    "Jordan", "Paris", "Morgan" or a name never heard before may be a person, a place or an organisation; "May", "Will"
    and "Rose" may be no name at all. What stands around them decides, so that looking names up says little.

    Args:
        split: "train" (4,000 sentences), "validation" (500) or "test" (500).
        seed: Of the generator: another seed gives other sentences.

    Returns:
        A `tf.data.Dataset` of (text, entities), in a fixed order.

    Raises:
        ValueError: if there is no such split.

    Example:
        >>> for text, entities in built_in("train").take(1):
        ...     print(text.dtype, entities.shape[1])
        <dtype: 'string'> 3
    """
    if split not in SPLITS:
        raise ValueError(f"`split` must be one of {', '.join(SPLITS)}. Received: split={split!r}.")
    examples = _written(seed)[split]
    return tf.data.Dataset.from_generator(
        lambda: ((text, _table(entities)) for text, entities in examples), output_signature=_SIGNATURE
    )


@functools.lru_cache(maxsize=2)
def _written(seed):
    rng, seen, written = random.Random(seed), set(), {}
    for split, size in SPLITS.items():
        some = []
        while len(some) < size:
            text, entities = _sentence(rng)
            if text not in seen:
                seen.add(text)
                some.append((text, entities))
        written[split] = some
    return written


def _phrases(written):
    return written.split("|")


# Names that may be a person, a place or an organisation.
_SHARED = _phrases(
    "Jordan|Paris|Washington|Sydney|Florence|Austin|Chelsea|Madison|Georgia|Victoria|Lincoln|Morgan|Ford|Lloyd|Benton|"
    "Milan|Adelaide|Carson|Houston|Dallas|Orlando|Savannah|Sofia|Chester|Nelson|Stirling|Ashton|Camden|Devon|Preston"
)
# Words that are names in one place and none in another.
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
    """A pattern with its places filled: (text, entities)."""
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
