"""Results are not lost at random: what a report does not say of cells and strategies that lack some."""

import json

from bayesnas_tf import config
from bayesnas_tf.report import statistics
from bayesnas_tf.space.highway import published
from tests.report import builder
from tests.report.questions import examined, of_strategy, searched, train


def lose(folder):
    (folder / "summary.json").unlink()


def test_nothing_is_said_of_a_cell_some_of_whose_seeds_diverged(tmp_path):
    cell = builder.found_cell(1)
    train(tmp_path, cell, {0: 110.0, 1: 110.1, 2: 110.2, 3: float("nan"), 4: float("nan")})
    train(tmp_path, published.random_cell(1), dict.fromkeys(range(5), 120.0))
    (one,) = examined(tmp_path).comparisons
    assert one.difference is None
    assert one.why == "2 of 5 trainings of ptb-seed1, λ 0.17 have no result"
    assert "no statement is possible" in one.sentence


def test_a_training_without_an_end_is_lost_too_and_its_cell_stands_last(tmp_path):
    cell = builder.found_cell(1)
    train(tmp_path, cell, {0: 110.0, 1: 110.1, 2: 110.2}, "cell")
    train(tmp_path, published.random_cell(1), {0: 120.0, 1: 120.1, 2: 120.5})
    cell.save(tmp_path / "cell-2" / "genotype.json")
    lose(tmp_path / "cell-2")
    content = examined(tmp_path)
    assert [one.label for one in content.protocols[0].cells] == ["random-1", "ptb-seed1, λ 0.17"]
    assert content.protocols[0].cells[1].missing == {2: "not ended"}
    (one,) = content.comparisons
    assert one.difference is None


def test_a_control_that_diverged_takes_the_statement_with_it(tmp_path):
    cell = builder.found_cell(1)
    train(tmp_path, cell, {0: 110.0, 1: 110.1, 2: 110.2})
    train(tmp_path, published.random_cell(1), {0: 120.0, 1: 121.0, 2: float("nan")})
    (one,) = examined(tmp_path).comparisons
    assert (one.difference, one.why) == (None, "1 of 3 trainings of random-1 have no result")


def test_the_rule_of_reports_and_sweeps_is_one():
    whole, lost = statistics.sample([130.0, 131.0]), statistics.sample([100.0, float("nan")])
    assert statistics.standing(whole) < statistics.standing(lost)


def sweep(folder, trained, failed=()):
    """sweep.json of searches and of trainings `rank/<candidate>/seed<k>`."""
    rows = [{"run": f"rank/{name}/seed{k}", "stage": "rank", "candidate": name, "seed": k, "state": "done"}
            for name in trained for k in range(2)]  # fmt: skip
    for path in sorted(folder.glob("*/summary.json")):
        name = path.parent.name
        rows.append({"run": name, "stage": "search", "candidate": name, "seed": 0, "state": "done"})
    for path in failed:
        stage = "rank" if path.startswith("rank/") else "search"
        rows.append({"run": path, "stage": stage, "candidate": path, "seed": 1, "state": "failed",
                     "error": "the loss is not finite", "attempts": 2})  # fmt: skip
    config.write_json(folder / "sweep.json", {"kind": "sweep", "runs": rows, "selected": []})


def test_a_training_of_a_sweep_that_failed_before_it_began_is_its_cell_s(tmp_path):
    cell = searched(tmp_path, 1)
    builder.evaluate(tmp_path / "rank" / "cell" / "seed0", cell, 0)
    sweep(tmp_path, [], ["rank/cell/seed1"])
    rows = json.loads((tmp_path / "sweep.json").read_text())
    rows["runs"].append({"run": "rank/cell/seed0", "stage": "rank", "candidate": "cell", "state": "done"})
    (tmp_path / "sweep.json").write_text(json.dumps(rows))
    ((one,),) = (protocol.cells for protocol in examined(tmp_path).protocols)
    assert one.missing == {1: "the loss is not finite"}


def test_searches_whose_cell_was_left_out_or_that_failed_are_absent(tmp_path):
    found = [searched(tmp_path, seed) for seed in range(4)]
    for k, cell in enumerate(found[:3]):  # a selection left the fourth out
        for seed in range(2):
            builder.evaluate(
                tmp_path / "rank" / f"c{k}" / f"seed{seed}", cell, seed, test=110.0 + k + 0.1 * seed
            )
    for number in range(1, 5):
        for seed in range(2):
            path = tmp_path / "rank" / f"random-{number}" / f"seed{seed}"
            builder.evaluate(path, published.random_cell(number), seed, test=120.0 + number + 0.1 * seed)
    sweep(tmp_path, ["c0", "c1", "c2", "random-1", "random-2", "random-3", "random-4"])
    one = of_strategy(examined(tmp_path))
    assert one.difference is None
    assert one.why.startswith("1 of 4 searches have no trained cell here, such as ")
