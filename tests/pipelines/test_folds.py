"""Cross-validation with runs that are not trained, and its summary against a computation by hand."""

import pathlib
import types

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf

from data.files import InputError
from pipelines.engine import folds
from pipelines.engine.settings import Training

NUMBER = 23


def splits(labels=None):
    """Examples that are known by their numbers; the last five are validation data."""
    labels = np.arange(NUMBER) % 2 if labels is None else labels
    whole = tf.data.Dataset.from_tensor_slices((np.arange(NUMBER), labels))
    return {"train": whole.take(NUMBER - 5), "validation": whole.skip(NUMBER - 5)}


@pytest.fixture
def numbers_alone(monkeypatch):
    """Splits as lists, which need no graph: the examples lie in the order of their numbers."""
    monkeypatch.setattr(folds, "chosen", lambda _, which: [(number, None) for number in np.flatnonzero(which)])


def trained(tmp_path, groups=None, given=None, count=3, **settings):
    """(the result, what the fake `train` was given in each fold: its config and the numbers by split)."""
    calls = []

    def train(task, config, parts):
        found = {split: [int(number) for number, _ in examples] for split, examples in parts.items()}
        calls.append((config, found))
        return {"test": {"examples": len(found["test"]), "accuracy": len(calls) / 10}}

    config = Training(folds=count, run=str(tmp_path / "run"), **{"data": "x", **settings})
    task = types.SimpleNamespace(groups=groups and (lambda config, examples: groups(examples)), labels=None)
    divided = folds.divided(task, config, given or splits())
    return folds.cross_validated(task, config, *divided, train), calls


@pytest.mark.parametrize("count", [3, 5])
def test_every_example_is_tested_once_by_a_run_that_has_not_seen_it(count, tmp_path):
    found, calls = trained(tmp_path, count=count)
    assert (found["folds"], found["examples"], len(calls)) == (count, NUMBER, count)
    for _, parts in calls:
        assert set(parts) == {"train", "validation", "test"} and all(parts.values())
        assert sorted(number for part in parts.values() for number in part) == list(range(NUMBER))
    for split in ("test", "validation"):
        assert sorted(number for _, parts in calls for number in parts[split]) == list(range(NUMBER))
    for (_, parts), (_, following) in zip(calls, calls[1:] + calls[:1], strict=True):
        assert parts["validation"] == following["test"]
    sizes = [len(parts["test"]) for _, parts in calls]
    assert max(sizes) - min(sizes) <= 1
    expected = np.average(np.arange(1, count + 1) / 10, weights=sizes)
    assert found["metrics"]["accuracy"][0] == pytest.approx(expected)


@pytest.mark.parametrize("labelled", [False, True])
def test_examples_of_a_group_stay_in_one_split(labelled, tmp_path, numbers_alone):
    groups = np.random.default_rng(0).choice(list("abcdefg"), NUMBER)

    def grouped(examples):
        numbers, labels = (np.array(one) for one in zip(*examples.as_numpy_iterator(), strict=True))
        return groups[numbers], labels if labelled else None

    _, calls = trained(tmp_path, grouped)
    for _, parts in calls:
        where = [set(groups[parts[split]]) for split in parts]
        assert sum(map(len, where)) == len(set(groups)) and all(where)
    assert sorted(number for _, parts in calls for number in parts["test"]) == list(range(NUMBER))


@pytest.mark.parametrize("settings", [{"validation_data": "y"}, {"dataset": "z", "data": ""}, {"data": ""}], ids=str)
def test_validation_data_that_is_not_of_the_user_s_file_is_left_out(settings, tmp_path, numbers_alone):
    found, calls = trained(tmp_path, **settings)
    assert found["examples"] == NUMBER - 5
    assert sorted(number for _, parts in calls for number in parts["test"]) == list(range(NUMBER - 5))


def test_a_seed_divides_the_examples_in_its_own_way(tmp_path, numbers_alone):
    divided = lambda seed: [parts for _, parts in trained(tmp_path, seed=seed)[1]]
    assert divided(1) == divided(1) != divided(2)


