"""The cell with a memory in NumPy float64, transcribed from V1 to V5 of docs/memory_space.md.

It shares neither rules nor programs with the package: edges, operations and switches are loops here.
"""

import numpy as np

FUNCTIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "identity": lambda a: a,
}
sigmoid = FUNCTIONS["sigmoid"]


def step(weights, scalars, x, h, c, live, cap=False, norm=lambda total, terms: total / terms):
    """h_t, c_t and all nodes of a cell whose edges (i, j) have {operation: w}.

    `weights`: V_g, V_r, V_f [2U, U], V_q (a list, by node), W_x, W_h [U, U], W [U, 2U] by edge (i, j), and
    biases b_g, b_r, b_f, b_q [n, U]. `scalars`: rho, kappa, delta, mu (by node), w by edge.
    """
    both = np.concatenate([x, h], axis=-1)
    z = sigmoid(both @ weights["V_g"] + weights["b_g"])
    reset = sigmoid(both @ weights["V_r"] + weights["b_r"])
    forget = sigmoid(both @ weights["V_f"] + weights["b_f"])
    a = x @ weights["W_x"] + (h * (1.0 + scalars["rho"] * (reset - 1.0))) @ weights["W_h"]
    carried = h + scalars["kappa"] * (c - h)
    phi = (1.0 - z) + scalars["delta"] * (forget - (1.0 - z))
    nodes = [phi * carried + (np.minimum(z, 1.0 - phi) if cap else z) * np.tanh(a)]
    for j in range(1, len(weights["V_q"]) + 1):
        total, terms = 0.0, 0
        for i in range(j):
            for name, w in scalars["w"].get((i, j), {}).items():
                terms += 1
                if name == "squash":
                    total = total + w * np.tanh(nodes[i])
                    continue
                g, candidate = np.split(nodes[i] @ weights["W"][i, j], 2, axis=-1)
                total = total + w * (nodes[i] + sigmoid(g) * (FUNCTIONS[name](candidate) - nodes[i]))
        gate = sigmoid(both @ weights["V_q"][j - 1] + weights["b_q"][j - 1])
        nodes.append(norm(total, terms) * (1.0 + scalars["mu"][j - 1] * (gate - 1.0)))
    return np.mean([nodes[j] for j in live], axis=0), nodes[0], nodes


def window(weights, scalars, xs, states, live, **forms):
    """All outputs [T, B, U], and the last states, from inputs [T, B, K]."""
    outputs, (h, c) = [], states
    for x in xs:
        h, c, _ = step(weights, scalars, x, h, c, live, **forms)
        outputs.append(h)
    return np.stack(outputs), (h, c)


class Trace:
    """All values of a step that the recursion reads; norm `mean`, sharing `node`."""

    def __init__(self, weights, scalars, x, h, c):
        """`weights` and `scalars` as those of `step`."""
        both = np.concatenate([x, h], axis=-1)
        self.x, self.h, self.c = x, h, c
        self.z, self.r, self.f = (
            sigmoid(both @ weights[f"V_{k}"] + weights[f"b_{k}"]) for k in ("g", "r", "f")
        )
        self.s = [sigmoid(both @ v + b) for v, b in zip(weights["V_q"], weights["b_q"], strict=True)]
        _, _, self.nodes = step(weights, scalars, x, h, c, [1])
        self.t = np.tanh(x @ weights["W_x"] + (h * (1.0 + scalars["rho"] * (self.r - 1.0))) @ weights["W_h"])
        self.carried = h + scalars["kappa"] * (c - h)


def derivative(name, a):
    """o'(a)."""
    if name == "tanh":
        return 1.0 - np.tanh(a) ** 2
    if name == "sigmoid":
        return sigmoid(a) * (1.0 - sigmoid(a))
    return (a > 0.0) * 1.0 if name == "relu" else np.ones_like(a)


