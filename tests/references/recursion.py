"""Slow twin of the diagonal recursion: step by step, edge by edge, norms by their whole Jacobians."""

import dataclasses
from typing import NamedTuple

import numpy as np

from tests.references import cell as reference
from tests.references.curvature import Diagonal, softmax

STEP = reference.COMPLEX_STEP


def first(o, a):
    """o'(a), by a complex step."""
    return np.imag(reference.OPS[o](a + 1j * STEP)) / STEP


def second(o, a):
    """o''(a), by a formula of its own: tanh, relu, sigmoid, identity."""
    if o == 0:
        return -2.0 * np.sinh(a) / np.cosh(a) ** 3
    if o == 2:
        return np.exp(-a) * (np.exp(-a) - 1.0) / (1.0 + np.exp(-a)) ** 3
    return np.zeros_like(a)


class Weights(NamedTuple):
    """h of every weight, of its shape."""

    embedding: np.ndarray
    decoder_bias: np.ndarray
    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    node_kernels: list


class Recursion:
    """Backward through one window; curvature is `[slots, B, U]`, gradients `[B, U]`."""

    def __init__(self, cell, d_terms, slots=0, chunk=0):
        """`slots` or `chunk` above 0 truncate, one way or the other."""
        self.cell, self.d_terms, self.slots, self.chunk = cell, d_terms, slots, chunk
        self.h = np.zeros(cell.scalars.shape)
        self.h_zero = None if cell.zero_scalars is None else np.zeros(cell.zero_scalars.shape)
        self.weights = Weights(
            np.zeros_like(cell.embedding),
            np.zeros_like(cell.decoder_bias),
            np.zeros_like(cell.kernel),
            np.zeros_like(cell.recurrent_kernel),
            [np.zeros_like(kernel) for kernel in cell.node_kernels],
        )

    def fresh(self, H, D):
        """H, with D in slot 0."""
        if not self.d_terms:
            return H
        return np.concatenate([H[:1] + D, H[1:]])

    def through_norm(self, H, G, raw, node):
        """From the node's value to the sum before its norm."""
        if self.cell.norm_scale is not None:
            H, G = H * self.cell.norm_scale[node] ** 2, G * self.cell.norm_scale[node]
        if self.cell.norm == "none" or (self.cell.norm == "mean" and node == 0):
            return H, G
        if self.cell.norm == "mean":
            terms = len(reference.OPS) * node
            return H / terms**2, G / terms
        moved = 0 if self.cell.norm == "batch" else 1
        lines = np.moveaxis(raw, moved, 0)  # statistics are taken over the first axis
        H, G = np.moveaxis(H, 1 + moved, 1), np.moveaxis(G, moved, 0)
        H_in, G_in = np.zeros_like(H), np.zeros_like(G)
        for k in range(lines.shape[1]):
            jacobian = self.jacobian(lines[:, k])
            squares = jacobian**2
            if self.d_terms:
                squares = np.eye(len(squares)) / (lines[:, k].var() + reference.EPSILON)
            H_in[:, :, k], G_in[:, k] = H[:, :, k] @ squares, G[:, k] @ jacobian
        return np.moveaxis(H_in, 1, 1 + moved), np.moveaxis(G_in, 0, moved)

    def jacobian(self, line):
        """∂(standardised line)/∂(line), a column per complex step."""
        columns = []
        for k in range(len(line)):
            nudged = line.astype(complex)
            nudged[k] += 1j * STEP
            centred = nudged - nudged.mean()
            columns.append(np.imag(centred / np.sqrt((centred**2).mean() + reference.EPSILON)) / STEP)
        return np.array(columns).T

    def through_highway(self, H, G, x, pre, o):
        """From u = x + σ(g) (o(a) - x) to x by the carry, and to [g, a]: curvature and gradient of each."""
        gate, a = np.split(pre, 2, axis=-1)
        c = reference.sigmoid(gate)
        opening = c * (1.0 - c) * (reference.OPS[o](a) - x)
        H_gate = self.fresh(opening**2 * H, (1.0 - 2.0 * c) * opening * G)
        H_a = self.fresh((c * first(o, a)) ** 2 * H, c * second(o, a) * G)
        of_pre = (
            np.concatenate([H_gate, H_a], axis=-1),
            np.concatenate([opening * G, c * first(o, a) * G], axis=-1),
        )
        return ((1.0 - c) ** 2 * H, (1.0 - c) * G), of_pre

    def through_step(self, H, G, x, h):
        """From h_t to h_{t-1}; what passes the scalars is added up."""
        cell, n = self.cell, self.cell.nodes
        raws, values = self.values(x, h)
        Hs = [H / n**2 if j else np.zeros_like(H) for j in range(n + 1)]
        Gs = [G / n if j else np.zeros_like(G) for j in range(n + 1)]
        for j in range(n, 0, -1):
            H_sum, G_sum = self.through_norm(Hs[j], Gs[j], raws[j], j)
            for i in range(j):
                for o in range(len(reference.OPS)):
                    change = self.change(raws[j], reference.edge_output(cell, values[i], i, j, o), j)
                    self.into_scalar(i, j, o, np.sum(Hs[j] * change**2))
                    self.through_edge(i, j, o, H_sum, G_sum, values[i], Hs, Gs)
        H_0, G_0 = self.through_norm(Hs[0], Gs[0], raws[0], 0)
        pre = np.concatenate([x, h], axis=1) @ np.concatenate([cell.kernel, cell.recurrent_kernel])
        carry, of_pre = self.through_highway(H_0, G_0, h, pre, 0)
        self.weights.kernel[...] += self.of_use(x, of_pre[0])
        self.weights.recurrent_kernel[...] += self.of_use(h, of_pre[0])
        self.at_input = of_pre[0] @ (cell.kernel**2).T
        rows = cell.recurrent_kernel
        return carry[0] + of_pre[0] @ (rows**2).T, carry[1] + of_pre[1] @ rows.T

    def change(self, raw, u, node):
        """∂(value of a node)/∂(a scalar that multiplies u in its sum), by a complex step."""
        if self.d_terms and self.cell.norm in ("batch", "layer"):  # statistics are constants
            axis = 0 if self.cell.norm == "batch" else 1
            scale = 1.0 if self.cell.norm_scale is None else self.cell.norm_scale[node]
            return scale * u / np.sqrt(raw.var(axis=axis, keepdims=True) + reference.EPSILON)
        return np.imag(reference.normalised(self.cell, raw + 1j * STEP * u, node)) / STEP

    def into_scalar(self, i, j, o, of_w):
        """h of the scalar of an edge and operation, and of the edge's switch."""
        cell, edge = self.cell, self.cell.edge(i, j)
        self.h[edge, o] += cell.switch(i, j) ** 2 * of_w
        if self.h_zero is not None:
            self.h_zero[edge] += cell.scalars[edge, o] ** 2 * of_w

    def through_edge(self, i, j, o, H, G, x, Hs, Gs):
        """From the sum into node j to node i."""
        cell, kernel, w = self.cell, self.cell.kernel_of(i, j, o), self.cell.w(i, j, o)
        pre = x @ kernel
        carry, of_pre = self.through_highway(w**2 * H, w * G, x, pre, o)
        mine = dataclasses.replace(cell, node_kernels=self.weights.node_kernels).kernel_of(i, j, o)
        mine[...] += self.of_use(x, of_pre[0])
        Hs[i] = Hs[i] + carry[0] + of_pre[0] @ (kernel**2).T
        Gs[i] = Gs[i] + carry[1] + of_pre[1] @ kernel.T

    def of_use(self, x, H_pre):
        """4.5, 4.15: Σ x² ⊗ H over slots and examples, entry by entry."""
        return sum(np.outer(row**2, H) for slot in H_pre for row, H in zip(x, slot, strict=True))

    def values(self, x, h):
        """Of every node: the sum before its norm, and its value."""
        cell = self.cell
        raws = [reference.input_node(cell, x, h)[0]]
        values = [reference.normalised(cell, raws[0], 0)]
        for j in range(1, cell.nodes + 1):
            raw = 0.0
            for i in range(j):
                for o in range(len(reference.OPS)):
                    raw = raw + cell.w(i, j, o) * reference.edge_output(cell, values[i], i, j, o)
            raws.append(raw)
            values.append(reference.normalised(cell, raw, j))
        return raws, values

    def shifted(self, H, t):
        """What step t hands to step t - 1."""
        if self.chunk:
            return np.zeros_like(H) if t % self.chunk == 0 else H
        return np.concatenate([np.zeros_like(H[:1]), H[:-1]]) if self.slots else H


