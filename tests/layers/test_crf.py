"""The conditional random field against brute force over all tag sequences."""

import itertools

import keras
import numpy as np
import pytest
from cells import TENSORFLOW, gradients, short_blocks
from keras import ops

from layers import CRF, CRFAccuracy, CRFLoss, Marginals, Recurrent, Viterbi, crf
from layers.cells.gru import GRUCell

TAGS = 3
MASK = np.array(
    [[1, 1, 1, 1, 1, 1, 1], [1, 1, 1, 0, 0, 0, 0], [0, 0, 1, 1, 1, 1, 0], [1, 0, 1, 1, 0, 0, 1], [0] * 7], bool
)
IDS = np.random.default_rng(10).integers(0, TAGS, MASK.shape)
BIO = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def short_chains(monkeypatch):
    short_blocks(monkeypatch)
    for module in ("crf", "potentials", "viterbi"):
        monkeypatch.setattr(f"layers.{module}.BLOCK", 2)


@pytest.fixture
def logits(monkeypatch):
    short_chains(monkeypatch)
    return np.random.default_rng(0).normal(size=(5, 7, TAGS)).astype("float32")


def made(tags=TAGS, seed=1, **arguments):
    layer = CRF(tags, **arguments)
    layer.build((None, None, layer.tags))
    rng = np.random.default_rng(seed)
    layer.set_weights([rng.normal(size=w.shape) for w in layer.weights])
    return layer


def scores(layer, logits, real):
    """Every tag sequence of the real timesteps of one row, and its score, the best first."""
    between, start, end = (np.asarray(w, "float64") for w in layer.get_weights())
    u = logits[real].astype("float64")
    found = {}
    for tags in itertools.product(range(u.shape[1]), repeat=len(u)):
        total = sum(u[t, tag] for t, tag in enumerate(tags)) + sum(between[i, j] for i, j in itertools.pairwise(tags))
        found[tags] = total + (start[tags[0]] + end[tags[-1]] if tags else 0)
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def probabilities(found):
    values = np.exp(np.array(list(found.values())))
    return dict(zip(found, values / values.sum(), strict=True))


def numpy(x):
    return ops.convert_to_numpy(x)


def test_normalizer_marginals_and_likelihood_are_sums_over_all_sequences(logits):
    layer = made()
    potentials = layer(logits, mask=MASK)
    total, marginal = numpy(crf.log_normalizer(potentials)), numpy(Marginals()(potentials))
    tags = np.random.default_rng(2).integers(0, TAGS, (5, 7))
    likelihood = numpy(crf.log_likelihood(potentials, tags))
    for row, real in enumerate(MASK):
        found = scores(layer, logits[row], real)
        each = probabilities(found)
        assert total[row] == pytest.approx(np.log(np.sum(np.exp(list(found.values())))), abs=1e-4)
        assert likelihood[row] == pytest.approx(np.log(each[tuple(tags[row, real])]), abs=1e-4)
        expected = np.zeros((real.sum(), TAGS))
        for sequence, p in each.items():
            expected[np.arange(len(sequence)), list(sequence)] += p
        np.testing.assert_allclose(marginal[row, real], expected, atol=1e-5)


def test_a_stretch_of_tags_is_as_sure_as_all_sequences_that_hold_it(logits):
    layer = made()
    ids = np.random.default_rng(3).integers(0, TAGS, MASK.shape)
    alone, before = (numpy(one) for one in crf.along(layer(logits, mask=MASK), ids))
    for row in range(4):
        real = np.flatnonzero(MASK[row])
        found = probabilities(scores(layer, logits[row], MASK[row]))
        for first, last in itertools.combinations_with_replacement(range(len(real)), 2):
            wanted = tuple(ids[row, real[first : last + 1]])
            total = sum(p for tags, p in found.items() if tags[first : last + 1] == wanted)
            if MASK[row, real[first] : real[last] + 1].all():
                told = alone[row, real[last]] + before[row, real[first] + 1 : real[last] + 1].sum()
                np.testing.assert_allclose(np.exp(told), total, rtol=1e-4)


