"""Reading the user's files: all formats alike, in chunks, and every wrong file named with its line."""

import gzip
import json

import pandas as pd
import pytest

from data.files import InputError, read_lines, read_table

COLUMNS = ["text", "label"]
ROWS = [("A warm, funny film.", "1"), ("Line one\nline two", "0"), ('She said "no".', "0"), ("", "1"), ("été 😀", "1")]


def read(path, **settings):
    frames = list(read_table(path, COLUMNS, required=["label"], **settings))
    return pd.concat(frames)


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def error_of(path, columns=COLUMNS, required=("label",)):
    with pytest.raises(InputError) as caught:
        list(read_table(path, columns, required=required))
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    return message.removeprefix(str(path))


def save(path):
    frame = pd.DataFrame(ROWS, columns=COLUMNS).assign(other=1.5)
    compression = "gzip" if path.suffix == ".gz" else None
    if ".parquet" in path.name:
        frame.assign(label=frame["label"].astype(float)).to_parquet(path)
    elif "json" in path.name:
        frame.assign(label=frame["label"].astype(int)).to_json(
            path, orient="records", lines=True, compression=compression
        )
    else:
        frame.to_csv(path, index=False, sep="\t" if ".tsv" in path.name else ",", compression=compression)
    return path


@pytest.mark.parametrize(
    "name", ["a.csv", "a.tsv", "a.jsonl", "a.ndjson", "a.parquet", "a.csv.gz", "a.tsv.gz", "a.jsonl.gz", "A.CSV"]
)
@pytest.mark.parametrize("chunk_rows", [2, 4096])
def test_every_format_gives_the_same_rows_in_chunks_of_any_size(tmp_path, name, chunk_rows):
    if name == "A.CSV":
        save(tmp_path / "a.csv").rename(tmp_path / name)
    else:
        save(tmp_path / name)
    table = read(tmp_path / name, chunk_rows=chunk_rows)
    assert list(table.itertuples(index=False, name=None)) == ROWS


def test_the_fixtures_are_read_as_they_are_on_disk():
    table = read("tests/fixtures/reviews.csv")
    assert table["label"].to_dict() == {2: "positive", 3: "negative", 4: "negative", 7: "positive"}
    assert table["text"][4] == 'She said "brilliant".\nIt was not.'
    assert read("tests/fixtures/reviews.tsv")["label"].tolist() == ["positive", "negative"]
    assert read("tests/fixtures/reviews.jsonl")["label"].tolist() == ["1", "0"]


def test_rows_are_numbered_by_the_line_where_they_begin(tmp_path):
    path = write(tmp_path / "a.csv", '\ufefftext,label\r\n"a\r\nb\r\n",x\r\n\r\n   \r\nc,y\r\n"",z')
    assert read(path)["label"].to_dict() == {2: "x", 7: "y", 8: "z"}


def test_a_text_of_a_million_characters_is_read(tmp_path):
    path = write(tmp_path / "a.csv", f"text,label\n{'x' * 1_000_000},1\n")
    assert len(read(path)["text"].iloc[0]) == 1_000_000


