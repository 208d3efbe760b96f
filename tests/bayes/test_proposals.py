"""Cells drawn from a posterior."""

import collections
import dataclasses

import numpy as np
import pytest

from bayesnas_tf.bayes import proposals, prune, scores
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.space.memory.programs import GATE, INPUT, OPTIONS
from bayesnas_tf.space.memory.space import Memory

SPACES = [Highway(3), Memory(3)]
OPTIONS_OF = prune.PruneOptions()


def context(space, seed=0):
    """A random posterior."""
    draw = np.random.default_rng(seed)
    shape = space.sites.exists.shape
    gamma = np.where(space.sites.exists, draw.lognormal(np.log(OPTIONS_OF.threshold), 2.0, shape), 0.0)
    ones = np.ones(shape)
    return scores.Context(draw.normal(size=shape), draw.random(shape), gamma, ones, ones, 1.0)


@pytest.mark.parametrize("criterion", ["entropy", "evidence"])
def test_what_is_just_pruned_has_even_odds(criterion):
    options = prune.PruneOptions(criterion=criterion)
    given = context(SPACES[1])
    odds = proposals.log_odds(given, options)
    pruned = prune.pruned(given, dataclasses.replace(options, keep_all_nodes=True), SPACES[1])
    exists = SPACES[1].sites.exists
    np.testing.assert_array_equal(odds[exists] <= 0.0, pruned[exists])
    assert not np.isnan(proposals.log_odds(given, dataclasses.replace(options, threshold=0.0))).any()


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_a_cold_draw_is_the_cell_that_the_search_derives(space):
    given, options = context(space), prune.PruneOptions(score="saliency")
    mask = prune.pruned(given, options, space)
    derived = prune.derive(scores.score("saliency", given), mask, options, space)
    generator = np.random.default_rng(0)
    assert all(proposals.draw(given, options, space, 1e-6, generator) == derived for _ in range(5))


def test_switches_stay_by_their_odds_and_operations_by_their_scores():
    space = Memory(1)
    shape = space.sites.exists.shape
    gamma, w = np.full(shape, 1e9), np.zeros(shape)
    for row, odds in enumerate((1.0, 3.0, 0.25)):
        gamma[row, GATE] = odds * OPTIONS_OF.threshold
    row = int(space.sites.into(1)[0])
    w[row, OPTIONS.index("tanh")], w[row, OPTIONS.index("squash")] = 1.0, 2.0
    given = scores.Context(w, np.ones(shape), gamma, np.ones(shape), np.ones(shape), 1.0)
    options, generator = prune.PruneOptions(score="saliency"), np.random.default_rng(1)
    cells = [proposals.draw(given, options, space, 1.0, generator) for _ in range(4000)]
    shares = [np.mean([name in cell.switches for cell in cells]) for name in INPUT]
    np.testing.assert_allclose(shares, [0.5, 0.75, 0.2], atol=0.03)
    counts = collections.Counter(cell.nodes[0].op for cell in cells)
    np.testing.assert_allclose(counts["squash"] / 4000, 0.8, atol=0.03)  # saliency 4 to 1
    assert counts["tanh"] + counts["squash"] == 4000


@pytest.mark.parametrize("space", SPACES, ids=lambda space: space.name)
def test_proposals_are_distinct_cells_of_the_space_and_a_function_of_the_seed(space):
    first, again, other = (
        proposals.proposals(context(space), OPTIONS_OF, space, 1.0, 12, seed) for seed in (3, 3, 4)
    )
    assert first == again and first != other
    assert len({str(cell) for cell in first}) == 12
    assert {cell.space for cell in first} == {space.name}
    warm = proposals.proposals(context(space), OPTIONS_OF, space, 100.0, 40, 0)
    assert len({len(cell.nodes) for cell in warm}) > 1  # near to uniform: nodes die


def test_there_are_no_more_proposals_than_cells():
    space = Memory(1)
    gamma = np.zeros(space.sites.exists.shape)
    gamma[: len(INPUT), GATE] = OPTIONS_OF.threshold
    given = context(space)._replace(gamma=gamma)
    assert len(proposals.proposals(given, OPTIONS_OF, space, 1.0, 50, 0)) == 8  # node 0 alone, three switches
