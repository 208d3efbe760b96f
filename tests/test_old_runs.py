"""Run directories, genotypes and SavedModels of an earlier version: they resume, export, score and report."""

import json
import shutil
import tarfile

import pytest

from bayesnas_tf import config
from bayesnas_tf.commands import evaluate as evaluate_command
from bayesnas_tf.commands import export, score
from bayesnas_tf.commands import report as report_command
from bayesnas_tf.commands import search as search_command
from bayesnas_tf.space.genotype import Genotype

MAINS = {
    "search": search_command.run_search,
    "evaluate": evaluate_command.run_evaluate,
    "export": export.run_export,
    "score": score.run_score,
    "report": report_command.run_report,
}
TIMINGS = ("seconds", "tokens_per_second", "made_by")  # what no two runs share
RTOL = 1e-5  # float32, on a processor that may be another


@pytest.fixture(scope="module")
def kept(root_of_tests, tmp_path_factory):
    folder = tmp_path_factory.mktemp("old")
    with tarfile.open(root_of_tests / "fixtures" / "runs_d83c507.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def old(kept, tmp_path):
    return shutil.copytree(kept, tmp_path / "old")


def run(command, *arguments):
    return config.run_command(MAINS[command], command, arguments)


# what made each run, see fixtures/README.md
CORPUS = {
    "CorpusOptions.vocabulary_size": 40,
    "CorpusOptions.name": "'text'",
    "CorpusOptions.train_file": "'corpus.txt'",
    "CorpusOptions.limit_tokens": 1500,
    "WindowOptions.batch_size": 4,
}
CELL = {"CellOptions.units": 6, "CellOptions.nodes": 3}
TRAIN = {"DerivedOptions.units": 6, "evaluate.epochs": 2, "AveragingOptions.after_epoch": 1}
LSTM = {"LstmOptions.widths": (6, 6, 6), "LstmOptions.embedding": 6, "TOKENS": 1500}
MADE = {
    "search": ("search", ["quickstart.gin"], CELL),
    "darts": ("search", ["quickstart.gin", "strategies/darts1.gin"], CELL),
    "evaluate": ("evaluate", ["quickstart_eval.gin"], TRAIN),
    "random": ("evaluate", ["quickstart_eval.gin"], TRAIN),
    "baseline": ("evaluate", ["baselines/awd_lstm.gin", "base/small_baseline.gin"], LSTM),
}


def again(old, name):
    """The command that made a run, and its flags."""
    command, files, params = MADE[name]
    genotype = {"evaluate": str(old / "runs/search/genotype.json"), "random": "random-1"}.get(name)
    flags = [f"--gin_file={file}" for file in files]
    flags += [f"--gin_param={key}={value}" for key, value in {**CORPUS, **params}.items()]
    flags += [f"--genotype={genotype}"] if genotype else []
    return command, [*flags, f"--data_dir={old / 'data'}", f"--run_dir={old / 'runs' / name}"]


def results(summary):
    """What a run computed; its numbers, and not the warnings that today's limits and words make of them."""
    found = {name: value for name, value in summary.items() if name not in TIMINGS}
    if health := found.get("health"):
        found["health"] = {name: value for name, value in health.items() if name != "warnings"}
    return found


def close(found, wanted):
    """Equal but for rounding, at every depth."""
    if isinstance(wanted, dict):
        return all(name in found and close(found[name], value) for name, value in wanted.items())
    if isinstance(wanted, list):
        return len(found) == len(wanted) and all(map(close, found, wanted))
    return found == (pytest.approx(wanted, rel=RTOL) if isinstance(wanted, float) else wanted)


@pytest.mark.parametrize("name", ["search", "darts", "evaluate", "random", "baseline"])
def test_an_old_run_without_its_summary_resumes_to_the_same_result(old, name):
    summary = old / "runs" / name / "summary.json"
    wanted = json.loads(summary.read_text())
    summary.unlink()
    command, flags = again(old, name)
    assert run(command, *flags) == 0
    assert close(results(json.loads(summary.read_text())), results(wanted))


def test_an_old_training_exports_and_its_model_scores_as_the_old_one(old, capsys):
    new = old / "new_model"
    assert run("export", f"--run={old / 'runs/evaluate'}", f"--out={new}") == 0
    text = old / "data" / "corpus.txt"
    told = []
    for model in (old / "runs/evaluate/saved_model", new):
        capsys.readouterr()
        assert run("score", f"--model={model}", f"--text={text}") == 0
        told.append(capsys.readouterr().out)
    assert told[0] == told[1]
    assert "perplexity" in told[0]


def test_old_runs_are_reported(old, capsys):
    assert run("report", f"--runs={old / 'runs'}") == 0
    assert "2 searches, 3 trainings" in capsys.readouterr().out
    page = (old / "runs" / "report.html").read_text()
    assert "Every file that was found could be read." in page


def test_an_old_genotype_is_read(old):
    cell = Genotype.load(old / "runs/search/genotype.json")
    assert str(cell) == "relu0 relu0 relu2 -> mean 1 2 3"