def test_json_values_become_text(tmp_path):
    rows = [{"text": 3, "label": True}, {"text": 2.5, "label": 0.0}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert read(path).to_numpy().tolist() == [["3", "true"], ["2.5", "0"]]


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("a.csv", "", ": expected rows, received an empty file"),
        ("a.csv", "\n\n", ": expected rows, received blank lines only"),
        ("a.csv", "text,label\n", ": expected rows, received a header and nothing below"),
        ("a.csv", "body,label\na,1\n", ":1: expected one column 'text', received the columns 'body', 'label'"),
        ("a.csv", "text,text,label\na,b,1\n", ":1: expected one column 'text', received the columns 'text', 'text'"),
        ("a.csv", b"text,label\na,1\ncaf\xe9,0\n", ":3: expected UTF-8, received the byte 0xe9"),
        ("a.csv", "text,label\na,1\nb\n", ":3: expected 2 fields, as in the header, received 1"),
        ("a.csv", "text,label\na,1\nb,0,\n", ":3: expected 2 fields, as in the header, received 3"),
        ("a.csv", 'text,label\n"a\nb",1\nc\n', ":4: expected 2 fields, as in the header, received 1"),
        ("a.csv", 'text,label\na,1\n"b,0\nc,1\n', ":3: expected a closing quote, received none"),
        ("a.csv", 'text,label\n"a\n""b"" c\nd","1\n', ":4: expected a closing quote, received none"),
        ("a.csv", 'text,label\n"a" b,1\n', ":2: expected quotes around whole fields"),
        ("a.csv", "text,label\na,1\nb\0,1\n", ":3: expected text, received a NUL byte"),
        ("a.csv", "text,label\na,1\nb, \n", ":3: expected a value in the column 'label', received none"),
        ("a.csv", "text,label\na,NaN\n", ":2: expected a value in the column 'label', received none"),
        ("a.csv", 'text,label\n"a\nb",1\nc,\n', ":4: expected a value in the column 'label', received none"),
        ("a.tsv", "text\tlabel\na\t1\nb\n", ":3: expected 2 fields, as in the header, received 1"),
        ("a.xlsx", "", ": expected one of .csv, .tsv, .jsonl, .ndjson, .parquet"),
        ("a", "", "received 'no suffix'"),
        ("a.parquet.gz", "", "received '.parquet.gz'"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', ":2: expected a JSON object on each line"),
        ("a.jsonl", "[1, 2]\n", ":1: expected a JSON object, received '[1, 2]'"),
        ("a.jsonl", '{"text": "a"}\n', ":1: expected one column 'label', received the columns 'text'"),
        (
            "a.jsonl",
            '{"text": null, "label": 1}\n',
            ":1: expected text or a number in the column 'text', received none",
        ),
        ("a.jsonl", '{"text": "a", "label": NaN}\n', ":1: expected text or a number in the column 'label'"),
        (
            "a.jsonl",
            '{"text": "a", "label": [1]}\n',
            ":1: expected text or a number in the column 'label', received [1]",
        ),
        ("a.jsonl", '{"text": "\\ud800", "label": 1}\n', ":1: expected Unicode text in the column 'text'"),
        ("a.jsonl", "\n \n", ": expected rows"),
        ("a.parquet", "PAR1 nonsense", ": expected a whole Parquet file"),
        ("a.parquet", "", ": expected rows, received an empty file"),
        ("a.csv.gz", "text,label\na,1\n", ": expected a whole gzip file, received a damaged one"),
        ("a.csv.gz", gzip.compress(b"text,label\na,1\n" * 1000, mtime=0)[:-20], ": expected a whole gzip file"),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, name, content, expected):
    assert expected in error_of(write(tmp_path / name, content))


@pytest.mark.parametrize("name", ["none.csv", "none.jsonl.gz", "none.parquet"])
def test_a_missing_file_and_a_folder_are_told_apart(tmp_path, name):
    assert ": expected a file, received a path where there is none" in error_of(tmp_path / name)
    (tmp_path / name).mkdir()
    assert ": expected a file, received a folder" in error_of(tmp_path / name)


def test_a_parquet_file_names_its_rows(tmp_path):
    path = tmp_path / "a.parquet"
    pd.DataFrame({"text": ["a", "b"], "label": ["x", None]}).to_parquet(path)
    assert ": row 2: expected text or a number in the column 'label', received none" in error_of(path)
    pd.DataFrame({"text": ["a", "b"], "label": ["x", ""]}).to_parquet(path)
    assert ": row 2: expected a value in the column 'label'" in error_of(path)
    assert ": expected one column 'body', received the columns 'text', 'label'" in error_of(path, ["body"], ())
    pd.DataFrame({"text": [], "label": []}).to_parquet(path)
    assert ": expected rows, received a header" in error_of(path)


def test_rows_before_the_wrong_one_are_streamed_first(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\n" + "a,1\n" * 10 + "b\n")
    chunks = read_table(path, COLUMNS, chunk_rows=5)
    assert len(next(chunks)) == 5 and len(next(chunks)) == 5
    with pytest.raises(InputError, match=":12: "):
        next(chunks)


def test_lines_are_numbered(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffone\ntwo")
    assert list(read_lines(path)) == [(1, "one\n"), (2, "two")]
