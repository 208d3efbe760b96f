"""A setting that nothing reads is an error on the command line, and names what was probably meant."""

import gin
import pytest

from bayesnas_tf import config
from bayesnas_tf.config import bindings, gin_files, resolve, run_directory
from bayesnas_tf.errors import UserError
from bayesnas_tf.space.highway import published
from bayesnas_tf.training.strategies import registry

SEARCH, EVALUATE, SWEEP = "quickstart.gin", "quickstart_eval.gin", "sweep_quickstart.gin"


def bound(command, file, *params):
    bindings.load()
    bindings.bind(gin_files.read([file], params), command)


@pytest.mark.parametrize(
    ("command", "file", "param", "parts"),
    [
        ("evaluate", EVALUATE, "CellOptions.units=64", ["evaluate does not", "'DerivedOptions.units'"]),
        ("search", SEARCH, "DerivedOptions.units=64", ["'CellOptions.units'"]),
        ("search", SEARCH, "evaluate.epochs=3", ["'search.epochs'"]),
        ("evaluate", EVALUATE, "search.compile='xla'", ["'evaluate.compile'"]),
        ("evaluate", EVALUATE, "RhnOptions.depth=3", ["RhnOptions.depth", "Remove it"]),
        ("evaluate", "baselines/rhn.gin", "LstmOptions.embedding=8", ["LstmOptions.embedding", "Remove it"]),
        ("search", SEARCH, "EnasOptions.lr=0.1", ["EnasOptions.lr"]),
        ("search", SEARCH, "enas_step.EnasOptions.lr=0.1", ["EnasOptions.lr"]),
        ("search", SEARCH, "nobody/CellOptions.units=8", ["nobody/CellOptions.units"]),
        ("sweep", SWEEP, "CellOptions.units=8", ["sweep does not read CellOptions.units"]),
        ("export", EVALUATE, "CellOptions.units=8", ["export does not read"]),
        ("score", EVALUATE, "DerivedOptions.units=8", ["score does not read"]),
    ],
)  # fmt: skip
def test_what_a_command_does_not_read_is_named(command, file, param, parts):
    with pytest.raises(UserError) as error:
        bound(command, file, param)
    assert all(part in str(error.value) for part in (*parts, f"--gin_param {param}")), error.value


@pytest.mark.parametrize(
    ("command", "file", "params"),
    [
        ("search", SEARCH, ["CellOptions.units=64", "LAMBDA_W=0.2", "search.epochs=2"]),
        ("search", SEARCH, ["search.strategy=@EnasOptions()", "EnasOptions.lr=0.1"]),
        ("search", SEARCH, ["a/CellOptions.units=8", "search.cell=@a/CellOptions()"]),
        ("search", SEARCH, ["a/CellOptions.units=8", "search.cell=@a/b/CellOptions()"]),
        ("evaluate", EVALUATE, ["evaluate.baseline=@RhnOptions()", "RhnOptions.depth=2"]),
        ("curvature", EVALUATE, ["CurvatureOptions.estimator='recursive'"]),
        ("sweep", SWEEP, ["EngineOptions.workers=1", "sweep.rank=None"]),
    ],
)  # fmt: skip
def test_what_a_command_reads_is_taken(command, file, params):
    bound(command, file, *params)


def test_a_macro_that_only_unread_settings_use_is_named(tmp_path):
    file = tmp_path / "a.gin"
    file.write_text(f"include '{EVALUATE}'\nUNITS = 4\nCellOptions.units = %UNITS\n")
    with pytest.raises(UserError, match="evaluate does not read UNITS"):
        bound("evaluate", str(file), "UNITS=8")


def test_files_may_hold_the_settings_of_several_commands(tmp_path):
    file = tmp_path / "both.gin"
    file.write_text(
        f"include '{SEARCH}'\ninclude '{EVALUATE}'\nCellOptions.units = 8\nDerivedOptions.units = 8\n"
    )
    for command in ("search", "evaluate"):
        bound(command, str(file))


def test_every_strategy_is_known_to_be_read_by_its_name():
    assert set(resolve.ALSO_READS["named_strategy"]) == {kind.__name__ for kind in registry.STRATEGIES}


def test_a_sweep_checks_the_settings_of_its_runs():
    with pytest.raises(UserError, match=r"search does not read DerivedOptions\.units"):
        config.checked("search", [SEARCH], ["DerivedOptions.units=8"])


def test_a_run_that_was_begun_with_an_ignored_setting_goes_on_without_it():
    bindings.load()
    head = '# bayesnas_tf run: {"command": "evaluate", "seed": 0}\n'
    base = "evaluate.cell = @DerivedOptions()\nDerivedOptions.units = 8\n"
    wanted = run_directory.deciding(head + base)
    assert run_directory.deciding(f"{head}{base}CellOptions.units = 64\n") == wanted
    assert run_directory.deciding(head + base.replace("8", "9")) != wanted


def test_a_macro_that_is_used_no_more_does_not_stand_in_the_way_of_the_text(tmp_path):
    file = tmp_path / "a.gin"
    file.write_text(f"include '{SEARCH}'\nTOKENS = 500\nCorpusOptions.limit_tokens = %TOKENS\n")
    text = config.parse([str(file)], ["CorpusOptions.limit_tokens=3000"])
    assert "TOKENS" not in text
    again = tmp_path / "b.gin"
    again.write_text(text)
    config.parse([str(again)])
    assert gin.query_parameter("CorpusOptions.limit_tokens") == 3000


def test_a_resolver_meets_macros_at_every_depth():
    text = "A = %B\nB = (%C, {'k': %C})\nC = 3\nX.y = (1, %A)\nX.y = (2, %A)\n"
    assert resolve.settled(gin_files.read_text(text, "t")) == {"X.y": (2, (3, {"k": 3}))}


def test_names_of_random_cells():
    assert published.is_uniform("random-3") and not published.is_uniform("random-3-nodes8-depth20")
    assert published.is_matched("random-3-nodes8-depth20") and not published.is_matched("random-3")
    assert not published.is_uniform("random-my-own")
