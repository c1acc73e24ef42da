"""Translation on real data, and its speed beside the same network of stock Keras layers.

    python -m tests.benchmarks.translation quality multi30k_de [--kinds attention none] [--seeds 0]
    python -m tests.benchmarks.translation training [--rounds 9]
    python -m tests.benchmarks.translation decoding [--run RUN]

quality   trains by the pipeline and translates the validation data with beam 5 and with beam 1
training  tokens of the target a second in training against an encoder and decoder of stock layers (a bidirectional
          GRU, a GRU with AdditiveAttention over its outputs, teacher forcing) of equal sizes, the sides in turn: on the
          same batches, and on batches as they come, padded to the longest; ours as that network (`--feeding none`),
          and with the context fed to the decoder, which stock layers cannot do; ours with the pipeline's optimizer
          and threads, stock ones as Keras and TensorFlow have them (and once with the pipeline's threads)
decoding  exports a run, loads it in a process of its own that imports TensorFlow alone, translates 1,000 sentences

All on validation data; the test data is not looked at.
"""

import argparse
import concurrent.futures
import contextlib
import dataclasses
import functools
import json
import multiprocessing
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

SETS = {
    "multi30k_de": ("multi30k", "train", "valid", "en", "de"),
    "multi30k_fr": ("multi30k", "train", "valid", "en", "fr"),
    "tatoeba_fra": ("tatoeba_fra", "train.tsv.gz", "valid.tsv", "1", "0"),
}
WITHOUT = {"attention": {}, "none": {"attention": "none"}}


def quality(flags):
    from pipelines.engine import verbs
    from pipelines.translation import CHOSEN, TASK, Config

    folder, train, validation, source, target = SETS[flags.name]
    data = pathlib.Path(flags.data) / folder
    for kind in flags.kinds:
        for seed in flags.seeds:
            with tempfile.TemporaryDirectory() as place:
                run = pathlib.Path(flags.keep or place) / f"{flags.name}-{kind}-{seed}"
                files = {"data": str(data / train), "validation_data": str(data / validation)}
                settings = {**WITHOUT[kind], **dict(pair.split("=") for pair in flags.set)}
                defaults = {**{name: getattr(Config, name) for name in settings}, **CHOSEN[0]}
                typed = {name: type(defaults[name])(value) for name, value in settings.items()}
                config = Config(**files, source=source, target=target, run=str(run), seed=seed, **typed)
                begun = time.monotonic()
                metrics = verbs.train(TASK, config)
                minutes = (time.monotonic() - begun) / 60
                wide, narrow = metrics["validation"], with_beam(TASK, config, run, 1)
                base = metrics["baselines"]["validation"]["word_by_word"]["bleu"]
                print(
                    f"{flags.name} {kind} seed {seed}: BLEU {wide['bleu']:.2f} chrF {wide['chrf']:.2f} TER "
                    f"{wide['ter']:.2f} perplexity {wide['perplexity']:.2f} with beam {config.beam} in "
                    f"{wide['seconds']:.1f} s; beam 1 {narrow['bleu']:.2f} in {narrow['seconds']:.1f} s; word by word "
                    f"{base:.2f}; training "
                    f"{metrics['seconds_training'] / 60:.1f} of {minutes:.1f} minutes; {wide['signature']}",
                    flush=True,
                )


def with_beam(task_record, config, run, beam):
    """What a run is worth on its validation data with another beam."""
    from data import batching
    from pipelines.engine import verbs

    _, vocabularies, trained = verbs.restored(task_record, run)
    parts = task_record.build(dataclasses.replace(config, beam=beam), vocabularies)
    parts.model.set_weights(trained.model.get_weights())
    examples = task_record.labelled(config.validation_data, config, vocabularies)
    prepared = batching.cached(batching.prepared(examples, *parts.once))
    return task_record.judge.measure(parts, prepared, examples)


# Training beside stock layers.

BATCH, LENGTH, VOCABULARY, UNITS, EMBEDDING = 64, 16, 4000, 256, 192


def ours(feeding="none"):
    from pipelines.translation import Config, build

    pieces = [[f"▁{number}", -float(number)] for number in range(VOCABULARY - 259)]
    sizes = {"units": UNITS, "embedding": EMBEDDING, "dropout": 0.3}
    config = Config(**sizes, feeding=feeding, tied=False, smoothing=0.0, joint=False)
    parts = build(config, {"source": pieces, "target": pieces})
    return parts.model, parts.loss


