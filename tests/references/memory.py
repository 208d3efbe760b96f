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