@pytest.mark.parametrize("best", [1, 4])
def test_the_best_sequences_are_the_best_of_all(logits, best):
    layer = made()
    ids, found = (numpy(x) for x in crf.viterbi(layer(logits, mask=MASK), best))
    for row, real in enumerate(MASK):
        expected = list(probabilities(scores(layer, logits[row], real)).items())[:best]
        assert [tuple(one) for one in ids[row, : len(expected)][:, real]] == [sequence for sequence, _ in expected]
        np.testing.assert_allclose(found[row, : len(expected)], np.log([p for _, p in expected]), atol=1e-4)
        assert (found[row, len(expected) :] < -1e5).all()
        assert not ids[row][:, ~real].any()


def test_a_tag_ruled_out_by_its_logit_is_no_padding(logits):
    layer = made()
    logits[:, 2, 0] = -np.inf
    ids, score = (numpy(one) for one in Viterbi()(layer(logits, mask=MASK)))
    for row in (0, 2, 3):
        found = scores(layer, logits[row], MASK[row])
        best = max(found, key=found.get)
        np.testing.assert_array_equal(ids[row, MASK[row]], best)
        assert score[row] == pytest.approx(np.log(probabilities(found)[best]), abs=1e-4)


def test_labels_that_leave_a_choice_get_the_sum_of_what_fits(logits):
    layer = made()
    potentials = layer(logits, mask=MASK)
    unknown = np.random.default_rng(3).integers(-1, TAGS, (5, 7))
    fits = np.random.default_rng(4).random((5, 7, TAGS)) > 0.4
    fits[..., 0] |= ~fits.any(axis=-1)
    for given, fit in ((unknown, (unknown[..., None] == np.arange(TAGS)) | (unknown[..., None] < 0)), (fits, fits)):
        found = numpy(crf.log_likelihood(potentials, given))
        for row, real in enumerate(MASK):
            each = probabilities(scores(layer, logits[row], real))
            allowed = fit[row, real]
            expected = sum(p for tags, p in each.items() if all(allowed[t, tag] for t, tag in enumerate(tags)))
            assert found[row] == pytest.approx(np.log(expected), abs=1e-4)


def test_what_is_ruled_out_by_minus_infinity_has_no_probability(logits):
    layer = made()
    between, start, end = layer.get_weights()
    between[:, 1] = start[1] = -np.inf  # nothing leads to tag 1
    layer.set_weights([between, start, end])
    logits[:, 3, 2] = -np.inf
    potentials = layer(logits, mask=MASK)
    tags = np.where(np.random.default_rng(9).random(MASK.shape) < 0.5, 0, 2)
    tags[:, 3] = 0
    likelihood, marginal = numpy(crf.log_likelihood(potentials, tags)), numpy(Marginals()(potentials))
    alone, before = (numpy(one) for one in crf.along(potentials, tags))
    for row, real in enumerate(MASK[:3]):
        each = probabilities(scores(layer, logits[row], real))
        p = each[tuple(tags[row, real])]
        assert likelihood[row] == pytest.approx(np.log(p), abs=1e-4)
        assert alone[row, real][-1] + before[row, real][1:].sum() == pytest.approx(np.log(p), abs=1e-4)
        np.testing.assert_allclose(marginal[row, real].sum(axis=1), 1, rtol=1e-5)
        assert not marginal[row, real, 1].any() and marginal[row, 3, 2] in (0, marginal[row, 2, 2])
    found = gradients(layer, lambda layer, u: -ops.sum(crf.log_likelihood(layer(u, mask=MASK), tags)), logits)
    assert all(np.isfinite(one).all() for one in found)


def assert_nothing_is_known(potentials, tags, rows):
    """The sequences of these rows have no probability, whoever asks; those of the others have one."""
    unknown = np.where(np.arange(tags.shape[1]) == 0, -1, tags)
    told = [crf.log_normalizer(potentials), *(crf.log_likelihood(potentials, one) for one in (tags, unknown))]
    for best in (1, 3):
        ids, found = (numpy(one) for one in crf.viterbi(potentials, best))
        assert ids.min() >= 0 and ids.max() < TAGS
        told += list(found.T)
    marginal, alone = numpy(Marginals()(potentials)), numpy(crf.along(potentials, tags)[0])
    told += [marginal[:, t, tag] for t in (0, 2) for tag in range(TAGS)] + [alone[:, t] for t in (0, 2)]
    for one in map(numpy, told):
        assert np.isnan(one[rows]).all() and np.isfinite(np.delete(one, rows)).all()
    assert np.isnan(CRFLoss()(tags, potentials))


