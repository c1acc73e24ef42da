"""Reads the user's files: tables as CSV, TSV, JSON or Parquet, gzip too, in chunks and with exact line numbers.

Python's `csv` and `json` read the rows, which are returned as pandas frames. pandas' own readers are not used:
`read_csv` fills short rows with NaN, reads to the end of the file after an unclosed quote and counts records, not
lines, and the errors of `read_json` have no line.
"""

import codecs
import collections
import csv
import dataclasses
import gzip
import io
import itertools
import json
import pathlib
import re
import zlib

import numpy as np
import pandas as pd

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")
PACKED = (".gz", ".bgz")  # suffixes of gzip, also in blocks
LONGEST_FIELD = 2**24  # characters; limits the search for a closing quote
csv.field_size_limit(LONGEST_FIELD)
SEPARATORS = ",;\t|"  # possible separators in the header of a CSV file
ROWS_AHEAD = 200  # lines that are rows each; limits the search for a closing quote in a TSV file

# A byte order mark gives the encoding of a file; the mark of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# Replaces a CR within a line while `csv` reads it: half of a surrogate pair, which no text holds.
_CARRIAGE_RETURN = "\udc0d"

# A field of a TSV file: between quotes, with a quote that is not closed, and any other.
_QUOTED = re.compile(r'"((?:[^"]++|"")*+)"(?=\t|\r?\n|\Z)')
_UNCLOSED = re.compile(r'"(?:[^"]++|"")*+')
_PLAIN = re.compile(r"[^\t\n]*")


class InputError(ValueError):
    """The user's input is wrong; the message is one line: the place, what was expected and what was received.

    Args:
        path: The file, as the user named it; or the name of another wrong input, such as a flag.
        message: What was expected, what was received and, if it is not obvious, what to do.
        line: Line of the file, from 1; None if there is none.

    Example:
        >>> str(InputError("reviews.csv", "expected 2 fields, received 3.", line=118))
        'reviews.csv:118: expected 2 fields, received 3.'
    """

    def __init__(self, path, message, line=None):
        self.path, self.line = path, line
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")


@dataclasses.dataclass(frozen=True)
class Form:
    """The format of a text file, where its suffix, its header and its byte order mark do not give it.

    Args:
        encoding: Encoding of a file that is not UTF-8, such as "cp1252"; a UTF-8 file is still read as UTF-8.
        separator: The character between the fields of a table; "tab" is allowed too.
        escape: The character before a quotation mark within a field; without it such marks are doubled.

    Raises:
        InputError: if Python has no such encoding, or if a separator or escape is not one allowed character.

    Example:
        >>> Form(encoding="cp1252", separator=";")
        Form(encoding='cp1252', separator=';', escape='')
    """

    encoding: str = ""
    separator: str = ""
    escape: str = ""

    def __post_init__(self):
        try:
            "".encode(self.encoding or "utf-8")
        except (LookupError, ValueError):
            expected = "expected an encoding that Python knows, such as cp1252 or latin-1"
            raise InputError("--encoding", f"{expected}, received {self.encoding!r}.") from None
        if self.separator in ("tab", "\\t"):
            object.__setattr__(self, "separator", "\t")
        for name in ("separator", "escape"):
            value = getattr(self, name)
            if len(value) > 1 or value in ('"', "\r", "\n"):
                expected = "expected one character, and no quotation mark or line end"
                raise InputError(f"--{name}", f"{expected}, received {value!r}.")
        if self.separator and self.separator == self.escape:
            raise InputError("--escape", f"expected another character than the separator, received {self.escape!r}.")


def kind_of(path):
    """The suffix that gives a file's format, in lower case and without `.gz` or `.bgz`; "" if there is none.

    Example:
        >>> kind_of("reviews.CSV.gz")
        '.csv'
    """
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes if suffix.lower() not in PACKED]
    return suffixes[-1] if suffixes else ""


