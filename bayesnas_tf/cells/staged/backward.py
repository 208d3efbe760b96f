"""The loop that brings the gradient of a window, from its last time step to its first."""

from collections.abc import Callable, Iterable, Mapping

import tensorflow as tf

from bayesnas_tf.cells.rules.spread import Sums
from bayesnas_tf.cells.staged.plan import Plan
from bayesnas_tf.cells.staged.stages import Arithmetic, BackwardStage, Waiting
from bayesnas_tf.cells.staged.values import Given, History, Shapes, beside, loop
from bayesnas_tf.numerics.sums import ordered_sum
from bayesnas_tf.space.program import before

Tensors = tuple[tf.Tensor, ...]


class Pending:
    """Gradients of values, by name, that wait for the stage that made the value.

    What comes through a kernel is kept apart: the stage itself takes it back through cast and mask.
    """

    def __init__(self) -> None:
        """Nothing waits."""
        self.direct: Waiting = {}
        self.of_operands: dict[str, list[tf.Tensor]] = {}

    def add(self, name: str, gradient: Sums) -> None:
        """One more reader of a value has been treated."""
        self.direct.setdefault(name, []).append(gradient)

    def add_of_operand(self, name: str, gradient: tf.Tensor) -> None:
        """One more product that a value's operand `[B, U]` met."""
        self.of_operands.setdefault(name, []).append(gradient)

    def take(self, names: Iterable[str]) -> tuple[Waiting, dict[str, list[tf.Tensor]]]:
        """All that waits for these values."""
        wanted = tuple(names)
        direct = {name: self.direct.pop(name) for name in wanted if name in self.direct}
        of_operands = {name: self.of_operands.pop(name) for name in wanted if name in self.of_operands}
        return direct, of_operands


