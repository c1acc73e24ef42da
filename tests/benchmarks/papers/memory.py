"""Cells with an external memory: copying, associative recall, counting and brackets, beyond the lengths trained on."""

import functools
import itertools

import keras
import numpy as np
import tensorflow as tf

from layers import DNCCell, ElmanCell, LSTMCell, MemoryCell, NeuralStackCell, NTMCell, Recurrent, StackCell

# Training. All batches of a row have one shape, so that XLA compiles once.


def network(cell, features, outputs):
    inputs = keras.Input((None, features))
    x = Recurrent(cell, return_sequences=True, jit_compile=True)(inputs)
    return keras.Model(inputs, keras.layers.Dense(outputs)(x))


def of_equal_size(model, features, outputs):
    """An LSTM's network whose number of parameters is the next above that of `model`."""
    for units in itertools.count(8, 4):
        other = network(LSTMCell(units), features, outputs)
        if other.count_params() >= model.count_params():
            return other


def trained(model, batch, loss_of, steps, learning_rate, seed, rounds=None):
    """The model after `steps` batches of `batch(rng) -> (inputs, targets, weights)`, with Adam.

    `rounds`, a memory cell: in the second half of the training its actions are made discrete, ten times a little.
    """
    rng = np.random.default_rng(seed)
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=1.0)
    optimizer.build(model.trainable_variables)

    @tf.function(autograph=False)
    def train(inputs, targets, weights):
        with tf.GradientTape() as tape:
            losses = loss_of(targets, model(inputs, training=True))
            loss = tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        return loss

    for step in range(steps):
        train(*(tf.constant(part) for part in batch(rng)))
        if rounds is not None and 2 * step >= steps and step % (steps // 20) == 0:
            sharpen(rounds, 1.2)
    return model


def sharpen(cell, factor):
    """Multiplies the weights of a stack's actions, between steps of training, so that they become 0 or 1.

    Without it small errors of a continuous stack add up in long strings: A. Joulin and T. Mikolov, 2015, "Rounding".
    """
    sizes = cell.interface_sizes().items()
    scales = [np.full(size, factor if name in ("action", "push", "pop") else 1.0) for name, size in sizes]
    scale = np.concatenate(scales).astype("float32")
    for weight in (cell.interface_kernel, cell.interface_bias):
        weight.assign(weight * scale)


def answers(model, inputs):
    return tf.function(lambda x: model(x, training=False), autograph=False)(tf.constant(inputs)).numpy()


def by_bits(targets, logits):
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits), axis=-1)


def by_symbol(targets, logits):
    return tf.nn.sparse_softmax_cross_entropy_with_logits(targets, logits)


def bits_wrong(model, inputs, targets, weights):
    wrong = (answers(model, inputs) > 0) != (targets > 0.5)
    return wrong.mean(axis=-1)[weights > 0].mean()


# Copying.

BITS = 8


def vectors_to_copy(rng, length=None, rows=32):
    """Vectors of bits, a mark, and their copy: in each row 1 to 20 of them, or `length`."""
    most = length or 20
    lengths = np.full(rows, length) if length else rng.integers(1, most + 1, rows)
    inputs = np.zeros((rows, 2 * most + 1, BITS + 1), "float32")
    targets, weights = np.zeros((rows, 2 * most + 1, BITS), "float32"), np.zeros((rows, 2 * most + 1), "float32")
    for row, count in enumerate(lengths):
        said, copied = rng.integers(0, 2, (count, BITS)), slice(count + 1, 2 * count + 1)
        inputs[row, :count, :BITS], inputs[row, count, BITS] = said, 1
        targets[row, copied], weights[row, copied] = said, 1
    return inputs, targets, weights


def copy(seed, steps=1500):
    """A neural Turing machine copies up to 20 vectors, and longer ones; an LSTM of equal size beside it.

    The task of A. Graves et al., 2014, arXiv:1410.5401, section 4.1: 1 to 20 vectors of 8 bits, a mark, then silence.
    Figures are shares of wrong bits of 64 sequences of 20 and of 40 vectors.
    """
    keras.utils.set_random_seed(seed)
    ntm = network(NTMCell(64, rows=64, width=16, controller=None), BITS + 1, BITS)
    models = {"NTM": ntm, "LSTM": of_equal_size(ntm, BITS + 1, BITS)}
    found = {}
    for name, model in models.items():
        trained(model, vectors_to_copy, by_bits, steps, 0.003, seed)
        for length in (20, 40):
            test = vectors_to_copy(np.random.default_rng(1000), length, rows=64)
            found[f"{name}, error per bit at {length}"] = bits_wrong(model, *test)
    return found | {f"{name}, parameters": model.count_params() for name, model in models.items()}