class Recursion:
    """The diagonal recursion through one step after another, backwards (docs/memory_space.md).

    `found` has the curvature of every scalar under the keys of `scalars`; of w by (i, j, operation).
    """

    def __init__(self, weights, scalars):
        """No step yet."""
        self.weights, self.scalars, self.found = weights, scalars, {}

    def add(self, key, values):
        """One more term of a scalar."""
        self.found[key] = self.found.get(key, 0.0) + float(np.sum(values))

    def back(self, trace, at_h, at_c):
        """H at the states of the step before, from H at this step's."""
        weights, scalars, n = self.weights, self.scalars, len(trace.s)
        at = [np.zeros_like(at_h) for _ in range(n + 1)]
        at_before = np.zeros_like(at_h)
        for j in range(n, 0, -1):
            through, at_q = self.product(j, trace, at[j] + at_h / n**2)
            at_before += at_q @ (weights["V_q"][j - 1][len(at_h[0]) :] ** 2).T
            for i in range(j):
                at[i] += self.edge(i, j, trace, through)
        at_k, more = self.input_node(trace, at[0] + at_c)
        kappa = scalars["kappa"]
        self.add("kappa", (trace.c - trace.h) ** 2 * at_k)
        return at_before + more + (1.0 - kappa) ** 2 * at_k, kappa**2 * at_k

    def product(self, j, trace, total):
        """(V4) H at the normed sum, and at q_j."""
        mu, s, gated = self.scalars["mu"][j - 1], trace.s[j - 1], trace.nodes[j]
        f = 1.0 + mu * (s - 1.0)
        v = gated / f
        self.add(("mu", j), (v * (s - 1.0)) ** 2 * total)
        return f**2 * total, (mu * v * s * (1.0 - s)) ** 2 * total

    def edge(self, i, j, trace, through):
        """(V3) H at the source of one edge."""
        options, x = self.scalars["w"][i, j], trace.nodes[i]
        through = through / (len(options) * j) ** 2
        g, a = np.split(x @ self.weights["W"][i, j], 2, axis=-1)
        c, at_x, at_pre = sigmoid(g), np.zeros_like(x), 0.0
        for name, w in options.items():
            if name == "squash":
                self.add((i, j, name), np.tanh(x) ** 2 * through)
                at_x += (w * (1.0 - np.tanh(x) ** 2)) ** 2 * through
                continue
            o = FUNCTIONS[name](a)
            self.add((i, j, name), (x + c * (o - x)) ** 2 * through)
            at_x += (w * (1.0 - c)) ** 2 * through
            parts = [(w * c * (1.0 - c) * (o - x)) ** 2, (w * c * derivative(name, a)) ** 2]
            at_pre = at_pre + np.concatenate(parts, axis=-1) * np.tile(through, 2)
        return at_x + at_pre @ (self.weights["W"][i, j] ** 2).T

    def input_node(self, trace, at_0):
        """(V2) H at K, and what reaches h of the step before through gates and candidate."""
        weights, scalars, units = self.weights, self.scalars, at_0.shape[-1]
        z, f, t, k, delta = trace.z, trace.f, trace.t, trace.carried, scalars["delta"]
        phi = (1.0 - z) + delta * (f - (1.0 - z))
        self.add("delta", (k * (f - 1.0 + z)) ** 2 * at_0)
        at_g = (z * (1.0 - z) * (t - (1.0 - delta) * k)) ** 2 * at_0
        at_f = (delta * f * (1.0 - f) * k) ** 2 * at_0
        at_a = (z * (1.0 - t**2)) ** 2 * at_0
        at_reset = at_a @ (weights["W_h"] ** 2).T
        rho, r, h = scalars["rho"], trace.r, trace.h
        self.add("rho", (h * (r - 1.0)) ** 2 * at_reset)
        at_r = (rho * h * r * (1.0 - r)) ** 2 * at_reset
        more = (1.0 + rho * (r - 1.0)) ** 2 * at_reset
        for name, at in (("V_g", at_g), ("V_f", at_f), ("V_r", at_r)):
            more = more + at @ (weights[name][units:] ** 2).T
        return phi**2 * at_0, more
