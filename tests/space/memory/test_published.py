"""Known cells, random cells and controls of the memory space."""

import collections
import itertools

import numpy as np
import pytest

from bayesnas_tf.errors import UserError
from bayesnas_tf.space import known
from bayesnas_tf.space.genotype import Genotype, parameter_count, units_for
from bayesnas_tf.space.memory import published
from bayesnas_tf.space.memory.programs import INPUT, OPTIONS
from tests.support import toy

V, U = 10_000, 850
# U² beside the embedding, and biases in units of U, from the table of docs/memory_space.md
SIZES = {
    "LSTM": (8, 3),
    "CIFG": (6, 2),
    "GRU": (6, 2),
    "UGRNN": (4, 1),
    "RHN_4": (4 + 2 * 3, 1),
    "RHN_10": (4 + 2 * 9, 1),
    "MEM_DARTS_V2": (4 + 2 + 2 * 8, 2),
    "LSTM_DARTS_V2": (4 + 2 + 2 + 2 * 8, 3),
}


@pytest.mark.parametrize("name", published.NAMES)
def test_parameters_are_those_of_the_table(name):
    kernels, biases = SIZES[name]
    cell = known.named(name)
    assert parameter_count(cell, V, U) == V * U + V + kernels * U**2 + biases * U
    assert published.size(cell) == kernels


def test_an_lstm_with_six_matrix_nodes_is_as_large_as_darts_cell_without_its_biases():
    cell = published.parse("[memory forget] squash0* tanh1 tanh2 tanh3 tanh4 tanh5 tanh6 -> mean 7")
    assert parameter_count(cell, V, U) - 3 * U == parameter_count(known.named("DARTS_V2"), V, U) == 22_960_000


@pytest.mark.parametrize("name", [*published.NAMES, "DARTS_V2", "memory-random-0", "memory-random-1"])
@pytest.mark.parametrize("budget", [380_000, 2_810_000, 22_960_000])
def test_units_are_the_most_that_fit(name, budget):
    cell = known.named(name)
    units = units_for(cell, 2_000, budget)
    assert parameter_count(cell, 2_000, units) <= budget < parameter_count(cell, 2_000, units + 1)


def test_a_budget_that_holds_no_unit_is_refused():
    with pytest.raises(ValueError, match="this cell with one unit has 20,0"):
        units_for(known.named("LSTM"), 10_000, 19_000)


@pytest.mark.parametrize("name", [*published.NAMES, *(f"memory-random-{k}" for k in range(20))])
def test_a_cell_survives_its_file_and_its_short_form(name, tmp_path):
    cell = known.named(name)
    cell.save(tmp_path / "cell.json")
    assert Genotype.load(tmp_path / "cell.json") == cell
    assert published.parse(str(cell)) == cell


# drawn when the space was made: a study names them, and no change of the code may change them
DRAWN = {
    0: "[reset memory] relu0 sigmoid1* tanh1 squash0* squash1 sigmoid0 -> mean 1 2 3 4 5 6",
    3: "[memory] relu0* relu0 relu0* sigmoid0 sigmoid2 relu5* -> mean 1 2 3 4 5 6",
}


@pytest.mark.parametrize("seed", DRAWN)
def test_random_cells_are_what_they_were(seed):
    assert str(known.named(f"memory-random-{seed}")) == DRAWN[seed]


def test_draws_are_uniform():
    cells = [known.named(f"memory-random-{k}") for k in range(400)]
    for name in INPUT:
        assert 0.4 < np.mean([name in cell.switches for cell in cells]) < 0.6
    for number in range(1, 7):
        assert 0.4 < np.mean([number in cell.gated for cell in cells]) < 0.6
        ops = [cell.nodes[number - 1].op for cell in cells]
        assert all(0.12 < ops.count(op) / len(ops) < 0.28 for op in OPTIONS)
        sources = [cell.nodes[number - 1].source for cell in cells]
        assert set(sources) == set(range(number))


