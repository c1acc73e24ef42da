"""Texts with named entities: columns as in CoNLL, tables, JSON lines with spans, and a built-in set.

An example is (text, entities): a scalar string, and `(entities, 3)` strings, for each entity its start, its end and its
label; places are characters (Unicode code points) of the text, the end not included. Entities are whole words of
`words.located`, see `tags.resolve`, in the order of the text. Words in columns are joined by one space.
"""

import collections
import csv
import itertools
import json
import re

import tensorflow as tf

from data import public_sets
from data.examples import in_chunks
from data.files import Form, InputError, kind_of, read_lines
from data.records import read_records
from data.sets import entities_grammar
from data.tables import error_at, read_table
from data.transforms.tags import SCHEMES, convert, edges, resolve, spans

SPLITS = entities_grammar.SIZES  # sentences in the built-in set
AT_ONCE = 256  # sentences that are read together
_CHUNK = (tf.TensorSpec([None], tf.string), tf.RaggedTensorSpec([None, None, 3], tf.string, ragged_rank=1))
_WITH_PREFIX = re.compile(r"[BIESLUM]-.+", re.DOTALL)
_NO_LABEL = re.compile(r"[BIESLUM]-")
_HEADINGS = ("tag", "tags", "label", "labels", "ner", "ner_tag", "ner_tags", "entity", "iob", "bio", "type")
_DOCUMENT = re.compile(r'"?-DOCSTART-(?!\w)')  # begins a line


# Files.


def check(
    path,
    *,
    token_column=0,
    tag_column=-1,
    sentence_column="",
    scheme=None,
    strict=False,
    known=None,
    form=None,
):
    """Reads the whole file once to check and count its content.

    Args:
        path: The file, see `load`.
        token_column, tag_column, sentence_column, form: As for `load`.
        scheme: The scheme of the tags, one of `tags.SCHEMES`; None: "IO" if most tags have no prefix, else the scheme
            that most of them fit.
        strict: Whether tags that break the scheme are an error; otherwise they are read as `tags.spans` reads them, and
            counted.
        known: The labels that may occur: those of the training data; None allows any.

    Returns:
        `{"sentences": number, "words": number, "scheme": name, "repaired": number, "trimmed": number, "widened":
        number, "labels": {label: number}}`. Words are counted if the file has tags. `trimmed` spans had invisible
        characters at an edge, `widened` ones began or ended within a word.

    Raises:
        InputError: at the first wrong line.
    """
    source = _source(path, token_column, tag_column, sentence_column, scheme, form)
    return _checked(path, source, scheme, strict, known)


def _checked(path, source, scheme=None, strict=False, known=None):
    """The result of `check` for a source."""
    found = {"sentences": 0, "words": 0, "scheme": None, "repaired": 0, "trimmed": 0, "widened": 0, "labels": {}}
    possible = [scheme] if scheme else [name for name in SCHEMES if name != "IO"] if source.prefixes else ["IO"]
    wrong = {name: [] for name in possible}  # scheme -> (line, tag) of those that break it
    for lines, _, entities, tags in _resolved(path, source.sentences(), found):
        found["sentences"] += 1
        found["words"] += len(tags)
        for name, broken in wrong.items():
            rows = zip(lines, tags, convert(tags, name), strict=True) if tags else ()
            broken += [(line, tag) for line, tag, right in rows if tag != right]
        for _, _, label, line in entities:
            if known is not None and label not in known:
                expected = ", ".join(map(repr, known))
                raise error_at(path, f"expected a label of the training data ({expected}), received {label!r}.", line)
            found["labels"][label] = found["labels"].get(label, 0) + 1
    if not found["sentences"]:
        raise InputError(path, "expected sentences, received none.")
    if found["words"]:
        found["scheme"], broken = min(wrong.items(), key=lambda pair: len(pair[1]))
        found["repaired"] = len(broken)
        if broken and strict:
            line, tag = broken[0]
            raise error_at(path, f"expected tags of scheme {found['scheme']}, received {tag!r} there.", line)
    return found


