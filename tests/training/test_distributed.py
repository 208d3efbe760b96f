"""Replicas on two logical CPUs, and in two processes: the numbers of one replica, written once."""

import json
import os
import socket
import subprocess
import sys

import numpy as np
import pytest

from tests.support import tiny

SECONDS = 240  # of a process that waits for one that is gone


def free_ports(count):
    """Ports that nobody listens at, at this moment."""
    listeners = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def workers(arguments, count=2):
    """The outputs of as many processes of one search, which have to succeed."""
    addresses = [f"localhost:{port}" for port in free_ports(count)]
    processes = []
    for index in range(count):
        place = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        command = [sys.executable, "-m", "bayesnas_tf.search", *arguments]
        environment = {**os.environ, "TF_CONFIG": json.dumps(place)}
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen(command, env=environment, **pipes))
    try:
        outputs = [process.communicate(timeout=SECONDS)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0] * count, outputs
    return outputs


def test_steps_of_two_replicas_equal_those_of_one(tmp_path, root):
    command = [sys.executable, "-m", "tests.training.two_replicas", str(tmp_path)]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 0, done.stderr


def test_two_processes_search_as_one_does_and_the_first_one_writes(folder):
    flags = ("--gin_param=CellOptions.norm='batch'", "--gin_param=search.epochs=1")
    assert tiny.run(folder, "alone", *flags) == 0
    shared = tiny.command(folder, "shared", *flags, "--gin_param=search.distribute='multi_worker'")
    first, second = workers(shared)
    assert "search text" in first and not second
    assert tiny.run(folder, "shared", *flags) == 0  # it has ended, for one replica too
    alone, both = folder / "alone", folder / "shared"
    for one, two in zip(tiny.rows(alone), tiny.rows(both), strict=True):
        assert one.pop("nats") == pytest.approx(two.pop("nats"), rel=1e-4)
        assert one.pop("ppl") == pytest.approx(two.pop("ppl"), rel=1e-3)
        assert one == two
    left, right = tiny.posterior(alone), tiny.posterior(both)
    for name in ("w", "h"):
        np.testing.assert_allclose(left[name], right[name], rtol=1e-3, atol=1e-5, err_msg=name)
    assert tiny.summary(alone)["genotype"]["nodes"] == tiny.summary(both)["genotype"]["nodes"]


@pytest.mark.parametrize("content", [None, "{}", '{"cluster": {"worker": ["a:1"]}, "task": {"index": 0}}'])
def test_a_cluster_that_is_not_given_is_one_line(folder, monkeypatch, capfd, content):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if content is not None:
        monkeypatch.setenv("TF_CONFIG", content)
    assert tiny.run(folder, "nowhere", "--gin_param=search.distribute='multi_worker'") == 1
    error = capfd.readouterr().err
    assert error.startswith("error: distribute='multi_worker' reads the environment variable TF_CONFIG")
    assert error.count("\n") == 1
    assert not (folder / "nowhere").exists()
