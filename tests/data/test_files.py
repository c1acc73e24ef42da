"""Reading the user's files: all formats alike, in chunks, and every wrong file named with its line."""

import gzip
import json

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pytest

from data.files import Form, InputError, read_lines
from data.records import read_records
from data.tables import read_table

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
        frame.assign(label=frame["label"].astype(int)).to_parquet(path)
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
    assert read("tests/fixtures/reviews.jsonl")["label"].tolist() == ["1", "0.0"]


def test_rows_are_numbered_by_the_line_where_they_begin(tmp_path):
    path = write(tmp_path / "a.csv", '\ufefftext,label\r\n"a\r\nb\r\n",x\r\n\r\n   \r\nc,y\r\n"",z')
    assert read(path)["label"].to_dict() == {2: "x", 7: "y", 8: "z"}


def test_a_text_of_a_million_characters_is_read(tmp_path):
    path = write(tmp_path / "a.csv", f"text,label\n{'x' * 1_000_000},1\n")
    assert len(read(path)["text"].iloc[0]) == 1_000_000


def test_json_values_become_text(tmp_path):
    rows = [{"text": 3, "label": True}, {"text": 2.5, "label": 0.0}]
    path = write(tmp_path / "a.jsonl", "\n".join(map(json.dumps, rows)))
    assert read(path).to_numpy().tolist() == [["3", "True"], ["2.5", "0.0"]]


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
        ("a.csv", 'text,label\n"a\nb",1\nc,\n', ":4: expected a value in the column 'label', received none"),
        ("a.tsv", "text\tlabel\na\t1\nb\n", ":3: expected 2 fields, as in the header, received 1"),
        ("a.xlsx", "", ": expected one of .csv, .tsv, .jsonl, .ndjson, .json, .parquet"),
        ("a", "", "received 'no suffix'"),
        ("a.parquet.gz", "", "received '.parquet.gz'"),
        ("a.jsonl", '{"text": "a", "label": 1}\n{"text": \n', ":2: expected a JSON object on each line"),
        ("a.jsonl", '{"text": "a", "label": ' + "1" * 5000 + "}", ":1: expected a JSON object on each line, received"),
        ("a.csv", "x" * 200_000 + ",label\na,1\n", ":1: expected one column 'text', received the columns 'xxxxxxxx"),
        ("a.jsonl", "[1, 2]\n", ":1: expected a JSON object, received '[1, 2]'"),
        ("a.jsonl", '{"text": "a"}\n', ":1: expected one column 'label', received the columns 'text'"),
        ("a.jsonl", '{"text": "a", "label": null}\n', ":1: expected a value in the column 'label', received none"),
        ("a.jsonl", '{"text": "a", "label": NaN}\n', ":1: expected a value in the column 'label', received none"),
        (
            "a.json",
            '[{"text": "a", "label": 1},\n{"text": ]',
            ":2: expected a list of JSON objects, received: Expecting",
        ),
        ("a.json", '[{"text": "a", "label": 1}\n{}]', ":2: expected a list of JSON objects, received: Expecting ','"),
        ("a.json", '[{"text": "a", "label": 1},\n', ": expected a ] at the end of the list, received none"),
        ("a.json", '[{"text": "a", "label": 1}]\n[]', ": expected nothing below the list of JSON objects"),
        ("a.json", '[{"text": "a", "label": 1},\n\n3]', ":3: expected a JSON object, received '3'"),
        ("a.json", "[ ]", ": expected rows, received"),
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
    assert ": row 2: expected a value in the column 'label', received none" in error_of(path)
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


# What pandas wrote is what is read.

ODD = "\"',;|\t\n\r\\ \xa0\u3000\u200b\u2028\x85\x0b\x1c\ufeffaé😀#0."
texts = st.one_of(
    st.text(ODD, max_size=8),
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8),
    st.sampled_from(["nan", "NaN", "None", "NA", "null", "true", "False", "1.0", "007", "1e5", "-0", "inf", '""']),
)
columns = st.one_of(
    st.lists(st.none() | texts, min_size=1, max_size=5),
    st.lists(st.integers(-(2**40), 2**40), min_size=1, max_size=5),
    st.lists(st.none() | st.integers(-9999, 9999).map(lambda number: number / 8), min_size=1, max_size=5),
    st.lists(st.booleans(), min_size=1, max_size=5),
    st.lists(st.none() | st.booleans(), min_size=1, max_size=5),
)


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.json", "a.parquet"])
@hypothesis.given(columns, st.data())
def test_what_pandas_wrote_is_what_is_read(tmp_path_factory, name, labels, data):
    rows = data.draw(st.lists(st.none() | texts, min_size=len(labels), max_size=len(labels)))
    frame = pd.DataFrame({"text": pd.Series(rows, dtype=object), "label": labels})
    path = tmp_path_factory.mktemp("tables") / name
    if name in ("a.csv", "a.tsv"):
        separator = "\t" if name == "a.tsv" else ","
        frame.to_csv(path, index=False, sep=separator)
        # A CR at the end of a line is part of its end. Where each line of a field is a row, the lines are rows.
        hypothesis.assume(not any(str(label).endswith("\r") for label in labels))
        written = frame.apply(lambda row: row.to_frame().T.to_csv(index=False, header=False, sep=separator), axis=1)
        lines = [row.removesuffix("\n").split("\n") for row in written]
        hypothesis.assume(not any(len(row) > 1 and all(line.count("\t") == 1 for line in row) for row in lines))
    elif name == "a.parquet":
        frame.to_parquet(path)
    else:
        frame.to_json(path, orient="records", lines=name == "a.jsonl")
    expected = [
        ["" if pd.isna(value) else str(value) for value in row] for row in zip(rows, frame["label"], strict=True)
    ]
    found = pd.concat(read_table(path, COLUMNS))
    assert found.to_numpy().tolist() == expected


