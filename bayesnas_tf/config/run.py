"""One run of a command: where it writes, and what the command line said about it."""

import dataclasses
from pathlib import Path
from types import SimpleNamespace
from typing import IO

from bayesnas_tf.config.flags import CommandLine
from bayesnas_tf.run_files import RunFiles


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of a command: where it writes and everything the command line said about it.

    `config_text` is the whole configuration as one text that gin can parse again; `resumed` tells that
    the directory already held this very run. `options` has the flags of the command alone. The run
    holds the lock of its directory until `close`, or until the process ends in whatever way.
    """

    command: str
    directory: Path
    seed: int
    data_dir: Path
    config_name: str
    config_text: str
    dry_run: bool
    verbose: bool
    overwrite: bool
    resumed: bool
    options: SimpleNamespace
    writes: bool = True  # False: another process of the same run does
    lock: IO[str] | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def files(self) -> RunFiles:
        """What lies in its directory."""
        return RunFiles(self.directory)

    def close(self) -> None:
        """Let another process write the directory."""
        if self.lock is not None:
            self.lock.close()


def config_name(line: CommandLine) -> str:
    """The stem of the first gin file; the command's name where there is none."""
    return Path(line.gin_files[0]).stem if line.gin_files else line.command


def default_directory(line: CommandLine) -> Path:
    """`runs/<config>-seed<seed>`."""
    return Path("runs") / f"{config_name(line)}-seed{line.seed}"


def run_of(line: CommandLine, directory: Path, name: str, config_text: str) -> Run:
    """A run in `directory` as the command line says; nothing is claimed."""
    return Run(
        command=line.command,
        directory=directory,
        seed=line.seed,
        data_dir=line.data_dir,
        config_name=name,
        config_text=config_text,
        dry_run=line.dry_run,
        verbose=line.verbose,
        overwrite=line.overwrite,
        resumed=False,
        options=line.options,
    )
