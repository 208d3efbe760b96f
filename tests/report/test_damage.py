"""Whatever is broken is named, and everything else is read."""

import json
import shutil
import zlib

import numpy as np
import pytest

from bayesnas_tf.commands import report as command
from bayesnas_tf.report import discovery, page
from bayesnas_tf.space.highway import published
from tests.report import builder

SEARCH_FILES = (
    "config.gin",
    "operative_config.gin",
    "summary.json",
    "metrics.jsonl",
    "posterior.npz",
    "pins.json",
)
EVALUATE_FILES = tuple(name for name in SEARCH_FILES if name != "posterior.npz")


def truncated(path, generator):
    data = path.read_bytes()
    path.write_bytes(data[: generator.integers(1, max(2, len(data) * 3 // 4))])


def emptied(path, _):
    path.write_bytes(b"")


def noise(path, generator):
    path.write_bytes(generator.bytes(200))


def flipped(path, generator):
    data = bytearray(path.read_bytes())
    for place in generator.integers(len(data), size=max(3, len(data) // 20)):
        data[place] = generator.integers(256)
    path.write_bytes(bytes(data))


def other_json(path, generator):
    path.write_text(str(generator.choice(["[]", "null", "3", '"text"', "{}", '{"kind": 3}', "[" * 5000])))


def a_folder(path, _):
    path.unlink()
    path.mkdir()


DAMAGES = (truncated, emptied, noise, flipped, other_json, a_folder)


@pytest.fixture
def runs(tmp_path):
    """Two searches and two trainings; the second of each stays whole."""
    for name in ("broken", "whole"):
        cell = builder.search(tmp_path / f"search-{name}", 1 + (name == "whole"))
        builder.evaluate(tmp_path / f"evaluate-{name}", cell, 0)
    return tmp_path


def report(folder):
    """The content of a report and its page."""
    content = command.examine(discovery.collect([folder]))
    return content, page.html(content)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("kind", "name"),
    [("search", name) for name in SEARCH_FILES] + [("evaluate", name) for name in EVALUATE_FILES],
)
def test_a_damaged_file_stops_nothing(runs, damage, kind, name):
    generator = np.random.default_rng(zlib.crc32(f"{damage.__name__} {kind} {name}".encode()))
    damage(runs / f"{kind}-broken" / name, generator)
    content, html = report(runs)
    read = {run.path.rpartition("/")[2] for run in content.collection.runs if run.summary}
    assert {"search-whole", "evaluate-whole"} <= read
    named = {(problem.path.rpartition("/")[2], problem.file) for problem in content.problems}
    assert {path for path, _ in named} <= {f"{kind}-broken"}
    may_parse = damage is flipped or (damage is truncated and name.endswith(("gin", "jsonl")))
    may_parse |= damage is other_json and name == "pins.json"  # {} pins nothing
    assert may_parse or (f"{kind}-broken", name) in named
    assert all(f"<td>{file}</td>" in html for _, file in named)


@pytest.mark.parametrize("name", ["summary.json", "metrics.jsonl", "posterior.npz", "config.gin"])
def test_a_missing_file_is_named(runs, name):
    (runs / "search-broken" / name).unlink()
    content, html = report(runs)
    told = [(problem.file, problem.what) for problem in content.problems]
    if name == "summary.json":  # the run may still go on
        assert [failure.state for failure in content.collection.failures] == ["not ended"]
    else:
        assert told == [(name, "missing")]
    assert "search-broken" in html


def test_a_folder_without_a_run_is_named_and_parts_of_runs_are_not(runs):
    (runs / "notes" / "deep").mkdir(parents=True)
    (runs / "notes" / "deep" / "text.txt").write_text("x")
    (runs / "empty").mkdir()
    for inside in ("checkpoints", "tb", "saved_model"):
        (runs / "search-whole" / inside).mkdir()
        (runs / "search-whole" / inside / "file").write_text("x")
    content, _ = report(runs)
    assert [(p.path.rpartition("/")[2], p.what) for p in content.problems] == [
        ("deep", "holds no run that can be read")
    ]


def test_lines_of_metrics_that_cannot_be_read_leave_the_others(runs):
    path = runs / "evaluate-broken" / "metrics.jsonl"
    path.write_text(
        path.read_text() + '{"step": 1, "epo\n' + '{"step": 1, "epoch": 1e400, "split": "a", "ppl": 1}\n'
    )
    content, _ = report(runs)
    (problem,) = content.problems
    assert problem.what == "2 of 5 lines cannot be read, the first is line 4"
    (run,) = [run for run in content.collection.runs if run.path.endswith("evaluate-broken")]
    assert len(run.rows) == 3


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), 10**400])
def test_a_training_that_diverged_is_said_to_have(runs, value):
    path = runs / "evaluate-broken" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "valid_ppl": value, "test_ppl": value}))
    content, html = report(runs)
    assert not content.problems
    assert "1 not finite" in html


