"""How fast a search, a training and an evaluation run on the device, and in how much of its memory."""

import statistics
from typing import Any, NamedTuple

import tensorflow as tf

from bayesnas_tf.training.checkpoints import all_finite
from tools import machine
from tools.benchmark.steps import TIMERS, rows_of
from tools.benchmark.subject import Recipe, build, describe
from tools.gpu_check.compare import hide_gpus


class Speed(NamedTuple):
    """One step on full windows of random ids, in a process that does nothing else."""

    description: str
    seconds: float  # median
    tokens_per_second: float
    compile_seconds: float  # of the first step beyond a later one
    peak_device_mb: float | None  # of the GPU's memory, in 10^6 bytes; None on the CPU
    peak_host_mb: float | None
    finite: bool  # whether all weights are, after these steps


def speed(name: str, recipe: Recipe, device: str, rounds: int) -> Speed:
    """Time an entry of `tools.benchmark`; to be called in a new process."""
    if device == "cpu":
        hide_gpus()
    bench = build(recipe, rounds)
    machine.reset_peak()
    step = TIMERS[name](bench)
    first = step()
    seconds = statistics.median(step() for _ in range(rounds))
    return Speed(
        description=describe(bench),
        seconds=seconds,
        tokens_per_second=rows_of(name, bench) * bench.settings.windows.bptt / seconds,
        compile_seconds=max(first - seconds, 0.0),
        peak_device_mb=device_peak_mb(),
        peak_host_mb=machine.peak_mb(),
        finite=bool(all_finite(bench.problem.model.variables)),
    )


def device_peak_mb() -> float | None:
    """The largest memory so far that TensorFlow had on the first GPU; None without a GPU."""
    gpus = tf.config.list_logical_devices("GPU")
    if not gpus:
        return None
    info: dict[str, Any] = tf.config.experimental.get_memory_info(gpus[0].name.removeprefix("/device:"))
    return info["peak"] / 1e6
