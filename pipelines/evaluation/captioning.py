"""Metrics, baselines and display of captions of images.

Captions are compared as is usual in the field: in lower case, without punctuation, word by word (`normalised`). METEOR
is not among the metrics, because its authors' program needs Java and NLTK's version downloads WordNet.

What `parts.extras.known` may hold, all of it optional:

    captions    () -> set of the training data's captions, `normalised`
    grid        (height, width) of the attention's grid, if it is not square
    view        (batch,) bytes of images -> (batch, height, width, 3) uint8, the images as the network sees them
    judge       (bytes of an image, caption) -> whether the caption is true of the image
"""

import base64
import collections
import itertools
import math
import pathlib
import re
import time
import unicodedata

import numpy as np
import tensorflow as tf

from pipelines.engine.training import say
from pipelines.engine.verbs import grouped
from pipelines.evaluation import markup
from pipelines.evaluation.cider import CiderD
from pipelines.evaluation.generation import n_best

PICTURES = ("curves.png", "sheet.png", "attention.png")
AT_ONCE = 32  # images that are captioned at once
BETA = 1.2  # of ROUGE-L: how much more recall counts than precision
BEST, BETWEEN = 4, 8  # captions of sheet.png: so many of the best, so many of the worst, and between them
SHOWN, SHOWN_ALONE = 4, 24  # images whose attention a picture shows; images of a picture without attention
BASELINE_IMAGES, NEIGHBOURS = 6_000, 10  # images among which neighbours are looked for, at most; neighbours of an image
CANDIDATES = 300  # captions among which the most typical one is looked for, where no caption is written twice
DESCRIBED_AT_ONCE = 64  # images whose features are compared at once
PIXELS = 8  # height and width at which images without features are compared
THUMBNAIL, VIEW = 160, 224  # pixels of an image's longer side on a page and in a picture


def evaluate(parts, data, examples):
    """Metrics on the raw `examples`, (bytes of an image, its captions with newlines between); `data` is not used.

    Returns:
        Those of `metrics_of`, and `seconds`, the time to caption.
    """
    guesses, references, judged, seconds = [], [], [], 0.0
    for some in grouped(examples.as_numpy_iterator(), AT_ONCE):
        images = [image for image, _ in some]
        begun = time.monotonic()
        found = [answer["caption"] for answer in answers(parts, images)]
        seconds += time.monotonic() - begun
        judged += judgements(parts, images, found)
        guesses += found
        references += [listed(captions) for _, captions in some]
    known = parts.extras.known.get("captions", lambda: None)()
    return metrics_of(guesses, references, judged, known) | {"seconds": seconds}


def metrics_of(guesses, references, judged=(), known=None):
    """The scores of captions and a few captions by their rank.

    Args:
        guesses: A caption for each image.
        references: A list of captions for each image.
        judged: Whether each caption is true of its image, where there is a judge.
        known: Set of the training data's captions, `normalised`, or None.

    Returns:
        Dictionary of `examples`; the `scores`; `copied`, the share of captions that stand in the training data, if it
        is known; `signature`, that of BLEU; `ranked`, from the best to the worst by CIDEr-D: `example`, the number of
        the image, its `caption` and its `cider`.
    """
    bleu = _bleu()
    found, each = scores(guesses, references, judged, bleu)
    metrics = {"examples": len(guesses), **found, "signature": str(bleu.get_signature())}
    if known is not None:
        metrics["copied"] = float(np.mean([normalised(guess) in known for guess in guesses]))
    order = np.argsort(-each, kind="stable")
    if len(order) > 2 * BEST + BETWEEN:
        between = np.linspace(BEST, len(order) - 1 - BEST, BETWEEN + 2)[1:-1].round().astype(int)
        order = np.concatenate([order[:BEST], order[between], order[-BEST:]])
    metrics["ranked"] = [{"example": int(k), "caption": guesses[k], "cider": 100 * float(each[k])} for k in order]
    return metrics


