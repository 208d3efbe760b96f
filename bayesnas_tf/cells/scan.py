"""The time loop: Keras' RNN layer around a cell, and the loop that carries any states."""

import keras
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.staged.stages import Arithmetic
from bayesnas_tf.cells.staged.values import Given
from bayesnas_tf.cells.staged.window import staged_window

PARALLEL_STEPS = 2  # Keras' 32 keep the weight gradients of 32 steps at once: 0.5 GB at 300 units, no faster


class ProgramRNN(keras.layers.RNN):
    """`keras.layers.RNN` that multiplies all inputs by the cell's input kernel before the time loop."""

    def __init__(self, cell, **kwargs):
        """`cell`, a `ProgramCell`, is told that its inputs come projected."""
        cell.inputs_projected = True
        super().__init__(cell, **kwargs)

    def build(self, sequences_shape, initial_state_shape=None):
        """Build the cell for inputs of the embedding's size."""
        if not self.cell.built:
            self.cell.build(sequences_shape[:1] + sequences_shape[2:])
            self.cell.built = True

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """`[B, T, K]` -> outputs `[B, T, U]` (and the final states), as `keras.layers.RNN`."""
        return super().call(self.cell.project_inputs(sequences), initial_state, mask, training)

    def window(self, x, state, length, drawn: masks.CellMasks | None = None, training=False):
        """Outputs `[B, T, U]` and the state after `length` steps, from x `[B, T, K]` and a state `[B, S]`.

        The states of the cell stand side by side in one tensor.
        """
        program = self.cell.program
        states = tf.split(state, len(program.state), axis=1)
        with self.cell.masked(drawn):
            by_time = self.by_time(self.cell.project_inputs(x), states, training)
        after = tf.concat([by_time[name][length - 1] for name in program.state], axis=1)
        return tf.transpose(by_time[program.output], [1, 0, 2]), after

    def by_time(self, projected, states, training=False) -> dict:
        """States and output of every step by name, `[T, B, U]` each, from projected inputs `[B, T, N]`."""
        cell, inputs = self.cell, tf.transpose(projected, [1, 0, 2])
        program = cell.staged_program() if training and cell.staged else None
        if program:
            kernels, constants = cell.parts(program)
            arithmetic = Arithmetic(cell.drawn.hidden, cell.matmul_dtype)
            found = staged_window(program, Given(inputs, tuple(states), kernels, constants), arithmetic)
            return dict(zip(program.ends, found, strict=True))
        ends = cell.program.ends
        unread = [tf.zeros_like(states[0])] * (len(ends) - len(states))  # an output that is no state
        with cell.read_once():
            found = scan_time(
                lambda t, x, *before: cell.step(*x, *before[: len(states)]), (inputs,), (*states, *unread)
            )
        return dict(zip(ends, found, strict=True))

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Last output, outputs `[B, T, U]` and final states of projected sequences `[B, T, N]`."""
        if mask is not None:
            return super().inner_loop(sequences, initial_state, mask, training)
        states = initial_state if isinstance(initial_state, (list, tuple)) else [initial_state]
        by_time, program = self.by_time(sequences, list(states), training), self.cell.program
        outputs = tf.transpose(by_time[program.output], [1, 0, 2])
        return outputs[:, -1], outputs, [by_time[name][-1] for name in program.state]


def scan_time(step, inputs: tuple, states: tuple) -> list:
    """All states of states = step(t, (x_t, ...), *states), each `[T, ...]`, over inputs `[T, ...]`.

    One step, where that is known, is no loop: a served step then converts to formats that have none.
    """
    if inputs[0].shape[0] == 1:
        return [after[tf.newaxis] for after in step(tf.constant(0), tuple(x[0] for x in inputs), *states)]
    steps = inputs[0].shape[0] or tf.shape(inputs[0])[0]
    read = [tf.TensorArray(x.dtype, size=steps, element_shape=x.shape[1:]).unstack(x) for x in inputs]
    empty = [tf.TensorArray(state.dtype, size=steps, element_shape=state.shape) for state in states]

    def body(t, before, written):
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
