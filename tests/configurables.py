"""Things to configure, for the tests of the configuration: one class, one function, one root."""

import dataclasses
from typing import Literal

import gin


@gin.register
@dataclasses.dataclass(frozen=True)
class ToyOptions:
    """One field per kind of annotation."""

    units: int = 4
    rate: float = 0.5
    norm: Literal["batch", "mean", "none"] = "batch"
    switch: bool = False
    limit: int | None = None
    widths: tuple[int, ...] = ()
    path: str = ""

    def __post_init__(self):
        if self.units < 1:
            raise ValueError(f"units = {self.units} must be at least 1")


@gin.register
def toy_schedule(base: float, factor: float = 2.0):
    """A function with a parameter that has no default."""
    return base * factor


@gin.register
def toy_loop(options, schedule=None, **anything):
    """A consumer of references, which takes any keyword."""
    return options, schedule, anything
