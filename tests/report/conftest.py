import pytest

from bayesnas_tf.commands import report as command
from bayesnas_tf.report import discovery
from tests.report import builder


@pytest.fixture(scope="session")
def sweep(tmp_path_factory):
    """A small selection: two λ_w, two seeds, three trainings of each cell, three random cells."""
    folder = tmp_path_factory.mktemp("runs") / "sweep"
    builder.selection(folder, lambdas=(0.17, 0.2), seeds=2)
    return folder


@pytest.fixture(scope="session")
def content(sweep):
    """What the report makes of it."""
    return command.examine(discovery.collect([sweep]))
