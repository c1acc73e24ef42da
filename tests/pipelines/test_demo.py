"""The window in the browser: what it answers, whom it refuses, and that nothing ends it but Ctrl-C."""

import base64
import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse

import kinds
import numpy as np
import pytest
from conftest import started

from data.files import InputError
from pipelines import dna, sentiment
from pipelines.engine import command, verbs, window
from pipelines.evaluation import classification

TEXT = "Dull at first, but the ending is wonderful."


@pytest.fixture(scope="module")
def asked(trained):
    return window.Asked(sentiment.TASK, trained)


@pytest.fixture(scope="module")
def opened(asked):
    with serving(asked) as server:
        yield server


class serving:
    """Within: a `window.Window`, on a free port."""

    def __init__(self, asked):
        self.server = window.Window(asked)

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
        return self.server

    def __exit__(self, *error):
        self.server.shutdown()
        self.server.server_close()


def ask(server, content, name=None, method="POST", path="/answer", **headers):
    """(status, body, headers) of a request."""
    headers = {key.replace("_", "-"): value for key, value in headers.items()}
    if name is not None:
        headers["X-File-Name"] = urllib.parse.quote(name)
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=300)
    connection.request(method, path, content if method == "POST" else None, headers)
    reply = connection.getresponse()
    body = reply.read()
    connection.close()
    return reply.status, json.loads(body) if "json" in reply.headers["Content-Type"] else body.decode(), reply.headers


def test_the_page_loads_nothing_from_elsewhere_and_runs_its_own_script_alone(opened):
    status, page, headers = ask(opened, None, method="GET", path="/")
    assert status == 200 and "Is a review positive?" in page
    assert not re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?(?!data:,)(?:https?:)?//?\w", page)
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy
    (nonce,) = re.findall(r"script-src 'nonce-([^']+)'", policy)
    assert f'<script nonce="{nonce}">' in page
    told = json.loads(re.search(r'<script type="application/json" id="task">(.*?)</script>', page)[1])
    assert told["examples"][0]["text"] == sentiment.ABOUT.examples(None)[0] and told["takes"] == "text"
    assert ask(opened, None, method="GET", path="/")[2]["Content-Security-Policy"] != policy  # a nonce is used once
    assert ask(opened, None, method="GET", path="/../secret")[0] == 404


