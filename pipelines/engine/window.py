"""The verb `demo`: a page in the browser that asks a run and shows its answers as `predict --to` writes them.

The server is that of Python's standard library and the page is one file without outside resources, so nothing that is
typed or dropped leaves the machine. Answers are computed one at a time. A request is refused unless it was made by the
page itself: other pages in the same browser could else ask, or read the page under a name of their own.
"""

import base64
import contextlib
import errno
import html
import http.server
import importlib.resources
import io
import ipaddress
import itertools
import json
import os
import pathlib
import secrets
import socket
import string
import tempfile
import threading
import urllib.parse

import numpy as np

from data.files import InputError
from pipelines.engine import card, verbs, writing
from pipelines.engine.training import say

LIMIT = 32_000_000  # bytes of a file or a text, at most
DRAINED = 1_000_000_000  # bytes of a larger one that are read, so that the browser hears why it is refused
LETTERS = 100_000  # of one text
ANSWERS, DRAWN = 100, 4  # inputs of a file that are answered, and those of them that a picture shows, at most
SECONDS = 60  # that a browser may be silent within a request
LOCAL = ("localhost", "127.0.0.1", "::1")


class Refused(Exception):
    """A request that is not answered: its HTTP status, and the reason for whoever asked."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status


class Asked:
    """A trained run that answers what is typed or dropped.

    Args:
        task: A `Task`.
        run: The folder of its run.

    Raises:
        InputError: if there is no finished run.
    """

    def __init__(self, task, run):
        self.task, self.run = task, run
        self.config, _, self.parts = verbs.restored(task, run)
        self.lock = threading.Lock()
        self.command = f"python -m pipelines.{task.name} predict --run {run} --input FILE --to answers.csv"

    def answer(self, content, name=None):
        """The answers to what was typed, or to a file.

        Args:
            content: Bytes of the text or of the file.
            name: Name of the file; None: a text.

        Returns:
            Dictionary of `answers`, how many; `page`, HTML, and `picture`, a PNG in base64, either None if the task
            shows none; `json`, a line for each answer; `notice`, what was left out, or "".

        Raises:
            InputError: if the input is wrong. Its message names the file as it was named here.
        """
        with self.lock, tempfile.TemporaryDirectory(prefix="window") as folder:
            folder = pathlib.Path(folder).resolve()
            mine = lambda text: text.replace(f"{folder / 'input'}{os.sep}", "")
            try:
                raws = list(itertools.islice(self._inputs(content, name, folder), ANSWERS + 1))
                found = list(verbs.answers(self.task, self.parts, raws[:ANSWERS]))
                if not found:
                    raise InputError(name or "input", "expected an input, received none.")
                page, picture = (self._written(found, suffix, folder) for suffix in (".html", ".png"))
            except InputError as error:
                said = str(error).removeprefix(str(error.path)).removeprefix(f":{error.line}").removeprefix(": ")
                place = name or "input" if error.path in ("predict", "--input") else mine(str(error.path))
                raise InputError(place, mine(said), error.line) from None
            lines = "\n".join(json.dumps(answer, ensure_ascii=False) for answer in found)
            more = f"Only the first {ANSWERS} inputs are answered here. For all of them: {self.command}"
            return {
                "answers": len(found),
                "page": page and mine(page.decode()),
                "picture": picture and base64.b64encode(picture).decode(),
                "json": mine(lines),
                "notice": more if len(raws) > ANSWERS else "",
            }

    def _inputs(self, content, name, folder):
        """Pairs of (name or None, raw input), as the task's reader of `predict` reads them."""
        takes, flags = self.parts.takes, {"run": str(self.run)}
        if name is None:
            try:
                text = content.decode("utf-8")
            except UnicodeDecodeError:
                raise InputError("input", "expected a text in UTF-8, received other bytes.") from None
            if suffix := self.task.about.pasted(text):
                name = f"pasted{suffix}"
            elif takes != "text":
                raise InputError("input", "expected a file, received a text.")
        if name is None:
            flags["inputs"] = (text,)
        else:
            path = folder / "input" / plain(name)
            path.parent.mkdir()
            path.write_bytes(content)
            flags |= {"input" if takes == "text" else "inputs": (str(path),)}
        for told, raw in self.task.inputs(self.task.predict(**flags), self.config):
            if isinstance(raw, str) and len(raw) > LETTERS:
                wanted = f"expected a text of up to {LETTERS:,} characters in this window, received {len(raw):,}."
                raise InputError(told or "input", wanted)
            yield told, raw

    def _written(self, found, suffix, folder):
        """The bytes that the task's writer of a suffix writes; None if the task shows none, or none of such answers."""
        write = writing.writers(self.task).get(suffix)
        if write is None or suffix not in self.task.about.shown:
            return None
        path = folder / f"written{suffix}"
        try:
            write(self.parts, iter(found if suffix == ".html" else found[:DRAWN]), path)
        except InputError:
            return None
        return path.read_bytes()

    def page(self, nonce):
        """The page of the window; its script runs by the `nonce`."""
        task, takes, suffixes = self.task, self.parts.takes, self.task.about.suffixes
        kinds = {
            "text": "Or drop a file: each line, row or record is an input.",
            "file": f"Drop a file, or choose one: {', '.join(suffixes) or 'of any kind'}.",
            "numbers": "Drop a table of numbers (.csv, .tsv, .parquet, .npy): a row is a timestep.",
        }
        told = {
            "takes": takes,
            "letters": task.about.languages is None,  # no words: all letters are as wide
            "suffixes": suffixes if takes == "file" else (),
            "limit": LIMIT,
            "command": self.command,
            "examples": [
                {"text": content.decode()}
                if name is None
                else {"name": name, "b64": base64.b64encode(content).decode()}
                for content, name in self.examples()
            ],
        }
        question, mark, more = card.question(task).partition("?")
        text = importlib.resources.files(__package__).joinpath("window.html").read_text(encoding="utf-8")
        return string.Template(text).substitute(
            title=html.escape(question + mark),
            more=html.escape(more.strip()),
            run=html.escape(str(self.run)),
            input=html.escape(self.parts.signature.name),
            drop=html.escape(kinds[takes]),
            task=json.dumps(told).replace("<", "\\u003c"),
            nonce=nonce,
        )

    def examples(self):
        """Inputs to try: pairs of bytes and name, as for `answer`."""
        for number, raw in enumerate(self.task.about.tried(self.config, self.parts), start=1):
            if isinstance(raw, str):
                yield raw.encode(), None
            elif isinstance(raw, bytes):
                yield raw, f"example {number}"
            else:
                file = io.BytesIO()
                np.save(file, raw)
                yield file.getvalue(), f"example {number}.npy"


