"""Images with captions from files of each format, from TensorFlow Datasets, which is asked offline, and from scenes."""

import json
import os
import pathlib
import struct
import zlib

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

from data.files import Form, InputError
from data.sets import captions, scene_captions, scenes

ROWS = [("a.png", "A dog."), ("b.png", "A cat, asleep."), ("a.png", "A black dog"), ("a.png", 'He says "sit".')]
EXPECTED = [("a.png", ["A dog.", "A black dog", 'He says "sit".']), ("b.png", ["A cat, asleep."])]


def png(shade):
    """A PNG file of one grey pixel."""
    chunk = lambda kind, data: struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes([0, shade]))) + chunk(b"IEND", b"")


IMAGES = {"a.png": png(1), "b.png": png(2), "c.png": png(3)}


@pytest.fixture
def folder(tmp_path):
    """A folder with the images."""
    for name, contents in IMAGES.items():
        (tmp_path / name).write_bytes(contents)
    return tmp_path


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def listed(dataset):
    """(name of the image, captions) of each example."""
    assert dataset.element_spec == (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.string))
    names = {contents: name for name, contents in IMAGES.items()}
    return [(names[one], texts.decode().split("\n")) for one, texts in dataset.as_numpy_iterator()]


def karpathy(*images):
    """Images as (filename, split, captions)."""
    return {
        "dataset": "flickr8k",
        "images": [
            {"filename": name, "split": split, "sentences": [{"raw": one, "tokens": one.split()} for one in some]}
            for name, split, some in images
        ],
    }


def coco(names, annotations):
    """Names of images, and (number of the image, caption)."""
    return {
        "info": {},
        "images": [{"id": 7 + number, "file_name": name, "height": 1} for number, name in enumerate(names)],
        "annotations": [{"id": 1, "image_id": 7 + number, "caption": text} for number, text in annotations],
    }


# Formats.


def test_tables_of_every_kind_give_the_captions_of_each_image_in_order(folder):
    frame = pd.DataFrame(ROWS, columns=["image", "caption"]).assign(caption_id=range(4))
    frame.to_csv(folder / "a.csv", index=False)
    frame.to_csv(folder / "a.tsv", index=False, sep="\t")
    frame.to_csv(folder / "a.csv.gz", index=False)
    frame.to_parquet(folder / "a.parquet")
    frame.to_json(folder / "a.jsonl", orient="records", lines=True)
    frame.to_json(folder / "a.json", orient="records")
    for name in ("a.csv", "a.tsv", "a.csv.gz", "a.parquet", "a.jsonl", "a.json"):
        assert listed(captions.load(folder / name)) == EXPECTED
        assert captions.splits(folder / name) == []
    path = write(folder / "b.csv", "file;text\na.png;été\n")
    assert listed(captions.load(path, image_column="file", caption_column="text")) == [("a.png", ["été"])]
    (folder / "c.csv").write_bytes("image|caption\na.png|été\n".encode("latin-1"))
    assert listed(captions.load(folder / "c.csv", form=Form("latin-1", "|"))) == [("a.png", ["été"])]


@pytest.mark.parametrize("name", ["Flickr8k.token.txt", "results.token", "a.tsv"])
def test_flickr8k_s_token_file_is_known_by_its_lines(folder, name):
    path = write(
        folder / name, "\n" + "".join(f"{image}#{number}\t{text}\n" for number, (image, text) in enumerate(ROWS))
    )
    assert listed(captions.load(path)) == EXPECTED
    write(path, path.read_text() + "c.png\tno number\n")
    with pytest.raises(InputError, match=rf"{name}:6: expected the name of an image, # and a number.*received 'c.png"):
        captions.check(path)