def test_floats_of_32_bits_in_parquet_have_the_digits_that_pandas_writes(tmp_path):
    frame = pd.DataFrame({"text": ["a", "b"], "label": np.array([0.1, 2.0], "float32")})
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.csv", index=False)
    assert (
        read(tmp_path / "a.parquet")["label"].tolist() == read(tmp_path / "a.csv")["label"].tolist() == ["0.1", "2.0"]
    )


# Quotation marks between tabs.


@pytest.mark.parametrize(
    "texts",
    [
        ['"Splendid kettle', "leaks at the spout", "boils fast"],
        ['"Splendid" kettle', "leaks"],
        ['"Splendid kettle', "leaks", '"', "boils fast"],
        ['a 12"', 'a 5" one', "leaks"],
        ['"', '"', '"'],
        ['"All of it"', 'he said "no"', '"', "b"],
        ['"a', *(f"row {number}" for number in range(500)), 'b"'],
    ],
)
@pytest.mark.parametrize("name", ["a.tsv", "a.csv"])
def test_a_quotation_mark_between_tabs_is_a_character(tmp_path, name, texts):
    path = write(tmp_path / name, "label\ttext\n" + "".join(f"good\t{text}\n" for text in texts))
    found = read(path)
    assert found["text"].tolist() == texts
    assert found.index.tolist() == list(range(2, len(texts) + 2))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ('"a ""b"" c"\tx\n', ['a "b" c']),
        ('"a\tb"\tx\nc\tx\n', ["a\tb", "c"]),
        ('"a\n\nb"\tx\n"c"\tx\n', ["a\n\nb", '"c"']),
        ('"a\r\nb"\tx\r\nc\tx\r\n', ["a\r\nb", "c"]),
    ],
)
def test_a_field_that_has_to_be_quoted_between_tabs_is_read_as_quoted(tmp_path, rows, expected):
    assert read(write(tmp_path / "a.tsv", f"text\tlabel\n{rows}"))["text"].tolist() == expected


def test_a_quoted_header_between_tabs_says_that_fields_are_quoted(tmp_path):
    path = write(tmp_path / "a.tsv", '"text"\t"label"\n"a"\t"x"\n"b\tc\nd\te"\t"y"\n')
    assert read(path)["text"].tolist() == ["a", "b\tc\nd\te"]


def test_a_quote_that_stays_open_between_tabs_is_named_where_its_line_is_no_row(tmp_path):
    path = write(tmp_path / "a.tsv", 'text\tlabel\na\tx\n"b\nc\tx\n')
    assert ":3: expected a closing quote, received none" in error_of(path)


# Encodings, line ends, separators, escapes, JSON.


