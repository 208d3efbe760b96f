"""What a sweep is going to run: every file that a user can name, and mistakes found before it starts."""

import json

import gin
import pytest

from bayesnas_tf import config, sweep
from bayesnas_tf.errors import UserError
from bayesnas_tf.space.highway import published
from bayesnas_tf.sweeping import jobs, plan
from bayesnas_tf.sweeping.settings import SearchesOptions
from tests.conftest import ROOT
from tests.support import recipes
from tests.test_gin_files import FILES, GIN

SWEEPS = [
    path.relative_to(GIN).as_posix()
    for path in sorted(GIN.rglob("*.gin"))
    if path.parent.name != "base" and path.relative_to(GIN).as_posix() not in FILES
]
# stage -> runs, with the numbers that the thesis prints, and one control beside each searched cell
RUNS = {
    "sweep_quickstart.gin": {"search": 6},
    "sweep_ptb.gin": {"search": 20, "rank": 2 * 20 * 5, "final": 2 * 2 * 5},
    "sweep_ptb_small.gin": {"search": 6, "rung-1": 24, "rank": 12, "final": 8},
    # at most seven distinct cells of the posterior beside the one that was found
    "search_and_select.gin": {"search": 1, "rung-1": 8, "rung-2": 4, "rank": 2},
    "studies/select_random_small.gin": {"rung-1": 9, "rung-2": 4, "rank": 2},
    "studies/planted.gin": {"search": 2 * 10},
    "studies/truth.gin": {"search": 6 * 10, "rank": 6 * 10 + 20},
    "studies/normalisation.gin": {"search": 16, "rank": 16},
    "studies/transfer.gin": {"search": 2, "rank": (2 + 2 + 2) * 5},
    "studies/lambda_size.gin": {"search": 24, "rank": 48},
    "studies/estimator.gin": {"search": 20},
    "studies/kappa_gauge.gin": {"search": 40},
    "studies/memory_cells.gin": {"rank": 6 * 3},
    "studies/memory_cells_small.gin": {"rank": 6 * 3},
    "studies/memory_random.gin": {"rank": 2 * 16},
    "studies/memory_random_small.gin": {"rank": 2 * 16},
    "studies/yardstick_small.gin": {"rank": 40},
    "studies/strategies.gin": {"search": 6 * 4, "rank": (2 * 6 * 4 + 8) * 3},
    "studies/strategies_small.gin": {"search": 6 * 4, "rank": 2 * 6 * 4 + 8},
}


def made(file, *params):
    """The plan of a file."""
    config.parse([file], params)
    return plan.make(gin.get_configurable("sweep")(), 0)


def dry_run(capsys, *arguments):
    """Exit code, output and error of a dry run."""
    code = config.run_command(sweep.main, "sweep", [*arguments, "--dry_run"])
    return code, *capsys.readouterr()


@pytest.mark.parametrize(
    "file",
    [pytest.param(file, marks=recipes.needs_tables if "yardstick" in file else ()) for file in SWEEPS],
)
def test_a_file_dry_runs_and_says_how_much_it_is(file, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = recipes.DATA if "yardstick" in file else tmp_path
    code, out, _ = dry_run(capsys, f"--gin_file={file}", f"--data_dir={folder}")
    assert code == 0
    counted = {
        line.split()[0]: int(line.split()[1]) for line in out.splitlines() if " runs, each of " in line
    }
    assert counted == RUNS[file]
    assert out.splitlines()[-1].startswith("estimate")
    assert not list(tmp_path.iterdir())


def test_trainings_that_begin_anew_are_counted_whole():
    rounds = made("search_and_select.gin").rounds
    assert [round_.epochs for round_ in rounds[1:]] == [1, 2, 4]


def test_proposals_need_searches_that_draw_some():
    with pytest.raises(UserError, match="they draw none"):
        made("sweep_ptb_small.gin", "RankOptions.proposals=True")


def test_every_sweep_is_counted_here():
    assert set(RUNS) == set(SWEEPS)


def test_the_thesis_file_has_the_printed_numbers():
    found = made("sweep_ptb.gin")
    assert [(r.stage, r.epochs) for r in found.rounds][-2:] == [("rank", 800), ("final", 2500)]
    assert [job.bindings["LAMBDA_W"] for job in found.searches[::4]] == [0.1, 0.13, 0.15, 0.17, 0.2]
    assert found.searches[5].candidate == "LAMBDA_W=0.13-seed1"
    assert found.searches[5].gin_params == ["LAMBDA_W=0.13"]


def test_a_study_shrinks_by_its_macros():
    found = made("studies/normalisation.gin", "TOKENS=1000", "UNITS=8", "TRAIN_UNITS=9", "EPOCHS=2")
    search, rank = found.rounds[0], found.rounds[-1]
    assert (search.settled["CellOptions.units"], search.settled["CorpusOptions.limit_tokens"]) == (8, 1000)
    assert (rank.epochs, rank.settled["DerivedOptions.units"]) == (2, 9)
    assert rank.settled["AveragingOptions.nonmono"] == 2


def test_points_and_grid_are_crossed():
    options = SearchesOptions(gin_files=("a.gin",), points=({"A.x": 1}, {"A.x": 2}), grid={"B.y": ("u", "v")})
    assert jobs.points(options) == [{"A.x": x, "B.y": y} for x in (1, 2) for y in ("u", "v")]
    names = [job.candidate for job in jobs.searches(options, first_seed=7)]
    assert names == ["x=1-y=u-seed7", "x=1-y=v-seed7", "x=2-y=u-seed7", "x=2-y=v-seed7"]


def test_a_command_line_resumes_the_same_run(tmp_path):
    job = made("sweep_ptb.gin").searches[0]
    arguments = job.arguments(tmp_path, tmp_path / "data")
    assert arguments == [
        "--gin_file=ptb.gin",
        "--gin_param=LAMBDA_W=0.1",
        "--seed=0",
        f"--run_dir={tmp_path}/search/LAMBDA_W=0.1-seed0",
        f"--data_dir={tmp_path}/data",
    ]


def test_parameters_that_end_alike_have_their_whole_names():
    points = ({"A.lr": 1.0, "A.x": 2}, {"B.lr": 1.0})
    names = [job.candidate for job in jobs.searches(SearchesOptions(gin_files=("a.gin",), points=points), 0)]
    assert names == ["A.lr=1.0-x=2-seed0", "B.lr=1.0-seed0"]


def test_an_edited_file_is_another_configuration_and_says_what_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "gin" / "ptb.gin").read_text()
    (tmp_path / "ptb.gin").write_text(text)
    before = made("sweep_ptb.gin").settings()
    quiet = ("EngineOptions.workers=3", "SearchesOptions.params={'search.report_every': 7}")
    assert made("sweep_ptb.gin", *quiet).settings() == before
    (tmp_path / "ptb.gin").write_text(text.replace("0.45", "0.46"))
    changed = set(made("sweep_ptb.gin").settings().splitlines()) ^ set(before.splitlines())
    assert changed == {"search: ScalarOptions.lr = 0.45", "search: ScalarOptions.lr = 0.46"}
    assert "search/LAMBDA_W=0.13-seed2: ScalarOptions.lambda_w = 0.13" in before.splitlines()


