"""A whole search on a tiny text, as the command runs it: what it leaves, and what can go wrong."""

import json
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.bayes import update
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway.space import Highway
from tests.support import tiny

NODES, EDGES, OPS, WINDOWS = 2, 3, 4, 2
ARRAYS = ("w", "h", "c", "omega", "s", "gamma", "pruned")


def test_the_posterior_has_every_update(unbroken):
    data = tiny.posterior(unbroken)
    for name in ARRAYS:
        assert data[name].shape == (2, EDGES, OPS), name
    assert data["pruned"].dtype == bool
    assert data["edges"].tolist() == [[0, 1], [0, 2], [1, 2]]
    assert data["ops"].tolist() == ["tanh", "relu", "sigmoid", "identity"]
    assert data["h_windows"].shape == (WINDOWS, EDGES, OPS)
    np.testing.assert_allclose(data["h_windows"].mean(axis=0), data["h"][-1])
    np.testing.assert_allclose(data["kappa"], 4 * 5 / 0.17)


def test_the_second_update_starts_from_what_the_first_left(unbroken):
    data, prior = tiny.posterior(unbroken), update.Prior.start(EDGES, OPS)
    for epoch in range(2):
        w, h = data["w"][epoch].astype(np.float64), data["h"][epoch]
        expected = update.update(
            prior, w, h, update.Rules(update.BayesOptions(), float(data["kappa"]), Highway(2))
        )
        for name in ("c", "omega", "s", "gamma"):
            np.testing.assert_allclose(data[name][epoch], getattr(expected, name), rtol=1e-12, err_msg=name)
        prior = expected.prior


def test_metrics_have_a_row_per_interval_and_two_per_epoch(unbroken):
    rows = tiny.rows(unbroken)
    last = {row["epoch"]: row["step"] for row in rows if row["split"] == "valid"}
    assert list(last) == [1, 2]
    for row in rows:
        assert row["ppl"] == pytest.approx(math.exp(row["nats"]))
        assert row["step"] > (last[1] if row["epoch"] == 2 else 0)
    steps = [row["step"] for row in rows if row["split"] == "train" and row["epoch"] == 1]
    assert steps == sorted({*range(3, last[1] + 1, 3), last[1]})
    timed = [json.loads(line) for line in (unbroken / "metrics.jsonl").read_text().splitlines()]
    assert all(row["lr"] == 1.0 and row["tokens_per_second"] > 0 for row in timed if row["split"] == "train")
    by_split = {row["split"]: row["nats"] for row in rows}
    assert by_split["train_epoch"] < math.log(41)  # below chance: it learns


def test_the_cell_bears_the_name_and_origin_of_its_run_everywhere(unbroken):
    genotype = Genotype.load(unbroken / "genotype.json")
    assert genotype.name == "tiny-seed0"
    expected = {"config": "tiny", "seed": 0, "corpus": "text", "lambda_w": 0.17, "estimator": "ggn"}
    assert expected.items() <= genotype.provenance.items()
    assert genotype.provenance["kappa"] == pytest.approx(4 * 5 / 0.17)
    assert tiny.summary(unbroken)["genotype"] == genotype.to_dict()
    assert ElementTree.parse(unbroken / "cell.svg").getroot().tag.endswith("svg")
    assert "tiny-seed0" in (unbroken / "cell.svg").read_text()
    assert "digraph" in (unbroken / "cell.dot").read_text()


def test_the_summary_and_the_configuration_are_complete(unbroken):
    summary = json.loads((unbroken / "summary.json").read_text())
    assert summary["kind"] == "search"
    assert set(summary["seconds"]) == {"train", "hessian"}
    assert summary["tokens_per_second"] > 0
    assert (summary["seed"], summary["epochs"]) == (0, 2)
    assert summary["live_nodes"] == len(summary["genotype"]["nodes"])
    data, health = tiny.posterior(unbroken), summary["health"]
    assert summary["pruned_fraction"] == data["pruned"][-1].mean()
    steps = [row["step"] for row in tiny.rows(unbroken) if row["split"] == "valid"]
    omega = data["omega"][0]  # of the first update: it weighs L1 in the second epoch
    travel = 0.1 * 0.17 / 5 * (steps[1] - steps[0]) * omega
    assert summary["travel"] == pytest.approx(np.median(travel))
    assert health["l1_pull"] == pytest.approx(0.17 / 5 * np.median(omega))
    assert health["pull_ratio"] == pytest.approx(health["l1_pull"] / health["gradient_rms"])
    assert {"unigram_nats", "valid_nats", "h_reliability", "choice_stability", "warnings"} <= health.keys()
    assert (unbroken / "config.gin").exists()
    assert "ScalarOptions.lambda_w = 0.17" in (unbroken / "operative_config.gin").read_text()


