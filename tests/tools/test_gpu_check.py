"""`python -m tools.gpu_check`, on the CPU."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from tools import machine
from tools.gpu_check import __main__ as command
from tools.gpu_check import cases, compare


@pytest.fixture
def here(monkeypatch):
    """What is to run in a process of its own runs in this one."""
    monkeypatch.setattr(machine, "alone", lambda function, *arguments: function(*arguments))


@pytest.fixture
def one_case(monkeypatch):
    """The cheapest case alone."""
    name = "derived cell, evaluation"
    monkeypatch.setattr(cases, "CASES", {name: cases.CASES[name]})
    return name


@pytest.fixture(autouse=True)
def _tf32():
    """As it was."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    yield
    tf.config.experimental.enable_tensor_float_32_execution(before)


def test_without_a_gpu_there_is_one_line(root, tmp_path):
    file = tmp_path / "gpu.json"
    call = [sys.executable, "-m", "tools.gpu_check", f"--json={file}"]  # its processes are real ones
    hidden = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1"}  # also on a machine that has one
    said = subprocess.run(call, cwd=root, capture_output=True, text=True, env=hidden)
    assert (said.returncode, said.stdout) == (1, "")
    last = said.stderr.splitlines()[-1]
    assert last.startswith("error: TensorFlow ") and "finds no GPU" in last and "--device=cpu" in last
    assert "Traceback" not in said.stderr
    assert not file.exists()


@pytest.mark.usefixtures("here")
def test_the_command_compares_times_and_writes(capsys, tmp_path, monkeypatch, one_case):
    monkeypatch.setattr(command, "STEPS", {"evaluate": "ptb_eval.gin"})
    file = tmp_path / "gpu.json"
    assert command.main(["--device=cpu", "--quick", "--steps=2", f"--json={file}"]) == 0
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    assert written["passed"] and written["device"] == "cpu"
    assert written["tf32"] == {"comparison": False, "speed": True}
    assert {"device", "cores", "load_average"} <= set(written["machine"])
    assert {"tensorflow", "keras", "python", "environment"} <= set(written["made_by"])
    assert written["devices"]
    compared, *timed = written["checks"]
    assert compared["check"] == one_case and compared["form"] == "graph"
    assert 0.0 <= max(compared["differences"].values()) <= compared["tolerance"] < 1e-3
    assert [entry["check"] for entry in timed] == ["evaluate, float32", "evaluate, bfloat16"]
    for entry in timed:
        assert entry["tokens_per_second"] == pytest.approx(2 * 4 / entry["seconds"])
        assert entry["peak_device_mb"] is None and entry["finite"]
    assert "3 checks passed, 0 failed" in printed
    assert one_case in printed and "tokens/s" in printed


@pytest.mark.usefixtures("here")
def test_other_numbers_an_error_and_the_end_of_the_time_fail(monkeypatch, one_case):
    wanted = compare.references([one_case])
    (same,) = compare.against(wanted, "cpu", np.inf)
    assert same.passed
    (late,) = compare.against(wanted, "cpu", 0.0)
    assert not late.passed and late.error == "not begun: the time was up"
    wanted[one_case].variables[0][0] += 0.1
    (other,) = compare.against(wanted, "cpu", np.inf)
    assert not other.passed and max(other.differences.values()) > other.tolerance
    wanted[one_case].variables.pop()
    (broken,) = compare.against(wanted, "cpu", np.inf)
    assert not broken.passed and broken.error.startswith("ValueError: zip()")


def test_a_process_that_dies_fails_its_group_alone(monkeypatch):
    names = {"first": ["a", "b"], "second": ["c"]}

    def alone(function, *arguments):
        if arguments[0] == ["a", "b"]:
            raise RuntimeError("terminated abruptly")
        return {} if function is compare.references else [compare.Entry("c", "second", True)]

    monkeypatch.setattr(machine, "alone", alone)
    entries = list(compare.run(names, "gpu", 0.0))
    assert [(entry.check, entry.passed) for entry in entries] == [("a", False), ("b", False), ("c", True)]
    assert entries[0].error == "RuntimeError: terminated abruptly"


@pytest.mark.parametrize(
    ("found", "wanted", "difference"),
    [
        ([1.0, 2.0], [1.0, 4.0], 0.5),
        ([0.0, 1e-6], [0.0, 0.0], 1e-3),  # relative to 0.001 where all is smaller
        ([1.0], [1.0, 1.0], np.inf),
        ([np.nan], [1.0], np.inf),
        ([], [], 0.0),
    ],
)
def test_differences_are_relative_to_the_largest_entry(found, wanted, difference):
    assert compare.difference([np.array(found)], [np.array(wanted)]) == pytest.approx(difference)


def test_a_step_that_cannot_run_is_a_failed_check(capsys, monkeypatch):
    def killed(*_):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(machine, "alone", killed)
    options = command.parsed(["--quick"])
    entries = list(command.speeds(options, np.inf))
    assert len(entries) == len(command.STEPS) * len(command.PRECISIONS)
    assert {entry["error"] for entry in entries} == {"RuntimeError: out of memory"}
    assert "FAILED RuntimeError: out of memory" in capsys.readouterr().out
    assert {entry["error"] for entry in command.speeds(options, 0.0)} == {
        "UserError: not begun: the time was up"
    }


def test_steps_are_counted_from_one(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.parsed(["--steps=0"])
    assert "--steps must be at least 1" in capsys.readouterr().err
