"""Read what an earlier process left, as if a stranger had written it: cut, damaged, or of another run."""

import json
import sys
from pathlib import Path
from typing import Any

from bayesnas_tf.errors import UserError

MOST_BYTES = 100_000_000  # of a JSON file: more is none of ours


def json_object(path: Path, cure: str) -> dict[str, Any]:
    """The JSON object in a file that must be there.

    Raises:
      UserError: it is missing, cut or no object; the message ends in `cure`.
    """
    try:
        if path.stat().st_size > MOST_BYTES:
            raise ValueError("too large")
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing. {cure}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {(error.strerror or str(error)).lower()}. {cure}") from error
    except (
        ValueError,
        RecursionError,
    ) as error:  # those of JSON and of UTF-8 are ValueErrors
        raise UserError(f"{path} is cut or damaged. {cure}") from error
    if not isinstance(found, dict):
        raise UserError(f"{path} holds no JSON object. {cure}")
    return found


def result(path: Path, kind: str) -> dict[str, Any]:
    """The summary of an ended run of a kind; empty where there is none, or none that can be used.

    The run computes it again then, from its last checkpoint, and says so.
    """
    if not path.exists():
        return {}
    try:
        found = json_object(path, "The result is computed again from the last checkpoint")
    except UserError as error:
        print(f"note: {error}", file=sys.stderr)
        return {}
    if found.get("kind") == kind:
        return found
    print(f"note: {path} is no result of {kind}. It is computed again", file=sys.stderr)
    return {}