def read_lines(path, encoding=""):
    """The lines of a text file, which may be gzip; a byte order mark is dropped.

    Lines end in LF or CR LF; if the first line ends in CR alone, CR ends lines too.

    Args:
        path: The file.
        encoding: Encoding of a file that is not UTF-8 and has no byte order mark.

    Returns:
        An iterator of (number from 1, line with its line end).

    Raises:
        InputError: if the file is missing, a folder, unreadable, empty, a damaged gzip file, in another encoding, or
            contains a NUL.
    """
    number = 0
    try:
        if pathlib.Path(path).is_dir():
            raise InputError(path, "expected a file, received a folder.")
        encoding, newline = _layout(path, encoding)
        with _opened(path) as file:
            for number, line in enumerate(_decoded(path, file, encoding, newline), start=1):
                if "\0" in line:
                    advice = "is this a text file? If it is UTF-16, add --encoding utf-16"
                    raise InputError(path, f"expected text, received a NUL byte; {advice}.", number)
                yield number, line.removeprefix("\ufeff") if number == 1 else line
        if number == 0:
            raise InputError(path, "expected rows, received an empty file.")
    except FileNotFoundError:
        raise InputError(path, "expected a file, received a path where there is none.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"expected a whole gzip file, received a damaged one ({error}).") from None
    except UnicodeError as error:
        raise InputError(path, f"expected {encoding}, received: {error}.") from None
    except OSError as error:
        raise InputError(path, f"expected a readable file, received: {error.strerror or error}.") from None


def _opened(path):
    """A file opened for reading bytes; gzip is known by its first bytes, as not every such file is named `.gz`."""
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b" or str(path).lower().endswith(PACKED)
    return (gzip.open if packed else open)(path, "rb")


def _layout(path, encoding):
    """The encoding of a file, and the `newline` argument of `io.TextIOWrapper`: with "" CR ends lines too."""
    with _opened(path) as file:
        start = file.read(4)
    found = next((name for mark, name in _MARKS.items() if start.startswith(mark)), None)
    found = found or ("utf-8" if not encoding or _is_utf8(path, encoding) else encoding)
    if codecs.lookup(found).name in ("utf-16", "utf-32") and not start.startswith(tuple(_MARKS)):
        found += "-be" if start.startswith(b"\0") else "-le"  # without a mark; most texts begin with an ASCII character
    with io.TextIOWrapper(_opened(path), found, errors="replace", newline="") as text:
        return found, "" if text.readline(LONGEST_FIELD).endswith("\r") else "\n"


def _is_utf8(path, encoding):
    """Whether a file is UTF-8, although the user gave another encoding.

    Text in another encoding is almost never valid UTF-8 throughout. UTF-8 text has fewer characters when read as UTF-8.
    """
    with _opened(path) as file:
        fewer = False
        for line in file:
            if line.isascii():
                continue
            try:
                text = line.decode()
                fewer = fewer or len(text) < len(line.decode(encoding, errors="replace"))
            except UnicodeDecodeError:
                return False
        return fewer


def _decoded(path, file, encoding, newline):
    """The lines of an open file as text."""
    if "\r\n".encode(encoding) != b"\r\n":  # several bytes for each character
        try:
            with io.TextIOWrapper(file, encoding, newline=newline) as text:
                yield from text
        except UnicodeError as error:
            raise InputError(path, f"expected {encoding}, received: {error}.") from None
        return
    lines = file if newline else _universal(file)
    for number, line in enumerate(lines, start=1):
        try:
            yield line.decode(encoding)
        except UnicodeDecodeError as error:
            name = "UTF-8" if encoding == "utf-8" else encoding
            received = f"expected {name}, received the byte 0x{line[error.start]:02x}"
            advice = "name the encoding of the file, such as --encoding cp1252, or save it as UTF-8"
            raise InputError(path, f"{received}; {advice}.", number) from None


def _universal(file):
    """The lines of an open file of bytes, where CR ends lines too; in Latin-1 each byte is a character."""
    with io.TextIOWrapper(file, "latin-1", newline="") as text:
        yield from (line.encode("latin-1") for line in text)


def fields_of(path, number, line, last, separator=""):
    """The fields of a line of a table without a header.

    Args:
        path, number: The file and the number of the line, for errors.
        line: The line.
        last: The highest column that is read, from 0.
        separator: Character between the fields; "": a tab. Quotation marks have no special meaning.

    Raises:
        InputError: if there is no column `last`.

    Example:
        >>> fields_of("pairs.tsv", 1, "Hi.\\tSalut.\\n", 1)
        ['Hi.', 'Salut.']
    """
    fields = line.rstrip("\r\n").split(separator or "\t")
    if len(fields) <= last:
        between = f"the separator {separator!r}" if separator else "tabs"
        expected = f"expected a column {last}, from 0 and between {between}"
        raise InputError(path, f"{expected}, received {len(fields)} of them: {line.strip()[:40]!r}.", number)
    return fields


def read_table(path, columns, *, required=(), chunk_rows=4096, form=None, blank_lines=False):
    """Chosen columns of a table, as it is on disk, in chunks, so that a file may be larger than memory.

    The suffix gives the format: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json` (each also with `.gz`) or `.parquet`.
    Blank lines are skipped unless `blank_lines`. The number of a row is the line where it begins.

    A CSV file has commas between its fields or, if its header has them, semicolons, tabs or bars. A field between
    quotes may hold separators and line ends. Between tabs a quotation mark is a character like any other, except in a
    field that must be read as quoted: one that holds doubled quotation marks, a tab or a line end, if its lines are not
    rows by themselves; and in a file whose header is quoted, which is read as CSV.

    JSON is an object on each line or, in `.json`, also a list of objects.

    Args:
        path: The file.
        columns: Names of the columns to read.
        required: Those of `columns` whose values may not be empty or null. All columns must exist.
        chunk_rows: Rows in a frame, at most.
        form: A `Form`; None takes the format from the file itself.
        blank_lines: Whether blank lines of CSV and TSV files are rows of empty values.

    Returns:
        An iterator of pandas frames with `columns`, every value a `str`, and the row's line in the file (in Parquet the
        row's number), from 1, as the index. Values are as pandas writes them to a CSV file: 1.0 is "1.0", true is
        "True", and null and NaN are "".

    Raises:
        InputError: while iterating, at the first error; the message names the file and the line.

    Example:
        >>> for chunk in read_table("tests/fixtures/reviews.csv", ["text", "label"]):
        ...     print(chunk.shape, chunk["label"].iloc[0])
        (4, 2) positive
    """
    twice = next((column for column in columns if list(columns).count(column) > 1), None)
    if twice is not None:
        raise InputError(path, f"expected different columns, received {twice!r} twice.")
    form = form or Form()
    kind, packed = kind_of(path), str(path).lower().endswith(PACKED)
    if not pathlib.Path(path).is_dir() and (kind not in SUFFIXES or (packed and kind == ".parquet")):
        suffix = "".join(pathlib.Path(path).suffixes[-1 - packed :]).lower() or "no suffix"
        known = ", ".join(SUFFIXES)
        raise InputError(path, f"expected one of {known} (.gz too, but for Parquet), received {suffix!r}.")
    if kind == ".parquet":
        rows = _parquet_rows(path, columns)
    elif kind in (".jsonl", ".ndjson", ".json"):
        rows = _json_rows(path, columns, form)
    else:
        separator = form.separator or ("\t" if kind == ".tsv" else "")
        rows = _separated_rows(path, columns, separator, form, blank_lines)
    at_least_one = False
    while chunk := list(itertools.islice(rows, chunk_rows)):
        at_least_one = True
        lines, values = zip(*chunk, strict=True)
        frame = pd.DataFrame(values, columns=list(columns), index=pd.Index(lines, name="line"), dtype="str")
        for column in required:
            empty = frame[column].str.strip() == ""
            if empty.any():
                raise error_at(path, f"expected a value in the column {column!r}, received none.", empty.idxmax())
        yield frame
    if not at_least_one:
        raise InputError(path, "expected rows, received a header and nothing below it.")


def error_at(path, message, line):
    """An `InputError` at a row of `read_table`: Parquet has rows, the other formats have lines."""
    if str(path).lower().endswith(".parquet"):
        return InputError(path, f"row {line}: {message}")
    return InputError(path, message, line)


# CSV and TSV.


def _separated_rows(path, columns, separator, form, blank_lines):
    """(line, values) of every row below the header of a CSV or TSV file, and of blank lines if they are wanted."""
    lines = itertools.dropwhile(lambda numbered: not numbered[1].strip(), read_lines(path, form.encoding))
    top = next(lines, None)
    if top is None:
        raise InputError(path, "expected rows, received blank lines only.")
    separator = separator or _separator(top[1], columns)
    lines = itertools.chain([top], lines)
    quoted = all(_QUOTED.fullmatch(name) for name in top[1].rstrip("\r\n").split(separator))
    by_tab = separator == "\t" and not quoted and not form.escape
    rows = _tab_rows(path, lines) if by_tab else _csv_rows(path, lines, separator, form.escape or None)
    first, header = next(rows)
    header = [name.strip() for name in header]
    chosen = [_position(path, header, column, first) for column in columns]
    for line, row in rows:
        if not row:
            if blank_lines:
                yield line, [""] * len(columns)
            continue
        if len(row) != len(header):
            raise InputError(path, f"expected {len(header)} fields, as in the header, received {len(row)}.", line)
        yield line, [row[position] for position in chosen]


def _separator(header, columns):
    """The separator that splits a header into the columns wanted; if there is none, the first that it contains."""
    for separator in SEPARATORS:
        names = [name.strip() for name in next(csv.reader([header], delimiter=separator))]
        if len(names) > 1 and all(names.count(column) == 1 for column in columns):
            return separator
    return next((separator for separator in SEPARATORS if separator in header), ",")


def _csv_rows(path, lines, separator, escape):
    """(line, fields) of every row of a CSV file (RFC 4180), the header included; no fields: a blank line."""
    row_lines, number = [], 0  # the lines of the row being read, and the number of the last of them

    def feed():
        nonlocal number
        for count, line in lines:
            number = count
            row_lines.append(line)
            inner = line.rstrip("\r\n")
            yield inner.replace("\r", _CARRIAGE_RETURN) + line[len(inner) :] if "\r" in inner else line

    reader = csv.reader(feed(), delimiter=separator, escapechar=escape, strict=True)
    while True:
        row_lines.clear()
        try:
            row = next(reader, None)
        except csv.Error as error:
            opened = _open_quote(row_lines, escape)
            if opened is not None and ("end of data" in str(error) or "field limit" in str(error)):
                raise InputError(
                    path, "expected a closing quote, received none.", number - len(row_lines) + 1 + opened
                ) from None
            advice = "; where a backslash stands before them, add --escape '\\'" if '\\"' in row_lines[-1] else ""
            raise InputError(
                path, f"expected quotes around whole fields, a quote inside doubled{advice}; received: {error}.", number
            ) from None
        if row is None:
            break
        if len(row) <= 1 and not "".join(row).strip() and row_lines[0][:1] != '"':
            row = []
        if any("\r" in line for line in row_lines):
            row = [field.replace(_CARRIAGE_RETURN, "\r") for field in row]
        yield number - len(row_lines) + 1, row


def _open_quote(lines, escape):
    """Index of the line with the quote that is not closed at the end of `lines`; None if all are closed."""
    opened = None
    for index, line in enumerate(lines):
        quote = line.find('"')
        while quote >= 0:
            doubled = opened is not None and line[quote + 1 : quote + 2] == '"'
            if not doubled and not (escape and line[:quote].endswith(escape)):
                opened = index if opened is None else None
            quote = line.find('"', quote + 1 + doubled)
    return opened


def _tab_rows(path, lines):
    """As `_csv_rows`, of rows between tabs; `read_table` explains the quotation marks."""
    waiting, count = collections.deque(), None
    while waiting or (taken := next(lines, None)) is not None:
        number, line = waiting.popleft() if waiting else taken
        text = _without_end(line)
        if not text.strip() and "\t" not in text:
            yield number, []
            continue
        fields = text.split("\t")
        if '"' in text:
            whole = count in (None, len(fields))
            row = _tab_fields(text)
            if row is None and count is not None:
                row, ahead = _many_lines(line, lines, waiting, count)
                if row is None and not whole and ahead:
                    raise InputError(path, "expected a closing quote, received none.", number)
            elif row is not None and (whole or len(row) != count):
                row = None
            fields = row or [_unquoted(field) for field in fields]
        count = count or len(fields)
        yield number, fields


def _many_lines(line, lines, waiting, count):
    """The fields of a row of several lines, None if each line is a row by itself; and whether its end is missing.

    Lines that do not belong to the row are put into `waiting`.
    """
    taken, row = [], None
    texts, rows = [line], line.count("\t") == count - 1  # whether each line is a row by itself
    size = 0
    while row is None and not (rows and len(texts) > ROWS_AHEAD) and size < LONGEST_FIELD:
        following = waiting.popleft() if waiting else next(lines, None)
        if following is None:
            break
        size += len(following[1])
        taken.append(following)
        texts.append(following[1])
        rows = rows and following[1].count("\t") == count - 1
        if '"' in following[1]:
            row = _tab_fields(_without_end("".join(texts)))
    if row is not None and len(row) == count and not rows:
        return row, False
    waiting.extendleft(reversed(taken))
    return None, row is None


def _tab_fields(text):
    """The fields of a row; None while a quote is not closed."""
    fields, place = [], 0
    while True:
        if quoted := _QUOTED.match(text, place):
            field, place = _unquoted(quoted[0]), quoted.end()
        elif _UNCLOSED.fullmatch(text, place):
            return None
        else:
            field = _PLAIN.match(text, place)[0]
            place += len(field)
        fields.append(field)
        if text[place : place + 1] != "\t":
            return fields if place == len(text) else []
        place += 1


def _unquoted(field):
    """A field of a TSV file, without its quotes if its content needs them."""
    quoted = _QUOTED.fullmatch(field)
    return quoted[1].replace('""', '"') if quoted and re.search(r'[\t\r\n"]', quoted[1]) else field


def _without_end(line):
    return line[:-2] if line.endswith("\r\n") else line[:-1] if line.endswith(("\n", "\r")) else line


# JSON and Parquet.


def read_records(path, encoding=""):
    """The objects of a JSON file: one on each line or, in `.json`, also over several lines, or a list of them.

    Args:
        path: The file: `.jsonl`, `.ndjson` or `.json`, each also with `.gz`.
        encoding: As for `read_lines`.

    Returns:
        An iterator of (line where the object begins, object).

    Raises:
        InputError: while iterating, at the first line with anything else.
    """
    records = (_json_values if kind_of(path) == ".json" else _json_lines)(path, encoding)
    for number, record in records:
        if not isinstance(record, dict):
            received = json.dumps(record, ensure_ascii=False)[:40]
            raise InputError(path, f"expected a JSON object, received {received!r}.", number)
        yield number, record


def _json_lines(path, encoding):
    for number, line in read_lines(path, encoding):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError) as error:  # ValueError: also of integers with thousands of digits
                raise InputError(path, f"expected a JSON object on each line, received: {error}.", number) from None


