"""M11 and M12: the mask, dead nodes, and the cell that is left."""

import math

import numpy as np
import pytest

from bayesnas_tf.bayes import prune, scores
from bayesnas_tf.space.base import DEAD
from bayesnas_tf.space.highway import operations, topology
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.space.highway.topology import edge_index
from tests.references import bayes as reference

TANH, RELU, SIGMOID, IDENTITY = range(4)
OPS = 4


def space_of(array):
    return Highway(topology.node_count(len(array)))


def pruned(given, options):
    return prune.pruned(given, options, space_of(given.gamma))


def choices(values, mask, options):
    return prune.choices(values, mask, options, space_of(mask))


def derive(values, mask, options):
    return prune.derive(values, mask, options, space_of(mask))


def live_nodes(mask):
    nodes = topology.node_count(len(mask))
    return [j for j in range(1, nodes + 1) if not mask[topology.incoming(j)].all()]


def context(gamma, **changes):
    """A context in which only gamma (and what is named) matters."""
    ones = np.ones_like(gamma)
    return scores.Context(ones, ones, gamma, ones, ones, 1.0)._replace(**changes)


def gamma_with(nodes, live):
    """gamma that is 1 at the live (source, target, op) and 0 elsewhere."""
    gamma = np.zeros((topology.edge_count(nodes), OPS))
    for source, target, op in live:
        gamma[edge_index(source, target), op] = 1.0
    return gamma


def random_gamma(seed, nodes=8):
    """gamma around the threshold."""
    rng = np.random.default_rng(seed)
    return np.exp(rng.normal(math.log(0.058) - rng.uniform(0, 3), 1.0, (topology.edge_count(nodes), OPS)))


def test_threshold_is_where_the_entropy_is_zero():
    threshold = prune.PruneOptions().threshold
    assert threshold == pytest.approx(0.05855, abs=5e-6)
    assert prune.entropy(threshold) == pytest.approx(0.0, abs=1e-15)
    assert prune.entropy(1.01 * threshold) > 0.0 > prune.entropy(0.99 * threshold)
    values = np.array([0.1, 2.0])
    np.testing.assert_allclose(prune.entropy(values), [reference.entropy(v) for v in values], rtol=1e-14)


def test_gamma_at_the_threshold_goes():
    options = prune.PruneOptions(threshold=0.25)
    mask = pruned(context(np.array([[0.25, np.nextafter(0.25, 1), 0.0, 1.0]])), options)
    np.testing.assert_array_equal(mask, [[True, False, True, False]])


def test_a_chain_dies_from_its_root():
    # 0 -> 1 is cut; 1 -> 2 -> 3 hang on it; 4 has an input of its own
    gamma = gamma_with(4, [(1, 2, TANH), (2, 3, RELU), (0, 4, TANH), (3, 4, RELU)])
    mask = pruned(context(gamma), prune.PruneOptions())
    assert live_nodes(mask) == [4]
    assert (~mask).sum() == 1
    assert not mask[edge_index(0, 4), TANH]


def test_a_node_with_one_input_left_lives():
    gamma = gamma_with(3, [(0, 1, TANH), (1, 3, SIGMOID), (2, 3, RELU)])
    mask = pruned(context(gamma), prune.PruneOptions())
    assert live_nodes(mask) == [1, 3]
    assert mask[edge_index(2, 3)].all()
    assert not mask[edge_index(1, 3), SIGMOID]


@pytest.mark.parametrize("seed", range(30))
def test_mask_and_cell_equal_the_literal_iteration(seed):
    gamma = random_gamma(seed)
    values = np.random.default_rng(seed + 1000).integers(0, 5, gamma.shape).astype(float)  # many ties
    mask = pruned(context(gamma), prune.PruneOptions())
    gone = reference.pruned(reference.keyed(gamma, 8))
    assert {key for key, removed in reference.keyed(mask, 8).items() if removed} == gone
    expected = reference.cell(reference.keyed(values, 8), gone, 8)
    if not expected:
        with pytest.raises(prune.CollapsedCell):
            derive(values, mask, prune.PruneOptions())
        return
    cell = derive(values, mask, prune.PruneOptions())
    assert [(node.source, operations.OP_NAMES.index(node.op)) for node in cell.nodes] == expected
    assert cell.output == tuple(range(1, len(expected) + 1))
    assert len(cell.nodes) == len(live_nodes(mask))


@pytest.mark.parametrize("seed", range(10))
def test_a_higher_threshold_prunes_no_less(seed):
    gamma = random_gamma(seed)
    last = np.zeros(gamma.shape, dtype=bool)
    for threshold in np.quantile(gamma, np.linspace(0, 1, 12)):
        mask = pruned(context(gamma), prune.PruneOptions(threshold=threshold))
        assert (mask >= last).all()
        last = mask
    assert last.all()


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9])
def test_target_share_removes_that_share_before_dead_nodes(seed, share):
    gamma = random_gamma(seed)
    options = prune.PruneOptions(target_pruned_share=share, keep_all_nodes=True)
    mask = pruned(context(gamma), options)
    assert mask.sum() == round(share * gamma.size)
    assert share == 0.0 or gamma[mask].max() < gamma[~mask].min()


def test_target_share_takes_equal_values_together():
    gamma = gamma_with(2, [(0, 1, TANH), (0, 2, TANH)])
    mask = pruned(context(gamma), prune.PruneOptions(target_pruned_share=0.1))
    assert mask.sum() == 10


