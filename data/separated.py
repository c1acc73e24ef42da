"""CSV and TSV files: rows of fields between separators, some in quotes, with the line where each row begins.

Python's `csv` reads rows with quotes. `pandas.read_csv` is not used: it fills short rows with NaN, reads to the end of
the file after an unclosed quote and counts records, not lines.
"""

import collections
import csv
import itertools
import re

from data.files import LONGEST, InputError, read_lines, without_end

csv.field_size_limit(LONGEST)
SEPARATORS = ",;\t|"  # possible separators in the header of a CSV file
ROWS_AHEAD = 200  # lines that are rows each; limits the search for a closing quote in a TSV file
# Replaces a CR within a line while `csv` reads it: half of a surrogate pair, which no text holds.
_CARRIAGE_RETURN = "\udc0d"

# A field of a TSV file: between quotes, with a quote that is not closed, and any other.
_QUOTED = re.compile(r'"((?:[^"]++|"")*+)"(?=\t|\r?\n|\Z)')
_UNCLOSED = re.compile(r'"(?:[^"]++|"")*+')
_PLAIN = re.compile(r"[^\t\n]*")
# A line above the header that names the separator, for spreadsheets.
_NAMED = re.compile(r'"?sep=([^\r\n"])"?\s*')


def rows(path, columns, separator, form):
    """The rows of a CSV or TSV file, as they come; `tables.read_table` explains separators and quotation marks.

    Args:
        path: The file.
        columns: The columns wanted, by which the separator is found if it is "".
        separator: The character between the fields, or "".
        form: A `data.files.Form`.

    Returns:
        An iterator of (line where the row begins, its fields): first the header, with as many fields as each row has;
        no fields: a blank line.

    Raises:
        InputError: while iterating, at the first wrong line.
    """
    lines = read_lines(path, form.encoding)
    top = _not_blank(lines)
    if top is None:
        raise InputError(path, "expected rows, received blank lines only.")
    if named := _NAMED.fullmatch(top[1]):
        separator, top = separator or named[1], _not_blank(lines)
        if top is None:
            raise InputError(path, "expected a header, received a line that names the separator only.")
    separator = separator or _separator(top[1], columns)
    lines = itertools.chain([top], lines)
    quoted = all(_QUOTED.fullmatch(name) for name in top[1].rstrip("\r\n").split(separator))
    by_tab = separator == "\t" and not quoted and not form.escape
    found = _tab_rows(path, lines) if by_tab else _csv_rows(path, lines, separator, form.escape or None)
    first, header = next(found)
    yield first, [name.strip() for name in header]
    for line, row in found:
        if row and len(row) != len(header):
            raise InputError(path, f"expected {len(header)} fields, as in the header, received {len(row)}.", line)
        yield line, row


def _not_blank(lines):
    """The next line that is not blank; None if there is none."""
    return next((numbered for numbered in lines if numbered[1].strip()), None)


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
    """As `_csv_rows`, of rows between tabs; `tables.read_table` explains the quotation marks."""
    waiting, count = collections.deque(), None
    while waiting or (taken := next(lines, None)) is not None:
        number, line = waiting.popleft() if waiting else taken
        text = without_end(line)
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
    while row is None and not (rows and len(texts) > ROWS_AHEAD) and size < LONGEST:
        following = waiting.popleft() if waiting else next(lines, None)
        if following is None:
            break
        size += len(following[1])
        taken.append(following)
        texts.append(following[1])
        rows = rows and following[1].count("\t") == count - 1
        if '"' in following[1]:
            row = _tab_fields(without_end("".join(texts)))
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
