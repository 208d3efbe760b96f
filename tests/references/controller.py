"""Slow twin of the controller of ENAS: one cell, one decision at a time, float64."""

import itertools

import numpy as np


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


def log_softmax(logits):
    shifted = np.asarray(logits) - max(logits)
    return shifted - np.log(np.sum(np.exp(shifted)))


def log_prob(weights, cell, temperature, limit):
    """log π of a cell, pairs (source, op) of nodes 1, 2, ...; `weights` has the arrays by name."""
    units = weights["start"].shape[1]

    def lstm(x, h, c):
        pre = np.concatenate([x, h]) @ weights["lstm"]
        i, f, o, new = (pre[k * units : (k + 1) * units] for k in range(4))
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(new)
        return sigmoid(o) * np.tanh(c), c

    def limited(logits):
        return [limit * np.tanh(logit / temperature) for logit in logits]

    h, c = lstm(weights["start"][0], np.zeros(units), np.zeros(units))
    anchors, x, total = [h], weights["embeddings"][0], 0.0
    for source, op in cell:
        h, c = lstm(x, h, c)
        query = h @ weights["query_kernel"]
        scores = [np.tanh(a @ weights["anchor_kernel"] + query) @ weights["attention"][:, 0] for a in anchors]
        total += log_softmax(limited(scores))[source]
        x = anchors[source]
        anchors.append(h)
        h, c = lstm(x, h, c)
        total += log_softmax(limited(h @ weights["op_kernel"]))[op]
        x = weights["embeddings"][op]
    return total


def all_cells(nodes, ops):
    """Every cell of so many nodes."""
    decisions = [itertools.product(range(node), range(ops)) for node in range(1, nodes + 1)]
    return list(itertools.product(*decisions))
