"""What a classifier of DNA is worth and how its answers look, on small networks with random weights."""

import itertools
import json

import keras
import matplotlib.image
import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from keras import ops

from data import batching
from data.files import InputError
from data.transforms import dna
from data.variants import Variant
from layers import Scan
from pipelines.engine import writing
from pipelines.engine.task import Extras, Parts
from pipelines.evaluation import genomic, label_metrics, logos, mutagenesis, sequences

LABELS = {
    "one": ["background", "promoter", "terminator"],
    "several": ["coding", "helix", "signal"],
    "positions": list(".EI"),
}


def made(kind, labels=None, seed=0):
    """Parts of a classifier with random weights: a convolution of one-hot bases, and a mean or a label at each base."""
    labels = labels or LABELS[kind]
    draw = lambda deviation, seed: keras.initializers.RandomNormal(stddev=deviation, seed=seed)
    codes = keras.Input([None], dtype="int64", name="codes")
    x = ops.take(ops.convert_to_tensor(dna.PROBABILITIES), codes, axis=0)  # (batch, timesteps, 4)
    real, scan = ops.not_equal(codes, 0), Scan(6, 5, seed=seed)
    x, _ = scan(x, real)
    real = ops.cast(real, "float32")[..., None]
    if kind != "positions":
        x = ops.sum(x, axis=1) / ops.maximum(ops.sum(real, axis=1), 1)
    logits = keras.layers.Dense(len(labels), kernel_initializer=draw(3, seed + 1), bias_initializer=draw(1, seed))(x)
    numbers = tf.lookup.StaticHashTable(tf.lookup.KeyValueTensorInitializer(labels, range(len(labels))), -1)

    def target(strings, given):
        if kind == "one":
            return numbers.lookup(given)
        if kind == "positions":
            return numbers.lookup(tf.strings.bytes_split(given))
        return tf.stack([tf.strings.regex_full_match(given, f"(.*;)?{one}(;.*)?") for one in labels], axis=1)

    def answer(logits, strings):
        if kind == "several":
            return {"probabilities": tf.sigmoid(logits)}
        found = {"probabilities": tf.nn.softmax(logits)}
        if kind == "positions" and strings is not None:
            lengths = dna.codes(strings).row_lengths()
            letters = tf.gather(tf.constant(labels), tf.argmax(logits, axis=-1))
            return found | {"labels": tf.strings.reduce_join(tf.RaggedTensor.from_tensor(letters, lengths), axis=-1)}
        return found | {"label": tf.gather(tf.constant(labels), tf.argmax(logits, axis=-1))}

    return Parts(
        signature=tf.TensorSpec([None], tf.string, "sequence"),
        prepare=dna.codes,
        target=lambda strings, given: tf.cast(target(strings, given), "float32" if kind == "several" else "int32"),
        model=keras.Model(codes, logits),
        loss=None,
        metrics=[],
        answer=answer,
        samples=[],
        extras=Extras(constants={"labels": labels}, known={"kind": kind, "signal": labels[1], "scan": scan}),
    )


@pytest.fixture(scope="module")
def parts():
    return {kind: made(kind) for kind in LABELS}


def strings(rng, lengths, letters="ACGT"):
    return ["".join(rng.choice(list(letters), length)) for length in lengths]


def dataset(rows):
    sequences, labels = zip(*rows, strict=True)
    return tf.data.Dataset.from_tensor_slices((list(sequences), list(labels)))


def rows_of(kind, rng, lengths):
    """Random sequences with random labels."""
    labels = LABELS[kind]
    given = {
        "one": lambda length: str(rng.choice(labels)),
        "several": lambda length: ";".join(str(one) for one in labels if rng.random() < 0.5),
        "positions": lambda length: "".join(rng.choice(labels, length)),
    }[kind]
    return [(sequence, given(len(sequence))) for sequence in strings(rng, lengths)]


def prepared(parts, rows):
    return batching.cached(batching.prepared(dataset(rows), *parts.once), 2**20)


# Metrics.


