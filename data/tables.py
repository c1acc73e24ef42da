"""Tables: CSV, TSV, JSON and Parquet, in chunks, so that they may be larger than memory; errors have exact lines."""

import itertools
import pathlib

import numpy as np
import pandas as pd

from data import separated
from data.files import PACKED, Form, InputError, kind_of
from data.records import read_records

SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".json", ".parquet")


def read_table(path, columns, *, required=(), chunk_rows=4096, form=None, blank_lines=False):
    """Chosen columns of a table, as it is on disk, in chunks, so that a file may be larger than memory.

    The suffix gives the format: `.csv`, `.tsv`, `.jsonl`, `.ndjson`, `.json` (each also with `.gz`) or `.parquet`.
    Blank lines are skipped unless `blank_lines`. The number of a row is the line where it begins.

    A CSV file has commas between its fields or, if its header has them, semicolons, tabs or bars; a line `sep=;` above
    the header names the separator. A field between quotes may hold separators and line ends. Between tabs a quotation
    mark is a character like any other, except in a field that must be read as quoted: one that holds doubled quotation
    marks, a tab or a line end, if its lines are not rows by themselves; and in a file whose header is quoted, which is
    read as CSV.

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


def error_at(path, message, line):
    """An `InputError` at a row of `read_table`: Parquet has rows, the other formats have lines."""
    if str(path).lower().endswith(".parquet"):
        return InputError(path, f"row {line}: {message}")
    return InputError(path, message, line)


def _separated_rows(path, columns, separator, form, blank_lines):
    """(line, values) of every row below the header of a CSV or TSV file, and of blank lines if they are wanted."""
    rows = separated.rows(path, columns, separator, form)
    first, header = next(rows)
    chosen = [_position(path, header, column, first) for column in columns]
    for line, row in rows:
        if row or blank_lines:
            yield line, [row[position] for position in chosen] if row else [""] * len(columns)


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
