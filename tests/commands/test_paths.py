"""No path of a user is a pattern, a format or an address: whole commands below folders with odd names."""

import json

import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator

from bayesnas_tf import config, sweep
from tests.support import trained
from tests.tools.faults import cases

SMALL = ("--gin_param=evaluate.epochs=1", "--gin_param=CorpusOptions.limit_tokens=300")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lr=[5]", "a*b\\slash ü {x} 100%s?"])
def test_a_training_is_trained_exported_and_scored_below_any_folder(name, tmp_path, capsys):
    folder = tmp_path / name
    folder.mkdir()
    trained.write_corpus(folder)
    assert trained.evaluate(folder, *SMALL) == 0
    assert trained.evaluate(folder, *SMALL, "--dynamic") == 0  # resumes, and reads the best weights
    assert "dynamic" in trained.summary(folder)
    assert trained.export(folder) == 0
    assert trained.score(folder, f"--text={folder / 'valid.txt'}") == 0
    assert "perplexity" in capsys.readouterr().out
    shown = EventAccumulator(str(folder / "run" / "tb")).Reload()
    assert "nats/valid" in shown.Tags()["tensors"]
    assert not [path for path in folder.rglob("*.[0-9]*") if path.name.startswith(".")]


@pytest.mark.slow
def test_a_sweep_below_a_folder_with_brackets_ends(tmp_path, monkeypatch, capfd):
    root = tmp_path / "exp [v2]"
    root.mkdir()
    cases.prepare(root)
    monkeypatch.setattr("tensorflow.config.set_visible_devices", lambda *_: None)
    step = cases.cases(root)["sweep"].broken
    assert config.run_command(sweep.main, "sweep", step.arguments) == 0, capfd.readouterr().err
    rows = json.loads((root / "work" / "run" / "sweep.json").read_text())["runs"]
    assert [(row["stage"], row["state"]) for row in rows] == [("rank", "done"), ("final", "done")]
