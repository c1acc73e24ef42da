"""Is a review positive? Any labelled texts, of two or more classes.

    python -m pipelines.sentiment                                    the built-in reviews: the demo
    python -m pipelines.sentiment train --data reviews.csv --cell gru --units 64
    python -m pipelines.sentiment evaluate --run runs/sentiment --data more.csv
    python -m pipelines.sentiment predict --run runs/sentiment "There is nothing to like in this movie."
    python -m pipelines.sentiment export --run runs/sentiment

A file is CSV, TSV, JSON lines or Parquet with the columns `text` and `label`. The result is a run folder with weights,
metrics, those of two baselines, and pictures; `export` writes a SavedModel from strings to labels and probabilities.
"""

import dataclasses
import functools
from typing import ClassVar, Literal

import keras
import tensorflow as tf
from keras import ops

from data.files import InputError
from data.sets import reviews
from data.transforms.words import FIRST_WORD, PADDING, UNKNOWN, Tokenizer, learn_words
from layers import NaiveBayesBag, Pooling, Sentences, Vote, WordDropout, hierarchical
from pipelines.engine import inputs
from pipelines.engine.command import main
from pipelines.engine.loading import check_words, splits_of, use_vectors
from pipelines.engine.settings import Words
from pipelines.engine.task import About, Extras, Parts, Task, of_built_in
from pipelines.evaluation import classification

SENTENCE_ENDS = (".", "!", "?", "!!!", "???", "...", "。")
SENTENCE_WORDS = 50  # longer sentences are cut


@dataclasses.dataclass
class Config(Words):
    text_column: str = "text"
    """column or key of the text"""
    label_column: str = "label"
    """column or key of the label, text or a number"""
    neutral: str = ""
    """label of examples without a class; never predicted"""
    pooling: Literal["last", "mean", "max", "mean-max", "attention"] = "mean-max"
    """how timesteps become one vector"""
    hierarchical: bool = False
    """whether words are read into sentences, and sentences into the text; attention in both with --pooling attention"""
    bag: bool = True
    """whether naive Bayes over words and pairs votes too"""
    bag_pairs: int = 2**18
    """ratios that all pairs share, by hashing"""
    lower: bool = True
    """whether upper and lower case are the same"""
    max_length: int = 400
    """words read of a text"""
    word_dropout: float = 0.05
    """share of the words replaced by the unknown word in training"""
    embedding_dropout: float = 0.2
    """share of the word vectors' features dropped, one mask a text"""
    dropout: float = 0.3
    """share of the pooled features dropped"""
    label_smoothing: float = 0.0
    """share of the target spread over all classes"""

    RANGES: ClassVar = {
        **dict.fromkeys(("max_length", "bag_pairs"), (1, None)),
        **dict.fromkeys(("word_dropout", "embedding_dropout", "dropout"), (0, 0.99)),
        "label_smoothing": (0, 0.99),
    }
    HELP: ClassVar = {
        "data": ("text_column", "label_column", "neutral"),
        "network": ("pooling", "hierarchical", "bag", "max_length", "dropout"),
    }


def load(config):
    splits = splits_of(
        config,
        reviews,
        check=lambda path, known: reviews.check(path, **reading(config), known=known),
        load=lambda path: reviews.load(path, **reading(config)),
        labels=labels_of,
    )
    return {split: found if split == "train" else decided(found, config) for split, found in splits.items()}


def reading(config):
    """Arguments of `reviews.check` and `reviews.load` from the configuration."""
    return {"text_column": config.text_column, "label_column": config.label_column, "form": config.form}


def decided(examples, config):
    """The examples with a class: those without the neutral label."""
    return examples.filter(lambda text, label: label != config.neutral) if config.neutral else examples


def labels_of(config, label):
    return [label.decode()]


def vocabularies(config, train):
    batches = train.map(lambda text, label: label).batch(4096).as_numpy_iterator()
    labels = {label.decode() for batch in batches for label in set(batch.tolist())}
    labels = sorted(labels, key=lambda x: (len(x), x))
    if config.neutral and config.neutral not in labels:
        raise InputError("--neutral", f"expected one of the labels {', '.join(labels)}, received {config.neutral!r}.")
    labels = [label for label in labels if label != config.neutral]
    if len(labels) < 2:
        found = f"only {labels[0]!r}" if labels else "none"
        raise InputError(config.data or config.dataset, f"expected two or more different labels, received {found}.")
    texts = train.map(lambda text, label: text)
    words = learn_words(texts, config.vocabulary, lower=config.lower, minimum=config.minimum_count)
    check_words(words)
    return {"labels": labels, "words": words}


