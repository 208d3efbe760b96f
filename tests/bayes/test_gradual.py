"""Gradual pruning: what leaves a supernet after an update."""

import numpy as np
import pytest

from bayesnas_tf.bayes import gradual
from bayesnas_tf.bayes.update import Posterior, Prior
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.space.memory.programs import GATE, INPUT
from bayesnas_tf.space.memory.space import Memory

SPACES = [Highway(4), Memory(3)]


def start(space, gone=None):
    """Random scores, nothing pruned, and a prior under which `gone` left before."""
    shape = space.sites.exists.shape
    gamma = np.ones(shape) if gone is None else np.where(gone, 0.0, 1.0)
    scores = np.random.default_rng(0).normal(size=shape)
    return scores, ~space.sites.exists, Prior(gamma, np.ones(shape), np.ones(shape))


def edges(space):
    return space.sites.exists & space.sites.edges[:, np.newaxis]


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
@pytest.mark.parametrize("share", [0.0, 0.3, 0.75])
def test_the_lowest_scores_go_up_to_the_share(space, share):
    scores, pruned, prior = start(space)
    gone = gradual.removed(scores, pruned, prior, share, space)
    of_edges = edges(space)
    assert gone[of_edges].sum() == np.ceil(share * of_edges.sum())
    assert not gone[space.sites.exists & ~of_edges].any()  # no switch goes by its score
    for node in space.sites.targets():
        rows = space.sites.into(node)
        left = of_edges[rows] & ~gone[rows]
        assert scores[rows][left].min() >= scores[rows][gone[rows] & of_edges[rows]].max(initial=-np.inf)


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_repeated_updates_end_with_one_operation_per_node(space):
    gone = None
    for _ in range(8):
        scores, pruned, prior = start(space, gone)
        before, gone = gone, gradual.removed(scores, pruned, prior, 0.6, space)
        assert before is None or (gone | ~before).all()
    left = edges(space) & ~gone
    assert [left[space.sites.into(node)].sum() for node in space.sites.targets()] == [1] * space.nodes


def test_what_is_pruned_counts_towards_the_share_and_may_kill_a_node():
    space = Memory(3)
    scores, pruned, prior = start(space)
    pruned[space.sites.into(3)] = True
    pruned[INPUT.index("reset"), GATE] = True
    gone = gradual.removed(scores, pruned, prior, 0.5, space)
    assert gone[edges(space)].sum() == max(np.ceil(0.5 * edges(space).sum()), 5 * len(space.sites.into(3)))
    assert gone[space.sites.into(3)].all() and gone[INPUT.index("reset"), GATE]
    product_of_3 = next(row for row, name in space.sites.switches.items() if name == "product 3")
    assert gone[product_of_3, GATE]


def test_what_is_gone_has_a_prior_without_width():
    ones = np.ones((2, 2))
    gone = np.array([[True, False], [False, False]])
    after = gradual.without(Posterior(*[ones] * 6, 1.0, 0), gone)
    np.testing.assert_array_equal(after.gamma, [[0, 1], [1, 1]])
    np.testing.assert_array_equal(after.s, [[0, 1], [1, 1]])
    assert after.omega[0, 0] == gradual.UNBOUNDED and after.omega[1, 1] == 1.0
