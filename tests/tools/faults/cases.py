"""The tiny commands that are broken: what each reads, what runs before it, and what it is called with."""

import importlib
from pathlib import Path
from typing import NamedTuple

from bayesnas_tf import config
from tests.support import tiny, trained

MAINS = {
    "curvature": "bayesnas_tf.curvature.__main__",
    **{name: f"bayesnas_tf.{name}" for name in ("search", "evaluate", "sweep", "export")},
}
UPDATES = ("epochs=4", "checkpoint_every=100", "report_every=100")
SWEEP = """
include 'base/sweep.gin'
sweep.search = None
RankOptions.gin_files = ('{folder}/small.gin',)
RankOptions.params = {{'evaluate.report_every': 5, 'evaluate.checkpoint_every': 5}}
RankOptions.cells = ('{folder}/genotype.json',)
RankOptions.epochs = 1
RankOptions.best = 1
RankOptions.more_epochs = 1
EngineOptions.workers = 1
"""


class Step(NamedTuple):
    """A command with its flags."""

    command: str
    arguments: list[str]

    def run(self) -> int:
        """Its exit code, in this process."""
        main = importlib.import_module(MAINS[self.command]).main
        return config.run_command(main, self.command, self.arguments)


class Case(NamedTuple):
    """What is broken, and the steps that make what it begins with; of the last of them, a part of the way."""

    before: tuple[Step, ...]
    broken: Step
    part: float = 1.0
    others: tuple[str, ...] = ()  # folders below `work` whose operations are broken in another case


def prepare(root: Path) -> None:
    """Write what the commands read, below `root`/inputs."""
    folder = root / "inputs"
    folder.mkdir()
    trained.write_corpus(folder)
    (folder / "search").mkdir()
    tiny.write(folder / "search", lines=12)
    (folder / "sweep.gin").write_text(SWEEP.format(folder=folder))


def cases(root: Path) -> dict[str, Case]:
    """All of them by name; they write below `root`/work."""
    folder, work = root / "inputs", root / "work"

    def evaluate(run: str, *flags: str, epochs: int = 2, **params) -> Step:
        found = {"epochs": epochs, "report_every": 5, "checkpoint_every": 5, **params}
        settings = {f"evaluate.{name}": value for name, value in found.items()}
        settings |= {"CorpusOptions.limit_tokens": 400, "AveragingOptions.after_epoch": 1}
        arguments = [f"--gin_file={folder}/small.gin", f"--genotype={folder}/genotype.json"]
        arguments += [f"--gin_param={name}={value}" for name, value in settings.items()]
        return Step("evaluate", [*arguments, f"--run_dir={work}/{run}", f"--data_dir={folder}", *flags])

    def search(*flags: str) -> Step:
        return Step("search", tiny.command(folder / "search", "", f"--run_dir={work}/run", *flags))

    ended = (evaluate("run"),)
    sweep = ["--gin_file=" + str(folder / "sweep.gin"), f"--run_dir={work}/run", f"--data_dir={folder}"]
    short = evaluate("short", "--gin_param=AveragingOptions.after_epoch=9", epochs=1)
    longer = ["--gin_param=AveragingOptions.after_epoch=9", f"--extend={work}/short"]
    return {
        "search": Case((), search()),
        # what comes between two updates is in "search"
        "updates": Case((), search(*(f"--gin_param=search.{name}" for name in UPDATES))),
        "evaluate": Case((), evaluate("run")),
        "sweep": Case((), Step("sweep", sweep), others=("run/rank", "run/final")),  # evaluate and extend
        "export": Case(ended, Step("export", [f"--run={work}/run"])),
        "export_over": Case(
            (*ended, Step("export", [f"--run={work}/run"])),
            Step("export", [f"--run={work}/run", "--overwrite"]),
        ),
        "extend": Case((short,), evaluate("run", *longer)),
        "curvature": Case(ended, Step("curvature", [f"--run={work}/run"])),
        "diagnose": Case((search(),), search("--diagnose")),
        "dynamic": Case(ended, evaluate("run", "--dynamic")),
        "resume": Case(ended, evaluate("run"), part=0.6),
        "overwrite": Case((evaluate("run", epochs=1),), evaluate("run", "--overwrite")),
    }
