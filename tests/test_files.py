"""The one writer, and the rows of metrics.jsonl: whole and on the disk, or not at all."""

import errno
import json
import os
import re
from pathlib import Path

import numpy as np
import pytest

from bayesnas_tf import config, files
from bayesnas_tf.config import extension
from bayesnas_tf.errors import UserError


def test_metrics_survive_a_torn_line_and_forget_what_is_not_wanted(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics = config.Metrics(path)
    for step in range(1, 5):
        metrics.append({"step": step, "nats": np.float32(step), "ppl": float("nan")})
    with path.open("a") as file:
        file.write('{"step": 5, "na')
    metrics = config.Metrics(path)
    metrics.keep(lambda row: row["step"] <= 2)
    metrics.append({"step": 3, "nats": 0.5})
    assert [row["step"] for row in metrics.rows()] == [1, 2, 3]
    assert metrics.rows()[0] == {"step": 1, "nats": 1.0, "ppl": None}


def test_a_damaged_row_is_told(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n\xff\0\n{"step": 2}\n')
    with pytest.raises(UserError, match=r"line \d+ of .*metrics\.jsonl is damaged.*Restore the file"):
        config.Metrics(path).rows()


def test_a_folder_is_replaced_by_one_that_is_whole(tmp_path):
    for number in (1, 2):
        with files.prepared(tmp_path / "model") as folder:
            folder.mkdir()
            (folder / f"file{number}").touch()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["file2"]
    with pytest.raises(ZeroDivisionError), files.prepared(tmp_path / "model") as folder:
        folder.mkdir()
        raise ZeroDivisionError
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["file2"]


def test_what_is_written_is_flushed_before_it_gets_its_name(tmp_path, monkeypatch):
    told = []
    rename = os.replace
    monkeypatch.setattr(os, "fsync", lambda file: told.append(Path(f"/proc/self/fd/{file}").readlink().name))
    monkeypatch.setattr(os, "replace", lambda *paths: (told.append("renamed"), rename(*paths)))
    files.write_text(tmp_path / "a", "b")
    config.Metrics(tmp_path / "rows").append({"step": 1})
    assert told == [f".a.{os.getpid()}", "renamed", tmp_path.name, "rows"]


def test_an_object_is_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "summary.json"
    config.write_json(path, {"a": np.arange(2), "b": {"c": np.bool_(True)}, "d": Path("x")})
    assert json.loads(path.read_text()) == {"a": [0, 1], "b": {"c": True}, "d": "x"}
    with pytest.raises(TypeError):
        config.write_json(path, {"a": object()})
    assert json.loads(path.read_text())["d"] == "x"
    assert [file.name for file in tmp_path.iterdir() if file.suffix == ".json"] == ["summary.json"]


@pytest.mark.parametrize("linux", [True, False])
@pytest.mark.parametrize("name", ["plain", "a[1]", "b\\c", "d*?"])
def test_a_folder_has_a_name_that_is_no_pattern(tmp_path, monkeypatch, linux, name):
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    if not linux:
        monkeypatch.setattr(files, "_DESCRIPTORS", tmp_path / "none")
    for given in (folder, Path(name)):
        with files.unpatterned(given) as found:
            assert not set("[]*?\\") & set(str(found))
            (found / "file").write_text("x")
        assert (folder / "file").read_text() == "x"
    assert [path.name for path in folder.iterdir()] == ["file"]


def test_a_copy_that_meets_a_full_disk_says_so_and_leaves_nothing(tmp_path, monkeypatch):
    (tmp_path / "source" / "last").mkdir(parents=True)
    (tmp_path / "source" / "last" / "file").write_text("x")

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("shutil.copy", full)
        with pytest.raises(OSError, match=r"No space left on device: '.*/copy'"):
            extension._copy(tmp_path / "source", tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    extension._copy(tmp_path / "source", tmp_path / "copy")
    assert (tmp_path / "copy" / "last" / "file").read_text() == "x"


WRITES = re.compile(
    r"\.write_(text|bytes)\(|os\.(replace|rename)\(|\.rename\(|shutil\.(move|copy\w*)\(|mkstemp|TFRecordWriter\("
    r"""|open\((.*, )?["'][wax]b?\+?["']"""
)
WRITERS = {  # besides `files`, and why
    "config/extension.py": "copies into what `files.prepared` gave",
    "config/launch.py": "/dev/null",
    "config/locks.py": "the lock itself",
    "config/metrics.py": "appends, and flushes to the disk",
    "config/run_directory.py": "moves a folder aside that is removed",
    "data/builders.py": "a corpus, which can be prepared again",
    "data/storage.py": "into what `files.prepared` gave, or a folder from which `files.replace` takes it",
    "reporting/tensorboard.py": "event files, which TensorFlow writes",
}
GLOBS = re.compile(r"latest_checkpoint|CheckpointManager|checkpoint_exists|gfile|get_checkpoint_state")


def test_there_is_one_writer_and_nothing_that_takes_a_path_for_a_pattern(root):
    package, found = root / "bayesnas_tf", set()
    for path in package.rglob("*.py"):
        text = re.sub(r"(config|files)\.write_(text|bytes)", "", path.read_text())
        name = path.relative_to(package).as_posix()
        assert not GLOBS.search(text), name
        if name != "files.py" and WRITES.search(text):
            found.add(name)
    assert found == set(WRITERS)