def scores(guesses, references, judged=(), bleu=None):
    """Scores of captions, as in `metrics_of`.

    Returns:
        `(scores, each)`: a dictionary, and `(images,)` CIDEr-D of each caption, 0 to 10. In the dictionary, all but the
        last four times 100: `bleu_1` to `bleu_4` and `chrf`, by `sacrebleu`, BLEU without smoothing; `rouge_l`;
        `cider`, CIDEr-D with the document frequencies of these references, as in the evaluation of COCO; if there is a
        judge, `true`, the share of true captions. Then `distinct`, the share of captions that differ from all before
        them; `words`, how many different words the captions have; `length`, their words on average.
    """
    from sacrebleu.metrics import CHRF

    guesses = [normalised(guess) for guess in guesses]
    references = [[caption for one in some if (caption := normalised(one))] or [""] for some in references]
    most = max(map(len, references))
    streams = list(zip(*[some + [None] * (most - len(some)) for some in references], strict=True))
    bleu = bleu or _bleu()
    counted = bleu.corpus_score(guesses, streams)
    sizes, found = (counted.sys_len, counted.ref_len), {}
    for n in (1, 2, 3, 4):
        of_n = bleu.compute_bleu(counted.counts[:n], counted.totals[:n], *sizes, max_ngram_order=n)
        found[f"bleu_{n}"] = of_n.score
    words = {}
    theirs, ours = token_ids(references, words), token_ids([[guess] for guess in guesses], words)[:, 0]
    each = CiderD(theirs).scores(ours, theirs)
    found["chrf"] = CHRF().corpus_score(guesses, streams).score
    found["rouge_l"] = 100 * float(np.mean(rouge_l(ours, theirs)))
    found["cider"] = 100 * float(np.mean(each))
    if len(judged):
        found["true"] = float(np.mean(judged))
    found["distinct"] = len(set(guesses)) / len(guesses)
    found["words"] = len({word for guess in guesses for word in guess.split()})
    found["length"] = float(np.mean([len(guess.split()) for guess in guesses]))
    return found, each


def _bleu():
    from sacrebleu.metrics import BLEU

    return BLEU(tokenize="none", smooth_method="none")


def rouge_l(candidates, references, beta=BETA):
    """ROUGE-L of each candidate by the longest common subsequence (LCS) of words, as in the evaluation of COCO.

        P = max_r LCS(c, r) / length of c     R = max_r LCS(c, r) / length of r     F = (1 + β²) P R / (R + β² P)

    Source: C.-Y. Lin, "ROUGE: A Package for Automatic Evaluation of Summaries", 2004, equations 2 to 4.

    Args:
        candidates: `(n, timesteps)` integers, padded with negative numbers.
        references: `(n, references, timesteps)`; a sequence that is all padding is not there.

    Returns:
        `(n,)` float64 in [0, 1].

    Example:

        >>> rouge_l(np.array([[1, 2, 3, 4]]), np.array([[[1, 3, 5, -1], [2, 3, 4, 6]]])).round(3).tolist()
        [0.75]
    """
    common = np.zeros((*references.shape[:2], references.shape[2] + 1), int)  # LCS with the first 0, 1, ... words
    for word in candidates.T:
        same = (references == word[:, None, None]) & (word >= 0)[:, None, None]
        longer = np.maximum(common[..., 1:], common[..., :-1] + same)
        common[..., 1:] = np.maximum.accumulate(longer, axis=-1)
    common = common[..., -1]
    precision = (common / np.maximum((candidates >= 0).sum(axis=-1, keepdims=True), 1)).max(axis=1)
    recall = (common / np.maximum((references >= 0).sum(axis=-1), 1)).max(axis=1)
    return (1 + beta**2) * precision * recall / np.where(recall > 0, recall + beta**2 * precision, 1)


def normalised(caption):
    """A caption as it is compared: in lower case, without punctuation, with single spaces.

    Words with a hyphen are several, as a network without punctuation writes them.

    Example:
        >>> normalised("A dog's t-shirt, torn .")
        'a dogs t shirt torn'
    """
    kept = (" " if unicodedata.category(letter).startswith("P") else letter for letter in _APOSTROPHE.sub("", caption))
    return " ".join("".join(kept).lower().split())


_APOSTROPHE = re.compile("['\u2019]")


def listed(captions):
    """The captions of an image as a list of texts, from bytes with newlines between."""
    return captions.decode("utf-8", errors="replace").split("\n")