@pytest.mark.parametrize("name", ["memory-random-5", "LSTM", "GRU", "MEM_DARTS_V2"])
def test_each_control_shares_one_thing_with_its_cell(name):
    cell = known.named(name)
    for seed in (1, 2):
        controls = {kind: known.named(other) for kind, other in published.control_names(seed, cell).items()}
        same = controls["switches"]
        assert (same.switches, same.gated, len(same.nodes)) == (cell.switches, cell.gated, len(cell.nodes))
        assert controls["graph"].nodes == cell.nodes
        sized = controls["size"]
        assert len(sized.nodes) == len(cell.nodes)
        assert parameter_count(sized, 0, 100) // 100**2 == parameter_count(cell, 0, 100) // 100**2


def test_controls_of_one_cell_differ_and_are_known_as_such():
    cell = known.named("memory-random-5")
    for kind in ("switches", "graph", "size"):
        names = [published.control_names(seed, cell)[kind] for seed in range(1, 6)]
        cells = [known.named(name) for name in names]
        assert len({str(control) for control in cells}) > 1, kind
        assert all(known.is_matched(name) and not known.is_uniform(name) for name in names)
        assert [control.name for control in cells] == names
    assert known.is_uniform("memory-random-5") and not known.is_matched("memory-random-5")


@pytest.mark.parametrize(
    "name",
    [
        "memory-random-1-graph-relu1",
        "memory-random-1-graph-none0",
        "memory-random-1-nodes2-size99",
        "memory-random-1-nodes2-size5",
        "memory-random-1-switches01-products1",
        "memory-random--1",
    ],
)
def test_names_of_no_cell_are_refused(name):
    with pytest.raises(UserError, match="no genotype"):
        known.find_genotype(name, 0)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("squash0 -> mean 1", "no cell of the space"),
        ("[] squash1 -> mean 1", "must be one of 0..0"),
        ("[] none0 -> mean 1", "unknown operation 'none'"),
        ("[gate] tanh0 -> mean 1", "has the switch 'gate'"),
        ("[cap] tanh0 -> mean 1", "'cap' without 'forget'"),
        ("[] tanh0 -> mean 2", "must be in 0..1"),
    ],
)
def test_cells_that_cannot_be_are_refused(text, said):
    with pytest.raises(ValueError, match=said):
        published.parse(text)


def test_the_first_space_has_neither_switches_nor_products():
    nodes = known.named("DARTS_V2").nodes
    for extra in ({"switches": ("memory",)}, {"gated": (1,)}):
        with pytest.raises(ValueError, match="'highway'"):
            Genotype(nodes, (1,), **extra)
    assert "input" not in known.named("DARTS_V2").to_dict()
    for name, value in itertools.product(("input", "gate"), (1, "yes", None)):
        data = known.named("LSTM").to_dict()
        if name == "input":
            data["input"]["memory"] = value
        else:
            data["nodes"][0]["gate"] = value
        with pytest.raises(ValueError, match="must be true or false"):
            Genotype.from_dict(data)


@pytest.mark.parametrize("nodes", [1, 3, 6, 64])
def test_there_is_a_control_of_every_size(nodes):
    for size in range(2, 10 + 4 * nodes):
        found = published.named(f"memory-random-1-nodes{nodes}-size{size}")
        if size % 2 or not 4 <= size <= 8 + 4 * nodes:
            assert found is None
        else:
            assert (len(found.nodes), published.size(found)) == (nodes, size)


def test_cells_of_one_size_are_as_likely_as_each_other():
    """Of one node and 6 U²: four operations with a kernel, or the bare one with one of three gates."""
    cells = [published.named(f"memory-random-{seed}-nodes1-size6") for seed in range(1400)]
    counts = collections.Counter(map(str, cells))
    assert len(counts) == 2 * (4 + 3)  # memory is free
    assert all(60 < count < 150 for count in counts.values())  # of 100 expected


def test_a_space_without_random_cells_says_so():
    with pytest.raises(UserError, match=r"RankOptions\.controls = 0"):
        known.matched_name(1, toy.Toy().of_choice(np.zeros((3, 1), int)))
