"""Reviews read sentence by sentence: from the flag to an export that answers as the run does."""

import numpy as np
from conftest import SMALL

from pipelines import sentiment
from pipelines.engine import command, verbs

TEXTS = ["There is nothing to like in this movie.", "", "Dull at first! But the ending... is wonderful.", "dull " * 120]


def test_a_hierarchical_network_trains_and_its_export_answers_as_it_does(tmp_path, reviews_csv, no_pictures):
    import tensorflow as tf

    run, served = tmp_path / "run", tmp_path / "served"
    flags = ["--hierarchical", "--pooling", "attention", "--cell", "elman", "--no-bidirectional", "--no-baselines"]
    arguments = ["train", "--data", str(reviews_csv), "--run", str(run), *SMALL, *flags, "--epochs", "1", "--no-bag"]
    assert command.run(sentiment.TASK, arguments) == 0
    expected = verbs.predict(sentiment.TASK, run, TEXTS)
    assert command.run(sentiment.TASK, ["export", "--run", str(run), "--to", str(served)]) == 0
    exported = tf.saved_model.load(str(served))
    found = exported.signatures["serving_default"](tf.constant(TEXTS))["probabilities"].numpy()
    probabilities = [list(answer["probabilities"].values()) for answer in expected]
    np.testing.assert_allclose(np.sort(found, axis=1), np.sort(probabilities, axis=1), atol=1e-6)
    parts = verbs.restored(sentiment.TASK, run)[2]
    assert "hierarchical_reader" in {layer.name.rstrip("_0123456789") for layer in parts.model.layers}


def test_sentences_have_no_last_word_that_stands_for_them(tmp_path, reviews_csv, capsys):
    arguments = ["train", f"--data={reviews_csv}", f"--run={tmp_path / 'run'}", *SMALL, "--hierarchical"]
    assert command.run(sentiment.TASK, [*arguments, "--pooling", "last"]) == 2
    assert "--pooling: expected mean, max, mean-max or attention with --hierarchical" in capsys.readouterr().err