def stock():
    """The same sizes of what Keras has; attention over the decoder's outputs, as its decoder cannot read as it runs."""
    import keras

    source, target = keras.Input([None], dtype="int64"), keras.Input([None], dtype="int64")
    embed = keras.layers.Embedding(VOCABULARY, EMBEDDING, mask_zero=True)
    x = keras.layers.Dropout(0.3)(embed(source))
    memory = keras.layers.Bidirectional(keras.layers.GRU(UNITS, return_sequences=True))(x)
    begin = keras.layers.Dense(UNITS, activation="tanh")(memory[:, 0])
    told = keras.ops.pad(target[:, :-1], [[0, 0], [1, 0]], constant_values=1)
    y = keras.layers.Dropout(0.3)(keras.layers.Embedding(VOCABULARY, EMBEDDING)(told))
    s = keras.layers.GRU(UNITS, return_sequences=True)(y, initial_state=begin)
    memory = keras.layers.Dropout(0.3)(memory)
    keys = keras.layers.Dense(UNITS, use_bias=False)(memory)
    query = keras.layers.Dense(UNITS, use_bias=False)(s)
    context = keras.layers.AdditiveAttention()([query, memory, keys])
    t = keras.layers.Dense(EMBEDDING, activation="tanh")(keras.layers.Concatenate()([s, context, y]))
    logits = keras.layers.Dense(VOCABULARY)(keras.layers.Dropout(0.3)(t))
    return keras.Model([source, target], logits), keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def batches():
    """The same examples of the built-in set as our pipeline batches them, and shuffled and padded as they come."""
    from data import batching
    from data.sets import bitext
    from data.transforms import subwords
    from pipelines.translation import ended

    pairs = bitext.built_in("train")
    pieces = subwords.Subwords(subwords.learn(pairs.map(lambda source, target: source + " " + target), 1500))
    prepare, target = (lambda x: ended(pieces(x), 80)), (lambda source, target: ended(pieces(target), 80))
    examples = batching.Cached(batching.prepared(pairs, prepare, target))
    bucketed = batching.batches(examples, BATCH, batching.boundaries(examples.lengths), seed=0)
    rows = batching.batches(examples, 1, seed=0).map(lambda source, target: (source[0], target[0]))
    return {"ours": list(bucketed.take(30)), "as they come": list(rows.padded_batch(BATCH).take(30))}


# Network, compiled by XLA or not, batches, and whether products share the cores as in the pipelines: a core for each.
NETWORKS = {
    "ours": (ours, False, "ours", True),
    "ours, fed": (functools.partial(ours, "context"), False, "ours", True),
    "stock, our batches": (stock, False, "ours", False),
    "stock, as they come": (stock, False, "as they come", False),
    "ours, one size": (ours, False, "one size", True),
    "stock, one size": (stock, False, "one size", False),
    "stock, one size, shared": (stock, False, "one size", True),
    "stock, one size, XLA": (stock, True, "one size", False),
}


class Network:
    """A side of the comparison, in a process of its own: threads are a process's."""

    here = None

    def __init__(self, name):
        import keras
        import numpy as np
        import tensorflow as tf

        from pipelines.engine.optimizer import OnePassAdamW
        from pipelines.engine.training import share_cores

        make, compiled, kind, shared = NETWORKS[name]
        if shared:
            share_cores()
        equal = [(tf.ones((BATCH, LENGTH), "int64") * 9,) * 2]
        given = equal if kind == "one size" else batches()[kind]
        self.given = [(source, tf.maximum(target, 0), int(np.sum(target.numpy() > 0))) for source, target in given]
        self.model, loss = make()
        optimizer = OnePassAdamW if "ours" in name else keras.optimizers.AdamW
        self.model.compile(optimizer(), loss, jit_compile=compiled)
        for number in range(len(self.given)):  # until no shape is new
            self.step(number)

    def step(self, number):
        """(seconds, tokens of the target)"""
        source, target, tokens = self.given[number % len(self.given)]
        begun = time.perf_counter()
        self.model.train_on_batch([source, target], target)
        return time.perf_counter() - begun, tokens

    @classmethod
    def begin(cls, name):
        cls.here = cls(name)

    @classmethod
    def turn(cls, number):
        return cls.here.step(number)


