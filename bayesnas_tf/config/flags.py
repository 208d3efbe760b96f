"""The flags of every command, parsed without the global FLAGS of absl.

Each command parses into a `FlagValues` of its own: `--help` then lists what the command has and nothing
that a library registered, and nothing heavy is imported before the command line is known to be right.
"""

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

from absl import flags as absl_flags

from bayesnas_tf.errors import UsageError, UserError, did_you_mean, expanded
from bayesnas_tf.run_files import RunFiles

SUMMARIES = {
    "search": "Search a recurrent cell on a corpus and write it as a genotype.",
    "evaluate": "Train a genotype (or a baseline) and report its perplexity.",
    "sweep": "Run many searches and trainings, one process each, and select the best cells.",
    "export": "Write a trained run as a SavedModel that loads with TensorFlow alone.",
    "score": "Report the perplexity of a text file under a SavedModel, or continue a prompt.",
    "curvature": "Write the diagonal Hessian of every weight of a trained run, and print a table of it.",
    "report": "Write tables and figures of many runs as one HTML page, with CSV files beside it.",
}

_EXAMPLES = {
    "search": "--gin_file=ptb.gin",
    "evaluate": "--gin_file=ptb_eval.gin --genotype=DARTS_V2",
    "sweep": "--gin_file=sweep_quickstart.gin",
    "export": "--run=runs/ptb_eval-seed0",
    "score": "--model=runs/ptb_eval-seed0/saved_model --text=my.txt",
    "curvature": "--run=runs/ptb_eval-seed0 --gin_param=\"CurvatureOptions.estimator='recursive'\"",
    "report": "--runs=runs",
}

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


def _common(values: absl_flags.FlagValues) -> None:
    """Flags that every command has."""
    text, switch = absl_flags.DEFINE_string, absl_flags.DEFINE_boolean
    absl_flags.DEFINE_multi_string(
        "gin_file",
        [],
        "Configuration, from here, ./gin or the installed ones. Repeatable.",
        flag_values=values,
    )
    absl_flags.DEFINE_multi_string(
        "gin_param", [], "One setting, NAME=VALUE, stronger than the files. Repeatable.", flag_values=values
    )
    text("run_dir", "", "Directory of this run (default: runs/<config>-seed<seed>).", flag_values=values)
    text("data_dir", "", "Corpora (default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf).", flag_values=values)
    absl_flags.DEFINE_integer(
        "seed", 0, "Seed of everything random.", lower_bound=0, upper_bound=2**31 - 1, flag_values=values
    )
    switch("overwrite", False, "Replace what an earlier run left in the directory.", flag_values=values)
    switch("dry_run", False, "Parse, build, print what would run; prepare corpora only.", flag_values=values)
    switch("verbose", False, "Show warnings of the libraries, and tracebacks.", flag_values=values)
    absl_flags.DEFINE_boolean("help", False, "Show this help.", short_name="h", flag_values=values)


def _search(values: absl_flags.FlagValues) -> None:
    """Flags of `search` alone."""
    absl_flags.DEFINE_boolean(
        "diagnose", False, "Also remove every edge-op once, and rank the scores by it.", flag_values=values
    )


def _evaluate(values: absl_flags.FlagValues) -> None:
    """Flags of `evaluate` alone."""
    absl_flags.DEFINE_string(
        "genotype",
        "",
        "Cell to train: a genotype.json, a name such as DARTS_V2, random-N, or nasbench-ID.",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "extend",
        "",
        "Ended run of `evaluate` that this one goes on with, for more epochs.",
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "dynamic", False, "Also measure with weights that adapt to the text they read.", flag_values=values
    )


def _sweep(values: absl_flags.FlagValues) -> None:
    """Flags of `sweep` alone."""
    absl_flags.DEFINE_enum(
        "engine",
        "local",
        ["local", "ray"],
        "Where runs go: this machine, or a Ray cluster.",
        flag_values=values,
    )


def _export(values: absl_flags.FlagValues) -> None:
    """Flags of `export` alone."""
    absl_flags.DEFINE_string("run", "", "Run directory of `evaluate` to export.", flag_values=values)
    absl_flags.DEFINE_string(
        "out", "", "Where to write (default: saved_model in the run).", flag_values=values
    )


def _curvature(values: absl_flags.FlagValues) -> None:
    """Flags of `curvature` alone."""
    absl_flags.DEFINE_string("run", "", "Run directory of `search` or `evaluate`.", flag_values=values)
    absl_flags.DEFINE_string(
        "out", "", "Where to write (default: curvature.npz in the run).", flag_values=values
    )


