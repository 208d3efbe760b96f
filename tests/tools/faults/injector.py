"""Break a command at one file operation after another, give the same command again, and compare.

Everything happens in forked children of a process that has imported TensorFlow and never used it. What a
kill leaves is what lies on the disk at that instant: so one run is photographed before every operation, and
in the middle of every write, and each photograph is put back and resumed. A full disk is acted out, each time
in a run of its own.
"""

import collections
import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bayesnas_tf import files
from tests.tools.faults import control, hook, loss
from tests.tools.faults.cases import Case, Step
from tests.tools.faults.outcome import outcome

END = 1 << 40  # more operations than any command has
EVENTS = "events.out.tfevents."
PATIENCE = 300.0  # seconds that one command may take


class Fault(NamedTuple):
    """One fault and what came of it: `wrong` is empty where the run ended as an unbroken one."""

    number: int
    operation: str
    path: str
    half: bool
    wrong: str


class Injector:
    """Breaks one case, whose files lie below `root`."""

    def __init__(self, case: Case, root: Path, block: control.Block | None):
        """Without `block` Python's own operations are seen alone, by an audit hook."""
        self.case, self.root, self.work = case, root, root / "work"
        self.block, self.native = block or control.private(), block is not None
        self.block.prefix = str(self.work).encode()
        self.block.photos, self.block.log = str(root / "photos").encode(), str(root / "log").encode()
        self.whole: dict[str, str] = {}
        self.operations = 0
        self.log: list[list[str]] = []  # of the unbroken command, an operation each
        self.done: set[tuple[int, bool]] = set()  # operations that need no breaking, and whether half-way

    def prepare(self) -> None:
        """Do what comes before, and keep it."""
        self._emptied(self.work)
        for step in self.case.before:
            count = self._photographed(step)
        if self.case.part < 1.0:
            self._emptied(self.work)
            self._photographed(self.case.before[-1], int(self.case.part * count), END)
            self._put_back(min((self.root / "photos").iterdir()))
        shutil.copytree(self.work, self.root / "before", symlinks=True)

    def kills(self, every: int = 1, first: int = 1, last: int = END, lossy: bool = False) -> Iterator[Fault]:
        """Resume what every `every`-th operation meets; with `lossy` without what was not flushed."""
        self._unbroken(first, every)
        seen: set[str] = set()
        for photo in sorted((self.root / "photos").iterdir()):
            number, half = int(photo.name.removesuffix(".half")), photo.suffix == ".half"
            if number > last:
                break
            if self._is_left_out(number):
                shutil.rmtree(photo)
                continue
            if lossy and not half:
                loss.lose(photo, self.work, self.log[: number - 1])
            digest = _digest(photo)
            if digest in seen or (lossy and half):
                shutil.rmtree(photo)
                continue
            seen.add(digest)
            if (number, half) in self.done:
                shutil.rmtree(photo)
                continue
            self._put_back(photo)
            yield self._fault(self.log[number - 1], half, self._resumed(events=not lossy))

    def full(self, every: int = 1, first: int = 1, last: int = END) -> Iterator[Fault]:
        """Let the disk be full from every `every`-th operation on, and give the command again afterwards."""
        if not self.whole:
            self._unbroken()
        for number in range(first, min(self.operations, last) + 1, every):
            if (number, False) in self.done or self._is_left_out(number):
                continue
            self._put_back(self.root / "before")
            with self._watched(full=number):
                code = self._run(self.case.broken)
            lines = (self.root / "log").read_text().splitlines()
            if len(lines) < number:
                continue  # TensorBoard writes by the clock: this run came with fewer
            wrong = _told(code, (self.root / "output").read_text()) or self._resumed()
            yield self._fault(lines[number - 1].split("\t"), False, wrong)

    def _is_left_out(self, number: int) -> bool:
        """Whether an operation is one of a case of its own, or a write amid others to one event file.

        Of consecutive points of TensorBoard the first and the last are broken.
        """
        path = Path(self.log[number - 1][2])
        near = [operation[1:3] for operation in self.log[max(number - 2, 0) : number + 1]]
        amid = len(near) == 3 and all(one == ["write", str(path)] for one in near)
        others = any(path.is_relative_to(self.work / folder) for folder in self.case.others)
        return others or (amid and path.name.startswith(EVENTS))

    def _fault(self, line: list[str], half: bool, wrong: str) -> Fault:
        path = line[2].removeprefix(str(self.work)).removeprefix("/")
        return Fault(int(line[0]), line[1], re.sub(r"\d+", "N", path), half, wrong)

    def _resumed(self, events: bool = True) -> str:
        """What is wrong after the command was given again; empty where nothing is."""
        code = self._run(self.case.broken)
        told = (self.root / "output").read_text()
        # the fault came after the last operation that counts
        ended = "holds a SavedModel" in told or re.search(r"curvature\.npz exists", told)
        if code and not ended:
            return f"exit code {code}: {_last_line(told)}"
        found = self._outcome(events)
        wanted = {name: text for name, text in self.whole.items() if events or "/tb: " not in name}
        return "; ".join(
            f"{name}: {_difference(wanted.get(name), found.get(name))}"
            for name in sorted(wanted.keys() | found.keys())
            if wanted.get(name) != found.get(name)
        )

    def _unbroken(self, first: int = 0, every: int = 0) -> None:
        """Let the command end, and find out what it leaves."""
        self._put_back(self.root / "before")
        self.operations = self._photographed(self.case.broken, first, every)
        self.log = [line.split("\t") for line in (self.root / "log").read_text().splitlines()]
        self.whole = self.whole or self._outcome(True)

    def _photographed(self, step: Step, first: int = 0, every: int = 0) -> int:
        """Let a command end, with photographs of every `every`-th operation; returns their number."""
        self._emptied(self.root / "photos")
        with self._watched(first=first, every=every):
            code = self._run(step)
        if code:
            raise RuntimeError(f"{step} has exit code {code}: {(self.root / 'output').read_text()}")
        return int(self.block.count)

    @contextlib.contextmanager
    def _watched(self, first: int = 0, every: int = 0, full: int = 0) -> Iterator[None]:
        (self.root / "log").write_text("")
        self.block.count, self.block.first, self.block.every, self.block.full = 0, first, every, full
        self.block.on = 1
        try:
            yield
        finally:
            self.block.on = 0

    def _run(self, step: Step) -> int:
        """The exit code of a command in a child of its own; its output is kept."""

        def command() -> int:
            if self.block.on and not self.native:
                hook.install(self.block)
            return step.run()

        return _in_child(command, self.root / "output")

    def _outcome(self, events: bool) -> dict[str, str]:
        def write() -> int:
            (self.root / "outcome").write_text(json.dumps(outcome(self.work, events)))
            return 0

        if code := _in_child(write, self.root / "output"):
            return {"outcome": f"exit code {code}: {_last_line((self.root / 'output').read_text())}"}
        return json.loads((self.root / "outcome").read_text())

    def _put_back(self, photo: Path) -> None:
        shutil.rmtree(self.work)
        if photo.name == "before":
            shutil.copytree(photo, self.work, symlinks=True)
        else:
            photo.rename(self.work)

    def _emptied(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()


def _in_child(function: Callable[[], int], output: Path) -> int:
    """The exit code of a function in a forked process, whose group does not outlive it; -9 if it hangs."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            os.environ["TMPDIR"] = tempfile.tempdir = str(output.parent)  # what it leaves there goes with it
            file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(file, 1)
            os.dup2(file, 2)
            code = function()
            sys.stdout.flush()
            sys.stderr.flush()
        except BaseException as error:
            os.write(2, f"{type(error).__name__}: {error}\n".encode())
        finally:
            os._exit(code)
    end = time.monotonic() + PATIENCE
    while not (found := os.waitpid(process, os.WNOHANG))[0]:
        if time.monotonic() > end:
            os.killpg(process, signal.SIGKILL)
        time.sleep(0.01)
    return os.waitstatus_to_exitcode(found[1])


def _told(code: int, output: str) -> str:
    """What is wrong with how a command ended that met a full disk: it is to say so in one line."""
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    if code not in (0, 1) or "Traceback" in output:
        return f"exit code {code}: {_last_line(output)}"
    if code == 1 and (len(errors) != 1 or "no space left" not in errors[0].lower()):
        return f"it tells of no full disk: {_last_line(output)}"
    return ""


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "")[:300]


def _difference(wanted: str | None, found: str | None) -> str:
    """The first words that differ."""
    if wanted is None or found is None:
        return "absent" if found is None else "not there in an unbroken run"
    one, other = wanted.split(), found.split()
    counts = collections.Counter(one)
    counts.subtract(other)
    lost = [word for word, count in counts.items() if count > 0][:3]
    more = [word for word, count in counts.items() if count < 0][:3]
    return f"-{' '.join(lost)} +{' '.join(more)}"[:300]


def _digest(folder: Path) -> str:
    """Changes with any name or byte below a folder, but not with bytes that the next start removes unread."""
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        total.update(f"{name}\0".encode())
        if path.is_file() and not any(map(_removed, name.parts)):
            total.update(path.read_bytes())
    return total.hexdigest()


def _removed(name: str) -> bool:
    """Whether the next start of a run removes what is called so."""
    return files.is_temporary(Path(name)) or re.fullmatch(r"ckpt-\d+_temp", name) is not None
