"""The time loop of a program with its gradient written out, in the form that is fast on a CPU.

`cells.scan`, whose loop TensorFlow differentiates by itself, is the slow twin. Here

- between two products with kernels lies one stage of elementwise work, which XLA compiles to a few passes
  over memory. It has the same shapes at every time step and for every window length: it is compiled once;
- the backward loop multiplies by transposed copies of the kernels, which BLAS takes faster;
- the gradient of a kernel is one product over all time steps, after the loop.
"""

from collections.abc import Callable, Sequence

import tensorflow as tf

from bayesnas_tf.cells.staged.backward import Backward
from bayesnas_tf.cells.staged.plan import Plan
from bayesnas_tf.cells.staged.stages import Arithmetic, ForwardStage
from bayesnas_tf.cells.staged.values import Given, History, Shapes, beside, loop
from bayesnas_tf.space.program import Program, before


def staged_window(program: Program, given: Given, arithmetic: Arithmetic) -> list[tf.Tensor]:
    """All of `Program.ends`, `[T, B, U]` each, in their order: what `cells.scan` gives, to rounding.

    Projected inputs, states, kernels and constants have gradients, from a second loop (`Backward`) that goes
    from the last time step to the first. Masks are constants of a window and have none.
    """
    plan, count = Plan(program), len(given.states)
    # tf.custom_gradient differentiates in arguments alone: what the loops read has to be one of them
    flat = (given.projected, *given.states, *given.kernels.values(), *given.constants.values())

    @tf.custom_gradient
    def window(projected: tf.Tensor, *rest: tf.Tensor) -> tuple[tuple[tf.Tensor, ...], Callable]:
        states, others = rest[:count], iter(rest[count:])
        kernels = {name: next(others) for name in given.kernels}
        used = Given(projected, states, kernels, {name: next(others) for name in given.constants})
        shapes = Shapes.of(plan, used)
        ends, history = Forward(plan, used, arithmetic, shapes).run()
        return ends, lambda *upstream: Backward(plan, used, arithmetic, shapes).run(upstream, ends, history)

    return list(window(*flat))


class Forward:
    """The loop that computes a window and keeps what its gradient reads."""

    def __init__(self, plan: Plan, given: Given, arithmetic: Arithmetic, shapes: Shapes):
        """Stages are compiled when they are first run."""
        self.plan, self.given, self.arithmetic, self.shapes = plan, given, arithmetic, shapes
        self.stages = [ForwardStage(plan, k, arithmetic, shapes) for k in range(len(plan.segments))]
        # rounded, then put side by side: once per window, and in bfloat16 a copy of half the size
        factors = {name: arithmetic.factor(kernel) for name, kernel in given.kernels.items()}
        self.matrices = {op.out: beside(factors, op.args[1:], 1) for op in plan.products}
        self.met = [state for state in plan.program.state if plan.met_later(state)]

    def run(self) -> tuple[tuple[tf.Tensor, ...], History]:
        """All ends `[T, B, U]`, and the history.

        Between two steps the loop carries the states, and in the precision of the products what of them meets
        kernels: the stage that makes a state makes its operand in the same pass.
        """
        given, program, shapes = self.given, self.plan.program, self.shapes
        steps = tf.shape(given.projected)[0]
        inputs = shapes.array("x", steps).unstack(given.projected)

        def body(
            t: tf.Tensor,
            states: Sequence[tf.Tensor],
            met: Sequence[tf.Tensor],
            ends: list[tf.TensorArray],
            history: History,
        ) -> tuple:
            known, operands = self.step(inputs.read(t), states, met)
            ends = [array.write(t, known[name]) for array, name in zip(ends, program.ends, strict=True)]
            states = tuple(known[name] for name in program.state)
            return states, tuple(operands[name] for name in self.met), ends, history.write(t, known, operands)

        first = dict(zip(program.state, given.states, strict=True))
        start = (
            tuple(given.states),
            tuple(self.arithmetic.operand(first[name]) for name in self.met),
            [shapes.array(name, steps) for name in program.ends],
            History.empty(self.plan, self.arithmetic, shapes, steps),
        )
        *_, ends, history = loop(steps, body, start)
        time = given.projected.shape[:1]
        named = zip(ends, program.ends, strict=True)
        return tuple(
            tf.ensure_shape(array.stack(), time + shapes[name].shape) for array, name in named
        ), history

    def step(
        self, x: tf.Tensor, states: Sequence[tf.Tensor], met: Sequence[tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Values of one time step by name, and the operands of those that meet kernels.

        From projected inputs `[B, N]`, the states `[B, U]` before, and the operands of those states that meet
        a kernel. A stage is called as soon as its product is there: stage 0 has none.
        """
        known = dict(zip(self.plan.program.given, (x, *states), strict=True))
        operands = dict(zip(map(before, self.met), met, strict=True))
        for stage, segment in zip(self.stages, self.plan.segments, strict=True):
            if segment.product is not None:
                name, factor = segment.product.out, operands[segment.product.args[0]]
                known[name] = tf.matmul(factor, self.matrices[name])
            stage(known, self.given.constants, operands)
        return known, operands
