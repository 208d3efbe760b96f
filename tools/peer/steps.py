"""Training and evaluation of the PyTorch models: losses and updates as ours, their time and memory."""

import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.training.settings import ScalarOptions, WeightOptions, WindowOptions
from tools import machine
from tools.peer.forms import EAGER, Form
from tools.peer.model import NO_MASKS, DerivedCell, LanguageModel, Masks, Rates, SearchCell, Weights

NO_RECOMPILING = "fail_on_recompile"  # a stance of torch.compile: a second compilation is an error


class Timer(NamedTuple):
    """A step that is ready to be timed."""

    first_seconds: float  # of the first step; that of a compiled form compiles
    step: Callable[[], float]  # takes one step on random ids, and returns its seconds


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
        if isinstance(self.cell, str):
            return LanguageModel(self.weights, SearchCell(self.weights, self.cell), self.rates)
        return LanguageModel(self.weights, DerivedCell(self.weights, self.cell), self.rates)

    def step(self, form: Form = EAGER) -> "Evaluation":
        """The step in this form on windows that follow each other, from a zero state."""
        step = self._eager_step()
        if form.compiled:
            # One time step, for these sizes alone: a window as one graph compiles for over seven minutes.
            cell = step.model.cell
            cell.step = torch.compile(cell.step, fullgraph=True, dynamic=False)  # type: ignore[method-assign]
        step.compute = run_as(form, step.losses)
        return step

    def _eager_step(self) -> "Evaluation":
        batch = self.windows.batch_size
        if self.options is None:
            return Evaluation(self.model(), batch)
        if self.scalar_options is None:
            return TrainStep(self.model(), batch, self.options, self.options.weight_decay)
        amount = self.scalar_options.lr * self.scalar_options.l1(self.windows.bptt)
        return SearchStep(self.model(), batch, self.options, self.scalar_options.lr, amount)

    def timer(self, form: Form = EAGER) -> Timer:
        """The step in this form; it has been taken twice.

        Raises:
          Exception: torch.compile cannot compile it here, or would have to compile the second step anew.
        """
        if self.threads:
            torch.set_num_threads(self.threads)  # first: what torch.compile writes is for so many
        step, size = self.step(form), (self.windows.bptt + 1, self.windows.batch_size)

        def seconds() -> float:
            ids = torch.randint(len(self.weights.embedding), size)
            started = time.perf_counter()
            step(ids[:-1], ids[1:])
            return time.perf_counter() - started

        def without_compiling() -> float:
            with torch.compiler.set_stance(NO_RECOMPILING):
                return seconds()

        first, later = seconds(), without_compiling if form.compiled else seconds
        later()
        return Timer(first, later)

    def peak_mb(self) -> float | None:
        """The peak memory of this process over three steps, in 10^6 bytes; to be called in a new process."""
        machine.reset_peak()
        self.timer().step()
        return machine.peak_mb()


def run_as(form: Form, function: Callable) -> Callable:
    """A function of tensors as this form runs it; its gradient is left to the caller, outside of autocast."""
    return torch.autocast("cpu", dtype=torch.bfloat16)(function) if form.autocast else function


class Evaluation:
    """Nats of windows; owns the state that they carry over."""

    def __init__(self, model: LanguageModel, batch: int):
        """Begins with a zero state."""
        self.model, self.batch, self.state = model, batch, model.zero_state(batch)
        self.compute: Callable = self.losses  # in the form in which it runs

    def losses(self, ids, targets, state, masks: Masks = NO_MASKS):
        """Mean nats per token, what is minimised, and the next state; see `LanguageModel.forward`."""
        nats, _, _, state = self.model(ids, targets, state, masks)
        return nats, nats, state

    def __call__(self, ids, targets) -> float:
        """Mean nats per token of ids, targets `[T, B]`."""
        with torch.no_grad():
            nats, _, self.state = self.compute(ids, targets, self.state)
        return nats.item()


class TrainStep(Evaluation):
    """Clipped SGD on all weights, at the rate of a full window."""

    def __init__(self, model: LanguageModel, batch: int, options: WeightOptions, weight_decay: float):
        """`weight_decay` λ adds λ W to the gradient."""
        super().__init__(model, batch)
        self.options = options
        self.weights = [p for name, p in model.named_parameters() if name != "cell.scalars"]
        self.optimizer = torch.optim.SGD(self.weights, lr=options.lr, weight_decay=weight_decay)

    def losses(self, ids, targets, state, masks: Masks = NO_MASKS):
        """See `Evaluation`: the same, with the penalties of what is hidden."""
        nats, hidden, dropped, state = self.model(ids, targets, state, masks)
        loss, options = nats, self.options
        if options.activation > 0.0:
            loss = loss + options.activation * dropped.pow(2).mean()
        if options.temporal_activation > 0.0:
            loss = loss + options.temporal_activation * (hidden[1:] - hidden[:-1]).pow(2).mean()
        return nats, loss, state

    def __call__(self, ids, targets, masks: Masks | None = None) -> float:
        """Train on ids, targets `[T, B]`, and return their mean nats per token; `masks` None: draw them."""
        self.optimizer.zero_grad()
        masks = masks or self.model.draw_masks(self.batch)
        nats, loss, state = self.compute(ids, targets, self.state, masks)
        loss.backward()
        if self.options.clip > 0.0:
            torch.nn.utils.clip_grad_norm_(self.weights, self.options.clip)
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
