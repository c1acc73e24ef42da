"""Files and the built-in set of named entities."""

import json

import hypothesis
import hypothesis.strategies as st
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data.files import Form, InputError
from data.sets import entities
from data.transforms.tags import Tags
from data.transforms.words import located, visible


def written(path, text, encoding="utf-8"):
    path.write_bytes(text.encode(encoding))
    return path


def loaded(path, **arguments):
    found = []
    for text, table in entities.load(path, **arguments):
        text = text.numpy().decode()
        found.append((text, [(text[int(a) : int(b)], label.decode()) for a, b, label in table.numpy()]))
    return found


def test_columns_between_spaces_tabs_and_in_any_place(tmp_path):
    expected = [("Été à Paris", [("Paris", "LOC")]), ("Bo", [])]
    spaces = written(tmp_path / "a.txt", "-DOCSTART- -X- O\n\nÉté X O\nà X O\nParis X I-LOC\n\n\n# text = Bo\nBo X O")
    assert loaded(spaces) == expected
    tabs = written(tmp_path / "b.conll", "O\t1\tÉté\r\nO\t2\tà\r\nB-LOC\t3\tParis\r\n\r\nO\t1\tBo\r\n")
    assert loaded(tabs, token_column=2, tag_column=0) == expected
    with_space = written(tmp_path / "c.conll", "New York\tB-LOC\n#\tO\n")
    assert loaded(with_space) == [("New York #", [("New York", "LOC")])]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("#Bo B-LOC\nwakes O\n\nAnn B-PER\n", [("#Bo wakes", [("#Bo", "LOC")]), ("Ann", [("Ann", "PER")])]),
        ("#Bo\tB-LOC\nwakes\tO\n", [("#Bo wakes", [("#Bo", "LOC")])]),
        ("#\tO\n7\tB-NUM\n", [("# 7", [("7", "NUM")])]),
        ("#\tB-X\n", [("#", [("#", "X")])]),
        ("Bo B-PER\n\n# two\nAnn B-PER\n", [("Bo", [("Bo", "PER")]), ("Ann", [("Ann", "PER")])]),
        ("# id = 1\n# text = Bo\nBo B-PER\n", [("Bo", [("Bo", "PER")])]),
        ("Bo\tB-PER\n#1\tO\n#\tcomment\n\n# a\tb\tc\nAnn\tO\n", None),
        ("#Bo PER\nand O\n# Ann\nAnn PER\n", None),
        ("#Bo PER\nand O\n\n# Ann\nAnn PER\n", [("#Bo and", [("#Bo", "PER")]), ("Ann", [("Ann", "PER")])]),
    ],
)
def test_a_line_that_begins_with_a_number_sign_is_a_word_where_it_has_a_tag(tmp_path, text, expected):
    path = written(tmp_path / "a.conll", text)
    if expected is None:  # within a sentence a line of all columns is a word, whose tag has to be one
        with pytest.raises(InputError, match="expected O or a tag|expected 2 columns"):
            loaded(path, scheme="BIO")
    else:
        assert loaded(path) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Bo O\n-DOCSTART- O\nAnn O\n", [("Bo", []), ("Ann", [])]),
        ("Bo\tO\n-DOCSTART-\nAnn\tO\n", [("Bo", []), ("Ann", [])]),
        ("-DOCSTART- -X- -X- O\n\nNew York\tNNP\tI-NP\tB-LOC\n", [("New York", [("New York", "LOC")])]),
        ("-DOCSTART- (1) O\nNew York\tB-LOC\nis\tO\n", [("New York is", [("New York", "LOC")])]),
        ("# a comment\nNew York\tB-LOC\nis\tO\n", [("New York is", [("New York", "LOC")])]),
        ("Bo\tB-PER\t\nis\tO\t\n\t\t\nAnn\tB-PER\t\n", [("Bo is", [("Bo", "PER")]), ("Ann", [("Ann", "PER")])]),
        ("Bo\tB-PER\nis\tO\t\n", [("Bo is", [("Bo", "PER")])]),
        ("Bo  B-PER \nis \t O\n", [("Bo is", [("Bo", "PER")])]),
        ("a\xa0b B-X\nc\u202fd O\ne\u3000f\x85g O\n", [("a\xa0b c\u202fd e\u3000f\x85g", [("a\xa0b", "X")])]),
        ("h\u2028i\x0bj B-X\nk\x1cl O\n", [("h\u2028i\x0bj k\x1cl", [("h\u2028i\x0bj", "X")])]),
        ("Bo B-PER\rAnn B-PER\r\rEve O\r", [("Bo Ann", [("Bo", "PER"), ("Ann", "PER")]), ("Eve", [])]),
        ("PERSON\tBo\nPERSON\tLee\nO\tmet\nPLACE\tA\n", [("Bo Lee met A", [("Bo Lee", "PERSON"), ("A", "PLACE")])]),
    ],
)
def test_documents_tabs_spaces_and_labels_without_prefixes_are_read(tmp_path, text, expected):
    path = written(tmp_path / "a.conll", text)
    columns = {"token_column": 1, "tag_column": 0} if text.startswith("PERSON") else {}
    assert loaded(path, **columns) == expected


