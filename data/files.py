"""Open what the user has: tables as CSV, TSV, JSON lines or Parquet, gzip too, in chunks and with exact line numbers.

Rows of text are read by Python's `csv` and `json` and handed on as pandas frames. pandas' own readers cannot serve:
`read_csv` fills short rows with NaN, lets an unclosed quote run to the end of the file and counts records, not lines,
and `read_json` names no line at all.
"""

import csv
import gzip
import itertools
import json
import math
import pathlib
import zlib

import pandas as pd

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
LONGEST_FIELD = 2**24  # characters; what ends the search for a quote that is never closed


class InputError(ValueError):
    """The user's input is wrong; the message is one line that says where, what was expected and what came.

    Args:
        path: The file, as the user named it; or the name of whatever else was wrong.
        message: What was expected, what was received and, where it is not obvious, what to do.
        line: Line of the file, from 1; None where there is none.

    Example:
        >>> str(InputError("reviews.csv", "expected 2 fields, received 3.", line=118))
        'reviews.csv:118: expected 2 fields, received 3.'
    """

    def __init__(self, path, message, line=None):
        self.path, self.line = path, line
        super().__init__(f"{path}:{line}: {message}" if line else f"{path}: {message}")


def read_lines(path):
    """The lines of a UTF-8 text file, gzip too when it ends in `.gz`; a byte order mark is dropped.

    Args:
        path: The file.

    Returns:
        An iterator of (number from 1, line with its line end).

    Raises:
        InputError: if the file is missing, a folder, unreadable, empty, a damaged gzip file, not UTF-8, or holds a NUL.
    """
    try:
        if pathlib.Path(path).is_dir():
            raise InputError(path, "expected a file, received a folder.")
        number = 0
        with (gzip.open if str(path).lower().endswith(".gz") else open)(path, "rb") as file:
            for number, line in enumerate(file, start=1):
                if b"\0" in line:
                    raise InputError(path, "expected text, received a NUL byte; is this a text file?", number)
                try:
                    yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
                except UnicodeDecodeError as error:
                    raise InputError(
                        path, f"expected UTF-8, received the byte 0x{line[error.start]:02x}; save it as UTF-8.", number
                    ) from None
        if number == 0:
            raise InputError(path, "expected rows, received an empty file.")
    except FileNotFoundError:
        raise InputError(path, "expected a file, received a path where there is none.") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise InputError(path, f"expected a whole gzip file, received a damaged one ({error}).") from None
    except OSError as error:
        raise InputError(path, f"expected a readable file, received: {error.strerror or error}.") from None


def read_table(path, columns, *, required=(), chunk_rows=4096):
    """Chosen columns of a table, as it is on disk, in chunks: a file larger than memory can be read.

    The suffix says what the file is: `.csv`, `.tsv`, `.jsonl`, `.ndjson` (each also with `.gz`) or `.parquet`. Blank
    lines are skipped. A quoted field may hold line ends; rows are numbered by the line where they begin.

    Args:
        path: The file.
        columns: Names of the columns wanted.
        required: Those of `columns` that may not be empty. The others may be empty, but not absent or null.
        chunk_rows: Rows in a frame, at most.

    Returns:
        An iterator of pandas frames with `columns`, every value a `str` (whole numbers without a decimal point), and
        the row's line in the file (in Parquet the row's number), from 1, as the index.

    Raises:
        InputError: while iterating, at the first thing that is wrong; the message names the file and the line.

    Example:
        >>> for chunk in read_table("tests/fixtures/reviews.csv", ["text", "label"]):
        ...     print(chunk.shape, chunk["label"].iloc[0])
        (4, 2) positive
    """
    suffixes = [suffix.lower() for suffix in pathlib.Path(path).suffixes]
    suffix = "".join(suffixes[-2:]) if suffixes[-1:] == [".gz"] else "".join(suffixes[-1:])
    kind = suffix.removesuffix(".gz")
    if not pathlib.Path(path).is_dir() and (kind not in SUFFIXES or suffix == ".parquet.gz"):
        known = ", ".join(SUFFIXES)
        raise InputError(
            path, f"expected one of {known} (.gz too, but for Parquet), received {suffix or 'no suffix'!r}."
        )
    if kind == ".parquet":
        rows = _parquet_rows(path, columns)
    elif kind in (".jsonl", ".ndjson"):
        rows = _json_rows(path, columns)
    else:
        rows = _separated_rows(path, columns, "\t" if kind == ".tsv" else ",")
    at_least_one = False
    while chunk := list(itertools.islice(rows, chunk_rows)):
        at_least_one = True
        lines, values = zip(*chunk, strict=True)
        frame = pd.DataFrame(values, columns=list(columns), index=pd.Index(lines, name="line"), dtype="str")
        for column in required:
            empty = frame[column].str.strip().str.lower().isin(["", "nan"])
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


