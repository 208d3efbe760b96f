"""`tools.benchmark.scaling`: one size changed at a time, and what it prints."""

import subprocess
import sys

import pytest

from tools import machine
from tools.benchmark import scaling

TINY = [
    "CellOptions.units = 6",
    "CellOptions.nodes = 2",
    "WindowOptions.batch_size = 4",
    "WindowOptions.bptt = 4",
]


@pytest.fixture(autouse=True)
def _here(monkeypatch):
    """What is to be measured in a process of its own is measured in this one."""
    monkeypatch.setattr(machine, "alone", lambda function, *arguments: function(*arguments))


def test_each_point_changes_one_size():
    base, *others = scaling.points(["ptb.gin"], TINY, 10)
    assert base.recipe.vocabulary == 10
    changed = [(point.size[0], point.value) for point in others]
    assert changed == [
        *[("T", "2"), ("T", "8"), ("B", "2"), ("B", "8"), ("U", "3"), ("U", "12"), ("n", "1"), ("n", "4")],
        *[("V", "5"), ("V", "20"), ("w", "edge"), ("w", "edge_op")],
    ]
    for point in others:
        lines = set(point.recipe.configuration.splitlines()) ^ set(base.recipe.configuration.splitlines())
        assert len(lines) == (0 if point.size[0] == "V" else 2) or point.size == "weight sharing"
    assert {point.recipe.vocabulary for point in others} == {5, 10, 20}


def test_without_a_vocabulary_it_is_that_of_the_corpus():
    of_vocabulary = [p.recipe.vocabulary for p in scaling.points(["ptb.gin"], TINY, 0) if p.size[0] == "V"]
    assert of_vocabulary == [5_000, 20_000]


def test_it_prints_the_cost_of_each_point(capsys, monkeypatch):
    points = scaling.points(["ptb.gin"], TINY, 10)
    monkeypatch.setattr(scaling, "points", lambda *_: points[:2])
    assert scaling.main(["--steps=1"]) == 0
    head, _, unchanged, halved = capsys.readouterr().out.splitlines()
    assert head.count("|") == unchanged.count("|") == 6
    assert unchanged.split("|")[4].strip() == "1.00"
    assert halved.split("|")[1:3] == [" T, steps of a window ", " 2 "]


def test_it_prints_the_memory_over_many_steps(capsys):
    tiny = [f"--gin_param={setting}" for setting in TINY]
    assert scaling.main([*tiny, "--vocabulary=10", "--flat=12"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [int(line.split("|")[1]) for line in lines] == list(range(1, 13))


@pytest.mark.slow
def test_a_process_of_its_own_finds_what_the_command_defines(root):
    tiny = [f"--gin_param={setting}" for setting in TINY]
    command = [sys.executable, "-m", "tools.benchmark.scaling", *tiny, "--vocabulary=10", "--flat=1"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1].startswith("| 1 | ")


def test_a_mistake_is_one_line(capsys):
    assert scaling.main(["--gin_param=CellOptions.unit = 3"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
