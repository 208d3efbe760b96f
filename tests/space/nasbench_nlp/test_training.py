"""A published cell from its table to the SavedModel: trained, gone on with, exported and scored."""

import json
import shutil

import pytest

from bayesnas_tf.space.genotype import Genotype
from tests.references import recipe as reference
from tests.support import trained
from tests.support.recipes import RECIPES, cell, write_table

TWO = "--gin_param=evaluate.epochs=2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The text of `trained`, and a table in its data folder."""
    folder = tmp_path_factory.mktemp("nasbench")
    trained.write_corpus(folder)
    write_table(folder / "data")
    return folder


@pytest.mark.parametrize(("name", "number"), [("lstm", 2), ("hidden", 4)])
def test_a_cell_is_trained_exported_and_scored_and_its_table_may_go(name, number, folder, capfd):
    budget = "--gin_param=DerivedOptions.parameters=900"
    flags = [f"--genotype=nasbench-{number}", TWO, budget, "--overwrite"]
    write_table(folder / "data")
    assert trained.evaluate(folder, *flags) == 0, capfd.readouterr().err
    found, run = trained.summary(folder), folder / "run"
    assert Genotype.load(run / "genotype.json") == cell(RECIPES[name])
    assert Genotype.from_dict(found["genotype"]) == cell(RECIPES[name])
    live = json.loads((run / "genotype.json").read_text())["recipe"]
    assert found["parameters"] == reference.parameters(live, found["vocabulary"], found["units"]) <= 900
    assert found["valid_ppl"] < 6.5  # seven words, of which five take turns
    assert (run / "cell.svg").is_file() and (run / "cell.dot").is_file()

    shutil.rmtree(folder / "data" / "nasbench_nlp")
    (run / "summary.json").unlink()  # as if it had been killed
    assert trained.evaluate(folder, *flags[:-1]) == 0
    assert trained.summary(folder)["valid_ppl"] == pytest.approx(found["valid_ppl"], rel=1e-6)
    assert trained.export(folder) == 0
    assert trained.score(folder, f"--text={folder}/valid.txt") == 0
    assert trained.score(folder, "--prompt=one two", "--generate=3") == 0


def test_another_cell_under_the_same_name_is_refused(folder, capfd):
    write_table(folder / "data")
    flags = ["--genotype=nasbench-1", TWO, "--overwrite", "--gin_param=evaluate.compile='graph'"]
    assert trained.evaluate(folder, *flags) == 0
    table = folder / "data" / "nasbench_nlp" / "ptb.jsonl"
    table.write_text(json.dumps({"id": 1, "recipe": RECIPES["gru"]}))
    (folder / "run" / "summary.json").unlink()
    capfd.readouterr()
    assert trained.evaluate(folder, flags[0], flags[1], flags[3]) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: ") and "h_act=tanh" in error
