"""The flags of the command line reach the readers of the tasks' files; the readers' own tests are in `tests/data`."""

import json

import numpy as np
import pytest

from data.files import InputError
from pipelines import ner, sentiment, translation

LABELLED = "text{0}label\nété{0}a\nnoël{0}b\n"
TABLE = "Sentence,Word,Tag\n1,Été,B-PER\n,vint,O\n2,Zoé,B-PER\n"


def read(task, path, **flags):
    found = task.load(task.Config(data=str(path), validation_data=str(path), **flags))["validation"]
    return [tuple(np.asarray(part).tolist() for part in row) for row in found.as_numpy_iterator()]


@pytest.mark.parametrize(
    ("name", "content", "flags"),
    [
        ("a.csv", LABELLED.format(",").encode("cp1252"), {"encoding": "cp1252"}),
        ("a.csv", LABELLED.format(";").encode(), {}),
        ("a.csv", LABELLED.format("~").encode(), {"separator": "~"}),
        ("a.csv", LABELLED.format("\t").encode("utf-16"), {}),
        ("a.csv", LABELLED.format(",").replace("\n", "\r").encode(), {}),
        ("a.csv", LABELLED.format(",").replace("été", '"été"').encode(), {"escape": "\\"}),
        ("a.json", json.dumps([{"text": "été", "label": "a"}, {"text": "noël", "label": "b"}]).encode(), {}),
        ("a.csv", b'v1,v2,,,\na,"\xe9t\xe9",,,\nb,no\xebl,,,\n',
         {"encoding": "latin-1", "text_column": "v2", "label_column": "v1"}),
    ],
)  # fmt: skip
def test_sentiment_reads_what_its_flags_say(tmp_path, name, content, flags):
    (tmp_path / name).write_bytes(content)
    assert read(sentiment, tmp_path / name, **flags) == [("été".encode(), b"a"), ("noël".encode(), b"b")]


@pytest.mark.parametrize(
    ("name", "content", "flags"),
    [
        ("a.csv", TABLE.encode("cp1252"),
         {"encoding": "cp1252", "token_column": "Word", "tag_column": "Tag", "sentence_column": "Sentence"}),
        ("a.tsv", "Été\tPER\nvint\tO\n\nZoé\tPER\n".encode(), {}),
        ("a.conll", "Été\tB-PER\t\nvint\tO\t\n\nZoé\tB-PER\t\n".encode(), {}),
        ("a.conll", "Été~PER\rvint~O\r\rZoé~PER\r".encode("utf-16"), {"separator": "~", "file_scheme": "IO"}),
        ("a.json", json.dumps([{"text": text, "entities": [{"start": 0, "end": 3, "label": "PER"}]}
                               for text in ("Été vint", "Zoé")]).encode(), {}),
    ],
)  # fmt: skip
def test_ner_reads_what_its_flags_say(tmp_path, name, content, flags):
    (tmp_path / name).write_bytes(content)
    entity = [b"0", b"3", b"PER"]
    assert read(ner, tmp_path / name, **flags) == [("Été vint".encode(), [entity]), ("Zoé".encode(), [entity])]


@pytest.mark.parametrize(
    ("content", "flags"),
    [
        ("été\tsummer\nnoël\txmas\n\tnothing\n".encode("cp1252"), {"encoding": "cp1252"}),
        ("été;summer\rnoël;xmas\r".encode(), {"separator": ";"}),
        ("été\tsummer\nnoël\txmas\n".encode("utf-16"), {}),
    ],
)
def test_translation_reads_what_its_flags_say(tmp_path, content, flags):
    (tmp_path / "a.txt").write_bytes(content)
    pairs = [("été".encode(), b"summer"), ("noël".encode(), b"xmas")]
    assert read(translation, tmp_path / "a.txt", **flags) == pairs


def test_what_is_left_out_or_read_otherwise_is_said_in_one_line(tmp_path, capsys):
    (tmp_path / "a.tsv").write_text("a\tb\n \tc\nd\t\n\t\n")
    read(translation, tmp_path / "a.tsv")
    said = "".join(capsys.readouterr())
    assert "left out 1 pairs that are empty and 2 with one side empty" in said
    spans = [{"start": 0, "end": 4, "label": "X"}, {"start": 5, "end": 7, "label": "X"}]
    (tmp_path / "b.jsonl").write_text(json.dumps({"text": "Ann met", "entities": spans}) + "\n")
    read(ner, tmp_path / "b.jsonl")
    said = "".join(capsys.readouterr())
    assert "read 1 spans without the spaces or characters of no width at their edges, 1 spans that" in said


@pytest.mark.parametrize("task", [sentiment, ner, translation])
def test_a_form_that_cannot_be_names_its_flag(tmp_path, task):
    (tmp_path / "a.csv").write_text("text,label\na,b\n")
    with pytest.raises(InputError, match="--encoding: expected an encoding that Python knows"):
        read(task, tmp_path / "a.csv", encoding="utf-9")
