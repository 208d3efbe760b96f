"""A search that is killed, stopped and resumed at any place ends as one that never was."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from bayesnas_tf.reporting import run_files
from tests.support import tiny


class Killed(BaseException):
    """Ends the search as a kill does: nothing in it may catch this."""


def tell(monkeypatch, method, hook):
    """Call `hook` with what the metrics file is told, after it was told."""
    original = getattr(run_files.MetricsFile, method)

    def told(self, *arguments):
        original(self, *arguments)
        hook(*arguments)

    monkeypatch.setattr(run_files.MetricsFile, method, told)


def kill_at_a_random_step(folder, directory):
    """Start the command as a user does and send SIGKILL after a random row of its metrics."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    arguments = [sys.executable, "-m", "bayesnas_tf.search", *tiny.command(folder, directory.name)]
    process = subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    metrics, rows = directory / "metrics.jsonl", random.randint(1, 6)
    try:
        while not metrics.exists() or metrics.read_text().count("\n") < rows:
            assert process.poll() is None, process.stdout.read()
            time.sleep(0.002)
    finally:
        process.kill()
        process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_kills_and_stops_leave_no_trace_in_the_result(unbroken, folder, monkeypatch, capsys):
    directory = folder / "broken"
    kill_at_a_random_step(folder, directory)

    def in_the_hessian_phase(name, done, total):
        if name == "hessian" and done == 1:
            raise Killed

    with monkeypatch.context() as patch:
        tell(patch, "on_stage", in_the_hessian_phase)
        with pytest.raises(Killed):
            tiny.run(folder, "broken")
    assert not (directory / "posterior.npz").exists()

    def in_the_second_epoch(record):
        if record.epoch == 2 and record.step_in_epoch >= 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        tell(patch, "on_step", in_the_second_epoch)
        assert tiny.run(folder, "broken") == 130
    assert "interrupted. The same command resumes" in capsys.readouterr().err
    assert tiny.rows(directory)[-1]["epoch"] == 2

    def before_the_summary(record):
        if record.epoch == 2:
            raise Killed

    with monkeypatch.context() as patch:
        tell(patch, "on_update", before_the_summary)
        with pytest.raises(Killed):
            tiny.run(folder, "broken")
    assert not (directory / "summary.json").exists()
    assert tiny.run(folder, "broken") == 0
    tiny.assert_same_result(unbroken, directory)


def test_a_stop_in_the_hessian_phase_ends_it(folder, monkeypatch):
    def stop(name, done, total):
        if name == "valid" and done == total:
            signal.raise_signal(signal.SIGINT)
        assert name != "hessian"

    tell(monkeypatch, "on_stage", stop)
    assert tiny.run(folder, "stopped") == 130


def test_a_torn_newest_checkpoint_costs_the_steps_since_the_one_before(unbroken, folder, caplog):
    directory = folder / "torn-newest"
    shutil.copytree(unbroken, directory)
    (directory / "summary.json").unlink()
    newest = tf.train.latest_checkpoint(str(directory / "checkpoints" / "last"))
    data = Path(f"{newest}.data-00000-of-00001")
    data.write_bytes(data.read_bytes()[:100])
    assert tiny.run(folder, "torn-newest") == 0
    assert any(newest in message and "Resuming from" in message for message in caplog.messages)
    tiny.assert_same_result(unbroken, directory)


def test_torn_checkpoints_are_one_line(unbroken, folder, capsys):
    directory = folder / "torn"
    shutil.copytree(unbroken, directory)
    (directory / "summary.json").unlink()
    for path in (directory / "checkpoints" / "last").glob("ckpt-*"):
        path.write_bytes(path.read_bytes()[:100])
    assert tiny.run(folder, "torn") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: cannot resume from checkpoint")
    assert ". Restore its files, or train in another --run_dir; --overwrite deletes" in error
    assert (directory / "genotype.json").exists()
