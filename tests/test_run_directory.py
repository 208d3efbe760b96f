"""The run directory: made, resumed, refused, replaced and locked; and the files a run writes."""

import fcntl
import json
from pathlib import Path

import gin
import numpy as np
import pytest

from bayesnas_tf import config
from bayesnas_tf.config import flags
from bayesnas_tf.config.run_directory import default_directory
from bayesnas_tf.errors import UserError

MODULES = ("tests.configurables",)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with one configuration as the current one."""
    monkeypatch.chdir(tmp_path)
    Path("toy.gin").write_text("UNITS = 5  # why\nToyOptions.units = %UNITS\n")
    return tmp_path


def open_run(*arguments, command="search"):
    """The run that a command line opens; `--gin_file=toy.gin` is understood."""
    return config.open_run(flags.parse(command, ["--gin_file=toy.gin", *arguments]), MODULES)


def begun(*arguments, command="search"):
    """The directory of a run that got as far as its loop and ended."""
    run = open_run(*arguments, command=command)
    (run.directory / "metrics.jsonl").touch()
    run.close()
    return run.directory


def refused(*arguments, command="search"):
    """The error of a command line that is refused."""
    with pytest.raises(UserError) as caught:
        open_run(*arguments, command=command)
    assert "\n" not in str(caught.value)
    return caught.value


def content(folder):
    """Every file below a folder with its text, the lock aside."""
    files = [path for path in Path(folder).rglob("*") if path.is_file() and path.name != ".lock"]
    return {path.relative_to(folder).as_posix(): path.read_text() for path in files}


def cell_file(path, op):
    """A genotype file of one node."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"nodes": [{"source": 0, "op": op}], "output": [1]}))
    return path


def test_a_new_run_has_its_directory_and_configuration():
    run = open_run("--seed=3")
    assert run.directory == Path("runs/toy-seed3")
    assert (run.command, run.seed, run.config_name, run.resumed) == ("search", 3, "toy", False)
    stored = (run.directory / "config.gin").read_text()
    assert stored.endswith(run.config_text.rstrip() + "\n")
    assert '"seed": 3' in stored.splitlines()[0]


@pytest.mark.parametrize("genotype", ["", "runs/ptb-seed1/genotype.json"])
def test_the_default_directory_is_named_after_configuration_and_seed(genotype):
    line = flags.parse("evaluate", ["--gin_file=a/ptb_eval.gin", "--seed=2", f"--genotype={genotype}"])
    assert default_directory(line) == Path("runs/ptb_eval-seed2")


def test_a_start_that_failed_before_its_loop_blocks_no_correction():
    open_run().close()
    run = open_run("--gin_param=UNITS=6")
    assert not run.resumed
    assert "UNITS = 6" in (run.directory / "config.gin").read_text()


def test_a_pinned_fact_must_stay():
    run = open_run()
    config.pin(run, "corpus", "abc")
    config.pin(run, "corpus", "abc")
    with pytest.raises(UserError, match="begun with another corpus") as caught:
        config.pin(run, "corpus", "xyz")
    assert caught.value.details == "-abc\n+xyz"
    run.close()
    assert open_run().resumed


def test_the_same_command_resumes():
    begun()
    again = open_run()
    assert again.resumed
    assert (again.directory / "metrics.jsonl").exists()


def test_comments_and_order_are_no_change():
    begun()
    Path("toy.gin").write_text("ToyOptions.units = %UNITS\n# other words\nUNITS = 5\n")
    assert open_run().resumed


def test_a_changed_configuration_is_refused_with_its_diff():
    begun()
    before = content("runs/toy-seed0")
    error = refused("--gin_param=UNITS=6")
    assert error.details.splitlines() == ["-UNITS = 5", "+UNITS = 6"]
    assert "--overwrite" in str(error)
    assert content("runs/toy-seed0") == before


def test_where_and_how_wide_a_sweep_runs_is_no_change_however_it_is_written():
    long = "10.0.0.1:6379" + "0" * 90  # gin puts a long value on a line of its own

    def open_sweep(*params):
        arguments = ["--gin_file=sweep_quickstart.gin", "--run_dir=s"]
        return config.open_run(flags.parse("sweep", arguments + [f"--gin_param={p}" for p in params]))

    run = open_sweep(f"EngineOptions.address={long!r}")
    config.pin(run, "corpus", "abc")
    run.close()
    for params in ((), ("WORKERS=2", "EngineOptions.workers=%WORKERS")):
        run = open_sweep(*params)
        assert run.resumed
        run.close()
    with pytest.raises(UserError, match="another configuration"):
        open_sweep("SearchesOptions.seeds=(7,)")


def test_another_seed_or_command_is_a_change():
    begun("--run_dir=r")
    assert refused("--run_dir=r", "--seed=1").details == "-seed: 0\n+seed: 1"
    assert "+command: evaluate" in refused("--run_dir=r", command="evaluate").details


