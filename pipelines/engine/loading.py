"""Functions that the tasks' `load` and `adapt` share: splits of a configuration, weights set before training."""

import dataclasses
import functools

from data import batching
from data.files import InputError
from data.transforms import subwords
from data.transforms.words import load_vectors
from pipelines.engine.training import say


def splits_of(config, source, check, load, public=None, within=None, labels=None):
    """The examples that the configuration names: the user's files, a public set, or the built-in data.

    Args:
        config: A `Training`.
        source: A module of `data.sets` with `built_in`, `SPLITS`, `public` and `public_splits`.
        check: `(path, known labels or None) -> {"labels": ...}`; raises InputError.
        load: `path -> tf.data.Dataset`.
        public: `(name, split) -> tf.data.Dataset`; None uses the module's.
        within: `path -> {split: tf.data.Dataset}` of a file that says which example is in which split; empty for other
            files. The files of `validation_data` and `test_data` take the place of its splits.
        labels: `(config, label of an example) -> names` of the labels in it, none of which is then held out alone.

    Returns:
        `{"train": ..., "validation": ..., perhaps "test": ...}`; without validation data, training data is held out.
    """
    if config.dataset:
        there = source.public_splits(config.dataset)
        if "train" not in there:
            raise InputError(config.dataset, f"expected a training split, received {', '.join(there)}.")
        splits = {split: (public or source.public)(config.dataset, split) for split in there}
    elif config.data:
        known = check(config.data, None)["labels"]
        splits = (within and within(config.data)) or {"train": load(config.data)}
        if "train" not in splits:
            raise InputError(config.data, f"expected a training split, received {', '.join(splits)}.")
        for split, path in (("validation", config.validation_data), ("test", config.test_data)):
            if path:
                check(path, known)
                splits[split] = load(path)
    else:
        splits = {split: source.built_in(split) for split in source.SPLITS}
    if "validation" not in splits:
        names = labels and functools.partial(labels, config)
        splits["train"], splits["validation"] = batching.held_out(
            splits["train"], share=0.1, seed=config.seed, labels=names
        )
    return splits


def chosen_by_size(config, table, size, noun):
    """The configuration with the settings that are None set by the number of training examples; says which ones.

    Args:
        config: A `Training`.
        table: Dictionary from the least number of examples to name -> value of settings.
        size, noun: The number of training examples, and what they are called.
    """
    chosen = table[max(least for least in table if least <= size)]
    chosen = {name: value for name, value in chosen.items() if getattr(config, name) is None}
    if chosen:
        said = ", ".join(
            f"{name.replace('_', ' ')} {value:,}" if isinstance(value, int | float) else f"{name} {value}"
            for name, value in chosen.items()
        )
        say(f"{said}: for {size:,} {noun}")
    return dataclasses.replace(config, **chosen)


def check_words(words):
    """Raises InputError for an empty vocabulary."""
    if not words:
        wanted = "expected a number of times that some word of the training data occurs"
        raise InputError("--minimum-count", f"{wanted}, received one that leaves no word.")


def learn_pieces(texts, size):
    """The pieces of `data.transforms.subwords.learn`; a vocabulary that the texts do not allow is an InputError."""
    try:
        return subwords.learn(texts, size)
    except ValueError as error:
        raise error if isinstance(error, InputError) else InputError("--vocabulary", f"{error}") from None


def use_vectors(embedding, config, words):
    """Loads the pretrained vectors that the configuration names, if any, into an embedding."""
    if not config.vectors:
        return
    matrix, found = load_vectors(config.vectors, words, seed=config.seed)
    width = matrix.shape[1]
    if width != config.embedding:
        expected = f"expected {config.embedding} numbers a word, received {width}"
        raise InputError(config.vectors, f"{expected}; add --embedding {width}.")
    say(f"{config.vectors}: vectors for {found:,} of {len(words):,} words")
    embedding.set_weights([matrix])
