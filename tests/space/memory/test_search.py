"""The memory space from a search to a SavedModel, with every strategy."""

import json

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.commands import evaluate, search
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.memory.programs import INPUT, OPTIONS
from tests.numbers.record import EVALUATE
from tests.support import chain, tiny

SEARCH = ["CellOptions.space='memory'", "CellOptions.nodes=3"]


def params(*bindings):
    return [f"--gin_param={binding}" for binding in bindings]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A search, a training of its cell, and the SavedModel."""
    folder = tmp_path_factory.mktemp("memory")
    chain.searched(folder, *params(*SEARCH), "--diagnose")
    cell = Genotype.load(folder / "search" / "genotype.json")
    cell = Genotype(cell.nodes, cell.output, space="memory", switches=("memory", "forget"))
    cell.save(folder / "cell.json")
    chain.exported(folder, folder / "cell.json")
    return folder


def test_a_search_finds_a_cell_of_the_space(found):
    cell = Genotype.load(found / "search" / "genotype.json")
    assert cell.space == "memory"
    written = json.loads((found / "search" / "genotype.json").read_text())
    assert set(written["input"]) == set(INPUT)
    assert {node.op for node in cell.nodes} <= set(OPTIONS)
    with np.load(found / "search" / "posterior.npz") as data:
        assert data["ops"].tolist() == [*OPTIONS, "gate"]
        assert data["gamma"].shape[1:] == (3 + 6 + 3, 6)
        switches = data["gamma"][0][data["edges"][:, 0] < 0]
        assert np.isfinite(switches[:, -1]).all() and np.isnan(switches[:, :-1]).all()


def test_the_health_report_has_every_switch(found):
    health = json.loads((found / "search" / "summary.json").read_text())["health"]
    assert list(health["switches"]) == [*INPUT, "product 1", "product 2", "product 3"]
    for numbers in health["switches"].values():
        assert 0.0 <= numbers["w"] <= 1.0 and numbers["travel"] > 0.0
        assert isinstance(numbers["kept"], bool)


def test_the_saved_cell_carries_both_states_and_scores_as_the_training_did(found):
    loaded = tf.saved_model.load(str(found / "model"))
    ones = tf.ones([2, 4])
    after = loaded.signatures["cell"](x=ones, h=ones, c=0.5 * ones)
    assert set(after) == {"h", "c"}
    assert loaded.signatures["step"](ids=tf.constant([1]), state=tf.zeros([1, 8]))["state"].shape == (1, 8)


def test_the_saved_model_scores_a_text_as_the_training_did(found):
    summary = json.loads((found / "train" / "summary.json").read_text())
    score = tf.saved_model.load(str(found / "model")).signatures["score"]
    lines = (found / "valid.txt").read_text().splitlines()
    result = score(lines=tf.constant(lines))
    nats = float(tf.reduce_sum(tf.cast(result["nats"], tf.float64)))
    tokens = int(tf.reduce_sum(result["tokens"]))
    assert tokens == summary["valid_stream_tokens"]
    assert nats / tokens == pytest.approx(summary["valid_stream_nats"], rel=1e-6)


def test_its_drawing_is_there(found):
    assert (found / "search" / "cell.svg").read_text().startswith("<svg")


ADAM = [
    "search.optimizer=@OptimizerOptions()",
    "WeightOptions.lr=0.01",
    "OptimizerOptions.rule='adam'",
    "OptimizerOptions.decay='linear'",
]
FEW = {
    "darts1": ADAM,
    "random": ["RandomOptions.cells=2", *ADAM],
    "random_ws": ["RandomSharingOptions.cells=3"],
    "enas": ["EnasOptions.cells=3"],
    "halving": ["HalvingOptions.cells=4", "HalvingOptions.eta=2", *ADAM],
    "evolution": ["EvolutionOptions.cells=3", "EvolutionOptions.population=2", "EvolutionOptions.sample=1"],
}


@pytest.mark.parametrize("strategy", FEW)
def test_other_strategies_search_it_too(strategy, tmp_path):
    tiny.write(tmp_path)
    flags = [f"--gin_file={tmp_path}/tiny.gin", f"--gin_file=strategies/{strategy}.gin", *params(*SEARCH)]
    flags += params("search.epochs=1", *FEW[strategy])
    flags.append(f"--run_dir={tmp_path}/run")
    assert chain.run(search.run_search, "search", tmp_path, *flags) == 0
    assert Genotype.load(tmp_path / "run" / "genotype.json").space == "memory"


@pytest.mark.parametrize(
    ("refused", "said"),
    [
        (["CurvatureOptions.estimator='thesis'"], "CellOptions.space"),
        (["CellOptions.weight_sharing='edge_op'"], "weight_sharing='edge_op' does not exist"),
        (["CellOptions.zero_edge_switch=True"], "zero_edge_switch=True does not exist"),
        (["search.optimizer=@OptimizerOptions()"], "OptimizerOptions.rule='asgd'"),
        (["search.switches=@SwitchOptions()", "SwitchOptions.lambda_w=0"], "SwitchOptions.lambda_w"),
        (["search.strategy=@DartsOptions()", *ADAM], "DartsOptions.order=2 needs one step of SGD"),
    ],
)
def test_what_the_space_does_not_know_is_one_line(refused, said, tmp_path, capfd):
    tiny.write(tmp_path)
    flags = [f"--gin_file={tmp_path}/tiny.gin", *params(*SEARCH, *refused), f"--run_dir={tmp_path}/run"]
    assert chain.run(search.run_search, "search", tmp_path, *flags) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert said in error


def dry_run(folder, parameters):
    tiny.write(folder)
    (folder / "train.gin").write_text(EVALUATE)
    flags = [f"--gin_file={folder}/train.gin", "--genotype=LSTM", f"--run_dir={folder}/run", "--dry_run"]
    flags += params(f"DerivedOptions.parameters={parameters}")
    return chain.run(evaluate.run_evaluate, "evaluate", folder, *flags)


def test_a_training_takes_the_units_that_a_budget_of_parameters_allows(tmp_path, capfd):
    assert dry_run(tmp_path, 3000) == 0
    (line,) = [line for line in capfd.readouterr().out.splitlines() if line.startswith("model")]
    units, parameters = int(line.split()[1]), int(line.split()[-2].replace(",", ""))
    words = (parameters - 8 * units**2 - 3 * units) / (units + 1)
    assert words == int(words) and parameters <= 3000
    assert 8 * (units + 1) ** 2 + 3 * (units + 1) + words * (units + 2) > 3000


def test_a_budget_that_holds_no_unit_is_one_line(tmp_path, capfd):
    assert dry_run(tmp_path, 20) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: DerivedOptions.parameters is too low. 20 parameters are too few")
    assert error.count("\n") == 1


def test_each_training_of_a_random_search_has_a_rate_that_falls_to_0(tmp_path):
    tiny.write(tmp_path)
    flags = [f"--gin_file={tmp_path}/tiny.gin", "--gin_file=strategies/random.gin", *params(*SEARCH, *ADAM)]
    flags += params("RandomOptions.cells=2", "search.epochs=1", "search.report_every=1")
    assert chain.run(search.run_search, "search", tmp_path, *flags, f"--run_dir={tmp_path}/run") == 0
    rows = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    rates = [row["lr"] for row in rows if row["split"] == "train" and "lr" in row]
    begins = [k for k in range(1, len(rates)) if rates[k] > rates[k - 1]]
    assert len(begins) == 1  # of the second cell
    assert rates[0] == pytest.approx(0.01) and rates[begins[0]] > 0.009
    assert rates[begins[0] - 1] < 0.003
