"""Files of JSON objects, with the line where each begins; the errors of `pandas.read_json` have no line."""

import json
import re

from data.files import InputError, kind_of, read_lines, without_end


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
    text = "\n".join(without_end(line) for _, line in read_lines(path, encoding))
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
