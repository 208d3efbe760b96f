"""The runs of a sweep as data: what each is called, where it lies, and its command line."""

import collections
import itertools
import re
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from bayesnas_tf.sweeping.settings import SearchesOptions

SEARCH, RANK, FINAL = "search", "rank", "final"  # stages; a rung is called rung-<epochs>


class Job(NamedTuple):
    """One run. `directory` and what it reads of other runs are relative to the sweep's directory."""

    stage: str
    candidate: str
    command: Literal["search", "evaluate"]
    directory: str
    gin_files: tuple[str, ...]
    params: Mapping[str, Any]
    seed: int
    bindings: Mapping[str, Any]  # of `params` those that tell the candidates apart
    genotype: str = ""  # a name, or the path of a file
    extends: str = ""  # the directory of the run that this one goes on with

    @property
    def gin_params(self) -> list[str]:
        """`params` as a command line takes them."""
        return [f"{name}={value!r}" for name, value in self.params.items()]

    def arguments(self, root: Path, data_dir: Path) -> list[str]:
        """The flags of the command."""
        flags = [f"--gin_file={name}" for name in self.gin_files]
        flags += [f"--gin_param={param}" for param in self.gin_params]
        flags += [f"--seed={self.seed}", f"--run_dir={root / self.directory}", f"--data_dir={data_dir}"]
        if self.genotype:
            flags.append(f"--genotype={self.genotype}")
        if self.extends:
            flags.append(f"--extend={root / self.extends}")
        return flags

    def command_line(self, root: Path, data_dir: Path) -> list[str]:
        """The whole command, with this Python."""
        return [sys.executable, "-m", f"bayesnas_tf.{self.command}", *self.arguments(root, data_dir)]


def points(options: SearchesOptions) -> list[dict[str, Any]]:
    """The bindings of every candidate, in the order of the configuration."""
    combinations = itertools.product(*options.grid.values())
    grid = [dict(zip(options.grid, values, strict=True)) for values in combinations]
    return [{**point, **values} for point in options.points for values in grid]


def short_names(names: Iterable[str]) -> dict[str, str]:
    """Each parameter by its last part, or whole where another one ends in the same."""
    last = {name: name.rsplit(".", 1)[-1] for name in names}
    count = collections.Counter(last.values())
    return {name: short if count[short] == 1 else name for name, short in last.items()}


def name_of(bindings: Mapping[str, Any], seed: int, shown: Mapping[str, str]) -> str:
    """A readable name for a run, fit for a folder, its parameters as `shown`: `LAMBDA_W=0.1-seed0`."""
    parts = [f"{shown[name]}={value}" for name, value in bindings.items()]
    return re.sub(r"[^\w.+=-]+", "_", "-".join([*parts, f"seed{seed}"]))


def searches(options: SearchesOptions, first_seed: int) -> list[Job]:
    """The search of every candidate; `first_seed` is added to every seed.

    Raises:
      ValueError: two candidates have the same bindings and seed.
    """
    jobs, candidates = [], points(options)
    shown = short_names(name for bindings in candidates for name in bindings)
    for bindings, seed in itertools.product(candidates, options.seeds):
        name = name_of(bindings, first_seed + seed, shown)
        params = {**options.params, **bindings}
        jobs.append(
            Job(
                SEARCH,
                name,
                "search",
                f"search/{name}",
                options.gin_files,
                params,
                first_seed + seed,
                bindings,
            )
        )
    names = [job.candidate for job in jobs]
    if twice := {name for name in names if names.count(name) > 1}:
        raise ValueError(
            f"two searches have the name {min(twice)}. Remove one from SearchesOptions, or change its values"
        )
    return jobs