def test_nothing_is_known_where_a_logit_is_no_number(logits):
    poisons = np.repeat(logits[1:2], 5, axis=0)  # of three words
    poisons[0, 1, 0], poisons[1, 1], poisons[2] = np.nan, np.nan, np.nan
    poisons[3, 2, 0], poisons[4, 0] = np.inf, -np.inf  # one infinite logit; no tag is possible
    potentials = made()(np.concatenate([poisons, logits]), mask=np.concatenate([MASK[[1] * 5], MASK]))
    assert_nothing_is_known(potentials, np.concatenate([IDS, IDS]), np.arange(5))
    accuracy = CRFAccuracy()
    accuracy.update_state(numpy(crf.viterbi(potentials)[0])[:, 0], potentials)
    assert float(accuracy.result()) == pytest.approx(MASK.sum() / (MASK.sum() + 5 * 3))


@pytest.mark.parametrize("place", range(3), ids=["transitions", "start", "end"])
def test_nothing_is_known_where_a_weight_is_no_number(logits, place):
    layer = made()
    weights = layer.get_weights()
    weights[place].flat[1] = np.nan
    layer.set_weights(weights)
    assert_nothing_is_known(layer(logits, mask=MASK), IDS, np.arange(4))


def test_inputs_at_padding_do_not_matter(logits):
    layer = made()
    poison = np.array([np.nan, np.inf, -np.inf, -1e31, np.nan], "float32")[:, None, None]
    poisoned = np.where(MASK[:, :, None], logits, poison)
    for answer in (crf.viterbi, crf.marginals, lambda x: crf.along(x, IDS)):
        for one, other in zip(*(answer(layer(x, mask=MASK)) for x in (logits, poisoned)), strict=True):
            np.testing.assert_array_equal(numpy(one), numpy(other))
    loss = lambda layer, u: CRFLoss()(IDS, layer(u, mask=MASK))
    assert float(loss(layer, poisoned)) == float(loss(layer, logits))
    for one, other in zip(gradients(layer, loss, logits), gradients(layer, loss, poisoned), strict=True):
        np.testing.assert_array_equal(one, other)


def test_padding_is_known_in_any_floats_and_after_potentials_were_averaged(logits):
    potentials, tags = made()(logits, mask=MASK), IDS
    expected = numpy(crf.log_likelihood(potentials, tags))
    for dtype, tolerance in (("float64", 1e-5), ("bfloat16", 0.1), ("float16", 0.02)):
        given = ops.cast(potentials, dtype)
        np.testing.assert_allclose(numpy(crf.log_likelihood(given, tags)), expected, atol=tolerance)
        assert float(CRFLoss()(tags, given)) == pytest.approx(-expected.mean(), abs=tolerance)
    other = 0.3 * potentials + 0.7 * potentials
    np.testing.assert_allclose(numpy(crf.log_likelihood(other, tags)), expected, rtol=1e-5)
    ids, score = Viterbi(dtype="mixed_float16")(potentials)
    assert keras.backend.standardize_dtype(score.dtype) == "float32"
    np.testing.assert_array_equal(numpy(score), numpy(Viterbi()(potentials)[1]))
    np.testing.assert_array_equal(numpy(Marginals(dtype="mixed_float16")(potentials)), numpy(Marginals()(potentials)))


# What the loss and the metric are told.

SOME = np.where(np.random.default_rng(11).random(MASK.shape) < 0.3, -1, IDS)
FORMS = {
    "ids": lambda ids: ids,
    "floats": lambda ids: ids.astype("float64"),
    "8 bits": lambda ids: ids.astype("int8"),
    "last axis of 1": lambda ids: ids[..., None],
    "one-hot": lambda ids: (ids[..., None] == np.arange(TAGS)).astype("float32"),
    "one-hot booleans": lambda ids: ids[..., None] == np.arange(TAGS),
    "what is no target at padding": lambda ids: np.where(MASK, ids, 10**6),
    "one-hot, -1 at padding": lambda ids: np.where(MASK[..., None], ids[..., None] == np.arange(TAGS), -1),
}


def measured(potentials, tags):
    accuracy = CRFAccuracy()
    accuracy.update_state(tags, potentials)
    return float(CRFLoss()(tags, potentials)), float(accuracy.result())