# Associative recall.


def items_to_recall(rng, items=None, rows=32, length=3, bits=6):
    """Items of three vectors, each after a mark; then one of them again, after another mark: which came next?

    In each row there are 2 to 6 items, or as many as told.
    """
    most = items or 6
    numbers = np.full(rows, items) if items else rng.integers(2, most + 1, rows)
    timesteps = (most + 1) * (length + 1) + 1 + length
    inputs = np.zeros((rows, timesteps, bits + 2), "float32")
    targets, weights = np.zeros((rows, timesteps, bits), "float32"), np.zeros((rows, timesteps), "float32")
    for row, number in enumerate(numbers):
        said, asked = rng.integers(0, 2, (number, length, bits)), rng.integers(0, number - 1)
        for place, vectors in enumerate([*said, said[asked]]):
            begin = place * (length + 1)
            inputs[row, begin, bits + (place == number)] = 1
            inputs[row, begin + 1 : begin + 1 + length, :bits] = vectors
        end = (number + 1) * (length + 1)
        inputs[row, end, bits + 1] = 1
        answer = slice(end + 1, end + 1 + length)
        targets[row, answer], weights[row, answer] = said[asked + 1], 1
    return inputs, targets, weights


def recall(seed, steps=5000):
    """A differentiable neural computer tells which item followed another; an LSTM of equal size beside it.

    The task of A. Graves et al., 2014, arXiv:1410.5401, section 4.3: 2 to 6 items of three vectors of 6 bits. Figures
    are shares of wrong bits of 256 questions about 6 and about 10 items.
    """
    keras.utils.set_random_seed(seed)
    dnc = network(DNCCell(64, rows=32, width=16), 8, 6)
    models = {"DNC": dnc, "LSTM": of_equal_size(dnc, 8, 6)}
    found = {}
    for name, model in models.items():
        trained(model, items_to_recall, by_bits, steps, 0.003, seed)
        for items in (6, 10):
            test = items_to_recall(np.random.default_rng(1000), items, rows=256)
            found[f"{name}, error per bit of {items} items"] = bits_wrong(model, *test)
    return found | {f"{name}, parameters": model.count_params() for name, model in models.items()}


# Counting.

MOST = 12  # the largest n in training
FARTHER = 40  # by which a network is chosen among several
FARTHEST = 60  # and in the test


def counted(rng, letters, numbers=None, rows=32):
    """Strings a^n b^n (c^n), with an end on either side: the next symbol at each timestep, an end after the last."""
    numbers = rng.integers(1, MOST + 1, rows) if numbers is None else numbers
    timesteps = letters * max(MOST, *numbers) + 1
    symbols = np.zeros((len(numbers), timesteps + 1), "int32")  # 0 is the end
    for row, number in enumerate(numbers):
        symbols[row, 1 : 1 + letters * number] = np.repeat(np.arange(1, letters + 1), number)
    weights = np.arange(timesteps) <= letters * numbers[:, None]
    return np.eye(letters + 1, dtype="float32")[symbols[:, :-1]], symbols[:, 1:], weights.astype("float32")


def right_up_to(model, letters, most):
    """The largest n up to which all that is determined, from the second b to the end, is predicted right."""
    numbers = np.arange(1, most + 1)
    inputs, targets, weights = counted(None, letters, numbers)
    determined = (weights > 0) & (np.arange(inputs.shape[1]) > numbers[:, None])
    wrong = ((answers(model, inputs).argmax(axis=-1) != targets) & determined).any(axis=1)
    return int(np.argmax(wrong)) if wrong.any() else most


