"""The time loop of a wired cell with its gradient written out, in the form that is fast on a CPU.

`scan.time_loop`, which TensorFlow differentiates by itself, is the slow twin. Here

- the kernels of all edges that leave a node stand side by side: one product per source and step;
- between two products lies one stage of elementwise work, which XLA compiles to a few passes over memory. A
  stage has the same shapes at every time step and for every window length: it is compiled once;
- the backward loop multiplies by transposed copies of the kernels, which BLAS takes faster;
- the gradient of a kernel is one product over all time steps, after the loop.
"""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells.staged.stages import BackwardStages, ForwardStages
from bayesnas_tf.cells.staged.wiring import Arithmetic, Kernels, Wiring


class Kept(NamedTuple):
    """What the backward loop reads of each time step, as `tf.TensorArray`s."""

    entries: tf.TensorArray  # [g, a] of node 0, [B, 2U]
    sums: list  # of each node: [B, U], before its norm
    operands: list  # of h and of each source: [B, U], what met its kernel
    pres: list  # of each source: [B, k 2U]

    def write(self, t, entry, *of_lists) -> "Kept":
        """With the values of step t."""
        lists = (
            [array.write(t, value) for array, value in zip(arrays, values, strict=True)]
            for arrays, values in zip(self[1:], of_lists, strict=True)
        )
        return Kept(self.entries.write(t, entry), *lists)


def staged_window(wiring: Wiring, arithmetic: Arithmetic, projected, state, kernels: Kernels):
    """All h_t `[T, B, U]` from projected inputs `[T, B, 2U]` and a state `[B, U]`."""
    count = len(kernels.weights)

    @tf.custom_gradient
    def window(projected, state, recurrent, *others):
        used = Kernels(recurrent, list(others[:count]), kernels.layout, list(others[count:]))
        hidden, kept = _forward(wiring, arithmetic, projected, state, used)

        def gradient(upstream):
            before = tf.concat([state[tf.newaxis], hidden[:-1]], axis=0)
            return _backward(wiring, arithmetic, upstream, before, kept, used)

        return hidden, gradient

    return window(projected, state, kernels.recurrent, *kernels.weights, *kernels.parameters)


def _loop(steps, body, state):
    """`state` after body(t, *state) for t = 0 .. steps - 1."""
    return tf.while_loop(
        lambda t, *_: t < steps,
        lambda t, *before: (t + 1, *body(t, *before)),
        (tf.constant(0), *state),
        maximum_iterations=steps,
        parallel_iterations=1,
    )[1:]


def _forward(wiring: Wiring, arithmetic: Arithmetic, projected, state, kernels: Kernels):
    """All h_t, and what the gradient needs."""
    steps, stages = tf.shape(projected)[0], ForwardStages(wiring, arithmetic)
    enter, leave = arithmetic.stage(stages.enter), arithmetic.stage(stages.leave)
    advance = {source: arithmetic.stage(stages.advance(source)) for source in wiring.feeds}
    recurrent = arithmetic.factor(kernels.recurrent)
    weights = [arithmetic.factor(weight) for weight in kernels.weights]
    matrices = dict(zip(wiring.feeds, kernels.sources(weights), strict=True))
    parameters = dict(zip(wiring.feeds, kernels.parameters, strict=False))

    def array(width, dtype=projected.dtype):
        return tf.TensorArray(dtype, size=steps, element_shape=[state.shape[0], width])

    def body(t, h, operand, hidden, kept):
        entry, total, ready = enter(inputs.read(t), h, tf.matmul(operand, recurrent))
        sums, pres, operands, under_way = {0: total}, {}, {0: ready}, None
        for source, matrix in matrices.items():
            pres[source] = tf.matmul(operands[source], matrix)
            under_way, found, ready = advance[source](
                sums[source], pres[source], parameters.get(source), under_way
            )
            sums |= dict(zip(wiring.completes(source), found, strict=True))
            operands |= dict(zip(wiring.completes(source), ready, strict=True))
        kept = kept.write(t, entry, sums.values(), [operand, *map(operands.get, matrices)], pres.values())
        h, operand = leave([sums[node] for node in wiring.outputs])
        return h, operand, hidden.write(t, h), kept

    units, first = state.shape[1], arithmetic.operand(state)
    inputs = array(2 * units).unstack(projected)
    empty = Kept(
        array(2 * units),
        [array(units) for _ in wiring.nodes],
        [array(units, first.dtype) for _ in (recurrent, *matrices)],
        [array(matrix.shape[1], first.dtype) for matrix in matrices.values()],
    )
    *_, hidden, kept = _loop(steps, body, (state, first, array(units), empty))
    return tf.ensure_shape(hidden.stack(), projected.shape[:1] + state.shape), kept