@pytest.mark.parametrize(
    ("encoding", "form"),
    [
        ("cp1252", Form("cp1252")),
        ("latin-1", Form("ISO-8859-1")),
        ("utf-16", None),
        ("utf-16-le", Form("utf-16")),
        ("utf-16-be", Form("UTF-16")),
        ("utf-32", None),
        ("utf-8-sig", Form("cp1252")),
        ("utf-8", Form("cp1252")),
        ("gb18030", Form("gb18030")),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("name", ["a.csv", "a.tsv.gz", "a.json"])
def test_texts_of_every_encoding_and_with_every_line_end_are_read(tmp_path, encoding, form, end, name):
    rows = [("text", "label"), ("été", "x"), ("", "y"), ("£ 5", "x")]
    if name == "a.json":
        objects = [json.dumps(dict(zip(*rows[:1], row, strict=True)), ensure_ascii=False) for row in rows[1:]]
        content = f"[{f',{end}'.join(objects)}]{end}"
    else:
        content = "".join(f"{text}{',' if name == 'a.csv' else chr(9)}{label}{end}" for text, label in rows)
    content = content.encode(encoding)
    path = write(tmp_path / name, gzip.compress(content) if name.endswith(".gz") else content)
    assert read(path, form=form).to_numpy().tolist() == [list(row) for row in rows[1:]]


def test_bytes_of_another_encoding_are_an_error_that_names_the_flag(tmp_path):
    path = write(tmp_path / "a.csv", "text,label\nété,x\n".encode("cp1252"))
    assert ":2: expected UTF-8, received the byte 0xe9; name the encoding of the file, such as --encoding" in error_of(
        path
    )
    path = write(tmp_path / "b.csv", b"text,label\n\x81,x\n")
    with pytest.raises(InputError, match=":2: expected cp1252, received the byte 0x81; name the encoding"):
        read(path, form=Form("cp1252"))
    path = write(tmp_path / "c.csv", "text,label\na,x\n".encode("utf-16-le"))
    assert ":1: expected text, received a NUL byte; is this a text file? If it is UTF-16, add" in error_of(path)
    path = write(tmp_path / "d.csv", "text,label\na,x\n".encode("utf-16")[:-1])
    assert ": expected utf-16, received: " in error_of(path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoding": "cp9999"}, "--encoding: expected an encoding that Python knows, .* received 'cp9999'"),
        ({"encoding": "base64"}, "--encoding: expected an encoding"),
        ({"separator": "::"}, "--separator: expected one character, .* received '::'"),
        ({"escape": '"'}, "--escape: expected one character, and no quotation mark"),
        ({"separator": ";", "escape": ";"}, "--escape: expected another character than the separator"),
    ],
)
def test_a_form_that_cannot_be_is_named(arguments, message):
    with pytest.raises(InputError, match=message):
        Form(**arguments)


def test_a_cr_is_a_line_end_only_where_the_first_line_ends_in_one(tmp_path):
    path = write(tmp_path / "a.txt", "one\rtwo\r\nthree\n")
    assert [line for _, line in read_lines(path)] == ["one\r", "two\r\n", "three\n"]
    path = write(tmp_path / "b.txt", "one\ntwo\rthree\n")
    assert [line for _, line in read_lines(path)] == ["one\n", "two\rthree\n"]
    path = write(tmp_path / "c.csv", 'text,label\r"a\rb\nc",x\rd,y\r')
    assert read(path)["text"].to_dict() == {2: "a\rb\nc", 5: "d"}


@pytest.mark.parametrize(
    ("name", "content", "form"),
    [
        ("a.csv", 'text;label\n"a;b";x\nc, d;y\n', None),
        ("a.csv", "text|label\na;b|x\nc, d|y\n", None),
        ("a.csv", "text\tlabel\na;b\tx\nc, d\ty\n", None),
        ("a.csv", "note, long;text;label\n;a;b;x\n;c, d;y\n".replace("a;b", '"a;b"'), None),
        ("a.csv", "text~label\na;b~x\nc, d~y\n", Form(separator="~")),
        ("a.tsv", 'text;label\n"a;b";x\nc, d;y\n', Form(separator=";")),
        ("a.csv", 'sep=;\ntext;label\n"a;b";x\nc, d;y\n', None),
        ("a.csv", '"sep=~"\n\ntext~label\na;b~x\nc, d~y\n', None),
        ("a.csv", "text\tlabel\na;b\tx\nc, d\ty\n", Form(separator="tab")),
    ],
)
def test_the_separator_is_the_header_s_or_that_of_the_form(tmp_path, name, content, form):
    assert read(write(tmp_path / name, content), form=form).to_numpy().tolist() == [["a;b", "x"], ["c, d", "y"]]


def test_quotes_escaped_by_a_backslash_need_to_be_told(tmp_path):
    path = write(tmp_path / "a.csv", 'text,label\n"a \\"b\\"\nc ""d""",x\n')
    assert ":2: expected quotes around whole fields, a quote inside doubled; where a backslash" in error_of(path)
    assert read(path, form=Form(escape="\\"))["text"].tolist() == ['a "b"\nc "d"']


def test_json_is_a_list_or_objects_over_any_lines(tmp_path):
    path = write(tmp_path / "a.json", '\n[\n {"a": 1},\n\n {"a":\n 2}\n]\n')
    assert list(read_records(path)) == [(3, {"a": 1}), (5, {"a": 2})]
    path = write(tmp_path / "b.json", '{"a": 1}\n{"a":\n 2} {"a": 3}\n')
    assert list(read_records(path)) == [(1, {"a": 1}), (2, {"a": 2}), (3, {"a": 3})]
    path = write(tmp_path / "c.jsonl", '{"a": 1}\n\n{"a": 2}')
    assert list(read_records(path)) == [(1, {"a": 1}), (3, {"a": 2})]


def test_gzip_is_known_by_its_content(tmp_path):
    (tmp_path / "a.csv").write_bytes(gzip.compress(b"text,label\nx,1\n"))
    (frame,) = read_table(tmp_path / "a.csv", ["text", "label"])
    assert frame["text"].tolist() == ["x"]
