import json
import math
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest

from bayesnas_tf.models import losses
from bayesnas_tf.reporting import run_files
from bayesnas_tf.reporting.fan_out import FanOut
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.training.records import Callbacks, EpochRecord, RunFacts, StepRecord, UpdateRecord

EDGES, OPS, WINDOWS = 3, 4, 2
CELL = Genotype((Node(0, "relu"), Node(1, "tanh")), (1, 2), "toy-seed7", {"config": "toy", "seed": 7})


def update(epoch, genotype=CELL):
    """An update whose every number names its epoch."""
    array = np.full((EDGES, OPS), float(epoch))
    return UpdateRecord(
        epoch=epoch,
        step=10 * epoch,
        sites=Highway(2).sites,
        **{name: array for name in ("w", "h", "c", "omega", "s", "gamma")},
        pruned=array > 1.5,
        genotype=genotype,
        live_nodes=2,
        train_nats=1.0,
        valid_nats=1.0,
        unigram_nats=2.0,
        health={},
        kappa=13.0,
        h_windows=np.full((WINDOWS, EDGES, OPS), float(epoch)),
        gradient=array,
    )


@pytest.mark.parametrize(
    ("nats", "expected"), [(0.0, 1.0), (1.0, math.e), (700.0, math.inf), (math.inf, math.inf)]
)
def test_perplexity_is_the_exponential_and_overflows_to_infinity(nats, expected):
    assert losses.perplexity(nats) == pytest.approx(expected)


def test_the_perplexity_of_nan_is_nan():
    assert math.isnan(losses.perplexity(math.nan))


def test_updates_are_appended_and_one_that_a_killed_run_left_is_replaced(tmp_path):
    path = tmp_path / "posterior.npz"
    for epoch in (1, 2, 3):
        run_files.write_posterior(path, update(epoch))
    run_files.write_posterior(path, update(2)._replace(w=np.full((EDGES, OPS), 20.0)))
    with np.load(path) as data:
        assert data["gamma"].shape == (2, EDGES, OPS)
        assert data["w"][:, 0, 0].tolist() == [1.0, 20.0]
        assert data["pruned"].dtype == bool
        assert data["edges"].tolist() == [[0, 1], [0, 2], [1, 2]]
        assert data["ops"].tolist() == ["tanh", "relu", "sigmoid", "identity"]
        assert float(data["kappa"]) == 13.0
        assert data["h_windows"].shape == (WINDOWS, EDGES, OPS)
    assert [entry.name for entry in tmp_path.iterdir()] == ["posterior.npz"]


def test_an_option_that_a_site_lacks_is_nan(tmp_path):
    record = update(1)
    exists = np.ones((EDGES, OPS), bool)
    exists[1, 2] = False
    run_files.write_posterior(
        tmp_path / "posterior.npz", record._replace(sites=record.sites._replace(exists=exists))
    )
    with np.load(tmp_path / "posterior.npz") as data:
        for name in ("w", "h", "c", "omega", "s", "gamma"):
            np.testing.assert_array_equal(np.isnan(data[name][0]), ~exists)
        assert data["w"].dtype == np.asarray(record.w).dtype


def test_a_first_update_begins_anew(tmp_path):
    path = tmp_path / "posterior.npz"
    path.write_bytes(b"of another run")
    run_files.write_posterior(path, update(1))
    with np.load(path) as data:
        assert data["w"].shape == (1, EDGES, OPS)


def test_a_cell_is_written_and_drawn_under_its_name(tmp_path):
    run_files.SearchFiles(tmp_path).on_update(update(1))
    genotype = Genotype.load(tmp_path / "genotype.json")
    assert (genotype, genotype.name, genotype.provenance) == (CELL, "toy-seed7", CELL.provenance)
    assert "toy-seed7" in ElementTree.tostring(ElementTree.parse(tmp_path / "cell.svg").getroot(), "unicode")
    assert "toy-seed7" in (tmp_path / "cell.dot").read_text()