def test_evidence_criterion_prunes_where_it_is_not_positive():
    gamma = np.ones((topology.edge_count(3), OPS))
    w = np.random.default_rng(0).normal(size=gamma.shape)
    w[0, 0] = 5.0
    given = context(gamma, w=w, kappa=10.0)
    options = prune.PruneOptions(criterion="evidence", keep_all_nodes=True)
    np.testing.assert_array_equal(pruned(given, options), scores.evidence(given) <= 0.0)
    assert 0 < pruned(given, options).sum() < gamma.size


@pytest.mark.parametrize("criterion", ["entropy", "evidence"])
@pytest.mark.parametrize("share", [None, 0.0])
def test_an_edge_whose_own_switch_is_off_goes(criterion, share):
    gamma = np.ones((topology.edge_count(3), OPS))
    s_zero = np.ones(len(gamma))
    s_zero[edge_index(0, 1)] = 0.01
    given = context(gamma, w=3 * np.ones_like(gamma), s_zero=s_zero)
    mask = pruned(given, prune.PruneOptions(criterion=criterion, target_pruned_share=share))
    assert mask[edge_index(0, 1)].all()
    assert live_nodes(mask) == [2, 3]


def test_derive_drops_dead_nodes_and_renumbers():
    live = [(0, 1, RELU), (1, 3, SIGMOID), (0, 3, TANH), (3, 4, IDENTITY)]
    gamma = gamma_with(4, live)
    gamma[edge_index(1, 3), SIGMOID] = 2.0
    mask = pruned(context(gamma), prune.PruneOptions())
    cell = derive(gamma, mask, prune.PruneOptions())
    assert cell.nodes == ((0, "relu"), (1, "sigmoid"), (2, "identity"))
    assert cell.output == (1, 2, 3)
    assert cell.provenance == {"score": "gamma", "identity_penalty": 1.0}


def test_ties_go_to_the_lowest_source_then_op():
    mask = np.zeros((topology.edge_count(3), OPS), dtype=bool)
    cell = derive(np.ones(mask.shape), mask, prune.PruneOptions())
    assert cell.nodes == ((0, "tanh"),) * 3


def test_a_removed_edge_op_is_never_chosen_even_if_all_scores_are_minus_infinity():
    mask = np.array([[True, True, False, True]])
    assert choices(np.full((1, 4), -np.inf), mask, prune.PruneOptions()).tolist() == [SIGMOID]


def test_collapse_is_an_error_with_advice():
    mask = np.ones((topology.edge_count(4), OPS), dtype=bool)
    with pytest.raises(
        prune.CollapsedCell,
        match=r"all 4 nodes are dead.*ScalarOptions\.lambda_w.*ScalarOptions\.lr.*'rms'.*target_pruned_share",
    ):
        derive(np.ones(mask.shape), mask, prune.PruneOptions())
    assert choices(np.ones(mask.shape), mask, prune.PruneOptions()).tolist() == [DEAD] * 4


def test_keep_all_nodes_takes_the_best_of_all_where_nothing_is_left():
    options = prune.PruneOptions(keep_all_nodes=True)
    gamma = gamma_with(3, [(0, 1, TANH), (1, 3, RELU)])
    values = np.zeros_like(gamma)
    values[edge_index(1, 2), SIGMOID] = 1.0
    values[edge_index(2, 3), IDENTITY] = 9.0  # removed, so it does not beat the edge-op that is left
    mask = pruned(context(gamma), options)
    cell = derive(values, mask, options)
    assert cell.nodes == ((0, "tanh"), (1, "sigmoid"), (1, "relu"))


def test_identity_penalty_counts_against_either_sign():
    mask = np.zeros((1, OPS), dtype=bool)
    options = prune.PruneOptions(identity_penalty=0.5)
    for values in ([[0.6, 0.0, 0.0, 1.0]], [[-1.5, -9.0, -9.0, -1.0]]):
        values = np.array(values)
        assert choices(values, mask, prune.PruneOptions()).tolist() == [IDENTITY]
        assert choices(values, mask, options).tolist() == [TANH]
        assert values[0, IDENTITY] in (1.0, -1.0)  # the caller's scores are untouched


def test_nan_scores_are_refused():
    with pytest.raises(ValueError, match="4 scores are NaN"):
        choices(np.full((1, 4), np.nan), np.zeros((1, 4), dtype=bool), prune.PruneOptions())


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("keep", [False, True])
def test_a_derived_cell_is_always_valid(seed, keep):
    rng = np.random.default_rng(seed)
    nodes = int(rng.integers(1, 9))
    mask = rng.random((topology.edge_count(nodes), OPS)) < rng.random()
    options = prune.PruneOptions(keep_all_nodes=keep)
    mask = mask if keep else space_of(mask).closure(mask)
    values = rng.normal(size=mask.shape)
    if not keep and mask.all():
        with pytest.raises(prune.CollapsedCell):
            derive(values, mask, options)
        return
    cell = derive(values, mask, options)  # a Genotype checks its own sources
    assert len(cell.nodes) == (nodes if keep else len(live_nodes(mask)))


@pytest.mark.parametrize(
    "wrong",
    [
        {"score": "luck"},
        {"criterion": "taste"},
        {"threshold": -0.1},
        {"target_pruned_share": 1.0},
        {"target_pruned_share": -0.1},
        {"identity_penalty": 0.0},
    ],
)
def test_options_name_the_wrong_setting(wrong):
    with pytest.raises(ValueError, match=f"PruneOptions.{next(iter(wrong))}"):
        prune.PruneOptions(**wrong)
