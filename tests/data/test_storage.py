"""Where derived files go, and that they appear whole."""

import pytest

from bayesnas_tf.data import storage
from bayesnas_tf.errors import UserError


def test_derived_files_go_to_the_data_folder(data_dir):
    assert storage.derived_root(data_dir) == data_dir


def test_a_data_folder_that_does_not_exist_is_made(tmp_path):
    assert storage.derived_root(tmp_path / "new" / "folder").is_dir()


def test_a_data_folder_without_write_bits_is_left_alone(data_dir, cache):
    data_dir.chmod(0o555)
    assert storage.derived_root(data_dir) == cache


def test_no_place_to_write_is_an_error_with_its_cure(data_dir, cache):
    cache.mkdir()
    data_dir.chmod(0o555)
    cache.chmod(0o555)
    with pytest.raises(UserError, match="Set BAYESNAS_CACHE"):
        storage.derived_root(data_dir)


def test_the_cache_folder_is_under_home_without_the_variable(monkeypatch, tmp_path):
    monkeypatch.delenv("BAYESNAS_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert storage.cache_dir() == tmp_path / ".cache" / "bayesnas_tf"


def test_an_interrupted_write_leaves_the_old_file_and_no_other(data_dir, monkeypatch):
    path = data_dir / "file"
    storage.write_atomically(path, b"old")

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(storage.os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        storage.write_atomically(path, b"new")
    assert [entry.name for entry in data_dir.iterdir()] == ["file"]
    assert path.read_bytes() == b"old"
