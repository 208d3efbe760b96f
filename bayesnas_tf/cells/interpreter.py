"""A program as tensors: the values of one time step, which TensorFlow differentiates by itself.

This is the slow, obvious form. The staged form (`cells.staged`) and the lanes of the curvature
(`curvature.lane_programs`) run the same programs.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import tensorflow as tf

from bayesnas_tf.cells.rules import rule_of
from bayesnas_tf.numerics.sums import fan_out
from bayesnas_tf.space.program import PROJECT, Op, Program


class Values:
    """Values by name, handed out to their users one by one.

    The gradients of a value that several instructions read are added in the order of the program, where
    TensorFlow's own sum has none: two runs agree in the last bit.
    """

    def __init__(self, ops: Sequence[Op], wanted: Sequence[str], fixed: Mapping[str, Any]):
        """`wanted` are read once more, at the end; `fixed` (weights, constants) are read by all alike."""
        self.fixed = fixed
        self.uses: dict[str, int] = {}
        for name in [*(arg for op in ops for arg in op.args), *wanted]:
            self.uses[name] = self.uses.get(name, 0) + 1
        self.copies: dict[str, Iterator] = {}

    def put(self, name: str, value: Any) -> None:
        """A value `[..., B, U]` is known."""
        self.copies[name] = iter(fan_out(value, self.uses.get(name, 0)))

    def take(self, name: str) -> Any:
        """It, for one of its users."""
        return self.fixed[name] if name in self.fixed else next(self.copies[name])


@tf.autograph.experimental.do_not_convert  # there is nothing to convert, and rules are lambdas
def prelude(program: Program, fixed: Mapping[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """Weights and constants, and what instructions make of them alone; kernels are `[..., K, N]`."""
    found = dict(fixed)
    for op in program.prelude():
        found[op.out] = rule_of(op).value(*(found[name] for name in op.args))
    return found


@tf.autograph.experimental.do_not_convert
def run(
    program: Program,
    given: Mapping[str, tf.Tensor],
    fixed: Mapping[str, tf.Tensor],
    project: Callable[..., tf.Tensor],
    wanted: Sequence[str] = (),
) -> list[tf.Tensor]:
    """What a time step gives, `[B, U]` or what the instructions of the program say.

    Every value is taken once for each of its users, so that the order in which gradients are added is the
    program's (`Values`).

    Args:
      program: the cell.
      given: `x` `[B, N]` and the states of the step before, `[B, U]` each, by name.
      fixed: from `prelude`.
      project: (value, name of a kernel, ...) -> the product with these kernels side by side.
      wanted: the values to return, by name; empty: those of `Program.ends`.
    """
    ops, wanted = program.steps(), tuple(wanted) or program.ends
    values = Values(ops, wanted, fixed)
    for name in program.given:
        values.put(name, given[name])
    for op in ops:
        if op.rule == PROJECT:
            values.put(op.out, project(values.take(op.args[0]), *op.args[1:]))
        else:
            values.put(op.out, rule_of(op).value(*map(values.take, op.args)))
    return [values.take(name) for name in wanted]
