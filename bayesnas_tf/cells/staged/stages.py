"""The elementwise work between two products, forward and backward: functions that XLA compiles.

Stages have the same shapes at every time step and in windows of every length: they are compiled once.
"""

from typing import Any, NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.rules import rule_of
from bayesnas_tf.cells.staged.plan import Plan
from bayesnas_tf.numerics import products, xla
from bayesnas_tf.numerics.sums import ordered_sum


class Arithmetic(NamedTuple):
    """How a window is computed."""

    mask: Any = None  # [B, U], on every value that meets a kernel; None: no dropout
    matmul_dtype: products.MatmulDtype = "float32"
    compiled: bool = True  # whether XLA compiles the stages

    def stage(self, function):
        """A stage of elementwise work. It has one shape, whatever the length of a window."""
        return xla.stage(function, self.compiled)

    def precision(self, dtype):
        """The type of factors and products of values of this type."""
        return tf.bfloat16 if self.matmul_dtype == "bfloat16" else dtype

    def factor(self, x):
        """x as a factor of a matrix product."""
        return tf.cast(x, self.precision(x.dtype))

    def operand(self, x):
        """What meets a kernel, of a value x."""
        return self.factor(masks.apply(self.mask, x))

    def of_operand(self, gradient, dtype):
        """The gradient of x from that of its operand."""
        return masks.apply(self.mask, tf.cast(gradient, dtype))


class ForwardStage:
    """Stage k: the values that it makes, and the operands of those that meet kernels.

    Products come in the precision in which they are taken.
    """

    def __init__(self, plan: Plan, k: int, arithmetic: Arithmetic, shapes: dict):
        """`shapes`: a `tf.TensorSpec` for every value of a step."""
        self.plan, self.k, self.arithmetic, self.dtype = plan, k, arithmetic, shapes["x"].dtype
        self.reads, self.constants = plan.reads(k), plan.constants(k)
        self.gives, self.projected = plan.hands_on(k), plan.projected(k)
        self.compiled = arithmetic.stage(self._run)

    def _run(self, values, constants):
        known = {name: tf.cast(x, self.dtype) for name, x in zip(self.reads, values, strict=True)}
        known |= dict(zip(self.constants, constants, strict=True))
        for op in self.plan.segments[self.k].ops:
            known[op.out] = rule_of(op).value(*(valued(self.plan, name, known) for name in op.args))
        operands = [self.arithmetic.operand(known[name]) for name in self.projected]
        return [known[name] for name in self.gives], operands

    def __call__(self, known: dict, fixed: dict, operands: dict) -> None:
        """Add what the stage makes to `known` and `operands`, from values and constants by name."""
        if not self.plan.segments[self.k].ops:
            return
        given, met = self.compiled(
            [known[name] for name in self.reads], [fixed[name] for name in self.constants]
        )
        known |= dict(zip(self.gives, given, strict=True))
        operands |= dict(zip(self.projected, met, strict=True))


class BackwardStage:
    """The gradient of stage k."""

    def __init__(self, plan: Plan, k: int, arithmetic: Arithmetic, shapes: dict):
        """As `ForwardStage`."""
        self.plan, self.k, self.arithmetic, self.shapes = plan, k, arithmetic, shapes
        self.dtype = shapes["x"].dtype
        self.needs, self.constants, self.made = plan.needs(k), plan.constants(k), plan.made(k)
        self.product = plan.segments[k].product
        self.places: dict[str, Any] = {}  # of the gradients of earlier values, see `_place`
        self.compiled = arithmetic.stage(self._run)

    def _run(self, values, constants, upstream, of_operands):
        """Gradients that are made here; `places` says of which values, and what is only passed on.

        Those of earlier values, each once; that of the product, as a factor; those of the constants.
        """
        known = {name: tf.cast(x, self.dtype) for name, x in zip(self.needs, values, strict=True)}
        known |= dict(zip(self.constants, constants, strict=True))
        given = {id(x): k for k, x in enumerate(tf.nest.flatten(upstream))}
        found: dict[str, list] = {name: list(parts) for name, parts in upstream.items()}
        for name, parts in of_operands.items():
            found.setdefault(name, []).extend(self.arithmetic.of_operand(p, self.dtype) for p in parts)
        of_constants: dict[str, list] = {name: [] for name in self.constants}
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

    def _pull(self, op, upstream, known: dict, found: dict, of_constants: dict) -> None:
        """Through one instruction."""
        rule = rule_of(op)
        args = [self._value(name, known, rule.linear) for name in op.args]
        for name, part in zip(op.args, rule.pull(upstream, *args), strict=True):
            if part is None:
                continue
            if name in of_constants:
                of_constants[name].append(part if rule.by_units else tf.reduce_sum(part, axis=0))
            else:
                found.setdefault(name, []).append(part)

    def _value(self, name: str, known: dict, shape_only: bool):
        """A value that the gradient reads, or its shape."""
        return self.shapes[name] if shape_only and name not in known else valued(self.plan, name, known)

    def __call__(self, values: list, constants: list, upstream: dict, of_operands: dict):
        """Gradients of earlier values by name, of the product, and of the constants in their order."""
        distinct, product, of_constants = self.compiled(values, constants, upstream, of_operands)
        given = tf.nest.flatten(upstream)
        of_values = tf.nest.map_structure(lambda place: _at(place, distinct, given), self.places)
        return of_values, product, of_constants


def valued(plan: Plan, name: str, known: dict):
    """A value by name; one that is cheap is made again of what it was made of."""
    if name not in known:
        op = plan.maker[name]
        known[name] = rule_of(op).value(*(valued(plan, arg, known) for arg in op.args))
    return known[name]


def total(parts: list):
    """The sum of gradients of one value; those of sums may come in parts (`rules.spread.whole`)."""
    if not any(isinstance(part, dict) for part in parts):
        return ordered_sum(parts)
    numbers = sorted({k for part in parts for k in part})
    return {k: ordered_sum([part[k] for part in parts if k in part]) for k in numbers}


def _place(x, given: dict, distinct: list) -> int:
    """Where a gradient is found: -1 - k for the k-th that was given, else its place in `distinct`."""
    if id(x) in given:
        return -1 - given[id(x)]
    for k, other in enumerate(distinct):
        if other is x:
            return k
    distinct.append(x)
    return len(distinct) - 1


def _at(place: int, distinct: list, given: list):
    return distinct[place] if place >= 0 else given[-1 - place]
