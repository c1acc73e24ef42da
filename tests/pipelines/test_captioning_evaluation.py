import base64
import functools
import html.parser
import itertools
import json
import types

import matplotlib.image
import numpy as np
import pytest
import tensorflow as tf
from sacrebleu.metrics import CHRF

from data.files import InputError
from data.kept import cached
from pipelines.engine import writing
from pipelines.engine.folder import RunFolder
from pipelines.engine.task import Extras
from pipelines.evaluation import captioning, images
from pipelines.evaluation.cider import CiderD

REFERENCES = [
    [
        "Two young girls are playing with a lego toy .",
        "two girls play with lego bricks on the floor",
        "Children build with toys!",
    ],
    ["A man in a red shirt climbs a rock", "a climber in red on a steep rock face", "a man climbs"],
    [
        "a dog runs through the grass",
        "a brown dog runs through tall, green grass",
        "the dog is running in a field",
        "a dog a dog a dog",
    ],
    ["a small boat on a lake"],
]
CANDIDATES = [
    "two young girls are playing with lego toy .",
    "a man in a red shirt climbs a rock",
    "a dog a dog a dog a dog runs through the grass and then through the water of a lake",
    "Boat",
]
# What the evaluation of COCO gave for these in lower case and without punctuation (PyPI: pycocoevalcap 1.2, without its
# tokenizer, which needs Java): BLEU with the closest length, ROUGE-L of each, CIDEr of each.
BLEU = [0.7368421052, 0.7211961169, 0.6831240188, 0.6428475211]
ROUGE = [0.9312977099, 1.0, 0.5111731844, 0.2531120332]
CIDER = [3.0963242082, 4.1337217153, 0.1939047606, 1.0127162255]


