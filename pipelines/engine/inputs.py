"""The inputs of `predict`: texts, files such as images, or tables of numbers, each with a name for its answer.

A reader is `(flags, config)` -> iterator of (name, raw input). The name of a file is its path, of a line its path and
number; the name of an argument of the command line is None.
"""

import functools
import glob
import io
import pathlib
import sys

import numpy as np
import pandas as pd

from data.files import InputError, is_utf8, kind_of, read_lines
from data.tables import SUFFIXES, fields_of, read_table


def texts(flags, config, column=None, without_header=()):
    """Texts: the arguments themselves, the lines of files, or the rows of tables.

    Args:
        flags: A `settings.Predict`.
        config: The run's configuration.
        column: Name of the setting for the column of the text in a table; None reads the column "text".
        without_header: Suffixes of files with tabs between columns and no header, if the column is a number.
    """
    wanted = getattr(config, column) if column else "text"
    yield from ((None, as_unicode(text)) for text in flags.inputs)

    for path in paths(flags.input, "--input"):
        if path == "-":
            yield from ((None, line.rstrip("\r\n")) for line in standard_input(config.encoding))
        elif wanted.isdecimal() and kind_of(path) in without_header:
            separator = config.form.separator
            for line, text in read_lines(path, config.encoding):
                place = int(wanted) if (separator or "\t") in text else 0  # else a plain text
                yield f"{path}:{line}", fields_of(path, line, text, place, separator)[place]
        elif is_table(path):
            for frame in read_table(path, [wanted], form=config.form):
                yield from ((f"{path}:{line}", text) for line, text in frame[wanted].items())
        else:
            lines = read_lines(path, config.encoding)
            yield from ((f"{path}:{line}", text.rstrip("\r\n")) for line, text in lines)


def read(flags, check, named):
    """The arguments, the lines of standard input (`--input -`), and what a reader finds in the files of `--input`.

    Args:
        flags: A `settings.Predict`.
        check: Maps an argument or a line to a raw input; raises InputError.
        named: Maps the path of a file to an iterator of (name, raw input).
    """
    yield from ((None, check(text)) for text in flags.inputs)
    for path in paths(flags.input, "--input"):
        if path == "-":
            yield from ((None, check(line)) for line in standard_input("") if line.strip())
        else:
            yield from named(path)


def listed():
    """The names of files that standard input lists, a line each; unlike texts they may be any bytes."""
    return filter(None, map(str.strip, sys.stdin))


def standard_input(encoding):
    """The lines of standard input, each as soon as it is there; `data.files.read_lines` reads the same from a file.

    As nobody knows yet what follows, each line by itself is UTF-8 or in `encoding`.
    """
    wide = encoding and "\r\n".encode(encoding) != b"\r\n"  # several bytes for each character
    for number, line in enumerate(_wide_lines(encoding) if wide else sys.stdin.buffer, start=1):
        try:
            if not wide:
                line = line.decode(encoding if encoding and not is_utf8([line], encoding) else "utf-8")
            yield line.removeprefix("\ufeff") if number == 1 else line
        except UnicodeDecodeError as error:
            received = f"expected {encoding or 'UTF-8'}, received the byte 0x{line[error.start]:02x}"
            advice = "name the encoding, such as --encoding cp1252"
            raise InputError("standard input", f"{received}; {advice}.", number) from None


def _wide_lines(encoding):
    lines = io.TextIOWrapper(sys.stdin.buffer, encoding, newline="\n")
    try:
        yield from lines
    except UnicodeError as error:
        raise InputError("standard input", f"expected {encoding}, received: {error}.") from None
    finally:
        lines.detach()  # else standard input is closed with the lines


def as_unicode(argument):
    """An argument of the command line as text; bytes that are no UTF-8 become U+FFFD."""
    return argument.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def is_table(path):
    return kind_of(path) in SUFFIXES


def files(suffixes):
    """A reader of whole files, such as images: the raw input is a file's bytes.

    Args:
        suffixes: Suffixes of the files to take from a folder, in lower case.

    Returns:
        A reader whose arguments are files, folders and patterns.
    """
    return functools.partial(_read, read=lambda path: pathlib.Path(path).read_bytes(), suffixes=suffixes)


def numbers(columns=()):
    """A reader of tables of numbers, CSV, TSV, Parquet or NumPy's `.npy`: a row is a timestep.

    Args:
        columns: Columns to read, in this order; an empty list reads all, which must be numbers.

    Returns:
        A reader whose raw inputs are `(timesteps, features)` float32.
    """
    return functools.partial(
        _read, read=lambda path: _numbers(path, list(columns)), suffixes=(".csv", ".tsv", ".parquet", ".npy")
    )


def _read(flags, config, read, suffixes):
    given = [(path, "predict") for path in flags.inputs] + [(path, "--input") for path in flags.input]
    for argument, flag in given:
        for path in paths(listed() if argument == "-" else [argument], flag, suffixes):
            try:
                yield path, read(path)
            except OSError as error:
                raise InputError(path, f"expected a readable file, received: {error.strerror or error}.") from None


def _numbers(path, columns):
    suffix = pathlib.Path(path).suffix.lower()
    try:
        if suffix == ".npy":
            values = np.load(path, allow_pickle=False)
        else:
            table = pd.read_parquet(path) if suffix == ".parquet" else pd.read_csv(path, sep=None, engine="python")
            missing = [column for column in columns if column not in table]
            if missing:
                raise InputError(path, f"expected a column {missing[0]!r}, received {', '.join(map(repr, table))}.")
            values = (table[columns] if columns else table).to_numpy("float32")
        values = np.asarray(values, "float32")
    except (ValueError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(path, f"expected a table of numbers, received: {str(error).splitlines()[0]}.") from None
    if values.ndim != 2 or not len(values):
        raise InputError(path, f"expected (timesteps, features) numbers, received the shape {values.shape}.")
    return values


def paths(given, flag, suffixes=None):
    """The files that arguments name: files, all files of folders, patterns such as `photos/*.jpg`, each in order.

    Args:
        given: The arguments.
        flag: The name of the arguments in an error.
        suffixes: Suffixes of the files to take from a folder; None takes all.

    Raises:
        InputError: if there is no such file, or no file in a folder.
    """
    for name in given:
        if not name:
            raise InputError(flag, "expected a file, a folder or a pattern, received an empty name.")
        path = pathlib.Path(name)
        if name == "-" or path.is_file():
            yield name
            continue
        if path.is_dir():
            inside = sorted(some for some in path.rglob("*") if some.is_file() and not some.name.startswith("."))
            found = [str(some) for some in inside if suffixes is None or some.suffix.lower() in suffixes]
            expected = "files" if suffixes is None else f"files that end in {', '.join(suffixes)}"
        else:
            found, expected = (
                sorted(some for some in glob.glob(name, recursive=True) if pathlib.Path(some).is_file()),
                "",
            )
        if not found and expected:
            raise InputError(name, f"expected a folder with {expected}, received one without.")
        if not found:
            raise InputError(
                name, f"expected a file, a folder or a pattern for {flag}, received a path where there is none."
            )
        yield from found
