"""A program cut at its products with kernels: which instruction belongs to which stage, and what is kept.

Stage k holds the instructions that wait for the k-th product and for no later one; stage 0 those that wait
for none. Values with rows pass from stage to stage by name; weights and constants are known to all.
"""

import functools
from collections.abc import Iterable
from typing import NamedTuple

from bayesnas_tf.cells.rules import rule_of
from bayesnas_tf.space.program import PROJECT, Op, Program, before


class Segment(NamedTuple):
    """A product (None in front of stage 0) and the instructions behind it."""

    product: Op | None
    ops: tuple[Op, ...]


class Plan:
    """The segments of a program, and what each reads, hands on and needs again for its gradient."""

    def __init__(self, program: Program):
        """Every value that meets a kernel is a state of the step before, or the result of an instruction."""
        self.program = program
        # of each value the number of the last product that it waits for, which is that of its stage
        level = dict.fromkeys(program.given, 0)
        segments: list[tuple[Op | None, list[Op]]] = [(None, [])]
        for op in program.steps():
            if op.rule == PROJECT:
                segments.append((op, []))
                level[op.out] = len(segments) - 1
            else:
                level[op.out] = max(level[name] for name in op.args if name in level)
                segments[level[op.out]][1].append(op)
        self.level = level
        self.segments = tuple(Segment(product, tuple(ops)) for product, ops in segments)
        self.maker = {op.out: op for op in program.steps()}
        self.products = tuple(segment.product for segment in self.segments if segment.product)

    def rows(self, names: Iterable[str]) -> tuple[str, ...]:
        """Those of the names that are values with rows, once each."""
        return tuple(dict.fromkeys(name for name in names if name in self.level))

    def constants(self, k: int) -> tuple[str, ...]:
        """The weights and constants that stage k reads."""
        names = (name for op in self.segments[k].ops for name in op.args)
        return tuple(dict.fromkeys(name for name in names if name not in self.level))

    def made(self, k: int) -> tuple[str, ...]:
        """The values that stage k makes."""
        return tuple(op.out for op in self.segments[k].ops)

    def reads(self, k: int) -> tuple[str, ...]:
        """The values that stage k takes from earlier ones, its product included.

        Instead of a value that is cheap it takes what that was made of: one array less is written.
        """
        found = self.rows(name for op in self.segments[k].ops for name in op.args)
        made = self.made(k)
        roots = (root for name in found if name not in made for root in self._roots(name))
        return tuple(dict.fromkeys(root for root in roots if root not in made))

    def operands(self) -> tuple[str, ...]:
        """The values that meet kernels."""
        return tuple(dict.fromkeys(op.args[0] for op in self.products))

    def projected(self, k: int) -> tuple[str, ...]:
        """The values that stage k makes and that meet a kernel in this step, or as states in the next."""
        met = self.operands()
        return tuple(name for name in self.made(k) if name in met or self.met_later(name))

    def met_later(self, name: str) -> bool:
        """Whether a value meets a kernel in the next step, as the state that it is."""
        return name in self.program.state and before(name) in self.operands()

    def hands_on(self, k: int) -> tuple[str, ...]:
        """The values that stage k makes and that later stages, the backward pass or the next step read.

        All others stay inside the compiled stage.
        """
        later = {name for j in range(k + 1, len(self.segments)) for name in self.reads(j)}
        wanted = later.union(self.program.ends, self.kept)
        return tuple(name for name in self.made(k) if name in wanted)

    @functools.cached_property
    def kept(self) -> tuple[str, ...]:
        """The values that the backward pass reads of each step, inputs and states apart."""
        # inputs and states are at hand as whole arrays: they need no place in the history of the loop
        names = dict.fromkeys(name for k in range(len(self.segments)) for name in self.needs(k))
        return tuple(name for name in names if name not in self.program.given)

    def needs(self, k: int) -> tuple[str, ...]:
        """What the gradient of stage k reads of each step, and so what the history holds.

        Of linear instructions nothing, for their gradients read shapes alone. A value that is cheap is made
        again of what it was made of: one array per step less is kept.
        """
        nonlinear = (op for op in self.segments[k].ops if not rule_of(op).linear)
        names = self.rows(name for op in nonlinear for name in op.args)
        return tuple(dict.fromkeys(root for name in names for root in self._roots(name)))

    def _roots(self, name: str) -> tuple[str, ...]:
        op = self.maker.get(name)
        if op is None or op.rule == PROJECT or not rule_of(op).cheap:
            return (name,)
        return tuple(root for arg in self.rows(op.args) for root in self._roots(arg))

    def by_units(self, constant: str) -> bool:
        """Whether the gradient of a constant comes by units, to be summed over them at the end."""
        return any(constant in op.args and rule_of(op).by_units for op in self.program.steps())