def distinct(texts):
    """The set of `normalised` captions of texts with newlines between the captions."""
    return {normalised(caption) for text in texts for caption in text.split("\n")}


def token_ids(groups, words):
    """Groups of normalised captions as `(groups, captions, timesteps)` numbers of words, padded with -1.

    `words` is a dictionary from words to their numbers; new ones are added to it.
    """
    ids = [[[words.setdefault(word, len(words)) for word in text.split()] for text in some] for some in groups]
    most = max((len(some) for some in ids), default=0)
    timesteps = max((len(one) for some in ids for one in some), default=0)
    array = np.full((len(ids), most, timesteps), -1)
    for place, some in enumerate(ids):
        for number, one in enumerate(some):
            array[place, number, : len(one)] = one
    return array


def judgements(parts, images, captions):
    """Whether each caption is true of its image, as a list; an empty one if there is no judge."""
    judge = parts.extras.known.get("judge")
    return [bool(judge(*one)) for one in zip(images, captions, strict=True)] if judge else []


def answers(parts, inputs):
    """For each image, given as the bytes of a file, a dictionary: `caption`, `score`, `captions` (the n best with their
    scores and log probabilities), `words` and, with attention, `attention` of the first: for each word the shares of
    the cells of the grid, row by row.
    """
    found = []
    for images in grouped(inputs, AT_ONCE):
        answer = {name: value.numpy() for name, value in parts.serve(tf.constant(images, tf.string)).items()}
        found += [as_dictionary({name: value[row] for name, value in answer.items()}) for row in range(len(images))]
    return found


NO_CAPTION = {"caption": "", "score": 0.0, "log_probability": 0.0}


def as_dictionary(answer):
    """One row of a batch's answer, as a dictionary for JSON."""
    several = n_best("caption", answer["captions"], answer) or [NO_CAPTION]  # of a network whose weights are NaN
    words = [word.decode() for word in answer["words"][0] if word]
    found = {"caption": several[0]["caption"], "score": several[0]["score"], "captions": several, "words": words}
    if "attention" in answer:
        found["attention"] = [[round(float(share), 4) for share in row] for row in answer["attention"][0, : len(words)]]
    return found


# The baselines: captions of other images.


