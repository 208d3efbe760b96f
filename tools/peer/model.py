"""The supernet and the language model of a genotype in PyTorch: eager loops over time steps and nodes.

In the form of DARTS' code: x_t and h_{t-1} meet W_0 side by side at each time step, the predecessors of a
node of the supernet share one matrix product, and each operation then has its own bypass and weighted sum.
Sequences are time-major, `[T, B, ...]`.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway import topology
from bayesnas_tf.space.highway.operations import OP_NAMES

FUNCTIONS = {"tanh": torch.tanh, "relu": torch.relu, "sigmoid": torch.sigmoid, "identity": lambda a: a}


class Weights(NamedTuple):
    """All weights of a language model."""

    embedding: np.ndarray  # [V, U], of the decoder too
    decoder_bias: np.ndarray  # [V]
    input_kernel: np.ndarray  # W_0 [2U, 2U]: rows of the input, then of the state
    node_kernels: list[np.ndarray]  # [U, 2U] for each node
    scalars: np.ndarray | None = None  # [E, O] of a supernet


class Masks(NamedTuple):
    """Inverted-dropout masks of one window; None means no dropout."""

    words: torch.Tensor | None = None  # [V, 1]
    embeddings: torch.Tensor | None = None  # [1, B, U]
    inputs: torch.Tensor | None = None  # [B, U]
    hidden: torch.Tensor | None = None  # [B, U]
    outputs: torch.Tensor | None = None  # [1, B, U]


class Rates(NamedTuple):
    """Probabilities of dropping, one for each of `Masks`."""

    words: float = 0.0
    embeddings: float = 0.0
    inputs: float = 0.0
    hidden: float = 0.0
    outputs: float = 0.0


NO_MASKS = Masks()


def masked(x, mask):
    """x times a mask that broadcasts over its leading axes, or x."""
    return x if mask is None else x * mask


def parameter(array) -> nn.Parameter:
    """A weight that starts with these values."""
    return nn.Parameter(torch.tensor(array))


class HighwayCell(nn.Module):
    """Node 0 (M1) and the loop over time; a subclass says what the other nodes compute."""

    def __init__(self, weights: Weights):
        """Copies of W_0 and of the kernels of the nodes."""
        super().__init__()
        self.input_kernel = parameter(weights.input_kernel)
        self.node_kernels = nn.ParameterList([parameter(kernel) for kernel in weights.node_kernels])

    def forward(self, inputs, h, masks: Masks = NO_MASKS):
        """All h_t `[T, B, U]` and the last one, from inputs `[T, B, U]` and a state `[B, U]`."""
        outputs = []
        for x in inputs:
            h = self.step(x, h, masks)
            outputs.append(h)
        return torch.stack(outputs), h

    def step(self, x, h, masks: Masks):
        """h_t `[B, U]` from x_t and h_{t-1} `[B, U]`; what `torch.compile` compiles."""
        both = torch.cat([masked(x, masks.inputs), masked(h, masks.hidden)], dim=-1)
        gate, candidate = torch.chunk(both @ self.input_kernel, 2, dim=-1)
        first = h + torch.sigmoid(gate) * (torch.tanh(candidate) - h)
        return self.output(first, masks.hidden)

    def output(self, first, mask):
        """(M4) h_t `[B, U]` from node 0 before any norm, and the mask of hidden values."""
        raise NotImplementedError


class SearchCell(HighwayCell):
    """All operations of all edges (M2, M3), one kernel per node."""

    def __init__(self, weights: Weights, norm: str):
        """`norm` as in `bayesnas_tf.cells.norms`."""
        super().__init__(weights)
        self.norm, self.scalars = norm, parameter(weights.scalars)

    def normalised(self, x, terms: int):
        """The norm of x `[B, U]`, a sum of `terms` terms."""
        if self.norm == "batch":
            return functional.batch_norm(x, None, None, training=True)
        if self.norm == "layer":
            return functional.layer_norm(x, x.shape[-1:])
        return x / terms if self.norm == "mean" else x

    def output(self, first, mask):
        """The mean of nodes 1..n."""
        states = self.normalised(first, 1).unsqueeze(0)
        for j, kernel in enumerate(self.node_kernels, start=1):
            pre = (masked(states, mask).flatten(0, 1) @ kernel).unflatten(0, (j, -1))
            gate, candidate = torch.chunk(pre, 2, dim=-1)
            opened, scalars = torch.sigmoid(gate), self.scalars[topology.incoming(j)]
            total = torch.zeros_like(first)
            for o, name in enumerate(OP_NAMES):
                edges = states + opened * (FUNCTIONS[name](candidate) - states)
                total = total + torch.sum(scalars[:, o, None, None] * edges, dim=0)
            states = torch.cat([states, self.normalised(total, len(OP_NAMES) * j).unsqueeze(0)])
        return torch.mean(states[1:], dim=0)


class DerivedCell(HighwayCell):
    """One source and one operation per node."""

    def __init__(self, weights: Weights, genotype: Genotype):
        """One kernel per node of the genotype."""
        super().__init__(weights)
        self.genotype = genotype

    def output(self, first, mask):
        """The mean of the genotype's output nodes."""
        states = [first]
        for node, kernel in zip(self.genotype.nodes, self.node_kernels, strict=True):
            source = states[node.source]
            gate, candidate = torch.chunk(masked(source, mask) @ kernel, 2, dim=-1)
            states.append(source + torch.sigmoid(gate) * (FUNCTIONS[node.op](candidate) - source))
        return torch.mean(torch.stack([states[k] for k in self.genotype.output]), dim=0)


class LanguageModel(nn.Module):
    """Tied embedding, cell, softmax."""

    def __init__(self, weights: Weights, cell: HighwayCell, rates: Rates):
        """Copies of the embedding and of the decoder's bias; `rates` are those of `draw_masks`."""
        super().__init__()
        self.embedding, self.decoder_bias = parameter(weights.embedding), parameter(weights.decoder_bias)
        self.cell, self.rates = cell, rates

    def draw_masks(self, batch: int) -> Masks:
        """The masks of one window, from PyTorch's own generator."""
        words, units = self.embedding.shape
        shapes = Masks((words, 1), (1, batch, units), (batch, units), (batch, units), (1, batch, units))
        drawn = [
            torch.empty(shape, dtype=self.embedding.dtype).bernoulli_(1.0 - rate).div_(1.0 - rate)
            if rate
            else None
            for shape, rate in zip(shapes, self.rates, strict=True)
        ]
        return Masks(*drawn)

    def zero_state(self, batch: int):
        """The state `[B, U]` at the start of a corpus."""
        return self.embedding.new_zeros(batch, self.embedding.shape[1])

    def forward(self, ids, targets, h, masks: Masks = NO_MASKS):
        """Mean nats per token, hidden states `[T, B, U]` before and after dropout, and the next state.

        From ids and targets, int64 `[T, B]`, and a state `[B, U]`.
        """
        embedded = functional.embedding(ids, masked(self.embedding, masks.words))
        hidden, h = self.cell(masked(embedded, masks.embeddings), h, masks)
        dropped = masked(hidden, masks.outputs)
        logits = functional.linear(dropped.flatten(0, 1), self.embedding, self.decoder_bias)
        return functional.cross_entropy(logits, targets.flatten()), hidden, dropped, h
