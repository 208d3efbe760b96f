"""What a measurement must say about the machine, and the memory of this process."""

import os
import platform
from pathlib import Path
from typing import Any

import tensorflow as tf


def device() -> str:
    """The name of the first GPU, or of the processor."""
    if gpus := tf.config.list_physical_devices("GPU"):
        return tf.config.experimental.get_device_details(gpus[0]).get("device_name", gpus[0].name)
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def facts() -> dict[str, Any]:
    """Device, usable cores and the load average of the last minute."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"device": device(), "cores": cores, "load_average": os.getloadavg()[0]}


def reset_peak() -> None:
    """Forget the largest memory so far, where the system can (Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak is then that of the whole process so far


def peak_mb() -> float | None:
    """The largest resident memory since `reset_peak`, in 10^6 bytes; None where the system does not say."""
    try:
        status = Path("/proc/self/status").read_text()
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    return None