def test_a_text_is_answered_as_predict_answers_it_with_its_words_coloured(opened, trained):
    status, found, _ = ask(opened, TEXT.encode())
    (expected,) = verbs.predict(sentiment.TASK, trained, [TEXT])
    assert status == 200 and found["answers"] == 1 and found["picture"] is None and found["notice"] == ""
    told = json.loads(found["json"])
    assert (told["text"], told["label"]) == (TEXT, expected["label"])
    assert told["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-6)
    words = re.findall(
        r'<span class="(for|against)" style="--much: \d+%" title="([+-][\d.]+)">(.*?)</span>', found["page"]
    )
    parts = verbs.restored(sentiment.TASK, trained)[2]
    for (kind, told, word), (name, value) in zip(words, classification.influence(parts, TEXT), strict=True):
        assert word == name and float(told) == pytest.approx(value, abs=6e-4) and (kind == "for") == (value > 0)


def test_what_was_typed_is_shown_as_text_and_never_as_markup(opened):
    found = ask(opened, b"<script>alert(1)</script> <img src=x onerror=alert(1)>")[1]
    assert "<script>alert" not in found["page"] and "<img" not in found["page"]


def test_a_file_is_read_as_predict_reads_it_and_bears_its_own_name(opened, trained, tmp_path):
    table = "text,label\n" + "".join(f"movie number {k},x\n" for k in range(3))
    found = ask(opened, table.encode(), "my reviews.csv")[1]
    rows = [json.loads(line) for line in found["json"].splitlines()]
    assert [row["name"] for row in rows] == [f"my reviews.csv:{k}" for k in (2, 3, 4)]
    assert [row["text"] for row in rows] == [f"movie number {k}" for k in range(3)]

    many = "\n".join(f"movie {k}" for k in range(window.ANSWERS + 5))
    found = ask(opened, many.encode(), "many.txt")[1]
    assert found["answers"] == window.ANSWERS and f"first {window.ANSWERS} inputs" in found["notice"]


@pytest.mark.parametrize(
    "content, name, said",
    [
        (b"a,b\n1,2\n", "wrong.csv", "wrong.csv:1: expected one column 'text'"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\xfe", "photo.txt", "photo.txt"),
        (b"", "empty.txt", "empty.txt: expected rows, received an empty file."),
        (b"text\n", "../../etc/none.csv", "none.csv"),
        (b"\xff\xfe\xff", None, "input: expected a text in UTF-8, received other bytes."),
        (b"a" * (window.LETTERS + 1), None, f"up to {window.LETTERS:,} characters"),
    ],
)
def test_a_wrong_input_is_told_by_its_own_name_and_the_window_lives_on(opened, content, name, said):
    status, found, _ = ask(opened, content, name)
    assert status == 400 and said in found["error"] and "/tmp" not in found["error"]
    assert ask(opened, TEXT.encode())[0] == 200


def test_too_large_a_file_is_refused_while_it_still_comes(opened, monkeypatch):
    monkeypatch.setattr(window, "LIMIT", 5_000_000)
    status, found, _ = ask(opened, bytes(20_000_000), "film.txt")
    assert status == 413 and found["error"].startswith("The file has 20 MB; this window takes up to 5 MB.")
    assert "predict --run" in found["error"]
    with socket.create_connection(("127.0.0.1", opened.port)) as one:  # a browser that leaves in the middle
        one.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost:%d\r\nContent-Length: 1000\r\n\r\nhalf" % opened.port)
    with socket.create_connection(("127.0.0.1", opened.port)) as one:
        one.sendall(b"POST /answer HTTP/1.1\r\nHost: localhost:%d\r\n\r\n" % opened.port)
        assert b" 411 " in one.recv(1000)
    assert ask(opened, TEXT.encode())[0] == 200


def test_ten_browsers_at_once_get_each_its_own_answer(opened, trained):
    texts = [f"movie number {k} is {'great' if k % 2 else 'dull'}" for k in range(10)]
    found = [None] * len(texts)

    def one(k):
        found[k] = ask(opened, texts[k].encode())

    threads = [threading.Thread(target=one, args=(k,)) for k in range(len(texts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [status for status, *_ in found] == [200] * len(texts)
    assert [json.loads(answer["json"])["text"] for _, answer, _ in found] == texts


def test_other_pages_cannot_drive_it_nor_read_it_by_a_name_of_their_own(opened):
    here = f"127.0.0.1:{opened.port}"
    assert ask(opened, TEXT.encode(), Origin=f"http://{here}", Sec_Fetch_Site="same-origin")[0] == 200
    for headers in (
        {"Origin": "http://elsewhere.example"},
        {"Origin": "null"},
        {"Origin": f"http://localhost:{opened.port + 1}"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Host": "elsewhere.example"},
        {"Host": f"elsewhere.example:{opened.port}"},
        {"Host": f"127.0.0.1:{opened.port + 1}"},
        {"Host": f"127.0.0.1.elsewhere.example:{opened.port}"},
    ):
        status, found, _ = ask(opened, TEXT.encode(), **headers)
        assert status == 403 and "error" in found
    assert ask(opened, None, method="GET", path="/", Host="elsewhere.example")[0] == 403
    assert ask(opened, None, method="GET", path="/", Host=f"localhost:{opened.port}")[0] == 200
    assert ask(opened, None, method="GET", path="/", Host=f"[::1]:{opened.port}")[0] == 200


def test_it_listens_on_the_loopback_address_alone_unless_told_otherwise(asked, opened):
    assert opened.server_address[0] == "127.0.0.1" and not opened.everywhere
    with window.Window(asked, "0.0.0.0") as everywhere:
        assert everywhere.everywhere
        port = everywhere.port
        assert everywhere.is_own(f"192.0.2.7:{port}") and everywhere.is_own(f"{socket.gethostname()}:{port}")
        assert not everywhere.is_own(f"elsewhere.example:{port}")
    assert not opened.is_own(f"192.0.2.7:{opened.port}")


def test_a_failure_of_the_network_is_told_and_survived(opened, monkeypatch, capsys):
    def fail(*given):
        raise RuntimeError("no memory left\nand a long trace")

    monkeypatch.setattr(verbs, "answers", fail)
    status, found, _ = ask(opened, TEXT.encode())
    assert status == 500 and found["error"] == "The network failed on this input: no memory left"
    assert "Traceback" not in capsys.readouterr().err
    monkeypatch.undo()
    assert ask(opened, TEXT.encode())[0] == 200


def test_wrong_flags_and_runs_are_told_as_predict_tells_them(opened, trained, tmp_path, capsys):
    for arguments, said in (
        (["--run", str(trained), "--port", str(opened.port)], f"--port: expected a free port, received {opened.port}"),
        (["--run", str(trained), "--port", "99999"], "--port: expected a number from 0 to 65535"),
        (["--run", str(trained), "--host", "no such host", "--port", "0"], "--host: expected an address"),
        (["--run", str(tmp_path / "none")], "expected the folder of a run"),
        (["--run", str(tmp_path)], "expected a run with a config.json"),
    ):
        assert command.run(sentiment.TASK, ["demo", *arguments]) == 2
        assert said in capsys.readouterr().err


@pytest.fixture(scope="module")
def untrained(tmp_path_factory):
    """Kind -> an `Asked` of an untrained network."""

    def made(kind):
        task, raws = kinds.task(kind)
        run = tmp_path_factory.mktemp(kind)
        config = task.config(run=str(run))
        parts = task.build(config, {})
        parts.model.save_weights(run / "model.weights.h5")
        (run / "config.json").write_text(json.dumps(vars(config)))
        (run / "vocabularies.json").write_text("{}")
        return window.Asked(task, run), raws

    return made


@pytest.mark.parametrize("kind", ["image_to_class", "numbers_to_values"])
def test_files_of_bytes_and_of_numbers_are_asked_as_the_record_says(untrained, kind):
    asked, raws = untrained(kind)
    content, name = next(asked.examples())
    found = asked.answer(content, name)
    (expected,) = verbs.predict(asked.task, asked.run, asked.parts.samples[-1:])
    (key,) = expected
    answer = json.loads(found["json"])
    assert answer["name"] == name
    np.testing.assert_allclose(answer[key], expected[key], atol=1e-6)
    with pytest.raises(InputError, match="expected a file, received a text"):
        asked.answer(b"some text")
    page = asked.page("nonce")
    told = json.loads(re.search(r'id="task">(.*?)</script>', page)[1])
    assert told["takes"] == asked.parts.takes
    assert base64.b64decode(told["examples"][0]["b64"]) == content


def test_pasted_fasta_is_read_as_a_file():
    assert dna.ABOUT.pasted(">one\nACGT") == ".fasta" and dna.ABOUT.pasted("ACGT") == ""


@pytest.mark.parametrize(
    "name, kept",
    [("a/b/c.csv", "c.csv"), ("C:\\me\\x.fa.gz", "x.fa.gz"), ("..", "file"), ("a\nb.txt", "a_b.txt"), ("", "file")],
)
def test_names_of_files_stay_within_the_folder(name, kept):
    assert window.plain(name) == kept
    assert len(window.plain("x" * 500 + ".csv")) < 100 and window.plain("x" * 500 + ".csv").endswith(".csv")


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of another process is a POSIX signal")
def test_ctrl_c_ends_it_quietly_with_status_0(trained):
    process = started("demo", "--run", str(trained), "--port", "0", stderr=subprocess.PIPE, text=True)
    lines = []
    for line in process.stderr:
        lines.append(line)
        if "the window is at http://127.0.0.1:" in line:
            break
    port = int(re.search(r":(\d+)/", lines[-1])[1])
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    connection.request("POST", "/answer", TEXT.encode())
    assert connection.getresponse().status == 200
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(60) == 0
    assert "the window is closed" in rest and "Traceback" not in rest