def run(cell, x, y, state, d_terms=False, tau=0, truncation="slots") -> Recursion:
    """One window backward; tau 0 is no truncation."""
    run = Recursion(cell, d_terms, **{{"slots": "slots", "chunks": "chunk"}[truncation]: tau})
    embedded, before = cell.embedding[x], [state]
    for t in range(x.shape[1]):
        before.append(reference.step(cell, embedded[:, t], before[-1])[0])
    H, G = np.zeros((max(run.slots, 1), *state.shape)), np.zeros_like(state)
    for t in reversed(range(x.shape[1])):
        p = softmax(reference.logits(cell, before[t + 1]))
        at_logits = p - np.eye(p.shape[1])[y[:, t]]
        fresh = p * (1.0 - p) / y.size
        run.weights.embedding[...] += run.of_use(before[t + 1], fresh[np.newaxis]).T
        run.weights.decoder_bias[...] += fresh.sum(axis=0)
        H[0] += fresh @ cell.embedding**2
        G = G + at_logits / y.size @ cell.embedding
        H, G = run.through_step(H, G, embedded[:, t], before[t])
        for word, row in zip(x[:, t], run.at_input.sum(axis=0), strict=True):
            run.weights.embedding[word] += row
        H = run.shifted(H, t)
    return run


def diagonal(cell, x, y, state, **how) -> Diagonal:
    """h of the scalars and switches over one window; `how` as for `run`."""
    done = run(cell, x, y, state, **how)
    return Diagonal(done.h, done.h_zero)


def weights(cell, x, y, state, **how) -> Weights:
    """h of all weights over one window; `how` as for `run`."""
    return run(cell, x, y, state, **how).weights