def test_labels_without_prefixes_are_scheme_io(tmp_path):
    path = written(tmp_path / "a.tsv", "Bo\tPER\nAnn\tPER\nin\tO\nOslo\tLOC\n")
    found = entities.check(path)
    assert (found["scheme"], found["labels"], found["repaired"]) == ("IO", {"PER": 1, "LOC": 1}, 0)
    path = written(tmp_path / "b.tsv", "Bo\tI-PER\nAnn\tI-PER\nin\tO\n")
    assert entities.check(path, scheme="IO")["labels"] == {"PER": 1}


@pytest.mark.parametrize("columns", [("Word", "Tag", "Sentence #"), ("Word", "Tag", "")])
def test_a_table_has_a_row_for_each_word(tmp_path, columns):
    rows = 'Sentence #,Word,POS,Tag\nSentence: 1,Été,NNP,B-per\n,met,VBD,O\n,",",",",O\nSentence: 2,Ann,NNP,B-per\n'
    path = written(tmp_path / "a.csv", rows if columns[2] else rows.replace("Sentence: 2", "\nSentence: 2"), "cp1252")
    token, tag, sentence = columns
    form = Form("cp1252")
    found = loaded(path, token_column=token, tag_column=tag, sentence_column=sentence, form=form)
    assert found == [("Été met ,", [("Été", "per")]), ("Ann", [("Ann", "per")])]
    with pytest.raises(
        InputError, match="a.csv:1: expected a tag, received 'Tag'; if it is a header, name the columns"
    ):
        entities.load(path, token_column=1, tag_column=3, form=form)
    with pytest.raises(InputError, match="a.csv:1: expected one column 'Token', received the columns 'Sentence #', 'W"):
        entities.load(path, token_column="Token", tag_column="Tag", form=form)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[\n {\n  "word": "Ann",\n  "tag": "B-PER"\n },\n {"word": "Lee",\n  "tag": "I-PER"}]'),
        ("a.csv", 'word,note,tag\nAnn,"of\ntwo lines",B-PER\nLee,x,I-PER\n'),
        ("a.csv", "word,tag,sentence\nAnn,B-PER,1\n,,1\nLee,I-PER,1\n"),
        ("a.tsv", "\n\nword\ttag\nAnn\tB-PER\nLee\tI-PER\n\n"),
    ],
)
def test_only_blank_lines_end_the_sentences_of_a_table(tmp_path, name, text):
    columns = {"token_column": "word", "tag_column": "tag", "sentence_column": "sentence" * ("sentence" in text)}
    assert loaded(written(tmp_path / name, text), **columns) == [("Ann Lee", [("Ann Lee", "PER")])]


