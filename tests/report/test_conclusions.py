"""What a reader would believe: who is compared with whom, what counts as one, and what is not said."""

import pytest

from bayesnas_tf import config
from bayesnas_tf.report import cells, comparisons, judgement, statistics
from bayesnas_tf.report.cells import CONTROL, UNIFORM
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway import published
from tests.report import builder
from tests.report.questions import content_cards, examined, floor, of_strategy, searched, train

AWD_LSTM = """UNITS = {units}
LAST = %EMBEDDING
EMBEDDING = 400
evaluate.baseline = @LstmOptions()
LstmOptions.widths = (%UNITS, %UNITS, %LAST)
LstmOptions.name = 'awd_lstm'
evaluate.epochs = 2
CorpusOptions.name = 'ptb'
"""


# 1. one resolver


def test_a_setting_inside_a_tuple_or_behind_two_macros_tells_configurations_apart(tmp_path):
    for units in (8, 64):
        folder = tmp_path / f"u{units}"
        builder.evaluate(folder, "awd_lstm", 0, [1200.0, 1100.0 + units], 1100.0 + units, units=400)
        head = (folder / "config.gin").read_text().splitlines()[0]
        for name in ("config.gin", "operative_config.gin"):
            (folder / name).write_text(f"{head}\n{AWD_LSTM.format(units=units)}")
    content = examined(tmp_path)
    assert [len(one.cells) for one in content.protocols] == [1, 1]
    assert content.protocols[1].changes in (
        ("LstmOptions.widths = (64, 64, 400)",),
        ("LstmOptions.widths = (8, 8, 400)",),
    )


def test_one_setting_written_in_two_ways_is_one_configuration(tmp_path):
    cell = published.random_cell(1)
    builder.evaluate(tmp_path / "a", cell, 0, **{"WeightOptions.lr": 20})
    builder.evaluate(tmp_path / "b", cell, 1, **{"WeightOptions.lr": 20.0})
    content = examined(tmp_path)
    assert [set(one.runs) for protocol in content.protocols for one in protocol.cells] == [{0, 1}]


# 2. the unit is the search


def test_a_search_whose_cell_another_one_found_first_still_counts(tmp_path):
    shared, others = builder.found_cell(1), [builder.found_cell(k) for k in (2, 3)]
    for seed in range(4):  # four searches by DARTS find one cell, which two of BayesNAS found too
        searched(tmp_path, seed, shared, "darts2")
    own = [searched(tmp_path, 10 + k, cell) for k, cell in enumerate((shared, shared, *others))]
    train(tmp_path, own[0], {0: 118.0, 1: 118.2}, "shared")
    for k, cell in enumerate(own[2:]):
        train(tmp_path, cell, {0: 119.0 + k, 1: 119.2 + k}, f"other{k}")
    floor(tmp_path)
    content = examined(tmp_path)
    (protocol,) = content.protocols
    assert {name: len(found) for name, found in protocol.by_strategy().items()} == {
        "bayesnas": 4,
        "darts2": 4,
        UNIFORM: 5,
    }
    assert of_strategy(content, "darts2").difference.n == (4, 5)
    one = of_strategy(content)
    assert one.difference == statistics.welch(
        [118.1, 118.1, 119.1, 120.1], [121.3, 121.6, 121.9, 122.2, 122.5]
    )
    assert "4 searches and 5 cells" in one.sentence
    rows = {row[0]: row for row in judgement.strategies(content).tables[0].groups[0].rows}
    assert rows["darts2"][5:7] == ("4", "1")
    assert rows["bayesnas"][5:7] == ("4", "3")
    (card,) = [
        card for card in content_cards(content) if dict(card.facts)["found by"].startswith("bayesnas (2")
    ]
    assert dict(card.facts)["found by"] == "bayesnas (2 searches), darts2 (4 searches)"


def test_a_search_that_is_not_among_the_folders_counts_by_its_cell(tmp_path):
    for seed in (3, 4):
        train(tmp_path, builder.found_cell(seed), {0: 118.0 + seed})
    floor(tmp_path)
    assert of_strategy(examined(tmp_path)).difference.n == (2, 5)


def test_a_search_that_was_run_twice_is_one(tmp_path):
    cell = searched(tmp_path / "once", 1)
    searched(tmp_path / "again", 1)
    train(tmp_path, cell, {0: 118.0})
    ((one,),) = (protocol.cells for protocol in examined(tmp_path).protocols)
    assert len(one.origins) == 1


# 3. configured, not reached


