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
            known[op.out] = rule_of(op).value(*(known[name] for name in op.args))
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
        self.places: dict[str, int] = {}  # of the gradients of earlier values among those that a call returns
        self.compiled = arithmetic.stage(self._run)

    def _run(self, values, constants, upstream, of_operands):
        """Gradients: of earlier values, each once; of the product, as a factor; of the constants."""
        known = {name: tf.cast(x, self.dtype) for name, x in zip(self.needs, values, strict=True)}
        known |= dict(zip(self.constants, constants, strict=True))
        found: dict[str, list] = {name: list(parts) for name, parts in upstream.items()}
        for name, parts in of_operands.items():
            found.setdefault(name, []).extend(self.arithmetic.of_operand(p, self.dtype) for p in parts)
        of_constants: dict[str, list] = {name: [] for name in self.constants}
        for op in reversed(self.plan.segments[self.k].ops):
            if op.out in found:
                self._pull(op, ordered_sum(found.pop(op.out)), known, found, of_constants)
        product = None
        if self.product is not None:
            product = self.arithmetic.factor(ordered_sum(found.pop(self.product.out)))
        distinct: list = []
        for name, parts in found.items():
            total = ordered_sum(parts)
            place = next((k for k, other in enumerate(distinct) if other is total), len(distinct))
            distinct += [total] if place == len(distinct) else []
            self.places[name] = place
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
        """A value that the gradient reads, made again where it is cheap."""
        if name in known:
            return known[name]
        if shape_only:
            return self.shapes[name]
        op = self.plan.maker[name]
        known[name] = rule_of(op).value(*(self._value(arg, known, False) for arg in op.args))
        return known[name]

    def __call__(self, values: list, constants: list, upstream: dict, of_operands: dict):
        """Gradients of earlier values by name, of the product, and of the constants in their order."""
        distinct, product, of_constants = self.compiled(values, constants, upstream, of_operands)
        return {name: distinct[place] for name, place in self.places.items()}, product, of_constants
