"""Slow twins of the derived cell and of the score of a text: float64, one node and one token at a time."""

import itertools

import numpy as np

OPS = {
    "tanh": np.tanh,
    "relu": lambda a: np.maximum(a, 0.0),
    "sigmoid": lambda a: 1.0 / (1.0 + np.exp(-a)),
    "identity": lambda a: a,
}


def _gated(x, pre, op):
    gate, a = np.split(pre, 2, axis=-1)
    return x + OPS["sigmoid"](gate) * (OPS[op](a) - x)


def step(x, h, w_0, node_kernels, nodes, output, input_mask=1.0, hidden_mask=1.0):
    """h_t of a genotype's cell from x_t and h_{t-1}, `[B, U]` each.

    `w_0` is [2U, 2U], `node_kernels` one [U, 2U] per node, `nodes` pairs (source, op).
    """
    values = [_gated(h, np.concatenate([x * input_mask, h * hidden_mask], axis=1) @ w_0, "tanh")]
    for (source, op), kernel in zip(nodes, node_kernels, strict=True):
        s = values[source]
        values.append(_gated(s, (s * hidden_mask) @ kernel, op))
    return np.mean([values[k] for k in output], axis=0)


def token_nats(ids, embedding, bias, cell_step):
    """Nats of every token of a stream but the first, from a zero state; `cell_step(x, h) -> h`."""
    h = np.zeros((1, embedding.shape[1]))
    nats = []
    for token, target in itertools.pairwise(ids):
        h = cell_step(embedding[[token]], h)
        logits = (h @ embedding.T + bias)[0]
        top = logits.max()
        nats.append(top + np.log(np.sum(np.exp(logits - top))) - logits[target])
    return np.array(nats)