def baselines(parts, data, splits):
    """The same scores for captions that are taken from the training data: of the most similar images, and always one.

    The caption of the nearest neighbours is, of all captions of the `NEIGHBOURS` training images whose features are
    most similar, the one that agrees best with the others by CIDEr-D (J. Devlin et al., "Exploring Nearest Neighbor
    Approaches for Image Captioning", 2015, arXiv:1505.04467, section 3). Similarity is the cosine of the features'
    differences from their mean.

    Args:
        parts: The network's `Parts`.
        data: Split -> the prepared examples, whose features are `image`: pixels, or a grid of an encoder's features.
        splits: Split -> the same examples as they came.

    Returns:
        Dictionary of `images`, the training images that were compared, `most_frequent_caption`, and for each split but
        the training data `nearest_neighbours` and `most_frequent`, the `scores` of each.
    """
    say("captions of the nearest training images, to compare with")
    captions, vectors = [], []
    for some, found in described(data["train"], splits["train"].take(BASELINE_IMAGES)):
        captions += [listed(theirs) for _, theirs in some]
        vectors.append(found)
    ids = token_ids([[normalised(one) for one in some] for some in captions], {})
    cider, index = CiderD(ids), Neighbours(np.concatenate(vectors))
    usual = most_frequent(captions, cider, ids)
    found = {"images": len(captions), "most_frequent_caption": usual}
    for split, examples in splits.items():
        if split == "train":
            continue
        guesses, references, judged, judged_usual = [], [], [], []
        for some, features in described(data[split], examples):
            near = index.of(features)  # (images, neighbours)
            best = most_agreed(cider, ids[near].reshape(len(near), -1, ids.shape[-1]))
            places = zip(near[np.arange(len(near)), best // ids.shape[1]], best % ids.shape[1], strict=True)
            said = [captions[image][number] for image, number in places]
            images = [image for image, _ in some]
            judged += judgements(parts, images, said)
            judged_usual += judgements(parts, images, [usual] * len(images))
            guesses += said
            references += [listed(theirs) for _, theirs in some]
        found[split] = {
            "nearest_neighbours": scores(guesses, references, judged)[0],
            "most_frequent": scores([usual] * len(guesses), references, judged_usual)[0],
        }
    return found


def described(data, examples):
    """Raw examples, several at a time, with the features of their images, `(images, width)`, from the prepared ones."""
    first = 0
    for some in grouped(examples.as_numpy_iterator(), DESCRIBED_AT_ONCE):
        features, *_ = data.batch(data.rows(np.arange(first, first + len(some))))
        first += len(some)
        yield some, pooled(features["image"])


def pooled(image):
    """Features of images as one vector for each, `(images, width)` float32.

    Pixels, `(images, height, width, 3)`, are reduced to `PIXELS` x `PIXELS`; of all else the mean over the axes between
    the first and the last is taken.
    """
    if len(image.shape) == 4 and image.shape[-1] == 3:
        image = tf.reshape(tf.image.resize(image, (PIXELS, PIXELS), "area"), [len(image), -1])
    image = np.asarray(image, "float32")
    return image.mean(axis=tuple(range(1, image.ndim - 1)))


class Neighbours:
    """The most similar of many vectors, `(images, width)`, by the cosine of their differences from the mean."""

    def __init__(self, vectors):
        self.mean = vectors.mean(axis=0)
        self.directions = self._directions(vectors)

    def of(self, vectors):
        """Of each of `vectors` the numbers of its nearest `NEIGHBOURS`, `(images, neighbours)`, the nearest first."""
        near = -self._directions(vectors) @ self.directions.T
        return np.argsort(near, axis=1, kind="stable")[:, :NEIGHBOURS]

    def _directions(self, vectors):
        centred = vectors - self.mean
        return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-12)


def most_agreed(cider, groups):
    """For each group of captions the number of the one with the highest mean CIDEr-D against the others.

    Args:
        cider: A `CiderD`.
        groups: `(groups, captions, timesteps)` token ids; a caption that is all padding is not there.

    Returns:
        `(groups,)` integers; 0 where no caption has a score above 0.
    """
    best, several = [], groups.shape[1]
    for some in groups:  # one after the other, since the pairs of a group alone are many
        others = np.repeat(some[None], several, axis=0)
        others[np.arange(several), np.arange(several)] = -1
        best.append(int(cider.scores(some, others).argmax()))
    return np.array(best, int)


def most_frequent(captions, cider, ids):
    """The caption that is written most often; where none is written twice, the most typical of a few of them."""
    flat = [(normalised(one), one) for some in captions for one in some]
    (text, times), *_ = collections.Counter(text for text, _ in flat).most_common(1)
    if times > 1:
        return next(one for normal, one in flat if normal == text)
    places = np.argwhere(ids[..., 0] >= 0) if ids.shape[-1] else np.zeros((1, 2), int)
    places = places[np.linspace(0, len(places) - 1, min(CANDIDATES, len(places))).astype(int)]
    image, number = places[most_agreed(cider, ids[tuple(places.T)][None])[0]]
    return captions[image][number]


# Display.

COLUMNS = {
    "bleu_1": ("BLEU-1", 8, ".1f"),
    "bleu_2": ("BLEU-2", 8, ".1f"),
    "bleu_3": ("BLEU-3", 8, ".1f"),
    "bleu_4": ("BLEU-4", 8, ".1f"),
    "chrf": ("chrF", 7, ".1f"),
    "rouge_l": ("ROUGE-L", 9, ".1f"),
    "cider": ("CIDEr-D", 9, ".1f"),
    "true": ("true", 7, ".3f"),
    "distinct": ("distinct", 10, ".3f"),
    "words": ("words", 7, ","),
    "length": ("length", 8, ".1f"),
}


def format_metrics(metrics, splits=("validation", "test")):
    """The metrics of these splits, if they exist, as a table to read."""
    lines = []
    for split in splits:
        if split not in metrics:
            continue
        found, base = metrics[split], metrics.get("baselines", {}).get(split, {})
        columns = {name: how for name, how in COLUMNS.items() if name in found}
        title = f"{split} ({found['examples']:,} images)"
        lines.append(f"{title:28}" + "".join(f"{shown:>{width}}" for shown, width, _ in columns.values()))
        for name, one in {"the network": found, **base}.items():
            numbers = "".join(f"{one[column]:{width}{how}}" for column, (_, width, how) in columns.items())
            lines.append(f"  {name.replace('_', ' '):26}{numbers}")
        copied = f"{found['copied']:.3f} of the captions stand in the training data; " if "copied" in found else ""
        lines.append(f"  {copied}captioned in {found['seconds']:.1f} s; BLEU is {found['signature']}")
    return "\n".join(lines)


def format_answers(parts, found, colours):
    """A line for each of `answers`: the image's name, if it has one, and its caption."""
    for answer in found:
        caption = " ".join(answer["caption"].split())
        yield f"{answer['name']}\t{caption}" if "name" in answer else caption


def contents_of(answer):
    """The bytes of the file that an answer is about; None if it names none that can be read."""
    try:
        return pathlib.Path(answer["name"]).read_bytes() if "name" in answer else None
    except OSError:
        return None


def write_page(parts, found, path):
    """Writes an HTML page of `answers`: each image, made small, with its captions and their scores."""
    from pipelines.evaluation import images

    def rows():
        for answer in found:
            contents = contents_of(answer)
            jpeg = None if contents is None else base64.b64encode(images.jpeg(images.decoded(contents, THUMBNAIL)))
            yield answer.get("name"), jpeg and jpeg.decode(), answer["captions"]

    markup.captions(rows(), path)


def plot_answers(parts, found, path):
    """Writes a PNG of the first few of `answers` whose images can be read: attention word by word, or captions alone if
    the network has no attention.
    """
    from pipelines.evaluation import images

    read = ((answer, contents_of(answer)) for answer in found)
    shown = list(itertools.islice(((answer, one) for answer, one in read if one is not None), SHOWN_ALONE))
    if shown and all(answer.get("attention") for answer, _ in shown[:SHOWN]):
        plot_attention(parts, shown[:SHOWN], path)
        return
    images.sheet([(images.decoded(one, VIEW), "", answer["caption"], "") for answer, one in shown], path)


def plot_attention(parts, shown, path):
    """Writes a PNG of the attention word by word, of pairs of (answer, bytes of the image)."""
    from pipelines.evaluation import images

    view = parts.extras.known.get("view", images.squeezed)
    rows = []
    for answer, contents in shown:
        shares = np.array(answer["attention"])  # (words, cells)
        side = math.isqrt(shares.shape[1])
        grid = parts.extras.known.get("grid", (side, side))
        pixels = np.asarray(view(tf.constant([contents])))[0]
        rows.append((pixels, answer["words"], shares.reshape(len(shares), *grid)))
    images.attentions(rows, path)


WRITERS = {".html": write_page, ".png": plot_answers}


def plot_run(parts, folder, history, metrics, splits):
    """Plots curves, a sheet of images with their captions, and the attention of a few of them word by word."""
    from pipelines.evaluation import images, pictures

    folder.write("curves.png", lambda path: pictures.curves(history, path))
    ranked = metrics["ranked"]
    wanted = {one["example"] for one in ranked}
    raw = enumerate(splits["validation"].take(max(wanted) + 1).as_numpy_iterator())
    examples = {number: example for number, example in raw if number in wanted}
    rows = []
    for rank, one in enumerate(ranked):
        contents, captions = examples[one["example"]]
        place = "among the best" if rank < BEST else "among the worst" if rank >= len(ranked) - BEST else "between"
        title = f"{place}: CIDEr-D {one['cider']:.0f}"
        rows.append((images.decoded(contents, VIEW), title, one["caption"], listed(captions)[0]))
    folder.write("sheet.png", lambda path: images.sheet(rows, path))
    few = [examples[ranked[k]["example"]][0] for k in np.linspace(0, len(ranked) - 1, SHOWN).round().astype(int)]
    few = list(dict.fromkeys(few))
    shown = [(answer, one) for answer, one in zip(answers(parts, few), few, strict=True) if answer.get("attention")]
    if shown:
        folder.write("attention.png", lambda path: plot_attention(parts, shown, path))
