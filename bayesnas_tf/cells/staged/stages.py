"""The elementwise work between two products, forward and backward: functions that XLA compiles.

Stages have the same shapes at every time step and in windows of every length: they are compiled once.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.rules import rule_of
from bayesnas_tf.cells.rules.spread import Sums
from bayesnas_tf.cells.staged.plan import Plan
from bayesnas_tf.numerics import products, xla
from bayesnas_tf.numerics.sums import ordered_sum
from bayesnas_tf.space.program import Op

Known = dict[str, tf.Tensor]  # values of one step, [B, ...], by name
Specs = Mapping[str, tf.TensorSpec]
Waiting = dict[str, list[Sums]]  # the gradients of a value so far, by its name


class Arithmetic(NamedTuple):
    """How a window is computed."""

    mask: tf.Tensor | None = None  # [B, U], on every value that meets a kernel; None: no dropout
    matmul_dtype: products.MatmulDtype = "float32"
    compiled: bool = True  # whether XLA compiles the stages

    def stage(self, function: Callable) -> Callable:
        """A stage of elementwise work. It has one shape, whatever the length of a window."""
        return xla.stage(function, self.compiled)

    def precision(self, dtype: tf.DType) -> tf.DType:
        """The type of factors and products of values of this type."""
        return tf.bfloat16 if self.matmul_dtype == "bfloat16" else dtype

    def factor(self, x: tf.Tensor) -> tf.Tensor:
        """x `[..., K]` as a factor of a matrix product."""
        return tf.cast(x, self.precision(x.dtype))

    def operand(self, x: tf.Tensor) -> tf.Tensor:
        """What meets a kernel, of a value x `[B, U]`."""
        return self.factor(masks.apply(self.mask, x))

    def of_operand(self, gradient: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
        """The gradient of x from that of its operand, `[B, U]` both."""
        return masks.apply(self.mask, tf.cast(gradient, dtype))


class ForwardStage:
    """Stage k: the values that it makes, `[B, ...]`, and the operands of those that meet kernels.

    Products come in the precision in which they are taken, and the stage casts them: XLA fuses a cast with
    the work behind it, while TensorFlow would make a pass over memory of it.
    """

    def __init__(self, plan: Plan, k: int, arithmetic: Arithmetic, shapes: Specs):
        """`shapes`: a `tf.TensorSpec` for every value of a step."""
        self.plan, self.k, self.arithmetic, self.dtype = plan, k, arithmetic, shapes["x"].dtype
        self.reads, self.constants = plan.reads(k), plan.constants(k)
        self.gives, self.projected = plan.hands_on(k), plan.projected(k)
        self.compiled = arithmetic.stage(self._run)

    def _run(
        self, values: Sequence[tf.Tensor], constants: Sequence[tf.Tensor]
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        known = {name: tf.cast(x, self.dtype) for name, x in zip(self.reads, values, strict=True)}
        known |= dict(zip(self.constants, constants, strict=True))
        for op in self.plan.segments[self.k].ops:
            known[op.out] = rule_of(op).value(*(valued(self.plan, name, known) for name in op.args))
        operands = [self.arithmetic.operand(known[name]) for name in self.projected]
        return [known[name] for name in self.gives], operands

    def __call__(self, known: Known, fixed: Mapping[str, tf.Tensor], operands: Known) -> None:
        """Add what the stage makes, `[B, ...]`, to `known` and `operands`; `fixed`: constants by name."""
        if not self.plan.segments[self.k].ops:
            return
        given, met = self.compiled(
            [known[name] for name in self.reads], [fixed[name] for name in self.constants]
        )
        known |= dict(zip(self.gives, given, strict=True))
        operands |= dict(zip(self.projected, met, strict=True))


class BackwardStage:
    """The gradient of stage k: from those of the values that it makes to those of what it reads."""

    def __init__(self, plan: Plan, k: int, arithmetic: Arithmetic, shapes: Specs):
        """As `ForwardStage`."""
        self.plan, self.k, self.arithmetic, self.shapes = plan, k, arithmetic, shapes
        self.dtype = shapes["x"].dtype
        self.needs, self.constants, self.made = plan.needs(k), plan.constants(k), plan.made(k)
        self.product = plan.segments[k].product
        self.places: dict[str, Any] = {}  # of the gradients of earlier values, see `_place`
        self.compiled = arithmetic.stage(self._run)

    def _run(
        self,
        values: Sequence[tf.Tensor],
        constants: Sequence[tf.Tensor],
        upstream: Waiting,
        of_operands: Mapping[str, list[tf.Tensor]],
    ) -> tuple[list[tf.Tensor], tf.Tensor | None, list[tf.Tensor]]:
        """Gradients that are made here; `places` says of which values, and what is only passed on.

        Those of earlier values `[B, ...]`; that of the product `[B, N]`, as a factor; those of the constants.
        Each result is an array that a stage writes: so a gradient that several values share is returned once,
        and one that is only passed on not at all. Where each is found is known once this function is traced.
        """
        known = {name: tf.cast(x, self.dtype) for name, x in zip(self.needs, values, strict=True)}
        known |= dict(zip(self.constants, constants, strict=True))
        given = {id(x): k for k, x in enumerate(tf.nest.flatten(upstream))}
        found: Waiting = {name: list(parts) for name, parts in upstream.items()}
        for name, parts in of_operands.items():
            found.setdefault(name, []).extend(self.arithmetic.of_operand(p, self.dtype) for p in parts)
        of_constants: dict[str, list[tf.Tensor]] = {name: [] for name in self.constants}
        for op in reversed(self.plan.segments[self.k].ops):
            if op.out in found:
                self._pull(op, total(found.pop(op.out)), known, found, of_constants)
        product = None
        if self.product is not None:
            product = self.arithmetic.factor(total(found.pop(self.product.out)))
        distinct: list = []
        places = {name: total(parts) for name, parts in found.items()}
        self.places = tf.nest.map_structure(lambda x: _place(x, given, distinct), places)
        return distinct, product, [ordered_sum(parts) for parts in of_constants.values()]

    def _pull(
        self, op: Op, upstream: Sums, known: Known, found: Waiting, of_constants: dict[str, list[tf.Tensor]]
    ) -> None:
        """Through one instruction: its gradients join those that wait, constants' ones summed over rows."""
        rule = rule_of(op)
        args = [self._value(name, known, rule.linear) for name in op.args]
        for name, part in zip(op.args, rule.pull(upstream, *args), strict=True):
            if part is None:
                continue
            # a weight has no rows, and its gradient has some unless the rule has summed them
            if name in of_constants:
                of_constants[name].append(part if rule.by_units else tf.reduce_sum(part, axis=0))
            else:
                found.setdefault(name, []).append(part)

    def _value(self, name: str, known: Known, shape_only: bool) -> tf.Tensor | tf.TensorSpec:
        """A value that the gradient reads, or its shape."""
        return self.shapes[name] if shape_only and name not in known else valued(self.plan, name, known)

    def __call__(
        self,
        values: Sequence[tf.Tensor],
        constants: Sequence[tf.Tensor],
        upstream: Waiting,
        of_operands: Mapping[str, list[tf.Tensor]],
    ) -> tuple[dict[str, Sums], tf.Tensor | None, list[tf.Tensor]]:
        """Gradients of earlier values by name, of the product, and of the constants in their order.

        Args:
          values: of `Plan.needs`, `[B, ...]` each.
          constants: of `Plan.constants`.
          upstream: the gradients of each value that the stage makes, one for each of its readers.
          of_operands: those that came through a kernel, `[B, U]`, before mask and cast are taken back.
        """
        distinct, product, of_constants = self.compiled(values, constants, upstream, of_operands)
        given = tf.nest.flatten(upstream)
        of_values = tf.nest.map_structure(lambda place: _at(place, distinct, given), self.places)
        return of_values, product, of_constants


