"""Translation from pairs of sentences to an exported model with the search in its graph."""

import dataclasses
import io
import json
import subprocess
import sys
import unicodedata

import keras
import numpy as np
import pytest
import sacrebleu
import tensorflow as tf

from data import batching
from data.files import InputError
from data.sets import bitext
from data.transforms.subwords import BEGIN, END, Subwords
from layers.decode import greedy
from pipelines import translation
from pipelines.engine import command, verbs
from pipelines.engine.folder import RunFolder
from pipelines.evaluation import translation as translating

SMALL = ["--units", "32", "--embedding", "24", "--epochs", "4", "--batch-size", "16", "--learning-rate", "0.01"]
SMALL += ["--vocabulary", "420", "--dropout", "0.1", "--beam", "3"]


def write_parallel(folder, count, skip=0):
    """Pairs of the built-in set as two files."""
    pairs = list(bitext.built_in("train").skip(skip).take(count).as_numpy_iterator())
    for language, side in (("en", 0), ("fr", 1)):
        (folder / f"train.{language}").write_bytes(b"".join(pair[side] + b"\n" for pair in pairs))
    return folder / "train"


@pytest.fixture(scope="module")
def parallel(tmp_path_factory):
    return write_parallel(tmp_path_factory.mktemp("bitext"), 400)