def training(flags):
    apart = multiprocessing.get_context("spawn")
    with contextlib.ExitStack() as stack:
        sides = {}
        for name in NETWORKS:
            pool = concurrent.futures.ProcessPoolExecutor(1, apart, Network.begin, (name,))
            sides[name] = stack.enter_context(pool)
            sides[name].submit(Network.turn, 0).result()
        steps = {name: [] for name in sides}
        for number in range(flags.rounds):
            for name, side in sides.items():
                steps[name].append(side.submit(Network.turn, number).result())
    rates = {
        name: sum(tokens for _, tokens in found) / sum(seconds for seconds, _ in found) for name, found in steps.items()
    }
    for name, rate in rates.items():
        of = "ours, one size" if "one size" in name else "ours"
        milliseconds = 1000 * statistics.median(seconds for seconds, _ in steps[name])
        print(f"{name:24}{milliseconds:8.1f} ms a step  {rate:8.0f} tokens/s  ours / this {rates[of] / rate:.2f}")


# Decoding by what was exported.

ALONE = """
import json, sys, time
import numpy as np
import tensorflow as tf
tf.config.threading.set_inter_op_parallelism_threads(2)
served = tf.saved_model.load(sys.argv[1])
serve = served.signatures["serve"]
batches = json.load(open(sys.argv[2]))
for batch in batches[:2]:
    serve(text=tf.constant(batch))
begun = time.perf_counter()
answers = [serve(text=tf.constant(batch)) for batch in batches]
answers = [{name: value.numpy() for name, value in answer.items()} for answer in answers]
seconds = time.perf_counter() - begun
assert not any(name.split(".")[0] in ("layers", "data", "pipelines", "keras_hub") for name in sys.modules)
kept = ("translations", "scores", "alignments")
flat = {f"{name} {i}": answer[name] for i, answer in enumerate(answers) for name in kept if name in answer}
np.savez(sys.argv[3], seconds=seconds, **{name: x.astype("S") if x.dtype == object else x for name, x in flat.items()})
"""


def decoding(flags):
    import numpy as np
    import tensorflow as tf

    from pipelines.engine import verbs
    from pipelines.translation import TASK

    config, _, parts = verbs.restored(TASK, flags.run)
    sources = [source.decode() for source, _ in TASK.load(config)["validation"].take(1000).as_numpy_iterator()]
    texts = sorted(sources, key=len)
    batches = [texts[start : start + 64] for start in range(0, len(texts), 64)]
    with tempfile.TemporaryDirectory() as place:
        place = pathlib.Path(place)
        exported = verbs.export(TASK, flags.run, place / "export", "savedmodel")
        (place / "batches.json").write_text(json.dumps(batches))
        given = [str(exported), str(place / "batches.json"), str(place / "found.npz")]
        environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
        subprocess.run([sys.executable, "-c", ALONE, *given], check=True, cwd=place, env=environment)
        alone = dict(np.load(place / "found.npz"))
    same, worst = 0, {"scores": 0.0, "alignments": 0.0}
    for number, batch in enumerate(batches):
        inside = {name: value.numpy() for name, value in parts.serve(tf.constant(batch)).items()}
        same += int((inside["translations"][:, 0].astype("S") == alone[f"translations {number}"][:, 0]).sum())
        for name in set(worst) & set(inside):
            found, expected = (np.nan_to_num(x, posinf=0, neginf=0) for x in (alone[f"{name} {number}"], inside[name]))
            worst[name] = max(worst[name], float(np.abs(found - expected).max()))
    seconds, rate = float(alone["seconds"]), len(sources) / float(alone["seconds"])
    print(
        f"{len(sources)} sentences, beam {config.beam}: {seconds:.1f} s, {rate:.0f} a second, with TensorFlow alone; "
        f"{same} translations are those in this process; scores differ by {worst['scores']:.1e} and alignments "
        f"by {worst['alignments']:.1e} at most, over all {config.beam} translations of each"
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    verbs = parser.add_subparsers(dest="verb", required=True)
    one = verbs.add_parser("quality")
    one.add_argument("name", choices=SETS)
    one.add_argument("--data", default="../shared/data", help="folder of the data sets")
    one.add_argument("--kinds", nargs="+", choices=WITHOUT, default=["attention"])
    one.add_argument("--seeds", type=int, nargs="+", default=[0])
    one.add_argument("--keep", help="folder to keep the runs in")
    one.add_argument("--set", nargs="*", default=[], help="settings of the pipeline, such as units=128")
    two = verbs.add_parser("training")
    two.add_argument("--rounds", type=int, default=30)
    three = verbs.add_parser("decoding")
    three.add_argument("--run", default="runs/translation")
    flags = parser.parse_args()
    {"quality": quality, "training": training, "decoding": decoding}[flags.verb](flags)


if __name__ == "__main__":
    main()
