"""The ray engine on a cluster of two nodes on this machine, one of which is lost midway."""

import json
import os
import signal
import time
from pathlib import Path

import pytest
import ray
from ray import cluster_utils

from bayesnas_tf import config
from bayesnas_tf.errors import UserError
from bayesnas_tf.sweeping import child
from bayesnas_tf.sweeping.drive import Driver
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.sweeping.on_ray import RayEngine
from bayesnas_tf.sweeping.settings import EngineOptions
from tests.sweeping import fake

NODE = {"num_cpus": 1, "object_store_memory": 80_000_000, "include_dashboard": False}


@pytest.fixture(scope="module")
def cluster():
    cluster = cluster_utils.Cluster(initialize_head=True, head_node_args=NODE)
    yield cluster
    cluster.shutdown()


@pytest.fixture(autouse=True)
def disconnect():
    yield
    ray.shutdown()


def launcher(ledger):
    """What starts the fake run of a job."""
    command = fake.command(ledger.root)

    def launch(job):
        summary = ledger.root / job.directory / "summary.json"
        return child.Launch(command(job), str(summary), str(ledger.log(job)))

    return launch


@pytest.mark.parametrize(("address", "joined"), [("", "local"), ("10.0.0.1:6379", "10.0.0.1:6379")])
def test_without_an_address_no_cluster_that_happens_to_run_is_joined(monkeypatch, address, joined):
    asked = []
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(ray, "init", lambda **options: asked.append(options["address"]))
    monkeypatch.setattr(ray, "nodes", lambda: [{"Alive": True, "Resources": {"CPU": 1.0}}])
    RayEngine(EngineOptions(address=address), None)
    assert asked == [joined]


def ancestors(pid):
    """The processes above one."""
    found = []
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])
        found.append(pid)
    return found


@pytest.mark.slow
def test_ctrl_c_cancels_the_tasks_and_their_runs(cluster, tmp_path):
    (job,) = fake.jobs(1, steps=2000)
    ledger = Ledger(tmp_path, "fakes", "ray", 2)
    engine = RayEngine(EngineOptions(address=cluster.address), launcher(ledger))

    def watch(_, over):
        assert not over
        if (tmp_path / job.directory / "state").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Driver(engine, ledger, watch).run([job])
    assert not config.taken(ledger.log(job))
    reached = (tmp_path / job.directory / "state").read_text()
    time.sleep(5 * fake.STEP)
    assert (tmp_path / job.directory / "state").read_text() == reached
    assert ledger.state(job) == "waiting"


@pytest.mark.slow
def test_a_lost_node_loses_no_run_and_doubles_none(cluster, tmp_path):
    node = cluster.add_node(num_cpus=1, object_store_memory=80_000_000)
    with pytest.raises(UserError, match="no node of the cluster has 2 cores"):
        RayEngine(EngineOptions(address=cluster.address, cores=2), None)
    ray.shutdown()
    jobs, ledger = fake.jobs(6, steps=20), Ledger(tmp_path, "fakes", "ray", 2)
    engine = RayEngine(EngineOptions(address=cluster.address), launcher(ledger))
    raylet, lost = node.all_processes["raylet"][0].process.pid, []

    def watch(_, over):
        """Lose a node, with all its processes, once each node has a run that has got somewhere."""
        running = [tmp_path / name for name in ledger.running]
        if not lost and len(running) == 2 and all((folder / "state").exists() for folder in running):
            pids = [int((folder / "events").read_text().split()[1]) for folder in running]
            lost.extend(pid for pid in pids if raylet in ancestors(pid))
            os.kill(lost[0], signal.SIGSTOP)  # it ends with its node, not before and not after
            cluster.remove_node(node, allow_graceful=False)
            os.kill(lost[0], signal.SIGKILL)

    Driver(engine, ledger, watch).run(jobs)
    engine.close()
    assert len(lost) == 1
    view = json.loads((tmp_path / "sweep.json").read_text())
    assert [(run["state"], run["summary"]["seed"]) for run in view["runs"]] == [("done", k) for k in range(6)]
    told = [fake.events(tmp_path / job.directory) for job in jobs]
    assert all(events.count("end") == 1 and "doubled" not in events for events in told)
    assert sorted(events.count("begin") for events in told) == [1, 1, 1, 1, 1, 2]  # one was lost and went on
