"""Where the time of a compiled step goes, by TensorFlow's own profiler."""

import collections
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2  # the profiler's file; it has no public reader

PROFILED = 3  # steps
STAGE = "CpuExecutable::Execute"  # XLA within a graph: the stages of a time loop
OPERATION = re.compile(r"([^:]+):(\w+)")  # an executor's event: node, type


class TimeSplit(NamedTuple):
    """Shares of the wall time of a step; they add up to 1."""

    matmul_share: float  # matrix products, the decoder's included
    elementwise_share: float  # all else in the time loop
    embedding_softmax_share: float  # all else outside of it: embedding, softmax, clipping, updates
    host_share: float  # no operation runs


class Event(NamedTuple):
    """One operation that ran, in picoseconds since the epoch."""

    kind: str
    start: int
    end: int


def time_split(step: Callable[[], float]) -> TimeSplit:
    """Run PROFILED steps, each of which returns its seconds, under the profiler.

    Where operations run beside each other, time is divided among them in proportion to how long each took.
    """
    with tempfile.TemporaryDirectory() as folder:
        tf.profiler.experimental.start(folder)
        try:
            seconds = sum(step() for _ in range(PROFILED))
        finally:
            tf.profiler.experimental.stop()
        (file,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
    return divided(list(events(space)), seconds)


def events(space) -> Iterator[Event]:
    """The operations of all threads of a profile."""
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                found, start = OPERATION.fullmatch(name), 1000 * line.timestamp_ns + event.offset_ps
                if found or name.startswith(STAGE):
                    kind = kind_of(*found.groups()) if found else "elementwise"
                    yield Event(kind, start, start + event.duration_ps)


def kind_of(node: str, operation: str) -> str:
    """The share that an operation counts for."""
    if "MatMul" in operation:
        return "matmul"
    return "elementwise" if "while" in node else "embedding_softmax"


def divided(operations: list[Event], seconds: float) -> TimeSplit:
    """The shares of `seconds`."""
    busy, until = 0, 0
    taken: collections.Counter = collections.Counter()
    for kind, start, end in sorted(operations, key=lambda event: event.start):
        taken[kind] += end - start
        busy += max(end - max(start, until), 0)
        until = max(until, end)
    total, running = max(taken.total(), 1), min(busy / 1e12 / seconds, 1.0)
    matmul, elementwise, others = (
        running * taken[kind] / total for kind in ("matmul", "elementwise", "embedding_softmax")
    )
    return TimeSplit(matmul, elementwise, others, 1.0 - running)
