"""The lines of the user's text files: gzip or not, in any encoding; an error has the file and the line."""

import codecs
import dataclasses
import gzip
import io
import pathlib
import zlib

PACKED = (".gz", ".bgz")  # suffixes of gzip, also in blocks
LONGEST = 2**24  # characters of a field; limits the search for its end, and for that of the first line

# A byte order mark gives the encoding of a file; the mark of UTF-32 begins like that of UTF-16.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


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
    found = found or ("utf-8" if not encoding or _is_utf8_file(path, encoding) else encoding)
    if codecs.lookup(found).name in ("utf-16", "utf-32") and not start.startswith(tuple(_MARKS)):
        found += "-be" if start.startswith(b"\0") else "-le"  # without a mark; most texts begin with an ASCII character
    with io.TextIOWrapper(_opened(path), found, errors="replace", newline="") as text:
        return found, "" if text.readline(LONGEST).endswith("\r") else "\n"


def _is_utf8_file(path, encoding):
    with _opened(path) as file:
        return is_utf8(file, encoding)


def is_utf8(lines, encoding):
    """Whether lines of bytes are UTF-8, although the user gave another encoding.

    Text in another encoding is almost never valid UTF-8 throughout. UTF-8 text has fewer characters when read as UTF-8.
    """
    fewer = False
    for line in lines:
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


def without_end(line):
    """A line without its LF, CR LF or CR."""
    return line[:-2] if line.endswith("\r\n") else line[:-1] if line.endswith(("\n", "\r")) else line