def test_of_one_label_the_metrics_are_those_of_the_library():
    rng = np.random.default_rng(0)
    probabilities, truth = rng.dirichlet([1, 1, 1], 200), rng.integers(0, 3, 200)
    found = label_metrics.metrics_of_one(probabilities, truth, LABELS["one"])

    guess, one_hot = probabilities.argmax(axis=1), np.eye(3)[truth]
    assert found["accuracy"] == pytest.approx(np.mean(guess == truth))
    assert found["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(truth, guess))
    assert found["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(truth, probabilities, multi_class="ovr"))
    assert found["auprc"] == pytest.approx(sklearn.metrics.average_precision_score(one_hot, probabilities))
    scores = np.stack(sklearn.metrics.precision_recall_fscore_support(truth, guess), axis=1)
    for label, (name, one) in enumerate(found["classes"].items()):
        assert name == LABELS["one"][label]
        assert [one[part] for part in ("precision", "recall", "f1", "examples")] == pytest.approx(
            scores[label].tolist()
        )
        assert one["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(truth == label, guess == label))
        assert one["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(truth == label, probabilities[:, label]))


def test_of_two_labels_the_areas_are_those_of_the_second():
    rng = np.random.default_rng(1)
    p = rng.random(150).round(1)  # with ties
    truth = (rng.random(150) < p).astype(int)
    found = label_metrics.metrics_of_one(np.stack([1 - p, p], axis=1), truth, ["no", "yes"])
    pairs = [(a > b) + 0.5 * (a == b) for a in p[truth == 1] for b in p[truth == 0]]
    assert found["auroc"] == pytest.approx(np.mean(pairs))
    assert found["auprc"] == pytest.approx(sklearn.metrics.average_precision_score(truth, p))
    low, high = found["interval"]["auroc"]
    assert low < found["auroc"] < high


def test_intervals_are_those_of_resampled_examples_and_repeat():
    rng = np.random.default_rng(2)
    probabilities, truth = rng.dirichlet([1, 1, 1], 80), rng.integers(0, 3, 80)
    guess = probabilities.argmax(axis=1)
    found = label_metrics.metrics_of_one(probabilities, truth, LABELS["one"])["interval"]
    assert found == label_metrics.metrics_of_one(probabilities, truth, LABELS["one"])["interval"]

    def auroc(rows):
        of_label = []
        for label in range(3):
            scores, right = probabilities[rows, label], truth[rows] == label
            a, b = scores[right][:, None], scores[~right]
            of_label.append(np.mean((a > b) + 0.5 * (a == b)))
        return np.mean(of_label)

    again = [rng.integers(80, size=80) for _ in range(300)]
    scores = {
        "accuracy": [np.mean(guess[rows] == truth[rows]) for rows in again],
        "mcc": [sklearn.metrics.matthews_corrcoef(truth[rows], guess[rows]) for rows in again[:200]],
        "auroc": [auroc(rows) for rows in again],
    }
    for name, values in scores.items():
        np.testing.assert_allclose(found[name], np.percentile(values, (2.5, 97.5)), atol=0.03)


def test_of_several_labels_the_metrics_are_those_of_the_library():
    rng = np.random.default_rng(3)
    probabilities, truth = rng.random((120, 3)), rng.integers(0, 2, (120, 3))
    found = label_metrics.metrics_of_several(probabilities, truth.astype("float32"), LABELS["several"])
    guess = probabilities >= 0.5
    assert found["exact_match"] == pytest.approx(sklearn.metrics.accuracy_score(truth, guess))
    for kind in ("macro", "micro"):
        assert found[f"{kind}_f1"] == pytest.approx(sklearn.metrics.f1_score(truth, guess, average=kind))
    assert found["auroc"] == pytest.approx(sklearn.metrics.roc_auc_score(truth, probabilities))
    assert found["auprc"] == pytest.approx(sklearn.metrics.average_precision_score(truth, probabilities))
    one = found["classes"]["helix"]
    assert one["recall"] == pytest.approx(sklearn.metrics.recall_score(truth[:, 1], guess[:, 1]))
    assert one["examples"] == truth[:, 1].sum()


def test_of_labels_of_bases_padding_does_not_count():
    rng = np.random.default_rng(4)
    batches = [(rng.dirichlet([1, 1, 1], (5, bases)), rng.integers(0, 3, (5, bases))) for bases in (4, 9)]
    for probabilities, truth in batches:
        truth[1:3, 2:] = -1
        probabilities[1] = np.eye(3)[truth[1]]  # of this sequence all bases are right
    found = label_metrics.metrics_of_positions(iter(batches), LABELS["positions"])

    guess = np.concatenate([probabilities.argmax(axis=-1).ravel() for probabilities, _ in batches])
    truth = np.concatenate([truth.ravel() for _, truth in batches])
    guess, truth = guess[truth >= 0], truth[truth >= 0]
    assert found["bases"] == len(truth)
    assert found["accuracy"] == pytest.approx(np.mean(guess == truth))
    assert found["macro_f1"] == pytest.approx(sklearn.metrics.f1_score(truth, guess, average="macro"))
    assert found["mcc"] == pytest.approx(sklearn.metrics.matthews_corrcoef(truth, guess))
    assert found["confusion"] == sklearn.metrics.confusion_matrix(truth, guess).tolist()
    whole = [((p.argmax(axis=-1) == t) | (t < 0)).all(axis=1) for p, t in batches]
    assert found["exact_match"] == np.mean(np.concatenate(whole)) >= 0.2
    assert found["classes"]["E"]["precision"] == pytest.approx(sklearn.metrics.precision_score(truth == 1, guess == 1))


@pytest.mark.parametrize("kind", LABELS)
def test_metrics_of_examples_that_are_all_alike_hold_no_nan(parts, kind):
    same = {"one": "promoter", "several": "helix", "positions": "E" * 30}[kind]
    rng = np.random.default_rng(5)
    rows = [(sequence, same) for sequence in strings(rng, [30] * 6)]
    found = sequences.evaluate(parts[kind], prepared(parts[kind], rows), dataset(rows))
    json.dumps(found, allow_nan=False)
    assert "auroc" not in found and "mcc" not in found
    splits = {"train": dataset(rows), "validation": dataset(rows)}
    base = sequences.baselines(parts[kind], None, splits)
    json.dumps(base, allow_nan=False)
    table = sequences.format_metrics({"validation": found, "baselines": base})
    assert "the majority class" in table and "nan" not in table


@pytest.mark.parametrize("kind", LABELS)
def test_evaluation_reads_what_the_network_says(parts, kind):
    rng = np.random.default_rng(6)
    rows = rows_of(kind, rng, rng.integers(4, 30, 40))
    found = sequences.evaluate(parts[kind], prepared(parts[kind], rows), dataset(rows))
    assert found["examples"] == 40
    told = sequences.answers(parts[kind], [sequence for sequence, _ in rows])
    if kind == "one":
        assert found["accuracy"] == np.mean([one["label"] == label for one, (_, label) in zip(told, rows, strict=True)])
    else:
        right = [
            one["labels"] == (label if kind == "positions" else [x for x in label.split(";") if x])
            for one, (_, label) in zip(told, rows, strict=True)
        ]
        assert found["exact_match"] == np.mean(right)


def test_baselines_see_a_planted_word(parts):
    rng = np.random.default_rng(7)
    rows = []
    for label, word in zip(LABELS["one"] * 20, itertools.cycle(["", "TATAAT", "GCGCGC"]), strict=False):
        left, right = strings(rng, (15, 15))
        rows.append((f"{left}{word or strings(rng, [6])[0]}{right}".lower().replace("t", "u"), label))
    found = sequences.baselines(parts["one"], None, {"train": dataset(rows), "validation": dataset(rows)})
    assert found["fitted_on"] == 60
    assert found["validation"]["majority_class"]["accuracy"] == pytest.approx(1 / 3)
    assert found["validation"]["kmer_logistic_regression"]["accuracy"] > 0.9


def test_baselines_of_bases_see_their_neighbours(parts):
    rng = np.random.default_rng(8)
    rows = []
    for sequence in strings(rng, rng.integers(1, 60, 50)):
        after = "." + "".join("E" if base == "G" else "I" if base == "T" else "." for base in sequence[:-1])
        rows.append((sequence, after))
    found = sequences.baselines(parts["positions"], None, {"train": dataset(rows), "test": dataset(rows)})["test"]
    assert found["window_logistic_regression"]["accuracy"] == 1
    assert found["majority_class"]["accuracy"] == np.mean([one == "." for _, label in rows for one in label])


def test_baselines_of_several_labels_know_the_commonest_set(parts):
    rng = np.random.default_rng(9)
    words = {"coding": "ATGATG", "helix": "CCCGGG", "signal": "TTTAAA"}
    rows = []
    for _ in range(80):
        some = [label for label in words if rng.random() < 0.6]
        rows.append(("".join([words[label] for label in some] + strings(rng, [20])), ";".join(some)))
    found = sequences.baselines(parts["several"], None, {"train": dataset(rows), "test": dataset(rows)})["test"]
    assert found["kmer_logistic_regression"]["exact_match"] > 0.9
    commonest = max(np.unique([label for _, label in rows], return_counts=True)[1])
    assert found["majority_class"]["exact_match"] == commonest / 80


# Answers.


@pytest.mark.parametrize("kind", LABELS)
def test_answers_are_in_order_whatever_the_lengths(parts, kind, monkeypatch):
    monkeypatch.setattr(sequences, "BASES_AT_ONCE", 100)
    rng = np.random.default_rng(10)
    inputs = strings(rng, rng.integers(1, 60, 30), "ACGTN")
    found = sequences.answers(parts[kind], inputs)
    assert [one["sequence"] for one in found] == inputs
    for place in (0, 17):
        (alone,) = sequences.answers(parts[kind], [inputs[place]])
        assert alone["labels" if kind != "one" else "label"] == found[place]["labels" if kind != "one" else "label"]
        if kind == "positions":
            assert len(alone["labels"]) == len(inputs[place])
        else:
            assert found[place]["probabilities"] == pytest.approx(alone["probabilities"], abs=1e-5)


def test_lines_for_people():
    one = {"sequence": "ACGT" * 50, "label": "promoter", "probability": 0.987, "probabilities": {}}
    several = {"sequence": "AC", "labels": ["helix"], "probabilities": {"coding": 0.1, "helix": 0.75}}
    positions = {"sequence": "ac g", "labels": ".EE"}
    lines = list(sequences.format_answers(None, [one, several, {**several, "labels": []}, positions], False))
    assert lines[0].startswith("promoter\t0.9870\tACGTACGT") and lines[0].endswith("ACGT (200 bases)")
    assert lines[1:] == ["helix 0.7500\tAC", "no label\tAC", "acg\n.EE"]


def written(parts, found, path):
    writer = writing.writer_of(writing.writers(TASK), path)
    writer(parts, iter(found), path)
    return path.read_text().splitlines()


class TASK:
    """What `writing` reads of a task."""

    evaluation, writers = sequences, {}


def window(name, probability, kind="one", bases=81):
    label = "promoter" if probability >= 0.5 else "background"
    probabilities = {"background": 1 - probability, "promoter": probability}
    answer = {"name": name, "sequence": "A" * bases, "probabilities": probabilities}
    if kind == "several":
        return answer | {"labels": []}
    return answer | {"label": label, "probability": probabilities[label]}


WINDOWS = [
    window("chr1:101-181(+)", 0.75),
    window("chr1:101-181(-)", 0.875),
    window("chr1:141-221(+)", 0.25),
    window("HLA:A*01:1-81", 0.625),
    window("a plasmid", 0.5, bases=50),
    window("exon::chr2:100-181(-)", 0.75),
]


def test_bed_is_one_line_for_each_answer(parts, tmp_path):
    assert written(parts["one"], WINDOWS, tmp_path / "x.bed") == [
        "chr1\t100\t181\tpromoter\t750\t+",
        "chr1\t100\t181\tpromoter\t875\t-",
        "chr1\t140\t221\tbackground\t750\t+",
        "HLA:A*01\t0\t81\tpromoter\t625\t.",
        "a_plasmid\t0\t50\tpromoter\t500\t.",
        "chr2\t100\t181\tpromoter\t750\t-",
    ]
    del (unnamed := dict(WINDOWS[4]))["name"]
    assert written(parts["one"], [unnamed], tmp_path / "x.bed") == ["sequence_1\t0\t50\tpromoter\t500\t."]


def test_bed_of_several_labels_tells_the_signal(tmp_path):
    parts = made("several", ["background", "promoter"])
    found = [window("chr1:101-181(+)", 0.25, "several")]
    assert written(parts, found, tmp_path / "x.bed") == ["chr1\t100\t181\tpromoter\t250\t+"]


def test_bed_of_labels_of_bases_is_their_runs(parts, tmp_path):
    labels = "EE..III"
    found = [{"name": f"chr1:11-17({strand})", "sequence": "ACGTACG", "labels": labels} for strand in "+-"]
    assert written(parts["positions"], found, tmp_path / "x.bed") == [
        "chr1\t10\t12\tE\t0\t+",
        "chr1\t14\t17\tI\t0\t+",
        "chr1\t15\t17\tE\t0\t-",
        "chr1\t10\t13\tI\t0\t-",
    ]


def test_bedgraph_has_one_value_at_each_base(parts, tmp_path):
    assert written(parts["one"], WINDOWS, tmp_path / "x.bedgraph") == [
        'track type=bedGraph name="promoter" description="probability of promoter"',
        "chr1\t100\t140\t0.8750",
        "chr1\t140\t221\t0.2500",
        "HLA:A*01\t0\t81\t0.6250",
        "a_plasmid\t0\t50\t0.5000",
        "chr2\t100\t181\t0.7500",
    ]


def test_bedgraph_goes_on_with_a_window_after_those_within_it(parts, tmp_path):
    places = {(0, 90): 0.5, (10, 50): 0.25, (10, 20): 0.75, (30, 40): 1.0, (60, 70): 0.125, (100, 110): 0.5}
    found = [window(f"c:{start + 1}-{end}", p, bases=end - start) for (start, end), p in places.items()]
    lines = [line.split("\t")[1:] for line in written(parts["one"], [*found, WINDOWS[3]], tmp_path / "x.bedgraph")[1:]]
    of_base = {}  # each base -> the probability of the last window over it
    for place, p in places.items():
        of_base.update(dict.fromkeys(range(*place), p))
    assert [base for start, end, _ in lines[:-1] for base in range(int(start), int(end))] == sorted(of_base)
    assert all(float(p) == of_base[base] for start, end, p in lines[:-1] for base in range(int(start), int(end)))
    assert lines[-1] == ["0", "81", "0.6250"]


def test_bedgraph_refuses_what_it_cannot_hold(parts, tmp_path):
    with pytest.raises(InputError, match="expected .bed, .* for labels of bases"):
        written(parts["positions"], [], tmp_path / "x.bedgraph")
    with pytest.raises(InputError, match="received chr1:101-181 after chr1:141-221"):
        written(parts["one"], [WINDOWS[2], WINDOWS[0]], tmp_path / "x.bedgraph")
    with pytest.raises(InputError, match="chromosome by chromosome, .*received chr1:141-221 after a_plasmid:1-50"):
        written(parts["one"], [WINDOWS[0], WINDOWS[4], WINDOWS[2]], tmp_path / "x.bedgraph")


@pytest.mark.parametrize("suffix", [".bed", ".bedgraph"])
def test_tracks_are_written_while_the_answers_come(parts, tmp_path, suffix):
    path = tmp_path / f"x{suffix}"

    def endless():
        for start in range(1, 10**9):
            if start > 10_000:
                raise KeyboardInterrupt
            yield window(f"chr1:{start}-{start + 80}", 0.5)

    with pytest.raises(KeyboardInterrupt):
        written(parts["one"], endless(), path)
    assert path.read_text().count("\n") >= 9_999


# What the network looks at.


@pytest.mark.parametrize("kind", ["one", "several"])
def test_an_effect_is_what_the_mutant_alone_says(parts, kind):
    (sequence,) = strings(np.random.default_rng(11), [23])
    sequence = f"{sequence[:7]}NY{sequence[9:]}".lower().replace("t", "u")
    found = mutagenesis.mutagenesis(parts[kind], sequence)

    def log_odds(one):
        p = sequences.answers(parts[kind], [one])[0]["probabilities"]
        rest = {label: sum(p.values()) - p[label] if kind == "one" else 1 - p[label] for label in p}
        return {label: np.log(max(p[label], 1e-7) / max(rest[label], 1e-7)) for label in p}

    stands = log_odds(sequence)
    label = max(stands, key=stands.get)
    for place, base in itertools.product(range(23), range(4)):
        mutant = sequence[:place] + "ACGT"[base] + sequence[place + 1 :]
        if mutant.upper().replace("U", "T") == sequence.upper().replace("U", "T"):
            assert found[place, base] == 0
        else:
            assert found[place, base] == pytest.approx(log_odds(mutant)[label] - stands[label], abs=1e-4)
    assert (found[7:9] != 0).any(axis=1).all()  # N and Y


def test_the_effect_of_a_variant_is_exact_where_the_signal_is_nearly_certain():
    parts, both = made("one", ["background", "promoter"]), ["ACGTTGCA", "ACGTAGCA"]
    dense, codes = parts.model.layers[-1], parts.features(tf.constant(both))
    odds = lambda: np.diff(np.asarray(parts.scores(codes), "float64"))[:, 0]
    kernel, bias = dense.get_weights()
    dense.set_weights([kernel, bias + [0, 15 - odds().mean()]])
    one, other = odds()
    assert min(one, other) > 13 and abs(one - other) > 0.01
    (found,) = genomic.effects(parts, [(Variant(1, "chr1", 5, "T", "A", ""), *both)])
    assert found["effect"] == pytest.approx(other - one, abs=1e-4)


def test_of_a_long_sequence_the_middle_is_mutated_as_a_sequence_of_its_own(parts, monkeypatch):
    monkeypatch.setattr(mutagenesis, "BASES_AT_ONCE", 50)  # in many batches
    (sequence,) = strings(np.random.default_rng(12), [31])
    found = mutagenesis.mutagenesis(parts["one"], sequence, most=20)
    assert np.isnan(found[:5]).all() and np.isnan(found[25:]).all()
    whole, window = (sequences.answers(parts["one"], [one])[0]["label"] for one in (sequence, sequence[5:25]))
    assert whole == window
    np.testing.assert_allclose(found[5:25], mutagenesis.mutagenesis(parts["one"], sequence[5:25]), atol=1e-4)
    assert mutagenesis.mutagenesis(parts["one"], "").shape == (0, 4)


def test_of_a_network_of_one_length_the_whole_sequence_is_read():
    parts, (sequence,) = made("one"), strings(np.random.default_rng(18), [31])
    as_it_was = mutagenesis.mutagenesis(parts, sequence)
    codes = keras.Input([40], dtype="int64")
    fixed = made("one")
    fixed.model = keras.Model(codes, parts.model(codes))
    fixed.prepare = lambda given: tf.ensure_shape(dna.codes(given).to_tensor(0, shape=[None, 40]), [None, 40])
    found = mutagenesis.mutagenesis(fixed, sequence, most=20)
    assert found.shape == (31, 4)  # padding is not mutated
    assert np.isnan(found[:5]).all() and np.isnan(found[25:]).all()
    np.testing.assert_allclose(found[5:25], as_it_was[5:25], atol=1e-4)


def test_a_planted_motif_is_found(monkeypatch):
    monkeypatch.setattr(mutagenesis, "BASES_AT_ONCE", 1000)
    rng = np.random.default_rng(13)
    parts = made("one")
    kernel, bias = parts.extras.known["scan"].get_weights()  # (5, 4, 6)
    kernel[..., 2] = sequences.dna.PROBABILITIES[[4, 1, 4, 3, 2]] - 0.5  # TATGC
    bias[2] = -1.0  # of 2.5 at most
    kernel[..., 4], bias[4] = 0.0, -1.0  # never active
    parts.extras.known["scan"].set_weights([kernel, bias])
    rows = []
    for length in rng.integers(3, 40, 60):
        before, after = strings(rng, [length, 12])
        rows.append(f"{before}TATGC{after}")
    rows.append("AC")  # shorter than the filter

    found = {one["filter"]: one for one in mutagenesis.motifs(parts, rows)}

    assert 4 not in found
    windows = [one[place : place + 5] for one in rows for place in range(len(one) - 4)]
    windows = [one for one in windows if sum(a == b for a, b in zip(one, "TATGC", strict=True)) >= 5]
    assert len(windows) >= 60
    # One base less costs 1 of 1.5: less than half of the largest activation is left.
    assert found[2]["windows"] == len(windows)
    expected = (np.eye(4)[["ACGT".index(one) for one in "TATGC"]] * len(windows) + 0.25) / (len(windows) + 1)
    np.testing.assert_allclose(found[2]["matrix"], expected, atol=1e-6)
    bits = [2 + sum(p * np.log2(p) for p in row) for row in expected]
    np.testing.assert_allclose(found[2]["bits"], bits, atol=1e-6)
    assert found[2]["information"] == max(one["information"] for one in found.values())


def test_windows_of_random_filters_are_those_of_a_loop(parts):
    rng = np.random.default_rng(14)
    rows = strings(rng, rng.integers(5, 25, 20), "ACGTN")
    kernel, bias = parts["one"].extras.known["scan"].get_weights()
    windows = [
        dna.PROBABILITIES[[dna.LETTERS.index(base) + 1 for base in one[place : place + 5]]]
        for one in rows
        for place in range(len(one) - 4)
    ]
    for one in mutagenesis.motifs(parts["one"], rows):
        active = np.array([(window * kernel[..., one["filter"]]).sum() + bias[one["filter"]] for window in windows])
        chosen = [window for window, value in zip(windows, active, strict=True) if value > active.max() / 2]
        assert one["windows"] == len(chosen)
        np.testing.assert_allclose(one["matrix"], (np.sum(chosen, axis=0) + 0.25) / (len(chosen) + 1), atol=1e-5)


def test_a_network_without_the_layer_has_no_motifs():
    parts = made("one")
    parts.extras.known["scan"] = None
    assert mutagenesis.motifs(parts, ["ACGT"]) == []


# Pictures.


class Folder:
    """A folder that files are written to, as a run's."""

    def __init__(self, path):
        self.path = path

    def write(self, name, write):
        write(self.path / name)


@pytest.mark.parametrize("kind", LABELS)
def test_a_run_has_every_picture(parts, tmp_path, kind, monkeypatch):
    monkeypatch.setattr(sequences, "RUN_MAPS", 1)
    monkeypatch.setattr(logos, "MOTIFS", 1)
    rng = np.random.default_rng(15)
    rows = rows_of(kind, rng, rng.integers(6, 20, 30))
    metrics = sequences.evaluate(parts[kind], prepared(parts[kind], rows), dataset(rows))
    history = [{"epoch": 1, "loss": 1.0, "validation_loss": 1.2}]
    sequences.plot_run(parts[kind], Folder(tmp_path), history, metrics, {"validation": dataset(rows)})
    assert {path.name for path in tmp_path.iterdir()} == set(sequences.PICTURES)


def test_answers_are_drawn_unless_they_are_labels_of_bases(parts, tmp_path, monkeypatch):
    monkeypatch.setattr(sequences, "MAPS", 1)
    found = sequences.answers(parts["one"], strings(np.random.default_rng(16), [9] * 3, "ACGTNu"))
    sequences.plot_answers(parts["one"], iter(found), tmp_path / "x.png")
    assert matplotlib.image.imread(tmp_path / "x.png").shape[0] > 200
    with pytest.raises(InputError, match="received .png"):
        sequences.plot_answers(parts["positions"], iter([]), tmp_path / "x.png")


def test_a_base_that_matters_is_high_and_its_mutations_are_red(tmp_path):
    effects = np.full((12, 4), -0.1)
    effects[5] = -4.0
    effects[np.arange(12), 0] = 0  # A stands everywhere
    logos.mutagenesis_map([("promoter", "A" * 12, effects)], tmp_path / "x.png")
    picture = matplotlib.image.imread(tmp_path / "x.png")[..., :3]
    dark_red = (picture[..., 0] > 0.3) & (picture[..., 0] < 0.5) & (picture[..., 1] < 0.1)
    across = np.flatnonzero(dark_red[:, : int(0.85 * picture.shape[1])].sum(axis=0) > 20)
    assert 0.4 < across.mean() / (0.85 * picture.shape[1]) < 0.6


def test_of_a_long_sequence_the_bases_around_the_largest_effect_are_shown():
    rng = np.random.default_rng(17)
    effects = rng.uniform(-1, 1, (1000, 4))
    effects[:100] = effects[600:] = np.nan
    effects[130, 2] = -5
    sequence = strings(rng, [1000])[0]
    title, letters, first, shown = logos._cut("promoter", sequence, effects)
    assert (first, letters) == (101, sequence[100:250])
    assert title == "promoter   bases 101 to 250 of 1,000"
    np.testing.assert_array_equal(shown, effects[100:250])
