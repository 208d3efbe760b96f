"""Who is better: pairing by seed, matched random cells, strategies, and the words for it."""

import pytest

from bayesnas_tf.report import cells, comparisons, judgement
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway import published
from tests.report import builder
from tests.report.questions import examined, floor, searched, train


@pytest.fixture
def cell():
    """A cell of the depth of random-1, and with other operations."""
    nodes = [Node(node.source, "tanh") for node in published.random_cell(1).nodes]
    return Genotype(tuple(nodes), tuple(range(1, 9)), "ptb-seed0", {"config": "ptb", "seed": 0})


def test_a_clear_difference_by_seed_is_called_better(tmp_path, cell):
    train(tmp_path, cell, {0: 118.0, 1: 119.1, 2: 120.0})
    train(tmp_path, published.random_cell(1), {0: 120.0, 1: 121.0, 2: 122.1})
    (one,) = examined(tmp_path).comparisons
    assert one.difference.n == (3,)
    assert one.difference.mean == pytest.approx(-2.0)
    assert one.significant
    assert one.sentence.startswith(
        "ptb-seed0 is better than random-1: the difference exceeds the noise (2.00 perplexity"
    )


def test_pairing_takes_out_what_seeds_share(tmp_path, cell):
    # seeds differ by 10, cells by .5 in each of them: unpaired, nothing could be seen
    train(tmp_path, cell, {0: 110.0, 1: 120.0, 2: 130.01})
    train(tmp_path, published.random_cell(1), {0: 110.5, 1: 120.52, 2: 130.5})
    (one,) = examined(tmp_path).comparisons
    assert one.significant
    assert one.difference.high < 0


def test_noise_is_called_noise_and_a_worse_cell_worse(tmp_path, cell):
    train(tmp_path, cell, {0: 118.0, 1: 121.0, 2: 119.5})
    train(tmp_path, published.random_cell(1), {0: 119.0, 1: 119.5, 2: 119.6})
    (one,) = examined(tmp_path).comparisons
    assert not one.significant
    assert "cannot be told apart" in one.sentence
    train(tmp_path / "worse", builder.found_cell(3), {0: 140.0, 1: 140.1, 2: 140.3})
    found = examined(tmp_path).comparisons
    (worse,) = [one for one in found if one.first.startswith("ptb-seed3")]
    assert worse.sentence.startswith("random-1 is better than ptb-seed3")


@pytest.mark.parametrize(
    ("random", "why"),
    [
        ({}, "no random cell has this configuration"),
        ({5: 120.0}, "0 seeds shared, and a test needs two"),
        ({0: 120.0}, "1 seed shared, and a test needs two"),
    ],
)
def test_too_few_seeds_allow_no_statement(tmp_path, cell, random, why):
    train(tmp_path, cell, {0: 118.0, 1: 119.0})
    train(tmp_path, published.random_cell(1), random)
    (one,) = examined(tmp_path).comparisons
    assert one.difference is None
    assert one.why == why
    assert one.sentence.endswith("no statement is possible.")
    assert judgement.answers([one]).empty == f"No test was possible: {why}."


@pytest.mark.parametrize(
    ("searches", "why"),
    [
        (1, "1 seed shared, and a test needs two"),
        (0, "no searched cell was trained here"),
    ],
)
def test_a_report_without_a_test_says_why(tmp_path, cell, searches, why):
    floor(tmp_path)
    for seed in range(searches):
        train(tmp_path, searched(tmp_path, seed, cell), {0: 118.0})
    assert judgement.answers(examined(tmp_path).comparisons).empty == f"No test was possible: {why}."


def test_two_searches_beside_one_random_cell_are_too_few(tmp_path, cell):
    train(tmp_path, published.random_cell(1), {0: 121.0})
    for seed in range(2):
        train(tmp_path, searched(tmp_path, seed, builder.found_cell(seed)), {0: 118.0})
    (one,) = [one for one in examined(tmp_path).comparisons if one.kind == "strategy"]
    assert one.why == "2 searches and 1 uniform random cell, and a test needs two of each"


def test_other_budgets_are_no_company(tmp_path, cell):
    train(tmp_path, cell, {0: 118.0, 1: 119.0})
    for seed in range(2):
        builder.evaluate(
            tmp_path / f"long-{seed}", published.random_cell(1), seed, [200.0, 130.0, 120.0], 110.0 + seed
        )
    found = examined(tmp_path)
    assert [protocol.budget.epochs for protocol in found.protocols] == [2, 3]
    assert all(one.difference is None for one in found.comparisons)


def test_random_cells_are_matched_by_size_and_depth(content):
    for protocol in content.protocols:
        for cell in protocol.cells:
            if cell.searched:
                beside = comparisons.controls(cell, protocol)
                near = [abs(other.depth - cell.depth) <= comparisons.MATCHED for other in beside.cells]
                assert beside.cells
                assert beside.matched == (all(near) and len(cell.genotype.nodes) == 8)


def test_all_tests_of_a_report_are_corrected_together(content):
    tested = [one for one in content.comparisons if one.difference is not None]
    assert len(tested) == 5  # four cells, and one strategy
    assert all(one.adjusted >= one.difference.p for one in tested)
    smallest = min(tested, key=lambda one: one.difference.p)
    assert smallest.adjusted == pytest.approx(5 * smallest.difference.p)


def test_one_sentence_counts_the_cells_of_a_configuration(content):
    strategy, counted = comparisons.sentences(content.comparisons)
    assert strategy.startswith("A: ptb (whole), 200 units, 5 epochs: cells of strategy bayesnas")
    assert counted.startswith("A: ptb (whole), 200 units, 5 epochs: of 4 searched cells, ")


def test_the_best_searched_cell_stands_against_each_published_one(tmp_path, cell):
    train(tmp_path, cell, {0: 118.0, 1: 119.1, 2: 120.0})
    train(tmp_path, builder.found_cell(3), {0: 128.0, 1: 129.1, 2: 130.0})
    train(tmp_path, published.named("DARTS_V2"), {0: 120.0, 1: 121.0, 2: 122.1})
    train(tmp_path, published.named("ENAS"), {7: 120.0})
    found = [one for one in examined(tmp_path).comparisons if one.kind == "published"]
    assert {(one.first, one.second, one.significant, one.why) for one in found} == {
        ("ptb-seed0", "DARTS_V2", True, ""),
        ("ptb-seed0", "ENAS", False, "0 seeds shared, and a test needs two"),
    }


@pytest.mark.parametrize(
    ("genotype", "control", "expected"),
    [
        (None, False, cells.BASELINE),
        (published.random_cell(3), False, cells.UNIFORM),
        (published.random_cell(3), True, cells.CONTROL),
        (published.named("random-3-nodes8-depth20"), False, cells.CONTROL),
        (published.named("DARTS_V2"), False, cells.PUBLISHED),
        (builder.found_cell(), False, "bayesnas"),
        (builder.found_cell(strategy="darts"), False, "darts"),
        (builder.found_cell(draw=2), False, cells.DRAWN),
        (Genotype((Node(0, "relu"),), (1,), "mine"), False, cells.OTHER),
    ],
)
def test_a_cell_belongs_to_who_chose_it(genotype, control, expected):
    assert cells.strategy_of(genotype, control) == expected
