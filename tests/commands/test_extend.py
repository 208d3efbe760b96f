"""`evaluate --extend`: an ended run with more epochs is the run that never stopped."""

import json

import pytest

from bayesnas_tf import config
from bayesnas_tf.commands import evaluate as evaluate_command
from tests.support import trained

TIMINGS = ("seconds", "tokens_per_second", "made_by")


def evaluate(folder, run_dir, epochs, *flags):
    """The exit code of `evaluate` into `folder`/`run_dir`."""
    settings = {"evaluate.epochs": epochs, "AveragingOptions.after_epoch": 2, "evaluate.report_every": 5}
    return config.run_command(
        evaluate_command.run_evaluate,
        "evaluate",
        [
            *(f"--gin_file={folder}/small.gin", f"--genotype={folder}/genotype.json"),
            *(f"--data_dir={folder}/data", f"--run_dir={folder}/{run_dir}"),
            *(f"--gin_param={name}={value}" for name, value in settings.items()),
            *flags,
        ],
    )


def without_timings(row):
    return {key: value for key, value in row.items() if key not in TIMINGS}


def rows(run):
    return [without_timings(json.loads(line)) for line in (run / "metrics.jsonl").read_text().splitlines()]


def summary(run):
    return without_timings(json.loads((run / "summary.json").read_text()))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Runs of two and of four epochs; averaging begins where the short one ends."""
    folder = tmp_path_factory.mktemp("extend")
    trained.write_corpus(folder)
    assert evaluate(folder, "short", 2) == 0
    assert evaluate(folder, "whole", 4) == 0
    return folder


def test_an_extended_run_is_the_unbroken_one(folder):
    assert evaluate(folder, "longer", 4, f"--extend={folder}/short") == 0
    assert rows(folder / "longer") == rows(folder / "whole")
    assert summary(folder / "longer") == summary(folder / "whole")
    assert summary(folder / "whole")["asgd_epoch"] == 3
    assert summary(folder / "short")["epochs"] == 2
    assert evaluate(folder, "longer", 4, f"--extend={folder}/short") == 0  # and shows its result again


@pytest.mark.parametrize(
    ("flags", "part"),
    [
        (["--extend=nowhere"], "no finished run in nowhere"),
        (["--extend={}/short", "--seed=1"], "command, seed or genotype differ"),
        (["--extend={}/short", "--gin_param=WeightOptions.lr=4.0"], "WeightOptions.lr differ"),
        (["--extend={}/whole", "--gin_param=evaluate.epochs=3"], "less than the 4 epochs"),
    ],
)
def test_what_is_no_beginning_of_the_run_is_refused(folder, tmp_path, capfd, flags, part):
    flags = [flag.format(folder) for flag in flags]
    assert evaluate(folder, tmp_path.name, 4, *flags) == 1
    assert part in capfd.readouterr().err
    assert not (folder / tmp_path.name / "checkpoints").exists()


def test_a_copy_that_was_cut_off_is_made_again(folder):
    assert evaluate(folder, "torn", 4, "--extend=nowhere") == 1
    (folder / "torn" / ".checkpoints").mkdir()
    (folder / "torn" / "metrics.jsonl").write_text('{"step"')
    assert evaluate(folder, "torn", 4, f"--extend={folder}/short") == 0
    assert summary(folder / "torn") == summary(folder / "whole")
