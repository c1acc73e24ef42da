"""Files and the built-in set of named entities."""

import json

import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data.files import InputError
from data.sets import entities


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
            "Ann\tI-PER\nmet O\n",
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
