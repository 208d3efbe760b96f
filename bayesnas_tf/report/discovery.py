"""Find run directories below folders and read each as far as it can be read."""

import functools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from bayesnas_tf.config import stored
from bayesnas_tf.report import readers
from bayesnas_tf.report.records import Collection, Failure, Place, Posterior, Problem, Run, Selected
from bayesnas_tf.report.settings import SEARCHED
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.genotype import Genotype

T = TypeVar("T")
MARKS = {RunFiles.config, RunFiles.summary, RunFiles.metrics, RunFiles.posterior}
# folders of runs and sweeps: nothing of theirs to read
INSIDE = (
    RunFiles.checkpoints,
    RunFiles.tensorboard,
    RunFiles.proposals,
    RunFiles.saved_model,
    RunFiles.logs,
)
DEPTH = 8  # of folders within folders


class Found(NamedTuple):
    """What lies below a folder: runs, sweeps, and folders that hold neither."""

    runs: tuple[Path, ...] = ()
    sweeps: tuple[Path, ...] = ()
    foreign: tuple[Path, ...] = ()

    def joined(self, other: "Found") -> "Found":
        """Both."""
        return Found(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def find(folder: Path, depth: int = DEPTH) -> Found:
    """Runs and sweeps in a folder and below; a folder with files but without either is foreign."""
    try:
        names = {path.name: path for path in sorted(folder.iterdir())}
    except OSError:
        return Found(foreign=(folder,))
    if RunFiles.sweep in names:
        own = Found(sweeps=(folder,))
    else:
        own = Found(runs=(folder,) if MARKS & names.keys() else ())
    below = Found()
    for name, path in names.items():
        inside = name.startswith(".") or ((own.runs or own.sweeps) and name in INSIDE)
        if depth and not inside and path.is_dir() and not path.is_symlink():
            below = below.joined(find(path, depth - 1))
    if own.runs or own.sweeps or below.runs or below.sweeps:
        return own.joined(below)
    return Found(foreign=(folder,) if any(path.is_file() for path in names.values()) else below.foreign)


def collect(roots: Sequence[Path]) -> Collection:
    """Everything below the folders, each run once."""
    found = functools.reduce(Found.joined, map(find, roots))
    reading = _Reading(roots)
    places = [reading.sweep(path) for path in _unique(found.sweeps)]
    where = {path: place for part in places for path, place in part.items()}
    runs = [reading.run(path, where.get(path.resolve(), Place())) for path in _unique(found.runs)]
    for path in _unique(found.foreign):
        reading.note(path, "", "holds no run that can be read")
    return Collection(
        tuple(str(root) for root in roots),
        tuple(run for run in runs if run is not None),
        tuple(reading.selected),
        tuple(reading.failures.values()),
        tuple(reading.problems),
    )


def _unique(paths: Sequence[Path]) -> list[Path]:
    """Each folder once, however it was reached."""
    return list({path.resolve(): path for path in paths}.values())


class _Reading:
    """Reads run by run, and keeps what could not be read."""

    def __init__(self, roots: Sequence[Path]):
        self._roots = [root.resolve() for root in roots]
        self.problems: list[Problem] = []
        self.failures: dict[str, Failure] = {}  # by path: candidates with one cell share a run
        self.selected: list[Selected] = []

    def shown(self, path: Path) -> str:
        """The path below the folder that it was found in, which stands first."""
        whole = path.resolve()
        for root in self._roots:
            if whole.is_relative_to(root):
                return (Path(root.name) / whole.relative_to(root)).as_posix()
        return whole.as_posix()

    def note(self, path: Path, file: str, what: str) -> None:
        """Keep one problem."""
        self.problems.append(Problem(self.shown(path), file, what))

    def fail(self, path: Path, state: str, what: str, attempts: int) -> None:
        """Keep a run without a result, as it was first told."""
        name = self.shown(path)
        self.failures.setdefault(name, Failure(name, state, what, attempts))

    def attempt(self, file: Path, read: Callable[[Path], T]) -> T | None:
        """What `read` makes of a file, or None and a problem."""
        try:
            return read(file)
        except ValueError as error:
            self.note(file.parent, file.name, " ".join(str(error).split()))
            return None

    def run(self, path: Path, place: Place) -> Run | None:
        """One run directory; None where nothing of it can be attributed to a configuration."""
        files = RunFiles(path)
        pins = self.attempt(files.pins, stored.parsed) if files.pins.exists() else {}
        if (identity := self.attempt(files.config, lambda file: readers.config(file, pins or {}))) is None:
            return None
        kind, seed, settings = identity
        if kind not in readers.KINDS:
            return None  # the directory of another command
        if files.operative_config.exists():
            used = self.attempt(files.operative_config, readers.operative)
            settings = settings.completed(used) if used else settings
        ended = files.summary.exists()
        summary = self.attempt(files.summary, lambda file: stored.summary(file, kind)) if ended else None
        rows, told = self.attempt(files.metrics, readers.metrics) or ((), "")
        if told:
            self.note(path, RunFiles.metrics, told)
        if not ended:
            done = max((row.epoch for row in rows if row.split == "valid"), default=0)
            self.fail(path, "not ended", f"validated epochs so far: {done}", 1)
        summary = summary or {}
        return Run(
            self.shown(path),
            path,
            kind,
            seed,
            settings,
            str((pins or {}).get("corpus", "")),
            self._genotype(files, summary),
            str(summary.get("baseline", "")),
            summary,
            rows,
            self._posterior(files, summary) if kind == "search" and summary else None,
            place,
        )

    def _posterior(self, files: RunFiles, summary: dict[str, Any]) -> Posterior | None:
        """What a search knew of its edge operations at its end: only BayesNAS must have a posterior."""
        if summary.get("strategy", SEARCHED) == SEARCHED:
            return self.attempt(files.posterior, readers.posterior)
        return self.attempt(files.architecture, readers.probabilities)

    def _genotype(self, files: RunFiles, summary: dict[str, Any]) -> Genotype | None:
        """The cell of a run: of its summary, else of genotype.json."""
        if summary.get("genotype") is not None:
            return self.attempt(files.summary, lambda _: readers.genotype(summary["genotype"]))
        if files.genotype.exists():
            return self.attempt(files.genotype, lambda file: readers.genotype(stored.parsed(file)))
        return None

    def sweep(self, path: Path) -> dict[Path, Place]:
        """Where the runs of a sweep stand in it; keeps its failures and what it selected."""
        file = RunFiles(path).sweep
        data = self.attempt(file, stored.parsed) or {}
        candidates: dict[Path, list[str]] = {}
        for entry in _entries(data, "runs"):
            directory = path / str(entry.get("run", ""))
            names = candidates.setdefault(directory.resolve(), [])
            names.append(str(entry.get("candidate", "")))
            state, error = str(entry.get("state", "")), entry.get("error")
            if state == "failed" or error:
                attempts = entry.get("attempts")
                count = attempts if type(attempts) is int else 1
                self.fail(directory, state, str(error or "unknown reason"), count)
            elif state == "done" and len(names) == 1 and not directory.is_dir():
                self.note(
                    directory, "", f"{file.name} says that this run is done, but its directory is missing"
                )
        chosen = _left_out(data)
        for entry in _entries(data, "selected"):
            told, control = entry.get("genotype"), entry.get("control") is True
            cell = self.attempt(file, lambda _, told=told: readers.genotype(told))  # type: ignore[misc]
            if cell is not None and (chosen or control):
                self.selected.append(Selected(cell, str(entry.get("stage", "")), control))
        return {run: Place(self.shown(path), tuple(names)) for run, names in candidates.items()}


def _left_out(data: dict[str, Any]) -> bool:
    """Whether a sweep left trained cells out: where it kept all, nothing was selected."""
    kept = {str(entry.get("candidate", "")) for entry in _entries(data, "selected")}
    trained = [entry for entry in _entries(data, "runs") if entry.get("stage") != "search"]
    homes = {Path(str(entry.get("run", ""))).parent.name for entry in trained if entry.get("state") == "done"}
    return not homes <= kept


def _entries(data: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    """The objects of a list in a JSON object."""
    entries = data.get(name)
    return (entry for entry in (entries if isinstance(entries, list) else ()) if isinstance(entry, dict))
