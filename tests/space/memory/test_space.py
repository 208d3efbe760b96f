"""Sites, closure, decisions and decoding of the memory space."""

import numpy as np
import pytest

from bayesnas_tf.space.base import DEAD
from bayesnas_tf.space.memory.programs import GATE, INPUT, OPTIONS, edge_rows, switch_row
from bayesnas_tf.space.memory.space import Memory

N = 3
SPACE = Memory(N)
SITES = SPACE.sites


def nothing_pruned():
    return ~SITES.exists


def test_there_are_as_many_scalars_as_the_page_says():
    assert int(Memory(6).sites.exists.sum()) == 114
    assert int(Memory(8).sites.exists.sum()) == 191


def test_rows_are_edges_and_switches():
    assert SITES.pairs().tolist() == [
        *([-1, 0], [-2, 0], [-3, 0]),
        *([0, 1], [-1, 1]),
        *([0, 2], [1, 2], [-1, 2]),
        *([0, 3], [1, 3], [2, 3], [-1, 3]),
    ]
    assert [SITES.label(row) for row in range(5)] == [*INPUT, "from 0", "product 1"]
    assert SITES.targets() == [1, 2, 3]
    for node in (1, 2, 3):
        assert SITES.into(node).tolist() == list(edge_rows(node))
        assert SITES.switches[switch_row(node)] == f"product {node}"
    assert (SITES.exists.sum(axis=1) == np.where(SITES.edges, len(OPTIONS), 1)).all()


def test_a_product_needs_the_edges_into_its_node_and_the_input_nothing():
    for row in range(len(INPUT)):
        assert SPACE.parents(row).size == 0
    for node in (1, 2, 3):
        assert SPACE.parents(switch_row(node)).tolist() == list(edge_rows(node))
        for source, row in enumerate(edge_rows(node)):
            assert SPACE.parents(row).tolist() == (list(edge_rows(source)) if source else [])


def test_a_node_dies_with_its_edges_and_a_product_alone():
    pruned = nothing_pruned()
    pruned[switch_row(2), GATE] = True
    closed = SPACE.closure(pruned)
    np.testing.assert_array_equal(closed, pruned)  # the node of a removed product stays
    pruned[list(edge_rows(1))] = True
    closed = SPACE.closure(pruned)
    assert closed[switch_row(1), GATE]
    assert closed[edge_rows(2)[1]].all() and closed[edge_rows(3)[1]].all()
    assert not closed[edge_rows(2)[0], :GATE].any() and not closed[switch_row(3), GATE]


def test_deaths_go_on():
    pruned = nothing_pruned()
    pruned[[*edge_rows(1), edge_rows(2)[0]]] = True  # node 2 has node 1 alone
    closed = SPACE.closure(pruned)
    assert closed[edge_rows(2)[1]].all() and closed[edge_rows(3)[2]].all()
    assert not closed[edge_rows(3)[0], :GATE].any()


def scores(**high):
    """1 everywhere, and more where it is said: n<target>=(source, option)."""
    found = np.ones(SITES.exists.shape)
    for name, (source, option) in high.items():
        found[edge_rows(int(name[1]))[source], OPTIONS.index(option)] = 9.0
    return found


def test_edges_are_rivals_and_switches_are_not():
    pruned = nothing_pruned()
    pruned[[INPUT.index("reset"), switch_row(2)], GATE] = True
    chosen = SPACE.decisions(scores(n1=(0, "squash"), n2=(1, "relu"), n3=(0, "identity")), pruned)
    assert str(SPACE.decode(chosen)) == "[memory forget] squash0* relu1 identity0* -> mean 1 2 3"


def test_a_score_of_a_switch_chooses_nothing():
    values = scores(n1=(0, "tanh"))
    values[:, GATE] = 1e9
    assert SPACE.decisions(values, nothing_pruned())[3] == OPTIONS.index("tanh")


def test_dead_nodes_are_dropped_with_their_products_and_the_rest_is_renumbered():
    pruned = nothing_pruned()
    pruned[list(edge_rows(1))] = True
    pruned = SPACE.closure(pruned)
    chosen = SPACE.decisions(scores(n2=(0, "relu"), n3=(2, "tanh")), pruned)
    assert chosen[3] == DEAD and chosen[3 + N] == 0
    assert str(SPACE.decode(chosen)) == "[reset memory forget] relu0* tanh1* -> mean 1 2"
    assert SPACE.decisions(scores(), pruned, keep_all=True)[3] != DEAD


def test_if_all_nodes_die_the_cell_is_its_input_node():
    everything = np.ones(SITES.exists.shape, dtype=bool)
    assert str(SPACE.decode(SPACE.decisions(scores(), everything))) == "[] -> mean 0"
    everything[INPUT.index("reset"), GATE] = False
    assert str(SPACE.decode(SPACE.decisions(scores(), everything))) == "[reset] -> mean 0"  # a GRU


def test_a_cap_is_part_of_cells_with_a_forget_gate():
    capped, chosen = Memory(N, cap=True), SPACE.decisions(scores(), nothing_pruned())
    assert "cap" in capped.decode(chosen).switches and "cap" not in SPACE.decode(chosen).switches
    without = nothing_pruned()
    without[INPUT.index("forget"), GATE] = True
    assert "cap" not in capped.decode(capped.decisions(scores(), without)).switches


@pytest.mark.parametrize("seed", range(3))
def test_choices_and_shares_agree_with_the_cell(seed):
    draw = np.random.default_rng(seed)
    choices = draw.integers(SPACE.slots, size=(4, *SPACE.slots.shape))
    cells = [SPACE.of_choice(choice) for choice in choices]
    np.testing.assert_array_equal([SPACE.choice(cell) for cell in cells], choices)
    shares = SPACE.shares(choices)
    assert not shares[~SITES.exists].any()
    for row, name in enumerate(INPUT):
        assert shares[row, GATE] == np.mean([name in cell.switches for cell in cells])
    for node in (1, 2, 3):
        np.testing.assert_allclose(shares[list(edge_rows(node))].sum(), 1.0)
        for source, row in enumerate(edge_rows(node)):
            for column, op in enumerate(OPTIONS):
                taken = [cell.nodes[node - 1] == (source, op) for cell in cells]
                assert shares[row, column] == np.mean(taken)
        assert shares[switch_row(node), GATE] == np.mean([node in cell.gated for cell in cells])


def test_the_script_writes_a_choice_row_by_row():
    assert [decision.values for decision in SPACE.script] == SPACE.slots.ravel().tolist()
