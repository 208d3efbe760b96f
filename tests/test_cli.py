"""The command line as a user meets it: help, one-line errors, exit codes, interruption."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time

import pytest

from bayesnas_tf import config
from bayesnas_tf.config import flags, help
from bayesnas_tf.errors import UsageError, UserError

MODULES = ("tests.configurables",)
COMMANDS = ("search", "evaluate", "sweep", "export", "score", "curvature", "report")
FROM_GIN = ("search", "evaluate", "sweep")  # the commands that need a --gin_file
OWN = {
    "search": ["diagnose"],
    "evaluate": ["genotype", "extend", "dynamic"],
    "sweep": ["engine"],
    "export": ["run", "out"],
    "score": ["model", "text", "generate", "prompt", "temperature", "top_k"],
    "curvature": ["run", "out"],
    "report": ["runs", "out"],
}
COMMON = ("gin_file", "gin_param", "run_dir", "data_dir", "seed", "overwrite", "dry_run", "verbose")

# A command of its own, so that these tests need no model.
PROGRAM = """
import signal
import time
from bayesnas_tf import config

signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored where the tests run in the background

def main(run):
    print("begun", run.directory, flush=True)
    time.sleep({seconds})

config.launch(main, "search", modules=("tests.configurables",))
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A folder with one configuration as the current one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "toy.gin").write_text("ToyOptions.units = 5\n")
    return tmp_path


@pytest.fixture
def python(root, here):
    """Start Python with this package on its path; returns the process."""

    def start(*arguments):
        environment = {**os.environ, "PYTHONPATH": str(root)}
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=here,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def failing(error):
    """A main that raises."""

    def main(run):
        raise error

    return main


def run(main, *arguments, command="search"):
    """The exit code of a command in this process."""
    return config.run_command(main, command, ["--gin_file=toy.gin", *arguments], MODULES)


@pytest.mark.parametrize("command", COMMANDS)
def test_help_lists_every_flag_at_once_and_imports_no_tensorflow(python, command):
    begin = time.monotonic()
    process = python("-X", "importtime", "-m", f"bayesnas_tf.{command}", "--help")
    out, err = process.communicate()
    assert process.returncode == 0
    for flag in (*COMMON, *OWN[command]):
        assert f"--{flag}" in out
    imported = {line.rsplit("|", 1)[-1].strip() for line in err.splitlines()}
    assert not imported & {"tensorflow", "keras", "numpy", "tensorflow_datasets"}
    assert time.monotonic() - begin < 1.0 + 2.0  # measured 0.15 s; the rest is for a loaded machine


@pytest.mark.parametrize("command", COMMANDS)
def test_help_shows_an_example_and_the_default_of_every_flag(command):
    text = flags.parse(command, ["--help"])
    assert f"\n  python -m bayesnas_tf.{command} --" in text
    assert max(map(len, text.splitlines())) <= 120
    blocks = re.split(r"\n  --", text.partition("\nFlags:")[2])[1:]
    told = {re.match(r"\w+", block)[0]: " ".join(block.split()) for block in blocks}
    assert set(told) == {*OWN[command], *COMMON, "help"}
    assert [flag for flag, line in told.items() if "(default: " not in line] == []
    assert "(default: 0)" in told["seed"]
    assert "(default: runs/<config>-seed<seed>)" in told["run_dir"]
    assert "(default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf)" in told["data_dir"]


@pytest.mark.parametrize(
    ("command", "example"), [(name, example) for name in COMMANDS for example in help.EXAMPLES[name]]
)
def test_the_examples_of_help_are_accepted(command, example, here, capfd):
    if command in FROM_GIN:
        assert config.run_command(lambda run: None, command, shlex.split(example)) == 0, capfd.readouterr()
        return
    model = here / "runs" / "quickstart_eval-seed0" / "saved_model"
    for folder in (model, here / "runs" / "sweep_quickstart-seed0"):
        folder.mkdir(parents=True)
    (model / "saved_model.pb").touch()
    assert flags.parse(command, shlex.split(example)).command == command


def test_a_misspelt_flag_is_a_usage_error(capfd):
    assert run(failing(AssertionError), "--sede=3") == 2
    assert capfd.readouterr().err == "error: unknown flag --sede of search (did you mean '--seed'?)\n"


