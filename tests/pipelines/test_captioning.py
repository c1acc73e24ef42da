"""Captioning from files of images to an exported model, with a tiny encoder, in every form of the network."""

import csv
import io
import itertools
import json
import shutil

import keras
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from data.files import InputError
from data.sets import captions, scenes
from data.transforms import image
from layers import Decoder, ElmanCell, TokenCrossentropy
from pipelines import captioning
from pipelines.engine import command, training, verbs
from pipelines.engine.folder import RunFolder
from pipelines.engine.self_critical import SelfCritical
from pipelines.evaluation.cider import CiderD
from pipelines.evaluation.sentence_bleu import sentence_bleu
from pipelines.networks import captioning as caption_network

SMALL = ["--units", "12", "--embedding", "8", "--batch-size", "8", "--beam", "3", "--epochs", "2", "--dropout", "0.1"]
SMALL += ["--max-length", "12", "--no-tensorboard", "--minimum-count", "1"]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A table of 40 images with one to five captions each, and one that is missing and one that is broken."""
    folder = tmp_path_factory.mktemp("photos")
    rows = []
    for place, (png, text) in enumerate(captions.built_in("train").take(40).as_numpy_iterator()):
        (folder / f"{place}.png").write_bytes(png)
        rows += [(f"{place}.png", line) for line in text.decode().split("\n")[: 1 + place % 5]]
    (folder / "torn.png").write_bytes(png[: len(png) // 2])
    rows += [("torn.png", "a torn photo"), ("nowhere.png", "a photo that is not there")]
    with open(folder / "captions.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("image", "caption"), *rows])
    return folder / "captions.csv"


def an_encoder(path, seed):
    pixels = keras.Input((32, 32, 3))
    start = keras.initializers.HeNormal(seed)
    grid = keras.layers.Conv2D(6, 8, 8, activation="relu", kernel_initializer=start)(pixels / 255)
    keras.Model(pixels, grid).save(path)
    return path


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    return an_encoder(tmp_path_factory.mktemp("encoders") / "tiny.keras", 0)


@pytest.fixture(scope="module")
def flags(photos, encoder):
    """Training with views of the images and self-critical training; a checkpoint at each step."""
    given = ["--data", str(photos), "--encoder", str(encoder), *SMALL, "--checkpoint-minutes", "0"]
    return [*given, "--augment", "2", "--self-critical", "1"]


@pytest.fixture(scope="module")
def captioner(tmp_path_factory, flags, kept_parts):
    """The folder of a finished run, which tests must not change; beside it `killed`, as it was in the second stage."""
    folder = tmp_path_factory.mktemp("runs") / "captioning"
    before = training.Follow.on_train_batch_end

    def copy(self, batch, logs=None):
        before(self, batch, logs)
        if self.state.folder.path == folder and self.state.step == 2:
            shutil.copytree(folder, folder.with_name("killed"))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Follow, "on_train_batch_end", copy)
        assert command.run(captioning.TASK, ["train", "--run", str(folder), *flags]) == 0
    kept_parts.add(str(folder))
    return folder


@pytest.fixture(scope="module")
def parts(captioner):
    return verbs.restored(captioning.TASK, captioner)[2]


def test_it_trains_in_stages_and_shows_what_it_learnt(captioner):
    metrics = RunFolder(captioner).read_json("metrics.json")
    assert set(metrics["stages"]) == {"likelihood"}
    assert {"bleu_4", "cider", "rouge_l"} <= set(metrics["validation"])
    assert len((captioner / "stages" / "likelihood" / "history.csv").read_text().splitlines()) == 3
    columns = (captioner / "history.csv").read_text().split("\n")[0].split(",")
    assert {"reward", "validation_reward", "validation_loss"} <= set(columns) and "loss" not in columns
    for picture in ("curves.png", "sheet.png", "attention.png"):
        assert (captioner / picture).stat().st_size > 5000
    assert not list(captioner.rglob("checkpoint.npz"))
    assert not (captioner / "prepared").exists()


def test_features_of_a_frozen_encoder_are_its_features(parts, encoder):
    model = keras.models.load_model(encoder)
    contents = [scenes.rendered(scene) for scene in scenes.scenes("test")[:3]]

    found = parts.extras.augment(tf.constant(contents))
    asked = parts.features(tf.constant(contents))

    assert asked["views"].shape == (3, 0, 16, 6)
    np.testing.assert_array_equal(asked["image"], found["image"])
    pixels = image.decode(contents, 32)
    seen = model(tf.cast(pixels, "float32")).numpy()
    np.testing.assert_allclose(found["image"], seen.reshape(3, 16, 6), rtol=2e-3, atol=1e-4)
    views = image.views(pixels, 2, 0).numpy()[:, 1:]
    for place in range(2):
        seen = model(views[:, place].astype("float32")).numpy()
        np.testing.assert_allclose(found["views"][:, place], seen.reshape(3, 16, 6), rtol=2e-3, atol=1e-4)


def test_weights_of_another_encoder_are_refused(captioner, tmp_path, capsys):
    run = shutil.copytree(captioner, tmp_path / "run")
    config = json.loads((run / "config.json").read_text())
    config["encoder"] = str(an_encoder(tmp_path / "other.keras", 1))
    (run / "config.json").write_text(json.dumps(config))

    assert command.run(captioning.TASK, ["predict", "--run", str(run), str(tmp_path / "none.png")]) == 2

    error = capsys.readouterr().err
    assert "expected the weights that the run began with" in error
    assert "Traceback" not in error


def test_an_encoder_whose_features_need_more_than_16_bits_is_refused(photos, tmp_path, capsys):
    pixels = keras.Input((32, 32, 3))
    grid = keras.layers.Rescaling(1e5)(keras.layers.Conv2D(6, 8, 8, kernel_initializer="ones")(pixels))
    keras.Model(pixels, grid).save(tmp_path / "huge.keras")
    given = ["train", "--data", str(photos), "--encoder", str(tmp_path / "huge.keras"), "--run", str(tmp_path / "run")]
    assert command.run(captioning.TASK, [*given, *SMALL]) == 2
    assert "--encoder: expected features of the images within ±65,504" in capsys.readouterr().err


def test_every_kind_of_image_is_captioned_and_attention_sums_to_one(parts):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (20, 30, 3), "uint8")
    contents = [tf.io.encode_png(pixels).numpy(), tf.io.encode_png(pixels[:1, :1]).numpy()]
    kinds = [("L", "PNG"), ("I;16", "PNG"), ("RGBA", "PNG"), ("CMYK", "JPEG"), ("P", "GIF"), ("RGB", "BMP")]
    for mode, form in kinds:
        file = io.BytesIO()
        if mode == "I;16":
            PIL.Image.fromarray(rng.integers(0, 2**16, (20, 30), "uint16")).save(file, form)
        else:
            PIL.Image.fromarray(pixels).convert(mode).save(file, form)
        contents.append(file.getvalue())

    answers = captioning.TASK.evaluation.answers(parts, contents)

    assert len(answers) == len(contents)
    for answer in answers:
        assert len(answer["captions"]) == 3
        assert answer["captions"][0]["score"] >= answer["captions"][1]["score"]
        assert len(answer["attention"]) == len(answer["words"]) > 0
        np.testing.assert_allclose(np.sum(answer["attention"], axis=1), 1, atol=0.005)


def test_the_saved_model_captions_the_same_with_tensorflow_alone(captioner, parts, alone, tmp_path):
    contents = [scenes.rendered(scene) for scene in scenes.scenes("test")[:4]]
    path = verbs.export(captioning.TASK, captioner, tmp_path / "export", "savedmodel")

    found, _ = alone(path, contents)

    expected = parts.ask(contents)
    np.testing.assert_array_equal(found["captions"], expected["captions"].numpy())
    np.testing.assert_allclose(found["scores"], expected["scores"], atol=1e-4)
    np.testing.assert_allclose(found["attention"], expected["attention"], atol=1e-4)


def test_predict_names_files_and_leaves_out_what_is_no_image(captioner, photos, tmp_path, capsys):
    folder = tmp_path / "mixed"
    folder.mkdir()
    shutil.copy(photos.parent / "0.png", folder)
    (folder / "text.png").write_text("not an image")
    (folder / "photo.webp").write_bytes(b"RIFF    WEBP")

    flags = ["predict", "--run", str(captioner), str(folder)]
    assert command.run(captioning.TASK, [*flags, "--json"]) == 0

    told = capsys.readouterr()
    (answer,) = [json.loads(line) for line in told.out.splitlines()]
    assert answer["name"] == str(folder / "0.png")
    assert answer["caption"]
    assert "text.png: left out" in told.err and "photo.webp: left out" in told.err
    assert command.run(captioning.TASK, [*flags, "--to", str(tmp_path / "page.html")]) == 0
    assert "data:image" in (tmp_path / "page.html").read_text()
    assert command.run(captioning.TASK, ["predict", "--run", str(captioner), str(folder / "text.png")]) == 2


def test_missing_and_broken_images_are_named_and_left_out(photos, capsys):
    found = captioning.checked(str(photos), captioning.Config())

    assert found["images"] == 40
    error = capsys.readouterr().err
    assert "missing: nowhere.png" in error
    assert "broken: torn.png" in error
    assert "left out 2 images" in error


def test_a_file_that_has_splits_is_trained_on_its_training_split_alone(photos, tmp_path):
    given = [("0.png", "train"), ("1.png", "restval"), ("2.png", "val"), ("3.png", "test")]
    images = [{"filename": name, "split": split, "sentences": [{"raw": name}]} for name, split in given]
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps({"images": images}))

    splits = captioning.load(captioning.Config(data=str(path), images=str(photos.parent)))

    texts = {split: [text.decode() for _, text in found.as_numpy_iterator()] for split, found in splits.items()}
    assert texts == {"train": ["0.png", "1.png"], "validation": ["2.png"], "test": ["3.png"]}

    path.write_text(json.dumps({"images": images[2:]}))
    with pytest.raises(InputError, match="expected a training split, received validation, test"):
        captioning.load(captioning.Config(data=str(path), images=str(photos.parent)))


FORMS = {
    "attention within, subwords": [
        *("--attention", "additive", "--feeding", "context", "--spread", "0.5"),
        *("--tokens", "subwords", "--vocabulary", "300", "--cell", "gru"),
    ],
    "no attention, fine-tuned": ["--attention", "none", "--fit", "crop", "--fine-tune", "1", "--cell", "elman"],
}


@pytest.mark.parametrize("flags", FORMS.values(), ids=FORMS)
def test_every_form_of_the_network_trains_and_captions(flags, photos, encoder, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(captioning.describing, "plot_run", lambda parts, *given: written.append(parts))
    run = tmp_path / "run"
    given = ["train", "--data", str(photos), "--encoder", str(encoder), "--run", str(run), *SMALL, "--epochs", "1"]

    assert command.run(captioning.TASK, [*given, *flags]) == 0

    answer = written[0].ask([(photos.parent / "1.png").read_bytes()])
    assert answer["captions"].numpy()[0, 0]
    assert ("attention" in answer) == ("none" not in flags)
    assert RunFolder(run).read_json("metrics.json")["validation"]["bleu_1"] >= 0


def test_a_run_killed_in_its_second_stage_ends_with_the_same_weights(captioner, parts, flags, tmp_path, monkeypatch):
    class Trained(Exception):
        pass

    def evaluate(parts, *given):
        if isinstance(parts.model, SelfCritical):
            raise Trained  # what comes after training is not the question
        return {}

    monkeypatch.setattr(captioning.describing, "evaluate", evaluate)
    killed = shutil.copytree(captioner.with_name("killed"), tmp_path / "killed")

    with pytest.raises(Trained):
        command.run(captioning.TASK, ["train", "--run", str(killed), *flags, "--resume"])

    again = verbs.restored(captioning.TASK, killed)[2]
    for one, other in zip(parts.model.get_weights(), again.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_later_stages_have_the_epochs_and_the_rate_that_were_asked_for():
    config = captioning.Config(epochs=9, fine_tune=4, self_critical=5, self_critical_rate=0.01, smoothing=0.2)

    stages = captioning.stages(config)

    kept = {name: (one.epochs, one.fine_tune, one.self_critical, one.patience) for name, one in stages.items()}
    assert kept == {"likelihood": (9, 0, 0, 3), "fine-tuned": (4, 4, 0, 0), "self-critical": (5, 4, 5, 0)}
    last = stages["self-critical"]
    assert (last.learning_rate, last.smoothing, last.dropout) == (0.01, 0.0, config.dropout)


def test_self_critical_training_follows_the_gradient_of_the_expected_reward():
    """All sequences are drawn once, with reward times probability: the step is then the exact gradient, but for the
    mean of these products, which the baseline takes from each."""
    begin, end, timesteps = 1, 2, 2
    decoder = Decoder(4, [ElmanCell(3)], 2, begin=begin, seed=0)
    endless = list(itertools.product((0, 3), repeat=timesteps))
    every = np.array([[end, -1], *[(token, end) for token in (0, 3)], *endless])  # (sequences, timesteps)
    summary = np.random.default_rng(0).normal(size=(1, 3)).astype("float32")
    reward_of = dict(zip(map(tuple, every), np.random.default_rng(1).uniform(1, 2, len(every)), strict=True))

    scores_of = tf.function(lambda: decoder(every[None], summary), autograph=False)

    def probabilities():
        scores = scores_of().numpy().astype("float64")[0, ..., 0]
        return np.exp(np.where(every >= 0, scores, 0).sum(axis=1))

    def reward(tokens, references):
        known = dict(zip(map(tuple, every), probabilities(), strict=True))
        # r_k - b_k is K / (K - 1) of the difference from the mean.
        return (1 - 1 / len(every)) * np.array([reward_of[tuple(row)] * known[tuple(row)] for row in tokens])

    inputs = [keras.Input([3]), keras.Input([len(every), None], dtype="int64")]
    model = SelfCritical(
        inputs,
        decoder(inputs[1], inputs[0]),
        draw=lambda features, seed: tf.constant(every[None]),
        write=None,
        reward=reward,
    )
    model.compile(keras.optimizers.SGD(1.0), TokenCrossentropy(), run_eagerly=True)
    before = model.get_weights()
    rewards = np.array([reward_of[tuple(row)] for row in every])
    mean = np.mean(rewards * probabilities())
    expected = lambda: np.sum(rewards * probabilities() - mean * np.log(probabilities()))
    assert 0.2 < probabilities().sum() <= 1

    padding = tf.fill([1, len(every), timesteps], tf.constant(-1, "int64"))
    model.train_on_batch([tf.constant(summary), padding], padding)

    steps = [old - new for old, new in zip(before, model.get_weights(), strict=True)]
    model.set_weights(before)
    tokens = (every >= 0).sum()
    for variable, step in zip(model.trainable_variables, steps, strict=True):
        value = variable.numpy()
        for place in np.ndindex(value.shape):
            sides = []
            for change in (1e-2, -1e-2):
                moved = value.copy()
                moved[place] += change
                variable.assign(moved)
                sides.append(expected())
            variable.assign(value)
            np.testing.assert_allclose(-step[place] * tokens, (sides[0] - sides[1]) / 2e-2, atol=2e-3)


def test_of_one_drawn_answer_the_greedy_one_is_the_baseline():
    decoder = Decoder(4, [ElmanCell(3)], 2, begin=1, seed=0)
    summary = np.random.default_rng(0).normal(size=(1, 3)).astype("float32")
    inputs = [keras.Input([3]), keras.Input([1, None], dtype="int64")]
    answers = {"drawn": [[3, 2]], "greedy": [[0, 2]]}
    model = SelfCritical(
        inputs,
        decoder(inputs[1], inputs[0]),
        draw=lambda features, seed: tf.constant([answers["drawn"]]),
        write=lambda features: tf.constant(answers["greedy"]),
        reward=lambda tokens, references: tokens[:, 0] + 1.0,
    )
    model.compile(keras.optimizers.SGD(1.0), TokenCrossentropy(), run_eagerly=True)
    p_of_drawn = lambda: float(np.asarray(decoder(np.array([answers["drawn"]]), summary))[0, 0, :, 0].sum())
    data = [tf.constant(summary), tf.constant([[[0, 2]]])]

    before = p_of_drawn()
    model.train_on_batch(data, data[1])
    better = p_of_drawn()
    answers["greedy"] = answers["drawn"]
    model.train_on_batch(data, data[1])

    assert better > before + 0.1
    assert p_of_drawn() == better


def test_targets_have_a_row_for_each_caption_and_missing_ones_are_padding():
    config = captioning.Config(captions=3, max_length=4)
    write = captioning.sentences.Sentences(["a", "red", "dog"])

    rows = caption_network.as_rows(
        captioning.ids_of(write, ["A red dog.\n...\na dog", "a red red red red dog"], config)
    )

    assert rows.to_list() == [
        [[4, -1, 4], [5, -1, 6], [6, -1, 2], [2, -1, -1]],
        [[4, -1, -1], [5, -1, -1], [5, -1, -1], [5, -1, -1], [2, -1, -1]],
    ]
    _, targets = caption_network.teacher_forcing(None, rows.to_tensor(-1))
    assert targets.shape == (2, 3, 5)


def test_the_reward_is_cider_of_the_training_captions_and_bleu(parts, captioner):
    vocabularies = RunFolder(captioner).read_json("vocabularies.json")
    write = captioning.sentences.Sentences(vocabularies["words"])
    config = RunFolder(captioner).read_config(captioning.Config)
    ids = captioning.ids_of(write, tf.constant(vocabularies["captions"]), config).numpy()

    found = parts.model.rewards(ids[:5, 0], ids[:5])

    cider = CiderD(ids).scores(ids[:5, 0], ids[:5])
    assert cider.min() > 1
    np.testing.assert_allclose(found, cider + config.bleu_reward * sentence_bleu(ids[:5, 0], ids[:5]), rtol=1e-5)


def test_evaluation_looks_for_images_beside_its_own_table(captioner, photos, tmp_path, capsys):
    """And not where those of the training data are."""
    run = tmp_path / "run"
    shutil.copytree(captioner, run)
    config = json.loads((run / "config.json").read_text()) | {"images": str(photos.parent)}
    (run / "config.json").write_text(json.dumps(config))
    table = tmp_path / "table" / "captions.csv"
    table.parent.mkdir()
    shutil.copy(photos, table)
    given = ["evaluate", "--run", str(run), "--data", str(table), "--json"]
    assert command.run(captioning.TASK, given) == 2
    assert "captions.csv" in capsys.readouterr().err
    assert command.run(captioning.TASK, [*given, "--images", str(photos.parent)]) == 0


@pytest.mark.parametrize(("there", "expected"), [(("train", "val", "test"), "c"), (("train", "val", "train"), "b")])
def test_evaluation_takes_the_test_split_of_a_file_with_splits(there, expected, photos, tmp_path, capsys):
    images = sorted(path.name for path in photos.parent.iterdir() if path.suffix == ".png")[:3]
    rows = [
        {"filename": image, "split": split, "sentences": [{"raw": text}]}
        for image, split, text in zip(images, there, "abc", strict=True)
    ]
    (tmp_path / "all.json").write_text(json.dumps({"images": rows, "dataset": "x"}))
    found = captioning.labelled(str(tmp_path / "all.json"), captioning.Config(images=str(photos.parent)), {})
    assert [text.decode() for _, text in found.as_numpy_iterator()] == [expected]
    assert "the images of its split" in capsys.readouterr().err


def test_an_empty_name_is_no_folder(captioner, capsys, monkeypatch):
    assert command.run(captioning.TASK, ["predict", "--run", str(captioner), ""]) == 2
    assert "an empty name" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
    assert command.run(captioning.TASK, ["predict", "--run", str(captioner), "-"]) == 0
    assert capsys.readouterr().out == ""
