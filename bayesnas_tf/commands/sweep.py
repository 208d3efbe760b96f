"""`sweep` as a user meets it: many runs, the selection among them, and what it leaves behind."""

import contextlib
import functools
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gin
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.data import corpora
from bayesnas_tf.errors import UserError
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.sweeping import child, local, on_ray, plan, selection
from bayesnas_tf.sweeping.drive import Driver, Ended, Engine
from bayesnas_tf.sweeping.jobs import Job
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.sweeping.plan import Plan
from bayesnas_tf.sweeping.selection import Candidate, Selection
from bayesnas_tf.sweeping.settings import EngineOptions, SweepSettings
from bayesnas_tf.sweeping.table import SweepView
from bayesnas_tf.training.stopping import stop_request

Command = Callable[[Job], list[str]]


def run_sweep(run: config.Run) -> None:
    """Run what the configuration lists, from where an earlier command left it.

    Raises:
      UserError: a configuration is wrong, nothing is left to select from, or a run was given up.
      KeyboardInterrupt: SIGINT or SIGTERM came; the runs have saved their state.
    """
    settings: SweepSettings = gin.get_configurable("sweep")()
    planned = plan.make(settings, run.seed, run.data_dir)
    if run.dry_run:
        workers = 1 if run.options.engine == "ray" else len(_shares(settings.engine))
        print(plan.describe(planned, workers, run.data_dir))
        return
    _leave_gpus()
    config.pin(run, "setting of its runs", planned.settings())
    config.record_operative(run)
    for options in planned.corpora():  # once and here: many runs at once would each prepare it
        corpora.load(options, run.data_dir)
    root, data_dir = run.directory.resolve(), run.data_dir.resolve()
    command = functools.partial(Job.command_line, root=root, data_dir=data_dir)
    ledger = Ledger(root, run.config_name, run.options.engine, settings.engine.attempts)
    drive(planned, ledger, engine(run.options.engine, settings.engine, ledger, command))


def engine(kind: str, options: EngineOptions, ledger: Ledger, command: Command) -> Engine:
    """The engine of that name, which starts the processes that `command` says."""

    def launch(job: Job) -> child.Launch:
        summary, log = str(ledger.files(job).summary), str(ledger.log(job))
        return child.Launch(command(job), summary, log, folder=os.getcwd())  # Ray's workers stand elsewhere

    if kind == "ray":
        return on_ray.RayEngine(options, launch)
    return local.LocalEngine(_shares(options), launch)


def _leave_gpus() -> None:
    """Keep TensorFlow in this process off the GPUs: the memory of all of them would be gone for the runs."""
    with contextlib.suppress(RuntimeError):  # whoever called this had initialised them before
        tf.config.set_visible_devices([], "GPU")


def _shares(options: EngineOptions) -> list[local.Share]:
    """The shares of this machine."""
    return local.shares(options, local.cores(), local.gpus(), local.memory_gb())


def drive(planned: Plan, ledger: Ledger, engine: Engine) -> None:
    """Bring a plan to its end on an engine, and print what came of it.

    Raises:
      UserError: nothing is left to select from; or, once the result is printed, a run was given up.
    """
    view = SweepView(ledger, sys.stderr)
    try:
        with stop_request() as stop:

            def watch(jobs: Sequence[Job], over: Sequence[Ended]) -> None:
                view.watch(jobs, over)
                if stop.asked:
                    view.line("stopping: the runs save their state")
                    raise KeyboardInterrupt

            finish(planned, ledger, Driver(engine, ledger, watch))
    finally:
        view.close()
        engine.close()
    print("\n".join(result_lines(ledger)))
    if failed := {job.directory for job in ledger.jobs.values() if ledger.state(job) == "failed"}:
        given_up = min(failed) if len(failed) == 1 else f"{len(failed)} runs"
        logs = RunFiles(ledger.root).logs
        raise UserError(
            f"{given_up} failed for good. The logs in {logs} say why. The same command tries again"
        )


def finish(planned: Plan, ledger: Ledger, driver: Driver) -> None:
    """All searches, then the rounds of the selection."""
    driver.run(planned.searches)
    ended = [(job, summary) for job in planned.searches if (summary := ledger.summary(job))]
    searched = [candidate(job, summary, ledger, planned) for job, summary in ended]
    rank = planned.rank
    if planned.searches and not searched:
        raise UserError(
            f"every search failed. The logs in {RunFiles(ledger.root).logs} say why. "
            "The same command tries again"
        )
    if rank is None:
        return
    first = planned.rounds[len(planned.searches)].stage
    drawn = []
    for found, (_, summary) in zip(searched, ended, strict=True):
        drawn += proposals(found, summary) if rank.proposals else []
    candidates = selection.with_homes(
        [*searched, *drawn, *planned.given], lambda name: (ledger.root / first / name).is_dir()
    )
    names = [job.candidate for job in planned.searches]
    candidates += selection.controls(candidates[: len(searched)], rank.controls, names)
    ledger.selected, ledger.budget = Selection(rank, driver.run, ledger.summary).select(candidates)
    ledger.write()


def candidate(job: Job, summary: dict[str, Any], ledger: Ledger, planned: Plan) -> Candidate:
    """The cell that a search found."""
    return Candidate(
        name=job.candidate,
        genotype=Genotype.from_dict(summary["genotype"]),
        source=str(ledger.files(job).genotype),
        home=job.candidate,
        bindings=dict(job.bindings),
        seeds=(job.seed,) if planned.rank and planned.rank.seed_of_search else planned.seeds,
    )


def proposals(found: Candidate, summary: Mapping[str, Any]) -> list[Candidate]:
    """The cells that a search with this summary drew from its posterior."""
    files, cells = RunFiles(Path(found.source).parent), summary.get("proposals", [])
    return [
        found._replace(
            name=(name := f"{found.name}-{number}"),
            genotype=Genotype.from_dict(cell),
            source=str(files.proposal(number)),
            home=name,
        )
        for number, cell in enumerate(cells, start=1)
    ]


def result_lines(ledger: Ledger) -> list[str]:
    """What was selected, what failed, and where all of it lies."""
    lines = []
    for entry in ledger.selected:
        kind = "control" if entry["control"] else "selected"
        valid, test = (_measured(entry[name]) for name in ("valid_ppl", "test_ppl"))
        cell = Genotype.from_dict(entry["genotype"])
        lines.append(f"{kind:<10} {entry['candidate']}: valid {valid}, test {test}, {cell}")
    if ledger.budget:
        lines.append(
            "trained    {epochs:,} epochs; {epochs_without_rungs:,} without rungs".format(**ledger.budget)
        )
    runs = {job.directory: job for job in ledger.jobs.values()}
    for job in runs.values():
        if ledger.state(job) == "failed":
            lines.append(f"failed     {job.directory}: {ledger.failure(job).error}")
    return [*lines, f"{len(runs)} runs. Their states and results are in {RunFiles(ledger.root).sweep}"]


def _measured(found: dict[str, Any] | None) -> str:
    """`58.25 ± 0.31 (5)`."""
    if found is None:
        return "not measured"
    spread = "" if found["sd"] is None else f" ± {found['sd']:.2f}"
    return f"{found['mean']:.2f}{spread} ({found['n']})"