# Without recurrence in the controller nothing but the stack can count: the paper's R = 0.
COUNTERS = {
    "stack": lambda: StackCell(40, stacks=10, depth=64, controller=None),
    "neural stack": lambda: NeuralStackCell(20, capacity=64, width=4, controller=None),
    "LSTM": lambda: LSTMCell(40),
    "Elman": lambda: ElmanCell(40),
}


def count(seed, letters, steps, most, counters):
    """Trains networks of each kind, `most` of them, until one is right up to `FARTHER`; the best by that is tested."""
    found = {}
    for name, make in counters.items():
        chosen = tested = trials = 0
        while chosen < FARTHER and trials < most:
            keras.utils.set_random_seed(1000 * seed + trials)
            trials += 1
            cell = make()
            rounds = cell if isinstance(cell, MemoryCell) else None
            model = network(cell, letters + 1, letters + 1)
            trained(model, functools.partial(counted, letters=letters), by_symbol, steps, 0.01, seed, rounds)
            for again in range(2 if rounds else 1):
                if again:
                    sharpen(cell, 3)
                if (now := right_up_to(model, letters, FARTHER)) > chosen:
                    chosen, tested = now, right_up_to(model, letters, FARTHEST)
        found[f"{name}, right up to n"], found[f"{name}, networks trained"] = tested, trials
    return found


def anbn(seed, steps=2000):
    """Stack cells that were trained on a^n b^n up to n = 12 count further; an Elman network does not.

    A task of A. Joulin and T. Mikolov, 2015, arXiv:1503.01007. A figure is the largest n, of 60, up to which each
    symbol from the second b to the end of the string is the most probable one. Of each kind up to ten networks are
    trained, until one is right up to n = 40; the best by that is tested.
    """
    return count(seed, 2, steps, 10, COUNTERS)


def anbncn(seed, steps=3000):
    """A cell with ten stacks that was trained on a^n b^n c^n up to n = 12 counts further; an Elman network does not.

    As `anbn`, with another letter and up to five networks. The language is not context-free: a single stack, as the
    neural one is, cannot count it.
    """
    several = {name: make for name, make in COUNTERS.items() if name != "neural stack"}
    return count(seed, 3, steps, 5, several)


# Brackets.


def brackets(rng, deepest=8, rows=32, length=40):
    """Beginnings of strings of two kinds of brackets; at each timestep the kind that closes now, or 2 where none does.

    In each string the number of open brackets rises and falls between 0 and `deepest`.
    """
    inputs, targets = np.zeros((rows, length, 4), "float32"), np.zeros((rows, length), "int32")
    for row in range(rows):
        held, rises = [], True
        for t in range(length):
            rises = len(held) == 0 or (len(held) < deepest and (rises if rng.random() < 0.8 else not rises))
            if rises:
                held.append(int(rng.integers(2)))
                inputs[row, t, held[-1]] = 1
            else:
                inputs[row, t, 2 + held.pop()] = 1
            targets[row, t] = held[-1] if held else 2
    return inputs, targets, np.ones((rows, length), "float32")


def dyck(seed, steps=3000):
    """Stack cells that were trained on two kinds of brackets to depth 8 close them right at greater depths.

    The language of E. Grefenstette et al., 2015 and M. Suzgun et al., 2019, arXiv:1911.03329, with two kinds of
    brackets. Figures are shares of timesteps at which the bracket that may close is told wrong, in 256 strings to
    depth 8 and to depth 16.
    """
    keras.utils.set_random_seed(seed)
    cells = {
        "stack": StackCell(40, stacks=4, depth=32),
        "neural stack": NeuralStackCell(20, capacity=32, width=4),
        "LSTM": LSTMCell(40),
        "Elman": ElmanCell(40),
    }
    found = {}
    for name, cell in cells.items():
        model = trained(network(cell, 4, 3), brackets, by_symbol, steps, 0.01, seed)
        for deepest in (8, 16):
            inputs, targets, _ = brackets(np.random.default_rng(1000), deepest, rows=256, length=5 * deepest)
            found[f"{name}, wrong to depth {deepest}"] = (answers(model, inputs).argmax(axis=-1) != targets).mean()
    return found


ROWS = [
    (copy, "error per bit at"),
    (recall, "error per bit of"),
    (anbn, "right up to n"),
    (anbncn, "right up to n"),
    (dyck, "wrong to depth"),
]
