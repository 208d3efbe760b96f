"""tools/scaling: one size changed at a time, and what it prints."""

import runpy

import pytest

from tools import machine
from tools.benchmark import scaling

TINY = [
    "CellOptions.units = 6",
    "CellOptions.nodes = 2",
    "WindowOptions.batch_size = 4",
    "WindowOptions.bptt = 4",
]


@pytest.fixture
def command(root, monkeypatch):
    """`main` of tools/scaling, which measures in this process."""
    monkeypatch.setattr(machine, "alone", lambda function, *arguments: function(*arguments))
    return runpy.run_path(str(root / "tools" / "scaling"), run_name="scaling")["main"]


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


def test_it_prints_the_cost_of_each_point(command, capsys, monkeypatch):
    points = scaling.points(["ptb.gin"], TINY, 10)
    monkeypatch.setattr(scaling, "points", lambda *_: points[:2])
    assert command(["--steps=1"]) == 0
    head, _, unchanged, halved = capsys.readouterr().out.splitlines()
    assert head.count("|") == unchanged.count("|") == 6
    assert unchanged.split("|")[4].strip() == "1.00"
    assert halved.split("|")[1:3] == [" T, steps of a window ", " 2 "]


def test_it_prints_the_memory_over_many_steps(command, capsys):
    tiny = [f"--gin_param={setting}" for setting in TINY]
    assert command([*tiny, "--vocabulary=10", "--flat=12"]) == 0
    lines = capsys.readouterr().out.splitlines()[2:]
    assert [int(line.split("|")[1]) for line in lines] == list(range(1, 13))


def test_a_mistake_is_one_line(command, capsys):
    assert command(["--gin_param=CellOptions.unit = 3"]) == 1
    assert capsys.readouterr().err.startswith("error: ")
