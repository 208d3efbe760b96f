"""Slow twins of SGD, of averaged SGD in both forms, and of the training of a derived cell with them."""

import numpy as np

from tests.references import derived


class Sgd:
    """w ← w - η (g + λ w), and from `start` on the arithmetic mean of the iterates, all of them kept."""

    def __init__(self, weights, decay):
        self.weights, self.decay = [np.array(w, float) for w in weights], decay
        self.iterates = None

    def start(self):
        self.iterates = []

    def step(self, gradients, lr):
        self.weights = [w - lr * (g + self.decay * w) for w, g in zip(self.weights, gradients, strict=True)]
        if self.iterates is not None:
            self.iterates.append(self.weights)

    def means(self):
        return [np.mean(iterates, axis=0) for iterates in zip(*self.iterates, strict=True)]


class TorchSgd(Sgd):
    """The same as `torch.optim.ASGD(t0=0, lambd=0)` does it: last step's rate, no first iterate."""

    rate = None

    def step(self, gradients, lr):
        late = self.rate if self.iterates else lr
        super().step(gradients, late)
        if self.iterates is not None:
            self.rate = lr

    def means(self):
        kept = self.iterates[1:] or self.iterates
        return [np.mean(iterates, axis=0) for iterates in zip(*kept, strict=True)]


def clipped(gradients, limit):
    """As `torch.nn.utils.clip_grad_norm_`."""
    norm = np.sqrt(sum(np.sum(g**2) for g in gradients))
    return [g * min(limit / (norm + 1e-6), 1.0) for g in gradients]


def mean_nats(weights, genotype, x, y, state):
    """Mean nats of a window `[B, T]` and the state after it, dropout off; weights may be complex.

    `weights` are the embedding, the decoder's bias, W_0 and one kernel per node.
    """
    embedding, bias, w_0, *kernels = weights
    nats, h = [], state
    for t in range(x.shape[1]):
        h = derived.step(embedding[x[:, t]], h, w_0, kernels, genotype.nodes, genotype.output)
        logits = h @ embedding.T + bias
        logits = logits - logits.max(axis=1, keepdims=True)
        nats.append(np.log(np.exp(logits).sum(axis=1)) - logits[np.arange(len(x)), y[:, t]])
    return np.mean(nats), h


def gradients(weights, genotype, x, y, state):
    """Of the mean nats, entry by entry, by a complex step: exact to rounding."""
    step, result = 1e-30, []
    for k, weight in enumerate(weights):
        of_weight = np.zeros(weight.shape)
        for entry in np.ndindex(weight.shape):
            changed = weight.astype(complex)
            changed[entry] += 1j * step
            moved = [*weights[:k], changed, *weights[k + 1 :]]
            of_weight[entry] = mean_nats(moved, genotype, x, y, state)[0].imag / step
        result.append(of_weight)
    return result
