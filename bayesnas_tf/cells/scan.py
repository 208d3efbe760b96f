"""The time loop: Keras' RNN layer around a cell, and the loop that carries any states."""

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from bayesnas_tf.cells.reading import Reading
from bayesnas_tf.cells.staged.stages import Arithmetic
from bayesnas_tf.cells.staged.values import Given
from bayesnas_tf.cells.staged.window import staged_window

PARALLEL_STEPS = 2  # Keras' 32 keep the weight gradients of 32 steps at once: 0.5 GB at 300 units, no faster


class ProgramRNN(keras.layers.RNN):
    """`keras.layers.RNN` that multiplies all inputs by the cell's input kernel before the time loop."""

    def window(
        self, reading: Reading, x: tf.Tensor, state: tf.Tensor, length: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Outputs `[B, T, U]` and the state after `length` steps, from x `[B, T, K]` and a state `[B, S]`.

        The states of the cell stand side by side in one tensor.
        """
        names, output = reading.program.state, reading.program.output
        found = by_time(reading, reading.project_inputs(x), tf.split(state, len(names), axis=1))
        after = tf.concat([found[name][length - 1] for name in names], axis=1)
        return tf.transpose(found[output], [1, 0, 2]), after

    def inner_loop(
        self,
        sequences: tf.Tensor,
        initial_state: Sequence[tf.Tensor],
        mask: tf.Tensor | None,
        training: bool = False,
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Last output, outputs `[B, T, U]` and final states of sequences `[B, T, K]`."""
        if mask is not None:
            return super().inner_loop(sequences, initial_state, mask, training)
        reading, program = self.cell.read(), self.cell.program
        found = by_time(reading, reading.project_inputs(sequences), list(initial_state))
        outputs = tf.transpose(found[program.output], [1, 0, 2])
        return outputs[:, -1], outputs, [found[name][-1] for name in program.state]


def by_time(reading: Reading, projected: tf.Tensor, states: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
    """States and output of every step by name, `[T, B, U]` each, from projected inputs `[B, T, N]`."""
    inputs, ends, count = tf.transpose(projected, [1, 0, 2]), reading.program.ends, len(states)
    if reading.staged:
        given = Given.of(reading.staged, inputs, states, reading.fixed)
        found = staged_window(reading.staged, given, Arithmetic(reading.masks.hidden, reading.matmul_dtype))
        return dict(zip(reading.staged.ends, found, strict=True))
    unread = [tf.zeros_like(states[0])] * (len(ends) - count)  # an output that is no state
    step = lambda t, x, *before: reading.step(*x, *before[:count])  # noqa: E731
    return dict(zip(ends, scan_time(step, (inputs,), (*states, *unread)), strict=True))


def scan_time(
    step: Callable[..., Sequence[tf.Tensor]], inputs: tuple[tf.Tensor, ...], states: tuple[tf.Tensor, ...]
) -> list[tf.Tensor]:
    """All states of states = step(t, (x_t, ...), *states), each `[T, ...]`, over inputs `[T, ...]`.

    One step, where that is known, is no loop: a served step then converts to formats that have none.
    """
    if inputs[0].shape[0] == 1:
        return [after[tf.newaxis] for after in step(tf.constant(0), tuple(x[0] for x in inputs), *states)]
    steps = inputs[0].shape[0] or tf.shape(inputs[0])[0]
    read = [tf.TensorArray(x.dtype, size=steps, element_shape=x.shape[1:]).unstack(x) for x in inputs]
    empty = [tf.TensorArray(state.dtype, size=steps, element_shape=state.shape) for state in states]

    def body(
        t: tf.Tensor, before: Sequence[tf.Tensor], written: list[tf.TensorArray]
    ) -> tuple[tf.Tensor, tuple[tf.Tensor, ...], list[tf.TensorArray]]:
        after = step(t, tuple(array.read(t) for array in read), *before)
        after = tuple(tf.ensure_shape(new, old.shape) for new, old in zip(after, states, strict=True))
        return t + 1, after, [array.write(t, new) for array, new in zip(written, after, strict=True)]

    _, _, written = tf.while_loop(
        lambda t, *_: t < steps,
        body,
        (tf.constant(0), tuple(states), empty),
        maximum_iterations=steps,
        parallel_iterations=PARALLEL_STEPS,
    )
    return [array.stack() for array in written]
