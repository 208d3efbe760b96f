"""What a sweep will run, said and checked before it runs."""

import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bayesnas_tf import config
from bayesnas_tf.config import extension
from bayesnas_tf.data import corpora
from bayesnas_tf.data.corpora import CorpusOptions
from bayesnas_tf.data.nasbench_nlp import find_genotype
from bayesnas_tf.errors import UserError, expanded
from bayesnas_tf.reporting.summary_text import duration
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.sweeping import jobs, selection
from bayesnas_tf.sweeping.jobs import SEARCH, Job
from bayesnas_tf.sweeping.selection import Candidate
from bayesnas_tf.sweeping.settings import RankOptions, SweepSettings

ASSUMED_SPEED = 1000.0  # tokens per second and worker; docs/performance.md has measured ones
MOST_SEED = 2**31 - 1
SHOWN = 40  # candidates that a description lists


class Round(NamedTuple):
    """Runs of one stage that share all settings but genotype and seed."""

    stage: str
    runs: int
    epochs: int  # of each, beyond those of the run it extends
    settled: Mapping[str, Any]


class Plan(NamedTuple):
    """The searches, the cells that are given, and what comes of both."""

    searches: list[Job]
    given: list[Candidate]
    rounds: list[Round]
    rank: RankOptions | None
    seeds: tuple[int, ...]  # of the trainings of each cell

    def corpora(self) -> list[CorpusOptions]:
        """The corpora of all runs, each once."""
        found = (_options(round_.settled) for round_ in self.rounds)
        return list({str(options): options for options in found}.values())

    def settings(self) -> str:
        """What decides the results of all runs, gin files read, a fact per line.

        What all searches share stands once.
        """
        names = [job.directory for job in self.searches]
        names += [round_.stage for round_ in self.rounds[len(names) :]]
        told = [
            {f"{name} = {value!r}" for name, value in config.deciding(round_.settled).items()}
            for round_ in self.rounds
        ]
        searches = told[: len(self.searches)]
        shared = set.intersection(*searches) if searches else set()
        own = [facts - shared for facts in searches] + told[len(searches) :]
        return "\n".join(
            f"{name}: {fact}"
            for name, facts in zip([SEARCH, *names], [shared, *own], strict=True)
            for fact in sorted(facts)
        )


def make(settings: SweepSettings, seed: int, data_dir: str | Path = ".") -> Plan:
    """Read and check every configuration of a sweep; `seed` is added to every seed.

    Cells that lie in a table are read from `data_dir`.

    Raises:
      UserError: a file, a name, a value or a cell is wrong; it says which.
    """
    _check_seeds(settings, seed)
    rank, searches = settings.rank, jobs.searches(settings.search, seed) if settings.search else []
    rounds = []
    for job in searches:
        settled = config.checked(SEARCH, job.gin_files, job.gin_params)
        rounds.append(Round(SEARCH, 1, settled.get("search.epochs", 1), settled))
    if rank is None:
        return Plan(searches, [], rounds, None, ())
    seeds = tuple(seed + number for number in rank.seeds)
    given = [_given(find_genotype(name, seed, data_dir), name, seeds) for name in rank.listed()]
    _check_distinct([*(job.candidate for job in searches), *(candidate.name for candidate in given)])
    cells, before = len(searches) + len(given) + _proposals(rank, rounds), 0
    params = [f"{name}={value!r}" for name, value in rank.params.items()]
    settled = config.checked("evaluate", rank.gin_files, params)
    stages = selection.stages(rank, cells)
    if len(stages) > 1 and not rank.restart and settled.get(extension.DECAY) == "linear":
        raise UserError(
            f"{extension.DECAY}='linear' lowers the rate over all epochs, but RankOptions.rungs and "
            "more_epochs continue finished trainings. Set RankOptions.restart = True, or the decay to "
            "'constant'"
        )
    for stage in stages:
        with_controls = cells + min(cells, len(searches)) * rank.controls
        runs = with_controls * (1 if rank.seed_of_search else len(seeds))
        reached = {**settled, "evaluate.epochs": stage.epochs}
        rounds.append(Round(stage.name, runs, stage.epochs - before, reached))
        cells, before = min(cells, stage.keep or cells), 0 if rank.restart else stage.epochs
    return Plan(searches, given, rounds, rank, seeds)


