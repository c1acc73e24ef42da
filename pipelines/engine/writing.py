"""Answers as files; the suffix gives the format. An old file is replaced only when the new one is complete."""

import csv
import html
import itertools
import json
import os
import pathlib

from data.files import InputError
from pipelines.engine.training import Progress


def write(writers, parts, answers, path):
    """Writes answers to a file in the format of its suffix; returns how many there were.

    `.jsonl` and `.csv` are written while the answers are computed; other formats keep all answers in memory.

    Args:
        writers: Suffix -> writer: the result of `writers`, or `TABLES`.
        parts: The task's `Parts`.
        answers: Iterator of dictionaries.
        path: The file.

    Raises:
        InputError: if there is no writer for the suffix, or if the file cannot be written.
    """
    path = pathlib.Path(path)
    writer = writer_of(writers, path)
    temporary = path.with_name(f".{os.getpid()}.{path.name}")
    counted = itertools.count()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        writer(parts, told(zip(answers, counted, strict=False), path), temporary)
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(path, f"expected a place to write to, received: {error.strerror or error}.") from None
    finally:
        temporary.unlink(missing_ok=True)
    return next(counted)


def told(numbered, path):
    """The answers of pairs (answer, number from 0); tells every few seconds how many there were."""
    progress = Progress(path, "answers")
    for answer, number in numbered:
        progress(number)
        yield answer


def writers(task):
    """Suffix -> writer of answers, of all formats that a task has."""
    return {**TABLES, **task.evaluation.WRITERS, **task.writers}


def writer_of(writers, path):
    suffix = pathlib.Path(path).suffix.lower()
    if suffix not in writers:
        kinds = ", ".join(sorted(writers))
        raise InputError(path, f"expected a file that ends in one of {kinds}, received {suffix or 'no suffix'!r}.")
    return writers[suffix]


def jsonl(parts, answers, path):
    with open(path, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)


def table(parts, answers, path):
    """CSV; a value that is not text or a number is written as JSON."""
    answers = iter(answers)
    first = next(answers, None)
    with open(path, "w", encoding="utf-8", newline="") as file:
        if first is None:
            return
        writer = csv.DictWriter(file, list(first), restval="", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(
            {name: cell(value) for name, value in one.items()} for one in itertools.chain([first], answers)
        )


def page(parts, answers, path):
    """An HTML page with a table of the answers' texts and numbers, for light and dark screens."""
    answers = list(answers)
    names = [name for name in (answers[0] if answers else {}) if not isinstance(answers[0][name], list | dict)]
    line = lambda tag, cells: "<tr>" + "".join(f"<{tag}>{html.escape(str(one))}</{tag}>" for one in cells) + "</tr>"
    rows = [line("th", names), *(line("td", (shown(one.get(name, "")) for name in names)) for one in answers)]
    # On a narrow screen a row's cells stand below each other, each after its name.
    names_of = "".join(
        f"td:nth-child({k})::before{{content:{json.dumps(f'{name}  ')}}}" for k, name in enumerate(names, start=1)
    )
    style = (
        ":root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;margin:2rem auto;max-width:70rem;"
        "padding:0 1rem}table{border-collapse:collapse}td,th{padding:.3rem .8rem;text-align:left;vertical-align:top;"
        "border-bottom:1px solid rgb(128 128 128/.4);overflow-wrap:anywhere;white-space:pre-wrap}"
        "th{overflow-wrap:normal}@media(max-width:40rem){tr:first-child{display:none}"
        "td{display:block;border:0;padding:.1rem 0}td::before{opacity:.7}"
        f"tr{{display:block;padding:.6rem 0;border-bottom:1px solid rgb(128 128 128/.4)}}{names_of}}}"
    )
    head = (
        '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width">'
    )
    body = "\n".join(rows)
    pathlib.Path(path).write_text(
        f"{head}\n<title>answers</title>\n<style>{style}</style>\n<table>\n{body}\n</table>\n</html>\n",
        encoding="utf-8",
    )


def cell(value):
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else value


def shown(value):
    return f"{value:.4f}" if isinstance(value, float) else value


TABLES = {".jsonl": jsonl, ".csv": table, ".html": page}  # formats of all answers
