"""The same step in PyTorch, in each form in which it runs here, and how many of its times ours takes."""

import gc
import statistics
from typing import NamedTuple

from tools import machine
from tools.peer.forms import FORMS, fastest

LONGEST = 200  # characters of an error; those of compilers quote whole files


class PeerSpeed(NamedTuple):
    """The same step in PyTorch: seconds by the form, None for one that cannot run here."""

    peer_seconds: float  # eager, in float32
    peers: dict[str, float | None]
    peer_compile_seconds: dict[str, float | None]  # of those forms that are compiled
    ratio_to: str | None  # the fastest of the same precision as ours; None: none of it runs
    ratio: float | None  # our seconds in units of its
    peer_peak_mb: float | None  # eager, in float32


class PeerForms:
    """A peer's step in all forms, ready to be timed in turns with ours."""

    def __init__(self, peer):
        """`peer` is a `tools.peer.steps.Peer`; each form takes its first steps, and is compiled, here."""
        self.peer = peer
        self.timers = {name: _started(peer, name) for name in FORMS}
        self.seconds: dict[str, list[float]] = {name: [] for name in FORMS}
        # Compilers leave many objects, which no collection during a timed step is to walk through.
        gc.collect()
        gc.freeze()

    def turn(self) -> None:
        """One step of each form, in this order."""
        for name, timer in self.timers.items():
            if timer:
                self.seconds[name].append(timer.step())

    def speed(self, seconds: float, precision: str) -> PeerSpeed:
        """What their steps took, beside our `seconds` in `precision`; memory in a process of its own."""
        medians = {name: statistics.median(found) for name, found in self.seconds.items() if found}
        ratio_to = fastest(medians, precision)
        gc.unfreeze()
        return PeerSpeed(
            peer_seconds=medians["eager"],
            peers={name: medians.get(name) for name in FORMS},
            peer_compile_seconds={
                name: max(timer.first_seconds - medians[name], 0.0) if timer else None
                for name, timer in self.timers.items()
                if FORMS[name].compiled
            },
            ratio_to=ratio_to,
            ratio=seconds / medians[ratio_to] if ratio_to else None,
            peer_peak_mb=machine.alone(self.peer.peak_mb),
        )


def _started(peer, name: str):
    """The timer of a form, or None, and a line that says why, where it cannot be compiled or is emulated."""
    if FORMS[name].autocast and not machine.multiplies_bfloat16():
        print(f"warning: {name!r} is not timed: this processor has no bfloat16 instructions", flush=True)
        return None
    try:
        return peer.timer(FORMS[name])
    except Exception as error:  # what is raised depends on where in the compilers it fails
        if not FORMS[name].compiled:
            raise
        why = f"{type(error).__name__}: {error}".splitlines()[0]
        print(f"warning: PyTorch cannot run the step as {name!r} here. {why[:LONGEST]}", flush=True)
        return None