class Backward:
    """The gradient of a window."""

    def __init__(self, plan: Plan, given: Given, arithmetic: Arithmetic, shapes: Shapes):
        """As `window.Forward`."""
        self.plan, self.given, self.arithmetic, self.shapes = plan, given, arithmetic, shapes
        self.dtype = shapes["x"].dtype
        self.stages = [BackwardStage(plan, k, arithmetic, shapes) for k in range(len(plan.segments))]
        # BLAS takes a copy that is transposed once per window faster than a kernel that it reads transposed
        turned = {name: tf.transpose(arithmetic.factor(kernel)) for name, kernel in given.kernels.items()}
        self.matrices = {op.out: beside(turned, op.args[1:], 0) for op in plan.products}

    def run(self, upstream: Tensors, ends: Tensors, history: History) -> Tensors:
        """Gradients of all arguments of the window, for those of all ends `[T, B, U]`.

        The loop keeps the gradient of every product; a kernel's is made of them behind it, in one product
        over all time steps: a sum within the loop would read and write an array of its size at each step.
        """
        given, plan = self.given, self.plan
        d_inputs, d_states, d_products, sums = self._loop(upstream, self._earlier(ends), history)
        d_kernels: dict[str, list[tf.Tensor]] = {name: [] for name in given.kernels}
        for op in plan.products:
            whole = _kernel_gradient(history.operands[op.args[0]].stack(), d_products[op.out], self.dtype)
            widths = [given.kernels[name].shape[1] for name in op.args[1:]]
            for name, part in zip(op.args[1:], tf.split(whole, widths, axis=1), strict=True):
                d_kernels[name].append(part)
        of_kernels = [ordered_sum(parts) for parts in d_kernels.values()]
        # by units until here: the sum over them is one pass per window, not one per step
        of_constants = [
            tf.reduce_sum(sums[name], axis=-1) if plan.by_units(name) else sums.get(name)
            for name in given.constants
        ]
        return d_inputs, *d_states, *of_kernels, *of_constants

    def _earlier(self, ends: Tensors) -> dict[str, tf.Tensor]:
        """Every state as the step before left it, `[T, B, U]`, by the name under which a step reads it."""
        program, of_end = self.plan.program, dict(zip(self.plan.program.ends, ends, strict=True))
        pairs = zip(program.state, self.given.states, strict=True)
        return {
            before(name): tf.concat([state[tf.newaxis], of_end[name][:-1]], axis=0) for name, state in pairs
        }

    def _loop(
        self, upstream: Tensors, earlier: Mapping[str, tf.Tensor], history: History
    ) -> tuple[tf.Tensor, Tensors, dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Gradients of inputs and states, of all products by name, and of the constants that stages read.

        `[T, B, N]` of inputs and products, `[B, U]` of states. The loop counts up while t falls. Between two
        steps it carries the gradients of the states and of the constants; an end's own gradient joins at t.
        """
        program, steps = self.plan.program, tf.shape(self.given.projected)[0]
        at_hand = {"x": self.given.projected, **earlier}

        def body(
            i: tf.Tensor,
            d_states: Tensors,
            d_inputs: tf.TensorArray,
            d_products: dict[str, tf.TensorArray],
            sums: dict[str, tf.Tensor],
        ) -> tuple:
            t = steps - 1 - i
            pending = Pending()
            for name, gradient in zip(program.state, d_states, strict=True):
                pending.add(name, gradient)
            for name, of_end in zip(program.ends, upstream, strict=True):
                pending.add(name, of_end[t])
            read = lambda name: at_hand[name][t] if name in at_hand else history.read(name, t)  # noqa: E731
            of_products, sums = self.step(read, pending, sums)
            d_products = {name: array.write(t, of_products[name]) for name, array in d_products.items()}
            d_states = tuple(self._of_state(name, pending) for name in program.state)
            return d_states, d_inputs.write(t, ordered_sum(pending.direct["x"])), d_products, sums

        precision = self.arithmetic.precision(self.dtype)
        start = (
            tuple(tf.zeros_like(state) for state in self.given.states),
            self.shapes.array("x", steps),
            {op.out: self.shapes.array(op.out, steps, precision) for op in self.plan.products},
            {name: self._zeros(name) for stage in self.stages for name in stage.constants},
        )
        d_states, d_inputs, d_products, sums = loop(steps, body, start)
        return d_inputs.stack(), d_states, {name: a.stack() for name, a in d_products.items()}, sums

    def step(
        self, read: Callable[[str], tf.Tensor], pending: Pending, sums: dict[str, tf.Tensor]
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        """Gradients `[B, N]` of the products of a time step, and `sums` with those of the constants.

        Stages run from the last to the first, each once all readers of its values are done (`Pending`).
        `read(name)` gives a value that the step computed. What is left in `pending` is of inputs and states.
        """
        precision = self.arithmetic.precision(self.dtype)
        of_products: dict[str, tf.Tensor] = {  # of a node that reaches no end there is nothing else
            op.out: tf.zeros(self.shapes[op.out].shape, precision) for op in self.plan.products
        }
        for stage in reversed(self.stages):
            direct, of_operands = pending.take(stage.made)
            if not direct and not of_operands:
                continue
            constants = [self.given.constants[name] for name in stage.constants]
            of_values, d_product, of_constants = stage(
                [read(name) for name in stage.needs], constants, direct, of_operands
            )
            for name, gradient in of_values.items():
                pending.add(name, gradient)
            for name, gradient in zip(stage.constants, of_constants, strict=True):
                sums = sums | {name: sums[name] + gradient}
            if stage.product is not None:
                of_products[stage.product.out] = d_product
                through = tf.matmul(d_product, self.matrices[stage.product.out])
                pending.add_of_operand(stage.product.args[0], through)
        return of_products, sums

    def _of_state(self, name: str, pending: Pending) -> tf.Tensor:
        """The gradient of a state of the step before, from its readers and from its operand."""
        direct, of_operands = pending.take([before(name)])
        parts = [*direct.get(before(name), [])]
        parts += [self.arithmetic.of_operand(d, self.dtype) for d in of_operands.get(before(name), [])]
        return ordered_sum(parts) if parts else tf.zeros(self.shapes[name].shape, self.dtype)

    def _zeros(self, constant: str) -> tf.Tensor:
        """What the sum over time of a constant's gradient begins with."""
        units = [self.shapes[self.plan.program.output].shape[-1]] if self.plan.by_units(constant) else []
        return tf.zeros([*self.given.constants[constant].shape, *units], self.dtype)


def _kernel_gradient(operands: tf.Tensor, d_products: tf.Tensor, dtype: tf.DType) -> tf.Tensor:
    """The gradient of a kernel from all its operands `[T, B, U]` and the gradients of their products."""
    flat = [tf.reshape(x, [-1, x.shape[-1]]) for x in (operands, d_products)]
    return tf.cast(tf.matmul(*flat, transpose_a=True), dtype)
