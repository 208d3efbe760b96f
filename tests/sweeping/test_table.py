"""What a sweep shows: a live table on a terminal, plain lines elsewhere."""

import io

import pytest

from bayesnas_tf import config
from bayesnas_tf.sweeping.drive import Ended
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.sweeping.table import SweepView
from tests.sweeping import fake


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path, "fakes", "local", 1)


def end(ledger, job):
    """The job leaves a result."""
    (ledger.root / job.directory).mkdir(parents=True)
    config.write_json(ledger.root / job.directory / "summary.json", {"seed": job.seed})
    ledger.running.discard(job.directory)
    return Ended(job, "exit code 0")


def test_plain_lines_tell_each_end_and_the_time_left(ledger):
    jobs, clock, stream = fake.jobs(4), Clock(), io.StringIO()
    ledger.add(jobs)
    view = SweepView(ledger, stream, clock)
    ledger.running = {jobs[0].directory, jobs[1].directory}
    view.watch(jobs, [])
    clock.now = 60.0
    view.watch(jobs, [end(ledger, jobs[0])])
    ledger.failed(jobs[1], "exit code 1. error: no")
    ledger.running = set()
    view.watch(jobs, [Ended(jobs[1], "exit code 1")])
    view.close()
    assert stream.getvalue().splitlines() == [
        "search: 4 runs, 0 already done",
        "search/seed0 done in 1:00 (1 of 4 done, left 1:00)",  # two wait, one is due; two go at a time
        "search/seed1 failed: exit code 1. error: no (1 of 4 done, left 1:00)",
    ]


def test_a_terminal_has_a_table_with_what_the_runs_say(ledger):
    jobs, clock, stream = fake.jobs(3), Clock(), Terminal()
    ledger.add(jobs)
    ledger.log(jobs[0]).write_text("# here, process 1\nepoch 1/1 step 10/97 nats 5.9\n")
    ledger.running = {jobs[0].directory}
    ledger.failed(jobs[1], "exit code 1. error: no")
    view = SweepView(ledger, stream, clock)
    view.watch(jobs, [])
    view.close()
    shown = stream.getvalue()
    for part in ("search: 3 runs", "1 running", "1 waiting", "1 failed", "step 10/97", "error: no", "left ?"):
        assert part in shown
