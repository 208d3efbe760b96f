"""What a measurement must say about the machine, and the memory of this process."""

import concurrent.futures
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bayesnas_tf.config import provenance

BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16", "bf16"}  # x86, x86, Arm


def facts() -> dict[str, Any]:
    """Device, usable cores and the load average of the last minute."""
    return {
        "device": provenance.device(),
        "cores": provenance.usable_cores(),
        "load_average": os.getloadavg()[0],
    }


def multiplies_bfloat16() -> bool:
    """Whether the processor has instructions for it; True where the system does not say.

    Without them PyTorch's products of bfloat16 take some sixteen times as long as those of float32.
    """
    try:
        flags = Path("/proc/cpuinfo").read_text().split()
    except OSError:
        return True
    return not BFLOAT16_FLAGS.isdisjoint(flags)


def reset_peak() -> bool:
    """Forget the largest memory so far, where the system can (Linux), and say whether it could."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False  # the peak is then that of the whole process so far
    return True


def peak_mb() -> float | None:
    """The largest resident memory since `reset_peak`, in 10^6 bytes; None where the system does not say."""
    return _status_mb("VmHWM:")


def resident_mb() -> float | None:
    """The resident memory now, in 10^6 bytes; None where the system does not say."""
    return _status_mb("VmRSS:")


def _status_mb(name: str) -> float | None:
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith(name):
            return int(line.split()[1]) * 1024 / 1e6
    return None


def alone(function: Callable, *arguments) -> Any:
    """What `function(*arguments)` returns in a new process that does nothing else."""
    with concurrent.futures.ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        return process.submit(function, *arguments).result()