def test_karpathy_s_json_has_splits(folder):
    images = [("b.png", "val", ["x"]), ("a.png", "train", ["y", "z"]), ("c.png", "restval", ["w"])]
    path = write(folder / "dataset.json", json.dumps(karpathy(*images)))
    assert captions.splits(path) == ["train", "validation"]
    assert listed(captions.load(path)) == [("b.png", ["x"]), ("a.png", ["y", "z"]), ("c.png", ["w"])]
    assert listed(captions.load(path, split="train")) == [("a.png", ["y", "z"]), ("c.png", ["w"])]
    assert listed(captions.load(path, split="validation")) == [("b.png", ["x"])]
    with pytest.raises(InputError, match="expected images of the split test, received restval, train, val"):
        captions.check(path, split="test")
    other = write(folder / "other.json", json.dumps(karpathy(*images, ("a.png", "dev", ["x"]))))
    with pytest.raises(
        InputError, match=r"images\[3\]: expected one of train, restval, val, test as 'split', received 'dev'"
    ):
        captions.load(other, split="train")
    with pytest.raises(ValueError, match="split='val'"):
        captions.check(path, split="val")
    with pytest.raises(InputError, match="expected Karpathy's JSON, whose images have a split, for the split 'test'"):
        captions.check(write(folder / "a.csv", "image,caption\na.png,x\n"), split="test")


def test_karpathy_s_json_of_coco_names_the_folder_too(folder):
    (folder / "val2014").mkdir()
    (folder / "a.png").rename(folder / "val2014" / "a.png")
    annotated = karpathy(("a.png", "train", ["x"]))
    annotated["images"][0]["filepath"] = "val2014"
    assert listed(captions.load(write(folder / "dataset.json", json.dumps(annotated)))) == [("a.png", ["x"])]
    annotated["images"][0].update(filepath="", filename="val2014/a.png")
    assert listed(captions.load(write(folder / "dataset.json", json.dumps(annotated)))) == [("a.png", ["x"])]


def test_coco_s_json_is_in_the_order_of_its_images(folder):
    annotated = coco(["c.png", "a.png", "b.png"], [(1, "x"), (0, "y"), (1, "z\n")])
    path = write(folder / "captions.json", json.dumps(annotated, indent=1))
    assert listed(captions.load(path)) == [("c.png", ["y"]), ("a.png", ["x", "z "])]
    found = captions.check(path)
    assert (found["images"], found["captions"], found["uncaptioned"], found["control"]) == (2, 3, ["b.png"], 1)
    assert captions.splits(path) == []


# Images.


def test_images_are_looked_for_beside_the_table_in_images_or_where_they_are_said_to_be(folder):
    inner = folder / "inner"
    (inner / "images").mkdir(parents=True)
    path = write(inner / "a.csv", "image,caption\nlost.png,x\na.png,y\n")
    with pytest.raises(InputError, match="expected images with captions, received 2 missing from .*inner .'lost.png'"):
        captions.check(path)
    assert listed(captions.load(path, images=folder)) == [("a.png", ["y"])]
    (inner / "images" / "a.png").write_bytes(IMAGES["b.png"])
    assert listed(captions.load(path)) == [("b.png", ["y"])]
    (inner / "a.png").write_bytes(IMAGES["c.png"])
    assert listed(captions.load(path)) == [("c.png", ["y"])]
    rows = f"image,caption\n../../b.png,x\n{folder / 'c.png'},y\n"
    assert listed(captions.load(write(inner / "b.csv", rows))) == [("b.png", ["x"]), ("c.png", ["y"])]
    rows = f"image,caption\n../../b.png,x\n{folder / 'b.png'},y\n"  # two names of one image
    assert listed(captions.load(write(inner / "b.csv", rows))) == [("b.png", ["x", "y"])]
    for images, received in ((folder / "a.png", "a file"), (folder / "none", "a path where there is none")):
        with pytest.raises(
            InputError, match=f"{images.name}: expected the folder of the images of .*, received {received}"
        ):
            captions.load(path, images=images)


