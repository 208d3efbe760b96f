"""SIGKILL at arbitrary moments of a real process, on both sides of the switch to averages."""

import json
import signal
import subprocess
import sys
import time

import tensorflow as tf

from tests.support import trained

EPOCHS, SWITCH = 6, 3
TIMINGS = ("seconds", "tokens_per_second", "made_by")  # what no two runs share


def command(folder, run_dir, *more):
    settings = {
        "evaluate.epochs": EPOCHS,
        "evaluate.report_every": 1,
        "evaluate.checkpoint_every": 5,
        "AveragingOptions.after_epoch": SWITCH,
        "DerivedOptions.hidden_dropout": 0.2,
        "ModelOptions.word_dropout": 0.1,
        "WeightOptions.temporal_activation": 1e-2,
    }
    return [
        *(sys.executable, "-m", "bayesnas_tf.evaluate", f"--gin_file={folder}/small.gin"),
        *(f"--genotype={folder}/genotype.json", f"--data_dir={folder}/data", f"--run_dir={folder}/{run_dir}"),
        *(f"--gin_param={name}={value}" for name, value in settings.items()),
        *more,
    ]


def rows(run):
    """metrics.jsonl without timings, as far as it is whole."""
    path = run / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    lines = text[: text.rfind("\n") + 1].splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in TIMINGS} for line in lines]


def kill_when(folder, reached, *more):
    """Start the run, and kill it once `reached` holds of its rows; False if it ended before."""
    process = subprocess.Popen(
        command(folder, "killed", *more), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if reached(rows(folder / "killed")):
            process.send_signal(signal.SIGKILL)
            break
        time.sleep(0.001)
    assert process.wait(timeout=120) in (0, -signal.SIGKILL)
    return process.returncode == -signal.SIGKILL


def weights(run):
    """Every number of the newest checkpoint: weights, averages, counters."""
    reader = tf.train.load_checkpoint(str(run / "checkpoints" / "last"))
    names = (name for name in reader.get_variable_to_shape_map() if "seconds" not in name)
    return {name: reader.get_tensor(name).tolist() for name in sorted(names) if "OBJECT_GRAPH" not in name}


def test_a_run_killed_before_and_after_the_switch_ends_as_an_unbroken_one(tmp_path):
    trained.write_corpus(tmp_path)
    subprocess.run(command(tmp_path, "whole"), check=True, capture_output=True)
    whole = rows(tmp_path / "whole")
    last = {epoch: max(row["step"] for row in whole if row["epoch"] == epoch) for epoch in (2, 3, 4, 5)}
    moments = [last[2] + 3, last[3], last[4] + 3]  # in epoch 3, at the switch, in the second averaged epoch
    killed = [kill_when(tmp_path, lambda r, at=at: r and r[-1]["step"] >= at) for at in moments]
    assert killed == [True, True, True]
    subprocess.run(command(tmp_path, "killed"), check=True, capture_output=True)
    assert rows(tmp_path / "killed") == whole
    results = [json.loads((tmp_path / name / "summary.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["asgd_epoch"] == SWITCH + 1
    for name in set(results[0]) - set(TIMINGS):
        assert results[0][name] == results[1][name], name
    assert weights(tmp_path / "whole") == weights(tmp_path / "killed")


MEMORY = (
    "--genotype=LSTM",
    "--gin_param=evaluate.epochs=3",
    "--gin_param=OptimizerOptions.rule='adam'",
    "--gin_param=OptimizerOptions.decay='linear'",
    "--gin_param=WeightOptions.lr=0.01",
)


def test_a_killed_training_of_a_cell_with_two_states_ends_as_an_unbroken_one(tmp_path):
    trained.write_corpus(tmp_path)
    subprocess.run(command(tmp_path, "whole", *MEMORY), check=True, capture_output=True)
    whole = rows(tmp_path / "whole")
    middle = max(row["step"] for row in whole if row["epoch"] == 1) + 3
    assert kill_when(tmp_path, lambda found: found and found[-1]["step"] >= middle, *MEMORY)
    subprocess.run(command(tmp_path, "killed", *MEMORY), check=True, capture_output=True)
    assert rows(tmp_path / "killed") == whole
    assert len({row["lr"] for row in whole if "lr" in row}) > 10  # it falls from window to window
    assert weights(tmp_path / "whole") == weights(tmp_path / "killed")
