"""From many searches to a chosen cell (5.3): rank by trainings of one length, train the best longer."""

import collections
import math
import statistics
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from bayesnas_tf.errors import UserError
from bayesnas_tf.report.statistics import Sample, standing
from bayesnas_tf.space import known
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.sweeping.jobs import FINAL, RANK, Job
from bayesnas_tf.sweeping.settings import RankOptions


class Candidate(NamedTuple):
    """A cell that is trained. Candidates with the same cell share the runs of the first of them, `home`."""

    name: str
    genotype: Genotype
    source: str  # what `evaluate --genotype` takes
    home: str
    bindings: dict[str, Any]
    seeds: tuple[int, ...]
    beside: str = ""  # the searched candidate of which this random cell is a control


class Score(NamedTuple):
    """Mean, sample standard deviation (None for one) and number of a measure over seeds."""

    mean: float
    sd: float | None
    n: int


def score(values: Sequence[float | None]) -> Score | None:
    """What finite values come to; None where there are none."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return None
    return Score(statistics.fmean(finite), statistics.stdev(finite) if len(finite) > 1 else None, len(finite))


def with_homes(
    candidates: Sequence[Candidate], begun: Callable[[str], bool] = lambda name: False
) -> list[Candidate]:
    """Let candidates with the same cell share one home: to train it twice with one seed tells nothing.

    It is the first of them whose trainings have `begun`, else the first: a search that failed before must not
    move the trainings of a cell that was found without it.
    """
    homes: dict[str, str] = {}
    for c in sorted(candidates, key=lambda c: not begun(c.name)):
        homes.setdefault(str(c.genotype), c.name)
    return [c._replace(home=homes[str(c.genotype)]) for c in candidates]


def controls(candidates: Sequence[Candidate], count: int, searches: Sequence[str]) -> list[Candidate]:
    """`count` random cells of the size and depth of each distinct cell.

    Each has a number of its own, by the place of its candidate among the `searches` that are planned: those
    that failed keep theirs.
    """
    made = []
    for candidate in candidates:
        if candidate.home != candidate.name:
            continue
        first = count * searches.index(candidate.name) + 1
        for number in range(first, first + count):
            name = known.matched_name(number, candidate.genotype)
            cell = known.named(name)
            assert cell is not None  # the depth of a cell is one that a cell can have
            made.append(Candidate(name, cell, name, name, {}, candidate.seeds, candidate.name))
    return made


def standings(candidates: Sequence[Candidate], scores: dict[str, Score]) -> dict[str, tuple[bool, float]]:
    """home -> what cells are ordered by, those short of a training last: the rule of reports.

    A cell without a score, whose trainings all failed, has no standing.
    """
    asked = {(c.home, seed) for c in candidates for seed in c.seeds}
    whole = collections.Counter(home for home, _ in asked)
    return {
        home: standing(Sample(found.mean, found.sd or math.nan, found.n, whole[home] - found.n))
        for home, found in scores.items()
    }


def survivors(candidates: Sequence[Candidate], scores: dict[str, Score], keep: int) -> list[Candidate]:
    """The `keep` distinct cells of the best standing, everyone that shares them, and their controls."""
    standing = standings(candidates, scores)
    homes = {c.home for c in candidates if not c.beside and c.home in standing}
    best = set(sorted(homes, key=lambda home: (standing[home], home))[:keep])
    return [c for c in candidates if (c.beside or c.home) in best]


def trainings(
    candidates: Sequence[Candidate], options: RankOptions, stage: str, epochs: int, before: str
) -> list[Job]:
    """The trainings of a stage; `before` names the stage whose runs they go on with, or is empty."""
    params = {**options.params, "evaluate.epochs": epochs}
    return [
        Job(
            stage=stage,
            candidate=c.name,
            command="evaluate",
            directory=f"{stage}/{c.home}/seed{seed}",
            gin_files=options.gin_files,
            params=params,
            seed=seed,
            bindings=c.bindings,
            genotype=c.source,
            extends=f"{before}/{c.home}/seed{seed}" if before else "",
        )
        for c in candidates
        for seed in c.seeds
    ]


class Stage(NamedTuple):
    """A round of trainings up to `epochs` in all, which `keep` cells survive (0: all)."""

    name: str
    epochs: int
    keep: int


def stages(options: RankOptions, cells: int) -> list[Stage]:
    """The rounds that `cells` distinct cells go through: rungs, the ranking, the final training."""
    plan = []
    for epochs in options.rungs:
        cells = max(math.ceil(cells * options.keep), options.best or 1)
        plan.append(Stage(f"rung-{epochs}", epochs, cells))
    plan.append(Stage(RANK, options.epochs, options.best))
    if options.more_epochs:
        plan.append(Stage(FINAL, options.epochs + options.more_epochs, 0))
    return plan


class Selection:
    """Runs the rounds and says what was selected."""

    def __init__(
        self,
        options: RankOptions,
        run: Callable[[Sequence[Job]], None],
        summary: Callable[[Job], dict[str, Any] | None],
    ):
        """`run` brings runs to their end, `summary` reads the result of one."""
        self.options, self._run, self._summary = options, run, summary

    def select(self, candidates: Sequence[Candidate]) -> tuple[list[dict[str, Any]], dict[str, int]]:
        """The entries `selected` and `budget` of sweep.json, the best cell first, a control behind its cell.

        Raises:
          UserError: no training of a stage ended.
        """
        cells = len({c.home for c in candidates if not c.beside})
        alive, rounds, before = list(candidates), [], ""
        for stage in stages(self.options, cells):
            jobs = trainings(alive, self.options, stage.name, stage.epochs, before)
            self._run(jobs)
            rounds.append(jobs)
            scores = self._scores(alive, jobs, "valid_ppl")
            alive = survivors(alive, scores, stage.keep or len(alive))
            before = "" if self.options.restart else stage.name
            if not alive:
                raise UserError(f"every training of stage {stage.name} failed. logs/{stage.name} says why")
        return self._entries(alive, rounds[-1]), self._budget(rounds)

    def _scores(self, candidates: Sequence[Candidate], jobs: Sequence[Job], measure: str) -> dict[str, Score]:
        """home -> what the trainings of these candidates measured."""
        values: dict[str, dict[str, float | None]] = {}
        homes = {c.name: c.home for c in candidates}
        for job in jobs:
            summary = self._summary(job)
            if summary is not None and job.candidate in homes:
                values.setdefault(homes[job.candidate], {})[job.directory] = summary[measure]
        found = {home: score(list(measured.values())) for home, measured in values.items()}
        return {home: value for home, value in found.items() if value is not None}

    def _entries(self, alive: Sequence[Candidate], jobs: Sequence[Job]) -> list[dict[str, Any]]:
        valid, test = (self._scores(alive, jobs, name) for name in ("valid_ppl", "test_ppl"))
        cells = [c for c in alive if c.name == c.home and c.name in valid]
        standing, last = standings(alive, valid), (True, math.inf)
        order = sorted(
            cells, key=lambda c: (standing.get(c.beside or c.name, last), c.beside or c.name, bool(c.beside))
        )
        return [
            {
                "candidate": c.name,
                "genotype": c.genotype.to_dict(),
                "control": bool(c.beside),
                "beside": c.beside or None,
                "valid_ppl": valid[c.name]._asdict(),
                "test_ppl": test[c.name]._asdict() if c.name in test else None,
                "stage": jobs[0].stage,
            }
            for c in order
        ]

    def _budget(self, rounds: Sequence[Sequence[Job]]) -> dict[str, int]:
        """Epochs that were trained, and those that a whole training of every cell would have taken."""
        jobs = {job.directory: job for stage in rounds for job in stage}
        reached = {
            name: found["epochs"] for name, job in jobs.items() if (found := self._summary(job)) is not None
        }
        added = {name: epochs - reached.get(jobs[name].extends, 0) for name, epochs in reached.items()}
        begun = {job.directory for job in rounds[0]}
        final = sum(epochs for name, epochs in added.items() if jobs[name].stage == FINAL)
        return {
            "epochs": sum(added.values()),
            "epochs_without_rungs": len(begun & reached.keys()) * self.options.epochs + final,
        }
