"""The root of a sweep's configuration."""

import dataclasses
from typing import Annotated, Any, ClassVar

import gin

from bayesnas_tf.options import Count, FilePath, Options, Positive, Range, Seed, Whole


def _refuse(owner: object, name: str, rule: str) -> None:
    """Say which setting breaks which rule."""
    raise ValueError(f"{type(owner).__name__}.{name}={getattr(owner, name)!r} must be {rule}")


@gin.register
@dataclasses.dataclass(frozen=True)
class SearchesOptions(Options):
    """Which searches: every combination of `grid` with every one of `points`, each with every seed.

    `gin_files` configure them all, and so do `params` (name -> value), which are stronger. `grid` maps a name
    to its values; `points` are sets of bindings, name -> value, that belong together.
    """

    gin_files: tuple[FilePath, ...] = ()  # configuration of the searches
    # their settings, name -> value; stronger than the files
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    # name -> values; every combination is searched
    grid: dict[str, Any] = dataclasses.field(default_factory=dict)
    points: tuple[dict[str, Any], ...] = ({},)  # sets of settings that belong together, each name -> value
    seeds: tuple[Seed, ...] = (0,)  # each combination is searched with every one

    def __post_init__(self):
        """Refuse what is no search."""
        super().__post_init__()
        for name in ("gin_files", "points", "seeds"):
            if not getattr(self, name):
                _refuse(self, name, "a tuple with at least one item")
        for name, values in self.grid.items():
            if not isinstance(values, tuple | list) or not values:
                raise ValueError(f"SearchesOptions.grid[{name!r}]={values!r} must be a tuple of values")


@gin.register
@dataclasses.dataclass(frozen=True)
class RankOptions(Options):
    """How cells are trained, ranked and selected (5.3).

    Every cell that was searched, and every one of `cells` (names, genotype files, and groups of them, each of
    which a gin file may hold in a macro), is trained for `epochs` with every seed; the `best` by mean
    validation perplexity are selected, and trained for `more_epochs`.
    `rungs` are epochs after which only the better share `keep` of the cells goes on: successive halving.
    Beside each searched cell stand `controls` random cells of its size and depth, which are never selected
    and go as far as it does. With `proposals` the cells that a search drew from its posterior
    (`BayesNasOptions.proposals`) are candidates as well. With `restart` each rung trains anew: for
    trainings whose rate falls to 0, which cannot go on.
    """

    gin_files: tuple[FilePath, ...] = ()  # configuration of the trainings
    # their settings, name -> value; stronger than the files
    params: dict[str, Any] = dataclasses.field(default_factory=dict)
    # names and genotype files to train beside the searched cells
    cells: tuple[FilePath | tuple[FilePath, ...], ...] = ()
    seeds: tuple[Seed, ...] = (0,)  # of the trainings; each cell is trained with every one
    seed_of_search: bool = False  # one training, with the seed of the search, instead of `seeds`
    epochs: Count = 800  # of each training
    best: Whole = 2  # 0: all
    more_epochs: Whole = 0  # for which the selected cells are trained on
    rungs: tuple[Count, ...] = ()  # epochs after which only the better share goes on: successive halving
    # share of the cells that goes on after a rung
    keep: Annotated[float, Range(0.0, 1.0, open_low=True, open_high=True)] = 0.5
    # random cells of equal size and depth beside each searched cell
    controls: Annotated[int, Range(0, 1000)] = 0
    proposals: bool = False  # True: the cells that a search drew from its posterior are candidates too
    restart: bool = False  # True: each rung trains anew, because the learning rate falls to 0

    def __post_init__(self):
        """Refuse what ranks nothing."""
        super().__post_init__()
        for name in ("gin_files", "seeds"):
            if not getattr(self, name):
                _refuse(self, name, "a tuple with at least one item")
        if len(set(self.seeds)) < len(self.seeds):
            _refuse(self, "seeds", "different seeds: the same one twice is one training")
        if "evaluate.epochs" in self.params:
            raise ValueError(
                "RankOptions.params sets evaluate.epochs, which RankOptions.epochs decides. Remove it"
            )
        if list(self.rungs) != sorted({*self.rungs}) or not all(0 < n < self.epochs for n in self.rungs):
            _refuse(self, "rungs", f"ascending numbers of epochs below RankOptions.epochs={self.epochs}")
        if self.seed_of_search and self.cells:
            _refuse(self, "cells", "empty with RankOptions.seed_of_search=True")

    def listed(self) -> list[str]:
        """`cells` one by one, without their groups."""
        groups = [(one,) if isinstance(one, str) else one for one in self.cells]
        return [name for group in groups for name in group]


@gin.register
@dataclasses.dataclass(frozen=True)
class EngineOptions(Options):
    """Where runs go. A sweep may be continued with other values; they change the threads of a run."""

    workers: Annotated[int, Range(0, 1024)] = (
        0  # local: runs at a time; 0: one per GPU, else per `cores` cores while memory lasts
    )
    cores: Annotated[int, Range(1, 1024)] = 1  # of a run: local where `workers` is 0; ray always
    gpus: Annotated[float, Range(-1.0, 1024.0)] = -1.0  # ray: of a run; -1: one where the cluster has any
    memory_gb: Positive = 2.0  # local: what a run is expected to need
    attempts: Annotated[int, Range(1, 1000)] = 2  # starts of a run that fails
    address: str = ""  # ray: of the cluster; empty: $RAY_ADDRESS, or else a cluster started here


@gin.configurable("sweep")
@dataclasses.dataclass(frozen=True)
class SweepSettings(Options):
    """Everything that `sweep` can be told: what is searched, trained and selected, and where it runs."""

    configured_as: ClassVar[str] = "sweep"

    search: SearchesOptions | None = None
    rank: RankOptions | None = None
    engine: EngineOptions = dataclasses.field(default_factory=EngineOptions)

    def __post_init__(self):
        """Refuse a sweep without runs."""
        super().__post_init__()
        if self.search is None and (self.rank is None or not self.rank.cells):
            raise ValueError(
                "sweep has nothing to run. Set sweep.search, or sweep.rank with RankOptions.cells"
            )
        if self.search is None and self.rank is not None and self.rank.seed_of_search:
            raise ValueError(
                "RankOptions.seed_of_search needs searches. Set sweep.search = @SearchesOptions()"
            )