def _backward(wiring: Wiring, arithmetic: Arithmetic, upstream, before, kept: Kept, kernels: Kernels):
    """Gradients of all arguments of a window, for that of all h_t; `before` are all h_{t-1}."""
    d_entries, d_state, d_pres, d_parameters = _backward_loop(
        wiring, arithmetic, upstream, before, kept, kernels
    )
    d_projected = d_entries.stack()
    d_products = [arithmetic.factor(d_projected), *(array.stack() for array in d_pres)]
    recurrent, *sources = (
        _kernel_gradient(operands.stack(), d_product, d_projected.dtype)
        for operands, d_product in zip(kept.operands, d_products, strict=True)
    )
    d_weights = kernels.gradients(sources)
    d_parameters = [tf.reduce_sum(d_w, axis=-1) for d_w in d_parameters]
    return d_projected, d_state, recurrent, *d_weights, *d_parameters


def _backward_loop(wiring: Wiring, arithmetic: Arithmetic, upstream, before, kept: Kept, kernels: Kernels):
    """Gradients of [g, a] of node 0, of the state before the window, of all products, and of w by units."""
    steps, stages = tf.shape(upstream)[0], BackwardStages(wiring, arithmetic)
    close = arithmetic.stage(stages.close)
    retreat = {source: arithmetic.stage(stages.retreat(source)) for source in wiring.feeds}
    recurrent, *weights = (tf.transpose(arithmetic.factor(w)) for w in (kernels.recurrent, *kernels.weights))
    matrices = dict(zip(wiring.feeds, kernels.transposed(weights), strict=True))
    parameters = dict(zip(wiring.feeds, kernels.parameters, strict=False))
    kept_pres = dict(zip(wiring.feeds, kept.pres, strict=True))

    def body(i, d_h, d_entries, d_pres, d_parameters):
        t = steps - 1 - i
        d_out = (d_h + upstream[t]) / len(wiring.outputs)
        sums, d_sums, pending = [array.read(t) for array in kept.sums], {}, None
        of_pres, of_parameters = {}, {}
        for source in reversed(wiring.feeds):
            found, of_pres[source], carried, of_parameters[source] = retreat[source](
                sums, kept_pres[source].read(t), parameters.get(source), d_out, list(d_sums.values()), pending
            )
            d_sums |= dict(zip(wiring.settles(source), found, strict=True))
            pending = carried, tf.matmul(of_pres[source], matrices[source])
        entry, factor, carried = close(sums[0], before[t], kept.entries.read(t), d_out, pending)
        d_h = carried + arithmetic.of_operand(tf.matmul(factor, recurrent), d_h.dtype)
        written = [a.write(t, of_pres[s]) for a, s in zip(d_pres, wiring.feeds, strict=True)]
        added = [d_w + of_parameters[s] for d_w, s in zip(d_parameters, parameters, strict=True)]
        return d_h, d_entries.write(t, entry), written, added

    def array(width, dtype):
        return tf.TensorArray(dtype, size=steps, element_shape=[before.shape[1], width])

    units, dtype = before.shape[2], before.dtype
    d_pres = [array(matrix.shape[0], matrix.dtype) for matrix in matrices.values()]
    by_units = [tf.zeros([*w.shape, units], dtype) for w in kernels.parameters]
    start = (tf.zeros_like(before[0]), array(2 * units, dtype), d_pres, by_units)
    d_state, d_entries, d_pres, d_parameters = _loop(steps, body, start)
    return d_entries, d_state, d_pres, d_parameters


def _kernel_gradient(operands, d_products, dtype):
    """The gradient of a kernel from all its operands `[T, B, U]` and the gradients of their products."""
    flat = [tf.reshape(x, [-1, x.shape[-1]]) for x in (operands, d_products)]
    return tf.cast(tf.matmul(*flat, transpose_a=True), dtype)
