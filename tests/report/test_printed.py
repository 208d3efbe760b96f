"""Budgets of printed rows: a baseline stands beside its own at its full recipe, and with less it does not."""

import csv
import functools
import json
from pathlib import Path

import gin
import pytest

from bayesnas_tf import config
from bayesnas_tf.commands import report as command
from bayesnas_tf.report import csv_files, discovery, printed, tables, thesis_tables
from bayesnas_tf.training.evaluate_settings import build_model, name_of
from tests.report import builder

FILES = sorted(path.stem for path in (Path(__file__).parents[2] / "gin" / "baselines").glob("*.gin"))
WORDS = {"ptb": 10_000, "wikitext2": 33_278}
TABLES = {table.budget.corpus: table for table in printed.tables() if table.number != "5.1"}
LESS = {"epochs": "EPOCHS=499", "units": "UNITS=50", "text": "CorpusOptions.limit_tokens=900000"}


@functools.cache
def size(name, *params):
    """Units and parameters of a baseline as summary.json has them."""
    config.parse([f"baselines/{name}.gin"], params)
    chosen = gin.get_configurable("evaluate")()
    model = build_model(chosen, WORDS[chosen.corpus.name], None)
    return model.cell.output_size, model.count_params()


def recipe(folder, name, *params):
    """The directory that `evaluate` leaves after a baseline's file with these --gin_param."""
    units, parameters = size(name, *(param for param in params if param.startswith("UNITS")))
    text = config.parse([f"baselines/{name}.gin"], params)
    chosen = gin.get_configurable("evaluate")()
    folder.mkdir(parents=True)
    header = '# bayesnas_tf run: {"command": "evaluate", "seed": 0}'
    (folder / "config.gin").write_text(f"{header}\n{text}", encoding="utf-8")
    (folder / "metrics.jsonl").write_text('{"step": 1, "epoch": 1, "split": "valid", "ppl": 60.0}\n')
    told = {"kind": "evaluate", "baseline": name_of(chosen, None), "parameters": parameters, "units": units}
    config.write_json(
        folder / "summary.json", {**told, "valid_ppl": 60.0, "test_ppl": 58.0, "epochs": chosen.epochs}
    )


def trained(folder, name, epochs=2, **summary):
    """The directory of an ended training of a baseline; `summary` changes what its summary.json says."""
    builder.evaluate(folder, name, 0, [60.0] * epochs, 58.0, corpus=summary.pop("corpus", "ptb"))
    path = folder / "summary.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **summary}))


def examined(folder):
    """What the report makes of a folder, and whether its CSV calls each configuration printed."""
    content = command.examine(discovery.collect([folder]))
    _, cells, _ = csv_files.write(content, folder / "page.html")
    with cells.open(encoding="utf-8") as file:
        return content, {row["configuration"]: row["at_printed_budget"] for row in csv.DictReader(file)}


def verdicts(folder):
    """The verdict on each run below a folder, by the name of its directory; the CSV must agree."""
    content, reached = examined(folder)
    found = {}
    for protocol in content.protocols:
        (cell,) = protocol.cells
        verdict = thesis_tables.verdict(TABLES[protocol.budget.corpus], protocol)
        assert reached[protocol.name] == str(verdict[0] == "comparable")
        found[cell.runs[0].directory.name] = verdict
    return found


def lacking(verdict):
    """The printed row that a verdict compares with, and what the training lacks of its budget."""
    kind, banner, mark = verdict
    assert (kind, mark) == ("smaller", tables.NOT_COMPARABLE)
    beside, _, rest = banner.partition(": ")
    return beside.removeprefix("Not comparable with the printed row "), rest.partition(" — ")[0]


@pytest.mark.parametrize("name", FILES)
def test_a_baseline_at_its_full_recipe_is_comparable_and_with_less_it_is_not(tmp_path, name):
    recipe(tmp_path / "full", name)
    for what, param in LESS.items():
        recipe(tmp_path / what, name, param)
    found = verdicts(tmp_path)
    kind, banner, mark = found["full"]
    assert (kind, mark) == ("comparable", "")
    (row,) = [row for row in TABLES[banner.split()[3]].rows if banner.endswith(f"budget of {row.system}")]
    assert row.baseline == name.removesuffix("_wikitext2")
    units, parameters = size(name, LESS["units"])
    narrow = f"{units} of {row.budget.units} units"
    if units == row.budget.units:  # of the last layer: the other layers are narrower
        narrow = f"{parameters:,} of {row.budget.parameters:,} parameters"
    assert {what: lacking(verdict) for what, verdict in found.items() if what != "full"} == {
        "epochs": (row.system, f"499 of {row.budget.epochs:,} epochs"),
        "units": (row.system, narrow),
        "text": (row.system, "the first 900,000 tokens of the text"),
    }