def png(colour, shape=(24, 24)):
    """The bytes of an image of one colour, with a white corner at the top left."""
    pixels = np.full((*shape, 3), colour, "uint8")
    pixels[: shape[0] // 4, : shape[1] // 4] = 255
    return tf.io.encode_png(pixels).numpy()


COLOURS = {"red": (200, 20, 20), "green": (20, 180, 20), "blue": (20, 20, 220), "grey": (90, 90, 90)}
IMAGES = {name: png(colour) for name, colour in COLOURS.items()}


def network(said, attention=True, grid=None, beams=2, **known):
    """What stands in for a network's `Parts`: it answers from `said`, bytes of an image -> its captions, best first.

    When the word number t is written, all attention is on the cell number t.
    """

    def serve(contents):
        found = [said[one][:beams] for one in contents.numpy()]
        words = [[caption.split() for caption in some] for some in found]
        timesteps = max(len(one) for some in words for one in some) + 1
        padded = [[one + [""] * (timesteps - len(one)) for one in some] for some in words]
        score = -np.arange(1.0, beams + 1, dtype="float32")
        score[2:] = -np.inf  # a beam that found nothing
        answer = {
            "captions": tf.constant(found),
            "scores": tf.constant(np.tile(score, (len(found), 1))),
            "log_probabilities": tf.constant(np.tile(10 * score, (len(found), 1))),
            "words": tf.constant(padded),
        }
        if attention:
            cells = grid[0] * grid[1] if grid else 9
            shares = np.eye(cells, dtype="float32")[np.arange(timesteps) % cells]
            answer["attention"] = tf.constant(np.tile(shares, (len(found), beams, 1, 1)))
        assert len(found) <= captioning.AT_ONCE
        return answer

    known |= {"grid": grid} if grid else {}
    return types.SimpleNamespace(serve=serve, extras=Extras(known=known))


SAID = {
    IMAGES["red"]: ["a red wall", "a wall", "nothing"],
    IMAGES["green"]: ["a green lawn in summer", "grass", "nothing"],
    IMAGES["blue"]: ["the sea", "a sea", "nothing"],
    IMAGES["grey"]: ["a red wall", "a road & <b>$x$</b>", "nothing"],
}


def dataset(names, captions):
    return tf.data.Dataset.from_tensor_slices(([IMAGES[name] for name in names], captions))


def test_scores_are_those_of_the_evaluation_of_coco():
    found, each = captioning.scores(CANDIDATES, REFERENCES)
    np.testing.assert_allclose([found[f"bleu_{n}"] for n in (1, 2, 3, 4)], np.multiply(100, BLEU), atol=1e-6)
    assert found["rouge_l"] == pytest.approx(100 * np.mean(ROUGE), abs=1e-6)
    np.testing.assert_allclose(each, CIDER, atol=1e-9)
    assert found["cider"] == pytest.approx(100 * np.mean(CIDER), abs=1e-6)


def test_chrf_is_that_of_the_best_reference_of_each_image():
    plain = [[captioning.normalised(one) for one in some] for some in REFERENCES]
    guesses = [captioning.normalised(guess) for guess in CANDIDATES]
    like = lambda guess, one: CHRF().sentence_score(guess, [one]).score
    best = [
        max(some, key=lambda one, guess=guess: like(guess, one)) for guess, some in zip(guesses, plain, strict=True)
    ]
    wanted = CHRF().corpus_score(guesses, [best]).score
    assert captioning.scores(CANDIDATES, REFERENCES)[0]["chrf"] == pytest.approx(wanted, abs=1e-9)


def test_rouge_l_equals_a_reading_by_recursion():
    rng = np.random.default_rng(0)
    sentence = lambda: tuple(rng.integers(0, 5, rng.integers(0, 9)).tolist())
    candidates = [sentence() for _ in range(30)]
    references = [[sentence() or (1,) for _ in range(rng.integers(1, 4))] for _ in candidates]

    @functools.cache
    def common(a, b):
        if not a or not b:
            return 0
        return common(a[1:], b[1:]) + 1 if a[0] == b[0] else max(common(a[1:], b), common(a, b[1:]))

    wanted = []
    for c, some in zip(candidates, references, strict=True):
        precision = max(common(c, r) / len(c) if c else 0 for r in some)
        recall = max(common(c, r) / len(r) for r in some)
        both = recall + 1.44 * precision
        wanted.append(2.44 * precision * recall / both if both else 0)
    pad = lambda sentences, rows: [[*s, *[-1] * (9 - len(s))] for s in (*sentences, *[[]] * (rows - len(sentences)))]
    found = captioning.rouge_l(np.array(pad(candidates, 30)), np.array([pad(some, 3) for some in references]))
    assert min(wanted) == 0 and max(wanted) > 0.7
    np.testing.assert_allclose(found, wanted, atol=1e-12)


@pytest.mark.parametrize(
    ("caption", "wanted"),
    [
        ("Two  Girls,\tplaying .", "two girls playing"),
        ("It's a black-and-white dog!", "its a black and white dog"),
        ("Ein Hündchen – «süß»", "ein hündchen süß"),
        ("一只狗，在草地上。", "一只狗 在草地上"),
        ("कुत्ता दौड़ता है।", "कुत्ता दौड़ता है"),
        (" ?! ", ""),
    ],
)
def test_captions_are_compared_without_case_and_punctuation(caption, wanted):
    assert captioning.normalised(caption) == wanted


def test_what_the_captions_are_like_is_counted():
    guesses = ["a red wall", "A red wall.", "the blue sea and the sky", "a dog"]
    known = {"a red wall", "two dogs"}
    found = captioning.metrics_of(
        guesses, [["a wall"], ["wall"], ["", "."], ["a dog"]], [True, False, False, True], known
    )
    wanted = {"examples": 4, "distinct": 3 / 4, "words": 9, "length": 3.5, "copied": 2 / 4, "true": 0.5}
    assert {name: found[name] for name in wanted} == pytest.approx(wanted)
    assert found["signature"].startswith("nrefs:") and "tok:none|smooth:none" in found["signature"]
    assert "copied" not in captioning.metrics_of(guesses[:1], [["a wall"]])
    assert "true" not in captioning.metrics_of(guesses[:1], [["a wall"]])


def test_captions_are_ranked_by_cider_with_the_best_and_the_worst_among_them():
    rng = np.random.default_rng(0)
    words = [f"w{k}" for k in range(40)]
    references = [[" ".join(rng.choice(words, 8)) for _ in range(2)] for _ in range(60)]
    guesses = [" ".join(some[0].split()[: k % 9]) for k, some in enumerate(references)]
    ranked = captioning.metrics_of(guesses, references)["ranked"]
    each = 100 * captioning.scores(guesses, references)[1]
    assert len(ranked) == 16 == len({one["example"] for one in ranked})
    assert [one["cider"] for one in ranked] == sorted((one["cider"] for one in ranked), reverse=True)
    assert [one["cider"] for one in ranked[:4] + ranked[-4:]] == pytest.approx([*np.sort(each)[:-5:-1], 0, 0, 0, 0])
    for one in ranked:
        assert (one["caption"], one["cider"]) == (guesses[one["example"]], pytest.approx(each[one["example"]]))
    assert json.loads(json.dumps(ranked)) == ranked


def test_answers_have_the_best_captions_their_words_and_the_attention_of_each_word():
    inputs = [*IMAGES.values()] * 20  # more than are captioned at once
    found = captioning.answers(network(SAID, beams=3), inputs)
    assert [one["caption"] for one in found] == [SAID[image][0] for image in inputs]
    red = found[0]
    assert red["captions"] == [
        {"caption": "a red wall", "score": -1.0, "log_probability": -10.0},
        {"caption": "a wall", "score": -2.0, "log_probability": -20.0},
    ]
    assert (red["score"], red["words"]) == (-1.0, ["a", "red", "wall"])
    assert red["attention"] == np.eye(9)[:3].tolist()
    assert json.loads(json.dumps(red)) == red
    assert "attention" not in captioning.answers(network(SAID, attention=False), inputs[:1])[0]
    assert captioning.answers(network(SAID), []) == []


def test_a_split_is_evaluated_from_its_images():
    names = ["red", "green", "blue", "grey"] * 10
    texts = {"red": "A red wall.\na wall", "green": "a lawn", "blue": "the sea\nwaves", "grey": "a road\nrain\nfog"}
    said = {image: some[0] for image, some in SAID.items()}
    judge = lambda image, caption: caption == said[image] != "a red wall"
    parts = network(SAID, captions=lambda: captioning.distinct(["A red wall .\nRed", "red"]), judge=judge)
    found = captioning.evaluate(parts, None, dataset(names, [texts[name] for name in names]))
    wanted = captioning.metrics_of(
        [said[IMAGES[name]] for name in names],
        [texts[name].split("\n") for name in names],
        [name in ("green", "blue") for name in names],
        {"a red wall", "red"},
    )
    assert found.pop("seconds") >= 0
    assert found == wanted and found["true"] == found["copied"] == 0.5


# The baselines.


def test_neighbours_are_those_of_the_largest_cosines():
    rng = np.random.default_rng(0)
    known, asked = rng.normal(3, 1, (50, 6)), rng.normal(3, 1, (7, 6))
    near = captioning.Neighbours(known).of(asked)
    mean = known.mean(axis=0)
    for row, one in zip(near, asked, strict=True):
        cosines = [
            np.dot(one - mean, other - mean) / np.linalg.norm(one - mean) / np.linalg.norm(other - mean)
            for other in known
        ]
        assert row.tolist() == sorted(range(50), key=lambda k, cosines=cosines: -cosines[k])[: captioning.NEIGHBOURS]
    assert captioning.Neighbours(known[:3]).of(asked).shape == (7, 3)
    assert captioning.Neighbours(known[:1]).of(asked).tolist() == [[0]] * 7


def test_features_of_every_kind_become_a_vector_for_each_image():
    rng = np.random.default_rng(0)
    cells, vector = rng.random((2, 9, 5), "float32"), rng.random((2, 4), "float32")
    pixels = rng.integers(0, 255, (2, 16, 24, 3), "uint8")
    small = pixels.reshape(2, 8, 2, 8, 3, 3).mean(axis=(2, 4)).reshape(2, -1)
    np.testing.assert_allclose(captioning.pooled(tf.constant(cells)), cells.mean(axis=1), rtol=1e-5)
    np.testing.assert_allclose(captioning.pooled(tf.constant(pixels)), small, rtol=1e-5)
    np.testing.assert_array_equal(captioning.pooled(tf.constant(vector)), vector)


def test_of_a_group_of_captions_the_one_most_like_the_others_is_taken():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 6, (5, 7, 6))
    groups[1, 3:] = -1
    groups[2] = -1
    cider = CiderD(rng.integers(0, 6, (20, 3, 6)))
    wanted = []
    for group in groups:
        against = np.stack([cider.scores(np.tile(one, (7, 1)), group[:, None]) for one in group])
        wanted.append(int(np.argmax(against.sum(axis=1) - np.diag(against))))
    assert captioning.most_agreed(cider, groups).tolist() == wanted
    assert wanted[2] == 0 and wanted[1] < 3 and len(set(wanted)) > 2