def test_a_sentence_is_named_at_its_first_word_at_each_or_above_them(tmp_path):
    path = written(tmp_path / "a.tsv", "1\tBo\tB-PER\n1\tran\tO\n2\tAnn\tB-PER\n2\tran\tO\n")
    expected = [("Bo ran", [("Bo", "PER")]), ("Ann ran", [("Ann", "PER")])]
    assert loaded(path, token_column=1, sentence_column=0) == expected
    above = written(tmp_path / "a.csv", "sentence,word,tag\n1,,\n,Bo,B-PER\n,ran,O\n2,,\n,Ann,B-PER\n,ran,O\n")
    assert loaded(above, token_column="word", tag_column="tag", sentence_column="sentence") == expected


# What words a span means.


def spans_file(path, text, *places):
    found = [{"start": start, "end": end, "label": "X"} for start, end in places]
    return written(path, json.dumps([{"text": "", "entities": []}, {"text": text, "entities": found}]))


@pytest.mark.parametrize(
    ("text", "place", "expected", "kind"),
    [
        ("Ann met Bo", (0, 3), "Ann", None),
        ("Ann met Bo", (0, 4), "Ann", "trimmed"),
        ("Ann met Bo", (3, 8), "met", "trimmed"),
        ("met Bo\r\n", (4, 8), "Bo", "trimmed"),
        ("a \u200bBo\ufeff", (2, 6), "Bo", "trimmed"),
        ("a\xa0Bo\u3000", (1, 5), "Bo", "trimmed"),
        ("Ann Lee met", (1, 5), "Ann Lee", "widened"),
        ("Ann-Lee", (4, 6), "Lee", "widened"),
        ("Annie's", (0, 3), "Annie", "widened"),
    ],
)
def test_a_span_means_the_words_that_it_touches_and_what_differs_is_counted(tmp_path, text, place, expected, kind):
    path = spans_file(tmp_path / "a.json", text, place)
    assert loaded(path)[1] == (text, [(expected, "X")])
    found = entities.check(path)
    assert {name: found[name] for name in ("trimmed", "widened")} == {
        name: int(name == kind) for name in ("trimmed", "widened")
    }


@pytest.mark.parametrize(
    ("text", "places", "message"),
    [
        ("Ann met", [(3, 4)], r"a.json:1: expected entities with something to see, received one .*' ' \(3 ... 4\)"),
        ("a \u200b", [(1, 3)], r"a.json:1: expected entities with something to see"),
        ("Annie met", [(0, 2), (3, 5)], r"a.json:1: expected entities side by side, .* that hold 'Annie'"),
    ],
)
def test_a_span_that_means_no_words_of_its_own_is_named(tmp_path, text, places, message):
    path = spans_file(tmp_path / "a.json", text, *places)
    for read in (entities.check, entities.load):
        with pytest.raises(InputError, match=message):
            read(path)


CHARACTERS = "ab'\"-.,#é世😀\U0001f3fd\u0301 \t\n\r\xa0\u200b\u200d\u2060\u3000\ufeff\xad"
LEARNT = [Tags(["LOC", "PER"], scheme) for scheme in ("BIO", "BIOES")]
placed = st.lists(st.tuples(st.integers(0, 20), st.integers(1, 8), st.sampled_from(["PER", "LOC"])), max_size=4)


