"""Training and evaluation of the PyTorch models: losses and updates as ours, their time and memory."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from tools import machine
from tools.peer.model import DerivedCell, LanguageModel, Masks, Rates, SearchCell, Weights


class Peer(NamedTuple):
    """Which step, and of which model: no tensors, so that a new process can be given it."""

    weights: Weights
    cell: str | Genotype  # the norm of a supernet, or the cell
    windows: WindowOptions
    rates: Rates = Rates()
    options: WeightOptions | None = None  # None: nothing is trained
    scalar_options: ScalarOptions | None = None  # of a search
    threads: int | None = None  # None: as many as PyTorch takes

    def model(self) -> LanguageModel:
        """The model with these weights."""
        searched = isinstance(self.cell, str)
        cell = SearchCell(self.weights, self.cell) if searched else DerivedCell(self.weights, self.cell)
        return LanguageModel(self.weights, cell, self.rates)

    def step(self) -> "Evaluation":
        """The step on windows that follow each other, from a zero state."""
        batch = self.windows.batch_size
        if self.options is None:
            return Evaluation(self.model(), batch)
        if self.scalar_options is None:
            return TrainStep(self.model(), batch, self.options, self.options.weight_decay)
        amount = self.scalar_options.lr * self.scalar_options.l1(self.windows.bptt)
        return SearchStep(self.model(), batch, self.options, self.scalar_options.lr, amount)

    def timer(self) -> Callable[[], float]:
        """A function that takes one step on random ids, and returns its seconds; it has taken one."""
        if self.threads:
            torch.set_num_threads(self.threads)
        step, size = self.step(), (self.windows.bptt + 1, self.windows.batch_size)

        def seconds() -> float:
            ids = torch.randint(len(self.weights.embedding), size)
            started = time.perf_counter()
            step(ids[:-1], ids[1:])
            return time.perf_counter() - started

        seconds()
        return seconds

    def peak_mb(self) -> float | None:
        """The peak memory of this process over three steps, in 10^6 bytes; to be called in a new process."""
        machine.reset_peak()
        step = self.timer()
        for _ in range(2):
            step()
        return machine.peak_mb()


class Evaluation:
    """Nats of windows; owns the state that they carry over."""

    def __init__(self, model: LanguageModel, batch: int):
        """Begins with a zero state."""
        self.model, self.batch, self.state = model, batch, model.zero_state(batch)

    def __call__(self, ids, targets) -> float:
        """Mean nats per token of ids, targets `[T, B]`."""
        with torch.no_grad():
            nats, _, _, self.state = self.model(ids, targets, self.state)
        return nats.item()


class TrainStep(Evaluation):
    """Clipped SGD on all weights, at the rate of a full window."""

    def __init__(self, model: LanguageModel, batch: int, options: WeightOptions, weight_decay: float):
        """`weight_decay` λ adds λ W to the gradient."""
        super().__init__(model, batch)
        self.options = options
        self.weights = [p for name, p in model.named_parameters() if name != "cell.scalars"]
        self.optimizer = torch.optim.SGD(self.weights, lr=options.lr, weight_decay=weight_decay)

    def __call__(self, ids, targets, masks: Masks | None = None) -> float:
        """Train on ids, targets `[T, B]`, and return their mean nats per token; `masks` None: draw them."""
        options, masks = self.options, masks or self.model.draw_masks(self.batch)
        self.optimizer.zero_grad()
        nats, hidden, dropped, state = self.model(ids, targets, self.state, masks)
        loss = nats
        if options.activation > 0.0:
            loss = loss + options.activation * dropped.pow(2).mean()
        if options.temporal_activation > 0.0:
            loss = loss + options.temporal_activation * (hidden[1:] - hidden[:-1]).pow(2).mean()
        loss.backward()
        if options.clip > 0.0:
            torch.nn.utils.clip_grad_norm_(self.weights, options.clip)
        self.optimizer.step()
        self.state = state.detach()
        return nats.item()


class SearchStep(TrainStep):
    """The same on W, with λ‖W‖² in the loss, and a proximal step on the scalars, outside the clip (M5)."""

    def __init__(self, model: LanguageModel, batch: int, options: WeightOptions, lr_w: float, amount: float):
        """`amount` lr_w λ_w/T is the shrinkage of a scalar whose ω is 1, as all are in the first epoch."""
        super().__init__(model, batch, options, 2.0 * options.weight_decay)
        self.amount, self.scalars = amount, model.cell.scalars
        self.scalar_optimizer = torch.optim.SGD([self.scalars], lr=lr_w)
        self.omega = torch.ones_like(self.scalars)

    def __call__(self, ids, targets, masks: Masks | None = None) -> float:
        """See `TrainStep`."""
        self.scalar_optimizer.zero_grad()
        nats = super().__call__(ids, targets, masks)
        self.scalar_optimizer.step()
        with torch.no_grad():
            shrunk = torch.relu(self.scalars.abs() - self.amount * self.omega)
            self.scalars.copy_(torch.sign(self.scalars) * shrunk)
        return nats