def test_the_baselines_take_captions_of_the_training_data(monkeypatch):
    monkeypatch.setattr(captioning, "NEIGHBOURS", 2)
    near = {"red": [1.0, 0.1], "green": [0.0, 1.0], "blue": [-1.0, -0.2], "grey": [0.9, 0.1]}
    train = {
        "red": "a red brick wall in the sun\nRust!",
        "grey": "a brick wall in the sun\nRust!\na brick wall in the sun today",
        "green": "a lawn\nrust",
        "blue": "the blue sea\nwaves on the blue sea\nthe blue sea today",
    }
    validation = {"grey": "a brick wall in the sun", "blue": "the sea is calm"}
    splits = {
        name: dataset(list(some), list(some.values())) for name, some in (("train", train), ("validation", validation))
    }
    data = {
        name: cached(tf.data.Dataset.from_tensors(({"image": [near[image] for image in some]}, np.arange(len(some)))))
        for name, some in (("train", train), ("validation", validation))
    }
    parts = network(SAID, judge=lambda image, caption: "wall" in caption)
    found = captioning.baselines(parts, data, splits)
    assert (found["images"], found["most_frequent_caption"]) == (4, "Rust!")
    base = found["validation"]
    references = [text.split("\n") for text in validation.values()]
    said = ["a brick wall in the sun", "the blue sea"]
    judged = captioning.scores(said, references, [True, False])[0]
    assert base["nearest_neighbours"] == judged and judged["true"] == 0.5
    assert base["most_frequent"] == captioning.scores(["rust"] * 2, references, [False] * 2)[0]
    assert "train" not in found


