"""Metrics, baselines and display of a tagger of entities."""

import keras
import numpy as np
import tensorflow as tf

from data.transforms.words import located
from layers.crf import allowed, best_tags
from pipelines.engine.training import say
from pipelines.evaluation import markup

PICTURES = ("curves.png", "confusion.png", "transitions.png", "entities.html")
SHOWN = 200  # validation sentences in entities.html
NONE = "none"
AT_ONCE, BYTES_AT_ONCE = 256, 250_000  # texts in a batch, and their bytes with padding, at most


def evaluate(parts, data, examples):
    """Metrics on raw examples, all shares in [0, 1]; the prepared ones, `data`, are not used.

    An entity is right if its first character, its last one and its label are right, as in `conlleval`.

    Returns:
        Dictionary of `examples`, `entities`, `precision`, `recall`, `f1`, `token_accuracy`, `unseen` (the same for
        entities whose text is not an entity of the training data), `types` (the same for each label), `labels` and
        `confusion`: counts with a row for each true label and a column for each predicted one, at the same place in the
        text; the last row and column stand for no entity.
    """
    truth, guess, right, words = [], [], 0, 0
    tags = tf.constant(parts.extras.constants["tags"])
    for texts, entities in portions(examples):
        answer = parts.serve(texts)
        true_tags = tf.gather(tags, parts.target(texts, entities))
        found = tf.RaggedTensor.from_tensor(answer["tags"], true_tags.row_lengths())
        right += int(tf.reduce_sum(tf.cast(found.flat_values == true_tags.flat_values, "int32")))
        words += int(tf.size(true_tags.flat_values))
        guess += listed(answer, texts)
        truth += given(texts, entities)
    return metrics_of(truth, guess, parts.extras.constants["labels"], parts.extras.known["entities"]) | {
        "token_accuracy": right / max(1, words)
    }


def portions(examples):
    """Batches of (texts, entities), in order; a batch with a very long text has few others."""
    texts, tables = [], []
    for text, table in examples.as_numpy_iterator():
        longest = max(map(len, [text, *texts]))
        if texts and (len(texts) == AT_ONCE or longest * (len(texts) + 1) > BYTES_AT_ONCE):
            yield _stacked(texts, tables)
            texts, tables = [], []
        texts.append(text)
        tables.append(table)
    if texts:
        yield _stacked(texts, tables)


def _stacked(texts, tables):
    rows = tf.RaggedTensor.from_row_lengths(np.concatenate(tables).astype(object), [len(table) for table in tables])
    return tf.constant(texts), rows


def metrics_of(truth, guess, labels, known):
    """As `evaluate`, from lists of entities for each text; `known` are the texts of the training data's entities."""
    metrics = {"examples": len(truth), "entities": sum(map(len, truth)), **scores(truth, guess, labels)}
    unseen = [[[one for one in some if one["text"] not in known] for some in side] for side in (truth, guess)]
    metrics["unseen"] = {"entities": sum(map(len, unseen[0])), **scores(*unseen, labels)}
    metrics["types"] = {}
    for label in labels:
        of_type = [[[one for one in some if one["label"] == label] for some in side] for side in (truth, guess)]
        metrics["types"][label] = {"entities": sum(map(len, of_type[0])), **scores(*of_type, [label])}
    names = [*labels, NONE]
    counts = np.zeros((len(names), len(names)), int)
    for true, found in zip(truth, guess, strict=True):
        true, found = ({(one["start"], one["end"]): one["label"] for one in some} for some in (true, found))
        for place in true.keys() | found.keys():
            counts[names.index(true.get(place, NONE)), names.index(found.get(place, NONE))] += 1
    return metrics | {"labels": list(labels), "confusion": counts.tolist()}


def scores(truth, guess, labels):
    """Precision, recall and F1 of entities, for each text a list of dictionaries with start, end and label."""
    from nervaluate.evaluator import Evaluator

    # In the library, the end is included.
    sides = [
        [[{"label": one["label"], "start": one["start"], "end": one["end"] - 1} for one in some] for some in side]
        for side in (truth, guess)
    ]
    found = Evaluator(*sides, tags=list(labels), loader="dict").evaluate()["overall"].get("strict")
    return {name: float(getattr(found, name, 0.0)) for name in ("precision", "recall", "f1")}


def given(texts, entities):
    """The true entities of a batch, for each text a list of dictionaries as in `answers`, without scores."""
    rows = []
    for text, table in zip(texts.numpy(), entities, strict=True):
        text = text.decode("utf-8", errors="replace")
        places = [(int(start), int(end), label.decode()) for start, end, label in table.numpy()]
        rows.append([{"text": text[a:b], "label": label, "start": a, "end": b} for a, b, label in places])
    return rows


def listed(answer, texts):
    """The entities of a batch's answer, for each text a list of dictionaries."""
    answer = {name: value.numpy() for name, value in answer.items()}
    rows = []
    for row, count in enumerate(answer["counts"]):
        rows.append(
            [
                {
                    "text": answer["entities"][row, k].decode(),
                    "label": answer["labels"][row, k].decode(),
                    "start": int(answer["starts"][row, k]),
                    "end": int(answer["ends"][row, k]),
                    "score": float(answer["scores"][row, k]),
                }
                for k in range(count)
            ]
        )
    return rows


