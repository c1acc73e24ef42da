"""The conditional random field's training step and decoding, beside what users had before it.

    python -m tests.benchmarks.crf [--rounds 30]

At batch x timesteps x tags of 32 x 50 x 9 and 32 x 200 x 40, float32, with right padding: loss and its gradients with
respect to logits and weights, and the best sequence of tags. Sides: ours; the recursion as `tf.scan` over time,
differentiated automatically, as TensorFlow Addons wrote it; `torchcrf`, where it is installed (`pip install
pytorch-crf`). Then the step of a tagger at the sizes of CoNLL-2003, with the field and with a softmax at each word
instead. Sides take turns; shown are medians in milliseconds, and the medians of ratios ours / theirs.
"""

import argparse
import os
import statistics
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf

from layers import CRF, CRFLoss, LSTMCell, crf, stack

SIZES = ((32, 50, 9), (32, 200, 40))


def ours(logits, tags, lengths):
    field = CRF(logits.shape[2])
    field.build(logits.shape)
    mask = tf.sequence_mask(lengths, logits.shape[1])

    @tf.function(autograph=False)
    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = tf.reduce_mean(-crf.log_likelihood(field(logits, mask=mask), tags))
        return loss, tape.gradient(loss, [logits, *(w.value for w in field.weights)])

    decode = tf.function(lambda logits: crf.viterbi(field(logits, mask=mask))[0][:, 0], autograph=False)
    return lambda: step(logits)[0].numpy(), lambda: decode(logits).numpy()


def by_scan(logits, tags, lengths):
    """The recursion over timesteps as `tf.scan`, masks by choosing, gradients by automatic differentiation."""
    count = logits.shape[2]
    transitions, start, end = (tf.Variable(tf.zeros(shape)) for shape in ((count, count), (count,), (count,)))
    real = tf.sequence_mask(lengths, logits.shape[1])
    rows = tf.range(len(lengths))
    last = tf.stack([rows, lengths - 1], 1)

    def forward(logits):
        def step(alpha, given):
            u, is_real = given
            new = tf.reduce_logsumexp(alpha[:, :, None] + transitions, axis=1) + u
            return tf.where(is_real[:, None], new, alpha)

        given = tf.transpose(logits, [1, 0, 2])[1:], tf.transpose(real)[1:]
        alphas = tf.scan(step, given, start + logits[:, 0])
        return tf.reduce_logsumexp(alphas[-1] + end, axis=1)

    def score(logits):
        u = tf.gather(logits, tags, axis=2, batch_dims=2)
        between = tf.gather_nd(transitions, tf.stack([tags[:, :-1], tags[:, 1:]], 2))
        edges = tf.gather(start, tags[:, 0]) + tf.gather(end, tf.gather_nd(tags, last))
        kept = tf.cast(real, "float32")
        return tf.reduce_sum(u * kept, 1) + tf.reduce_sum(between * kept[:, 1:], 1) + edges

    @tf.function(autograph=False)
    def step(logits):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = tf.reduce_mean(forward(logits) - score(logits))
        return loss, tape.gradient(loss, [logits, transitions, start, end])

    @tf.function(autograph=False)
    def decode(logits):
        def ahead(carry, given):
            u, is_real = given
            ways = carry[0][:, :, None] + transitions
            best, back = tf.reduce_max(ways, 1) + u, tf.argmax(ways, 1, output_type=tf.int32)
            stay = tf.broadcast_to(tf.range(count), tf.shape(back))
            return tf.where(is_real[:, None], best, carry[0]), tf.where(is_real[:, None], back, stay)

        given = tf.transpose(logits, [1, 0, 2])[1:], tf.transpose(real)[1:]
        begin = start + logits[:, 0], tf.zeros([len(lengths), count], tf.int32)
        scores, back = tf.scan(ahead, given, begin)
        final = tf.argmax(scores[-1] + end, 1, output_type=tf.int32)
        tags = tf.scan(lambda tag, row: tf.gather(row, tag, batch_dims=1), back, final, reverse=True)
        return tf.transpose(tf.concat([tags, final[None]], 0)) * tf.cast(real, "int32")

    return lambda: step(logits)[0].numpy(), lambda: decode(logits).numpy()


def by_torchcrf(logits, tags, lengths):
    try:
        import torch
        import torchcrf
    except ImportError:
        return None
    field = torchcrf.CRF(logits.shape[2], batch_first=True)
    for weight in field.parameters():
        torch.nn.init.zeros_(weight)
    x = torch.tensor(logits.numpy(), requires_grad=True)
    y, mask = torch.tensor(tags.numpy()).long(), torch.tensor(tf.sequence_mask(lengths, logits.shape[1]).numpy())

    def step():
        x.grad = None
        field.zero_grad()
        loss = -field(x, y, mask=mask, reduction="mean")
        loss.backward()
        return loss.item()

    def decode():
        with torch.no_grad():
            rows = field.decode(x, mask=mask)
        found = np.zeros(mask.shape, int)
        for row, tags in enumerate(rows):
            found[row, : len(tags)] = tags
        return found

    return step, decode


def tagger(field):
    """The training step of a tagger at the sizes of CoNLL-2003: 32 sentences of 20 words, 17 tags."""
    inputs = keras.Input((None, 158))
    x = stack(LSTMCell, 128, bidirectional=True)(inputs)
    logits = keras.layers.Dense(17)(x)
    model = keras.Model(inputs, CRF(17)(logits) if field else logits)
    loss = CRFLoss() if field else keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss, jit_compile=False)
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(32, 20, 158)).astype("float32"), rng.integers(0, 17, (32, 20))
    return lambda: model.train_on_batch(x, y)


def in_turn(sides, rounds):
    """Milliseconds of each side, in lists, a call of each in turn; the first calls are not counted."""
    for run in sides:
        for _ in range(3):
            run()
    times = [[] for _ in sides]
    for _ in range(rounds):
        for run, found in zip(sides, times, strict=True):
            begun = time.perf_counter()
            run()
            found.append(1000 * (time.perf_counter() - begun))
    return times


def told(what, names, times):
    shown = [f"{name} {statistics.median(some):.2f} ms" for name, some in zip(names, times, strict=True)]
    ratios = [
        f"ours / {name} {statistics.median(a / b for a, b in zip(times[0], some, strict=True)):.2f}"
        for name, some in zip(names[1:], times[1:], strict=True)
    ]
    print(f"{what:34}{'  '.join(shown)}   {'  '.join(ratios)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30)
    flags = parser.parse_args()
    for batch, timesteps, tags in SIZES:
        rng = np.random.default_rng(0)
        logits = tf.constant(rng.normal(size=(batch, timesteps, tags)), "float32")
        right = tf.constant(rng.integers(0, tags, (batch, timesteps)), "int32")
        lengths = tf.constant(rng.integers(timesteps // 2, timesteps + 1, batch), "int32")
        made = {"ours": ours, "tf.scan": by_scan, "torchcrf": by_torchcrf}
        made = {name: make(logits, right, lengths) for name, make in made.items()}
        made = {name: runs for name, runs in made.items() if runs}
        for place, what in enumerate(("training step", "decoding")):
            runs = [sides[place] for sides in made.values()]
            answers = [run() for run in runs]
            for answer in answers[1:]:
                np.testing.assert_allclose(answer, answers[0], rtol=1e-4)
            told(f"{batch} x {timesteps} x {tags}  {what}", list(made), in_turn(runs, flags.rounds))
    told("tagger's step, CRF and softmax", ["CRF", "softmax"], in_turn([tagger(True), tagger(False)], flags.rounds))


if __name__ == "__main__":
    main()