@hypothesis.given(st.lists(st.tuples(st.text(CHARACTERS, max_size=20) | st.text(max_size=20), placed), max_size=4))
def test_what_is_read_of_a_span_is_what_is_learnt_and_what_comes_back(tmp_path_factory, rows):
    texts = [text.encode("utf-8", "replace").decode() for text, _ in rows] + ["one"]
    found_words, starts, ends = located(texts)
    found_words = found_words.with_flat_values(visible(found_words.flat_values))
    parts = zip(found_words.to_list(), starts.to_list(), ends.to_list(), strict=True)
    words = [list(zip(*row, strict=True)) for row in parts]  # "" where a word shows nothing
    written_rows, expected = [], []
    for text, some, (_, entities_of) in zip(texts, words, [*rows, ("", [])], strict=True):
        kept, found, last = [], [], 0
        for start, length, label in sorted(entities_of):
            end = min(start + length, len(text))
            # The whole words that share a character with the span and show something, one by one.
            touched = [
                (a, b)
                for word, a, b in some
                if a < end and start < b and word
            ]  # fmt: skip
            if touched and touched[0][0] >= last:
                last = touched[-1][1]
                kept.append({"start": start, "end": end, "label": label})
                found.append((touched[0][0], last, label))
        written_rows.append({"text": text, "entities": kept})
        expected.append(found)
    path = written(tmp_path_factory.mktemp("spans") / "a.jsonl", "\n".join(map(json.dumps, written_rows)))
    read = [(text.decode(), table.tolist()) for text, table in entities.load(path).as_numpy_iterator()]
    assert [text for text, _ in read] == texts
    assert [[(int(a), int(b), label.decode()) for a, b, label in table] for _, table in read] == expected
    lengths = [len(table) for _, table in read]
    table = tf.reshape(tf.constant([row for _, table in read for row in table], tf.string), [-1, 3])
    ragged = tf.RaggedTensor.from_row_lengths(table, lengths)
    for tags in LEARNT:
        numbers = tags(starts, ends, ragged).to_tensor()
        back = [[] for _ in texts]
        for row, first, last, label in zip(*(part.numpy().tolist() for part in tags.entities(numbers)), strict=True):
            back[row].append((words[row][first][1], words[row][last][2], tags.labels[label]))
        assert back == expected


def test_json_lines_keep_text_and_offsets(tmp_path):
    row = {"text": "🙂  Ann met Bo.", "entities": [{"start": 11, "end": 13, "label": "PER"}]}
    row["entities"].append({"start": 3, "end": 6, "label": "PER"})
    path = written(tmp_path / "a.jsonl", json.dumps(row) + "\n\n" + json.dumps({"text": "", "entities": []}))
    assert loaded(path) == [("🙂  Ann met Bo.", [("Ann", "PER"), ("Bo", "PER")]), ("", [])]
    assert entities.check(path) == {
        "sentences": 2,
        "words": 0,
        "scheme": None,
        "repaired": 0,
        "trimmed": 0,
        "widened": 0,
        "labels": {"PER": 2},
    }


def test_tags_outside_their_scheme_are_counted_or_an_error(tmp_path):
    path = written(tmp_path / "a.txt", "Ann I-PER\nmet O\nBo I-PER\nLee I-PER\n")
    assert entities.check(path, scheme="BIO")["repaired"] == 2
    assert entities.check(path, scheme="IOB1", strict=True)["repaired"] == 0
    with pytest.raises(InputError, match=r"a.txt:1: expected tags of scheme BIO, received 'I-PER' there"):
        entities.check(path, scheme="BIO", strict=True)
    assert (entities.check(path)["scheme"], entities.check(path)["repaired"]) == ("IOB1", 0)
    path = written(tmp_path / "b.txt", "Ann B-PER\nLee B-PER\nmet O\nBo I-PER\n")
    assert (entities.check(path)["scheme"], entities.check(path)["repaired"]) == ("BIO", 1)
    with pytest.raises(InputError, match=r"b.txt:4: expected tags of scheme BIO, received 'I-PER' there"):
        entities.check(path, strict=True)


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.txt", "Ann X I-PER\nmet O\n", r"a.txt:2: expected 3 columns, received 2"),
        (
            "a.txt",
            "A B\tI-PER\nmet O\n",
            r"a.txt:2: expected 2 columns separated by tabs, as in most lines, received 1",
        ),
        ("a.txt", "Ann\nmet\n", r"a.txt:1: expected a word and a tag, received 'Ann'"),
        ("a.txt", "Ann X-PER\n", r"a.txt:1: expected O or a tag such as B-PER, received 'X-PER'"),
        ("a.txt", "Ann B-\n", r"a.txt:1: expected O or a tag such as B-PER, received 'B-'"),
        ("a.txt", "\n\n", r"a.txt: expected sentences, received none"),
        ("a.jsonl", "{]", r"a.jsonl:1: expected a JSON object on each line, received"),
        ("a.json", "[\n3]", r"a.json:2: expected a JSON object, received '3'"),
        ("a.jsonl", '{"entities": []}', r"a.jsonl:1: expected an object with a `text`"),
        ("a.jsonl", '{"text": "a"}', r"a.jsonl:1: expected a list `entities`"),
        (
            "a.jsonl",
            '{"text": "a", "entities": [{"start": 0, "end": 2, "label": "X"}]}',
            r"in 0 \.\.\. 1 and a `label`",
        ),
        (
            "a.jsonl",
            '{"text": "abc", "entities": [{"start": 0, "end": 2, "label": "X"}, {"start": 1, "end": 3, "label": "X"}]}',
            r"a.jsonl:1: expected entities side by side, of whole words each, received two that hold 'abc' \(0",
        ),
    ],
)
def test_what_is_wrong_is_told_with_file_and_line(tmp_path, name, text, message):
    with pytest.raises(InputError, match=message):
        entities.load(written(tmp_path / name, text))