def valued(plan: Plan, name: str, known: Known) -> tf.Tensor:
    """A value `[B, ...]` by name; one that is cheap is made again of what it was made of."""
    if name not in known:
        op = plan.maker[name]
        known[name] = rule_of(op).value(*(valued(plan, arg, known) for arg in op.args))
    return known[name]


def total(parts: Sequence[Sums]) -> Sums:
    """The sum of gradients `[B, ...]` of a value; those of sums may come in parts (`rules.spread.whole`)."""
    if not any(isinstance(part, dict) for part in parts):
        return ordered_sum(parts)
    numbers = sorted({k for part in parts for k in part})
    return {k: ordered_sum([part[k] for part in parts if k in part]) for k in numbers}


def _place(x: tf.Tensor, given: Mapping[int, int], distinct: list[tf.Tensor]) -> int:
    """Where a gradient is found: -1 - k for the k-th that was given, else its place in `distinct`."""
    if id(x) in given:
        return -1 - given[id(x)]
    for k, other in enumerate(distinct):
        if other is x:
            return k
    distinct.append(x)
    return len(distinct) - 1


def _at(place: int, distinct: Sequence[tf.Tensor], given: Sequence[tf.Tensor]) -> tf.Tensor:
    """What `_place` has found the place of."""
    return distinct[place] if place >= 0 else given[-1 - place]