def test_tensorboard_and_checkpoints_are_there(unbroken):
    tags = set()
    for path in (unbroken / "tb").glob("events.out.tfevents.*"):
        for event in tf.compat.v1.train.summary_iterator(str(path)):
            tags |= {value.tag for value in event.summary.value}
    assert {"nats/train", "nats/valid", "cell", "heatmap/gamma", "posterior/h"} <= tags
    for name in ("last", "best"):
        assert tf.train.latest_checkpoint(str(unbroken / "checkpoints" / name))


def test_omega_weighs_l1_from_the_second_epoch_on(unbroken):
    reader = tf.train.load_checkpoint(str(unbroken / "checkpoints" / "last"))
    omega = reader.get_tensor("step/omega/0/.ATTRIBUTES/VARIABLE_VALUE")
    np.testing.assert_allclose(omega, tiny.posterior(unbroken)["omega"][0], rtol=1e-6)
    assert np.all(omega != 1.0)


def test_a_search_that_has_ended_is_not_repeated(unbroken, folder, capsys):
    before = (unbroken / "metrics.jsonl").read_text()
    assert tiny.run(folder, "unbroken") == 0
    assert "this search has finished" in capsys.readouterr().out
    assert (unbroken / "metrics.jsonl").read_text() == before


def test_a_first_epoch_is_the_same_whatever_follows_and_another_seed_is_not(unbroken, folder):
    one_epoch = "--gin_param=search.epochs=1"
    assert tiny.run(folder, "again", one_epoch) == 0
    assert tiny.run(folder, "other", one_epoch, "--seed=1", "--diagnose") == 0
    first, again, other = (tiny.posterior(folder / name) for name in ("unbroken", "again", "other"))
    for name in ARRAYS:
        np.testing.assert_array_equal(first[name][:1], again[name], err_msg=name)
    rows = tiny.rows(folder / "again")
    assert rows == tiny.rows(unbroken)[: len(rows)]
    assert np.all(other["h"] != again["h"])
    assert tiny.rows(folder / "other")[0]["nats"] != rows[0]["nats"]
    correlations = tiny.summary(folder / "other")["health"]["oracle_correlations"]
    assert {"gamma", "saliency", "magnitude", "taylor"} <= correlations.keys()
    assert all(-1.0 <= value <= 1.0 for value in correlations.values() if value is not None)
    assert tiny.summary(folder / "again")["health"]["oracle_correlations"] == {}


def test_a_loss_that_is_gone_names_step_rate_and_the_last_good_state(folder, capsys):
    flags = ["--gin_param=WeightOptions.lr=1e9", "--gin_param=search.checkpoint_every=1"]
    assert tiny.run(folder, "diverged", *flags) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: training diverged")
    assert re.search(r"at step [1-9]\d*, learning rate 1e\+09\. Lower WeightOptions.lr", error)
    good = tf.train.latest_checkpoint(str(folder / "diverged" / "checkpoints" / "last"))
    assert good
    assert good in error
    reader = tf.train.load_checkpoint(good)
    for name, dtype in reader.get_variable_to_dtype_map().items():
        if name.startswith("model/") and dtype.is_floating:
            assert np.isfinite(reader.get_tensor(name)).all(), name


def test_a_collapsed_cell_is_an_error_with_advice_and_keeps_its_posterior(folder, capsys):
    flags = ["--gin_param=search.epochs=1", "--gin_param=ScalarOptions.lambda_w=1000.0"]
    assert tiny.run(folder, "collapsed", *flags) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: the cell has collapsed")
    assert "Lower ScalarOptions.lambda_w or ScalarOptions.lr" in error
    directory = folder / "collapsed"
    data = tiny.posterior(directory)
    assert data["pruned"].all()
    assert np.all(data["w"] == 0.0)
    assert not (directory / "genotype.json").exists()
    assert not (directory / "summary.json").exists()
    assert tf.train.latest_checkpoint(str(directory / "checkpoints" / "last"))