@pytest.mark.parametrize(
    ("command", "arguments", "part"),
    [
        ("search", [], "needs a configuration"),
        ("search", ["ptb.gin"], "--gin_file=ptb.gin"),
        ("search", ["--gin_file=a.gin", "--seed=one"], "--seed=one"),
        ("search", ["--gin_file=a.gin", "--seed=-1"], "--seed=-1"),
        ("search", ["--gin_file=a.gin", "--seed"], "--seed needs a value"),
        ("search", ["--gin_file=a.gin", "--verbose=maybe"], "--verbose=maybe must be true or false"),
        ("search", ["--gin_file=a.gin", "--genotype=x"], "--genotype of search. It is a flag of `evaluate`"),
        ("report", ["--run=x"], "a flag of `export` and `curvature` (did you mean '--runs'?)"),
        ("sweep", ["--gin_file=a.gin", "--engine=loca"], "one of local, ray (did you mean 'local'?)"),
        ("score", ["--temperature=-1"], "--temperature=-1 must be a number of at least 0"),
        ("export", [], "--run="),
        ("curvature", [], "--run="),
        ("score", ["--text=a"], "--model="),
        ("score", ["--model=a"], "--generate=N"),
    ],
)
def test_a_command_says_what_it_lacks(command, arguments, part):
    with pytest.raises(UsageError) as caught:
        flags.parse(command, arguments)
    assert part in str(caught.value)


def test_paths_follow_from_other_flags(monkeypatch, tmp_path):
    monkeypatch.setenv("BAYESNAS_DATA", "/corpora")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r" / "saved_model").mkdir(parents=True)
    (tmp_path / "r" / "saved_model" / "saved_model.pb").touch()
    line = flags.parse("score", ["--run_dir=r", "--generate=3"])
    assert str(line.options.model) == "r/saved_model"
    assert str(line.data_dir) == "/corpora"
    monkeypatch.delenv("BAYESNAS_DATA")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert flags.parse("search", ["--gin_file=a"]).data_dir == tmp_path / ".cache" / "bayesnas_tf"


def test_a_run_and_a_model_are_guessed_from_a_misspelt_folder(here):
    model = here / "runs" / "toy-seed0" / "saved_model"
    model.mkdir(parents=True)
    for file in (model / "saved_model.pb", model.parent / "config.gin"):
        file.touch()
    with pytest.raises(UserError, match=r"no SavedModel.*\(did you mean 'runs/toy-seed0/saved_model'\?\)"):
        flags.parse("score", ["--model=runs/toy-seed0", "--generate=1"])
    with pytest.raises(UserError, match=r"no run in .*\(did you mean 'runs/toy-seed0'\?\)"):
        config.open_run(flags.parse("export", ["--run=runs/toy-seed"]), MODULES)


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (UserError("no text. In a.txt. Write one"), "error: no text. In a.txt. Write one\n"),
        (UserError("changed", "-a\n+b"), "error: changed\n-a\n+b\n"),
        (ValueError("units = 0.\n  Take more"), "error: units = 0. Take more\n"),
        (
            RuntimeError("out of\nmemory"),
            "error: RuntimeError: out of memory. Add --verbose to see the place in the code\n",
        ),
    ],
)
def test_a_failure_is_one_line(capfd, error, line):
    assert run(failing(error)) == 1
    assert capfd.readouterr().err == line


def test_verbose_adds_the_traceback(capfd):
    assert run(failing(ValueError("units")), "--verbose") == 1
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert err.endswith("error: units\n")


@pytest.mark.parametrize(("flag", "heard"), [([], ""), (["--verbose"], "greetings")])
def test_libraries_greet_only_a_verbose_user(here, monkeypatch, capfd, flag, heard):
    (here / "noisy.py").write_text("import os\nos.write(2, b'greetings')\n")
    monkeypatch.syspath_prepend(here)
    monkeypatch.delitem(sys.modules, "noisy", raising=False)
    code = config.run_command(lambda run: None, "search", ["--gin_file=toy.gin", *flag], (*MODULES, "noisy"))
    assert (code, capfd.readouterr().err) == (0, heard)


def test_an_option_refused_by_its_class_is_one_line(capfd):
    def main(_):
        import gin

        gin.get_configurable("ToyOptions")()

    assert run(main, "--gin_param=ToyOptions.units = 0") == 1
    assert capfd.readouterr().err == "error: units = 0 must be at least 1 (in ToyOptions)\n"


def test_an_interrupted_run_says_how_to_go_on_and_frees_its_directory(python):
    process = python("-c", PROGRAM.format(seconds=60), "--gin_file=toy.gin")
    assert process.stdout.readline().startswith("begun")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=20)
    assert (process.returncode, err) == (130, "interrupted. The same command resumes from what is saved\n")
    assert run(lambda run: None) == 0


def test_a_second_process_is_refused_until_the_first_is_killed(python, capfd):
    process = python("-c", PROGRAM.format(seconds=60), "--gin_file=toy.gin")
    assert process.stdout.readline().startswith("begun")
    assert run(failing(AssertionError)) == 1
    assert "another process is writing runs/toy-seed0" in capfd.readouterr().err
    process.kill()
    process.communicate()
    assert run(lambda run: None) == 0


def test_a_misspelt_file_is_reported_before_tensorflow_loads(python):
    process = python("-X", "importtime", "-m", "bayesnas_tf.search", "--gin_file=toi.gin")
    _, err = process.communicate()
    assert process.returncode == 1
    assert "did you mean 'toy.gin'?" in err.splitlines()[-1]
    assert "| tensorflow" not in err