def _proposals(rank: RankOptions, searches: list[Round]) -> int:
    """How many cells the searches draw to be trained, at most."""
    if not rank.proposals:
        return 0
    drawn = sum(search.settled.get("BayesNasOptions.proposals", 0) for search in searches)
    if not drawn:
        raise UserError(
            "RankOptions.proposals=True trains cells that the searches draw, but they draw none. Set "
            "search.strategy = @BayesNasOptions() and BayesNasOptions.proposals in their configuration"
        )
    return drawn


def _check_seeds(settings: SweepSettings, seed: int) -> None:
    """Refuse a seed of a run, the sweep's own added, that no command takes."""
    asked = [options.seeds for options in (settings.search, settings.rank) if options is not None]
    if (largest := seed + max(itertools.chain(*asked))) > MOST_SEED:
        raise UserError(
            f"--seed={seed} and a seed of the sweep add up to {largest}, but a seed is at most {MOST_SEED}. "
            "Lower one of them"
        )


def _given(genotype: Genotype, name: str, seeds: tuple[int, ...]) -> Candidate:
    """A cell of `RankOptions.cells`: a name, or a file, which is called after its folder.

    `random` is drawn once, with the seed of the sweep: its own name says to every training which cell it is.
    """
    path = expanded(name)
    if not path.is_file():
        return Candidate(genotype.name, genotype, genotype.name, genotype.name, {}, seeds)
    called = path.resolve().parent.name
    return Candidate(called, genotype, str(path.resolve()), called, {}, seeds)


def _check_distinct(names: list[str]) -> None:
    """Refuse candidates of one name: they would share run directories, and so their perplexities."""
    if twice := {name for name in names if names.count(name) > 1}:
        raise UserError(
            f"two cells have the name {min(twice)!r}. A file in RankOptions.cells takes the name of its "
            "folder. Remove one, or copy the file into another folder"
        )


def _options(settled: Mapping[str, Any]) -> CorpusOptions:
    """What a configuration says about its corpus."""
    prefix = "CorpusOptions."
    return CorpusOptions(**{k.removeprefix(prefix): v for k, v in settled.items() if k.startswith(prefix)})


def _tokens(options: CorpusOptions, data_dir: Path) -> int:
    """Tokens of a training split, at most."""
    known = [*filter(None, (options.limit_tokens, corpora.RECORDS[options.name].train_tokens))]
    return min(known) if known else len(corpora.load(options, data_dir).train)


def describe(plan: Plan, workers: int, data_dir: Path) -> str:
    """What `--dry_run` prints: candidates, counts and an estimate for so many workers at a time."""
    tokens = {options: _tokens(options, data_dir) for options in plan.corpora()}
    lines, total = _candidates(plan), 0
    for stage in dict.fromkeys(round_.stage for round_ in plan.rounds):
        rounds = [round_ for round_ in plan.rounds if round_.stage == stage]
        runs = sum(r.runs for r in rounds)
        trained = sum(r.runs * r.epochs * tokens[_options(r.settled)] for r in rounds)
        epochs = " or ".join(map(str, sorted({r.epochs for r in rounds})))
        unit = "epoch" if epochs == "1" else "epochs"
        lines.append(f"{stage:<10} {runs} runs, each of {epochs} {unit}: {trained / 1e6:,.1f} million tokens")
        total += trained
    time = duration(total / ASSUMED_SPEED / workers)
    lines.append(
        f"estimate   {time} with {workers} at a time, if each trains on {ASSUMED_SPEED:,.0f} tokens a second"
    )
    return "\n".join(lines)


def _candidates(plan: Plan) -> list[str]:
    """One line per candidate."""
    names = [job.candidate for job in plan.searches] + [f"{c.name}: {c.genotype}" for c in plan.given]
    more = [f"candidate  and {len(names) - SHOWN} more"] if len(names) > SHOWN else []
    return [f"candidate  {name}" for name in names[:SHOWN]] + more
