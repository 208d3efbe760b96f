"""The command line, parsed without the global FLAGS of absl.

Each command parses into a `FlagValues` of its own: `--help` then lists what the command has and nothing
that a library registered, and nothing heavy is imported before the command line is known to be right.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from absl import flags as absl_flags

from bayesnas_tf.config.flag_definitions import OWN, common
from bayesnas_tf.config.help import EXAMPLES, help_text, invalid, nearest_model
from bayesnas_tf.errors import UsageError, UserError, did_you_mean, expanded
from bayesnas_tf.run_files import RunFiles

# Commands that read a finished run -> what they write in it, unless --out says otherwise.
READS_RUN = {"export": RunFiles.saved_model, "curvature": RunFiles.curvature}


class CommandLine(NamedTuple):
    """One parsed command line; `options` has an attribute for each flag of this command alone."""

    command: str
    gin_files: tuple[str, ...]
    gin_params: tuple[str, ...]
    run_dir: Path | None
    data_dir: Path
    seed: int
    overwrite: bool
    dry_run: bool
    verbose: bool
    options: SimpleNamespace


def _path(text: str) -> Path | None:
    """A path with `~` expanded; None for an empty text."""
    return expanded(text) if text else None


def default_data_dir() -> Path:
    """`$BAYESNAS_DATA`, else `~/.cache/bayesnas_tf`."""
    return expanded(os.environ.get("BAYESNAS_DATA") or "~/.cache/bayesnas_tf")


def parse(command: str, arguments: Sequence[str]) -> CommandLine | str:
    """The parsed command line, or the text of `--help`; `UsageError` says what is wrong."""
    values = absl_flags.FlagValues()
    OWN[command](values)
    own = [name for name in values]
    common(values)
    try:
        rest = values([command, *arguments])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        hint = _meant(error.flagname, values)
        raise UsageError(
            f"unknown flag --{error.flagname} of {command}{hint or _see_help(command)}"
        ) from error
    except absl_flags.Error as error:
        raise UsageError(f"{invalid(str(error), values)}{_see_help(command)}") from error
    if values["help"].value:
        return help_text(command, values)
    if rest:
        cure = f"Write --gin_file={rest[0]}" if rest[0].endswith(".gin") else "Write flags as --NAME=VALUE"
        raise UsageError(f"unexpected argument {rest[0]!r}. {cure}")
    return _checked(command, values, SimpleNamespace(**{name: values[name].value for name in own}))


def _meant(name: str, values: absl_flags.FlagValues) -> str:
    """The commands that have a flag of this name, or the flag that was probably meant."""
    owners = []
    for command, define in OWN.items():
        other = absl_flags.FlagValues()
        define(other)
        owners += [f"`{command}`"] * (name in other)
    near = [f"--{own}" for own in values if not owners or own.startswith(name)]
    elsewhere = f". It is a flag of {' and '.join(owners)}" if owners else ""
    return elsewhere + did_you_mean(f"--{name}", near)


def _see_help(command: str) -> str:
    """Where all flags are shown."""
    return f". See python -m bayesnas_tf.{command} --help"


def _checked(command: str, values: absl_flags.FlagValues, options: SimpleNamespace) -> CommandLine:
    """Fill in the paths that follow from others, and refuse a command that lacks what it needs."""
    line = CommandLine(
        command=command,
        gin_files=tuple(values["gin_file"].value),
        gin_params=tuple(values["gin_param"].value),
        run_dir=_path(values["run_dir"].value),
        data_dir=_path(values["data_dir"].value) or default_data_dir(),
        seed=values["seed"].value,
        overwrite=values["overwrite"].value,
        dry_run=values["dry_run"].value,
        verbose=values["verbose"].value,
        options=options,
    )
    if command in ("search", "evaluate", "sweep") and not line.gin_files:
        raise UsageError(
            f"{command} needs a configuration. Add --gin_file=FILE, for example {EXAMPLES[command][0]}"
        )
    if command in READS_RUN:
        options.run = _path(options.run) or line.run_dir
        if options.run is None:
            raise UsageError(
                f"{command} needs a trained run. Add --run=DIR, for example {EXAMPLES[command][0]}"
            )
        options.out = _path(options.out) or options.run / READS_RUN[command]
    if command == "score":
        options.model = _path(options.model) or (line.run_dir and RunFiles(line.run_dir).saved_model)
        options.text = _path(options.text)
        if options.model is None:
            raise UsageError(f"score needs a model. Add --model=DIR, for example {EXAMPLES[command][0]}")
        if options.text is None and not options.generate:
            raise UsageError("score needs a text or a number of tokens. Add --text=FILE or --generate=N")
        if not (options.model / "saved_model.pb").is_file():
            hint = nearest_model(options.model)
            raise UserError(f"no SavedModel in {options.model}. Give the directory that `export` wrote{hint}")
        if not math.isfinite(options.temperature):
            raise UsageError(f"--temperature={options.temperature} is not finite. Give a value such as 0.8")
    if command == "report":
        _check_report(line)
    return line


def _check_report(line: CommandLine) -> None:
    """Fill in the paths of a report, and refuse folders that are not there."""
    options = line.options
    options.runs = [_path(name) for name in options.runs if name] or [line.run_dir]
    if options.runs == [None]:
        raise UsageError(f"report needs runs. Add --runs=DIR, for example {EXAMPLES['report'][0]}")
    if line.gin_files or line.gin_params:
        raise UsageError("report reads the configurations of the runs. Remove --gin_file and --gin_param")
    for folder in options.runs:
        if not folder.is_dir():
            near = [str(path) for path in folder.parent.glob("*") if path.is_dir()]
            raise UserError(f"no folder {folder}. Named in --runs{did_you_mean(str(folder), near)}")
    options.out = _path(options.out) or options.runs[0] / "report.html"