def build(config, vocabularies):
    labels, seed = vocabularies["labels"], config.seed
    tokenizer = Tokenizer(vocabularies["words"], lower=config.lower, max_length=config.max_length)
    numbers = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(labels, range(len(labels))), -1)

    word_ids = keras.Input([None], dtype="int64", name="word_ids")  # (batch, timesteps)
    read = word_ids
    if config.hierarchical:
        ends = [place for place, word in enumerate(vocabularies["words"], start=FIRST_WORD) if word in SENTENCE_ENDS]
        read = Sentences(ends, SENTENCE_WORDS)(word_ids)  # (batch, sentences, words)
    is_word = ops.not_equal(read, PADDING)
    x = WordDropout(config.word_dropout, unknown=UNKNOWN, seed=seed)(read)
    embedding = keras.layers.Embedding(
        tokenizer.size, config.embedding, embeddings_initializer=keras.initializers.RandomNormal(stddev=0.1, seed=seed)
    )
    x = embedding(x)  # (batch, timesteps, embedding), or (batch, sentences, words, embedding)
    one_mask = (None, *[1] * (len(x.shape) - 2), config.embedding)
    x = keras.layers.Dropout(config.embedding_dropout, noise_shape=one_mask, seed=seed)(x)
    if config.hierarchical:
        x = reader(config)(x, mask=is_word)  # (batch, features)
    else:
        x = config.levels(return_sequences=config.pooling != "last")(x, mask=is_word)
        if config.pooling != "last":
            x = Pooling(config.pooling)(x, mask=is_word)  # (batch, features)
    x = keras.layers.Dropout(config.dropout, seed=seed)(x)
    paths = [keras.layers.Dense(len(labels), dtype="float32")(x)]  # (batch, classes) each
    if config.bag:
        bag = NaiveBayesBag(tokenizer.size, len(labels), config.bag_pairs, dtype="float32")
        paths.append(bag(word_ids))
    vote = Vote(dtype="float32")
    model = keras.Model(word_ids, vote(paths))

    def adapt(train):
        if config.bag:
            bag.adapt(train)
        use_vectors(embedding, config, vocabularies["words"])

    return Parts(
        signature=tf.TensorSpec([None], tf.string, "text"),
        prepare=tokenizer,  # strings -> word_ids
        target=lambda texts, labels: numbers.lookup(labels),  # strings -> classes, -1 for the neutral label
        model=model,
        loss=classification.SmoothedCrossentropy(config.label_smoothing),
        metrics=[classification.Accuracy()],
        answer=lambda logits, texts: {
            "label": tf.gather(tf.constant(labels), tf.argmax(logits, axis=1)),
            "probabilities": tf.nn.softmax(logits),
        },
        samples=["", vocabularies["words"][0], " ".join(vocabularies["words"][:23])],
        extras=Extras(
            adapt=adapt,
            calibrate=functools.partial(classification.calibrate, vote),
            tokens=tokenizer.shown,
            constants={"labels": labels},
        ),
    )


def reader(config):
    """The network that reads words, then sentences."""
    if config.pooling == "last":
        raise InputError("--pooling", "expected mean, max, mean-max or attention with --hierarchical, received 'last'.")
    return config.levels(hierarchical, pooling=config.pooling)


def labelled(path, config, vocabularies):
    known = vocabularies["labels"] + [config.neutral] * bool(config.neutral)
    reviews.check(path, **reading(config), known=known)
    return decided(reviews.load(path, **reading(config)), config)


ABOUT = About(
    pipeline_tag="text-classification",
    languages=of_built_in("en"),
    metrics={"accuracy": "accuracy", "macro_f1": "f1", "auroc": "roc_auc"},
    limits=(
        "It reads words in their order, but knows nothing of the world: irony, and praise for something else than what "
        "the text is about, mislead it.",
        "One label for the whole text: a text of two opinions gets one of them, with a probability near one half.",
        "A text of another language or subject than the training data gets an answer too, often a confident one.",
    ),
    examples=lambda config: [
        "There is nothing to like in this movie.",
        "Dull at first, but the ending is wonderful.",
    ],
    shown=(".html",),
)


TASK = Task(
    "sentiment",
    Config,
    load,
    vocabularies,
    build,
    classification,
    labelled,
    inputs=functools.partial(inputs.texts, column="text_column"),
    labels=labels_of,
    about=ABOUT,
)

if __name__ == "__main__":
    main(TASK)
