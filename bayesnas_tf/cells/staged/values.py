"""What the two loops of a staged window share: its arguments, the shapes of all values, what is kept."""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import interpreter
from bayesnas_tf.cells.staged.plan import Plan
from bayesnas_tf.cells.staged.stages import Arithmetic
from bayesnas_tf.space.program import PROJECT, Program


class Given(NamedTuple):
    """What a window is computed from; kernels by the names under which products call them."""

    projected: tf.Tensor  # [T, B, N]
    states: tuple[tf.Tensor, ...]  # [B, U] each
    kernels: dict[str, tf.Tensor]  # [K, N]
    constants: dict[str, tf.Tensor]

    @classmethod
    def of(
        cls,
        program: Program,
        projected: tf.Tensor,
        states: Sequence[tf.Tensor],
        fixed: Mapping[str, tf.Tensor],
    ) -> "Given":
        """With what a program reads of `fixed`, weights and constants by name.

        From projected inputs `[T, B, N]` and states `[B, U]`. `name/i` is the i-th kernel of a weight
        `[k, K, N]`, which is cut once, before the loops.
        """
        fixed = interpreter.prelude(program, fixed)
        kernels: dict[str, tf.Tensor] = {}
        cut: dict[str, list[tf.Tensor]] = {}
        for name in (name for op in program.projections() for name in op.args[1:]):
            whole, _, index = name.partition("/")
            if index and whole not in cut:
                cut[whole] = tf.unstack(fixed[whole])
            kernels[name] = cut[whole][int(index)] if index else fixed[whole]
        read = {name for op in program.steps() if op.rule != PROJECT for name in op.args}
        constants = {name: value for name, value in fixed.items() if name in read}
        return cls(projected, tuple(states), kernels, constants)


def beside(kernels: Mapping[str, tf.Tensor], names: Sequence[str], axis: int) -> tf.Tensor:
    """The kernels of a product, `[K, N]` each, as one along `axis`, so that a step takes one product."""
    parts = [kernels[name] for name in names]
    return parts[0] if len(parts) == 1 else tf.concat(parts, axis)


def loop(steps: tf.Tensor, body: Callable[..., tuple], state: tuple) -> tuple:
    """`state` after body(t, *state) for t = 0 .. steps - 1; `steps` is a scalar `[]`."""
    return tf.while_loop(
        lambda t, *_: t < steps,
        lambda t, *earlier: (t + 1, *body(t, *earlier)),
        (tf.constant(0), *state),
        maximum_iterations=steps,
        parallel_iterations=1,
    )[1:]


class Shapes(dict[str, tf.TensorSpec]):
    """A `tf.TensorSpec` for every value of a step, by name."""

    @classmethod
    def of(cls, plan: Plan, given: Given) -> "Shapes":
        """By tracing the plain form of one step: no rule has to say what shape it makes."""
        program = plan.program
        names = program.given
        made = [op.out for op in program.steps()]

        def step(values: Sequence[tf.Tensor]) -> list[tf.Tensor]:
            known = dict(zip(names, values, strict=True))
            project = lambda x, *kernels: tf.matmul(x, beside(given.kernels, kernels, 1))  # noqa: E731
            return interpreter.run(program, known, given.constants, project, made)

        like = [given.projected[0], *given.states]
        specs = [tf.TensorSpec(x.shape, x.dtype) for x in like]
        found = tf.function(step, autograph=False).get_concrete_function(specs).structured_outputs
        specs += [tf.TensorSpec(x.shape, x.dtype) for x in found]
        return cls(zip([*names, *made], specs, strict=True))

    def array(self, name: str, steps: tf.Tensor, dtype: tf.DType | None = None) -> tf.TensorArray:
        """An array of a value, `[T, B, ...]` once stacked, of so many steps; several stages may read one."""
        spec = self[name]
        return tf.TensorArray(
            dtype or spec.dtype, size=steps, element_shape=spec.shape, clear_after_read=False
        )


class History(NamedTuple):
    """What the backward loop reads of each time step, as `tf.TensorArray`s by name.

    What met a kernel is kept, not made again behind the loop: in bfloat16 it takes half the memory.
    """

    values: dict[str, tf.TensorArray]
    operands: dict[str, tf.TensorArray]
    products: dict[str, tf.TensorArray]  # as they came, in the precision in which they were taken

    @classmethod
    def empty(cls, plan: Plan, arithmetic: Arithmetic, shapes: Shapes, steps: tf.Tensor) -> "History":
        """For so many steps, a scalar `[]`."""
        products = [op.out for op in plan.products if op.out in plan.kept]
        precision = arithmetic.precision(shapes["x"].dtype)
        return cls(
            {name: shapes.array(name, steps) for name in plan.kept if name not in products},
            {name: shapes.array(name, steps, precision) for name in plan.operands()},
            {name: shapes.array(name, steps, precision) for name in products},
        )

    def write(
        self, t: tf.Tensor, known: Mapping[str, tf.Tensor], operands: Mapping[str, tf.Tensor]
    ) -> "History":
        """With what step t computed: values and operands, `[B, ...]`, by name."""
        sources = (known, operands, known)
        return History(
            *(
                {name: array.write(t, source[name]) for name, array in arrays.items()}
                for arrays, source in zip(self, sources, strict=True)
            )
        )

    def read(self, name: str, t: tf.Tensor) -> tf.Tensor:
        """A value or a product at step t, `[B, ...]`."""
        return (self.products if name in self.products else self.values)[name].read(t)
