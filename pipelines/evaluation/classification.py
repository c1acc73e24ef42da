"""Metrics, baselines and display of a classifier of texts or sequences."""

import itertools

import keras
import numpy as np

from data.transforms.words import UNKNOWN
from pipelines.engine.training import in_order, say
from pipelines.evaluation import markup

PICTURES = ("curves.png", "confusion.png", "words.png")
BASELINE_ROWS = 100_000  # examples that the linear baseline is fitted on, at most
COLOURED = 20  # with more answers, no words are coloured on a terminal, and those of the first ones on a page
SHOWN_LABELS = 10  # labels whose probabilities a page gives, the most likely first
SHOWN_WORDS = 400  # words of a text whose influence is measured, at most


def evaluate(parts, data, examples):
    """Metrics on prepared examples `data`, all shares in [0, 1]; the raw `examples` are not used.

    Examples without a class, those with a target below 0, do not count.

    Returns:
        Dictionary of `examples`, `accuracy`, `macro_f1`, `auroc` (two classes only), `calibration_error` (expected
        calibration error over 15 bins of equal width; C. Guo et al., 2017, arXiv:1706.04599, equation 3), `labels` and
        `confusion`: counts, with a row for each true label.
    """
    probabilities, truth = map(np.concatenate, zip(*predicted(parts, data), strict=True))
    decided = truth >= 0
    return metrics_of(probabilities[decided], truth[decided], parts.extras.constants["labels"])


def predicted(parts, data):
    """Pairs of (probabilities, targets), a pair for each batch of prepared examples; see `in_order`."""
    for features, target in in_order(data):
        yield np.asarray(parts.answer(parts.scores(features), None)["probabilities"]), np.asarray(target)


def metrics_of(probabilities, truth, labels):
    """As `evaluate`, from `(examples, classes)` probabilities and `(examples,)` true classes."""
    import sklearn.metrics

    guess = probabilities.argmax(axis=1)
    classes = range(len(labels))
    metrics = {
        "examples": len(truth),
        "accuracy": float(np.mean(guess == truth)),
        "macro_f1": float(sklearn.metrics.f1_score(truth, guess, labels=classes, average="macro", zero_division=0)),
    }
    if len(labels) == 2 and 0 < truth.mean() < 1:
        metrics["auroc"] = float(sklearn.metrics.roc_auc_score(truth, probabilities[:, 1]))
    sure = probabilities.max(axis=1)
    bins = np.minimum((sure * 15).astype(int), 14)
    gaps = [abs((guess == truth)[bins == b].sum() - sure[bins == b].sum()) for b in range(15)]
    metrics["calibration_error"] = float(sum(gaps) / len(truth))
    metrics["labels"] = list(labels)
    metrics["confusion"] = sklearn.metrics.confusion_matrix(truth, guess, labels=classes).tolist()
    return metrics


def baselines(parts, data, splits):
    """Accuracy of the majority class and of TF-IDF with logistic regression, from the same raw examples."""
    import sklearn.dummy
    import sklearn.feature_extraction.text
    import sklearn.linear_model
    import sklearn.pipeline

    say("fitting the linear baseline")
    known = {label.encode() for label in parts.extras.constants["labels"]}
    decided = lambda examples: (row for row in examples.as_numpy_iterator() if row[1] in known)
    rows = {split: list(decided(examples)) for split, examples in splits.items() if split != "train"}
    fitted_on = list(itertools.islice(decided(splits["train"]), BASELINE_ROWS))
    texts, labels = zip(*fitted_on, strict=True)
    values, counts = np.unique(labels, return_counts=True)
    majority = values[counts.argmax()]
    linear = sklearn.pipeline.make_pipeline(
        sklearn.feature_extraction.text.TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b|[!?]"),
        sklearn.linear_model.LogisticRegression(max_iter=1000, C=10.0),
    )
    try:
        linear.fit(_decoded(texts), _decoded(labels))
    except ValueError:  # no text has a word: without features the most frequent class is the answer
        linear = sklearn.dummy.DummyClassifier().fit(_decoded(texts), _decoded(labels))
    found = {"fitted_on": len(texts)}
    for split, examples in rows.items():
        texts, labels = zip(*examples, strict=True)
        labels = np.array(labels)
        found[split] = {
            "majority_class": float(np.mean(labels == majority)),
            "tfidf_logistic_regression": float(np.mean(linear.predict(_decoded(texts)) == np.array(_decoded(labels)))),
        }
    return found


def _decoded(texts):
    return [text.decode("utf-8", errors="replace") for text in texts]


