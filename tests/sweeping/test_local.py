"""The local engine and its driver, on runs that need no model."""

import fcntl
import json
import os
import random
import signal
import subprocess
import sys
import time

import pytest

from bayesnas_tf import config
from bayesnas_tf.sweeping import local
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.sweeping.local import Share
from bayesnas_tf.sweeping.settings import EngineOptions
from tests.sweeping import drive_fakes, fake

SEARCHES, STEPS = 6, 30  # a run lasts far longer than a test needs to look at it


def begin(root, tmp_path, *arguments):
    """Start a sweep of fakes in a process of its own."""
    command = [sys.executable, "-m", "tests.sweeping.drive_fakes", str(tmp_path), *map(str, arguments)]
    return subprocess.Popen(command, cwd=root, stderr=subprocess.PIPE)


def pids(tmp_path):
    """The processes of runs that began and may be there still."""
    lines = "".join(path.read_text() for path in tmp_path.glob("search/*/events")).splitlines()
    told = [line.split() for line in lines]
    over = {pid for what, pid in told if what == "end"}
    return [int(pid) for what, pid in told if what == "begin" and pid not in over]


def wait_for(condition, seconds=60.0):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def results(folder):
    return {path.parent.name: path.read_text() for path in folder.glob("search/*/summary.json")}


def view(folder):
    """sweep.json without what no two sweeps share."""
    data = json.loads((folder / "sweep.json").read_text())
    return {key: value for key, value in data.items() if key != "seconds"}


def test_a_sweep_killed_three_times_with_its_runs_ends_as_an_unbroken_one(root, tmp_path):
    whole = begin(root, tmp_path / "whole", SEARCHES, STEPS)  # beside the others: fakes sleep
    broken, draw = tmp_path / "broken", random.Random(0)
    for _ in range(3):
        before = set(pids(broken))  # gone, and their numbers may be others' by now
        process = begin(root, broken, SEARCHES, STEPS)
        wait_for(lambda before=before: set(pids(broken)) - before)
        time.sleep(draw.uniform(0.0, 0.5))
        process.kill()
        for pid in set(pids(broken)) - before:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert process.wait(60) == -signal.SIGKILL
    unfinished = len(results(broken))
    assert unfinished < SEARCHES
    assert begin(root, broken, SEARCHES, STEPS).wait(60) == 0
    assert whole.wait(60) == 0
    assert len(results(broken)) == SEARCHES
    assert results(broken) == results(tmp_path / "whole")
    assert view(broken) == view(tmp_path / "whole")
    for path in broken.glob("search/*"):
        assert fake.events(path).count("end") <= 1  # a kill may come between the result and its event
        assert "doubled" not in fake.events(path)
    assert max(len(fake.events(path)) for path in broken.glob("search/*")) > 2  # some were broken


def test_a_run_that_outlives_its_sweep_is_waited_for(root, tmp_path):
    process = begin(root, tmp_path, 1, 40, "stubborn")
    wait_for(lambda: pids(tmp_path))
    process.kill()
    process.wait(60)
    assert begin(root, tmp_path, 1, 40, "stubborn").wait(60) == 0
    assert fake.events(tmp_path / "search" / "seed0") == ["begin", "end"]


def test_runs_end_with_their_sweep_where_they_can(root, tmp_path):
    process = begin(root, tmp_path, 2, 400)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    process.kill()
    process.wait(60)
    wait_for(lambda: not [pid for pid in pids(tmp_path) if os.path.exists(f"/proc/{pid}")])


def test_ctrl_c_stops_the_runs_and_leaves_them_waiting(root, tmp_path):
    process = begin(root, tmp_path, 2, 400)
    wait_for(lambda: len(pids(tmp_path)) == 2)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) != 0
    assert not [pid for pid in pids(tmp_path) if os.path.exists(f"/proc/{pid}")]
    assert [run["state"] for run in view(tmp_path)["runs"]] == ["waiting", "waiting"]
    assert results(tmp_path) == {}


def test_a_failure_is_tried_again_then_given_up_and_stops_nobody(tmp_path):
    jobs = [*fake.jobs(1, mode="fail"), *fake.jobs(2, steps=1)[1:]]
    drive_fakes.drive(tmp_path, jobs)
    states = [(run["state"], run["attempts"], run["error"]) for run in view(tmp_path)["runs"]]
    assert states == [("failed", 2, "exit code 1. error: it cannot. In fake.py. Give up"), ("done", 1, None)]
    drive_fakes.drive(tmp_path, [jobs[0]._replace(params={"steps": 1, "mode": ""}), jobs[1]])
    assert [(run["state"], run["error"]) for run in view(tmp_path)["runs"]] == [("done", None)] * 2
    assert fake.events(tmp_path / jobs[1].directory) == ["begin", "end"]


def test_runs_of_one_directory_are_one_run(tmp_path):
    (job,) = fake.jobs(1, steps=1)
    drive_fakes.drive(tmp_path, [job, job._replace(candidate="twin")])
    assert fake.events(tmp_path / job.directory) == ["begin", "end"]
    assert [(run["candidate"], run["state"]) for run in view(tmp_path)["runs"]] == [
        ("seed0", "done"),
        ("twin", "done"),
    ]


def test_a_torn_summary_is_no_result(tmp_path):
    (job,) = fake.jobs(1)
    (tmp_path / job.directory).mkdir(parents=True)
    (tmp_path / job.directory / "summary.json").write_text('{"kind": "sea')
    assert Ledger(tmp_path, "fakes", "local", 2).state(job) == "waiting"


@pytest.mark.parametrize(
    ("options", "cores", "gpus", "expected"),
    [
        ({}, [0, 1], [], [Share((0,)), Share((1,))]),
        ({"workers": 1}, [2, 3], [], [Share((2, 3))]),
        ({"workers": 3}, [0, 1], [], [Share((0,)), Share((1,)), Share((0,))]),
        ({"cores": 2}, [0, 1, 2, 3, 4], [], [Share((0, 1)), Share((2, 3))]),
        ({"memory_gb": 5.0}, [0, 1, 2, 3], [], [Share((0, 1, 2, 3))]),
        ({}, [0, 1, 2, 3], ["4", "7"], [Share((0, 1), "4"), Share((2, 3), "7")]),
        ({"workers": 2}, [0], ["0"], [Share((0,), "0"), Share((0,), "0")]),
    ],
)
def test_the_machine_is_dealt_out(options, cores, gpus, expected):
    assert local.shares(EngineOptions(**options), cores, gpus, memory_gb=8.0) == expected


def test_a_worker_has_its_cores_threads_gpu_and_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "5,6")
    assert local.gpus() == ["5", "6"]
    core = local.cores()[-1]
    code = (
        "import os, json;"
        "print(json.dumps([os.getcwd(), sorted(os.sched_getaffinity(0)), *map(os.environ.get, {})]))"
    )
    names = ["CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS"]
    (job,) = fake.jobs(1)
    log = tmp_path / "log"
    command, folder = [sys.executable, "-c", code.format(names)], os.path.realpath(tmp_path)
    launch = local.child.Launch(command, str(tmp_path / "none"), str(log), folder=folder)
    engine = local.LocalEngine([Share((core,), "6")], lambda job: launch)
    engine.start(job)
    wait_for(engine.ended)
    assert json.loads(local.child.last_line(log)) == [folder, [core], "6", "1", "1"]


def test_a_log_tells_whether_somebody_has_its_run(tmp_path):
    log = tmp_path / "log"
    assert not config.taken(log)
    with log.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        assert config.taken(log)
    assert not config.taken(log)
