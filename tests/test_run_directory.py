"""The run directory: made, resumed, refused, replaced and locked; and the files a run writes."""

import errno
import fcntl
import json
import os
from pathlib import Path

import gin
import pytest

from bayesnas_tf import config, files
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


@pytest.mark.parametrize("text", ["", "# bayesnas_tf run: {"])
def test_a_start_that_was_killed_while_it_wrote_the_configuration_blocks_nothing(text):
    folder = Path("runs/toy-seed0")
    folder.mkdir(parents=True)
    (folder / ".lock").touch()
    (folder / ".config.gin.99999999").write_text(text)
    assert not open_run().resumed
    assert list(content(folder)) == ["config.gin"]


def test_a_start_removes_what_dead_processes_were_writing_and_nothing_else():
    folder = begun()
    before = content(folder)
    for name in (".metrics.jsonl.99999999", f".genotype.json.{os.getpid()}", ".posterior.npz"):
        (folder / name).touch()
    (folder / ".checkpoints.99999999").mkdir()
    for name in (".curvature.npz.1", ".mine", "notes.1"):  # 1: a process that lives
        (folder / name).touch()
        before[name] = ""
    open_run().close()
    assert content(folder) == before


@pytest.mark.parametrize("moment", range(6))
def test_overwrite_can_be_killed_anywhere(moment, monkeypatch):
    folder = begun()
    for name in ("checkpoints/last", "tb"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").touch()
    (folder / "summary.json").write_text("{}")
    remove, left = files.remove, iter(range(9))

    def killed(path):
        if next(left) == moment:
            raise KeyboardInterrupt
        remove(path)

    with monkeypatch.context() as patch:
        patch.setattr(files, "remove", killed)
        with pytest.raises(KeyboardInterrupt):
            open_run("--overwrite")
    assert (folder / "summary.json").exists() == (moment == 0)
    assert open_run("--overwrite").directory == folder
    assert list(content(folder)) == ["config.gin"]


def test_a_full_disk_is_no_reason_to_choose_another_folder(monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(OSError, match=r"No space left on device: 'runs/toy-seed0/config\.gin'"):
            open_run()
    assert not content("runs/toy-seed0")
    assert not open_run().resumed


def test_a_pinned_fact_must_stay():
    run = open_run()
    config.pin(run, "corpus", "abc")
    config.pin(run, "corpus", "abc")
    with pytest.raises(UserError, match="started with another corpus") as caught:
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
    assert "holds files that are not of a run" in str(refused("--run_dir=mine", *overwrite))
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