def load(path, *, token_column=0, tag_column=-1, sentence_column="", scheme=None, form=None):
    """The texts and entities of a file, read while they are used.

    Args:
        path: The file, of one of these formats, each also with `.gz`:
            JSON objects (`.jsonl`, `.ndjson`, `.json`) with `text` and `entities`, a list of `start`, `end` and
            `label`.
            A table with a header that `tables.read_table` reads, if a column is given by name.
            Any other file has columns: a word on each line, with its tag in another column, between tabs or spaces (in
            `.csv` commas), and a blank line between sentences. `-DOCSTART-` and comments are left out. A comment is a
            line that begins with "#" and has another number of columns or, before the first word of a sentence, no
            tag.
        token_column, tag_column: The columns of the word and of its tag: a number, from 0, or from the end if
            negative; or a name.
        sentence_column: The column that names the sentence, at its first word, at each word or in a row above them; ""
            if there is none: sentences then end at blank lines.
        scheme: As for `check`. "IO": tags are labels without prefixes, and neighbours of one type are one entity.
        form: A `files.Form`: the encoding, and in tables and columns the separator; None takes both from the file.

    Returns:
        A `tf.data.Dataset` of (text, entities), see the top of this module, in the order of the file.

    Raises:
        InputError: at the first wrong line. The whole file is checked before this returns.

    Example:
        >>> for text, entities in load("tests/fixtures/entities.conll").take(1):
        ...     print(text.numpy().decode(), entities.numpy().tolist())
        Jordan met Paris in Washington . [[b'0', b'6', b'PER'], [b'11', b'16', b'PER'], [b'20', b'30', b'LOC']]
    """
    source = _source(path, token_column, tag_column, sentence_column, scheme, form)
    _checked(path, source, scheme)

    return _dataset(lambda: ((text, entities) for _, text, entities, _ in _resolved(path, source.sentences())))


def _dataset(examples):
    """The data set of what `examples()` yields, (text, entities); in chunks: one by one takes four times as long."""

    def chunks():
        left = examples()
        while some := list(itertools.islice(left, AT_ONCE)):
            rows = [(str(start), str(end), label) for _, found in some for start, end, label, *_ in found]
            rows = tf.constant(rows, tf.string, shape=[len(rows), 3])
            yield [text for text, _ in some], tf.RaggedTensor.from_row_lengths(rows, [len(found) for _, found in some])

    made = in_chunks(chunks, _CHUNK)
    return made.map(lambda text, entities: (text, entities))  # entities are a plain tensor for `element_spec` too


def _resolved(path, sentences, counts=None):
    """Sentences with their entities at whole words: (lines, text, entities as (start, end, label, line), tags)."""
    counts = {} if counts is None else counts
    while some := list(itertools.islice(sentences, AT_ONCE)):
        for (lines, text, entities, tags), edge in zip(some, edges([text for _, text, *_ in some]), strict=True):
            found, last = [], 0
            for start, end, label, line in sorted(entities):
                words = resolve(start, end, *edge)
                if words is None and "left_out" in counts:
                    counts["left_out"] += 1
                    continue
                if words is None:
                    expected = "expected entities with something to see, received one of spaces or characters without "
                    raise error_at(path, f"{expected}width alone, {text[start:end]!r} ({start} ... {end}).", line)
                if words[0] < last:
                    expected = "expected entities side by side, of whole words each, received two that hold "
                    raise error_at(path, f"{expected}{text[words[0] : last]!r} ({words[0]} ... {last}).", line)
                last = words[1]
                found.append((*words, label, line))
                for name, differs in (
                    ("trimmed", start < words[0] or end > words[1]),
                    ("widened", start > words[0] or end < words[1]),
                ):
                    counts[name] = counts.get(name, 0) + differs
            yield lines, text, found, tags


def _joined(words, tags, lines):
    """The text of words, and the places of its entities, with the line of their first word."""
    starts = [0]
    for word in words:
        starts.append(starts[-1] + len(word) + 1)
    found = [(starts[start], starts[end] - 1, label, lines[start]) for start, end, label in spans(tags)]
    return " ".join(words), found


