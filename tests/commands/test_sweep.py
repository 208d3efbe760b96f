"""`sweep` as a user meets it, a real search, its cell ranked and trained longer."""

import json

import pytest

from bayesnas_tf import config, sweep
from tests.support import tiny
from tests.sweeping import fake

SWEEP = """
include 'base/sweep.gin'
SearchesOptions.gin_files = ('tiny.gin',)
SearchesOptions.params = {'search.epochs': 1}
SearchesOptions.grid = {'ScalarOptions.lambda_w': (0.1,)}
RankOptions.gin_files = ('tiny_eval.gin',)
RankOptions.epochs = 1
RankOptions.best = 1
RankOptions.more_epochs = 1
EngineOptions.workers = 2
"""
EVALUATE = f"{tiny.EVALUATE}DerivedOptions.units = 3\nWeightOptions.lr = 1.0\n"

ALONE = "--gin_param=sweep.rank=None"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A text, the configurations, and the working folder."""
    tiny.write(tmp_path)
    (tmp_path / "tiny_eval.gin").write_text(EVALUATE)
    (tmp_path / "sweep.gin").write_text(SWEEP)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tensorflow.config.set_visible_devices", lambda *_: None)  # other tests may want GPUs
    return tmp_path


def run(folder, *flags):
    """The exit code of the sweep."""
    arguments = ["--gin_file=sweep.gin", f"--data_dir={folder}", "--run_dir=swept", *flags]
    return config.run_command(sweep.main, "sweep", arguments)


def view(folder):
    return json.loads((folder / "swept" / "sweep.json").read_text())


@pytest.mark.slow
def test_a_search_is_ranked_and_its_cell_trained_longer(folder, capfd):
    assert run(folder) == 0
    out, err = capfd.readouterr()
    assert "search: 1 runs, 0 already done" in err
    assert "final/lambda_w=0.1-seed0/seed0 done in" in err
    assert "selected   lambda_w=0.1-seed0: valid" in out
    found = view(folder)
    assert [(row["run"], row["state"]) for row in found["runs"]] == [
        ("search/lambda_w=0.1-seed0", "done"),
        ("rank/lambda_w=0.1-seed0/seed0", "done"),
        ("final/lambda_w=0.1-seed0/seed0", "done"),
    ]
    assert found["runs"][2]["summary"]["epochs"] == 2
    assert found["runs"][2]["bindings"] == {"ScalarOptions.lambda_w": 0.1}
    (selected,) = found["selected"]
    assert selected["test_ppl"]["mean"] == found["runs"][2]["summary"]["test_ppl"]
    assert selected["genotype"] == found["runs"][0]["summary"]["genotype"]
    assert found["budget"] == {"epochs": 2, "epochs_without_rungs": 2}
    rows = (folder / "swept/final/lambda_w=0.1-seed0/seed0/metrics.jsonl").read_text().splitlines()
    assert [row["epoch"] for row in map(json.loads, rows) if row["split"] == "valid"] == [1, 2]
    assert run(folder) == 0  # and nothing is done twice
    assert "done in" not in capfd.readouterr().err
    assert view(folder)["selected"] == [selected]


def fakes(monkeypatch, mode="", seeds=(0, 1, 2)):
    """Let every run be a fake one, those of some seeds in a mode."""

    def command_line(job, root, data_dir):
        params = {"steps": 1, "mode": mode if job.seed in seeds else ""}
        return fake.command(root)(job._replace(params=params))

    monkeypatch.setattr("bayesnas_tf.sweeping.jobs.Job.command_line", command_line)


def test_searches_alone_end_a_sweep(folder, monkeypatch, capfd):
    fakes(monkeypatch)
    called = []
    monkeypatch.setattr("tensorflow.config.set_visible_devices", lambda *given: called.append(given))
    monkeypatch.setattr("bayesnas_tf.data.corpora.load", lambda *_: called.append("corpus"))
    assert run(folder, ALONE, "--gin_param=SearchesOptions.seeds=(0, 1, 2)") == 0
    assert called == [([], "GPU"), "corpus"]  # before TensorFlow takes them
    assert "3 runs. Their states and results are in" in capfd.readouterr().out
    assert [row["state"] for row in view(folder)["runs"]] == ["done"] * 3


def test_a_sweep_that_gave_up_a_run_shows_its_results_and_says_so(folder, monkeypatch, capfd):
    fakes(monkeypatch, "fail", seeds=(1,))
    seeds = "--gin_param=SearchesOptions.seeds=(0, 1)"
    assert run(folder, ALONE, seeds) == 1
    out, err = capfd.readouterr()
    assert "failed     search/lambda_w=0.1-seed1: exit code 1. error: it cannot" in out
    assert err.splitlines()[-1].startswith("error: search/lambda_w=0.1-seed1 failed for good.")
    assert [row["state"] for row in view(folder)["runs"]] == ["done", "failed"]


def test_when_every_search_failed_it_says_so_and_the_same_command_tries_again(folder, monkeypatch, capfd):
    fakes(monkeypatch, "fail")
    assert run(folder, ALONE) == 1
    err = capfd.readouterr().err
    assert "failed: exit code 1. error: it cannot. In fake.py. Give up; it starts again" in err
    assert err.splitlines()[-1].startswith("error: every search failed.")
    fakes(monkeypatch)
    assert run(folder, ALONE, "--gin_param=SearchesOptions.seeds=(1,)") == 1
    assert "started with another configuration" in capfd.readouterr().err
    assert run(folder, ALONE) == 0
    assert view(folder)["runs"][0]["state"] == "done"
