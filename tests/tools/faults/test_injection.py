"""A sample of `tools.faults.injection`: kills and full disks leave no trace in a result."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.tools.faults import control, loss
from tests.tools.faults.cases import Case
from tests.tools.faults.injector import Injector


@pytest.mark.slow
def test_a_training_that_is_broken_ends_as_an_unbroken_one(root, tmp_path):
    if control.compiler() is None:
        pytest.skip("no C compiler: what TensorFlow writes from C++ could not be broken")
    out = tmp_path / "faults.jsonl"
    command = [sys.executable, "-m", "tools.faults.injection", "--command=evaluate", f"--out={out}"]
    command += ["--every=1000", "--first=447"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert list(dict.fromkeys(row["mode"] for row in rows)) == ["kill", "power", "full"]
    assert all(row["operations"] > 300 and not row["wrong"] for row in rows)


class Counts:
    """A command that adds one to a number; `careless` removes the old one before it writes the new one."""

    def __init__(self, folder, careless):
        self.path, self.careless = folder / "work" / "number.txt", careless

    def run(self):
        done = self.path.with_name("done.txt")
        if done.exists():
            return 0
        number = int(self.path.read_text()) if self.path.exists() else 0
        if self.careless:
            self.path.unlink()
        new = self.path.with_name(".new")
        new.write_text("8")
        assert number in (7, 8)
        new.replace(self.path)
        done.write_text("")
        return 0


class Begins:
    """A command that writes the number with which counting begins."""

    def __init__(self, folder):
        self.path = folder / "work" / "number.txt"

    def run(self):
        self.path.write_text("7")
        return 0


@pytest.mark.parametrize(("careless", "wrong"), [(False, set()), (True, {"open", "rename"})])
def test_what_is_not_forgotten_is_found(tmp_path, careless, wrong):
    injector = Injector(Case((Begins(tmp_path),), Counts(tmp_path, careless)), tmp_path, None)
    injector.prepare()
    faults = list(injector.kills())
    assert {fault.operation for fault in faults if fault.wrong} == wrong
    assert all("number.txt" in fault.wrong or "exit code" in fault.wrong for fault in faults if fault.wrong)
    assert [fault for fault in injector.full() if "tells of no full disk" not in fault.wrong] == []


def test_faults_that_are_recorded_are_not_injected_again(tmp_path):
    injector = Injector(Case((Begins(tmp_path),), Counts(tmp_path, False)), tmp_path, None)
    injector.prepare()
    first = list(injector.kills())
    injector.done = {(fault.number, fault.half) for fault in first[1:]}
    assert [fault.number for fault in injector.kills()] == [first[0].number]


def test_a_power_failure_takes_what_was_not_flushed(tmp_path):
    prefix, photo = Path("/run"), tmp_path / "photo"
    photo.mkdir()
    for name in ("flushed", "half", "lost", "old"):
        (photo / name).write_text("12345678")
    lines = [("open", name, "", 0) for name in ("flushed", "half", "lost")]
    lines += [("write", "half", "", 0), ("fsync", "flushed", "", 8), ("fsync", "half", "", 4)]
    lines += [("write", "half", "", 4), ("open", ".tmp", "", 0), ("rename", ".tmp", "lost", 0)]
    lines += [("write", "old", "", 6)]
    operations = [("1", what, f"/run/{one}", f"/run/{other}", str(size)) for what, one, other, size in lines]
    loss.lose(photo, prefix, operations)
    sizes = {path.name: path.stat().st_size for path in photo.iterdir()}
    assert sizes == {"flushed": 8, "half": 4, "lost": 0, "old": 6}


def test_operations_of_another_case_are_left_out(tmp_path):
    whole, part = (
        Injector(Case((Begins(folder),), Counts(folder, True), others=others), folder, None)
        for folder, others in ((tmp_path / "a", ()), (tmp_path / "b", ("number.txt",)))
    )
    for injector in (whole, part):
        injector.root.mkdir()
        injector.prepare()
    paths = [{fault.path for fault in injector.kills()} for injector in (whole, part)]
    assert "number.txt" in paths[0] and "number.txt" not in paths[1] and paths[1]