def test_targets_of_every_form_give_one_loss_and_one_accuracy(logits):
    layer = made()
    potentials = layer(logits, mask=MASK)
    each = [probabilities(scores(layer, logits[row], real)) for row, real in enumerate(MASK)]
    best = [np.array(max(one, key=one.get), int) for one in each]
    for ids, forms in ((SOME, FORMS), (IDS, ("ids", "one-hot"))):
        nats, right = [], []
        for row, real in enumerate(MASK):
            known = ids[row, real] >= 0
            fit = [p for tags, p in each[row].items() if (np.array(tags, int) == ids[row, real])[known].all()]
            nats.append(-np.log(sum(fit)))
            right += list((best[row] == ids[row, real])[known])
        expected = np.mean(nats), np.mean(right)
        for form in forms:
            assert measured(potentials, FORMS[form](ids)) == pytest.approx(expected, abs=1e-5), form


def test_a_decoded_tag_that_is_one_of_those_that_may_be_right_is_right(logits):
    potentials = made()(logits, mask=MASK)
    best = numpy(crf.viterbi(potentials)[0])[:, 0]
    one_more = (best[..., None] == np.arange(TAGS)) | (((best + 1) % TAGS)[..., None] == np.arange(TAGS))
    assert measured(potentials, one_more)[1] == 1
    assert measured(potentials, ~one_more)[1] == 0
    one_more[:2] = True  # all may be right: nothing is known
    one_more[2] = ~one_more[2]
    assert measured(potentials, one_more)[1] == pytest.approx(MASK[3].sum() / MASK[2:].sum())


WRONG = {
    "id": (np.where(MASK & (np.arange(7) == 2), 3, IDS), "ids of tags must be whole numbers below 3.* tag: .*3"),
    "fraction": (IDS + 0.5, "ids of tags must be whole numbers"),
    "NaN": (np.where(MASK, np.nan, IDS), "ids of tags must be whole numbers"),
    "soft": (np.full((*MASK.shape, TAGS), 1 / TAGS), "each number must be 1 .* or 0"),
    "shorter": (IDS[:, :6], r"ids \(batch, timesteps\)"),
    "longer": (np.pad(IDS, [(0, 0), (0, 1)]), r"ids \(batch, timesteps\)"),
    "one timestep": (IDS[:, :1], r"ids \(batch, timesteps\)"),
    "one sequence": (IDS[:1], r"ids \(batch, timesteps\)"),
    "one-hot of more tags": (np.eye(4)[IDS], r"one-hot \(batch, timesteps, 3\)"),
    "flat": (IDS[:, 0], r"ids \(batch, timesteps\)"),
}
SHAPES = ("shorter", "longer", "one timestep", "one sequence", "one-hot of more tags")


@pytest.mark.parametrize("wrong", WRONG)
def test_a_target_that_is_none_is_named(logits, wrong):
    potentials = made()(logits, mask=MASK)
    tags, message = WRONG[wrong]
    for owner, ask in {
        "CRFLoss": lambda: CRFLoss()(tags, potentials),
        "CRFAccuracy": lambda: CRFAccuracy().update_state(tags, potentials),
        "log_likelihood": lambda: crf.log_likelihood(potentials, tags),
    }.items():
        with pytest.raises(ValueError, match=f"(?s){owner}: .*{message}"):
            ask()


@pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow's graphs; what JAX compiles gives NaN")
def test_a_graph_of_unknown_sizes_names_a_target_that_is_none(logits):
    import tensorflow as tf

    potentials = made()(logits, mask=MASK)
    rank = {rank: [tf.TensorSpec([None] * rank), tf.TensorSpec([None, None, TAGS])] for rank in (2, 3)}
    losses = {n: tf.function(lambda tags, x: CRFLoss()(tags, x), rank[n], autograph=False) for n in rank}
    for name in ("id", "soft", *SHAPES):
        tags, message = WRONG[name]
        with pytest.raises(tf.errors.InvalidArgumentError, match=f"(?s)CRFLoss: .*{message.split('.*')[0]}"):
            losses[tags.ndim](tags.astype("float32"), potentials)
    for name, ask in (
        ("tags", lambda x: CRFLoss()(x, potentials)),
        ("sample_weight", lambda x: CRFLoss()(IDS, potentials, x)),
        ("sample_weight", lambda x: CRFAccuracy().update_state(IDS, potentials, x)),
    ):
        with pytest.raises(ValueError, match=f"the number of axes of `{name}` must be known.* compile the model again"):
            tf.function(ask, [tf.TensorSpec(None)], autograph=False).get_concrete_function()
    assert float(losses[2](IDS.astype("float32"), potentials)) == pytest.approx(float(CRFLoss()(IDS, potentials)))


