"""Slow twins of curvature: the thesis' recursion with plain loops, and oracles by complex steps."""

import dataclasses
from typing import NamedTuple

import numpy as np

from tests.references import cell as reference

OPS = len(reference.OPS)


class Diagonal(NamedTuple):
    """`[E, O]`, and `[E]` or None for the zero-edge switches."""

    h: np.ndarray
    h_zero: np.ndarray | None


def softmax(z):
    z = np.exp(z - z.max(axis=-1, keepdims=True))
    return z / z.sum(axis=-1, keepdims=True)


def states_before(cell, x, h):
    """h_0, h_1, ... h_{T-1}."""
    return [h, *np.moveaxis(reference.run(cell, cell.embedding[x], h), 1, 0)[:-1]]


def d_term(cell, x, y, before, t, k):
    """4.17 tanh''(a) ∘ ∂L_t/∂tanh(a) at step k for the summed NLL of step t, by complex steps."""
    embedded = cell.embedding[x]
    gradient = np.zeros_like(before[k])
    for place in np.ndindex(gradient.shape):
        nudge = np.zeros(gradient.shape, complex)
        nudge[place] = 1j * reference.COMPLEX_STEP
        h = reference.step(cell, embedded[:, k], before[k], nudge=nudge)[0]
        for later in range(k + 1, t + 1):
            h = reference.step(cell, embedded[:, later], h)[0]
        loss = reference.token_nats(reference.logits(cell, h), y[:, t]).sum()
        gradient[place] = np.imag(loss) / reference.COMPLEX_STEP
    a = reference.input_node(cell, embedded[:, k], before[k])[1]
    second = -2.0 * np.tanh(a) / np.cosh(a) ** 2
    return second * gradient


def node_curvatures(cell, at_hidden):
    """4.24: H_n..H_0 from H at the cell's output, which is the mean of the learned nodes."""
    n = cell.nodes
    H = {j: at_hidden / n**2 for j in range(1, n + 1)} | {0: np.zeros_like(at_hidden)}
    for j in range(n, 0, -1):
        for i in range(j):
            for o in range(OPS):
                H[i] = H[i] + cell.w(i, j, o) ** 2 * H[j]
    return H


def through_node_0(cell, x_k, h_before, H_0, D):
    """4.16: H at h_{k-1} from H_0 of step k."""
    a = reference.input_node(cell, x_k, h_before)[1]
    B = 1.0 - np.tanh(a) ** 2
    H_pre = B**2 * H_0 + D
    W_x = cell.recurrent_kernel[:, cell.units :].T  # a = W_x h
    return np.stack([(W_x.T**2) @ row for row in H_pre])


def thesis(cell, x, y, state, tau, with_d):
    """4.13-4.24, one slot (t, k), node, edge and operation at a time."""
    h = np.zeros_like(cell.scalars)
    h_zero = None if cell.zero_scalars is None else np.zeros_like(cell.zero_scalars)
    steps, before = x.shape[1], states_before(cell, x, state)
    for t in range(steps):
        p = softmax(reference.logits(cell, reference.step(cell, cell.embedding[x[:, t]], before[t])[0]))
        at_hidden = np.stack([(cell.embedding.T**2) @ row for row in p * (1.0 - p)])
        for k in range(t, max(t - tau, -1), -1):
            embedded = cell.embedding[x[:, k]]
            u = reference.step(cell, embedded, before[k])[2]
            H = node_curvatures(cell, at_hidden)
            for j in range(1, cell.nodes + 1):
                for i in range(j):
                    edge, total = cell.edge(i, j), 0.0
                    for o in range(OPS):
                        scaled = cell.switch(i, j) * u[i, j, o]
                        h[edge, o] += np.mean(scaled**2 * H[j]) / (steps * tau)
                        total = total + cell.scalars[edge, o] * u[i, j, o]
                    if h_zero is not None:
                        h_zero[edge] += np.mean(total**2 * H[j]) / (steps * tau)
            D = d_term(cell, x, y, before, t, k) if with_d else 0.0
            at_hidden = through_node_0(cell, embedded, before[k], H[0], D)
    return Diagonal(h, h_zero)


def _per_scalar(cell, f):
    """f(name, entry) for every scalar and every switch."""
    h = np.array([f("scalars", entry) for entry in range(cell.scalars.size)]).reshape(cell.scalars.shape)
    if cell.zero_scalars is None:
        return Diagonal(h, None)
    return Diagonal(h, np.array([f("zero_scalars", entry) for entry in range(cell.zero_scalars.size)]))


def _direction(cell, name, entry):
    direction = np.zeros(getattr(cell, name).shape)
    direction.flat[entry] = 1.0
    return direction


def gradient(cell, x, y, state):
    """∂(mean NLL)/∂(every scalar)."""
    loss = lambda changed: reference.nats(changed, x, y, state)  # noqa: E731
    return _per_scalar(cell, lambda *e: reference.derivative(cell, e[0], _direction(cell, *e), loss))


def hessian(cell, x, y, state, step=1e-5):
    """The diagonal of the Hessian: central differences of complex-step gradients, error of order step²."""
    loss = lambda changed: reference.nats(changed, x, y, state)  # noqa: E731

    def entry_of(name, entry):
        direction, sides = _direction(cell, name, entry), []
        for sign in (1.0, -1.0):
            moved = dataclasses.replace(cell, **{name: getattr(cell, name) + sign * step * direction})
            sides.append(reference.derivative(moved, name, direction, loss))
        return (sides[0] - sides[1]) / (2.0 * step)

    return _per_scalar(cell, entry_of)


def gauss_newton(cell, x, state):
    """The diagonal of mean_tokens Jᵀ (diag(p) - p pᵀ) J, with J by complex steps."""
    forward = lambda changed: reference.logits(changed, reference.run(changed, changed.embedding[x], state))  # noqa: E731
    p = softmax(forward(cell))

    def entry_of(name, entry):
        J = reference.derivative(cell, name, _direction(cell, name, entry), forward)
        return np.mean((p * J**2).sum(-1) - (p * J).sum(-1) ** 2)

    return _per_scalar(cell, entry_of)


def weights_gauss_newton(cell, x, state):
    """`gauss_newton` of every entry of a weight: embedding, bias, both parts of W_0, node kernels."""
    forward = lambda changed: reference.logits(changed, reference.run(changed, changed.embedding[x], state))  # noqa: E731
    p = softmax(forward(cell))

    def of(name, index=None):
        weight = getattr(cell, name) if index is None else getattr(cell, name)[index]
        h = np.zeros(weight.shape)
        for place in np.ndindex(weight.shape):
            direction = np.zeros(weight.shape)
            direction[place] = 1.0
            J = reference.derivative(cell, name, direction, forward, index)
            h[place] = np.mean((p * J**2).sum(-1) - (p * J).sum(-1) ** 2)
        return h

    names = ("embedding", "decoder_bias", "kernel", "recurrent_kernel")
    return [*map(of, names), *(of("node_kernels", k) for k in range(cell.nodes))]
