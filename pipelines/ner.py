"""Who and where is in a text? Named entities, of any labels.

    python -m pipelines.ner                                          the built-in sentences: the demo
    python -m pipelines.ner train --data train.conll --validation-data valid.conll
    python -m pipelines.ner evaluate --run runs/ner --data more.conll
    python -m pipelines.ner predict --run runs/ner "Yesterday, Harry Potter met Hermione Granger."
    python -m pipelines.ner export --run runs/ner

A file has a word and its tag on each line, as in CoNLL, or in each row of a table (`--token-column Word`), or JSON with
`text` and `entities` (`start`, `end`, `label`). The result is a run folder with weights, metrics, those of a lookup as
baseline, and pictures; `export` writes a SavedModel from strings to entities with their places and scores.
"""

import collections
import dataclasses
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import ops

from data.files import InputError
from data.sets import entities
from data.transforms import spelling
from data.transforms.tags import Tags
from data.transforms.words import PADDING, UNKNOWN, located
from layers import CRF, CRFLoss, WordDropout, along
from layers.crf import best_tags
from pipelines.engine.command import main
from pipelines.engine.loading import check_words, splits_of, use_vectors
from pipelines.engine.settings import Words
from pipelines.engine.task import About, Extras, Parts, Task, of_built_in
from pipelines.engine.training import say
from pipelines.evaluation import tagging


@dataclasses.dataclass
class Config(Words):
    token_column: str = "0"
    """column of the words: number from 0, from the end if negative, or name in a table"""
    tag_column: str = "-1"
    """column of the tags"""
    sentence_column: str = ""
    """column that names the sentence, at its first word at least; else blank lines end sentences"""
    file_scheme: Literal["", "IOB1", "BIO", "BIOES", "BIOUL", "BMES", "IO"] = ""
    """scheme of the tags in files; else the one that fits best"""
    strict: bool = False
    """tags that break the scheme are an error, instead of being read as conlleval reads them"""
    scheme: Literal["BIO", "BIOES"] = "BIOES"
    """scheme that the network learns"""
    crf: bool = True
    """whether transitions between tags are learnt, and forbidden ones never decoded"""
    letters: int = 16
    """characters read of a word"""
    letter_embedding: int = 25
    """width of a character's vector"""
    letter_filters: int = 50
    """filters over the characters of a word; 0 reads none"""
    word_dropout: float = 0.1
    """share of the words replaced by the unknown word in training, so that its vector is learnt"""
    dropout: float = 0.5
    """share of the features dropped before and after the recurrent levels"""
    # Shared settings with other defaults for tagging.
    units: int = 128
    """width of the carry, in each direction"""
    embedding: int = 100
    """width of a word's vector"""
    vocabulary: int = 50_000
    """words kept, the most frequent first"""
    epochs: int = 10
    """passes over the training data"""
    batch_size: int = 32
    """examples in a batch"""

    RANGES: ClassVar = {
        **dict.fromkeys(("letters", "letter_embedding"), (1, None)),
        "letter_filters": (0, None),
        **dict.fromkeys(("word_dropout", "dropout"), (0, 0.99)),
    }
    HELP: ClassVar = {
        "data": ("token_column", "tag_column", "sentence_column", "file_scheme", "strict"),
        "network": ("scheme", "crf", "letters", "dropout"),
    }


def load(config):
    return splits_of(
        config,
        entities,
        check=lambda path, known: checked(path, config, known),
        load=lambda path: entities.load(path, **reading(config)),
        public=public,
        labels=labels_of,
    )


def labels_of(config, label):
    return [name.decode() for _, _, name in label.tolist()]


def reading(config):
    """Arguments of `entities.check` and `entities.load` from the configuration."""
    return {
        "token_column": config.token_column,
        "tag_column": config.tag_column,
        "sentence_column": config.sentence_column,
        "scheme": config.file_scheme or None,
        "form": config.form,
    }


def checked(path, config, known):
    """The result of `entities.check`; it prints which tags and spans were changed while reading."""
    found = entities.check(path, **reading(config), strict=config.strict, known=known)
    if found["repaired"]:
        scheme, count = found["scheme"], found["repaired"]
        say(f"{path}: {count:,} tags break their scheme, {scheme}, and are read as conlleval reads them")
    if found["scheme"] == "IO" and not config.file_scheme:
        say(f"{path}: the tags have no prefixes (scheme IO): neighbours of one type are read as one entity")
    say_spans(path, found)
    return found


def public(name, split):
    say_spans(f"{name}, {split}", entities.check_public(name, split))
    return entities.public(name, split)


def say_spans(source, found):
    """Prints one line about the spans that were not whole words, if there were any."""
    meanings = {
        "trimmed": "{} spans without the spaces or characters of no width at their edges",
        "widened": "{} spans that begin or end within a word as the whole words",
        "left_out": "{} spans without a visible character as none",
    }
    some = [meaning.format(f"{found[kind]:,}") for kind, meaning in meanings.items() if found.get(kind)]
    if some:
        say(f"{source}: read {', '.join(some)}")


def vocabularies(config, train):
    kinds = collections.defaultdict(collections.Counter)  # text of an entity -> label -> how often
    for texts, tables in train.ragged_batch(512):
        for text, table in zip(texts.numpy().tolist(), tables.to_list(), strict=True):
            text = text.decode("utf-8", errors="replace")
            for start, end, label in table:
                kinds[text[int(start) : int(end)]][label.decode()] += 1
    labels = sorted({label for counts in kinds.values() for label in counts})
    if not labels:
        raise InputError(config.data or config.dataset, "expected entities in the training data, received none.")
    words, letters = spelling.learn(train.map(lambda text, table: text), config.vocabulary, config.minimum_count)
    check_words(words)
    return {
        "labels": labels,
        "words": words,
        "letters": letters,
        "entities": [[text, counts.most_common(1)[0][0]] for text, counts in kinds.items()],
    }