def format_metrics(metrics, splits=("validation", "test")):
    """The metrics of these splits, if they exist, as a table to read."""
    lines = []
    for split in splits:
        if split not in metrics:
            continue
        found, base = metrics[split], metrics.get("baselines", {}).get(split)
        lines.append(f"{split} ({found['examples']} examples)")
        names = ("accuracy", "macro_f1", "auroc", "calibration_error")
        lines += [f"  {name.replace('_', ' '):34}{found[name]:.4f}" for name in names if name in found]
        if base:
            lines.append(f"  {'accuracy of the majority class':34}{base['majority_class']:.4f}")
            lines.append(f"  {'of TF-IDF + logistic regression':34}{base['tfidf_logistic_regression']:.4f}")
    return "\n".join(lines)


class SmoothedCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits with the number of the class, a `smoothing` share of which is spread over all classes.

    A target below 0 belongs to no class: all of it is spread. Logits may be those of several paths, `(batch, paths,
    classes)`, see `layers.Vote`: the loss is the mean of the paths' losses.

    `weights` are one for each class, which its examples' losses are multiplied by; None is 1 for all.

    Sources: C. Szegedy et al., "Rethinking the Inception Architecture", 2015, arXiv:1512.00567, section 7;
    D. Hendrycks et al., "Deep Anomaly Detection with Outlier Exposure", 2018, arXiv:1812.04606, section 4.1.
    """

    def __init__(self, smoothing=0.0, weights=None, name="loss"):
        super().__init__(name=name)
        self.smoothing, self.weights = smoothing, weights

    def call(self, target, logits):
        one_hot = keras.ops.one_hot(target, logits.shape[-1], dtype=logits.dtype)
        spread = keras.ops.where(target < 0, 1.0, self.smoothing)[:, None]
        wanted = (1 - spread) * one_hot + spread / logits.shape[-1]
        if self.weights is not None:
            wanted = wanted * keras.ops.convert_to_tensor(self.weights, dtype=logits.dtype)
        if len(logits.shape) == 2:
            logits = logits[:, None]
        losses = -keras.ops.sum(wanted[:, None] * keras.ops.log_softmax(logits), axis=-1)  # (batch, paths)
        return keras.ops.mean(losses, axis=1)


class SeveralCrossentropy(keras.losses.Loss):
    """Cross-entropy of logits with any number of labels, `(batch, labels)`, 1 for those that are right, else 0.

    `weights` and logits of several paths are as in `SmoothedCrossentropy`; a weight is that of a label that is right.
    """

    def __init__(self, weights=None, name="loss"):
        super().__init__(name=name)
        self.weights = weights

    def call(self, target, logits):
        if len(logits.shape) == 2:
            logits = logits[:, None]
        target = keras.ops.cast(target, logits.dtype)[:, None]
        weights = 1.0 if self.weights is None else keras.ops.convert_to_tensor(self.weights, dtype=logits.dtype)
        right, wrong = keras.ops.softplus(-logits), keras.ops.softplus(logits)
        return keras.ops.mean(weights * target * right + (1 - target) * wrong, axis=(1, 2))


class SeveralAUROC(keras.metrics.AUC):
    """The mean over labels of the area under the ROC curve; of several paths the first one counts, as in `Accuracy`."""

    def __init__(self, labels, name="auroc"):
        super().__init__(multi_label=True, num_labels=labels, from_logits=True, name=name)

    def update_state(self, target, logits, sample_weight=None):
        super().update_state(target, logits[:, 0] if len(logits.shape) == 3 else logits, sample_weight)


class Accuracy(keras.metrics.SparseCategoricalAccuracy):
    """Share of right answers among the examples that belong to a class.

    With several paths, as in training, the first one counts: a bag that has counted the training data answers nearly
    all of it right, so its accuracy does not show the progress of training.
    """

    def __init__(self, name="accuracy"):
        super().__init__(name=name)

    def update_state(self, target, logits, sample_weight=None):
        if len(logits.shape) == 3:  # (batch, paths, classes)
            logits = logits[:, 0]
        super().update_state(target, logits, sample_weight=target >= 0)


def calibrate(vote, forward, validation):
    """Sets the shares of a `layers.Vote` from each path's logits on validation data, computed with all shares on it.

    Args:
        vote: The layer.
        forward: The model in inference.
        validation: Batches of (features, targets): classes, or several labels `(batch, labels)`, 0 or 1.
    """
    said = []
    for alone in np.eye(vote.shares.shape[0]):
        vote.shares.assign(alone)
        said.append(np.concatenate([forward(features) for features, _ in validation]))
    target = np.concatenate([target for _, target in validation])
    if target.ndim == 2:  # each label is a question of its own, with two answers
        said = [np.stack([-one.ravel() / 2, one.ravel() / 2], axis=1) for one in said]
        target = target.ravel().astype("int64")
    vote.shares.assign(shares(said, target))


def shares(paths, target):
    """The weights of the paths' logits in the answer: those with the largest likelihood of examples not trained on.

    Args:
        paths: List of `(examples, classes)` logits, one for each path of a `layers.Vote`.
        target: `(examples,)` classes; those below 0 do not count.

    Returns:
        `(paths,)` shares, none negative. A penalty with the weight of one example draws them to equal shares, which
        matters if there are few examples.
    """
    import scipy.optimize
    import scipy.special

    target = np.asarray(target)
    logits = np.stack(paths, axis=1)[target >= 0].astype("float64")  # (examples, paths, classes)
    target = target[target >= 0]
    equal = np.full(len(paths), 1 / len(paths))
    right = logits[np.arange(len(target)), :, target]  # (examples, paths)

    def loss(shares):
        z = np.einsum("epc,p->ec", logits, shares)
        probabilities = scipy.special.softmax(z, axis=1)
        value = (scipy.special.logsumexp(z, axis=1) - right @ shares).sum() + ((shares - equal) ** 2).sum()
        slope = np.einsum("epc,ec->p", logits, probabilities) - right.sum(axis=0) + 2 * (shares - equal)
        return value, slope

    return scipy.optimize.minimize(loss, equal, jac=True, bounds=[(0, None)] * len(paths)).x


def answers(parts, inputs):
    """For each raw input its `text`, its `label`, the `probability` of the label, and `probabilities` by label."""
    found = []
    labels = parts.extras.constants["labels"]
    for start in range(0, len(inputs), 64):
        batch = inputs[start : start + 64]
        answer = parts.ask(batch)
        for text, row in zip(batch, np.asarray(answer["probabilities"]), strict=True):
            best = int(row.argmax())
            probabilities = {label: float(p) for label, p in zip(labels, row, strict=True)}
            found.append(
                {"text": text, "label": labels[best], "probability": float(row[best]), "probabilities": probabilities}
            )
    return found


def influence(parts, text):
    """The influence of each word on the answer, by occlusion: how much the label's probability falls without the word.

    Returns:
        List of (word, loss), losses in [-1, 1]; at most `SHOWN_WORDS` words.
    """
    raw = np.array([text], dtype=object)
    words = [word.decode("utf-8", errors="replace") for word in parts.extras.tokens(raw)[0][:SHOWN_WORDS].numpy()]
    ids = np.asarray(parts.prepare(raw))[:, :SHOWN_WORDS]
    without = np.repeat(ids, len(words) + 1, axis=0)
    without[np.arange(len(words)) + 1, np.arange(len(words))] = UNKNOWN
    probabilities = np.concatenate(
        [
            np.asarray(parts.answer(parts.scores(rows), None)["probabilities"])
            for rows in np.split(without, range(64, len(without), 64))
        ]
    )
    best = probabilities[0].argmax()
    losses = probabilities[0, best] - probabilities[1:, best]
    return list(zip(words, losses.tolist(), strict=True))


def strips(parts, texts):
    """Input of `pictures.words`: (title, [(word, influence)]) of each text."""
    found = []
    for text, answer in zip(texts, answers(parts, texts), strict=True):
        title = f"{answer['label']}  {answer['probability']:.2f}"
        found.append((title, influence(parts, text)))
    return found


def format_answers(parts, found, colours):
    """A line for each of `answers`: label, probability and text; with `colours` its words coloured by influence."""
    found = iter(found)
    first = list(itertools.islice(found, COLOURED + 1)) if colours else []
    shown = strips(parts, [answer["text"] for answer in first]) if 0 < len(first) <= COLOURED else []
    for number, answer in enumerate(itertools.chain(first, found)):
        text = markup.coloured(shown[number][1]) if shown else " ".join(answer["text"].split())
        label = " ".join(answer["label"].split())  # like the text, on one line
        yield f"{label}\t{answer['probability']:.4f}\t{text}"


def plot_answers(parts, found, path):
    """Writes a PNG of the texts of `answers`, with words coloured by their influence."""
    from pipelines.evaluation import pictures

    pictures.words(strips(parts, [answer["text"] for answer in found]), path)


def write_page(parts, found, path):
    """Writes an HTML page of `answers`: each text with its probabilities, the first ones coloured by influence."""

    def rows():
        for number, answer in enumerate(found):
            title = f"{answer['label']}  {answer['probability']:.2f}"
            strip = influence(parts, answer["text"]) if number < COLOURED else [(answer["text"], 0.0)]
            likely = sorted(answer["probabilities"].items(), key=lambda one: -one[1])[:SHOWN_LABELS]
            yield title, strip, ", ".join(f"{label} {share:.4f}" for label, share in likely)

    markup.strips(rows(), path)


WRITERS = {".html": write_page, ".png": plot_answers}


def plot_run(parts, folder, history, metrics, splits):
    """Plots curves, the confusion matrix and some validation texts with words coloured by their influence."""
    from pipelines.evaluation import pictures

    folder.write("curves.png", lambda path: pictures.curves(history, path))
    folder.write("confusion.png", lambda path: pictures.confusion(metrics["confusion"], metrics["labels"], path))
    texts = [text.decode("utf-8", errors="replace") for text, _ in splits["validation"].take(6).as_numpy_iterator()]
    folder.write("words.png", lambda path: pictures.words(strips(parts, texts), path))
