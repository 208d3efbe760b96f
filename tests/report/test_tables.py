"""What is printed beside ours, and the mark of a smaller budget that no number of ours escapes."""

import dataclasses

import pytest

from bayesnas_tf import config
from bayesnas_tf.commands import report as command
from bayesnas_tf.report import discovery, printed, tables, thesis_tables
from bayesnas_tf.report.settings import Budget
from tests.report import builder

PTB = {table.number: table for table in printed.tables()}["5.2"]


def built(folder):
    """The tables of the runs in a folder, by their captions' first words."""
    content = command.examine(discovery.collect([folder]))
    found = thesis_tables.build(printed.tables(), content.protocols)
    return {table.caption.split(" of ")[0]: table for table in found}


def test_the_thesis_rows_are_those_of_its_tables():
    numbers = {
        (table.number, row.system): (row.valid, row.valid_sd, row.test, row.test_sd, row.parameters)
        for table in printed.tables()
        for row in table.rows
    }
    assert numbers["5.1", "Layer normalisation (learnable)"] == (82.3, 0.4, None, None, 23)
    assert numbers["5.2", "BayesNAS (λ_w = 0.17)"] == (59.62, 0.53, 57.20, 0.52, 23)
    assert numbers["5.2", "NAS"] == (None, None, 64.0, None, 25)
    assert numbers["5.3", "BayesNAS (λ_w = 0.20)"] == (74.0, 0.1, 71.4, 0.0, 31)
    assert {
        table.number: sum(row.source.startswith("thesis") for row in table.rows) for table in printed.tables()
    } == {
        "5.1": 4,
        "5.2": 10,
        "5.3": 7,
    }
    assert all(row.source for table in printed.tables() for row in table.rows)


@pytest.mark.parametrize(
    ("budget", "reached"),
    [
        (Budget("ptb", 0, 850, 3300), True),
        (Budget("ptb", 0, 850, 4000), True),
        (Budget("ptb", 0, 850, 3299), False),
        (Budget("ptb", 0, 849, 3300), False),
        (Budget("ptb", 900_000, 850, 3300), False),
        (Budget("sotu", 0, 850, 3300), False),
    ],
)
def test_a_budget_is_the_printed_one_only_when_nothing_lacks(content, budget, reached):
    assert (PTB.lacks(budget, content.protocols[0].cells[0]) == []) == reached


def test_every_number_of_a_smaller_budget_is_marked_and_none_of_the_printed_one(tmp_path):
    cell = builder.found_cell()
    for seed in range(2):
        builder.evaluate(tmp_path / f"small-{seed}", cell, seed, test=119.0 + seed)
        builder.evaluate(tmp_path / f"whole-{seed}", cell, seed, [60.0 + seed] * 3300, 57.0 + seed, units=850)
    table = built(tmp_path)["Table 5.2"]
    groups = {group.kind: group for group in table.groups}
    assert set(groups) == {"printed", "smaller", "comparable"}
    assert [row[1:3] for row in groups["smaller"].rows] == [("125.00 ± 0.00†", "119.50 ± 0.71†")]
    assert [row[1:3] for row in groups["comparable"].rows] == [("60.50 ± 0.71", "57.50 ± 0.71")]
    assert groups["smaller"].banner.startswith(
        "Not comparable with the printed rows: 3 of 3,300 epochs, 200 units, not 850 — "
    )
    assert tables.NOT_COMPARABLE in table.notes[0]
    assert not any(
        "†" in value
        for group in table.groups
        if group.kind != "smaller"
        for row in group.rows
        for value in row
    )


def test_other_texts_have_a_table_without_printed_rows(tmp_path):
    builder.evaluate(tmp_path / "a", builder.found_cell(), corpus="sotu", limit=20_000)
    (table,) = built(tmp_path).values()
    assert [group.kind for group in table.groups] == ["plain"]
    assert "first 20,000 tokens" in table.groups[0].banner


def test_normalisations_stand_beside_each_other_as_in_5_1(tmp_path):
    for seed, (norm, learnable) in enumerate(
        [("batch", False), ("batch", True), ("layer", False), ("mean", False)]
    ):
        cell = builder.search(tmp_path / f"search-{seed}", seed, norm=norm, learnable=learnable)
        builder.evaluate(tmp_path / f"evaluate-{seed}", cell, 0, [200.0, 100.0 + seed])
    group = built(tmp_path)["Table 5.1"].groups[1]
    assert group.kind == "smaller"
    assert [row[:2] for row in group.rows] == [
        ("Batch normalisation (non-learnable)", "100.00†"),
        ("Batch normalisation (learnable)", "101.00†"),
        ("Layer normalisation (non-learnable)", "102.00†"),
        ("mean", "103.00†"),
    ]


def test_a_cell_that_several_searches_found_counts_for_each_of_them(tmp_path):
    cell = builder.found_cell()
    rows = []
    for seed, norm in enumerate(("batch", "layer")):
        builder.search(
            tmp_path / norm, seed, genotype=dataclasses.replace(cell, name=f"ptb-seed{seed}"), norm=norm
        )
        rows += [{"run": norm, "candidate": norm}, {"run": "rank", "candidate": norm}]
    builder.evaluate(tmp_path / "rank", cell, 0, [200.0, 100.0])
    config.write_json(tmp_path / "sweep.json", {"kind": "sweep", "runs": rows, "selected": []})
    assert [row[:2] for row in built(tmp_path)["Table 5.1"].groups[1].rows] == [
        ("Batch normalisation (non-learnable)", "100.00†"),
        ("Layer normalisation (non-learnable)", "100.00†"),
    ]


def test_no_table_of_normalisations_where_all_searches_had_the_same(tmp_path):
    cell = builder.search(tmp_path / "search", 0)
    builder.evaluate(tmp_path / "evaluate", cell, 0)
    assert "Table 5.1" not in built(tmp_path)


def test_numbers_are_written_with_their_spread_and_what_is_lost():
    from bayesnas_tf.report.statistics import sample

    nan = float("nan")
    assert tables.spread(sample([1.0, 3.0])) == "2.00 ± 1.41"
    assert tables.spread(sample([1.0])) == "1.00"
    assert tables.spread(sample([1.0, 3.0, nan]), mark="†") == "2.00 ± 1.41† (1 not finite)"
    assert tables.spread(sample([nan, nan])) == "2 not finite"
    assert tables.spread(sample([])) == "–"
    assert tables.clock(3725.4) == "1:02:05"
    assert tables.clock(nan) == tables.value(None) == tables.millions(nan) == "–"