def plain(name):
    """The last part of a file's name, as a name that any file system takes; its suffix stays."""
    name = "".join(letter if letter.isprintable() else "_" for letter in name.replace("\\", "/").split("/")[-1])
    stem, dot, suffix = name.strip(". ").rpartition(".")
    short = f"{stem[:60]}{dot}{suffix[:20]}" if dot else suffix[:80]
    return f"{short or 'file'}"


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers the requests of the page: GET / and POST /answer."""

    protocol_version = "HTTP/1.1"
    timeout = SECONDS
    server_version, sys_version = "unroll", ""

    def do_GET(self):
        self._reply(self._page)

    def do_HEAD(self):
        self._reply(self._page)

    def do_POST(self):
        self._reply(self._answer)

    def _reply(self, answer):
        """Sends what `answer` returns, or the reason why there is none, as JSON."""
        try:
            self._check()
            status, kind, content, more = answer()
        except Refused as refused:
            status, kind, content, more = refused.status, *as_json({"error": str(refused)})
        except InputError as error:
            status, kind, content, more = 400, *as_json({"error": str(error)})
        except (ConnectionError, TimeoutError):
            self.close_connection = True
            return
        except Exception as error:  # whatever happens to one request, the others are answered
            reason = (str(error).strip().splitlines() or [""])[0][:300]
            say(f"error: {type(error).__name__}: {reason}")
            told = f"The network failed on this input: {reason or type(error).__name__}"
            status, kind, content, more = 500, *as_json({"error": told})
        try:
            self.send_response(status)
            heads = {"Content-Type": kind, "Content-Length": str(len(content)), **HEADERS, **more}
            for name, value in heads.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(content)
        except (ConnectionError, TimeoutError):  # the browser has left
            self.close_connection = True

    def _check(self):
        """Raises Refused unless the page itself, under a name of this machine, makes the request."""
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if not self.server.is_own(host):
            self.close_connection = True
            raise Refused(403, f"This window is not at {host or 'an address without a name'}.")
        elsewhere = origin not in (None, f"http://{host}")
        if self.command == "POST" and (elsewhere or self.headers.get("Sec-Fetch-Site") in ("cross-site", "same-site")):
            self.close_connection = True
            raise Refused(403, "Only the window's own page may ask it.")

    def _page(self):
        if self.path != "/":
            raise Refused(404, f"There is nothing at {self.path[:100]}; the window is at /.")
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'unsafe-inline'; img-src data: blob:; "
            "connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        page = self.server.asked.page(nonce).encode()
        return 200, "text/html; charset=utf-8", page, {"Content-Security-Policy": policy}

    def _answer(self):
        content = self._body()
        if self.path != "/answer":
            raise Refused(404, f"There is nothing at {self.path[:100]}; answers are at /answer.")
        name = self.headers.get("X-File-Name")
        found = self.server.asked.answer(content, None if name is None else urllib.parse.unquote(name) or "file")
        return 200, *as_json(found)

    def _body(self):
        """The bytes of a request; of one that is too large they are read and dropped."""
        try:
            size = int(self.headers.get("Content-Length", ""))
        except ValueError:
            size = -1
        if size < 0:
            self.close_connection = True
            raise Refused(411, "Expected a request that says how long it is.")
        if size > LIMIT:
            self.close_connection = True
            left = min(size, DRAINED)
            while left > 0 and (some := self.rfile.read(min(left, 1 << 20))):
                left -= len(some)
            told = f"The file has {size / 1e6:,.0f} MB; this window takes up to {LIMIT / 1e6:.0f} MB."
            raise Refused(413, f"{told} For more: {self.server.asked.command}")
        content = self.rfile.read(size)
        if len(content) < size:
            raise ConnectionError("the browser left before the whole file came")
        return content

    def log_message(self, *given):
        """Nothing: what people ask is theirs."""


HEADERS = {
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
}


def as_json(value):
    return "application/json", json.dumps(value).encode(), {}


class Window(http.server.ThreadingHTTPServer):
    """The server of the window, on a port that is its own from here on.

    Args:
        asked: An `Asked`.
        host: Address to listen on.
        port: Port to listen on; 0: any free one.

    Raises:
        InputError: if there is no such address, or the port is another program's.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, asked, host="127.0.0.1", port=0):
        self.asked, self.host = asked, host
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            super().__init__((host, port), Handler)
        except socket.gaierror:
            raise InputError("--host", f"expected an address of this machine, received {host!r}.") from None
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                wanted = f"expected a free port, received {port}, which another program has"
                raise InputError("--port", f"{wanted}; choose another, or 0 for any free one.") from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise InputError("--port", f"expected a port from 1024 on, received {port}.") from None
            raise InputError(
                "--host", f"expected an address of this machine, received {host!r} ({error.strerror})."
            ) from None
        self.port = self.server_address[1]

    def server_bind(self):
        """As in the base class, but without asking a name server who this machine is."""
        if hasattr(socket, "IPV6_V6ONLY") and self.address_family == socket.AF_INET6:
            self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super(http.server.HTTPServer, self).server_bind()
        self.server_name, self.server_port = self.host, self.server_address[1]

    @property
    def everywhere(self):
        """Whether other machines can ask."""
        return not ipaddress.ip_address(self.server_address[0]).is_loopback

    @property
    def url(self):
        host = "127.0.0.1" if self.host == "0.0.0.0" else "::1" if self.host == "::" else self.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}/"

    def is_own(self, host):
        """Whether a request's Host is a name of this machine, which no other site can have pointed here.

        On the loopback address these are its names, with the port. A window for other machines has the name that it was
        given, this machine's own name, and addresses, which are no names that somebody could point elsewhere.
        """
        split = urllib.parse.urlsplit(f"//{host}")
        try:
            name, port = (split.hostname or "").lower(), split.port or 80
        except ValueError:
            return False
        if port != self.port:
            return False
        if name in (*LOCAL, self.host.lower()):
            return True
        return self.everywhere and (name == socket.gethostname().lower() or is_address(name))

    def handle_error(self, request, address):
        """Nothing: a connection that broke concerns nobody else."""


def is_address(name):
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def demo(task, flags):
    """Serves the window until Ctrl-C."""
    asked = Asked(task, flags.run)
    with Window(asked, flags.host, flags.port) as window:
        say("asking the network once, so that the first answer in the window comes at once")
        with contextlib.suppress(InputError):
            asked.answer(*next(asked.examples()))
        say(f"the window is at {window.url} (Ctrl-C ends it)")
        if window.everywhere:
            say(f"--host {flags.host}: everybody who reaches this machine can ask the network, without a password")
        try:
            window.serve_forever()
        except KeyboardInterrupt:
            say("the window is closed")
            asked.lock.acquire(timeout=5)  # an answer that is being computed would be cut off within TensorFlow
