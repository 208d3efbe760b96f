"""Searches by every strategy that end in seconds, killed ones too, and what must be the same of two."""

import numpy as np
import pytest

from bayesnas_tf.reporting import run_files
from tests.support import tiny

SMALL = ["WindowOptions.jitter=False", "WindowOptions.bptt=4", "search.checkpoint_every=1"]
FLAGS = {
    "darts1": ["search.strategy=@DartsOptions()", "DartsOptions.order=1"],
    "darts2": ["search.strategy=@DartsOptions()", "DartsOptions.lr=0.1"],
    "random": ["search.strategy=@RandomOptions()", "RandomOptions.cells=4"],
    "random_ws": ["search.strategy=@RandomSharingOptions()", "RandomSharingOptions.cells=3"],
    "enas": ["search.strategy=@EnasOptions()", "EnasOptions.cells=3", "EnasOptions.units=4"],
    "halving": ["search.strategy=@HalvingOptions()", "HalvingOptions.cells=4", "HalvingOptions.eta=2"],
    "evolution": [
        *("search.strategy=@EvolutionOptions()", "EvolutionOptions.cells=6"),
        *("EvolutionOptions.population=2", "EvolutionOptions.sample=2"),
    ],
}


def run(folder, name, strategy, *more):
    params = [f"--gin_param={param}" for param in (*SMALL, *FLAGS[strategy])]
    return tiny.run(folder, name, *params, *more)


def architecture(directory):
    with np.load(directory / "architecture.npz") as data:
        return dict(data)


class Killed(BaseException):
    """Ends the search as a kill does."""


def run_killed(folder, name, strategy, monkeypatch):
    """The run directory of a search that is killed in its second epoch, and then resumed."""
    original = run_files.MetricsFile.on_step

    def kill(self, record):
        original(self, record)
        if record.epoch == 2:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_files.MetricsFile, "on_step", kill)
        with pytest.raises(Killed):
            run(folder, name, strategy)
    assert run(folder, name, strategy) == 0
    return folder / name


def assert_same_search(one, other):
    """Bit for bit the same architecture, metrics and summary."""
    assert tiny.summary(one) == tiny.summary(other)
    assert tiny.rows(one) == tiny.rows(other)
    left, right = architecture(one), architecture(other)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
