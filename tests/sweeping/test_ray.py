"""The ray engine on a cluster of two nodes on this machine, one of which is lost midway."""

import json
import time

import pytest

from bayesnas_tf.errors import UserError
from bayesnas_tf.sweeping import child
from bayesnas_tf.sweeping.drive import Driver
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.sweeping.on_ray import RayEngine
from bayesnas_tf.sweeping.settings import EngineOptions
from tests.sweeping import fake

ray = pytest.importorskip("ray")
cluster_utils = pytest.importorskip("ray.cluster_utils")

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
    assert not child.taken(ledger.log(job))
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
    jobs, command = fake.jobs(6, steps=20), fake.command(tmp_path)
    ledger = Ledger(tmp_path, "fakes", "ray", 2)

    def launch(job):
        return child.Launch(
            command(job), str(tmp_path / job.directory / "summary.json"), str(ledger.log(job))
        )

    engine = RayEngine(EngineOptions(address=cluster.address), launch)
    both = []

    def watch(_, over):
        """Lose a node once each has a run that is half done."""
        running = [tmp_path / name / "state" for name in ledger.running]
        if not both and len(running) == 2 and all(p.exists() and int(p.read_text()) > 5 for p in running):
            both.append(time.monotonic())
            cluster.remove_node(node, allow_graceful=False)

    Driver(engine, ledger, watch).run(jobs)
    engine.close()
    assert both
    view = json.loads((tmp_path / "sweep.json").read_text())
    assert [(run["state"], run["summary"]["seed"]) for run in view["runs"]] == [("done", k) for k in range(6)]
    told = [fake.events(tmp_path / job.directory) for job in jobs]
    assert all(events.count("end") == 1 and "doubled" not in events for events in told)
    assert sorted(events.count("begin") for events in told) == [1, 1, 1, 1, 1, 2]  # one was lost and went on
