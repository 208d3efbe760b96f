"""The one writer, and the rows of metrics.jsonl: whole and on the disk, or not at all."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from bayesnas_tf import config
from bayesnas_tf.config import files
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
    with pytest.raises(UserError, match=r"metrics\.jsonl has a damaged line.*Put the file back"):
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
