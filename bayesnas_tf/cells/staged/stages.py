"""The elementwise work of a wired cell's time step, forward and backward: functions of tensors.

See `wiring` for the shapes.
"""

from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import highway
from bayesnas_tf.cells.staged.wiring import Arithmetic, Wiring
from bayesnas_tf.numerics.sums import ordered_sum


class ForwardStages(NamedTuple):
    """What stands before, between and behind the products of a time step."""

    wiring: Wiring
    arithmetic: Arithmetic

    def operands(self, nodes, sums) -> list:
        """Of nodes, from the sums of their edges."""
        return [self.arithmetic.operand(value) for value in map(self.wiring.normalised, nodes, sums)]

    def enter(self, projected, h, product):
        """[g, a] of node 0, its value before the norm, and its operand."""
        pre = projected + tf.cast(product, projected.dtype)
        total = highway.input_node(h, pre)
        return pre, total, self.operands((0,), (total,))[0]

    def advance(self, source: int):
        """The stage behind the product of `source`.

        It adds what the source gives to the sums under way, `[B, k, U]` of the k nodes that it feeds. It
        gives them whole (None where all are complete), and sums and operands of the nodes that it completes:
        XLA makes one pass over memory of that, and several where parts of an array are what it gives.
        """
        wiring, fed, complete = self.wiring, self.wiring.feeds[source], self.wiring.completes(source)
        if (waiting := wiring.waiting(source)) not in ((), fed):
            raise ValueError(f"source {source} feeds nodes {fed}, and {waiting} wait for more: no such form")

        def stage(total, pre, w, under_way):
            x = wiring.normalised(source, total)
            sums = wiring.edges(fed, x, wiring.blocks(source, pre, total.dtype), w)
            if waiting:
                sums += under_way[:, -len(fed) :]
            found = [sums[:, fed.index(node)] for node in complete]
            return None if fed == complete else sums, found, self.operands(complete, found)

        return stage

    def leave(self, sums):
        """h_t from the sums of the output nodes, and its operand."""
        values = map(self.wiring.normalised, self.wiring.outputs, sums)
        h = ordered_sum(values) / len(self.wiring.outputs)
        return h, self.arithmetic.operand(h)


class BackwardStages(NamedTuple):
    """The gradients of the same; sources come in descending order.

    `pending` is what the source treated last has left: the gradient of its value through the bypasses of its
    edges, and that of its operand.
    """

    wiring: Wiring
    arithmetic: Arithmetic

    def of_value(self, node, d_out, pending):
        """The gradient of a node's value: as an output, and as a source where it is one."""
        terms = [d_out] if node in self.wiring.outputs else []
        if pending is not None:
            carried, of_operand = pending
            terms += [carried, self.arithmetic.of_operand(of_operand, carried.dtype)]
        return ordered_sum(terms) if terms else tf.zeros_like(d_out)

    def of_sum(self, node, total, d_value):
        """The gradient of the sum of a node's edges from that of its value."""
        with tf.GradientTape() as tape:
            tape.watch(total)
            value = self.wiring.normalised(node, total)
        return tape.gradient(value, total, d_value)

    def retreat(self, source: int):
        """The stage before the product of `source`.

        It gives the gradients of the sums that it settles, of the product, of the value through the bypasses,
        and of w by units (None without w).
        """
        wiring, fed, above = self.wiring, self.wiring.feeds[source], self.wiring.above(source)
        known = [node for s in reversed(above) for node in wiring.settles(s)]

        def stage(sums, pre, w, d_out, d_sums, pending):
            sums = dict(zip(wiring.nodes, sums, strict=True))
            d_sums = dict(zip(known, d_sums, strict=True))
            for node in wiring.settles(source):
                d_value = self.of_value(node, d_out, pending if node in above else None)
                d_sums[node] = self.of_sum(node, sums[node], d_value)
            x, split = wiring.normalised(source, sums[source]), wiring.blocks(source, pre, d_out.dtype)
            upstream = tf.stack([d_sums[node] for node in fed], axis=1)
            carried, d_split, d_w = wiring.edges_gradient(fed, x, split, w, upstream)
            d_product = self.arithmetic.factor(tf.reshape(d_split, pre.shape))
            return [d_sums[node] for node in wiring.settles(source)], d_product, carried, d_w

        return stage

    def close(self, total, h, pre, d_out, pending):
        """Gradients of [g, a] of node 0, the same as a factor, and of h_{t-1} through the bypass."""
        d_total = self.of_sum(0, total, self.of_value(0, d_out, pending))
        with tf.GradientTape() as tape:
            tape.watch([h, pre])
            value = highway.input_node(h, pre)
        d_h, d_pre = tape.gradient(value, [h, pre], d_total)
        return d_pre, self.arithmetic.factor(d_pre), d_h