def test_other_files_than_text_columns_and_labels_than_training_s_are_told(tmp_path):
    path = written(tmp_path / "a.txt", "Ann B-PER\n\nÅre B-LOC\n", encoding="latin-1")
    with pytest.raises(InputError, match="a.txt:3: expected UTF-8, received the byte 0xc5"):
        entities.load(path)
    path = written(tmp_path / "b.txt", "Ann B-PER\n\nOslo B-LOC\n")
    with pytest.raises(InputError, match=r"b.txt:3: expected a label of the training data \('PER'\), received 'LOC'"):
        entities.check(path, known=["PER"])
    with pytest.raises(InputError, match="b.txt:1: expected a column 5, received 2 columns"):
        entities.check(path, tag_column=5)


def test_a_public_set_gives_texts_and_entities(tmp_path):
    tags = tfds.features.ClassLabel(names=["O", "I-PER", "B-PER"])
    features = {"tokens": tfds.features.Sequence(tfds.features.Text()), "ner": tfds.features.Sequence(tags)}
    features["pos"] = tfds.features.Sequence(tfds.features.ClassLabel(names=["N", "V"]))
    rows = {"tokens": [["Été", "met", "Bo"]], "ner": [[1, 0, 2]], "pos": [[0, 1, 0]]}
    tfds.dataset_builders.store_as_tfds_dataset(
        name="little_names",
        version="1.0.0",
        data_dir=tmp_path,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": tf.data.Dataset.from_tensor_slices(rows)},
        disable_shuffling=True,
    )
    assert entities.public_splits("little_names", data_dir=tmp_path) == ["train"]
    ((text, table),) = entities.public("little_names", "train", data_dir=tmp_path).as_numpy_iterator()
    assert text.decode() == "Été met Bo"
    assert table.tolist() == [[b"0", b"3", b"PER"], [b"8", b"10", b"PER"]]
    with pytest.raises(InputError, match="little_names: expected one of the splits train, received 'test'"):
        entities.public("little_names", "test", data_dir=tmp_path)


def test_the_built_in_set_is_seeded_different_in_each_split_and_ambiguous():
    splits = {split: loaded_built_in(split) for split in entities.SPLITS}
    assert [len(found) for found in splits.values()] == [4000, 500, 500]
    assert len({text for found in splits.values() for text, _ in found}) == 5000
    assert loaded_built_in("test") == splits["test"] != loaded_built_in("test", seed=1)
    kinds = {}
    for _, found in splits["train"]:
        for name, label in found:
            kinds.setdefault(name, set()).add(label)
    assert {label for labels in kinds.values() for label in labels} == {"PER", "LOC", "ORG", "DATE"}
    assert sum(len(labels) > 1 for labels in kinds.values()) > 50
    new = [name for _, found in splits["validation"] for name, label in found if label != "DATE" and name not in kinds]
    assert len(new) > 200
    with pytest.raises(ValueError, match="`split` must be one of train, validation, test"):
        entities.built_in("dev")


def loaded_built_in(split, seed=0):
    found = []
    for text, table in entities.built_in(split, seed):
        text = text.numpy().decode()
        found.append((text, [(text[int(a) : int(b)], label.decode()) for a, b, label in table.numpy()]))
    return found