def test_seeds_that_patience_ended_at_other_epochs_are_one_configuration(tmp_path):
    cell = published.random_cell(1)
    settings = {"evaluate.patience": 2, "evaluate.epochs": 50}
    for seed, reached in enumerate((3, 5, 4)):
        builder.evaluate(tmp_path / f"s{seed}", cell, seed, [200.0] * (reached - 1) + [125.0], **settings)
    (protocol,) = examined(tmp_path).protocols
    assert protocol.budget.epochs == 50
    assert set(protocol.cells[0].runs) == {0, 1, 2}


# 5. and 6. random streams, and a floor that depends on nobody


def test_the_floor_of_a_strategy_is_the_uniform_cells_alone(tmp_path):
    for seed in (1, 2, 3):
        train(tmp_path, searched(tmp_path, seed), {0: 119.0 + seed, 1: 119.2 + seed})
    floor(tmp_path)
    alone = of_strategy(examined(tmp_path)).difference
    for seed in (1, 2, 3):  # controls of other strategies' cells, which happen to be bad ones
        train(tmp_path, published.named(f"random-{seed}-nodes8-depth9"), {0: 150.0, 1: 151.0})
    content = examined(tmp_path)
    assert of_strategy(content).difference == alone
    assert set(content.protocols[0].by_strategy()) == {"bayesnas", UNIFORM, CONTROL}


def test_without_uniform_cells_nothing_is_said_of_a_strategy(tmp_path):
    for seed in (1, 2, 3):
        train(tmp_path, searched(tmp_path, seed), {0: 119.0 + seed})
        train(tmp_path, published.named(f"random-{seed}-nodes8-depth20"), {0: 125.0 + seed})
    one = of_strategy(examined(tmp_path))
    assert (one.difference, one.why) == (None, "no uniformly random cell has this configuration")


# 7. a cell is its nodes and its output


def test_a_renamed_twin_is_the_same_cell(tmp_path):
    cell = searched(tmp_path, 1)
    twin = Genotype(cell.nodes, cell.output, "my-cell", {})
    train(tmp_path, twin, {0: 118.0, 1: 118.5})
    content = examined(tmp_path)
    ((one,),) = (protocol.cells for protocol in content.protocols)
    assert one.searched
    (card,) = content_cards(content)
    assert card.results is not None  # and not "never trained here"
    assert dict(card.facts)["called"] == "ptb-seed1, my-cell"


# 10. labels of deeds


@pytest.mark.parametrize("keep", [1, 2])
def test_selected_is_who_was_preferred_to_others(tmp_path, keep):
    trained = [searched(tmp_path, seed) for seed in (1, 2)]
    rows = []
    for k, cell in enumerate(trained):
        builder.evaluate(tmp_path / "rank" / f"c{k}" / "seed0", cell, 0, test=118.0 + k)
        rows.append({"run": f"rank/c{k}/seed0", "stage": "rank", "candidate": f"c{k}", "state": "done"})
    selected = [{"candidate": f"c{k}", "genotype": cell.to_dict(), "control": False, "stage": "rank"}
                for k, cell in enumerate(trained[:keep])]  # fmt: skip
    config.write_json(tmp_path / "sweep.json", {"kind": "sweep", "runs": rows, "selected": selected})
    (protocol,) = examined(tmp_path).protocols
    assert [cell.selected for cell in protocol.cells] == ([True, False] if keep == 1 else [False, False])


def test_a_corpus_with_fewer_words_is_another_corpus(tmp_path):
    cell = published.random_cell(1)
    builder.evaluate(tmp_path / "whole", cell, 0)
    builder.evaluate(tmp_path / "few", cell, 0, **{"CorpusOptions.vocabulary_size": 2000})
    # version 0.1 wrote its default for all corpora, and ignored it for the published ones
    builder.evaluate(
        tmp_path / "old", cell, 1, corpus="wikitext2", **{"CorpusOptions.vocabulary_size": 10000}
    )
    found = {protocol.budget.corpus for protocol in examined(tmp_path).protocols}
    assert found == {"ptb", "ptb-2000", "wikitext2"}


def test_chance_is_asked_of_the_cell_itself_never(tmp_path):
    cell = searched(tmp_path, 1, published.random_cell(1))  # a search that ends at a random cell
    train(tmp_path, cell, {0: 118.0, 1: 118.5})
    train(tmp_path, published.random_cell(2), {0: 119.0, 1: 119.7})
    (protocol,) = examined(tmp_path).protocols
    (own,) = [one for one in protocol.cells if one.searched]
    assert [one.label for one in comparisons.controls(own, protocol).cells] == ["random-2"]
    assert cells.UNIFORM not in own.strategies  # nobody drew it here
