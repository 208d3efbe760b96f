"""What the two loops of a staged window share: its arguments, the shapes of all values, what is kept."""

from collections.abc import Callable
from typing import Any, NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import interpreter
from bayesnas_tf.cells.staged.plan import Plan
from bayesnas_tf.cells.staged.stages import Arithmetic
from bayesnas_tf.space.program import PROJECT, Program


class Given(NamedTuple):
    """What a window is computed from; kernels by the names under which products call them."""

    projected: Any  # [T, B, N]
    states: tuple  # [B, U] each
    kernels: dict
    constants: dict

    @classmethod
    def of(cls, program: Program, projected, states, fixed: dict) -> "Given":
        """With the kernels and constants that a program reads, of `fixed`, weights and constants by name."""
        fixed = interpreter.prelude(program, fixed)
        kernels, cut = {}, {}
        for name in (name for op in program.projections() for name in op.args[1:]):
            whole, _, index = name.partition("/")
            if index and whole not in cut:
                cut[whole] = tf.unstack(fixed[whole])
            kernels[name] = cut[whole][int(index)] if index else fixed[whole]
        read = {name for op in program.steps() if op.rule != PROJECT for name in op.args}
        constants = {name: value for name, value in fixed.items() if name in read}
        return cls(projected, tuple(states), kernels, constants)


def beside(kernels: dict, names, axis: int):
    """The kernels of a product as one."""
    parts = [kernels[name] for name in names]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)


def loop(steps, body: Callable, state):
    """`state` after body(t, *state) for t = 0 .. steps - 1."""
    return tf.while_loop(
        lambda t, *_: t < steps,
        lambda t, *earlier: (t + 1, *body(t, *earlier)),
        (tf.constant(0), *state),
        maximum_iterations=steps,
        parallel_iterations=1,
    )[1:]


class Shapes(dict):
    """A `tf.TensorSpec` for every value of a step, by name."""

    @classmethod
    def of(cls, plan: Plan, given: Given) -> "Shapes":
        """By tracing the plain form of one step."""
        program = plan.program
        names = program.given
        made = [op.out for op in program.steps()]

        def step(values):
            known = dict(zip(names, values, strict=True))
            project = lambda x, *kernels: tf.matmul(x, beside(given.kernels, kernels, 1))  # noqa: E731
            return interpreter.run(program, known, given.constants, project, made)

        like = [given.projected[0], *given.states]
        specs = [tf.TensorSpec(x.shape, x.dtype) for x in like]
        found = tf.function(step, autograph=False).get_concrete_function(specs).structured_outputs
        specs += [tf.TensorSpec(x.shape, x.dtype) for x in found]
        return cls(zip([*names, *made], specs, strict=True))

    def array(self, name: str, steps, dtype=None) -> tf.TensorArray:
        """An array of a value at each of so many time steps; several stages may read one."""
        spec = self[name]
        return tf.TensorArray(
            dtype or spec.dtype, size=steps, element_shape=spec.shape, clear_after_read=False
        )


class History(NamedTuple):
    """What the backward loop reads of each time step, as `tf.TensorArray`s by name."""

    values: dict
    operands: dict
    products: dict  # as they came, in the precision in which they were taken

    @classmethod
    def empty(cls, plan: Plan, arithmetic: Arithmetic, shapes: Shapes, steps) -> "History":
        """For so many steps."""
        products = [op.out for op in plan.products if op.out in plan.kept]
        precision = arithmetic.precision(shapes["x"].dtype)
        return cls(
            {name: shapes.array(name, steps) for name in plan.kept if name not in products},
            {name: shapes.array(name, steps, precision) for name in plan.operands()},
            {name: shapes.array(name, steps, precision) for name in products},
        )

    def write(self, t, known: dict, operands: dict) -> "History":
        """With what step t computed."""
        sources = (known, operands, known)
        return History(
            *(
                {name: array.write(t, source[name]) for name, array in arrays.items()}
                for arrays, source in zip(self, sources, strict=True)
            )
        )

    def read(self, name: str, t):
        """A value or a product at step t."""
        return (self.products if name in self.products else self.values)[name].read(t)