def _json_values(path, encoding):
    """(line, value) of each value of a list, or of consecutive values."""
    text = "\n".join(_without_end(line) for _, line in read_lines(path, encoding))
    decode, blank = json.JSONDecoder().raw_decode, re.compile(r"\s*")
    after_blank = lambda place: blank.match(text, place).end()
    line, counted = 1, 0
    place = after_blank(0)
    listed = text.startswith("[", place)
    place = after_blank(place + listed)
    while place < len(text) and not (listed and text[place] == "]"):
        line, counted = line + text.count("\n", counted, place), place
        try:
            value, place = decode(text, place)
            yield line, value
            place = after_blank(place)
            if listed and not text.startswith((",", "]"), place):
                raise json.JSONDecodeError("Expecting ',' or ']'", text, place)
        except (ValueError, RecursionError) as error:
            at = getattr(error, "lineno", line)
            raise InputError(path, f"expected a list of JSON objects, received: {error}.", at) from None
        place = after_blank(place + 1) if listed and text[place] == "," else place
    if listed and text[place : place + 1] != "]":
        raise InputError(path, "expected a ] at the end of the list, received none.")
    if listed and text[place + 1 :].strip():
        raise InputError(path, "expected nothing below the list of JSON objects, received more.")


def _json_rows(path, columns, form):
    """(line, values) of every row of a file of JSON objects."""
    for number, row in read_records(path, form.encoding):
        for column in columns:
            _position(path, list(row), column, number)
        yield number, [_as_text(path, row[column], column, number) for column in columns]