def test_another_cell_in_the_same_file_is_a_change(here):
    path = cell_file(here / "s" / "genotype.json", "tanh")
    begun(f"--genotype={path}", command="evaluate")
    cell_file(here / "moved" / "s" / "genotype.json", "tanh")
    assert open_run("--genotype=moved/s/genotype.json", command="evaluate").resumed
    cell_file(path, "relu")
    assert "+genotype: relu0 -> mean 1" in refused(f"--genotype={path}", command="evaluate").details


@pytest.mark.parametrize("name", ["logs/search/seed0.log", "search/seed0/.lock"])
def test_overwrite_removes_no_run_that_is_being_written(name):
    held = begun() / name
    held.parent.mkdir(parents=True)
    with held.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert f"another process is writing {held.parent}" in str(refused("--overwrite"))
        assert held.exists()
        open_run().close()  # to go on is no harm: a run waits for its lock
    open_run("--overwrite").close()
    assert not held.exists()


def test_a_run_goes_on_with_one_whose_tensorboard_files_are_gone():
    source = begun()
    (source / "summary.json").write_text("{}")
    run = open_run("--run_dir=longer")
    with pytest.raises(UserError, match="has no checkpoints"):
        config.extend(run, source)
    (source / "checkpoints").mkdir()
    (source / "checkpoints" / "last").write_text("x")
    config.extend(run, source)
    assert sorted(content(run.directory)) == ["checkpoints/last", "config.gin", "metrics.jsonl"]
    run.close()


def test_overwrite_begins_again():
    run = open_run()
    (run.directory / "checkpoints").mkdir()
    (run.directory / "checkpoints" / "old").write_text("x")
    run.close()
    again = open_run("--overwrite", "--gin_param=UNITS=6")
    assert not again.resumed
    assert list(content(again.directory)) == ["config.gin"]


@pytest.mark.parametrize("overwrite", [[], ["--overwrite"]])
@pytest.mark.parametrize("name", ["config.gin", "thesis.txt"])
def test_a_directory_that_is_no_run_is_left_alone(overwrite, name):
    Path("mine").mkdir()
    Path("mine", name).write_text("ToyOptions.units = 3")
    assert "holds files but no run" in str(refused("--run_dir=mine", *overwrite))
    assert content("mine") == {name: "ToyOptions.units = 3"}


def test_an_unwritable_directory_is_one_line():
    Path("file").write_text("mine")
    assert "cannot write file/run" in str(refused("--run_dir=file/run", "--overwrite"))
    assert Path("file").read_text() == "mine"


def test_two_processes_never_write_one_directory():
    run = open_run()
    before = content(run.directory)
    assert "another process" in str(refused("--overwrite"))
    assert content(run.directory) == before
    run.close()
    assert open_run().directory == run.directory


def test_a_dry_run_writes_nothing(here):
    run = open_run("--dry_run")
    assert run.dry_run
    assert "UNITS = 5" in run.config_text
    assert [path.name for path in here.iterdir()] == ["toy.gin"]


def test_export_reads_the_configuration_of_the_run():
    open_run("--run_dir=r", command="evaluate").close()
    gin.clear_config()
    run = config.open_run(flags.parse("export", ["--run=r"]), MODULES)
    assert gin.get_configurable("ToyOptions")().units == 5
    assert (run.directory, run.options.out) == (Path("r"), Path("r/saved_model"))
    with pytest.raises(UserError, match="no run in nowhere"):
        config.open_run(flags.parse("export", ["--run=nowhere"]), MODULES)


def test_the_operative_configuration_has_the_defaults():
    run = open_run()
    gin.get_configurable("ToyOptions")()
    config.record_operative(run)
    text = (run.directory / "operative_config.gin").read_text()
    assert "ToyOptions.rate = 0.5" in text
    assert "ToyOptions.units = %UNITS" in text


def test_metrics_survive_a_torn_line_and_forget_what_is_not_wanted(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = config.Metrics(path)
    for step in range(1, 5):
        metrics.append({"step": step, "nats": np.float32(step), "ppl": float("nan")})
    with path.open("a") as file:
        file.write('{"step": 5, "na')
    metrics = config.Metrics(path)
    metrics.keep(lambda row: row["step"] <= 2)
    metrics.append({"step": 3, "nats": 0.5})
    assert [row["step"] for row in metrics.rows()] == [1, 2, 3]
    assert metrics.rows()[0] == {"step": 1, "nats": 1.0, "ppl": None}


def test_an_object_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "summary.json"
    config.write_json(path, {"a": np.arange(2), "b": {"c": np.bool_(True)}, "d": Path("x")})
    assert json.loads(path.read_text()) == {"a": [0, 1], "b": {"c": True}, "d": "x"}
    with pytest.raises(TypeError):
        config.write_json(path, {"a": object()})
    assert json.loads(path.read_text())["d"] == "x"
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".json"] == ["summary.json"]