@pytest.mark.parametrize("name", FILES)
def test_a_printed_budget_is_that_of_the_baseline_file(name):
    units, parameters = size(name)
    config.parse([f"baselines/{name}.gin"])
    chosen = gin.get_configurable("evaluate")()
    row = TABLES[chosen.corpus.name].row_of(name_of(chosen, None))
    assert row.budget[:3] == (units, chosen.epochs, parameters)
    assert round(parameters / 1e6) - row.parameters in (0, 1, 2)  # 33.6 M as 33, and 34.9 M as the thesis' 33


def test_every_budget_of_a_row_has_its_file_and_its_source():
    rows = {
        (corpus, row.baseline): row.budget.source
        for corpus, table in TABLES.items()
        for row in table.rows
        if row.baseline
    }
    files = {
        ("wikitext2" if "_wikitext2" in name else "ptb", name.removesuffix("_wikitext2")) for name in FILES
    }
    assert set(rows) == files
    assert all(rows.values())
    assert not any(row.baseline or row.budget for table in printed.tables()[:1] for row in table.rows)


def test_as_much_as_the_row_had_is_enough_and_more_is_too(tmp_path):
    enough = {"units": 830, "parameters": 23_482_400}
    trained(tmp_path / "enough", "rhn", 500, **enough)
    trained(tmp_path / "more", "rhn", 501, **{**enough, "units": 831, "parameters": 23_500_000})
    trained(tmp_path / "short", "rhn", 499, **enough)
    trained(tmp_path / "narrow", "rhn", 502, **{**enough, "units": 829})
    trained(tmp_path / "thin", "rhn", 503, **{**enough, "parameters": 23_482_399})
    trained(tmp_path / "untold", "rhn", 504, **{**enough, "parameters": None})
    found = verdicts(tmp_path)
    assert {name for name, (kind, *_) in found.items() if kind == "comparable"} == {"enough", "more"}
    assert {name: lacking(verdict)[1] for name, verdict in found.items() if verdict[0] == "smaller"} == {
        "short": "499 of 500 epochs",
        "narrow": "829 of 830 units",
        "thin": "23,482,399 of 23,482,400 parameters",
        "untold": "an unknown number of parameters",
    }


@pytest.mark.parametrize(
    ("name", "corpus"), [("lstm", "ptb"), ("rhn", "wikitext2"), ("lstm_skip", "wikitext2")]
)
def test_of_a_baseline_without_a_row_the_banner_says_so(tmp_path, name, corpus):
    trained(tmp_path / "run", name, corpus=corpus)
    ((kind, banner, mark),) = verdicts(tmp_path).values()
    assert (kind, mark) == ("plain", "")
    assert banner.endswith(f": nothing is printed for {name} on this text")


def test_each_baseline_of_a_configuration_is_held_to_its_own_row(tmp_path):
    for name in ("rhn", "lstm", "nas", builder.found_cell()):
        builder.evaluate(tmp_path / str(name)[:4], name, 0)
    content, _ = examined(tmp_path)
    assert len(content.protocols) == 1
    (table,) = thesis_tables.build(printed.tables(), content.protocols)
    groups = {group.rows[0][0]: group for group in table.groups[1:]}
    assert {name: group.kind for name, group in groups.items()} == {
        "rhn": "smaller",
        "lstm": "plain",
        "nas": "smaller",
        "ptb-seed0, λ 0.17": "smaller",
    }
    assert "3 of 500 epochs, 200 of 976 units" in groups["nas"].banner
    assert "3 of 3,300 epochs, 200 units, not 850" in groups["ptb-seed0, λ 0.17"].banner
    assert all(("†" in group.rows[0][1]) == (group.kind == "smaller") for group in groups.values())
    told = [note for note in table.notes if "its budget counts as" in note]
    assert {note.partition(":")[0] for note in told} == {"Variational RHN", "NAS"}
    assert "830 units, 23,482,400 parameters and 500 epochs (ptb_sota" in " ".join(told)


def test_a_table_without_baselines_tells_no_budgets_of_theirs(tmp_path):
    builder.evaluate(tmp_path / "run", builder.found_cell(), 0)
    content, _ = examined(tmp_path)
    (table,) = thesis_tables.build(printed.tables(), content.protocols)
    assert not any("its budget counts as" in note for note in table.notes)
