"""Speed and memory of curvature: the Hessian phase of a search, and lanes within one backward pass."""

import statistics
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, TypeVar

import numpy as np
import tensorflow as tf

from bayesnas_tf.curvature import interface as curvature
from bayesnas_tf.curvature import one_pass as one_pass_form
from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.curvature.window import Window
from bayesnas_tf.models import losses
from bayesnas_tf.numerics import seeds
from bayesnas_tf.training.fixed_windows import fixed_windows
from bayesnas_tf.training.strategies.bayesnas.strategy import HESSIAN_SEED
from tools import machine
from tools.benchmark.subject import Bench, Entries, Plan, Recipe, build
from tools.machine import peak_mb, reset_peak, resident_mb

Item = TypeVar("Item")


class HessianSpeed(NamedTuple):
    """The Hessian phase of one update, compilation included."""

    seconds: float
    windows: int
    seconds_per_window: float
    share_of_epoch: float | None  # relative to the training steps of an epoch; None: those were not measured
    tokens_per_second: float
    compile_seconds: float
    peak_mb: float | None


def clocked(items: Iterable[Item], ticks: list[float]) -> Iterator[Item]:
    """The items; the time of handing out each is added to `ticks`."""
    for item in items:
        ticks.append(time.perf_counter())
        yield item


def hessian(bench: Bench, plan: Plan, entries: Entries) -> HessianSpeed:
    """Time the whole phase once, compilation included; its windows are the repeats.

    A window is timed from one being handed out to the next: its numbers are read before the next is asked
    for. What the first takes longer than the median of the others is compile time.
    """
    settings, problem = bench.settings, bench.problem
    batch, bptt, options = settings.windows.batch_size, settings.windows.bptt, settings.curvature
    windows = fixed_windows(problem.train_rows, bptt, options.windows)
    state, seed = problem.model.zero_state(batch), seeds.fold(problem.seed, HESSIAN_SEED, 0)
    ticks: list[float] = []
    reset_peak()
    curvature.diagonal(problem.model, clocked(windows, ticks), state, options, seed)
    ticks.append(time.perf_counter())
    first, *others = np.diff(ticks).tolist()
    per_window, step = statistics.median(others or [first]), entries.get("search_step")
    seconds = ticks[-1] - ticks[0]
    return HessianSpeed(
        seconds=seconds,
        windows=len(windows),
        seconds_per_window=per_window,
        share_of_epoch=seconds / (plan.epoch_steps * step["seconds"]) if step else None,
        tokens_per_second=len(windows) * batch * bptt / seconds,
        compile_seconds=max(first - per_window, 0.0),
        peak_mb=peak_mb(),
    )


class OnePassSpeed(NamedTuple):
    """Gradients of all weights of one window, alone and with curvature in the same backward pass.

    Memory is what a process that does nothing else needs beyond its weights and libraries.
    """

    seconds: float  # the gradient alone
    ggn_steps: float  # with one linear lane, in units of that
    recursive_steps: float  # with one diagonal lane
    plain_mb: float | None  # the gradient alone
    ggn_memory: float | None  # in units of that
    recursive_memory: float | None


PASSES = (None, Rule(False), Rule(True))


def gradient_pass(bench: Bench, rule: Rule | None) -> tf.types.experimental.PolymorphicFunction:
    """The compiled gradient of one window in all weights and, with a rule, in the scalars' shadows.

    Kernels are no constants here, as they are in the Hessian phase: what lanes cost is measured beside a
    whole gradient. It returns sums, so that all of it is computed and little of it is copied.
    """
    problem, windows = bench.problem, bench.settings.windows
    ((x, y),) = fixed_windows(problem.train_rows, windows.bptt, 1)
    model, state = problem.model, problem.model.zero_state(windows.batch_size)

    @tf.function(jit_compile=bench.execution.xla)
    def gradients() -> list[tf.Tensor]:
        lanes = one_pass_form.Lanes(rule or Rule(False), 1)
        beside = one_pass_form.shadows(lanes, model, windows.batch_size) if rule else []
        with tf.GradientTape() as tape:
            tape.watch(beside)
            if rule:
                loss, _ = one_pass_form.forward(model, Window(x, y, state), lanes, beside, problem.seed)
            else:
                loss = tf.reduce_mean(losses.token_nats(model.decode(model.hidden(x, state)), y))
        found = tape.gradient(loss, [*model.trainable_variables, *beside])
        return [tf.reduce_sum(tf.convert_to_tensor(part)) for part in found]

    return gradients


def pass_memory(recipe: Recipe, rule: Rule | None) -> float | None:
    """What `gradient_pass` needs, in 10^6 bytes; to be called in a new process.

    TensorFlow keeps what it has once asked for: a second function of one process seems to need nothing.
    """
    function = gradient_pass(build(recipe, 1), rule)
    function.get_concrete_function()
    before = resident_mb()
    reset_peak()
    for _ in range(2):
        [part.numpy() for part in function()]
    peak = peak_mb()
    return None if before is None or peak is None else peak - before


def one_pass(bench: Bench, plan: Plan, entries: Entries) -> OnePassSpeed:
    """Time the three in turns; then measure the memory of each, in a process of its own."""
    compiled = [gradient_pass(bench, rule) for rule in PASSES]
    times: list[list[float]] = [[] for _ in compiled]
    for number in range(plan.rounds + 1):
        for function, own in zip(compiled, times, strict=True):
            started = time.perf_counter()
            [part.numpy() for part in function()]
            if number:  # the first call compiles
                own.append(time.perf_counter() - started)
    plain, ggn, recursive = (statistics.median(own) for own in times)
    first, *others = [machine.alone(pass_memory, bench.recipe, rule) for rule in PASSES]
    shares = [None if first is None or other is None else other / first for other in others]
    return OnePassSpeed(plain, ggn / plain, recursive / plain, first, *shares)
