"""Functions that the tasks' `load` and `adapt` share: the splits of a configuration, and pretrained vectors."""

from data import batching
from data.files import InputError
from data.transforms.words import load_vectors
from pipelines.engine.training import say


def splits_of(config, source, check, load, public=None):
    """The examples that the configuration names: the user's files, a public set, or the built-in data.

    Args:
        config: A `Training`.
        source: A module of `data.sets` with `built_in`, `SPLITS`, `public` and `public_splits`.
        check: `(path, known labels or None) -> {"labels": ...}`; raises InputError.
        load: `path -> tf.data.Dataset`.
        public: `(name, split) -> tf.data.Dataset`; None uses the module's.

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
        splits = {"train": load(config.data)}
        for split, path in (("validation", config.validation_data), ("test", config.test_data)):
            if path:
                check(path, known)
                splits[split] = load(path)
    else:
        splits = {split: source.built_in(split) for split in source.SPLITS}
    if "validation" not in splits:
        splits["train"], splits["validation"] = batching.held_out(splits["train"], share=0.1, seed=config.seed)
    return splits


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