def _source(path, token_column, tag_column, sentence_column, scheme, form):
    """The reader of a file: an object with `sentences()` and `prefixes` (whether its tags have prefixes)."""
    form = form or Form()
    kind = kind_of(path)
    columns = [_column(one) for one in (token_column, tag_column, sentence_column)]
    if any(isinstance(one, str) for one in columns):
        return _Table(path, columns, scheme, form)
    if kind in (".jsonl", ".ndjson", ".json"):
        return _Spans(path, form)
    return _Columns(path, columns, scheme, form, form.separator or ("," if kind == ".csv" else ""))


def _column(column):
    """A column's number, or its name; None if there is none."""
    column = str(column).strip()
    return int(column) if re.fullmatch(r"-?\d{1,4}", column) else column or None


class _Tagged:
    """Files with a word in each row. `rows()` yields (line, word, tag, sentence), and None where a sentence ends."""

    prefixes = None  # whether tags have prefixes; None until all rows are read
    tags = ()  # the tags of the file, with their counts

    def __init__(self, path, columns, scheme, form):
        self.path, self.form = path, form
        self.token, self.tag, self.sentence = columns
        self.tags = collections.Counter(row[2] for row in self.rows() if row)
        self.prefixes = _have_prefixes(self.tags, scheme)

    def sentences(self):
        """(lines, text, entities, tags) of each sentence; entities with their lines, tags with prefixes."""
        rows, name = [], ""
        for row in itertools.chain(self.rows(), [None]):
            if rows and (row is None or row[3] not in ("", name)):
                lines, words, tags, _ = zip(*rows, strict=True)
                tags = [self._with_prefix(tag, line) for tag, line in zip(tags, lines, strict=True)]
                yield lines, *_joined(words, tags, lines), tags
                rows = []
            if row is not None:
                rows.append(row)
                name = row[3] or name

    def _with_prefix(self, tag, line):
        if tag == "O" or (self.prefixes and _WITH_PREFIX.fullmatch(tag)):
            return tag
        if self.prefixes or not tag or _NO_LABEL.fullmatch(tag):
            advice = "; the scheme of tags without prefixes is IO" if tag else ""
            raise error_at(self.path, f"expected O or a tag such as B-PER, received {tag!r}{advice}.", line)
        return f"I-{tag}"


def _have_prefixes(tags, scheme=None):
    """Whether tags, a `Counter`, have prefixes: as most of them do; without "O" they cannot be labels alone."""
    with_prefix = sum(count for tag, count in tags.items() if _WITH_PREFIX.fullmatch(tag))
    bare = sum(tags.values()) - with_prefix - tags["O"]
    return with_prefix >= bare or scheme not in (None, "IO") or (scheme is None and not tags["O"])


class _Table(_Tagged):
    """A table with a header."""

    def rows(self):
        names = [name for name in (self.token, self.tag, self.sentence) if name is not None]
        if not all(isinstance(name, str) for name in names):
            received = ", ".join(map(str, names))
            raise InputError(self.path, f"expected names of all columns where one is named, received {received}.")
        by_blank_lines = self.sentence is None
        chunks = read_table(self.path, list(dict.fromkeys(names)), form=self.form, blank_lines=by_blank_lines)
        above = ""  # the sentence that a row without a word names: that of the next word
        for chunk in chunks:
            for line, *cells in zip(chunk.index.tolist(), *(chunk[name].tolist() for name in names), strict=True):
                word, tag, *sentence = cells
                above = "".join(sentence).strip() or above
                if (word or tag) and word != "-DOCSTART-":
                    yield line, word, tag.strip(), above
                    above = ""
                elif by_blank_lines or word:
                    yield None