def test_where_no_caption_is_written_twice_the_most_typical_one_is_the_most_frequent():
    captions = [
        ["a cat sleeps on the mat", "a dog runs"],
        ["a cat sleeps on the sofa", "the cat sleeps on the sofa now"],
    ]
    captions += [["a boat"], ["two trees"], ["one car"]]
    ids = captioning.token_ids(captions, {})
    assert captioning.most_frequent(captions, CiderD(ids), ids) == "a cat sleeps on the sofa"


# Display.


def test_metrics_are_a_table_with_the_baselines():
    found = captioning.metrics_of(CANDIDATES, REFERENCES, known=set()) | {"seconds": 2.0}
    base = captioning.scores(["a dog"] * 4, REFERENCES)[0]
    metrics = {"validation": found, "baselines": {"images": 3, "validation": {"nearest_neighbours": base}}}
    head, ours, theirs, last = captioning.format_metrics(metrics).splitlines()
    assert head.split()[:3] == ["validation", "(4", "images)"]
    assert (
        ours
        == "  the network" + " " * 19 + "73.7    72.1    68.3    64.3   77.2     67.4    210.9     1.000     26     9.5"
    )
    assert theirs.split()[:3] == ["nearest", "neighbours", f"{base['bleu_1']:.1f}"]
    assert len(head) == len(ours) == len(theirs)
    assert last.strip().startswith(
        "0.000 of the captions stand in the training data; captioned in 2.0 s; BLEU is nrefs:"
    )
    judged = captioning.metrics_of(CANDIDATES, REFERENCES, [True, True, True, False]) | {"seconds": 2.0}
    assert captioning.format_metrics({"test": judged}).splitlines()[1].split()[9] == "0.750"


def test_a_line_has_the_name_and_the_caption():
    answers = [{"name": "a/b.png", "caption": "a\ndog"}, {"caption": "the sea"}]
    assert list(captioning.format_answers(None, answers, True)) == ["a/b.png\ta dog", "the sea"]


@pytest.fixture
def files(tmp_path):
    """Named answers to images of several shapes, and to one whose file is gone."""
    found = []
    for (name, image), shape in zip(IMAGES.items(), [(300, 200), (24, 24), (2, 40), (10, 10)], strict=True):
        path = tmp_path / f"{name} & more.png"
        path.write_bytes(png(COLOURS[name], shape))
        found.append((str(path), image))
    (tmp_path / "grey & more.png").unlink()
    return found


def named(parts, files):
    found = captioning.answers(parts, [image for _, image in files])
    return iter([{"name": name, **answer} for (name, _), answer in zip(files, found, strict=True)])


class Page(html.parser.HTMLParser):
    def __init__(self):
        super().__init__()
        self.pictures, self.text = [], ""

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.pictures.append(dict(attributes))
        assert tag != "b"

    def handle_data(self, data):
        self.text += data