def _score(values: absl_flags.FlagValues) -> None:
    """Flags of `score` alone."""
    absl_flags.DEFINE_string(
        "model", "", "SavedModel written by `export` (default: that of --run_dir).", flag_values=values
    )
    absl_flags.DEFINE_string("text", "", "Text file whose perplexity to report.", flag_values=values)
    absl_flags.DEFINE_integer(
        "generate", 0, "Tokens to generate.", lower_bound=0, upper_bound=1_000_000, flag_values=values
    )
    absl_flags.DEFINE_string("prompt", "", "Words that --generate continues.", flag_values=values)
    absl_flags.DEFINE_float(
        "temperature",
        1.0,
        "Of --generate: 0 takes the likeliest word, 1 draws as the model says.",
        lower_bound=0.0,
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "top_k", 0, "Of --generate: words to draw from, 0 for all.", lower_bound=0, flag_values=values
    )


def _report(values: absl_flags.FlagValues) -> None:
    """Flags of `report` alone."""
    absl_flags.DEFINE_multi_string(
        "runs", [], "Run or sweep directory, or a folder of them. Repeatable.", flag_values=values
    )
    absl_flags.DEFINE_string(
        "out", "", "Page to write (default: report.html in the first --runs).", flag_values=values
    )


_OWN: dict[str, Callable[[absl_flags.FlagValues], None]] = {
    "search": _search,
    "evaluate": _evaluate,
    "sweep": _sweep,
    "export": _export,
    "score": _score,
    "curvature": _curvature,
    "report": _report,
}


def help_text(command: str, values: absl_flags.FlagValues) -> str:
    """Usage, one example and every flag with its default."""
    lines = [
        f"usage: python -m bayesnas_tf.{command} [flags]",
        "",
        SUMMARIES[command],
        f"Example: python -m bayesnas_tf.{command} {_EXAMPLES[command]}",
        "",
    ]
    for name in dict.fromkeys(flag.name for flag in (values[name] for name in values)):
        flag = values[name]
        number = flag.flag_type() in ("int", "float")
        value = "" if flag.boolean else "=" + ("N" if number else "...")
        default = f" (default: {flag.default})" if number else ""
        lines.append(f"  {'--' + name + value:<18} {flag.help.split(';')[0]}{default}")
    return "\n".join(lines)


def parse(command: str, arguments: Sequence[str]) -> CommandLine | str:
    """The parsed command line, or the text of `--help`; `UsageError` says what is wrong."""
    values = absl_flags.FlagValues()
    _OWN[command](values)
    own = [name for name in values]
    _common(values)
    try:
        rest = values([command, *arguments])[1:]
    except absl_flags.UnrecognizedFlagError as error:
        hint = did_you_mean(f"--{error.flagname}", [f"--{name}" for name in values])
        hint = hint or f". See python -m bayesnas_tf.{command} --help"
        raise UsageError(f"unknown flag --{error.flagname} of {command}{hint}") from error
    except absl_flags.Error as error:
        raise UsageError(
            f"{' '.join(str(error).split())}. See python -m bayesnas_tf.{command} --help"
        ) from error
    if values["help"].value:
        return help_text(command, values)
    if rest:
        flag = "gin_file" if rest[0].endswith(".gin") else "name"
        raise UsageError(f"unexpected argument {rest[0]!r}. Flags are written --{flag}={rest[0]}")
    return _checked(command, values, SimpleNamespace(**{name: values[name].value for name in own}))


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
            f"{command} needs a configuration. Add --gin_file=..., for example {_EXAMPLES[command]}"
        )
    if command in READS_RUN:
        options.run = _path(options.run) or line.run_dir
        if options.run is None:
            raise UsageError(
                f"{command} needs a trained run. Add --run=..., for example {_EXAMPLES[command]}"
            )
        options.out = _path(options.out) or options.run / READS_RUN[command]
    if command == "score":
        options.model = _path(options.model) or (line.run_dir and RunFiles(line.run_dir).saved_model)
        options.text = _path(options.text)
        if options.model is None:
            raise UsageError(f"score needs a model. Add --model=..., for example {_EXAMPLES[command]}")
        if options.text is None and not options.generate:
            raise UsageError("score has nothing to do. Add --text=FILE or --generate=N")
        if not (options.model / "saved_model.pb").is_file():
            raise UserError(f"no SavedModel in {options.model}. Give the directory that `export` wrote")
        if not math.isfinite(options.temperature):
            raise UsageError(f"--temperature={options.temperature} is not finite. Give one such as 0.8")
    if command == "report":
        _check_report(line)
    return line


def _check_report(line: CommandLine) -> None:
    """Fill in the paths of a report, and refuse folders that are not there."""
    options = line.options
    options.runs = [_path(name) for name in options.runs if name] or [line.run_dir]
    if options.runs == [None]:
        raise UsageError(f"report needs runs. Add --runs=..., for example {_EXAMPLES['report']}")
    if line.gin_files or line.gin_params:
        raise UsageError("report reads what runs were configured with. Remove --gin_file and --gin_param")
    for folder in options.runs:
        if not folder.is_dir():
            near = [str(path) for path in folder.parent.glob("*") if path.is_dir()]
            raise UserError(f"no folder {folder}. Named in --runs{did_you_mean(str(folder), near)}")
    options.out = _path(options.out) or options.runs[0] / "report.html"
