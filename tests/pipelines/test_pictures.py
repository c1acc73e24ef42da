import warnings

import matplotlib.image
import numpy as np
import pytest

from pipelines.evaluation import logos, markup, pictures


@pytest.mark.parametrize("epochs", [1, 30])
def test_curves_show_every_metric(tmp_path, epochs):
    rng = np.random.default_rng(0)
    names = ("accuracy", "loss", "validation_accuracy", "validation_loss")
    history = [{"epoch": e + 1, **{name: rng.random() for name in names}, "seconds": 1.0} for e in range(epochs)]
    pictures.curves(history, tmp_path / "curves.png")
    picture = matplotlib.image.imread(tmp_path / "curves.png")
    assert picture.shape[1] > 1.5 * picture.shape[0]


@pytest.mark.parametrize("classes", [2, 7, 40])
def test_confusion_grows_with_the_classes(tmp_path, classes):
    counts = np.random.default_rng(0).integers(0, 50, (classes, classes))
    pictures.confusion(counts.tolist(), [f"label {i}" * (i + 1) for i in range(classes)], tmp_path / "confusion.png")
    assert matplotlib.image.imread(tmp_path / "confusion.png").shape[0] > 40 * min(classes, 20)


@pytest.mark.parametrize("text", ["$x$ costs $5", "über 东京 😀", "a" * 500, "", "word " * 300])
def test_any_words_can_be_drawn(tmp_path, text):
    rng = np.random.default_rng(0)
    strip = [(word, float(value)) for word, value in zip(text.split(), rng.normal(size=len(text.split())), strict=True)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.words([("positive  0.98", strip)] * 2, tmp_path / "words.png")
    assert matplotlib.image.imread(tmp_path / "words.png").shape[0] > 50
    assert markup.coloured(strip).count(" ") == max(0, len(strip) - 1)


@pytest.mark.parametrize("word", ["$$", "$x^{$", r"$\frac$"])
def test_labels_and_words_are_no_formulas(tmp_path, word):
    names = [word, f"{word} {word}"]
    pictures.confusion([[3, 1], [0, 2]], names, tmp_path / "confusion.png")
    pictures.words([(f"{word}  0.98", [(word, 0.5), (word + word, -0.5)])], tmp_path / "words.png")
    pictures.transitions(np.eye(2), names, tmp_path / "transitions.png")
    pictures.alignments([(names, names, np.eye(2))], tmp_path / "alignment.png")
    logos.mutagenesis_map([(word, "ACGT", np.eye(4))], tmp_path / "mutagenesis.png")
    scores, truth = np.eye(3)[[0, 1, 2, 1]], np.array([0, 1, 2, 2])
    logos.roc(scores, truth, [*names, "other"], tmp_path / "roc.png")
    assert len(list(tmp_path.glob("*.png"))) == 6


def test_the_word_that_matters_most_is_the_darkest(tmp_path):
    pictures.words([("positive", [("but", 0.01), ("wonderful", 0.9), ("dull", -0.4)])], tmp_path / "words.png")
    picture = matplotlib.image.imread(tmp_path / "words.png")[..., :3]
    blue = (picture[..., 2] - picture[..., 0] > 0.3).sum()
    red = (picture[..., 0] - picture[..., 2] > 0.1).sum()
    assert blue > red > 100
    shown = markup.coloured([("but", 0.0), ("wonderful", 0.9), ("dull", -0.4)])
    assert shown.startswith("but \x1b[48;5;26;97mwonderful")