@pytest.fixture(scope="module", autouse=True)
def subwords_once():
    """Subwords of the same pieces are one object: how a text is cut is traced once, which takes seconds."""
    made = {}

    def subwords(pieces):
        key = json.dumps(pieces)
        if key not in made:
            made[key] = Subwords(pieces)
        return made[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(translation, "Subwords", subwords)
        yield


@pytest.fixture(scope="module")
def translator(tmp_path_factory, parallel, subwords_once, kept_parts):
    """The folder of a finished run; tests must not change it."""
    folder = tmp_path_factory.mktemp("runs") / "translation"
    flags = ["train", "--data", str(parallel), "--source", "en", "--target", "fr", "--run", str(folder), *SMALL]
    assert command.run(translation.TASK, flags) == 0
    kept_parts.add(str(folder))
    return folder


@pytest.fixture(scope="module")
def parts(translator):
    return verbs.restored(translation.TASK, translator)[2]


TEXTS = ["I see him.", "", "Paul doesn't want to sing with me.", "Do you", "🙂 zzz", "the " * 300]
NOTHING = ["", "   ", "\u200b", "\ufeff \u00ad", "\u00a0\u3000\t", "\u200d\u2060\u200e"]


def test_it_learns_and_shows_what_it_learnt(translator):
    metrics = RunFolder(translator).read_json("metrics.json")
    history = (translator / "history.csv").read_text().splitlines()
    assert len(history) == 5
    assert 1 < metrics["validation"]["perplexity"] < 60
    assert metrics["baselines"]["validation"]["word_by_word"]["exact"] < 0.1
    assert sum(row["examples"] for row in metrics["validation"]["lengths"]) == metrics["validation"]["examples"]
    for name in (*translating.PICTURES, "README.md"):
        assert (translator / name).stat().st_size > 500


def test_scores_are_those_of_sacrebleus_command(tmp_path):
    guesses = ["the cat sat on the mat", "a dog ran", "no"]
    references = ["the cat sat on a mat", "the dog ran away", "no"]
    (tmp_path / "references").write_text("\n".join(references) + "\n")

    def by_command(metric):
        found = subprocess.run(
            [sys.executable, "-m", "sacrebleu", str(tmp_path / "references"), "-m", metric, "--score-only", "-w", "6"],
            input="\n".join(guesses) + "\n",
            capture_output=True,
            text=True,
            check=True,
        )
        return float(found.stdout)

    found = translating.metrics_of(["a b c", "d e", "f"], guesses, references)

    assert found["bleu"] == pytest.approx(by_command("bleu"), abs=1e-4)
    assert found["chrf"] == pytest.approx(by_command("chrf"), abs=1e-4)
    assert found["ter"] == pytest.approx(by_command("ter"), abs=1e-4)
    assert found["exact"] == 1 / 3
    assert (
        found["signature"].startswith("nrefs:1|case:mixed|eff:no|tok:13a")
        and sacrebleu.__version__ in found["signature"]
    )


def test_scores_do_not_depend_on_the_normal_form_of_the_references():
    guesses = ["où est la forêt", "où sommes-nous cet été"]
    references = [unicodedata.normalize("NFD", text) for text in guesses]
    found = translating.metrics_of(["a b", "c d e"], guesses, references)
    assert (found["exact"], found["ter"]) == (1, 0)
    for score in (found["bleu"], found["chrf"], found["lengths"][0]["bleu"]):
        assert score == pytest.approx(100)


def test_a_batch_of_texts_is_translated_as_each_of_them_alone(parts):
    together = translating.answers(parts, TEXTS)
    for text, one in zip(TEXTS, together, strict=True):
        (alone,) = translating.answers(parts, [text])
        assert one["text"] == text and alone["translation"] == one["translation"]
        assert bool(text) or one["translation"] == ""
        assert alone["score"] == pytest.approx(one["score"], abs=1e-4)
        assert bool(text) == bool(one["pieces"]) == bool(one["alignment"])
        if text:
            np.testing.assert_allclose(np.sum(one["alignment"], axis=1), 1, atol=0.01)
            assert np.shape(one["alignment"]) == (len(one["pieces"]), len(one["source_pieces"]))


def test_of_nothing_there_is_one_translation_which_is_nothing(parts):
    for one in translating.answers(parts, [*NOTHING, "I see him."])[:-1]:
        assert one["translations"] == [{"translation": "", "score": 0.0, "log_probability": 0.0}]
        assert (one["pieces"], one["source_pieces"], one["alignment"]) == ([], ["</s>"], [])


def test_of_no_texts_there_are_no_translations(parts):
    assert translating.answers(parts, []) == []
    sizes = {name: tuple(value.shape) for name, value in parts.serve(tf.constant([], tf.string)).items()}
    assert sizes.pop("pieces")[:2] == sizes.pop("alignments")[:2] == sizes.pop("translations") == (0, 3)
    assert sizes == {"scores": (0, 3), "log_probabilities": (0, 3), "source_pieces": (0, 1)}


def test_a_text_that_is_too_long_is_read_so_far_and_that_is_told(parts, capsys):
    most = parts.prepare.max_length
    a = len(parts.prepare.subwords(["a"])[0]), len(parts.prepare.subwords(["a a"])[0])
    fits, too_long = (" ".join(["a"] * count) for count in ((most - a[0]) // (a[1] - a[0]) + 1, most + 1))
    translating.answers(parts, [fits, "I see him."])
    assert "--max-length" not in capsys.readouterr().err
    translating.answers(parts, [fits, too_long, "I see him."])
    said = f"longer than {most} pieces, the rest not read (--max-length): 1 of 3 texts"
    assert said in capsys.readouterr().err


def test_the_best_come_first_and_are_different(parts):
    for one in translating.answers(parts, [text for text in TEXTS[:3] if text]):
        scores = [other["score"] for other in one["translations"]]
        assert scores == sorted(scores, reverse=True) and len(scores) == 3
        assert one["translation"] == one["translations"][0]["translation"]


def test_perplexity_is_that_of_the_pieces_one_by_one(parts, parallel):
    examples = bitext.load(parallel, source="en", target="fr").take(7)
    ids_of_any_length = [tf.TensorSpec([None, None], tf.int64)] * 2
    decoder = parts.model.get_layer("decoder")
    writing = keras.Model(parts.model.inputs, decoder(*decoder.input, logits=True))
    run = tf.function(lambda ids, told: writing([ids, told], training=False), ids_of_any_length)
    total = count = 0.0
    for source, target in examples:
        ids = parts.prepare(source[None])
        wanted = parts.target(source[None], target[None])[0].numpy()
        assert wanted[-1] == END
        for place, token in enumerate(wanted):
            told = tf.constant(np.append(wanted[:place], 0)[None])
            logits = run(ids, told)[0, place].numpy().astype("float64")
            total += np.log(np.exp(logits - logits.max()).sum()) + logits.max() - logits[token]
            count += 1

    found = translating.perplexity(parts, batching.Cached(batching.prepared(examples, *parts.once)))

    assert found == pytest.approx(np.exp(total / count), rel=1e-3)


def test_the_saved_model_translates_the_same_with_tensorflow_alone(translator, parts, tmp_path, alone):
    place = tmp_path / "export"
    assert command.run(translation.TASK, ["export", "--run", str(translator), "--to", str(place)]) == 0

    found, none, _ = alone(place, TEXTS + NOTHING, [])

    inside = parts.serve(tf.constant(TEXTS + NOTHING))
    assert found["translations"][len(TEXTS) :].tolist() == [[b""] * 3] * len(NOTHING)
    np.testing.assert_array_equal(found["translations"], inside["translations"])
    np.testing.assert_allclose(found["scores"], inside["scores"], atol=1e-5)
    np.testing.assert_allclose(found["alignments"], inside["alignments"], atol=1e-5)
    assert set(none) == set(found) and all(len(value) == 0 for value in none.values())


@pytest.mark.parametrize("format", ["onnx", "litert"])
def test_formats_without_the_search_are_refused(translator, format, capsys):
    assert command.run(translation.TASK, ["export", "--run", str(translator), "--format", format]) == 1
    assert "--format savedmodel" in capsys.readouterr().err


FORMS = {
    "luong": ["--attention=dot", "--feeding=attentional", "--cell=lstm", "--decoder-depth=2", "--guessing=0.2"],
    "above": ["--attention=dot", "--feeding=none", "--no-tied"],
    "sutskever": ["--attention=none", "--reverse", "--no-joint", "--beam=1", "--ema=0.9"],
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_network_trains_and_translates_and_no_texts_too(
    form, parallel, tmp_path, no_pictures, monkeypatch
):
    flags = ["--data", str(parallel), "--source", "en", "--target", "fr", "--run", str(tmp_path / "run"), *SMALL]
    flags += ["--epochs=1", "--units=8", "--batch-size=128", "--no-bidirectional", "--no-baselines", "--no-tensorboard"]
    made, build = [], translation.TASK.build
    monkeypatch.setattr(translation.TASK, "build", lambda *given: made.append(build(*given)) or made[-1])
    assert command.run(translation.TASK, ["train", *flags, *FORMS[form]]) == 0
    (parts,) = made  # what was trained and has answered, its graphs traced

    answer, nothing = json.loads(json.dumps(translating.answers(parts, ["I see him.", " "])))
    assert answer["text"] == "I see him." and ("alignment" in answer) == (form != "sutskever")
    assert nothing["translation"] == "" and len(nothing["translations"]) == 1
    sizes = {name: tuple(value.shape) for name, value in parts.serve(tf.constant([], tf.string)).items()}
    assert sizes["translations"] == (0, 1 if form == "sutskever" else 3) and {size[0] for size in sizes.values()} == {0}


def test_predict_reads_standard_input_and_draws(translator, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("I see him.\nPaul\u2028 sings\n\n".encode())))
    picture = tmp_path / "alignment.png"
    flags = ["predict", "--run", str(translator), "--input", "-", "--to", str(picture)]
    assert command.run(translation.TASK, flags) == 0
    assert "3 answers" in capsys.readouterr().err
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_evaluate_may_search_otherwise(translator, tmp_path, capsys):
    given = ["evaluate", "--run", str(translator), "--data", str(write_parallel(tmp_path, 30)), "--json"]
    found = []
    for flags in (["--beam", "1"], []):
        assert command.run(translation.TASK, [*given, *flags]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0]["chrf"] != found[1]["chrf"]
    assert command.run(translation.TASK, [*given, "--beam", "0"]) == 2
    assert "--beam: expected a number" in capsys.readouterr().err


def test_predict_reads_files_without_a_header_as_training_does(tmp_path):
    config, path = translation.Config(source="1", target="0"), tmp_path / "pairs.tsv"
    read = lambda: list(translation.TASK.inputs(translation.Search(input=[str(path)]), config))
    path.write_text("Salut.\tHi.\tby\nNon.\tNo.\nPlain.\n")
    assert read() == [(f"{path}:{line}", text) for line, text in ((1, "Hi."), (2, "No."), (3, "Plain."))]
    config.source = "2"
    with pytest.raises(InputError, match="pairs.tsv:2: expected a column 2, from 0 and between tabs, received 2"):
        read()


def test_files_of_different_lengths_and_one_language_twice(tmp_path, capsys):
    data = write_parallel(tmp_path, 30)
    with open(tmp_path / "train.fr", "a") as file:
        file.write("Une ligne de trop.\n")
    flags = ["train", "--data", str(data), "--source", "en", "--target", "fr", "--run", str(tmp_path / "run")]
    assert command.run(translation.TASK, flags) == 2
    assert "30" in (said := capsys.readouterr().err) and "31" in said and "Traceback" not in said
    assert not (tmp_path / "run").exists()
    (tmp_path / "train.fr").write_bytes((tmp_path / "train.en").read_bytes())
    translation.checked(data, translation.Config(source="en", target="fr"))
    assert "is it one language twice?" in capsys.readouterr().err


def test_the_dictionary_is_what_expectation_maximisation_finds_by_hand():
    pairs = [("la maison", "the house"), ("la fleur", "the flower"), ("fleur bleue", "blue flower"), ("", "")]
    t = {}
    for source, target in pairs:
        for e in source.split():
            for f in target.split():
                t[e, f] = 1.0
    for _ in range(translating.EPOCHS):
        counts = dict.fromkeys(t, 0.0)
        for source, target in pairs:
            for f in target.split():
                total = sum(t[e, f] for e in source.split())
                for e in source.split():
                    counts[e, f] += t[e, f] / total
        t = {(e, f): n / sum(m for (other, _), m in counts.items() if other == e) for (e, f), n in counts.items()}
    best = {e: max((f for other, f in t if other == e), key=lambda f, e=e: t[e, f]) for e, _ in t}

    assert translating.learnt(pairs) == best == {"la": "the", "maison": "house", "fleur": "flower", "bleue": "blue"}


def test_pieces_are_put_together_to_words_in_the_picture():
    answer = {"source_pieces": ["▁a", "b", "▁c", "</s>"], "pieces": ["▁x", "y"]}
    answer["alignment"] = [[0.5, 0.25, 0.25, 0.0], [0.1, 0.1, 0.2, 0.6]]

    source, words, shares = translating.words_of(answer)

    assert (source, words) == (["ab", "c", "</s>"], ["xy"])
    np.testing.assert_allclose(shares, [[0.475, 0.225, 0.3]])


def test_greedy_decoding_is_a_beam_of_one(translator):
    config, vocabularies, trained = verbs.restored(translation.TASK, translator)
    config = dataclasses.replace(config, beam=1, length_penalty=0.0)
    parts = translation.build(config, vocabularies)
    parts.model.set_weights(trained.model.get_weights())
    ids = parts.prepare(tf.constant(TEXTS[:4]))
    decoder = parts.model.get_layer("decoder")
    summary, memory, mask = encoded(parts, ids)
    carry, constants = decoder.begin(summary, memory, mask)

    found = greedy(
        lambda tokens, carry: decoder.step(tokens, carry, constants),
        carry,
        begin=BEGIN,
        end=END,
        max_length=tf.minimum(2 * tf.reduce_sum(tf.cast(mask, "int32"), 1) + 10, config.max_length),
    )

    searched = parts.scores(ids)
    np.testing.assert_array_equal(searched["tokens"], found.tokens)


def encoded(parts, ids):
    """What the decoder is called with, for prepared texts."""
    given = parts.model.get_layer("decoder").input
    return keras.Model(parts.model.input[0], list(given)[1:])(ids)


def test_help_names_the_flags_of_its_own(capsys):
    assert command.run(translation.TASK, ["train", "--help-all"]) == 0
    out = capsys.readouterr().out
    assert "--length-penalty" in out and "--vectors" not in out
