"""Networks of DNA: motifs or k-mers, recurrent levels, and linear paths beside them.

`codes` are a `keras.Input` `(batch, timesteps)` of the codes of `data.transforms.dna`, `scan` is the layer `Scan`, or
None for k-mers, and `config` is that of the task.
"""

import functools

import keras
from keras import ops

from data.transforms import dna
from layers import CRF, Pooling, Strands, TermProfile, Vote
from pipelines.engine.linear_paths import LinearPaths

KMERS = range(1, 7)  # bases of the k-mers of the linear path


def tagger(config, codes, scan, labels):
    """The model from codes to the potentials of a CRF, `(batch, timesteps, labels)`."""
    x, is_base = read(config, codes, scan)
    field = CRF(labels, trainable=config.crf, dtype="float32", name="crf")
    return keras.Model(codes, field(keras.layers.Dense(len(labels), dtype="float32")(x), mask=is_base))


def classifier(config, codes, scan, classes):
    """The model from codes to logits, its layer `Vote`, and what fits its linear paths, if any, for `Extras.adapt`."""
    network, fit_linear = paths(config, codes, scan, classes)
    vote = Vote(dtype="float32")
    if config.strand == "one":
        return keras.Model(codes, vote(network(codes))), vote, fit_linear
    both = Strands(network, config.strand, config.seed)
    return keras.Model(codes, vote(both([codes, dna.reverse_complement(codes)]))), vote, fit_linear


def read(config, codes, scan):
    """The outputs of the recurrent levels, `(batch, timesteps, features)`, and their mask."""
    if scan:
        x, is_base = scan(dna.one_hot(codes), codes > 0)
    else:
        is_base = codes > 0
        kmers = dna.kmers(ops.pad(codes, [[0, 0], [0, config.kmer - 1]]), config.kmer)
        x = keras.layers.Embedding(4**config.kmer + dna.FIRST_KMER, config.embedding)(kmers)
    x = keras.layers.Dropout(config.dropout, seed=config.seed)(x)
    whole = config.pooling != "last" or config.kind == "positions"
    x = config.levels(return_sequences=whole)(x, mask=is_base)
    return keras.layers.Dropout(config.dropout, seed=config.seed + 1)(x), is_base


def paths(config, codes, scan, classes):
    """The model that reads one strand, from codes to a list of logits, and what fits its linear paths, if any."""
    x, is_base = read(config, codes, scan)
    if config.pooling in ("auto", "flat") and codes.shape[1]:
        x = keras.layers.Dropout(config.dropout, seed=config.seed + 2)(ops.reshape(x, (-1, x.shape[1] * x.shape[2])))
    elif config.pooling != "last":
        x = Pooling("mean-max" if config.pooling == "auto" else config.pooling)(x, mask=is_base)
    logits = [keras.layers.Dense(classes, dtype="float32")(x)]
    if not config.linear:
        return keras.Model(codes, logits), None
    profile = TermProfile([4**k + dna.FIRST_KMER for k in KMERS], ignored=dna.FIRST_KMER, dtype="float32")
    linear = LinearPaths(codes, classes)
    logits.append(linear.logits(profile([dna.kmers(codes, k) for k in KMERS]), strength=10.0))
    if codes.shape[1]:
        logits.append(linear.logits(dna.places(codes), strength=0.03))
    return keras.Model(codes, logits), functools.partial(adapt, profile, linear, config.strand != "one")


def adapt(profile, linear, both_strands, train):
    """Fits the linear paths, on both strands if both are read."""
    if both_strands:
        train = train.concatenate(train.map(lambda codes, target: (dna.reverse_complement(codes), target)))
    profile.adapt([dna.kmers(codes, k) for k in KMERS] for codes, _ in train)
    linear.fit(train)