def _parquet_rows(path, columns):
    """(row number, values) of a Parquet file, with one batch in memory, which `pandas.read_parquet` cannot do."""
    import pyarrow as pa
    import pyarrow.parquet

    if not pathlib.Path(path).is_file():
        received = "a folder" if pathlib.Path(path).is_dir() else "a path where there is none"
        raise InputError(path, f"expected a file, received {received}.")
    if pathlib.Path(path).stat().st_size == 0:
        raise InputError(path, "expected rows, received an empty file.")
    try:
        with pa.parquet.ParquetFile(path) as file:
            for column in columns:
                _position(path, file.schema_arrow.names, column, None)
            number = itertools.count(1)
            for batch in file.iter_batches(batch_size=4096, columns=list(columns)):
                for row in zip(*(_values(batch.column(column)) for column in columns), strict=True):
                    line = next(number)
                    values = zip(row, columns, strict=True)
                    yield line, [_as_text(path, value, column, line) for value, column in values]
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, f"expected a whole Parquet file, received: {reason}") from None


def _values(column):
    """The values of a column; a float of 16 or 32 bits has the fewest digits that identify it at its width."""
    kind = {"halffloat": "float16", "float": "float32"}.get(str(column.type))
    values = column.to_pylist()
    if kind is None:
        return values
    return [value if value is None else float(str(np.dtype(kind).type(value))) for value in values]


def _position(path, names, column, line):
    """The position of `column` among the `names` of a header or object."""
    if names.count(column) != 1:
        received = ", ".join(repr(name if len(name) < 60 else f"{name[:59]}…") for name in names[:100]) or "none"
        raise InputError(path, f"expected one column {column!r}, received the columns {received}.", line)
    return names.index(column)


def _as_text(path, value, column, line):
    """One JSON or Parquet value as pandas writes it to a CSV file, so that labels are the same in each format."""
    try:
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, str):
            value.encode()  # JSON can write half of a surrogate pair, which no text encoding holds
            return value
    except UnicodeError:
        raise error_at(path, f"expected Unicode text in the column {column!r}, received {value!r}.", line) from None
    if value is None or value != value:
        return ""
    if isinstance(value, (bool, int, float)):
        return str(value)
    raise error_at(path, f"expected text or a number in the column {column!r}, received {repr(value)[:40]}.", line)