def test_sample_weights_are_those_of_sequences_and_of_words_where_words_are_counted(logits):
    potentials = made()(logits, mask=MASK)
    each, rng = -numpy(crf.log_likelihood(potentials, IDS)), np.random.default_rng(12)
    weights, words = rng.uniform(size=5).astype("float32"), rng.uniform(size=MASK.shape)
    right = numpy(crf.viterbi(potentials)[0])[:, 0] == IDS

    def counted(given):
        accuracy = CRFAccuracy()
        accuracy.update_state(IDS, potentials, given)
        return float(accuracy.result())

    for given in (weights, weights[:, None]):
        np.testing.assert_allclose(CRFLoss(reduction=None)(IDS, potentials, given), each * weights, rtol=1e-5)
        assert counted(given) == pytest.approx(np.average(right, weights=MASK * weights[:, None]))
    assert float(CRFLoss()(IDS, potentials, weights.tolist())) == pytest.approx(np.mean(each * weights), rel=1e-5)
    for given in (words, words[..., None]):
        assert counted(given) == pytest.approx(np.average(right, weights=MASK * words))
    for given in (words, words[..., None], weights[:3]):
        with pytest.raises(ValueError, match=r"CRFLoss: `sample_weight` must be \(batch,\) or \(batch, 1\).*Received"):
            CRFLoss()(IDS, potentials, given)
    for given in (words[:, :3], words[:2], np.zeros((5, 7, TAGS))):
        with pytest.raises(ValueError, match=r"CRFAccuracy: `sample_weight` must be \(batch,\).*Received"):
            CRFAccuracy().update_state(IDS, potentials, given)


@pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow's gradients; JAX's are of the same function")
def test_the_gradient_is_the_slope():
    import tensorflow as tf

    rng = np.random.default_rng(5)
    layer = CRF(TAGS, dtype="float64")
    layer.build((None, None, TAGS))
    tags = rng.integers(0, TAGS, (5, 7))

    def loss(x, *weights):
        mapping = [(v, tf.convert_to_tensor(w)) for v, w in zip(layer.weights, weights, strict=True)]
        with keras.StatelessScope(state_mapping=mapping):
            return -ops.sum(crf.log_likelihood(layer(x, mask=MASK), tags) * np.arange(1.0, 6.0))

    point = [tf.constant(rng.normal(size=shape)) for shape in ((5, 7, TAGS), (TAGS, TAGS), (TAGS,), (TAGS,))]
    with tf.GradientTape() as tape:
        tape.watch(point)
        total = loss(*point)
    for place, gradient in enumerate(tape.gradient(total, point)):
        direction = rng.normal(size=point[place].shape)
        ahead, behind = (
            [p + sign * 1e-6 * direction if i == place else p for i, p in enumerate(point)] for sign in (1, -1)
        )
        slope = float(loss(*ahead) - loss(*behind)) / 2e-6
        assert np.sum(gradient * direction) == pytest.approx(slope, rel=1e-6, abs=1e-6)


def fits(tags, scheme):
    """A reading of each scheme by what a sequence of its tags must look like."""
    kinds = {tag: (tag[0], tag[2:]) for tag in tags}
    if scheme in ("BIO", "IOB1"):
        for before, after in itertools.pairwise(["O", *tags]):
            (p, p_kind), (n, n_kind) = kinds.get(before, ("O", "")), kinds[after]
            same = p != "O" and p_kind == n_kind
            if (n == "I" and scheme == "BIO" or n == "B" and scheme == "IOB1") and not same:
                return False
        return True
    begin, middle, end, single = {"BIOES": "BIES", "BIOUL": "BILU", "BMES": "BMES"}[scheme]
    open_kind = None
    for tag in tags:
        prefix, kind = kinds[tag]
        if prefix in (middle, end):
            if open_kind != kind:
                return False
        elif open_kind is not None:
            return False
        open_kind = kind if prefix in (begin, middle) else None
    return open_kind is None