def test_a_page_shows_small_images_with_all_captions(tmp_path, files):
    parts = network(SAID)
    count = writing.write(captioning.WRITERS, parts, named(parts, files), tmp_path / "page.html")
    page = Page()
    page.feed((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert count == 4
    assert [picture["alt"] for picture in page.pictures] == ["a red wall", "a green lawn in summer", "the sea"]
    sizes = []
    for picture in page.pictures:
        head, data = picture["src"].split(",")
        assert head == "data:image/jpeg;base64"
        sizes.append(tf.io.decode_jpeg(base64.b64decode(data)).shape)
    assert sizes == [(160, 107, 3), (160, 160, 3), (8, 160, 3)]
    assert "grey & more.png" in page.text and "a road & <b>$x$</b>" in page.text
    assert page.text.count("log probability -20.00") == 4


def brightest(picture, threshold=0.8):
    return (picture[..., :3].min(axis=-1) > threshold).mean()


def test_attention_is_light_where_the_network_looks():
    pixels = np.full((30, 30, 3), 255, "uint8")
    light = images.overlay(pixels, [[0.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
    assert light.shape == (30, 30, 3) and light.min() >= 0 and light.max() <= 1
    assert light[15, 25].min() > 0.9 and max(light[5, 5].max(), light[15, 3].max()) < 0.21
    np.testing.assert_allclose(images.overlay(pixels, np.full((2, 5), 0.1)), 1, atol=1e-6)
    dark = images.overlay(np.zeros((30, 30, 3), "uint8"), [[0.0, 0.0], [0.0, 0.5]])
    assert dark[25, 25].min() > 0.2 and dark[5, 5].max() < 0.01


@pytest.mark.parametrize("attention", [True, False])
def test_a_picture_of_answers_shows_attention_or_captions(tmp_path, files, attention):
    parts = network(SAID, attention=attention, grid=(2, 4))
    path = tmp_path / "answers.png"
    writing.write(captioning.WRITERS, parts, named(parts, files), path)
    height, width = matplotlib.image.imread(path).shape[:2]
    # Three images that can be read: three rows of panels, or one row of the sheet.
    assert width > 1000 and (height > 400 if attention else 2 * height < width)
    captioning.plot_answers(parts, named(parts, files[3:]), path)
    assert matplotlib.image.imread(path).shape[0] < 450


def test_the_network_s_own_view_of_an_image_lies_under_the_attention(tmp_path):
    seen = []

    def view(contents):
        seen.append(contents.numpy())
        return tf.fill([len(contents), 12, 12, 3], tf.constant(255, tf.uint8))

    parts = network(SAID, view=view)
    (answer,) = captioning.answers(parts, [IMAGES["blue"]])
    captioning.plot_attention(parts, [(answer, IMAGES["blue"])], tmp_path / "attention.png")
    assert [one.tolist() for one in seen] == [[IMAGES["blue"]]]
    picture = matplotlib.image.imread(tmp_path / "attention.png")[..., :3]
    assert (picture[..., 2] - picture[..., 0]).max() < 0.05  # nothing blue


def test_a_run_has_curves_a_sheet_and_attention(tmp_path):
    names = list(itertools.islice(itertools.cycle(IMAGES), 30))
    splits = {"validation": dataset(names, [f"a {name} thing\nit" for name in names])}
    history = [{"epoch": k, "loss": 1 / k, "validation_loss": 1 / k, "seconds": 1} for k in (1, 2)]
    for attention in (True, False):
        folder = RunFolder(tmp_path / str(attention))
        folder.path.mkdir()
        parts = network(SAID, attention=attention)
        metrics = captioning.evaluate(parts, None, splits["validation"])
        captioning.plot_run(parts, folder, history, metrics, splits)
        assert [folder.has(name) for name in captioning.PICTURES] == [True, True, attention]
        height, width = matplotlib.image.imread(folder / "sheet.png").shape[:2]
        assert height > width > 1000  # four rows of four


def test_any_text_can_be_below_an_image(tmp_path):
    pixels = np.zeros((20, 30, 3), "uint8")
    texts = ["$x$ costs $5", "über 东京 😀", "a" * 300, "word " * 80, ""]
    images.sheet([(pixels, text[:30], text, text) for text in texts], tmp_path / "sheet.png")
    images.attentions(
        [(pixels, text.split(), np.ones((len(text.split()), 2, 2))) for text in texts], tmp_path / "a.png"
    )
    assert matplotlib.image.imread(tmp_path / "sheet.png").shape[0] > 500
    images.sheet([], tmp_path / "none.png")
    images.attentions([], tmp_path / "none.png")


def test_a_suffix_without_a_writer_is_named(tmp_path):
    with pytest.raises(InputError, match=r"expected a file that ends in one of .html, .png"):
        writing.write(captioning.WRITERS, None, iter([]), tmp_path / "answers.gif")
