"""Which flags each command has; `flags` parses them."""

from collections.abc import Callable

from absl import flags as absl_flags


def common(values: absl_flags.FlagValues) -> None:
    """Flags that every command has."""
    text, switch = absl_flags.DEFINE_string, absl_flags.DEFINE_boolean
    absl_flags.DEFINE_multi_string(
        "gin_file",
        [],
        "Configuration file, from the current folder, ./gin or the installed files. Repeatable.",
        flag_values=values,
    )
    absl_flags.DEFINE_multi_string(
        "gin_param", [], "One setting. It overrides the files. Repeatable.", flag_values=values
    )
    text("run_dir", "", "Directory of the run (default: runs/<config>-seed<seed>).", flag_values=values)
    text(
        "data_dir",
        "",
        "Folder of the texts (default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf).",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "seed", 0, "Seed of all random numbers.", lower_bound=0, upper_bound=2**31 - 1, flag_values=values
    )
    switch("overwrite", False, "Replace what an earlier run wrote.", flag_values=values)
    switch("dry_run", False, "Check the configuration, print what would run, and stop.", flag_values=values)
    switch(
        "verbose",
        False,
        "Show the warnings of the libraries, and the traceback of an error.",
        flag_values=values,
    )
    absl_flags.DEFINE_boolean("help", False, "Show this help and stop.", short_name="h", flag_values=values)


def _search(values: absl_flags.FlagValues) -> None:
    """Flags of `search` alone."""
    absl_flags.DEFINE_boolean(
        "diagnose",
        False,
        "Also measure the loss without each edge-op, and compare the scores with it.",
        flag_values=values,
    )


def _evaluate(values: absl_flags.FlagValues) -> None:
    """Flags of `evaluate` alone."""
    absl_flags.DEFINE_string(
        "genotype",
        "",
        "Cell to train: a genotype.json, a name such as DARTS_V2, random-N or nasbench-ID "
        "(default: the baseline of the configuration).",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "extend",
        "",
        "Directory of a finished run of `evaluate` to continue for more epochs.",
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "dynamic",
        False,
        "Also measure the perplexity of weights that adapt to the text (dynamic evaluation).",
        flag_values=values,
    )


def _sweep(values: absl_flags.FlagValues) -> None:
    """Flags of `sweep` alone."""
    absl_flags.DEFINE_enum(
        "engine",
        "local",
        ["local", "ray"],
        "Where to start the runs: on this machine, or on a Ray cluster.",
        flag_values=values,
    )


def _export(values: absl_flags.FlagValues) -> None:
    """Flags of `export` alone."""
    absl_flags.DEFINE_string(
        "run", "", "Directory of a run of `evaluate` (default: --run_dir).", flag_values=values
    )
    absl_flags.DEFINE_string(
        "out", "", "Folder to write (default: saved_model in the run).", flag_values=values
    )


def _curvature(values: absl_flags.FlagValues) -> None:
    """Flags of `curvature` alone."""
    absl_flags.DEFINE_string(
        "run", "", "Directory of a run of `search` or `evaluate` (default: --run_dir).", flag_values=values
    )
    absl_flags.DEFINE_string(
        "out", "", "File to write (default: curvature.npz in the run).", flag_values=values
    )


def _score(values: absl_flags.FlagValues) -> None:
    """Flags of `score` alone."""
    absl_flags.DEFINE_string(
        "model", "", "SavedModel that `export` wrote (default: saved_model in --run_dir).", flag_values=values
    )
    absl_flags.DEFINE_string("text", "", "Text file to measure.", flag_values=values)
    absl_flags.DEFINE_integer(
        "generate",
        0,
        "Number of tokens to generate.",
        lower_bound=0,
        upper_bound=1_000_000,
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "prompt",
        "",
        "Words that --generate continues (default: the last line of --text).",
        flag_values=values,
    )
    absl_flags.DEFINE_float(
        "temperature",
        1.0,
        "For --generate: 0 takes the most probable word, 1 draws from the probabilities of the model.",
        lower_bound=0.0,
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "top_k",
        0,
        "For --generate: draw from this many most probable words, 0 for all.",
        lower_bound=0,
        flag_values=values,
    )


def _report(values: absl_flags.FlagValues) -> None:
    """Flags of `report` alone."""
    absl_flags.DEFINE_multi_string(
        "runs",
        [],
        "Directory of a run or sweep, or a folder of them. Repeatable (default: --run_dir).",
        flag_values=values,
    )
    absl_flags.DEFINE_string(
        "out", "", "HTML page to write (default: report.html in the first --runs).", flag_values=values
    )


OWN: dict[str, Callable[[absl_flags.FlagValues], None]] = {
    "search": _search,
    "evaluate": _evaluate,
    "sweep": _sweep,
    "export": _export,
    "score": _score,
    "curvature": _curvature,
    "report": _report,
}