@pytest.mark.parametrize(
    "scheme, names",
    [
        ("BIO", BIO),
        ("IOB1", BIO),
        ("BIOES", ["O", "B-A", "I-A", "E-A", "S-A", "E-B"]),
        ("BIOUL", ["O", "B-A", "I-A", "L-A", "U-A", "I-B"]),
        ("BMES", ["B", "M", "E", "S"]),
    ],
)
def test_what_a_scheme_forbids_is_never_decoded_and_gets_no_probability(scheme, names):
    rng = np.random.default_rng(6)
    layer = made(names, scheme=scheme)
    logits = 3 * rng.normal(size=(20, 4, len(names))).astype("float32")
    legal = [
        tags for tags in itertools.product(range(len(names)), repeat=4) if fits([names[tag] for tag in tags], scheme)
    ]
    ids = numpy(Viterbi()(layer(logits))[0])
    assert all(tuple(row) in set(legal) for row in ids)
    found = numpy(crf.log_likelihood(layer(np.repeat(logits, len(legal), axis=0)), np.tile(legal, (20, 1))))
    np.testing.assert_allclose(np.exp(found).reshape(20, -1).sum(axis=1), 1, atol=1e-3)


def tagger(width=8, timesteps=None):
    words = keras.Input((timesteps,), dtype="int32")
    x = keras.layers.Embedding(12, width)(words)
    real = ops.not_equal(words, 0)
    x = Recurrent(GRUCell(width), return_sequences=True)(x, mask=real)
    return keras.Model(words, CRF(TAGS, name="tags")(keras.layers.Dense(TAGS)(x), mask=real))


def sentences(count=128):
    """A word's tag is its remainder by three, plus one where the word before was a multiple of four."""
    rng = np.random.default_rng(7)
    words = rng.integers(1, 12, (count, 9))
    before = np.pad(words, [(0, 0), (1, 0)])[:, :-1]
    tags = (words + (before % 4 == 0) * (before > 0)) % 3
    words[:, 6:] *= rng.integers(0, 2, (count, 1))
    return words.astype("int32"), tags.astype("int32")


@pytest.mark.parametrize("policy, epochs, timesteps", [("float32", 10, None), ("mixed_bfloat16", 4, 8)])
def test_it_learns_with_plain_fit_and_is_saved_and_loaded(policy, epochs, timesteps, tmp_path, monkeypatch):
    short_chains(monkeypatch)
    keras.utils.set_random_seed(0)
    words, tags = (x[:, :timesteps] for x in sentences())
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = tagger(timesteps=timesteps)
    finally:
        keras.config.set_dtype_policy(before)
    model.compile(keras.optimizers.Adam(0.05), CRFLoss(), metrics=[CRFAccuracy()], jit_compile=not TENSORFLOW)
    history = model.fit(words, tags, epochs=epochs, batch_size=32, verbose=0).history
    assert history["accuracy"][-1] > 0.6 + 0.03 * epochs > history["accuracy"][0]
    potentials = model(words)
    loss, accuracy = measured(potentials, tags)
    ids, _ = Viterbi()(potentials)
    assert (numpy(ids) == tags)[words > 0].mean() == pytest.approx(accuracy, abs=1e-6)
    model.save(tmp_path / "tagger.keras")
    loaded = keras.models.load_model(tmp_path / "tagger.keras")
    np.testing.assert_array_equal(numpy(loaded(words)), numpy(potentials))
    loaded.run_eagerly = True  # the graphs of `fit` take long to trace again
    evaluated = loaded.evaluate(words, tags, batch_size=len(words), verbose=0)
    assert evaluated == pytest.approx([loss, accuracy], rel=1e-5)


@pytest.mark.skipif(not TENSORFLOW, reason="a SavedModel")
@pytest.mark.parametrize("jit", [False, True])
def test_a_decoder_is_exported_and_compiled_where_sizes_are_unknown(jit, tmp_path, monkeypatch):
    import tensorflow as tf

    short_chains(monkeypatch)
    words, _ = sentences(5)
    model = tagger()
    decoder = keras.Model(model.input, Viterbi(best=2)(model.output))
    expected, scores = decoder(words)
    if jit:
        run = tf.function(decoder, [tf.TensorSpec([None, None], "int32")], jit_compile=True)
        ids, found = run(words)
    else:
        decoder.export(tmp_path / "decoder", verbose=False)
        served = tf.saved_model.load(tmp_path / "decoder")
        ids, found = served.serve(words)
    np.testing.assert_array_equal(ids, expected)
    np.testing.assert_allclose(found, scores, atol=1e-5)


