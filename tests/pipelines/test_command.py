"""The command line as its users meet it: what is wrong is told in one line, and nothing is written or lost."""

import dataclasses
import gzip
import io
import json
import shutil
import subprocess
import sys
import typing

import numpy as np
import pandas as pd
import pytest
from conftest import LEAST, typed

from pipelines import __main__ as listed
from pipelines import captioning, dna, ner, sentiment, translation
from pipelines.engine import command, training
from pipelines.engine.folder import CONFIG, METRICS, VOCABULARIES, WEIGHTS
from pipelines.engine.settings import ranges

REVIEWS = "tests/fixtures/reviews.csv"
GOOD = "text,label\n" + "".join(f"a {'good' if i % 2 else 'bad'} film {i},{i % 2}\n" for i in range(30))


def told(capsys, *arguments):
    """The one line of error that a command ends with."""
    assert command.run(sentiment.TASK, [str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = [line for line in captured.err.splitlines() if line.startswith("error: ")]
    assert lines == captured.err.splitlines()[-1:]
    return lines[0].removeprefix("error: ")


WRONG_FILES = {
    "empty.csv": (b"", "empty.csv: expected rows, received an empty file."),
    "header.csv": (b"text,label\n", "header.csv: expected rows"),
    "column.csv": (b"review,label\ngood,1\n", "'text'"),
    "latin.csv": ("text,label\ngood,1\ncafé,0\n".encode("latin-1"), "latin.csv:3: expected UTF-8, received the byte"),
    "ragged.csv": (b"text,label\ngood,1\nbad\n", "ragged.csv:3: expected 2 fields, as in the header, received 1"),
    "quote.csv": (b'text,label\ngood,1\n"bad,0\nworse,0\n', "quote.csv:3: "),
    "unlabelled.csv": (b"text,label\ngood,1\nbad,\n", "unlabelled.csv:3: expected a value in the column 'label'"),
    "single.csv": (b"text,label\ngood,1\nbetter,1\n", "expected two or more different labels, received only '1'"),
    "nul.csv": (b"text,label\ngood,1\nb\0d,0\n", "nul.csv:3: expected text, received a NUL byte"),
    "reviews.doc": (b"text,label\n", "reviews.doc: "),
    "lines.jsonl": (b'{"text": "good", "label": 1}\n{"text": \n', "lines.jsonl:2: "),
    "damaged.csv.gz": (gzip.compress(GOOD.encode(), mtime=0)[:40], "damaged.csv.gz: expected a whole gzip file"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path, capsys, name):
    content, message = WRONG_FILES[name]
    (tmp_path / name).write_bytes(content)
    assert message in told(capsys, "train", "--data", tmp_path / name, "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_file_that_is_missing_or_a_folder_is_named(tmp_path, capsys):
    run = ["--run", tmp_path / "run"]
    assert "where there is none" in told(capsys, "train", "--data", tmp_path / "none.csv", *run)
    (tmp_path / "folder.csv").mkdir()
    assert "received a folder" in told(capsys, "train", "--data", tmp_path / "folder.csv", *run)


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--epochs", "0"], "--epochs: expected a number at least 1, received 0."),
        (["--units", "-3"], "--units: expected a number at least 1"),
        (["--dropout", "1"], "--dropout: expected a number from 0 to 0.99"),
        (["--learning-rate", "nan"], "--learning-rate: expected a number"),
        (["--ema", "1"], "--ema: expected a number from 0 to"),
        (["--data", "a.csv", "--dataset", "imdb_reviews"], "received both"),
        (["--validation-data", "a.csv"], "expected --data to train on"),
        (["--resume", "--overwrite"], "received both"),
        (["--dataset", "no_such_set"], "no_such_set: expected the name of a set in TensorFlow Datasets"),
        (["--vectors", "none.txt", "--data", REVIEWS, "--validation-data", REVIEWS], "none.txt: expected a file"),
    ],
    ids=" ".join,
)
def test_a_setting_out_of_its_range_is_named(tmp_path, capsys, flags, message):
    assert message in told(capsys, "train", *flags, "--run", tmp_path / "run")
    assert not (tmp_path / "run").exists()


TASKS = [one.TASK for one in (captioning, dna, ner, sentiment, translation)]


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_every_number_among_the_settings_has_a_range(task):
    fields = dataclasses.fields(task.config)
    numbers = {one.name for one in fields if {one.type, *typing.get_args(one.type)} & {int, float}}
    assert numbers == set(ranges(task.config))


@pytest.mark.parametrize("task", TASKS, ids=lambda task: task.name)
def test_the_help_fits_a_terminal(task, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    assert command.run(task, ["train", "--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 80


def test_the_list_of_tasks_fits_a_terminal_and_has_each_question_whole(capsys):
    listed.main()
    written = capsys.readouterr().out
    lines = written.splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 80
    for task in TASKS:
        question = sys.modules[f"pipelines.{task.name}"].__doc__.splitlines()[0]
        assert f"python -m pipelines.{task.name} {question}" in " ".join(written.split())


@pytest.mark.parametrize("arguments", [["train", "--unit", "3"], ["train", "--units", "x"], ["predict", "--cell", "a"]])
def test_wrong_flags_end_with_status_2(arguments, capsys):
    with pytest.raises(SystemExit) as ended:
        command.main(sentiment.TASK, arguments)
    assert ended.value.code == 2
    assert "--" in capsys.readouterr().err


def test_a_verb_that_is_none_lists_those_that_are(capsys):
    assert "expected one of the verbs train, evaluate, predict, export" in told(capsys, "trian")


def test_a_finished_run_is_not_replaced_unasked(trained, reviews_csv, capsys):
    before = (trained / METRICS).read_bytes()
    message = told(capsys, "train", "--data", reviews_csv, "--run", trained)
    assert "holds a finished run; add --resume to go on with it, --overwrite to replace it" in message
    assert (trained / METRICS).read_bytes() == before


def test_a_finished_run_resumed_says_so(trained, capsys):
    before = {path: path.stat().st_mtime_ns for path in trained.iterdir()}
    assert command.run(sentiment.TASK, ["train", "--run", str(trained), "--resume"]) == 0
    assert "is finished already" in capsys.readouterr().err
    assert {path: path.stat().st_mtime_ns for path in trained.iterdir()} == before


def test_evaluation_names_a_label_that_training_never_saw(trained, tmp_path, capsys):
    (tmp_path / "more.csv").write_text("text,label\nFine.,positive\nHm.,undecided\n")
    message = told(capsys, "evaluate", "--run", trained, "--data", tmp_path / "more.csv")
    assert (
        "more.csv:3: expected a label of the training data ('negative', 'positive'), received 'undecided'." in message
    )
    rows = [{"text": "Fine.", "label": "positive"}, {"text": "Hm.", "label": "undecided"}]
    (tmp_path / "more.json").write_text(json.dumps(rows))  # on one line
    message = told(capsys, "evaluate", "--run", trained, "--data", tmp_path / "more.json")
    assert "more.json:1: expected a label of the training data" in message and "received 'undecided'." in message


def test_data_in_the_run_that_is_replaced_are_not_lost(trained, reviews_csv, tmp_path, capsys):
    run = tmp_path / "run"
    shutil.copytree(trained, run)
    shutil.copy(reviews_csv, run / "reviews.csv")
    message = told(capsys, "train", "--data", run / "reviews.csv", "--run", run, "--overwrite")
    assert "reviews.csv: expected data outside of" in message and (run / "reviews.csv").exists()


@pytest.mark.parametrize(
    "name, damage",
    [
        (CONFIG, lambda path: path.write_text("{")),
        (CONFIG, lambda path: path.write_text(json.dumps({**json.loads(path.read_text()), "units": 5}))),
        (VOCABULARIES, lambda path: path.write_bytes(b"\xff\xfe")),
        (WEIGHTS, lambda path: path.write_bytes(path.read_bytes()[:2000])),
        (WEIGHTS, lambda path: path.unlink()),
        (CONFIG, lambda path: path.unlink()),
    ],
)
def test_a_damaged_run_is_named(trained, tmp_path, capsys, name, damage):
    folder = tmp_path / "run"
    folder.mkdir()
    for path in trained.iterdir():
        if path.is_file():
            (folder / path.name).write_bytes(path.read_bytes())
    damage(folder / name)
    assert str(folder) in told(capsys, "predict", "--run", folder, "Fine.")


def test_predicting_without_a_run_or_without_inputs_says_what_is_missing(trained, tmp_path, capsys):
    assert "train first" in told(capsys, "predict", "--run", tmp_path / "none", "Fine.")
    assert "expected inputs as arguments" in told(capsys, "predict", "--run", trained)
    assert "received both" in told(capsys, "predict", "--run", trained, "Fine.", "--input", "a.txt")
    assert "where there is none" in told(capsys, "predict", "--run", trained, "--input", tmp_path / "a.txt")
    assert "--input: expected once" in told(capsys, "predict", "--run", trained, "--input", "a.txt", "--input=b.txt")


def test_json_is_all_that_standard_output_holds(trained, reviews_csv, capfd):
    texts = "Fine.\n\nIt isn't dull — é 😀\n"
    status, out, err = typed("predict", "--run", trained, "--input", "-", "--json", given=texts.encode())
    assert status == 0, err
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["text"] for row in rows] == texts.splitlines()
    for row in rows:
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert row["probability"] == max(row["probabilities"].values()) == row["probabilities"][row["label"]]
    capfd.readouterr()
    assert command.run(sentiment.TASK, ["evaluate", f"--run={trained}", f"--data={reviews_csv}", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["examples"] == 150  # of what the process wrote, not Python alone


def test_json_is_json_where_standard_output_knows_few_characters(trained, monkeypatch):
    out = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(out, "latin-1", errors="backslashreplace"))
    assert command.run(sentiment.TASK, ["predict", "--run", str(trained), "Fine é 😀", "--json"]) == 0
    sys.stdout.flush()
    assert json.loads(out.getvalue())["text"] == "Fine é 😀"


def test_the_commands_of_the_module_s_own_help_run(trained, tmp_path, capsys):
    text = "There is nothing to like in this movie."
    picture = tmp_path / "words.png"
    assert command.run(sentiment.TASK, ["predict", "--run", str(trained), text, "--to", str(picture)]) == 0
    assert capsys.readouterr().out == ""
    assert command.run(sentiment.TASK, ["predict", "--run", str(trained), text]) == 0
    label, probability, shown = capsys.readouterr().out.strip().split("\t")
    assert label in ("negative", "positive")
    assert 0.5 <= float(probability) <= 1
    assert shown == text
    assert picture.stat().st_size > 2000
    assert command.run(sentiment.TASK, ["--help"]) == 0
    assert "python -m pipelines.sentiment export --help" in capsys.readouterr().out


def test_a_run_says_what_it_was_trained_on_and_with_which_result(trained):
    readme = (trained / "README.md").read_text()
    metrics = json.loads((trained / METRICS).read_text())
    assert "reviews.csv" in readme
    assert f"{metrics['validation']['accuracy']:.4f}" in readme
    assert {path.name for path in trained.iterdir()} >= {"curves.png", "confusion.png", "words.png", "history.csv"}
    assert not any(path.suffix in (".pkl", ".pickle", ".npz") for path in trained.rglob("*"))


def test_a_reader_that_leaves_early_is_no_error(trained):
    status = subprocess.run(
        f"yes Fine. | head -3000 | {sys.executable} -m pipelines.sentiment predict --run {trained} --input - | head -1",
        shell=True,
        capture_output=True,
        executable="/bin/bash",
    )
    assert status.returncode == 0
    assert b"Traceback" not in status.stderr
    assert status.stdout.count(b"\n") == 1


def test_nobody_may_read_the_help():
    command = f"{sys.executable} -m pipelines.captioning --help"
    status = subprocess.run(f"{command} > >(exec true)", shell=True, capture_output=True, executable="/bin/bash")
    assert b"Traceback" not in status.stderr and b"BrokenPipe" not in status.stderr


def test_three_classes_files_for_each_split_and_every_part_of_the_network(tmp_path, capsys):
    rng = np.random.default_rng(0)
    words = ["bad", "fair", "good"]
    for name, rows in (("train", 60), ("valid", 20), ("test", 20)):
        stars = rng.integers(1, 4, rows)
        said = [" ".join([*rng.choice(words, 3), words[number - 1]]) for number in stars]
        lines = [f"{number}\t{text}\n" for number, text in zip(stars, said, strict=True)]
        (tmp_path / f"{name}.tsv").write_text("stars\tsaid\n" + "".join(lines))
    vectors = tmp_path / "vectors.txt"
    vectors.write_text("good 1 0 0\nbad -1 0 0\n")
    files = [
        f"--{a}={tmp_path / b}.tsv" for a, b in (("data", "train"), ("validation-data", "valid"), ("test-data", "test"))
    ]
    flags = ["--label-column", "stars", "--text-column", "said", "--vectors", str(vectors), "--embedding", "3"]
    network = ["--cell", "gru", "--units", "3", "--depth", "2", "--pooling", "attention", "--bag-pairs", "1000"]
    arguments = [*files, *flags, *network, "--epochs", "1", "--no-bidirectional", "--label-smoothing", "0.1"]
    assert command.run(sentiment.TASK, [*arguments, "--run", str(tmp_path / "run")]) == 0
    metrics = json.loads((tmp_path / "run" / METRICS).read_text())
    assert metrics["test"]["examples"] == 20
    assert metrics["validation"]["labels"] == ["1", "2", "3"]
    assert "auroc" not in metrics["test"]


def test_a_neutral_label_is_learnt_from_and_never_answered(tmp_path, reviews_csv, no_pictures, capsys):
    table = pd.read_csv(reviews_csv)
    table.loc[::3, "label"] = "neither"
    three, run = tmp_path / "three.csv", tmp_path / "run"
    table.to_csv(three, index=False)
    arguments = ["train", f"--data={three}", f"--validation-data={three}", f"--run={run}", *LEAST]
    arguments += ["--epochs", "1", "--bag", "--baselines"]  # both count, and are not to count what is neutral
    assert "--neutral: expected one of the labels" in told(capsys, *arguments, "--neutral", "none")
    assert command.run(sentiment.TASK, [*arguments, "--neutral", "neither"]) == 0
    validation = json.loads((run / METRICS).read_text())["validation"]
    assert validation["labels"] == ["negative", "positive"]
    assert validation["examples"] == (table["label"] != "neither").sum()
    capsys.readouterr()
    assert command.run(sentiment.TASK, ["evaluate", f"--run={run}", f"--data={three}", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["confusion"] == validation["confusion"]


def test_a_public_set_is_trained_on_by_name(tmp_path, no_pictures, monkeypatch):
    import tensorflow_datasets as tfds

    class TinyReviews(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {"sentence": tfds.features.Text(), "label": tfds.features.ClassLabel(names=["no", "yes"])}
            return tfds.core.DatasetInfo(builder=self, features=tfds.features.FeaturesDict(features))

        def _split_generators(self, manager):
            return {"train": self._generate_examples(40)}

        def _generate_examples(self, rows):
            for row in range(rows):
                yield row, {"sentence": f"a {'good' if row % 2 else 'bad'} film {row}", "label": row % 2}

    TinyReviews(data_dir=str(tmp_path / "sets")).download_and_prepare()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    arguments = ["--dataset", "tiny_reviews", *LEAST, "--epochs", "1", "--run", str(tmp_path / "run")]
    assert command.run(sentiment.TASK, arguments) == 0
    assert json.loads((tmp_path / "run" / METRICS).read_text())["validation"]["labels"] == ["no", "yes"]


@pytest.mark.parametrize("name", ["--validation-data", "--test-data"])
def test_a_file_beside_none_to_train_on_is_named(name, tmp_path, capsys):
    expected = f"{name}: expected --data to train on beside it, received none."
    assert told(capsys, "train", name, REVIEWS, "--run", tmp_path / "run") == expected


def test_an_interrupted_stage_names_the_whole_run():
    with pytest.raises(training.Interrupted, match="^whole$"), training.interrupted_as("whole"):
        raise training.Interrupted("whole/stages/one")


@pytest.mark.parametrize(
    ("name", "text"), [("a.json", '{"units": 5, "epochs": 2}'), ("a.toml", "units = 5\nepochs = 2")]
)
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "marked"])
def test_settings_of_a_file_stand_before_the_flags(name, text, mark, tmp_path):
    """With or without a byte order mark."""
    (tmp_path / name).write_text(mark + text, encoding="utf-8")
    given = ["--config", str(tmp_path / name), "--epochs", "7"]
    flags = command._parsed(sentiment.TASK, sentiment.Config, "train", given)
    assert (flags.units, flags.epochs, flags.depth) == (5, 7, sentiment.Config().depth)


def test_settings_of_a_file_are_those_of_a_run(tmp_path):
    """Its own config.json with all settings, a value that begins like a flag, and none where none is allowed."""
    config = sentiment.Config(data="-reviews.csv", learning_rate=1, bidirectional=False, baselines=False)
    (tmp_path / "a.json").write_text(json.dumps(dataclasses.asdict(config)))
    flags = command._parsed(sentiment.TASK, sentiment.Config, "train", ["--config", str(tmp_path / "a.json")])
    assert flags == dataclasses.replace(config, run="runs/sentiment", config=str(tmp_path / "a.json"))


@pytest.mark.parametrize(
    "text, expected",
    [
        ('{"units": "many"}', "a.json: expected for 'units' a value of int, received 'many'."),
        ('{"units": 5.5}', "a value of int, received 5.5."),
        ('{"units": true}', "a value of int, received True."),
        ('{"data": null}', "a.json: expected for 'data' a value of str, received None."),
        ('{"tensorboard": "no"}', "a value of bool, received 'no'."),
        ('{"schedule": "steps"}', "a value of cosine, linear, constant, received 'steps'."),
        ('{"unit": 5}', "a.json: expected settings of this task, see --help-all; received 'unit'."),
        ("[5]", "a.json: expected an object of settings"),
    ],
)
def test_a_wrong_setting_of_a_file_is_named(text, expected, tmp_path, capsys):
    (tmp_path / "a.json").write_text(text)
    assert expected in told(capsys, "train", "--config", tmp_path / "a.json")
