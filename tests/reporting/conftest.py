import pytest

from tests.reporting import trained


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A folder with a text, a small run of `evaluate` on it and its SavedModel."""
    folder = tmp_path_factory.mktemp("exported")
    trained.write_corpus(folder)
    assert trained.evaluate(folder) == 0
    assert trained.export(folder) == 0
    return folder
