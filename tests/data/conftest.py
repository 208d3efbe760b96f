"""A cache folder and a data folder of its own for every test."""

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """The cache folder of this test."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("BAYESNAS_CACHE", str(folder))
    return folder


@pytest.fixture
def data_dir(tmp_path):
    """An empty data folder."""
    folder = tmp_path / "data"
    folder.mkdir()
    return folder
