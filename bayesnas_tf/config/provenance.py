"""What made a result: versions, commit and machine, as a summary records them."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path
from typing import Any

from bayesnas_tf import __version__

# variables that change the order of sums, or the precision of products, without a trace in the configuration
DECIDING = (
    "TF_ENABLE_ONEDNN_OPTS",
    "TF_XLA_FLAGS",
    "XLA_FLAGS",
    "TF_NUM_INTRAOP_THREADS",
    "TF_NUM_INTEROP_THREADS",
    "OMP_NUM_THREADS",
    "NVIDIA_TF32_OVERRIDE",
    "TF_DETERMINISTIC_OPS",
)
CHECKOUT = Path(__file__).resolve().parents[2]


def made_by() -> dict[str, Any]:
    """Versions, the commit of the checkout (None where the package is installed) and the machine."""
    return {
        "bayesnas_tf": __version__,
        "commit": commit(CHECKOUT),
        **{name: _version(name) for name in ("tensorflow", "keras")},
        "python": platform.python_version(),
        "machine": device(),
        "cores": usable_cores(),
        "environment": {name: os.environ[name] for name in DECIDING if name in os.environ},
    }


def commit(folder: Path) -> str | None:
    """The short hash of a git checkout, with `-dirty` behind it if files were changed; None if it is none."""
    try:
        top = _git(folder, "rev-parse", "--show-toplevel")
        if not top or Path(top).resolve() != folder.resolve():
            return None  # installed, perhaps into an environment inside some other checkout
        return _git(folder, "describe", "--always", "--dirty", "--exclude=*") or None
    except (OSError, subprocess.TimeoutExpired):
        return None


def _git(folder: Path, *arguments: str) -> str:
    """What git prints, stripped; empty where it fails."""
    command = ["git", "-C", str(folder), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=10).stdout.strip()


def device() -> str:
    """The name of the first GPU, or of the processor."""
    import tensorflow as tf  # late: the command line is read without it

    if gpus := tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def usable_cores() -> int | None:
    """Processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _version(distribution: str) -> str | None:
    """The installed version; tensorflow-cpu is TensorFlow too."""
    for name in (distribution, f"{distribution}-cpu"):
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
