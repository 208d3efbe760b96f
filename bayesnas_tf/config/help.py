"""What `--help` shows, and what is said of a flag whose value is wrong."""

import re
import textwrap
from pathlib import Path

from absl import flags as absl_flags

from bayesnas_tf.errors import did_you_mean

SUMMARIES = {
    "search": "Find a recurrent cell for a language model on a text, and write it as a genotype.",
    "evaluate": "Train a cell (a genotype or a baseline) as a language model, and report its perplexity.",
    "sweep": "Run many searches and trainings, each in its own process, and select the best cells.",
    "export": "Write a trained run as a SavedModel that loads with TensorFlow alone.",
    "score": "Report the perplexity of a text file under a SavedModel, or continue a prompt.",
    "curvature": "Write the diagonal of the Hessian for every weight of a trained run, and print a table.",
    "report": "Write the tables and figures of many runs as one HTML page and CSV files.",
}

# The first one also shows in an error about what is missing.
EXAMPLES = {
    "search": ("--gin_file=quickstart.gin", "--gin_file=ptb.gin --seed=1 --gin_param='LAMBDA_W = 0.2'"),
    "evaluate": (
        "--gin_file=quickstart_eval.gin --genotype=DARTS_V2",
        "--gin_file=ptb_eval.gin --genotype=runs/ptb-seed0/genotype.json",
    ),
    "sweep": ("--gin_file=sweep_quickstart.gin", "--gin_file=sweep_quickstart.gin --dry_run"),
    "export": ("--run=runs/quickstart_eval-seed0", "--run=runs/quickstart_eval-seed0 --out=my_model"),
    "score": (
        "--model=runs/quickstart_eval-seed0/saved_model --generate=20 --prompt='we the people'",
        "--model=runs/quickstart_eval-seed0/saved_model --text=README.md",
    ),
    "curvature": (
        "--run=runs/quickstart_eval-seed0",
        "--run=runs/quickstart-seed0 --gin_param=\"CurvatureOptions.estimator='recursive'\"",
    ),
    "report": ("--runs=runs", "--runs=runs/sweep_quickstart-seed0 --out=sweep.html"),
}

# How the value of a flag is shown; a number is N.
_VALUES = {
    "gin_file": "FILE",
    "gin_param": "NAME=VALUE",
    "genotype": "CELL",
    "out": "PATH",
    "text": "FILE",
    "prompt": "TEXT",
}
_COLUMN, _WIDTH = 26, 100


def help_text(command: str, values: absl_flags.FlagValues) -> str:
    """Usage, examples and every flag with its default."""
    module = f"python -m bayesnas_tf.{command}"
    lines = [f"usage: {module} [flags]", "", SUMMARIES[command], "", "Examples:"]
    lines += [f"  {module} {example}" for example in EXAMPLES[command]]
    lines += ["", "Flags:"]
    for name in dict.fromkeys(flag.name for flag in (values[name] for name in values)):
        flag = values[name]
        lines += textwrap.wrap(
            f"  {'--' + name + _value(flag):<{_COLUMN - 3}} {_told(flag)}",
            _WIDTH,
            subsequent_indent=" " * _COLUMN,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join(lines)


def _value(flag: absl_flags.Flag) -> str:
    """`=` and what its value is; nothing for a switch."""
    if flag.boolean:
        return ""
    if isinstance(flag, absl_flags.EnumFlag):
        return f"={'|'.join(flag.parser.enum_values)}"
    return f"={'N' if flag.flag_type() in ('int', 'float') else _VALUES.get(flag.name, 'DIR')}"


def _told(flag: absl_flags.Flag) -> str:
    """What a flag does, with its default, but without what absl adds."""
    text = re.sub(r"^<[^>]*>: |;\s*repeat this option.*", "", flag.help, flags=re.DOTALL)
    if "(default: " in text:
        return text
    default = "off" if flag.boolean and not flag.default else flag.default
    return f"{text.removesuffix('.')} (default: {'none' if default in ('', None, []) else default})."


def invalid(message: str, values: absl_flags.FlagValues) -> str:
    """What absl says of a value that a flag must not take, in the words of the other errors."""
    if lacking := re.match(r"Missing value for flag (--\w+)", message):
        return f"{lacking[1]} needs a value"
    found = re.match(r"flag --(\w+)=(.*?): ", message, re.DOTALL)
    if found is None or found[1] not in values:
        return " ".join(message.split())
    flag, given = values[found[1]], " ".join(found[2].split())
    return f"--{flag.name}={given} must be {_allowed(flag, given)}"


def _allowed(flag: absl_flags.Flag, given: str) -> str:
    """The values that a flag takes, in words."""
    if flag.boolean:
        return "true or false"
    if isinstance(flag, absl_flags.EnumFlag):
        known = flag.parser.enum_values
        return f"one of {', '.join(known)}{did_you_mean(given, known)}"
    kind = "a whole number" if flag.flag_type() == "int" else "a number"
    low, high = getattr(flag.parser, "lower_bound", None), getattr(flag.parser, "upper_bound", None)
    if low is not None and high is not None:
        return f"{kind} from {low} to {high}"
    return kind if low is None else f"{kind} of at least {low:g}"


def nearest_model(path: Path) -> str:
    """The SavedModel that a path probably meant: one in the folder, or one beside it."""
    found = [*path.glob("*/saved_model.pb"), *path.parent.glob("*/saved_model.pb")]
    return did_you_mean(str(path), (str(file.parent) for file in found))