class _Columns(_Tagged):
    """A word on each line, its fields between tabs, spaces or another separator, without a header."""

    def __init__(self, path, columns, scheme, form, separator):
        self.path, self.form = path, form
        self.separator, self.count = self._layout(separator)
        super().__init__(path, columns, scheme, form)

    def _layout(self, separator):
        """The separator and the number of columns, as in most lines."""
        possible = [separator] if separator else ["\t", " "]
        # Counts of (number of fields without the empty ones at the end of the line, number of all fields). Lines that
        # begin with "#" are used only if there are no others.
        shapes = {(by, marked): collections.Counter() for by in possible for marked in (False, True)}
        for _, line in self._lines():
            if line is not None:
                for by in possible:
                    fields = self._split(line, by)
                    shapes[by, line.startswith("#")][_width(fields), len(fields)] += 1
        shapes = {by: shapes[by, False] or shapes[by, True] for by in possible}
        if not separator:
            tabs, total = sum(times for (width, _), times in shapes["\t"].items() if width > 1), shapes["\t"].total()
            alike = len(shapes[" "]) == 1 and tabs < total  # between spaces all lines have the same number of fields
            separator = "\t" if 2 * tabs >= total and not alike else " "
        widths = collections.Counter()
        for (width, _), times in shapes[separator].items():
            widths[width] += times
        widest = max(widths, default=0)
        if all(widest <= length for _, length in shapes[separator]):
            return separator, widest
        return separator, widths.most_common(1)[0][0]

    def _lines(self):
        """(number, line without its end) of each line; the line is None if it ends a sentence."""
        for number, line in read_lines(self.path, self.form.encoding):
            line = line.rstrip("\r\n")
            yield number, line if line.strip() and not _DOCUMENT.match(line) else None

    def _split(self, line, separator):
        if separator == "\t":
            return line.split(separator)
        if separator == " ":
            return [field for field in line.replace("\t", " ").split(" ") if field]
        escape = self.form.escape or None
        return next(csv.reader([line], delimiter=separator, escapechar=escape, doublequote=escape is None))

    def rows(self):
        inside, first = False, True
        for number, line in self._lines():
            if line is None:
                yield None
                inside = False
                continue
            fields = self._split(line, self.separator)
            width = _width(fields)
            fits = width <= self.count <= len(fields)
            fields = fields[: self.count]
            if line.startswith("#") and not (fits and (inside or self._may_be(self._cell(fields, self.tag, number)))):
                continue
            if not fits:
                some = "tabs" if self.separator == "\t" and "\t" not in line else ""
                advice = f" separated by {some}, as in most lines" if some else ""
                received = width if width > self.count else len(fields)
                raise InputError(self.path, f"expected {self.count} columns{advice}, received {received}.", number)
            if self.count < 2:
                raise InputError(self.path, f"expected a word and a tag, received {line[:40]!r}.", number)
            word, tag = (self._cell(fields, column, number) for column in (self.token, self.tag))
            if word == "-DOCSTART-":
                yield None
                inside = False
                continue
            if first and tag.strip().lower() in _HEADINGS:
                advice = f"if it is a header, name the columns: --token-column {word} --tag-column {tag.strip()}"
                raise InputError(self.path, f"expected a tag, received {tag.strip()!r}; {advice}.", number)
            first = False
            sentence = "" if self.sentence is None else self._cell(fields, self.sentence, number)
            yield number, word, tag.strip(), sentence.strip()
            inside = True

    def _may_be(self, tag):
        """Whether a line that begins with "#" and has all columns holds a word: whether its tag column holds a tag."""
        if tag == "O" or _WITH_PREFIX.fullmatch(tag):
            return True
        # With spaces between columns, a comment may have as many words as there are columns.
        return not self.prefixes and (self.separator != " " or tag in self.tags)

    def _cell(self, row, column, line):
        try:
            return row[column]
        except IndexError:
            raise InputError(self.path, f"expected a column {column}, received {len(row)} columns.", line) from None


def _width(fields):
    """The number of fields without the empty ones at the end."""
    width = len(fields)
    while width and not fields[width - 1].strip():
        width -= 1
    return width


