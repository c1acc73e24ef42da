"""Named entities from a file of tags to an exported model."""

import html.parser
import io
import json
import os
import sys

import conlleval
import hypothesis
import hypothesis.strategies as st
import keras
import numpy as np
import pytest
import tensorflow as tf

from data.sets import entities
from data.transforms.tags import Tags, convert, spans
from data.transforms.words import located
from layers import CRF
from pipelines import ner
from pipelines.engine import command, verbs
from pipelines.engine.folder import RunFolder
from pipelines.evaluation import markup, pictures, tagging

SMALL = ["--units", "24", "--embedding", "16", "--letter-filters", "12", "--epochs", "6", "--batch-size", "16"]
SMALL += ["--learning-rate", "0.01", "--dropout", "0.1"]


def write_columns(path, examples, count):
    """Sentences of the built-in set as columns, tags in IOB1."""
    tags = Tags(["DATE", "LOC", "ORG", "PER"], "BIO")
    texts, table = next(iter(examples.take(count).ragged_batch(count)))
    words, starts, ends = located(texts)
    lines = ["-DOCSTART- O", ""]
    for row, numbers in zip(words.numpy(), tags(starts, ends, table).numpy(), strict=True):
        scheme = convert([tags.names[number] for number in numbers], "IOB1")
        lines += [f"{word.decode()} {tag}" for word, tag in zip(row, scheme, strict=True)] + [""]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def columns(tmp_path_factory):
    return write_columns(tmp_path_factory.mktemp("entities") / "train.conll", entities.built_in("train"), 500)


