"""Slow twin of the search cell, the language model around it and the loss (M1-M5): edge by edge, float64.

Everything also works on complex arrays, so that Im f(w + iε) / ε is the derivative of f to the last digit
(complex step): that is what gradients and curvature are checked against.
"""

import dataclasses
from typing import Any

import numpy as np

EPSILON = 1e-5
COMPLEX_STEP = 1e-30


def sigmoid(a):
    return 1.0 / (1.0 + np.exp(-a))


OPS = (np.tanh, lambda a: np.where(a.real > 0.0, a, 0.0), sigmoid, lambda a: a)


@dataclasses.dataclass
class Cell:
    """Weights and form of a search cell; `node_kernels[j - 1]` belongs to node j."""

    kernel: np.ndarray
    recurrent_kernel: np.ndarray
    node_kernels: list
    scalars: np.ndarray
    zero_scalars: np.ndarray | None
    norm_scale: np.ndarray | None
    norm_offset: np.ndarray | None
    norm: str
    sharing: str
    embedding: Any = None
    decoder_bias: Any = None

    @property
    def nodes(self):
        return len(self.node_kernels)

    @property
    def units(self):
        return self.recurrent_kernel.shape[0]

    def kernel_of(self, i, j, o):
        kernel = self.node_kernels[j - 1]
        return {"node": lambda: kernel, "edge": lambda: kernel[i], "edge_op": lambda: kernel[o][i]}[
            self.sharing
        ]()

    def edge(self, i, j):
        """Row of the edge i -> j: counted, not computed."""
        return [(a, b) for b in range(1, self.nodes + 1) for a in range(b)].index((i, j))

    def switch(self, i, j):
        return 1.0 if self.zero_scalars is None else self.zero_scalars[self.edge(i, j)]

    def w(self, i, j, o):
        return self.switch(i, j) * self.scalars[self.edge(i, j), o]


def copy_of(cell, model=None) -> Cell:
    """The twin of a built Keras cell, and of the language model around it."""

    def value(owner, name):
        variable = getattr(owner, name, None)
        return None if variable is None else variable.numpy()

    of_cell = ("kernel", "recurrent_kernel", "scalars", "zero_scalars", "norm_scale", "norm_offset")
    return Cell(
        **{name: value(cell, name) for name in of_cell},
        **{name: value(model, name) for name in ("embedding", "decoder_bias")},
        node_kernels=[kernel.numpy() for kernel in cell.node_kernels],
        norm=cell.options.norm,
        sharing=cell.options.weight_sharing,
    )


def normalised(cell, x, node):
    """Norm after a node, with the statistics of this batch at this step."""
    if cell.norm in ("batch", "layer"):
        axis = 0 if cell.norm == "batch" else 1
        size = x.shape[axis]
        mean = x.sum(axis, keepdims=True) / size
        variance = ((x - mean) ** 2).sum(axis, keepdims=True) / size
        x = (x - mean) / np.sqrt(variance + EPSILON)
    if cell.norm == "mean" and node > 0:
        x = x / (len(OPS) * node)
    if cell.norm_scale is not None:
        x = x * cell.norm_scale[node] + cell.norm_offset[node]
    return x


def gated(x, gate, candidate):
    """c ∘ candidate + (1 - c) ∘ x with c = σ(gate) (3.3)."""
    c = sigmoid(gate)
    return c * candidate + (1.0 - c) * x


def input_node(cell, x, h, input_mask=1.0, hidden_mask=1.0, nudge=0.0):
    """(M1) before its norm, and a; `nudge` is added to tanh(a)."""
    w_0 = np.concatenate([cell.kernel, cell.recurrent_kernel])
    pre = np.concatenate([x * input_mask, h * hidden_mask], axis=1) @ w_0
    gate, a = pre[:, : cell.units], pre[:, cell.units :]
    return gated(h, gate, np.tanh(a) + nudge), a


def edge_output(cell, x_i, i, j, o, hidden_mask=1.0):
    """(M2) u_ij^o."""
    pre = (x_i * hidden_mask) @ cell.kernel_of(i, j, o)
    return gated(x_i, pre[:, : cell.units], OPS[o](pre[:, cell.units :]))


def step(cell, x, h, input_mask=1.0, hidden_mask=1.0, nudge=0.0):
    """(M1-M4) h_t, the values of all nodes, and u_ij^o by (i, j, o)."""
    values = [normalised(cell, input_node(cell, x, h, input_mask, hidden_mask, nudge)[0], 0)]
    outputs = {}
    for j in range(1, cell.nodes + 1):
        total = 0.0
        for i in range(j):
            for o in range(len(OPS)):
                outputs[i, j, o] = edge_output(cell, values[i], i, j, o, hidden_mask)
                total = total + cell.w(i, j, o) * outputs[i, j, o]
        values.append(normalised(cell, total, j))
    return sum(values[1:]) / cell.nodes, values, outputs


def run(cell, x, h, **masks):
    """Hidden states `[B, T, U]` from embeddings `[B, T, K]` and the state before them."""
    hidden = []
    for t in range(x.shape[1]):
        h, _, _ = step(cell, x[:, t], h, **masks)
        hidden.append(h)
    return np.stack(hidden, axis=1)


def logits(cell, hidden):
    """Tied decoder."""
    return hidden @ cell.embedding.T + cell.decoder_bias


def token_nats(z, y):
    """-log softmax(z)[y], `[B, T]`."""
    z = z - z.real.max(axis=-1, keepdims=True)
    total = np.log(np.exp(z).sum(axis=-1))
    return total - np.take_along_axis(z, y[..., np.newaxis], axis=-1)[..., 0]


def nats(cell, x, y, h):
    """Mean NLL of a window of ids `[B, T]` without dropout."""
    return token_nats(logits(cell, run(cell, cell.embedding[x], h)), y).mean()


def loss(mean_nats, hidden, weights, w, omega, *, activation, decay, lambda_w, bptt):
    """(M5) with the temporal activation of DARTS."""
    changes = [np.mean((hidden[:, t] - hidden[:, t - 1]) ** 2) for t in range(1, hidden.shape[1])]
    l2 = sum(float((weight**2).sum()) for weight in weights)
    l1 = sum(abs(a * b) for a, b in zip(omega.flat, w.flat, strict=True))
    return mean_nats + activation * np.mean(changes) + decay * l2 + lambda_w / bptt * l1


def derivative(cell, name, direction, f, index=None):
    """d/ds f(cell with weight `name` + s direction) by a complex step; `index` picks a kernel of a list."""
    weight = getattr(cell, name) if index is None else getattr(cell, name)[index]
    changed = weight + 1j * COMPLEX_STEP * direction
    if index is not None:
        kernels = list(getattr(cell, name))
        kernels[index] = changed
        changed = kernels
    return np.imag(f(dataclasses.replace(cell, **{name: changed}))) / COMPLEX_STEP


def each_entry(cell, name, f):
    """∂f/∂(every entry of a weight), stacked in front."""
    weight = getattr(cell, name)
    columns = []
    for entry in range(weight.size):
        direction = np.zeros(weight.shape)
        direction.flat[entry] = 1.0
        columns.append(derivative(cell, name, direction, f))
    return np.array(columns)
