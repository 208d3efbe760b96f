"""The files of a run directory by their names, which nothing else writes down."""

import dataclasses
from pathlib import Path
from typing import overload


class _Named:
    """A file: its name where the class is asked, its path where a directory is."""

    def __init__(self, name: str):
        self.name = name

    @overload
    def __get__(self, files: None, owner: type) -> str: ...
    @overload
    def __get__(self, files: "RunFiles", owner: type) -> Path: ...
    def __get__(self, files: "RunFiles | None", owner: type) -> str | Path:
        return self.name if files is None else files.root / self.name


@dataclasses.dataclass(frozen=True)
class RunFiles:
    """Where a run keeps what: `RunFiles(directory).summary` is a path, `RunFiles.summary` the bare name."""

    root: Path

    # what makes it a run, and whose
    config = _Named("config.gin")
    lock = _Named(".lock")
    pins = _Named("pins.json")
    operative_config = _Named("operative_config.gin")
    # what it writes while it goes
    metrics = _Named("metrics.jsonl")
    checkpoints = _Named("checkpoints")
    tensorboard = _Named("tb")
    posterior = _Named("posterior.npz")
    architecture = _Named("architecture.npz")
    genotype = _Named("genotype.json")
    proposals = _Named("drawn")
    cell_svg = _Named("cell.svg")
    cell_dot = _Named("cell.dot")
    vocabulary = _Named("vocabulary.txt")
    # its result, and what other commands make of it
    summary = _Named("summary.json")
    saved_model = _Named("saved_model")
    curvature = _Named("curvature.npz")
    # of a sweep
    sweep = _Named("sweep.json")
    logs = _Named("logs")

    def proposal(self, number: int) -> Path:
        """The file of a cell that was drawn, by its number from 1 on."""
        return self.proposals / f"{number}.json"

    @classmethod
    def names(cls) -> tuple[str, ...]:
        """All of them."""
        return tuple(value.name for value in vars(cls).values() if isinstance(value, _Named))
