import numpy as np
import pytest

from bayesnas_tf.space import choices, known, topology


@pytest.mark.parametrize("name", ["DARTS_V2", "GDAS", "random-3"])
def test_a_cell_survives_its_choice(name):
    cell = known.named(name)
    again = choices.genotype(choices.array(cell), cell.name, cell.provenance)
    assert (again, again.name, again.provenance) == (cell, cell.name, cell.provenance)


def test_a_choice_that_is_no_cell_is_refused():
    with pytest.raises(ValueError, match="node 1 .* takes its input from node 1"):
        choices.genotype(np.array([[1, 0]]))


def test_shares_count_each_edge_op_once_per_cell():
    drawn = np.array([choices.array(known.random_cell(seed, 4)) for seed in range(10)])
    shares = choices.shares(drawn)
    for node in range(1, 5):
        assert shares[topology.incoming(node)].sum() == pytest.approx(1.0)
        for source in range(node):
            for op in range(4):
                counted = sum(tuple(cell[node - 1]) == (source, op) for cell in drawn)
                assert shares[topology.edge_index(source, node), op] == pytest.approx(counted / 10)