def test_each_fold_is_a_run_of_its_own_that_goes_on_where_it_was_killed(tmp_path, numbers_alone):
    begun, other = (tmp_path / "run" / "folds" / fold for fold in "12")
    for folder in (begun, other):
        folder.mkdir(parents=True)
        (folder / "vocabularies.json").write_text("{}")
    (begun / "config.json").write_text("{}")
    _, calls = trained(tmp_path, seed=7, overwrite=True, tensorboard=True)
    runs = [pathlib.Path(config.run) for config, _ in calls]
    assert runs == [tmp_path / "run" / "folds" / str(fold) for fold in (1, 2, 3)]
    for config, _ in calls:
        assert (config.folds, config.resume, config.overwrite, config.tensorboard) == (0, True, False, False)
        assert (config.seed, config.data) == (7, "x")
    assert sorted(path.name for path in begun.iterdir()) == ["config.json", "vocabularies.json"]
    assert not other.exists()


@pytest.mark.parametrize(("count", "different"), [(2, None), (24, None), (1, 5), (6, 5)])
def test_folds_out_of_range_name_the_flag(count, different, tmp_path):
    groups = different and (lambda examples: (np.arange(NUMBER) % different, None))
    message = f"--folds: expected 0, or 3 to {different or NUMBER}, the groups of similar examples, received {count}."
    with pytest.raises(InputError) as raised:
        trained(tmp_path, groups, count=count)
    assert str(raised.value) == message
    assert not (tmp_path / "run").exists()


def test_a_label_that_a_fold_cannot_learn_is_refused():
    place = np.array([0, 1, 2, 3, 0, 1, 2])
    check = lambda *names: folds.check_labels(place, [set(name) for name in names])
    check("a", "a", "a", "b", "b", "b", "")
    check("a", "", "ab", "b", "b", "", "")  # of folds 0 and 2: no run tests one of them and validates on the other
    with pytest.raises(InputError, match="--folds: expected every label .* received 'c' in too few groups"):
        check("a", "a", "a", "a", "ac", "ac", "a")
    with pytest.raises(InputError, match="received 'c'"):
        check("ac", "a", "a", "ac", "a", "a", "a")  # the last fold validates on the first


def test_a_summary_is_the_weighted_mean_with_student_s_interval():
    rng = np.random.default_rng(0)
    sizes, accuracy, linear = np.array([7, 6, 6, 5]), rng.random(4), rng.random(4)
    runs = [
        {
            "test": {"examples": int(size), "accuracy": float(a), "by_label": {"x": {"f1": 0.5}}, "name": "x"},
            "baselines": {"test": {"majority": {"accuracy": 0.25}, "linear": {"accuracy": float(b)}}},
        }
        for size, a, b in zip(sizes, accuracy, linear, strict=True)
    ]
    found = folds.summary(runs)
    assert list(found) == ["accuracy", "baseline majority accuracy", "baseline linear accuracy"]
    for name, values in (("accuracy", accuracy), ("baseline linear accuracy", linear)):
        mean = sum(sizes * values) / 24
        interval = scipy.stats.t.interval(0.95, df=3, loc=mean, scale=values.std(ddof=1) / 2)
        np.testing.assert_allclose(found[name], [mean, *interval])
    np.testing.assert_allclose(found["baseline majority accuracy"], 0.25)


def test_a_metric_that_folds_lack_is_of_those_that_have_it():
    """One fold alone has no interval."""
    runs = [{"test": {"examples": size, "loss": size / 8}} for size in (3, 4, 5)]
    runs[1]["test"]["auroc"], runs[2]["test"]["auroc"] = 0.5, 0.8
    runs[2]["test"]["rare"] = 0.3
    found = folds.summary(runs)
    assert found["auroc"][0] == pytest.approx((4 * 0.5 + 5 * 0.8) / 9) and len(found["auroc"]) == 3
    assert found["rare"] == [0.3]
    assert runs[0] == {"test": {"examples": 3, "loss": 3 / 8}}


def test_a_table_shows_means_and_intervals():
    found = {"folds": 4, "examples": 1234, "metrics": {"macro_f1": [0.51239, 0.4, 0.625], "rare": [0.3]}}
    lines = folds.format_folds(found).splitlines()
    assert lines[0] == "cross-validation (4 folds, 1,234 examples)"
    assert lines[1].split() == ["macro", "f1", "0.5124", "0.4000", "to", "0.6250"]
    assert lines[2].split() == ["rare", "0.3000"]
    assert lines[1].index("0.5124") == lines[2].index("0.3000")
