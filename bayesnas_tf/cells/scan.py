"""The time loop: Keras' RNN layer around a cell, and the loop that carries any states."""

import keras
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.staged.window import staged_window
from bayesnas_tf.cells.staged.wiring import Arithmetic

PARALLEL_STEPS = 2  # Keras' 32 keep the weight gradients of 32 steps at once: 0.5 GB at 300 units, no faster


class ProjectedRNN(keras.layers.RNN):
    """`keras.layers.RNN` that multiplies all inputs by the cell's input kernel before the time loop."""

    def __init__(self, cell, **kwargs):
        """`cell`, a `HighwayCell`, is told that its inputs come projected."""
        cell.inputs_projected = True
        super().__init__(cell, **kwargs)

    def build(self, sequences_shape, initial_state_shape=None):
        """Build the cell for inputs of the embedding's size."""
        if not self.cell.built:
            self.cell.build(sequences_shape[:1] + sequences_shape[2:])
            self.cell.built = True

    def call(self, sequences, initial_state=None, mask=None, training=False):
        """`[B, T, K]` -> outputs `[B, T, U]` (and the final state), as `keras.layers.RNN`."""
        return super().call(self.cell.project_inputs(sequences), initial_state, mask, training)

    def window(self, x, state, length, drawn: masks.CellMasks | None = None, training=False):
        """Outputs `[B, T, U]` and the state after `length` steps, from x `[B, T, K]` and a state `[B, U]`."""
        with self.cell.masked(drawn):
            outputs, _ = self(x, initial_state=[state], training=training)
        return outputs, outputs[:, length - 1]

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Last output, outputs `[B, T, U]` and final states of projected sequences `[B, T, 2U]`."""
        if mask is not None:
            return super().inner_loop(sequences, initial_state, mask, training)
        state = initial_state[0] if isinstance(initial_state, (list, tuple)) else initial_state
        wiring = self.cell.wiring() if training and self.cell.staged else None
        if wiring:
            arithmetic = Arithmetic(self.cell.drawn.hidden, self.cell.matmul_dtype)
            by_time = tf.transpose(sequences, [1, 0, 2])
            by_time = staged_window(wiring, arithmetic, by_time, state, self.cell.kernels())
            outputs = tf.transpose(by_time, [1, 0, 2])
            return outputs[:, -1], outputs, [outputs[:, -1]]
        with self.cell.read_once():
            outputs = time_loop(self.cell.step, sequences, state)
        return outputs[:, -1], outputs, [outputs[:, -1]]


def time_loop(step, inputs, state):
    """h_t = step(x_t, h_{t-1}) over inputs `[B, T, K]` from state `[B, U]`; all h_t, `[B, T, U]`."""
    by_time = tf.transpose(inputs, [1, 0, 2])
    (outputs,) = scan_time(lambda t, x, h: (step(*x, h),), (by_time,), (state,))
    return tf.transpose(outputs, [1, 0, 2])


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
