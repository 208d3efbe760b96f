"""Read what an earlier process left, as if a stranger had written it: cut, damaged, or of another run."""

import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bayesnas_tf.errors import UserError, reason
from bayesnas_tf.run_files import RunFiles

MOST_BYTES = 100_000_000  # of a JSON file: more is none of ours
HEADER = "# bayesnas_tf run: "  # begins its first line; the rest of that is a JSON object
CONFIGURATION = "configuration"  # what pins.json calls the digest of config.gin
NEEDED = {"search": ("genotype",), "evaluate": ("valid_ppl", "test_ppl")}  # in a summary, by its kind
NUMBERS = ("valid_ppl", "test_ppl", "parameters", "epochs", "tokens_per_second")
BACK = "Restore it"


def parsed(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      ValueError: there is none; the message is a few words that say why.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ValueError("missing") from None
    except OSError as error:
        raise ValueError(reason(error)) from None
    except (ValueError, RecursionError):  # those of JSON and of UTF-8 are ValueErrors
        raise ValueError("truncated or damaged") from None
    if not isinstance(found, dict):
        raise ValueError("not a JSON object")
    return found


def json_object(path: Path, cure: str) -> dict[str, Any]:
    """The JSON object in a file that must be there.

    Raises:
      UserError: it is missing, cut or no object; the message ends in `cure`.
    """
    try:
        return parsed(path)
    except ValueError as error:
        raise UserError(f"cannot read {path}: {error}. {cure}") from error


def summary(path: Path, kind: str) -> dict[str, Any]:
    """The result of a run of a kind.

    Raises:
      ValueError: there is none; the message is a few words that say why.
    """
    found = parsed(path)
    if found.get("kind") != kind:
        raise ValueError(f"its kind is {found.get('kind')!r}, not {kind!r}")
    if lacking := [name for name in NEEDED.get(kind, ()) if name not in found]:
        raise ValueError(f"it has no {' and no '.join(lacking)}")
    for name in NUMBERS:
        if isinstance(found.get(name), bool) or not isinstance(found.get(name), int | float | None):
            raise ValueError(f"{name} is not a number")
    return found


def result(path: Path, kind: str) -> dict[str, Any]:
    """The summary of an ended run of a kind; empty where there is none, or none that can be used.

    The run computes it again then, from its last checkpoint, and says so.
    """
    if not path.exists():
        return {}
    try:
        return summary(path, kind)
    except ValueError as error:
        print(f"note: cannot read {path}: {error}. The result is computed again", file=sys.stderr)
        return {}


def pins(directory: Path) -> dict[str, str]:
    """What a run is tied to, see `run_directory.pin`; empty where it is tied to nothing.

    Raises:
      UserError: the file is damaged.
    """
    path = RunFiles(directory).pins
    if not path.exists():
        return {}
    cure = f"It records the text and the cell of the run. {BACK}, or delete it if neither has changed"
    found = json_object(path, cure)
    if not all(isinstance(value, str) for value in found.values()):
        raise UserError(f"{path} is damaged. {cure}")
    return found


def header(text: str) -> str:
    """The first line of config.gin: what, besides the configuration, makes two runs the same."""
    return text.partition("\n")[0].rstrip("\r")


def identity(text: str, path: str | Path) -> dict[str, Any]:
    """Command, seed and perhaps genotype, from the first line of a config.gin.

    Raises:
      UserError: it does not say so.
    """
    try:
        found = json.loads(header(text).removeprefix(HEADER))
    except (ValueError, RecursionError):
        found = None
    whole = isinstance(found, dict) and isinstance(found.get("command"), str)
    if not whole or type(found.get("seed")) is not int:
        raise UserError(f"{path} is damaged: it does not begin like the configuration of a run. {BACK}")
    return found


def facts(text: str) -> list[str]:
    """What a config.gin says, one fact per line, those of its first line too, without comments."""
    lines = [line.rstrip() for line in text.splitlines()[1:]]
    first = [f"{key}: {value}" for key, value in identity(text, RunFiles.config).items()]
    return first + [line for line in lines if line and not line.startswith("#")]


def configuration_digest(text: str) -> str:
    """16 hex digits that change with any fact of a config.gin."""
    return hashlib.sha256("\n".join(facts(text)).encode()).hexdigest()[:16]


def check_whole(text: str, path: Path, tied: Mapping[str, str]) -> None:
    """Refuse a config.gin that was cut, or edited, since its run began.

    Raises:
      UserError: it is; runs of earlier versions are not tied to it.
    """
    if tied.get(CONFIGURATION, configuration_digest(text)) != configuration_digest(text):
        raise UserError(f"{path} has changed since the run started: it was truncated or edited. {BACK}")