def test_what_cannot_be_used_is_named_and_left_out(folder):
    (folder / "text.png").write_text("no image")
    (folder / "cut.png").write_bytes(IMAGES["a.png"][:-20])
    (folder / "empty.png").write_bytes(b"")
    (folder / "folder.png").mkdir()
    rows = ["text.png,x", "cut.png,x", "a.png,", "lost.png,x", "b.png,\u200b", "a.png,one\x07two three", "empty.png,x"]
    path = write(folder / "a.csv", "\n".join(["image,caption", *rows, "folder.png,x", "lost.png,y"]))
    found = captions.check(path)
    assert {key: value for key, value in found.items() if key != "broken"} == {
        "images": 1,
        "captions": 1,
        "missing": ["lost.png", "folder.png"],
        "uncaptioned": ["b.png"],
        "empty": 2,
        "control": 1,
        "longest": 3,
    }
    assert [name for name, _ in found["broken"]] == ["text.png", "cut.png", "empty.png"]
    assert all(reason.startswith("expected") for _, reason in found["broken"])
    assert listed(captions.load(path)) == [("a.png", ["one two three"])]


def test_an_image_is_checked_once_until_its_file_changes(folder, monkeypatch):
    checked, check = [], captions.image.check
    monkeypatch.setattr(captions.image, "check", lambda contents: (checked.append(contents), check(contents))[1])
    path = write(folder / "a.csv", "image,caption\na.png,x\nb.png,y\n")
    captions.check(path)
    captions.load(path)
    assert checked == [IMAGES["a.png"], IMAGES["b.png"]]
    (folder / "a.png").write_bytes(b"no image any more")
    os.utime(folder / "a.png", ns=(1, 1))
    assert captions.check(path)["broken"][0][0] == "a.png"
    assert len(checked) == 3


def test_images_are_read_while_they_are_used(folder):
    dataset = captions.load(write(folder / "a.csv", "image,caption\na.png,x\n"))
    (folder / "a.png").write_bytes(IMAGES["c.png"])
    assert listed(dataset) == [("c.png", ["x"])]


