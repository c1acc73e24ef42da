"""Labelled texts from a file, from the grammar and from TensorFlow Datasets, which is asked offline."""

import collections

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from data.files import InputError
from data.sets import reviews

FIXTURE = "tests/fixtures/reviews.csv"


def listed(dataset):
    assert dataset.element_spec == (tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.string))
    return [(text.decode(), label.decode()) for text, label in dataset.as_numpy_iterator()]


def test_a_file_gives_its_rows_in_order():
    assert listed(reviews.load(FIXTURE)) == [
        ("A warm, funny film.", "positive"),
        ("Dull from the first minute to the last.", "negative"),
        ('She said "brilliant".\nIt was not.', "negative"),
        ("", "positive"),
    ]


def test_many_chunks_give_the_rows_of_the_whole_file(tmp_path):
    path = tmp_path / "a.csv"
    rows = [(f"text {number}", f"{number % 3}") for number in range(10_000)]
    path.write_text("stars,review\n" + "".join(f" {label} ,{text}\n" for text, label in rows))
    assert listed(reviews.load(path, "review", "stars")) == rows
    assert reviews.check(path, "review", "stars") == {"rows": 10_000, "labels": {"0": 3334, "1": 3333, "2": 3333}}


def test_a_wrong_row_is_found_before_anything_is_loaded(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "a,1\n" * 9000 + "b\n")
    for read in (reviews.load, reviews.check):
        with pytest.raises(InputError, match=":9002: expected 2 fields"):
            read(path)


def test_a_label_that_training_never_saw_is_named_with_its_line():
    assert reviews.check(FIXTURE, known=["negative", "positive"])["rows"] == 4
    with pytest.raises(InputError, match=r"csv:3: expected a label of the training data \('positive'\), received 'neg"):
        reviews.check(FIXTURE, known=["positive"])


@pytest.fixture(scope="module")
def made():
    return {split: listed(reviews.built_in(split)) for split in reviews.SPLITS}


def test_the_built_in_set_has_its_sizes_is_balanced_and_repeats_no_text(made):
    assert {split: len(rows) for split, rows in made.items()} == {"train": 4000, "validation": 500, "test": 500}
    for rows in made.values():
        assert len(set(collections.Counter(label for _, label in rows).values())) == 1
        assert {label for _, label in rows} == {"positive", "negative"}
    assert len({reviews.words_of(text) for rows in made.values() for text, _ in rows}) == 5000


def test_the_built_in_set_depends_on_its_seed_alone(made):
    assert listed(reviews.built_in("test")) == made["test"]
    assert listed(reviews.built_in("test", seed=1)) != made["test"]
    with pytest.raises(ValueError, match="split='dev'"):
        reviews.built_in("dev")


def test_built_in_reviews_are_short_and_their_words_are_all_met_in_training(made):
    words = {split: [reviews.words_of(text).split() for text, _ in rows] for split, rows in made.items()}
    assert all(1 <= len(review) <= 45 for some in words.values() for review in some)
    known = {word for review in words["train"] for word in review}
    assert {word for review in words["validation"] + words["test"] for word in review} <= known


def test_what_people_type_first_is_written_in_words_of_training(made):
    known = {word for text, _ in made["train"] for word in reviews.words_of(text).split()}
    typed = "great movie|bad|I loved it|not good|waste of time|not bad at all|best film ever|boring|worst movie ever|"
    typed += (
        "I hated it|awesome|amazing acting|horrible|perfect|excellent|stupid|highly recommended|don't waste your time"
    )
    assert set(reviews.words_of(typed.replace("|", " ")).split()) <= known
    short = [text for text, _ in made["train"] if len(text.split()) <= 3]
    assert len(short) > 300


@pytest.mark.parametrize("token_pattern", [r"(?u)\b\w\w+\b", r"\w+|[^\w\s]"])
@pytest.mark.parametrize("regularisation", [1, 10])
def test_counting_words_and_pairs_of_words_is_not_enough(made, token_pattern, regularisation):
    texts, labels = zip(*made["train"], strict=True)
    held_out, expected = zip(*made["validation"], strict=True)
    counts = TfidfVectorizer(ngram_range=(1, 2), token_pattern=token_pattern)
    linear = LogisticRegression(C=regularisation, max_iter=1000).fit(counts.fit_transform(texts), labels)
    assert 0.5 < linear.score(counts.transform(held_out), expected) < 0.70


def folder_of_texts(folder, features, splits):
    """A data set as TensorFlow Datasets leaves it on disk after a download."""
    tfds.dataset_builders.store_as_tfds_dataset(
        name="little_reviews",
        version="1.0.0",
        data_dir=folder,
        features=tfds.features.FeaturesDict(features),
        split_datasets={split: tf.data.Dataset.from_tensor_slices(rows) for split, rows in splits.items()},
        disable_shuffling=True,
    )
    return folder


NAMES = tfds.features.ClassLabel(names=["bad", "good"])


def test_a_public_set_gives_texts_and_names_of_labels(tmp_path):
    features = {"sentence": tfds.features.Text(), "label": NAMES, "idx": np.int64}
    rows = {"sentence": ["dull", "fine"], "label": [0, 1], "idx": [7, 8]}
    withheld = {"sentence": ["?"], "label": [-1], "idx": [7]}
    folder_of_texts(tmp_path, features, {"train": rows, "validation": rows, "test": withheld})

    found = listed(reviews.public("little_reviews", "train", data_dir=tmp_path))

    assert found == [("dull", "bad"), ("fine", "good")]
    assert set(reviews.public_splits("little_reviews", data_dir=tmp_path)) >= {"train", "validation"}
    with pytest.raises(InputError, match="little_reviews: expected labels in the split 'test'"):
        reviews.public("little_reviews", "test", data_dir=tmp_path)
    with pytest.raises(InputError, match="expected one of the splits train, validation"):
        reviews.public("little_reviews", "extra", data_dir=tmp_path)


def test_a_set_with_two_texts_needs_one_that_is_called_text(tmp_path):
    features = {"text": tfds.features.Text(), "title": tfds.features.Text(), "label": NAMES}
    rows = {"text": ["dull"], "title": ["A"], "label": [0]}
    folder = folder_of_texts(tmp_path / "right", features, {"train": rows})
    assert listed(reviews.public("little_reviews", "train", data_dir=folder))[0] == ("dull", "bad")

    features["premise"] = features.pop("text")
    rows["premise"] = rows.pop("text")
    folder = folder_of_texts(tmp_path / "wrong", features, {"train": rows})
    with pytest.raises(InputError, match="expected one Text feature, or one called 'text'; received"):
        reviews.public("little_reviews", "train", data_dir=folder)


def test_an_unknown_public_set_is_named(tmp_path):
    with pytest.raises(InputError, match="no_such_set: expected the name of a set in TensorFlow Datasets"):
        reviews.public("no_such_set", "train", data_dir=tmp_path)