def test_a_random_cell_is_the_same_in_every_training():
    config.parse(["sweep_ptb.gin"], ["RankOptions.cells=('random', 'GDAS')"])
    found = plan.make(gin.get_configurable("sweep")(), 3).given
    assert [(c.name, c.source, c.home) for c in found] == [("random-3",) * 3, ("GDAS",) * 3]
    assert published.named(found[0].source, seed=7) == found[0].genotype


def test_groups_of_cells_are_their_members_and_a_table_lies_in_the_data_folder(tmp_path):
    recipes.write_table(tmp_path)
    cells = "RankOptions.cells=('GDAS', ('nasbench-3', 'LSTM'), ('nasbench-1',))"
    config.parse(["sweep_ptb.gin"], [cells])
    found = plan.make(gin.get_configurable("sweep")(), 0, tmp_path).given
    assert [c.source for c in found] == ["GDAS", "nasbench-3", "LSTM", "nasbench-1"]
    assert found[1].genotype == recipes.cell(recipes.RECIPES["gru"])
    with pytest.raises(UserError, match=r"RankOptions\.cells.*must be a tuple"):
        config.parse(["sweep_ptb.gin"], ["RankOptions.cells=('GDAS', (('LSTM',),))"])


@pytest.mark.parametrize("second", ["given/other.json", "LAMBDA_W=0.1-seed0/genotype.json"])
def test_two_cells_of_one_name_are_refused(second, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file, cell in (("given/genotype.json", "GDAS"), (second, "NAO")):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(json.dumps(published.named(cell).to_dict()))
    assert made("sweep_ptb.gin", "RankOptions.cells=('given/genotype.json',)").given[0].name == "given"
    with pytest.raises(UserError, match=f"two cells have the name '{second.split('/')[0]}'"):
        made("sweep_ptb.gin", f"RankOptions.cells=('given/genotype.json', {second!r})")


@pytest.mark.parametrize(
    ("param", "part"),
    [
        ("SearchesOptions.gin_files=('ptp.gin',)", "did you mean 'ptb.gin'?"),
        ("SearchesOptions.grid={'LAMDA_W': (0.1,)}", "no setting uses the macro 'LAMDA_W'"),
        ("SearchesOptions.grid={'CellOptions.norm': ('bach',)}", "CellOptions.norm cannot be 'bach'"),
        ("SearchesOptions.grid={'LAMBDA_W': 0.1}", "must be a tuple of values"),
        ("SearchesOptions.seeds=(1, 1)", "two searches have the name LAMBDA_W=0.1-seed1"),
        ("RankOptions.params={'DerivedOptions.unit': 3}", "has no parameter 'unit'"),
        ("RankOptions.cells=('DARTS_V3',)", "did you mean"),
        ("sweep.search=None", "nothing to run"),
        ("EngineOptions.attempts=0", "attempts cannot be 0"),
    ],
)
def test_a_mistake_is_found_before_anything_runs(param, part, capsys):
    code, _, err = dry_run(capsys, "--gin_file=sweep_ptb.gin", f"--gin_param={param}")
    assert code == 1
    assert part in err
    assert err.count("\n") == 1


def test_a_sweep_goes_on_with_another_number_of_workers(tmp_path):
    def run(*params):
        flags = [f"--gin_param={param}" for param in params]
        return config.run_command(
            lambda run: config.pin(run, "x", "y"),
            "sweep",
            ["--gin_file=sweep_quickstart.gin", f"--run_dir={tmp_path}/s", *flags],
        )

    assert run("EngineOptions.workers=1") == 0
    assert run("EngineOptions.workers=2") == 0
    assert run("SearchesOptions.seeds=(0,)") == 1


@pytest.mark.parametrize("later", ["RankOptions.more_epochs=2", "RankOptions.rungs=(1,)"])
def test_a_rate_that_falls_over_all_epochs_goes_on_with_no_training(later):
    with pytest.raises(UserError, match="RankOptions.rungs and more_epochs continue finished trainings"):
        made("studies/memory_cells.gin", later)
