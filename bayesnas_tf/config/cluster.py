"""The processes of one run, as `TF_CONFIG` names them: who is first, and so writes."""

import json
import os
from typing import Any

from bayesnas_tf.errors import UserError

VARIABLE = "TF_CONFIG"
EXAMPLE = '{"cluster": {"worker": ["host0:2222", "host1:2222"]}, "task": {"type": "worker", "index": 0}}'


def leads() -> bool:
    """Whether this process is worker 0: the one that claims and writes the run directory.

    Raises:
      UserError: `TF_CONFIG` is missing, or does not say so.
    """
    task, workers = _read()
    if task.get("type") != "worker" or task.get("index") not in range(len(workers)):
        raise _unusable(f"it must list only workers and give this process an index below {len(workers)}")
    return task["index"] == 0


def _read() -> tuple[dict[str, Any], list[str]]:
    """The task of this process, and the addresses of all workers."""
    if VARIABLE not in os.environ:
        raise _unusable("it is not set")
    try:
        content = json.loads(os.environ[VARIABLE])
        return dict(content["task"]), list(content["cluster"]["worker"])
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable("it cannot be read") from error


def _unusable(reason: str) -> UserError:
    return UserError(
        f"distribute='multi_worker' reads the environment variable {VARIABLE}: {reason}. "
        f"Set it in every process, such as {EXAMPLE} (docs/distributed.md)"
    )