def _separated_rows(path, columns, separator):
    """(line, values) of every row below the header of a CSV or TSV file."""
    csv.field_size_limit(LONGEST_FIELD)
    row_lines, number = [], 0  # the lines of the row being read, and the number of the last of them

    def feed():
        nonlocal number
        for count, line in read_lines(path):
            number = count
            row_lines.append(line)
            yield line

    reader = csv.reader(feed(), delimiter=separator, strict=True)
    header, chosen = None, []
    while True:
        row_lines.clear()
        first = number + 1
        try:
            row = next(reader, None)
        except csv.Error as error:
            opened = _open_quote(row_lines)
            if opened is not None and ("end of data" in str(error) or "field limit" in str(error)):
                raise InputError(path, "expected a closing quote, received none.", first + opened) from None
            raise InputError(
                path, f"expected quotes around whole fields, a quote inside doubled; received: {error}.", number
            ) from None
        if row is None:
            break
        if not any(field.strip() for field in row) and len(row) <= 1 and row_lines[0][:1] != '"':
            continue
        if header is None:
            header = [name.strip() for name in row]
            chosen = [_position(path, header, column, first) for column in columns]
        elif len(row) != len(header):
            raise InputError(path, f"expected {len(header)} fields, as in the header, received {len(row)}.", first)
        else:
            yield first, [row[position] for position in chosen]
    if header is None:
        raise InputError(path, "expected rows, received blank lines only.")


def _open_quote(lines):
    """Index of the line with the quote that is not closed at the end of `lines`; None if all are closed."""
    opened = None
    for index, line in enumerate(lines):
        quote = line.find('"')
        while quote >= 0:
            doubled = opened is not None and line[quote + 1 : quote + 2] == '"'
            if not doubled:
                opened = index if opened is None else None
            quote = line.find('"', quote + 1 + doubled)
    return opened


def _json_rows(path, columns):
    """(line, values) of every row of a file with one JSON object a line."""
    for number, line in read_lines(path):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise InputError(path, f"expected a JSON object on each line, received: {error}.", number) from None
        if not isinstance(row, dict):
            raise InputError(path, f"expected a JSON object, received {line.strip()[:40]!r}.", number)
        for column in columns:
            _position(path, list(row), column, number)
        yield number, [_as_text(path, row[column], column, number) for column in columns]


def _parquet_rows(path, columns):
    """(row number, values) of a Parquet file, one batch in memory at a time, which `pandas.read_parquet` cannot do."""
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
                for row in zip(*(batch.column(column).to_pylist() for column in columns), strict=True):
                    line = next(number)
                    values = zip(row, columns, strict=True)
                    yield line, [_as_text(path, value, column, line) for value, column in values]
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(path, f"expected a whole Parquet file, received: {reason}") from None


def _position(path, names, column, line):
    """Where `column` stands among the `names` of a header or object."""
    if names.count(column) != 1:
        received = ", ".join(map(repr, names)) or "none"
        raise InputError(path, f"expected one column {column!r}, received the columns {received}.", line)
    return names.index(column)


def _as_text(path, value, column, line):
    """One JSON or Parquet value as text; 1.0 as "1", so that labels read alike from every format."""
    try:
        if isinstance(value, bytes):
            value = value.decode()
        if isinstance(value, str):
            value.encode()  # JSON can write half of a surrogate pair, which no text encoding holds
            return value
    except UnicodeError:
        raise error_at(path, f"expected Unicode text in the column {column!r}, received {value!r}.", line) from None
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else str(value)
    if isinstance(value, int):
        return str(value)
    received = "none" if value is None or value != value else repr(value)[:40]
    raise error_at(path, f"expected text or a number in the column {column!r}, received {received}.", line)
