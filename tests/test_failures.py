"""What a user reads when something goes wrong: one line, whoever raised it. No stream ends a command."""

import errno
import importlib
import json
import os
import subprocess
import sys

import keras
import pytest
import tensorflow as tf

from bayesnas_tf.config import failures, provenance
from bayesnas_tf.errors import UserError, expanded


def os_error(number, path="/data/run/ckpt-3.index"):
    return OSError(number, os.strerror(number), path)


def of_tensorflow(kind, text):
    return kind(None, None, text)


FULL, OFF, DENIED = (
    tf.errors.ResourceExhaustedError,
    tf.errors.FailedPreconditionError,
    tf.errors.PermissionDeniedError,
)

launching = importlib.import_module("bayesnas_tf.config.launch")  # the package has a function of that name
PATH = "/data/run/last/ckpt-3_temp/part-0"
RAW = "{{function_node __wrapped__SaveV2}} "


@pytest.mark.parametrize(
    ("error", "parts"),
    [
        (UserError("no text. In a.txt. Write one"), ["no text. In a.txt. Write one"]),
        (ValueError("CellOptions.units=0 must be at least 1"), ["CellOptions.units=0 must be at least 1"]),
        (os_error(errno.ENOSPC), ["cannot write /data/run", "no space left on device", "Free some space"]),
        (os_error(errno.EROFS), ["cannot write /data/run", "read-only file system", "Choose a folder"]),
        (os_error(errno.EACCES), ["/data/run", "permission denied"]),
        (os_error(errno.EMFILE), ["too many open files", "ulimit -n"]),
        (os_error(errno.EIO), ["input/output error", "Check the disk"]),
        (
            of_tensorflow(FULL, f"{RAW}{PATH}; No space left on device [Op:SaveV2]"),
            [f"cannot write {PATH}: no space left on device. Free some space; the same command resumes"],
        ),
        (
            of_tensorflow(OFF, f"{RAW}{PATH}; Read-only file system [Op:SaveV2]"),
            [f"cannot write {PATH}: read-only file system"],
        ),
        (
            of_tensorflow(DENIED, f"{RAW}{PATH}; Permission denied [Op:SaveV2]"),
            [f"cannot write {PATH}: permission denied"],
        ),
        (
            of_tensorflow(FULL, f"{RAW}OOM with shape[64,99]"),
            ["out of memory. OOM with shape[64,99]", "Lower WindowOptions.batch_size"],
        ),
        (MemoryError(), ["out of memory", "Lower WindowOptions.batch_size"]),
        (RuntimeError("odd"), ["RuntimeError: odd", "--verbose"]),
    ],
)  # fmt: skip
def test_every_error_is_one_line_with_its_cure(error, parts):
    line = failures.told(error)
    assert "\n" not in line
    assert "{{" not in line
    assert all(part in line for part in parts), line


@pytest.mark.parametrize("name", ["~nobody_of_that_name/x", "x" * 300, "a\0b"])
def test_a_path_that_cannot_be_is_one_line(name):
    with pytest.raises(UserError):
        expanded(name)


PRINTS = """
import sys
from bayesnas_tf.config import launch
def main(run):
    for _ in range({count}):
        print("{text}")
    raise SystemExit(0)
sys.argv = ["report", "--runs=."]
launch(main, "report")
"""


def printing(text, count, root, **environment):
    command = [sys.executable, "-c", PRINTS.format(text=text, count=count)]
    return subprocess.Popen(
        command, cwd=root, env={**os.environ, **environment}, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def test_what_a_terminal_cannot_show_is_replaced(root):
    out, err = printing("naïve — 東京", 1, root, PYTHONIOENCODING="ascii").communicate(timeout=60)
    assert out == b"na?ve ? ??\n"
    assert err == b""


def test_a_reader_that_has_seen_enough_is_no_error(root):
    process = printing("a line", 100_000, root)
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait(timeout=60) == 0


def test_closed_streams_are_no_error(root):
    code = "import sys; sys.stdout = sys.stderr = None\n" + PRINTS.format(text="x", count=1)
    found = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, timeout=60)
    assert (found.returncode, found.stdout, found.stderr) == (0, b"", b"")


def test_no_file_or_variable_of_the_user_decides_about_keras(monkeypatch):
    monkeypatch.setenv("TF_USE_LEGACY_KERAS", "1")
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    launching._prepare_environment(verbose=False)
    assert (os.environ["TF_USE_LEGACY_KERAS"], os.environ["KERAS_BACKEND"]) == ("0", "tensorflow")
    try:
        keras.config.set_floatx("float16")  # as ~/.keras/keras.json may say
        keras.config.set_epsilon(1e-3)
        keras.config.set_dtype_policy("mixed_bfloat16")
        launching._prepare_keras()
        assert (keras.config.floatx(), keras.config.epsilon()) == ("float32", 1e-7)
        assert keras.config.dtype_policy().name == "float32"
    finally:
        launching._prepare_keras()


def test_variables_that_may_change_the_last_digits_are_recorded(monkeypatch):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    monkeypatch.delenv("XLA_FLAGS", raising=False)
    found = provenance.made_by()["environment"]
    assert found["TF_ENABLE_ONEDNN_OPTS"] == "0"
    assert "XLA_FLAGS" not in found
    json.dumps(found)