@pytest.mark.parametrize("value", ["low", True, [1.0], {}])
def test_a_perplexity_that_is_no_number_is_named(runs, value):
    path = runs / "evaluate-broken" / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "valid_ppl": value}))
    content, _ = report(runs)
    assert [problem.what for problem in content.problems] == ["valid_ppl is not a number"]


@pytest.mark.parametrize(
    "entries",
    [
        None,
        3,
        [3, None, {}],
        [{"run": 5, "state": "failed"}],
        [{"run": "x", "error": {"a": 1}, "attempts": "?"}],
    ],
)
def test_a_broken_list_in_sweep_json_is_no_obstacle(runs, entries):
    (runs / "sweep.json").write_text(json.dumps({"kind": "sweep", "runs": entries, "selected": entries}))
    content, _ = report(runs)
    assert len(content.collection.runs) == 4


def test_a_run_that_is_called_done_and_is_gone_is_named(runs):
    gone = [{"run": "rank/a", "candidate": name, "state": "done"} for name in "ab"]
    rows = [*gone, {"run": "search-whole", "state": "done"}]
    (runs / "sweep.json").write_text(json.dumps({"kind": "sweep", "runs": rows}))
    content, html = report(runs)
    (problem,) = content.problems
    assert problem.path.endswith("rank/a")
    assert problem.what in html


def test_a_failed_run_of_two_candidates_is_listed_once(runs):
    rows = [
        {"run": "rank/a", "candidate": name, "state": "failed", "error": "no", "attempts": 2} for name in "ab"
    ]
    (runs / "sweep.json").write_text(json.dumps({"kind": "sweep", "runs": rows}))
    content, _ = report(runs)
    (failure,) = content.collection.failures
    assert (failure.path.rpartition("/")[2], failure.what, failure.attempts) == ("a", "no", 2)


def test_a_copy_of_a_run_is_not_counted_again(runs):
    shutil.copytree(runs / "evaluate-whole", runs / "evaluate-whole-copy")
    content, _ = report(runs)
    (problem,) = content.problems
    assert problem.path.endswith("evaluate-whole-copy")
    assert "not counted again" in problem.what
    assert sum(len(cell.runs) for cell in content.protocols[0].cells) == 2


def test_a_run_is_read_once_however_it_is_reached(runs):
    content = command.examine(discovery.collect([runs, runs / "search-whole", runs]))
    assert len(content.collection.runs) == 4


def test_a_cell_with_an_operation_of_tomorrow_is_named(runs):
    path = runs / "evaluate-broken" / "summary.json"
    data = json.loads(path.read_text())
    data["genotype"]["nodes"][0]["op"] = "product"
    path.write_text(json.dumps(data))
    content, _ = report(runs)
    (problem,) = content.problems
    assert "product" in problem.what
    assert len(content.protocols[0].cells) == 1


def test_a_baseline_without_a_cell_has_its_row(runs):
    builder.evaluate(runs / "lstm", "lstm", 0)
    builder.evaluate(runs / "darts", published.named("DARTS_V2"), 0)
    content, _ = report(runs)
    assert {name for cell in content.protocols[0].cells for name in cell.strategies} == {
        "bayesnas",
        "baseline",
        "published cell",
    }