@pytest.fixture(scope="session")
def tagger(tmp_path_factory, columns, kept_parts):
    """The folder of a finished run; tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "ner"
    assert command.run(ner.TASK, ["train", "--data", str(columns), "--run", str(folder), *SMALL]) == 0
    kept_parts.add(str(folder))
    return folder


def test_it_learns_what_looking_up_cannot_know(tagger):
    metrics = RunFolder(tagger).read_json("metrics.json")
    lookup = metrics["baselines"]["validation"]["lookup"]["f1"]
    assert metrics["validation"]["f1"] > 0.8 > 0.7 > lookup
    assert 0 < metrics["validation"]["unseen"]["entities"] < metrics["validation"]["entities"]
    assert sum(map(sum, metrics["validation"]["confusion"])) >= metrics["validation"]["entities"]
    for name in (*tagging.PICTURES, "README.md"):
        assert (tagger / name).stat().st_size > 500


def test_f1_is_what_the_conlleval_script_says(tagger, tmp_path, capsys):
    path = write_columns(tmp_path / "more.conll", entities.built_in("validation"), 60)
    assert command.run(ner.TASK, ["evaluate", "--run", str(tagger), "--data", str(path), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    parts = verbs.restored(ner.TASK, tagger)[2]
    names, lines = parts.extras.constants["tags"], []
    for texts, table in entities.load(path).ragged_batch(60):
        true = parts.target(texts, table)
        answer = parts.answer(parts.scores(parts.prepare(texts)), texts)
        for row, length in enumerate(true.row_lengths().numpy()):
            guess = [tag.decode() for tag in answer["tags"][row, :length].numpy()]
            lines += [f"w {names[one]} {other}" for one, other in zip(true[row].numpy(), guess, strict=True)] + [""]
    overall = conlleval.evaluate(lines)["overall"]
    assert metrics["f1"] == pytest.approx(overall["chunks"]["evals"]["f1"])
    assert metrics["precision"] == pytest.approx(overall["chunks"]["evals"]["prec"])
    assert 0.3 < metrics["f1"] < 1 and 0.5 < metrics["token_accuracy"] < 1


def test_unseen_entities_types_and_confusion_are_counted_apart():
    one = lambda text, label, start: {"text": text, "label": label, "start": start, "end": start + len(text)}
    truth = [[one("Ann", "PER", 0), one("Oslo", "LOC", 8)], [one("Bo", "PER", 0)], []]
    guess = [[one("Ann", "PER", 0), one("Oslo", "PER", 8)], [], [one("It", "LOC", 0)]]
    found = tagging.metrics_of(truth, guess, ["LOC", "PER"], {"Ann"})
    assert (found["entities"], found["precision"], found["recall"], found["f1"]) == (3, 1 / 3, 1 / 3, 1 / 3)
    assert found["unseen"] == {"entities": 2, "precision": 0, "recall": 0, "f1": 0}
    assert found["types"]["PER"] == {"entities": 2, "precision": 0.5, "recall": 0.5, "f1": 0.5}
    assert found["confusion"] == [[0, 1, 0], [0, 1, 1], [1, 0, 0]]
    assert tagging.metrics_of([[]], [[]], ["PER"], set())["f1"] == 0


def test_the_metric_of_training_counts_as_spans_do():
    tags, rng = Tags(["PER", "LOC"], "BIO"), np.random.default_rng(0)
    metric, field = tagging.EntityF1(tags), CRF(tags.names)
    right = found = wanted = 0
    for _ in range(3):
        lengths, logits = rng.integers(0, 9, 6), rng.normal(size=(6, 8, 5)).astype("float32")
        mask = np.arange(8) < lengths[:, None]
        target = np.where(mask, rng.integers(0, 5, (6, 8)), -1)
        target[::2] = np.where(mask[::2], logits[::2].argmax(axis=2), -1)
        metric.update_state(tf.constant(target), field(logits, mask=mask))
        for row, length in enumerate(lengths):
            guess = set(spans([tags.names[tag] for tag in logits[row, :length].argmax(axis=1)]))
            true = set(spans([tags.names[tag] for tag in target[row, :length]]))
            right, found, wanted = right + len(guess & true), found + len(guess), wanted + len(true)
    assert float(metric.result()) == pytest.approx(2 * right / (found + wanted)) and right > 0


@pytest.fixture(scope="module")
def random_answers():
    """Answers of a network that finds entities anywhere."""
    config = ner.Config(units=3, embedding=3, letter_filters=2, letters=3)
    vocabularies = {"labels": ["A", "B"], "words": ["a"], "letters": ["a"], "entities": []}
    parts = ner.build(config, vocabularies)
    rng = np.random.default_rng(0)
    parts.model.set_weights([rng.normal(size=w.shape) for w in parts.model.get_weights()])
    return lambda texts: tagging.answers(parts, texts)


@hypothesis.settings(deadline=None, max_examples=60)
@hypothesis.given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=30), min_size=1, max_size=3))
def test_offsets_give_the_text_of_an_entity_whatever_the_text(random_answers, texts):
    for text, answer in zip(texts, random_answers(texts), strict=True):
        assert answer["text"] == text
        last = 0
        for one in answer["entities"]:
            assert text[one["start"] : one["end"]] == one["text"] and one["start"] >= last
            assert 0 <= one["score"] <= 1.001 and one["label"] in "AB"
            last = one["end"]


def test_a_text_with_nothing_to_see_has_no_words_and_no_entities(random_answers):
    assert random_answers([]) == []
    for answer in random_answers(["", "  ", "\u200b", "\ufeff\u00ad", "\u00a0\u3000", "\u200d\u200e", "\ufe0f"]):
        assert answer["entities"] == []


def test_the_saved_model_finds_the_same_with_tensorflow_alone(tagger, tmp_path, alone):
    texts = ["Yesterday, Harry Potter met Hermione Granger.", "", "Été à Paris 🙂, on Monday!", "x " * 3000]
    texts += [text.decode() for text, _ in entities.built_in("test").take(30).as_numpy_iterator()]
    assert command.run(ner.TASK, ["export", "--run", str(tagger), "--to", str(tmp_path / "served")]) == 0

    found, none, told = alone(tmp_path / "served", texts, [])

    expected = verbs.predict(ner.TASK, tagger, texts)
    assert set(none) == set(found) and all(len(value) == 0 for value in none.values())
    assert [label.decode() for label in told["labels"]] == ["DATE", "LOC", "ORG", "PER"]
    assert found["token_counts"][1] == 0 and found["token_counts"][3] == 3000
    text = lambda value: np.char.decode(value.astype("S")) if value.dtype == object else value
    found = {name: text(value) for name, value in found.items()}
    names = ("entities", "labels", "starts", "ends")
    for row, answer in enumerate(expected):
        rows = zip(*(found[name][row][: found["counts"][row]] for name in names), strict=True)
        assert list(rows) == [
            tuple(one[key] for key in ("text", "label", "start", "end")) for one in answer["entities"]
        ]
        scores = [one["score"] for one in answer["entities"]]
        np.testing.assert_allclose(found["scores"][row][: len(scores)], scores, atol=1e-5)
    assert sum(found["counts"]) > 30


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_the_network_alone_is_written_and_compared(tagger, tmp_path, format, capsys):
    arguments = ["export", "--run", str(tagger), "--format", format, "--to", str(tmp_path / "network")]
    assert command.run(ner.TASK, arguments) == 0
    assert os.path.getsize(capsys.readouterr().out.strip()) > 1000


WRONG_FILES = {
    "short.conll": (b"Ann X B-PER\nmet O\n", "short.conll:2: expected 3 columns, received 2"),
    "mixed.conll": (b"A B\tB-PER\nmet O\n", "mixed.conll:2: expected 2 columns separated by tabs, as in most lines"),
    "latin.conll": ("Ann B-PER\n\nÅre O\n".encode("latin-1"), "latin.conll:3: expected UTF-8, received the byte"),
    "plain.conll": (b"Ann O\nmet O\n\nBo O\n", "expected entities in the training data, received none"),
    "empty.conll": (b"", "empty.conll: "),
    "spans.jsonl": (b'{"text": "a", "entities": [{"start": 0, "end": 9}]}\n', "spans.jsonl:1: expected `start`, `end`"),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_file_that_is_wrong_is_named_with_its_line(tmp_path, capsys, name):
    content, message = WRONG_FILES[name]
    (tmp_path / name).write_bytes(content)
    assert command.run(ner.TASK, ["train", "--data", str(tmp_path / name), "--run", str(tmp_path / "run")]) == 2
    assert message in capsys.readouterr().err.splitlines()[-1]
    assert not (tmp_path / "run").exists()


def test_broken_tags_are_counted_or_an_error_and_unknown_labels_too(tagger, tmp_path, capsys):
    broken = tmp_path / "broken.conll"
    broken.write_text("Ann B-PER\nLee I-PER\nmet O\nBo I-PER\n\nAnn B-PER\n")
    arguments = ["train", "--data", str(broken), "--validation-data", str(broken), "--run", str(tmp_path / "run")]
    assert command.run(ner.TASK, [*arguments, "--strict"]) == 2
    assert "broken.conll:4: expected tags of scheme BIO, received 'I-PER' there" in capsys.readouterr().err
    assert command.run(ner.TASK, ["evaluate", "--run", str(tagger), "--data", str(broken)]) == 0
    out, err = capsys.readouterr()
    assert "broken.conll: 1 tags break their scheme, BIO, and are read as conlleval reads them" in err
    assert "broken.conll (2 texts)" in out
    broken.write_text("Ann B-PER\n\nOlympics B-EVENT\n")
    assert command.run(ner.TASK, ["evaluate", "--run", str(tagger), "--data", str(broken)]) == 2
    assert "broken.conll:3: expected a label of the training data ('DATE', 'LOC'" in capsys.readouterr().err


def test_sentences_without_words_and_of_very_many(tagger, tmp_path, capsys):
    path = tmp_path / "odd.jsonl"
    long = "Ann met Bo . " * 4_000
    rows = [{"text": "", "entities": []}, {"text": " \n", "entities": []}]
    rows.append({"text": long, "entities": [{"start": 0, "end": 3, "label": "PER"}]})
    path.write_text("\n".join(map(json.dumps, rows)))
    assert command.run(ner.TASK, ["evaluate", "--run", str(tagger), "--data", str(path), "--json"]) == 0
    metrics = json.loads(capsys.readouterr().out)
    assert metrics["examples"] == 3 and metrics["entities"] == 1


@pytest.mark.parametrize(
    "flags",
    [
        ["--no-crf", "--letter-filters", "0", "--cell", "peephole", "--baselines"],
        [
            *("--scheme", "BIO", "--depth", "2", "--cell", "gru", "--recurrent-dropout", "0.2"),
            *("--vectors", "tests/fixtures/glove.txt", "--embedding", "3", "--mixed-precision", "bfloat16"),
        ],
    ],
)
def test_every_part_of_the_network_trains_from_json_lines(tmp_path, no_pictures, flags):
    path = tmp_path / "train.jsonl"
    with open(path, "w", encoding="utf-8") as file:
        for text, table in entities.built_in("train").take(40).as_numpy_iterator():
            places = [{"start": int(a), "end": int(b), "label": label.decode()} for a, b, label in table]
            print(json.dumps({"text": text.decode(), "entities": places}), file=file)
    run = tmp_path / "run"
    arguments = ["train", "--data", str(path), "--validation-data", str(path), "--test-data", str(path)]
    arguments += ["--run", str(run), "--units", "4", "--embedding", "4", "--epochs", "1", "--no-bidirectional"]
    assert command.run(ner.TASK, [*arguments, "--no-baselines", "--no-tensorboard", *flags]) == 0
    metrics = RunFolder(run).read_json("metrics.json")
    assert metrics["test"]["examples"] == 40 and ("baselines" in metrics) == ("--baselines" in flags)
    if "--no-crf" in flags:
        parts = verbs.restored(ner.TASK, run)[2]
        assert not parts.model.get_layer("crf").transitions.numpy().any()


def test_the_commands_of_a_user(tagger, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Ann met Bo.\n\n")))
    assert command.run(ner.TASK, ["predict", "--run", str(tagger), "--input", "-", "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["text"] for line in lines] == ["Ann met Bo.", ""]
    assert set(lines[0]["entities"][0]) == {"text", "label", "start", "end", "score"}


@pytest.mark.parametrize(
    ("name", "content", "encoding"),
    [
        ("a.jsonl", '{"text": "Ann met René."}\n'.encode(), ""),
        ("a.csv", "id,text\n1,Ann met René.\n".encode(), ""),
        ("a.txt", "Ann met René.\n".encode("cp1252"), "cp1252"),
        ("-", "Ann met René.\n".encode("cp1252"), "cp1252"),
        ("-", "Ann met René.\n".encode("utf-16"), "utf-16"),
        ("-", "Ann met René.\n".encode("utf-8-sig"), ""),
        ("a.txt", "Ann met René.\n".encode(), "cp1252"),
        ("-", "Ann met René.\n".encode(), "cp1252"),
    ],
)
def test_texts_of_files_and_of_standard_input_are_read_as_in_training(
    tagger, tmp_path, monkeypatch, capsys, name, content, encoding
):
    (tmp_path / name).write_bytes(content)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    given = ["predict", "--run", str(tagger), "--input", name if name == "-" else str(tmp_path / name), "--json"]
    given += ["--encoding", encoding] if encoding else []
    assert command.run(ner.TASK, given) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "Ann met René."


def test_bytes_that_are_no_text_are_named_in_standard_input_and_replaced_in_arguments(tagger, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Ann\nRen\xe9\n")))
    assert command.run(ner.TASK, ["predict", "--run", str(tagger), "--input", "-"]) == 2
    assert "standard input:2: expected UTF-8, received the byte 0xe9; name the encoding" in capsys.readouterr().err
    assert command.run(ner.TASK, ["predict", "--run", str(tagger), "Ann \udcff", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "Ann \ufffd"


class Marks(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.found, self.tags = [], set()

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "mark":
            self.found.append(dict(attributes)["class"].split())


def test_the_page_marks_what_is_right_wrong_and_missed_and_shows_markup_as_text(tmp_path):
    one = lambda label, start, end, **more: {"label": label, "start": start, "end": end, **more}
    text = "<script>Ann</script> met Bo & Lee"
    found = [one("<P>", 8, 11, score=0.5), one("LOC", 25, 27, score=0.4)]
    true = [one("<P>", 8, 11), one("<P>", 25, 27), one("<P>", 30, 33)]
    markup.entities([(text, found, true)], ["<P>", "LOC"], tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    marks = Marks()
    marks.feed(page)
    assert marks.found[4:] == [["e0"], ["e1", "wrong"], ["e0", "missed"]]  # after the key
    assert "script" not in marks.tags and "&lt;script&gt;" in page and "http" not in page
    shown = markup.coloured_entities(text, found, ["<P>", "LOC"])
    assert shown.count("\x1b[0m") == 2 and "Bo" in shown and shown.endswith("& Lee")


def test_transitions_are_drawn(tmp_path):
    names = Tags(["PER", "LOC"]).names
    pictures.transitions(np.random.default_rng(0).normal(size=(9, 9)), names, tmp_path / "a.png")
    height, width = keras.utils.img_to_array(keras.utils.load_img(tmp_path / "a.png")).shape[:2]
    assert min(height, width) > 300
