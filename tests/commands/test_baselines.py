"""A baseline from the command line to its SavedModel."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.commands import curvature as curvature_command
from bayesnas_tf.commands import evaluate as evaluate_command
from bayesnas_tf.serving import model_card, saved_model
from tests.support import trained

BASELINE = """
include '{folder}/small.gin'
evaluate.baseline = @LstmOptions()
evaluate.head = @MixtureOptions()
evaluate.spare_words = 1
MixtureOptions.experts = 2
LstmOptions.name = 'tiny_lstm'
LstmOptions.embedding = 5
LstmOptions.widths = (6, 7)
LstmOptions.weight_dropout = 0.1
LstmOptions.init_range = 0.3
"""


def evaluate(folder, *arguments):
    """The exit code of `evaluate` with the baseline."""
    flags = [f"--gin_file={folder}/baseline.gin", f"--run_dir={folder}/run", f"--data_dir={folder}/data"]
    return config.run_command(evaluate_command.run_evaluate, "evaluate", [*flags, *arguments])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a run of the baseline and its SavedModel."""
    folder = tmp_path_factory.mktemp("baseline")
    trained.write_corpus(folder)
    (folder / "baseline.gin").write_text(BASELINE.format(folder=folder))
    assert evaluate(folder) == 0
    assert trained.export(folder) == 0
    return folder


def test_a_run_says_which_baseline_it_trained(folder, capfd):
    summary = trained.summary(folder)
    assert summary["baseline"] == "tiny_lstm"
    assert "genotype" not in summary
    lstm = sum(4 * units * (inputs + units + 2) for inputs, units in ((5, 6), (6, 7)))
    head = 7 * 2 + 7 * 10 + 10
    assert summary["parameters"] == 8 * 5 + 8 + lstm + head  # seven words and a spare one
    assert 1.0 < summary["valid_ppl"] < 8.0
    assert not (folder / "run" / "genotype.json").exists()
    assert evaluate(folder) == 0
    assert "cell       tiny_lstm" in capfd.readouterr().out


def test_its_savedmodel_computes_what_the_run_did(folder):
    loaded = tf.saved_model.load(str(folder / "run" / "saved_model"))
    assert set(loaded.signatures) == {"serving_default", "score", "score_next", "step", "encode", "decode"}
    summary = trained.summary(folder)
    lines = (folder / "valid.txt").read_text().removesuffix("\n").split("\n")
    result = loaded.signatures["score"](lines=tf.constant(lines))
    total = summary["valid_nats"] * summary["valid_tokens"]
    assert float(tf.reduce_sum(result["nats"])) == pytest.approx(total, rel=1e-5)
    step = loaded.signatures["step"](ids=tf.constant([0, 3]), state=tf.zeros([2, 26]))
    assert step["log_probabilities"].shape == (2, 7)
    assert np.exp(step["log_probabilities"]).sum(axis=1) == pytest.approx([1.0, 1.0], abs=0.05)


def test_it_continues_a_prompt(folder, capfd):
    assert trained.score(folder, "--generate=3", "--prompt=one two") == 0
    assert capfd.readouterr().out.startswith("one two")


def test_its_card_and_notes_name_the_baseline(folder):
    card = (folder / "run" / "saved_model" / model_card.FILE).read_text()
    assert "# tiny_lstm on text" in card
    assert "The baseline `tiny_lstm` between a tied embedding and a mixture of 2 softmaxes" in card
    assert "random cells" not in card
    about = json.loads((folder / "run" / "saved_model" / saved_model.ABOUT).read_text())
    assert (about["baseline"], about["vocabulary"]) == ("tiny_lstm", 7)


def test_runs_of_other_seeds_are_its_siblings(folder, tmp_path):
    ignored = shutil.ignore_patterns("checkpoints", "saved_model", "tb")
    shutil.copytree(folder / "run", tmp_path / "run", ignore=ignored)
    shutil.copytree(tmp_path / "run", tmp_path / "other")
    text = (tmp_path / "other" / "config.gin").read_text()
    (tmp_path / "other" / "config.gin").write_text(text.replace('"seed": 0', '"seed": 5'))
    (tmp_path / "other" / "summary.json").write_text(json.dumps({**trained.summary(folder), "seed": 5}))
    assert [summary["seed"] for summary in model_card.siblings(tmp_path / "run")] == [0, 5]


def test_a_dry_run_prints_its_size(folder, capfd):
    assert evaluate(folder, "--dry_run", f"--run_dir={folder}/none") == 0
    out = capfd.readouterr().out
    assert "baseline   tiny_lstm" in out
    assert f"{trained.summary(folder)['parameters']:,} parameters" in out


def test_its_curvature_is_refused(folder, capfd):
    flags = [f"--run={folder}/run", f"--data_dir={folder}/data"]
    assert config.run_command(curvature_command.run_curvature, "curvature", flags) == 1
    assert "holds a baseline, but `curvature` needs" in capfd.readouterr().err


def test_a_genotype_beside_a_baseline_is_refused(folder, capfd):
    assert evaluate(folder, "--genotype=DARTS_V2", f"--run_dir={folder}/none") == 1
    error = capfd.readouterr().err
    assert "trains the baseline 'tiny_lstm', and --genotype=DARTS_V2 is another cell" in error


def test_it_can_be_measured_dynamically(folder):
    assert evaluate(folder, "--dynamic") == 0
    assert trained.summary(folder)["dynamic"]["valid_ppl"] > 1.0
