"""Budgets by units and by parameters."""

from bayesnas_tf.report import printed
from bayesnas_tf.report.settings import Budget, read

EQUAL = "DerivedOptions.parameters = 2810000\nDerivedOptions.units = 850\nevaluate.epochs = 4\n"


def budget(summary, text=EQUAL):
    return read(text, "config.gin").budget("evaluate", {"corpus": "ptb", **summary})


def test_cells_of_equal_size_share_a_budget_whatever_their_units():
    assert budget({"units": 200}) == budget({"units": 254}) == Budget("ptb", 0, 0, 4, 2_810_000)
    assert str(budget({"units": 200})) == "ptb (whole), 2,810,000 parameters, 4 epochs"
    assert budget({"units": 200}) != budget({"units": 200}, EQUAL.replace("281", "380"))


def test_a_baseline_has_units_of_its_own():
    found = budget({"units": 400, "baseline": "awd_lstm"})
    assert found == Budget("ptb", 0, 400, 4)
    assert str(found) == "ptb (whole), 400 units, 4 epochs"


def test_a_size_in_parameters_is_never_that_of_a_printed_row():
    for table in printed.tables():
        if table.budget.corpus != "ptb":
            continue
        assert table.row_of("") is None
        needed = f"2,810,000 parameters, not {table.budget.units:,} units"

        class Plain:
            genotype, runs = object(), {}

        assert needed in table.lacks(budget({"units": 200}), Plain)
