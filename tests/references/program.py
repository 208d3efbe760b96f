"""Programs in NumPy float64, one instruction after the other: the twin of the cells of every space.

Values are `[B, U]`, or `[k, B, U]` where they are stacked. Nothing is shared with the package but the
programs themselves.
"""

import numpy as np

EPSILON = 1e-5  # of a norm

FUNCTIONS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "identity": lambda a: a,
    "leaky_relu": lambda a: np.maximum(a, 0.01 * a),
}


def normalised(x, kind, terms):
    """(M3)'s norms."""
    if kind in ("batch", "layer"):
        axis = -2 if kind == "batch" else -1
        centred = x - x.mean(axis=axis, keepdims=True)
        return centred / np.sqrt((centred**2).mean(axis=axis, keepdims=True) + EPSILON)
    return x / terms if kind == "mean" else x


def gated(x, pre, operation):
    """x + σ(g) (o(a) - x)."""
    g, a = np.split(pre, 2, axis=-1)
    c = FUNCTIONS["sigmoid"](g)
    return x + c * (operation(a) - x)


def edge(x, pre, w, options, plain):
    """Every operation of one edge: those behind a gate, then those of x itself."""
    behind = [w[o] * gated(x, pre[o], FUNCTIONS[name]) for o, name in enumerate(options)]
    direct = [w[len(options) + o] * FUNCTIONS[name](x) for o, name in enumerate(plain)]
    return sum(behind + direct)


def mixed(x, pre, w, options, rows, norm, plain=()):
    """Every operation of every edge, one by one."""
    total, own = 0.0, w[rows[0] : rows[1]]
    for j in range(len(x)):
        each = [part[j] for part in pre] if pre.ndim == x.ndim + 1 else [pre[j]] * len(options)
        total = total + edge(x[j], each, own[j], options, plain)
    return normalised(total, norm, len(own) * (len(options) + len(plain)))


def spread(x, pre, w, options, plain=()):
    """What one node gives to k others, [B, k, U]."""
    parts = np.split(pre, len(w), axis=-1)
    given = [edge(x, [part] * len(options), w[k], options, plain) for k, part in enumerate(parts)]
    return np.stack(given, axis=1)


def chosen(one_hot, x, pre, options, row, plain=()):
    """A gate with the operation that is marked, or a function of x."""
    number = int(np.argmax(one_hot[row]))
    if number >= len(options):
        return FUNCTIONS[plain[number - len(options)]](x)
    return gated(x, pre, FUNCTIONS[options[number]])


def biased(x, *biases):
    """x plus biases side by side, and zeros behind them."""
    flat = np.concatenate([bias.ravel() for bias in biases])
    return x + np.pad(flat, (0, x.shape[-1] - len(flat)))


def renewed(k, g, a, q, *rest):
    """x_0 of a cell with a memory (V2)."""
    sigmoid, (*w, at, cap) = FUNCTIONS["sigmoid"], rest
    delta = w[0][at[0], at[1]] if w else 1.0
    z, f = sigmoid(g), sigmoid(q)
    phi = (1.0 - z) + delta * (f - (1.0 - z))
    return phi * k + (np.minimum(z, 1.0 - phi) if cap else z) * np.tanh(a)


def multiplied(v, q, *rest):
    """A product with a gate, behind a switch (V4)."""
    *w, at = rest
    mu = w[0][at[0], at[1]] if w else 1.0
    return v * (1.0 + mu * (FUNCTIONS["sigmoid"](q) - 1.0))


TWINS = {
    "plus": lambda *x: sum(x),
    "mean": lambda *x: sum(x) / len(x),
    "stack": lambda *x: np.stack(x),
    "part": lambda x, k, count: np.split(x, count, axis=-1)[k],
    "scale": lambda x, factor, offset, row: x * factor[row] + offset[row],
    "columns": lambda x, first, end, count: np.concatenate(np.split(x, count, axis=-1)[first:end], axis=-1),
    "bias": biased,
    "rows": lambda w, *numbers: w[list(numbers)],
    "times": lambda a, b: a * b,
    "one_minus": lambda a: 1.0 - a,
    "blend": lambda a, b, c: a * b + (1.0 - a) * c,
    "apply": lambda a, name: FUNCTIONS[name](a),
    "gate": lambda x, pre, name: gated(x, pre, FUNCTIONS[name]),
    "norm": normalised,
    "mix": mixed,
    "spread": spread,
    "accumulate": lambda given, under_way: given + under_way[:, 1:],
    "first": lambda sums: sums[:, 0],
    "pick": lambda one_hot, stacked, row, count: stacked[int(np.argmax(one_hot[row, :count]))],
    "choose": chosen,
    "product": multiplied,
    "toward": lambda h, c, w, at: h + w[at[0], at[1]] * (c - h),
    "renew": renewed,
    "bypass": lambda k, g, a: k + FUNCTIONS["sigmoid"](g) * (np.tanh(a) - k),
}


def kernel(weights, name):
    """A kernel, or the part of one that `name/i` means."""
    whole, _, index = name.partition("/")
    return weights[whole][int(index)] if index else weights[whole]


def step(program, weights, given, mask=1.0):
    """All values of one step by name.

    `weights` are weights and constants; `given` is `x` and the states of the step before; `mask` meets every
    value that meets a kernel.
    """
    known = {**weights, **given}
    for op in program.ops:
        args = [known[name] for name in op.args if name in known]
        if op.rule == "project":
            kernels = [kernel(weights, name) for name in op.args[1:]]
            known[op.out] = (known[op.args[0]] * mask) @ np.concatenate(kernels, axis=-1)
        else:
            known[op.out] = TWINS[op.rule](*args, *op.static)
    return known


def window(program, weights, xs, states, mask=1.0):
    """All outputs `[T, B, U]`, and the last states, from inputs `[T, B, N]` times the input kernel."""
    outputs = []
    for x in xs:
        given = {"x": x, **{f"{name}-": state for name, state in zip(program.state, states, strict=True)}}
        known = step(program, weights, given, mask)
        outputs.append(known[program.output])
        states = [known[name] for name in program.state]
    return np.stack(outputs), states