# What is wrong.


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.csv", "image,caption\na.png\n", r"a.csv:2: expected 2 fields"),
        ("a.csv", "image,caption\na.png,x\n ,y\n", r"a.csv:3: expected a value in the column 'image'"),
        ("a.csv", "name,caption\na.png,x\n", r"a.csv:1: expected one column 'image', received the columns 'name', 'c"),
        ("a.csv", "image,caption\na.png,\n", r"a.csv: .*received 1 without a caption \('a.png' is the first\)"),
        ("a.csv", "image,caption\na.csv,x\n", r"a.csv: .*received 1 that cannot be read \('a.csv': expected the bytes"),
        ("a.csv", "image,caption\n", r"a.csv: expected rows, received a header and nothing below it"),
        ("a.txt", "image,caption\na.png,x\n", r"a.txt: expected a table \(.csv,.*Flickr8k.*COCO, received '.txt'"),
        ("a.json", "", r"a.json: expected rows, received an empty file"),
        ("a.json", '{"images": [1]}', r"a.json: images\[0\]: expected an object, received 1"),
        ("a.json", '{"images": []}', r"a.json: expected images with captions, received none"),
        ("a.json", '{"images": [{}]}', r"a.json: images\[0\]: expected text as 'filename', received none"),
        (
            "a.json",
            '{"images": [{"filename": "a.png", "sentences": [{"raw": 1}]}]}',
            r"a.json: images\[0\].sentences\[0\]: expected text as 'raw', received 1",
        ),
        (
            "a.json",
            '{"images": [{"filename": "a.png"}]}',
            r"a.json: expected a list 'images\[0\].sentences', received none",
        ),
        (
            "a.json",
            json.dumps(coco(["a.png"], [(1, "x")])),
            r"annotations\[0\]: expected the 'id' of one of .*, received 8",
        ),
        (
            "a.json",
            json.dumps(coco(["a.png"], [(0, None)])),
            r"annotations\[0\]: expected text as 'caption', received none",
        ),
        (
            "a.json",
            '{"images": [{"id": 1, "file_name": "a.png"}, {"id": 1, "file_name": "b.png"}], "annotations": []}',
            r"images\[1\]: expected an 'id' of its own, received 1 again",
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_told_with_the_place(folder, name, text, message):
    path = write(folder / name, text)
    for read in (captions.check, captions.load):
        with pytest.raises(InputError, match=message):
            read(path)


def test_missing_files_and_one_column_for_both_are_told(folder):
    for name in ("none.csv", "none.json", "none.txt"):
        with pytest.raises(InputError, match=f"{name}: expected a file, received a path where there is none"):
            captions.check(folder / name)
    path = write(folder / "a.csv", "image,caption\na.png,x\n")
    with pytest.raises(InputError, match="expected a column of images and one of captions, received 'caption' twice"):
        captions.check(path, image_column="caption")


def test_the_fixtures_are_read():
    found = list(captions.load("tests/fixtures/captions.csv").as_numpy_iterator())
    files = [pathlib.Path("tests/fixtures/images", name).read_bytes() for name in ("first.png", "second.jpg")]
    assert [contents for contents, _ in found] == files
    assert found[1][1] == b"two large orange triangles above a small blue triangle"


# Public sets and the built-in set.


def stored(folder, name, features, rows):
    tfds.dataset_builders.store_as_tfds_dataset(
        name=name,
        version="1.0.0",
        data_dir=folder,
        disable_shuffling=True,
        features=tfds.features.FeaturesDict(features),
        split_datasets={"train": tf.data.Dataset.from_generator(lambda: rows, output_types=types(rows[0]))},
    )


def types(value):
    if isinstance(value, dict):
        return {key: types(one) for key, one in value.items()}
    return tf.uint8 if isinstance(value, np.ndarray) else tf.int64 if np.asarray(value).dtype == int else tf.string


def test_a_public_set_gives_the_bytes_of_its_images_and_their_captions(tmp_path):
    shades = [np.full((2, 3, 3), shade, "uint8") for shade in (10, 20, 30)]
    texts = [["A dog.", "One\ndog"], [" "], ["A cat."]]
    features = {
        "image": tfds.features.Image(encoding_format="png"),
        "image/filename": tfds.features.Text(),
        "captions": tfds.features.Sequence({"text": np.str_, "id": np.int64}),
    }
    rows = [
        {"image": shade, "image/filename": "x", "captions": {"text": some, "id": list(range(len(some)))}}
        for shade, some in zip(shades, texts, strict=True)
    ]
    stored(tmp_path, "little_pictures", features, rows)
    assert captions.public_splits("little_pictures", data_dir=tmp_path) == ["train"]
    found = list(captions.public("little_pictures", "train", data_dir=tmp_path).as_numpy_iterator())
    assert [some.decode().split("\n") for _, some in found] == [["A dog.", "One dog"], ["A cat."]]
    for (contents, _), shade in zip(found, shades[::2], strict=True):
        assert contents.startswith(b"\x89PNG")
        np.testing.assert_array_equal(tf.io.decode_png(contents), shade)
    with pytest.raises(InputError, match="expected one of the splits train, received 'test'"):
        captions.public("little_pictures", "test", data_dir=tmp_path)


def test_a_public_set_may_have_one_caption_and_must_have_images(tmp_path):
    image = tfds.features.Image(encoding_format="png")
    rows = [{"image": np.zeros((1, 1, 3), "uint8"), "caption": "Night.", "url": "x"}]
    text = tfds.features.Text()
    stored(tmp_path, "little_nights", {"image": image, "caption": text, "url": text}, rows)
    assert [one for _, one in captions.public("little_nights", "train", data_dir=tmp_path).as_numpy_iterator()] == [
        b"Night."
    ]
    stored(tmp_path, "little_words", {"caption": text}, [{"caption": "Night."}])
    with pytest.raises(InputError, match="expected one Image feature, or one called 'image'; received caption"):
        captions.public("little_words", "train", data_dir=tmp_path)


def test_the_built_in_set_is_made_of_the_scenes():
    found = list(captions.built_in("validation").as_numpy_iterator())
    made = scenes.scenes("validation")
    assert len(found) == captions.SPLITS["validation"] == len(made)
    for (contents, some), scene in list(zip(found, made, strict=True))[::50]:
        assert contents == scenes.rendered(scene)
        assert some.decode().split("\n") == scene_captions.captions(scene)
    with pytest.raises(ValueError, match="split='dev'"):
        captions.built_in("dev")
