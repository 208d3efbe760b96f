"""Slow twin of one step of the search (M5): every gradient entry by a complex step, then each move."""

import dataclasses
import math

import numpy as np

from tests.references import cell as language_model

WEIGHTS = ("embedding", "decoder_bias", "kernel", "recurrent_kernel", "norm_scale", "norm_offset")


@dataclasses.dataclass
class Settings:
    """The numbers of (M5) and of the two optimisers."""

    lr: float
    clip: float
    decay: float
    activation: float
    lr_w: float
    lambda_w: float
    bptt: int
    per_token: bool
    gauge: bool


def temporal_activation(hidden):
    """Mean of (h_t - h_{t-1})² over all entries, as DARTS: `(h[1:] - h[:-1]).pow(2).mean()`."""
    changes = [(hidden[:, t] - hidden[:, t - 1]) ** 2 for t in range(1, hidden.shape[1])]
    return np.array(changes).mean()


def smooth_loss(cell, x, y, state, activation, masks):
    """Mean NLL and temporal activation of a window without padding."""
    hidden = language_model.run(cell, cell.embedding[x], state, **masks)
    nats = language_model.token_nats(language_model.logits(cell, hidden), y).mean()
    return nats + activation * temporal_activation(hidden)


def gradient(cell, name, f, index=None):
    """∂f/∂(weight), of the weight's shape."""
    weight = getattr(cell, name) if index is None else getattr(cell, name)[index]
    result = np.zeros(weight.shape)
    for entry in np.ndindex(weight.shape):
        direction = np.zeros(weight.shape)
        direction[entry] = 1.0
        result[entry] = language_model.derivative(cell, name, direction, f, index)
    return result


def clipped(gradients, limit):
    """All gradients scaled down together to the joint norm `limit`, as `torch.nn.utils.clip_grad_norm_`."""
    norm = math.sqrt(sum(float((g**2).sum()) for g in gradients))
    scale = min(limit / (norm + 1e-6), 1.0) if limit else 1.0
    return [scale * g for g in gradients]


def soft_threshold(w, amount):
    """The minimum over x of (x - w)²/2 + amount |x|, case by case."""
    if w > amount:
        return w - amount
    return w + amount if w < -amount else 0.0


def gauged(cell, w):
    """The scalars into each node at root mean square 1."""
    w = w.copy()
    for j in range(1, cell.nodes + 1):
        rows = [cell.edge(i, j) for i in range(j)]
        w[rows] /= math.sqrt((w[rows] ** 2).mean())
    return w


def moved_scalars(w, g, omega, settings):
    """A gradient step with the scalars' own rate, then the proximal step of (λ_w/T) Σ|ω w|."""
    l1 = settings.lambda_w if settings.per_token else settings.lambda_w / settings.bptt
    flat = zip(w.ravel(), g.ravel(), omega.ravel(), strict=True)
    moved = [soft_threshold(a - settings.lr_w * b, settings.lr_w * l1 * c) for a, b, c in flat]
    return np.array(moved).reshape(w.shape)


def search_step(cell, x, y, state, omegas, settings, masks):
    """The twin after one step, its state, the window's mean nats and the mean square of w's gradient.

    `omegas` belong to the scalars and to the zero-edge switches.
    """
    f = lambda changed: smooth_loss(changed, x, y, state, settings.activation, masks)  # noqa: E731
    names = [(name, None) for name in WEIGHTS if getattr(cell, name) is not None]
    names += [("node_kernels", index) for index in range(cell.nodes)]
    of_weights = clipped([gradient(cell, *name[:1], f, name[1]) for name in names], settings.clip)
    rate = settings.lr * x.shape[1] / settings.bptt
    changes = {"node_kernels": list(cell.node_kernels)}
    for (name, index), g in zip(names, of_weights, strict=True):
        weight = getattr(cell, name) if index is None else cell.node_kernels[index]
        moved = weight - rate * (g + 2.0 * settings.decay * weight)
        if index is None:
            changes[name] = moved
        else:
            changes["node_kernels"][index] = moved
    of_w = gradient(cell, "scalars", f)
    changes["scalars"] = moved_scalars(cell.scalars, of_w, omegas[0], settings)
    if settings.gauge:
        changes["scalars"] = gauged(cell, changes["scalars"])
    if cell.zero_scalars is not None:
        of_zero = gradient(cell, "zero_scalars", f)
        changes["zero_scalars"] = moved_scalars(cell.zero_scalars, of_zero, omegas[1], settings)
    hidden = language_model.run(cell, cell.embedding[x], state, **masks)
    nats = smooth_loss(cell, x, y, state, 0.0, masks)
    return dataclasses.replace(cell, **changes), hidden[:, -1], nats, (of_w**2).mean()
