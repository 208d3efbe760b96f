"""Slow twin of dynamic evaluation (Krause et al. 2018): window by window, entry by entry."""

import numpy as np

from tests.references import averaging


def windows(rows, bptt):
    """(x, y) of each window; the last one takes what is left."""
    for start in range(0, rows.shape[1] - 1, bptt):
        end = min(start + bptt, rows.shape[1] - 1)
        yield rows[:, start:end], rows[:, start + 1 : end + 1]


def root_mean_squares(weights, genotype, rows, bptt):
    """√ of the mean over windows of the squared gradient of the mean loss, the state carried."""
    state, squares = np.zeros((len(rows), weights[0].shape[1])), [np.zeros(w.shape) for w in weights]
    count = 0
    for x, y in windows(rows, bptt):
        gradients = averaging.gradients(weights, genotype, x, y, state)
        squares = [s + g**2 for s, g in zip(squares, gradients, strict=True)]
        state = averaging.mean_nats(weights, genotype, x, y, state)[1]
        count += 1
    return [np.sqrt(s / count) for s in squares]


def update(weight, gradient, rms, start, mean, options):
    """θ after one window, entry by entry; `mean` is that of √MS, by which the decay is scaled."""
    moved = np.zeros(weight.shape)
    for k in np.ndindex(weight.shape):
        back = min(options.decay * rms[k] / mean, 1.0) * (start[k] - weight[k])
        moved[k] = weight[k] + back - options.lr * gradient[k] / (rms[k] + options.epsilon)
    return moved


def total_nats(weights, genotype, rows, rms, mean, options):
    """Total nats of one row under weights that learn each window after they have predicted it.

    `mean` as in `update`.
    """
    start, state, total = weights, np.zeros((1, weights[0].shape[1])), 0.0
    for x, y in windows(rows, options.bptt):
        nats, after = averaging.mean_nats(weights, genotype, x, y, state)
        total += nats * x.shape[1]
        gradients = averaging.gradients(weights, genotype, x, y, state)
        state = after
        weights = [
            update(*of_weight, mean, options)
            for of_weight in zip(weights, gradients, rms, start, strict=True)
        ]
    return total