def build(config, vocabularies):
    seed = config.seed
    tags = Tags(vocabularies["labels"], config.scheme)
    look = spelling.Spelling(vocabularies["words"], vocabularies["letters"], config.letters)
    words, cases, letters = look.sizes

    features = keras.Input([None, 2 + config.letters], dtype="int64", name="spelling")  # (batch, timesteps, features)
    word_ids = features[:, :, 0]
    is_word = ops.not_equal(word_ids, PADDING)
    vectors = keras.initializers.RandomNormal(stddev=0.1, seed=seed)
    embedding = keras.layers.Embedding(words, config.embedding, embeddings_initializer=vectors)
    x = [
        embedding(WordDropout(config.word_dropout, unknown=UNKNOWN, seed=seed)(word_ids)),
        keras.layers.Embedding(cases, cases)(features[:, :, 1]),
    ]
    if config.letter_filters:
        one = keras.layers.Embedding(letters, config.letter_embedding)(features[:, :, 2:])
        one = keras.layers.Conv2D(config.letter_filters, (1, 3), padding="same")(one)  # over three letters
        x.append(ops.max(one, axis=2))  # (batch, timesteps, letter_filters)
    x = keras.layers.Dropout(config.dropout, seed=seed)(ops.concatenate(x, axis=-1))
    x = config.levels()(x, mask=is_word)
    x = keras.layers.Dropout(config.dropout, seed=seed + 1)(x)
    x = keras.layers.Dense(len(tags.names), dtype="float32")(x)  # (batch, timesteps, tags)
    # Without transitions, a CRF is a softmax at each word.
    scheme = config.scheme if config.crf else None
    field = CRF(tags.names, scheme=scheme, trainable=config.crf, dtype="float32", name="crf")
    model = keras.Model(features, field(x, mask=is_word))

    return Parts(
        signature=tf.TensorSpec([None], tf.string, "text"),
        prepare=look,  # strings -> spelling
        target=lambda texts, table: tags(*located(texts)[1:], table),
        model=model,
        loss=CRFLoss(),
        metrics=[tagging.EntityF1(tags)],
        answer=lambda potentials, texts: answer(tags, potentials, texts),
        samples=["", vocabularies["words"][0], " ".join(vocabularies["words"][:23])],
        extras=Extras(
            adapt=lambda train: use_vectors(embedding, config, vocabularies["words"]),
            constants={"labels": tags.labels, "tags": tags.names},
            known={"entities": dict(vocabularies["entities"])},
        ),
    )


def answer(tags, potentials, texts):
    """The words of each text with their tags, and its entities, padded with "" and 0 to the longest.

    Returns:
        Dictionary of `tokens` and `tags`, `(batch, words)` strings, with `token_counts` `(batch,)`; `entities`,
        `labels`, `starts`, `ends` (characters, Unicode code points, the end not included) and `scores` (the probability
        of exactly these tags), `(batch, entities)`, with `counts` `(batch,)`.
    """
    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    words, word_starts, word_ends = located(texts)
    ids = best_tags(potentials)
    alone, before = along(potentials, ids)
    upto = tf.cumsum(before, axis=1)
    row, first, last, label = tags.entities(ids)
    at = lambda values, place: tf.gather_nd(values, tf.stack([row, place], 1))
    start, end = at(word_starts.to_tensor(), first), at(word_ends.to_tensor(), last)
    score = tf.exp(at(alone, last) + at(upto, last) - at(upto, first))
    text = tf.strings.substr(
        tf.gather(texts, row), tf.cast(start, "int32"), tf.cast(end - start, "int32"), unit="UTF8_CHAR"
    )
    count = tf.shape(texts, "int64")[0]
    by_text = lambda values: tf.RaggedTensor.from_value_rowids(values, row, count).to_tensor()
    counts = words.row_lengths()
    names = tf.RaggedTensor.from_tensor(tf.gather(tf.constant(tags.names), ids), counts)
    return {
        "tokens": words.to_tensor(),
        "tags": names.to_tensor(),
        "token_counts": counts,
        "entities": by_text(text),
        "labels": by_text(tf.gather(tf.constant(tags.labels), label)),
        "starts": by_text(start),
        "ends": by_text(end),
        "scores": by_text(score),
        "counts": tf.math.bincount(row, minlength=count, maxlength=count, dtype="int64"),
    }


def labelled(path, config, vocabularies):
    checked(path, config, vocabularies["labels"])
    return entities.load(path, **reading(config))


ABOUT = About(
    pipeline_tag="token-classification",
    languages=of_built_in("en"),
    metrics={"precision": "precision", "recall": "recall", "f1": "f1"},
    limits=(
        "It finds the kinds of entities of the training data alone, and is worse at names that the training data do "
        "not have: the table gives both figures.",
        "A name may be one kind here and another there; the words around it decide, within one text and no further.",
        "Entities do not overlap, and none contains another.",
    ),
    examples=lambda config: ["Yesterday, Harry Potter met Hermione Granger."],
)


TASK = Task("ner", Config, load, vocabularies, build, tagging, labelled, labels=labels_of, about=ABOUT)

if __name__ == "__main__":
    main(TASK)
