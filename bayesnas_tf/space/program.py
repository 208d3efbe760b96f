"""A cell as a small program: what one time step computes. No TensorFlow here; `cells` interprets it.

Values are `[..., B, U]` where no instruction says otherwise. A step reads `x`, the inputs times the input
kernel, the states of the step before (`before`), weights and constants, all by name.
"""

import math
from typing import NamedTuple

SCALARS = "w"  # the constant that holds the architecture scalars, [E, O]
PROJECT = "project"  # the rule of a product with kernels side by side: (value, kernel, ...)


class Weight(NamedTuple):
    """A weight of a cell: axes that are multiples of the units U behind axes of fixed sizes."""

    name: str
    units: tuple[int, ...]  # (1, 2): [U, 2U]; two axes: a kernel
    lead: tuple[int, ...] = ()  # axes in front of them
    start: float | None = None  # None: uniform in the cell's range; else this constant


class Op(NamedTuple):
    """One instruction: `rule`, with its constants, of the values `args` is the value `out`."""

    rule: str
    out: str
    args: tuple[str, ...]
    static: tuple = ()


def before(state: str) -> str:
    """The name of a state as the step before left it."""
    return f"{state}-"


class Program(NamedTuple):
    """One time step of a cell."""

    inputs: int  # columns of the input kernel in units of U: `x` is [..., B, inputs U]
    weights: tuple[Weight, ...]
    ops: tuple[Op, ...]
    output: str = "h"
    state: tuple[str, ...] = ("h",)  # what is carried to the next step

    @property
    def given(self) -> tuple[str, ...]:
        """What a step reads that has rows: `x` and the states of the step before."""
        return ("x", *map(before, self.state))

    @property
    def ends(self) -> tuple[str, ...]:
        """What a step hands on: its states, and its output where that is none."""
        return self.state if self.output in self.state else (*self.state, self.output)

    def prelude(self) -> tuple[Op, ...]:
        """The instructions of weights and constants alone: they are computed once per window."""
        constants = self._constants()
        return tuple(op for op in self.ops if op.out in constants)

    def steps(self) -> tuple[Op, ...]:
        """All others, computed at every time step."""
        constants = self._constants()
        return tuple(op for op in self.ops if op.out not in constants)

    def _constants(self) -> set[str]:
        """What does not depend on a value with rows, among the outputs of instructions."""
        varying, constant = set(self.given), set[str]()
        for op in self.ops:
            (varying if varying.intersection(op.args) else constant).add(op.out)
        return constant

    def parameters(self, units: int) -> int:
        """Weights of a cell of so many units whose inputs are as wide."""
        own = (math.prod(w.lead) * math.prod(count * units for count in w.units) for w in self.weights)
        return self.inputs * units**2 + sum(own)

    def projections(self) -> tuple[Op, ...]:
        """The products with kernels, in their order."""
        return tuple(op for op in self.ops if op.rule == PROJECT)


class Form(NamedTuple):
    """How a supernet is made (`cells.search_cell.CellOptions` says what each means)."""

    nodes: int
    weight_sharing: str = "node"
    norm: str = "none"
    norm_learnable: bool = False
    cap: bool = False