@pytest.mark.skipif(not TENSORFLOW, reason="TensorFlow's XLA")
def test_what_xla_compiles_gives_the_same(logits):
    import tensorflow as tf

    layer = made()

    def run(logits, tags):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            potentials = layer(logits, mask=MASK)
            loss = CRFLoss()(tags, potentials)
        found = tape.gradient(loss, [logits, *(w.value for w in layer.weights)])
        return loss, found, Marginals()(potentials), crf.along(potentials, tags), Viterbi()(potentials)

    signature = [tf.TensorSpec([None, 7, TAGS]), tf.TensorSpec([None, 7], "int64")]
    compiled = tf.function(run, signature, autograph=False, jit_compile=True)
    nan = logits.copy()
    nan[0, 0] = np.nan
    for given in ((logits, IDS), (logits, SOME), (nan, IDS)):
        expected = run(tf.constant(given[0]), tf.constant(given[1]))
        for one, other in zip(tf.nest.flatten(compiled(*given)), tf.nest.flatten(expected), strict=True):
            np.testing.assert_allclose(one, other, atol=2e-5)
    assert np.isnan(compiled(logits, IDS + 1)[0]) and np.isnan(compiled(nan, IDS)[0])


@pytest.mark.skipif(not TENSORFLOW, reason="JAX compiles by XLA always")
def test_fit_compiled_by_xla_gives_the_same_losses(monkeypatch):
    short_chains(monkeypatch)
    words, tags = (x[:, :5] for x in sentences(4))
    tags[2, 1] = -1  # the sum over several sequences of tags, and that over one
    found = {}
    for jit in (False, True):
        ids = keras.Input((None,), dtype="int32")
        embedding = keras.layers.Embedding(12, TAGS, embeddings_initializer=keras.initializers.RandomNormal(seed=0))
        model = keras.Model(ids, CRF(TAGS)(embedding(ids), mask=ids > 0))
        model.compile("sgd", CRFLoss(), metrics=[CRFAccuracy()], jit_compile=jit, run_eagerly=not jit)
        found[jit] = model.fit(words, tags, epochs=2, batch_size=2, shuffle=False, verbose=0).history
    for name, values in found[False].items():
        np.testing.assert_allclose(found[True][name], values, rtol=1e-4)
    model.set_weights([np.full(w.shape, np.nan) for w in model.get_weights()])
    history = model.fit(words, tags, batch_size=2, epochs=2, verbose=0, callbacks=[keras.callbacks.TerminateOnNaN()])
    assert len(history.epoch) == 1 and np.isnan(history.history["loss"]).all()


def test_long_sentences_stay_exact_in_32_bits():
    layer = made()
    logits = 100 * np.random.default_rng(8).normal(size=(2, 300, TAGS)).astype("float32")

    def run(logits):
        potentials = layer(logits)
        ids, scores = Viterbi()(potentials)
        likelihood = crf.log_likelihood(potentials, ids)
        return ids, scores, crf.log_normalizer(potentials), likelihood, Marginals()(potentials)

    if TENSORFLOW:  # a graph runs 300 timesteps sooner than Python does
        import tensorflow as tf

        run = tf.function(run, autograph=False)
    ids, scores, total, again, marginal = map(numpy, run(logits))
    assert np.isfinite(total).all()
    np.testing.assert_allclose(again, scores, atol=0.02)
    assert (again <= 1e-3).all() and ids.shape == (2, 300)
    np.testing.assert_allclose(marginal.sum(axis=2), 1, atol=1e-5)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"tags": 1}, "`tags` must be an integer of 2 or more. Received: tags=1"),
        ({"tags": 3, "scheme": "BIO"}, "`scheme` must be one of .*, with the tags' names"),
        ({"tags": BIO, "scheme": "BILU"}, "`scheme` must be one of BIO, IOB1, .* Received: scheme='BILU'"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        CRF(**arguments)


def test_what_does_not_fit_is_named():
    with pytest.raises(
        ValueError, match=r"`inputs` must be \(batch, timesteps, 3\).* Received: inputs.shape=\(2, 5, 4\)"
    ):
        CRF(3)(np.zeros((2, 5, 4), "float32"))
    with pytest.raises(ValueError, match="tags of scheme BIO must be O or one of B, I.* Received: 'E-PER'"):
        crf.allowed(["O", "E-PER"], "BIO")