def test_without_a_cell_the_posterior_is_written_all_the_same(tmp_path):
    run_files.SearchFiles(tmp_path).on_update(update(1, genotype=None))
    assert [entry.name for entry in tmp_path.iterdir()] == ["posterior.npz"]


def report(metrics, epoch, step):
    metrics.on_step(StepRecord(step, epoch, 2, 1.0, 20.0, 1000.0, 5.0, step))


def end(metrics, epoch, step, valid=2.0):
    metrics.on_epoch(EpochRecord(epoch, step, 1.5, valid, 9.0))


def rows(folder):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [(row["step"], row["epoch"], row["split"]) for row in map(json.loads, lines)]


def test_a_rollback_drops_the_rows_of_what_is_done_again(tmp_path):
    metrics = run_files.MetricsFile(tmp_path)
    report(metrics, 1, 2)
    end(metrics, 1, 2)
    report(metrics, 2, 3)
    report(metrics, 2, 4)
    metrics.on_rollback(RunFacts("evaluate", "cell", 2, step=3, parameters=1, epochs_done=1), 1)
    report(metrics, 2, 4)
    splits = [(2, 1, "train"), (2, 1, "train_epoch"), (2, 1, "valid"), (3, 2, "train"), (4, 2, "train")]
    assert rows(tmp_path) == splits


def test_a_validated_average_is_marked(tmp_path):
    metrics = run_files.MetricsFile(tmp_path)
    metrics.on_epoch(EpochRecord(1, 2, 1.5, 2.0, 9.0))
    metrics.on_epoch(EpochRecord(2, 4, 1.5, 2.0, 9.0, averaged=True))
    written = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert [row.get("averaged") for row in written if row["split"] == "valid"] == [None, True]


def test_rows_say_split_loss_and_speed(tmp_path):
    metrics = run_files.MetricsFile(tmp_path)
    report(metrics, 1, 2)
    end(metrics, 1, 2)
    first, second, third = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    assert first == {
        "step": 2,
        "epoch": 1,
        "split": "train",
        "nats": 1.0,
        "ppl": pytest.approx(math.e),
        "lr": 20.0,
        "tokens_per_second": 1000.0,
    }
    assert (second["split"], second["nats"], second["seconds"]) == ("train_epoch", 1.5, 9.0)
    assert (third["split"], third["nats"]) == ("valid", 2.0)


def test_an_epoch_that_was_not_validated_has_one_row(tmp_path):
    end(run_files.MetricsFile(tmp_path), 1, 2, valid=None)
    assert rows(tmp_path) == [(2, 1, "train_epoch")]


@pytest.mark.parametrize(
    ("step", "epochs_done", "kept"),
    [
        (0, 0, 0),
        (1, 0, 1),
        (2, 0, 2),  # killed between the end of an epoch's training and of its update
        (2, 1, 4),
        (3, 1, 5),
        (4, 2, 8),
    ],
)
def test_a_resumed_run_drops_what_it_writes_again(tmp_path, step, epochs_done, kept):
    metrics = run_files.MetricsFile(tmp_path)
    for epoch in (1, 2):
        for done in (1, 2):
            report(metrics, epoch, 2 * (epoch - 1) + done)
        end(metrics, epoch, 2 * epoch)
    before = rows(tmp_path)
    resumed = run_files.MetricsFile(tmp_path)
    resumed.on_start(RunFacts("search", "toy", 2, step, 100, epochs_done))
    assert rows(tmp_path) == before[:kept]


def test_every_listener_hears_everything_in_order():
    heard = []

    class Listener(Callbacks):
        def __init__(self, name):
            self.name = name

        def on_stage(self, name, done, total):
            heard.append((self.name, name, done, total))

    both = FanOut(Listener("a"), Listener("b"))
    both.on_stage("hessian", 1, 2)
    both.on_end({})
    assert heard == [("a", "hessian", 1, 2), ("b", "hessian", 1, 2)]
