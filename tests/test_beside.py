"""What a gin file names: files are looked for beside it, modules are imported for the command line alone."""

import sys
from pathlib import Path

import gin
import pytest

from bayesnas_tf import config
from bayesnas_tf.config import bindings, flags, gin_files
from bayesnas_tf.errors import UserError


@pytest.fixture
def study(tmp_path, monkeypatch):
    """A folder with a gin file and what it names, and another one to work in."""
    folder = tmp_path / "study"
    folder.mkdir()
    (folder / "my.txt").write_text("one two\n")
    (folder / "own.gin").write_text("LAMBDA_W = 0.3\n")
    (folder / "cell.json").write_text("{}")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def bound(study, text, name):
    (study / "a.gin").write_text(text)
    config.parse([str(study / "a.gin")])
    return gin.query_parameter(name)


def test_a_text_beside_the_file(study):
    assert bound(study, "CorpusOptions.train_file = 'my.txt'\n", "CorpusOptions.train_file") == str(
        study / "my.txt"
    )


def test_a_text_behind_a_macro_lies_beside_the_file_that_sets_the_macro(study):
    text = "include 'text.gin'\nTRAIN = 'my.txt'\n"
    assert bound(study, text, "CorpusOptions.train_file") == str(study / "my.txt")


def test_what_lies_here_comes_first_as_before(study, tmp_path):
    (tmp_path / "work" / "my.txt").write_text("another\n")
    assert bound(study, "CorpusOptions.train_file = 'my.txt'\n", "CorpusOptions.train_file") == "my.txt"


def test_what_lies_nowhere_is_left_as_it_is(study):
    assert bound(study, "CorpusOptions.train_file = 'no.txt'\n", "CorpusOptions.train_file") == "no.txt"


def test_an_include_beside_the_file(study):
    text = "include 'ptb.gin'\ninclude 'own.gin'\n"
    (study / "a.gin").write_text(text)
    config.parse([str(study / "a.gin")])
    assert "LAMBDA_W = 0.3" in gin.config_str()


def test_cells_and_files_of_a_sweep(study):
    text = (
        "RankOptions.cells = ('cell.json', 'DARTS_V2')\nRankOptions.gin_files = ('own.gin', 'ptb_eval.gin')\n"
    )
    assert bound(study, text, "RankOptions.cells") == (str(study / "cell.json"), "DARTS_V2")
    assert gin.query_parameter("RankOptions.gin_files") == (str(study / "own.gin"), "ptb_eval.gin")


def test_a_run_directory_runs_no_code_that_it_names():
    text = "import os\nCorpusOptions.name = 'ptb'\n"
    assert [type(s).__name__ for s in gin_files.read_text(text, "config.gin")] == ["Binding"]


def test_the_command_line_imports_nothing():
    with pytest.raises(UserError, match="sets nothing"):
        gin_files.read([], ["import os"])
    with pytest.raises(UserError, match="into a file"):
        gin_files.read([], ["import os\nA.b = 1"])


def test_a_file_may_import(study):
    (study / "a.gin").write_text("import colorsys\n")
    statements = gin_files.read([str(study / "a.gin")], [])
    bindings.load()
    bindings.bind(statements)


def test_a_macro_that_stands_for_itself_is_named(study):
    (study / "a.gin").write_text("A = %B\nB = (%A,)\nCorpusOptions.limit_tokens = %A\n")
    with pytest.raises(UserError, match="the macro 'A' refers to itself"):
        config.parse([str(study / "a.gin")])


def test_a_scope_that_nothing_enters_is_named(study):
    (study / "a.gin").write_text("include 'ptb.gin'\nsmall/CellOptions.units = 8\n")
    with pytest.raises(UserError, match="nothing uses the scope 'small' of small/CellOptions.units"):
        config.parse([str(study / "a.gin")])


@pytest.mark.parametrize("command", ["export", "curvature"])
def test_what_a_run_imports_is_imported_where_the_command_line_names_it(study, monkeypatch, command):
    monkeypatch.syspath_prepend(study)
    module, modules = f"mine_for_{command}", ("tests.configurables",)
    (study / f"{module}.py").write_text(f"import gin\n\n@gin.register\ndef of_{module}(size=1):\n    pass\n")
    (study / "own.gin").write_text(f"import {module}\n")
    (study / "toy.gin").write_text("ToyOptions.units = 5\n")
    line = flags.parse("evaluate", ["--run_dir=r", f"--gin_file={study / 'toy.gin'}"])
    config.open_run(line, modules).close()
    with Path("r/config.gin").open("a") as file:
        file.write(f"import {module}\nof_{module}.size = 3\n")
    told = f"unknown name 'of_{module}'.*The run needs `import {module}`.* Add --gin_file=FILE"
    with pytest.raises(UserError, match=told):
        config.open_run(flags.parse(command, ["--run=r"]), modules)
    assert module not in sys.modules
    config.open_run(flags.parse(command, ["--run=r", f"--gin_file={study / 'own.gin'}"]), modules)
    assert gin.query_parameter(f"of_{module}.size") == 3
