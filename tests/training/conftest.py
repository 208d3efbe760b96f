"""One finished search for all tests of this folder."""

import pytest

from tests.support import tiny


@pytest.fixture(scope="package")
def folder(tmp_path_factory):
    """The corpus and configuration; every run directory of this folder's tests lies below it."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny.write(folder)
    return folder


@pytest.fixture(scope="package")
def unbroken(folder):
    """The run directory of a search of two epochs."""
    assert tiny.run(folder, "unbroken") == 0
    return folder / "unbroken"