def baselines(parts, data, splits):
    """Scores of a lookup of the training data's entities, the longest match first, on the same raw examples."""
    say("looking entities of the training data up")
    known = list(parts.extras.known["entities"].items())
    keys = located(tf.constant([text for text, _ in known], tf.string))[0]
    label_of = {tuple(words.numpy()): label for words, (_, label) in zip(keys, known, strict=True)}
    longest = max(map(len, label_of), default=0)
    found = {"entities_known": len(label_of)}
    for split, examples in splits.items():
        if split == "train":
            continue
        truth, guess = [], []
        for texts, entities in portions(examples):
            words, starts, ends = (part.to_list() for part in located(texts))
            truth += given(texts, entities)
            guess += [_looked_up(label_of, longest, *row) for row in zip(words, starts, ends, strict=True)]
        found[split] = {"lookup": scores(truth, guess, parts.extras.constants["labels"])}
    return found


def _looked_up(label_of, longest, words, starts, ends):
    found, place = [], 0
    while place < len(words):
        for length in range(min(longest, len(words) - place), 0, -1):
            label = label_of.get(tuple(words[place : place + length]))
            if label:
                found.append({"label": label, "start": starts[place], "end": ends[place + length - 1]})
                break
        else:
            length = 1
        place += length
    return found


def format_metrics(metrics, splits=("validation", "test")):
    """The metrics of these splits, if they exist, as a table to read."""
    lines = []
    for split in splits:
        if split not in metrics:
            continue
        found, base = metrics[split], metrics.get("baselines", {}).get(split)
        title = f"{split} ({found['examples']} texts)"
        lines.append(f"{title:30}{'precision':>10}{'recall':>10}{'F1':>10}{'entities':>10}")
        rows = {"all entities": found, **found["types"], "unseen in training": found["unseen"]}
        if base:
            rows["looking them up"] = base["lookup"] | {"entities": found["entities"]}
        for name, one in rows.items():
            shares = "".join(f"{one[kind]:10.4f}" for kind in ("precision", "recall", "f1"))
            lines.append(f"  {markup.shortened(name, 26):28}{shares}{one['entities']:10,}")
        lines.append(f"  {'words tagged right':28}{found['token_accuracy']:10.4f}")
    return "\n".join(lines)


class EntityF1(keras.metrics.Metric):
    """F1 of entities, in [0, 1], from targets and a `CRF`'s potentials.

    Args:
        tags: A `data.transforms.tags.Tags`.
    """

    def __init__(self, tags, name="f1"):
        super().__init__(name=name)
        self.tags = tags
        self.right, self.found, self.wanted = (
            self.add_weight(name=kind, initializer="zeros") for kind in ("right", "found", "wanted")
        )

    def update_state(self, target, potentials, sample_weight=None):
        timesteps = tf.shape(target, "int64")[1]
        guess = best_tags(potentials)
        guess, truth = (self._keys(one, timesteps) for one in (guess, tf.maximum(target, 0)))
        both = tf.sets.intersection(guess[None], truth[None])
        for weight, some in ((self.right, both.values), (self.found, guess), (self.wanted, truth)):
            weight.assign_add(tf.cast(tf.size(some), weight.dtype))

    def _keys(self, tags, timesteps):
        """A number for each entity, the same for the same place and label."""
        row, first, last, label = self.tags.entities(tags)
        return ((row * timesteps + first) * timesteps + last) * len(self.tags.labels) + label

    def result(self):
        return 2 * self.right / keras.ops.maximum(self.found + self.wanted, 1.0)


def answers(parts, inputs):
    """For each raw input its text and its `entities`: text, label, start, end (in characters), score."""
    found = []
    inputs = tf.data.Dataset.from_tensor_slices((np.array(inputs, dtype=object), np.zeros([len(inputs), 0, 3], "S1")))
    for texts, _ in portions(inputs):
        rows = listed(parts.serve(texts), texts)
        texts = [text.decode("utf-8", errors="replace") for text in texts.numpy()]
        found += [{"text": text, "entities": row} for text, row in zip(texts, rows, strict=True)]
    return found


def format_answers(parts, found, colours):
    """A line for each of `answers`: the text, then its entities; with `colours` the text with coloured entities."""
    labels = parts.extras.constants["labels"]
    for answer in found:
        if colours:
            yield markup.coloured_entities(answer["text"], answer["entities"], labels)
        else:
            entities = (f"{one['text']} ({one['label']})" for one in answer["entities"])
            yield "\t".join(" ".join(part.split()) for part in (answer["text"], ", ".join(entities)))


def plot_answers(parts, found, path):
    """Writes an HTML page of the texts of `answers` with their entities coloured."""
    rows = [(answer["text"], answer["entities"], None) for answer in found]
    markup.entities(rows, parts.extras.constants["labels"], path)


WRITERS = {".html": plot_answers}


def plot_run(parts, folder, history, metrics, splits):
    """Plots curves, confusion by type, the learnt transitions, and validation sentences with coloured entities."""
    from pipelines.evaluation import pictures

    folder.write("curves.png", lambda path: pictures.curves(history, path))
    names = [*metrics["labels"], NONE]
    folder.write("confusion.png", lambda path: pictures.confusion(metrics["confusion"], names, path))
    field = parts.model.get_layer("crf")
    transitions = field.transitions.numpy()
    if field.scheme:
        transitions = np.where(allowed(field.names, field.scheme)[1], transitions, np.nan)
    folder.write(
        "transitions.png", lambda path: pictures.transitions(transitions, parts.extras.constants["tags"], path)
    )
    texts, entities = next(iter(splits["validation"].take(SHOWN).ragged_batch(SHOWN)))
    found = answers(parts, [text.decode("utf-8", errors="replace") for text in texts.numpy()])
    rows = [
        (answer["text"], answer["entities"], true) for answer, true in zip(found, given(texts, entities), strict=True)
    ]
    folder.write("entities.html", lambda path: markup.entities(rows, metrics["labels"], path))
