"""What an entry costs in parameters, and the L1 in proportion to it."""

import numpy as np
import pytest

from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.space.memory.programs import GATE, INPUT, OPTIONS
from bayesnas_tf.space.memory.space import Memory, cell

UNITS = 1000  # so many that biases are no quarter of U²


def squares(genotype: Genotype) -> int:
    """The parameters of a cell in U²."""
    return round(base.named(genotype.space).discrete(genotype).parameters(UNITS) / UNITS**2)


def memory(switches=(), nodes=(), gated=()):
    return cell([name in switches for name in INPUT], nodes, gated)


def test_costs_are_the_parameters_that_a_cell_has_more():
    space = Memory(2)
    for row, switch in enumerate(INPUT):
        assert space.costs[row, GATE] == squares(memory([switch])) - squares(memory())
    for option, op in enumerate(OPTIONS):
        one = memory(nodes=[Node(0, op)])
        for row in space.sites.into(1):
            assert space.costs[row, option] == squares(one) - squares(memory())
        gated = memory(nodes=[Node(0, op)], gated=(1,))
        product = next(row for row, name in space.sites.switches.items() if name == "product 1")
        assert space.costs[product, GATE] == squares(gated) - squares(one)
    two, one = (Genotype((Node(0, "tanh"),) * count, (1,)) for count in (2, 1))
    assert (Highway(3).costs == squares(two) - squares(one)).all()


@pytest.mark.parametrize("share", [0.0, 0.5, 0.9])
def test_prices_share_out_the_same_lambda(share):
    space, highway = Memory(3), Highway(3)
    np.testing.assert_allclose(highway.prices(share), 1.0)  # all operations cost the same
    prices = space.prices(share) * np.ones_like(space.costs)
    of_edges = space.sites.exists & space.sites.edges[:, np.newaxis]
    of_switches = space.sites.exists & ~of_edges
    for kind in (of_edges, of_switches):
        np.testing.assert_allclose(prices[kind].mean(), 1.0)
    free = OPTIONS.index("squash")
    np.testing.assert_allclose(prices[of_edges & (np.arange(GATE + 1) == free)], 1.0 - share)
    np.testing.assert_allclose(prices[INPUT.index("memory"), GATE], 1.0 - share)