class _Spans:
    """JSON objects of `text` and `entities`."""

    prefixes = True

    def __init__(self, path, form):
        self.path, self.form = path, form

    def sentences(self):
        for number, row in read_records(self.path, self.form.encoding):
            yield self._sentence(row, number)

    def _sentence(self, row, number):
        if not isinstance(row.get("text"), str):
            raise InputError(self.path, "expected an object with a `text`, received none.", number)
        if not isinstance(row.get("entities"), list):
            raise InputError(self.path, "expected a list `entities`, received none; [] where there are none.", number)
        text, entities = row["text"], []
        for entity in row["entities"]:
            start, end, label = map(entity.get, ("start", "end", "label")) if isinstance(entity, dict) else (None,) * 3
            right = type(start) is int and type(end) is int and 0 <= start < end <= len(text)
            if not right or not isinstance(label, str) or not label.strip():
                expected = f"`start`, `end` in 0 ... {len(text)} and a `label`"
                received = json.dumps(entity, ensure_ascii=False)[:80]
                raise InputError(self.path, f"expected {expected}, received {received}.", number)
            entities.append((start, end, label.strip(), number))
        try:
            "".join([text, *(label for *_, label, _ in entities)]).encode()
        except UnicodeEncodeError as error:
            half = error.object[error.start]
            raise InputError(
                self.path, f"expected Unicode text, received half a surrogate pair, {half!r}.", number
            ) from None
        return (number,), text, entities, []


# Public sets.


def check_public(name, split, *, data_dir=None):
    """Reads a split of a public set once and counts the spans that are not whole words.

    Args:
        name, split, data_dir: As for `public`.

    Returns:
        `{"trimmed": number, "widened": number, "left_out": number}`, see `check`; spans without a visible character
        are left out.

    Raises:
        InputError: as `public`.
    """
    found = dict.fromkeys(("trimmed", "widened", "left_out"), 0)
    for _ in _resolved(name, _public_sentences(name, split, data_dir), found):
        pass
    return found


def public(name, split, *, data_dir=None):
    """A public set of tagged words of TensorFlow Datasets, downloaded at the first use.

    Args:
        name: Its name there, such as "conll2003" or "wikiann/en".
        split: One of `public_splits(name)`.
        data_dir: Folder of the data sets; None is `~/tensorflow_datasets`.

    Returns:
        A `tf.data.Dataset` of (text, entities), see the top of this module, in a fixed order. Words come from the
        feature "tokens", or from the only feature of words; tags from "ner", or from the only feature of tags.

    Raises:
        InputError: if there is no such set or split, or it has no tagged words or cannot be downloaded.
    """
    next(_public_sentences(name, split, data_dir), None)  # raises errors now, not while iterating

    def examples():
        for _, text, entities, _ in _resolved(name, _public_sentences(name, split, data_dir), {"left_out": 0}):
            yield text, entities

    return _dataset(examples)


def _public_sentences(name, split, data_dir):
    found = public_sets.Public(name, data_dir)
    words, tags = found.feature("tokens", found.is_words), found.feature("ner", found.is_tags)
    names = found.features[tags].feature.names
    if not _have_prefixes(collections.Counter(names)):
        names = [name if name == "O" else f"I-{name}" for name in names]
    for number, example in enumerate(found.examples(split).as_numpy_iterator(), start=1):
        some = [word.decode("utf-8", errors="replace") for word in example[words]]
        labels = [names[number] for number in example[tags]]
        yield (number,), *_joined(some, labels, [number] * len(some)), labels


def public_splits(name, *, data_dir=None):
    """Which of "train", "validation" and "test" a public set has; downloads the set if needed.

    Raises:
        InputError: as `public`.
    """
    return list(public_sets.Public(name, data_dir).splits)


# The built-in set.


def built_in(split, seed=0):
    """Sentences made by a grammar: people, places, organisations and dates; a name alone does not give its label.

    "Jordan", "Paris", "Morgan" or an unseen name may be a person, a place or an organisation; "May", "Will" and "Rose"
    may be no name at all. The words around them decide, so that a lookup of names finds little.

    Args:
        split: "train" (4,000 sentences), "validation" (500) or "test" (500).
        seed: Seed of the generator: another seed gives other sentences.

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
    examples = entities_grammar.written(seed)[split]
    return _dataset(lambda: iter(examples))
