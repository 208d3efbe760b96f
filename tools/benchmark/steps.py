"""Speed and memory of the steps: training of the supernet, training of a cell, evaluation of a cell."""

import collections
import statistics
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.data import batching
from bayesnas_tf.numerics import seeds
from bayesnas_tf.training.execution import blocks_for, bucket, window_function
from bayesnas_tf.training.train_loop import MASK_SEED
from bayesnas_tf.training.validation import window_nats
from tools import machine
from tools.benchmark.matrix_products import (
    Pass,
    Product,
    forward_passes,
    in_blocks,
    of_sources,
    of_time_step,
    pass_timer,
    plain_passes,
    staged_passes,
    total,
    total_flops,
)
from tools.benchmark.peer_speed import PeerForms, PeerSpeed
from tools.benchmark.split import TimeSplit, time_split
from tools.benchmark.subject import Bench, Entries, Plan, Recipe, build
from tools.machine import peak_mb, reset_peak


class StepSpeed(NamedTuple):
    """One step on a full window; rates of its matrix products in 10^9 FLOP/s."""

    seconds: float
    tokens_per_second: float
    step_gflops: float  # what the step reaches
    machine_gflops: float  # what this machine reaches without the rest of the step
    sgemm_share: float  # their quotient
    compile_seconds: float
    peak_mb: float | None
    split: TimeSplit | None  # None under XLA and on a GPU, where no thread of the host runs the operations
    peer: PeerSpeed | None


def _windows(rows: np.ndarray, bench: Bench, padded: int) -> Iterator[tuple[int, batching.Window]]:
    """Full windows of `rows`, with their numbers."""
    plan = batching.plan(rows.shape[1], bench.settings.windows.bptt, 0, jitter=False)
    return enumerate(batching.windows(rows, plan, padded))


def train_timer(bench: Bench) -> Callable[[], float]:
    """A function that trains on the next full window, as the command does, and returns its seconds."""
    settings, problem = bench.settings, bench.problem
    windows, step = settings.windows, problem.step
    lr = tf.constant(settings.weights.lr, problem.model.embedding.dtype)

    def train(x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, number: tf.Tensor) -> None:
        step(x, y, length, lr, seeds.fold(problem.seed, MASK_SEED, number))

    compiled = window_function(train, windows.batch_size, bench.execution.xla)
    stream = _windows(problem.train_rows, bench, bucket(windows, bench.execution.xla))

    def seconds() -> float:
        number, window = next(stream)
        started = time.perf_counter()
        compiled(window.x, window.y, window.length, tf.constant(number))
        step.totals.nats.numpy()  # the step has ended when its result can be read
        return time.perf_counter() - started

    return seconds


def evaluate_timer(bench: Bench) -> Callable[[], float]:
    """A function that evaluates the next full window of the validation rows, and returns its seconds."""
    model, rows = bench.problem.model, bench.problem.valid_rows
    kernel_blocks = blocks_for(model)
    kernel_blocks.refresh()
    nats = window_nats(model, kernel_blocks=kernel_blocks)
    compiled = window_function(nats, len(rows), False)  # never XLA, as the command
    stream, state = _windows(rows, bench, 1), model.zero_state(len(rows))

    def seconds() -> float:
        nonlocal state
        _, window = next(stream)
        started = time.perf_counter()
        nats, state = compiled(window.x, window.y, window.length, state)
        nats.numpy()
        return time.perf_counter() - started

    return seconds


def products_of(name: str, bench: Bench) -> collections.Counter:
    """The matrix products of a step, those of all its groups of rows."""
    of_group, groups = total(passes_of(name, bench)), groups_of(name, bench)
    return collections.Counter({product: groups * count for product, count in of_group.items()})


def passes_of(name: str, bench: Bench) -> list[Pass]:
    """The same of one group of rows, in the order of the step."""
    settings, model = bench.settings, bench.problem.model
    batch, steps, cell = rows_of(name, bench) // groups_of(name, bench), settings.windows.bptt, model.cell
    sizes = (batch, steps, model.vocabulary)
    if name == "evaluate":
        recurrent, of_window = forward_passes(of_sources(cell, batch), cell.units, *sizes)
        few = blocks_for(model).serve(batch)
        return [in_blocks(recurrent) if few else recurrent, of_window]
    if bench.execution.cell and cell.staged_program():
        passes = staged_passes(cell, *sizes)
    else:
        of_step = of_time_step(settings.cell, batch) if name == "search_step" else of_sources(cell, batch)
        passes = plain_passes(of_step, cell.units, *sizes)
    if bench.execution.head:  # the gradient of the decoder's bias
        passes[-1].products[Product(1, batch * steps, model.vocabulary, transpose_a=True)] += 1
    return passes


def groups_of(name: str, bench: Bench) -> int:
    """How many groups of rows a step computes side by side."""
    return 1 if name == "evaluate" else bench.execution.replicas.groups


def rows_of(name: str, bench: Bench) -> int:
    """The batch of a step."""
    return len(bench.problem.valid_rows if name == "evaluate" else bench.problem.train_rows)


TIMERS = {"search_step": train_timer, "train_step": train_timer, "evaluate": evaluate_timer}


def step_speed(name: str, bench: Bench, plan: Plan) -> StepSpeed:
    """Time the step, bare products and the peer's step in turns: all see the same noise of the machine.

    Seconds are medians over `plan.rounds`; the first call, which compiles, is none of them. The products are
    those of the step alone, in its order: their share of its time says how much is left to gain elsewhere.
    Memory is measured in a process of its own, for TensorFlow keeps what it has once asked for.
    """
    step = TIMERS[name](bench)
    first = step()
    precision = bench.settings.model.matmul_dtype
    timers = [pass_timer(of_pass, precision, groups_of(name, bench)) for of_pass in passes_of(name, bench)]
    peer = PeerForms(_peer(name, bench)) if plan.peer else None
    of_step, of_products = [], []
    for _ in range(plan.rounds):
        of_step.append(step())
        if peer:
            peer.turn()
        of_products.append(sum(timer() for timer in timers))
    seconds, bare = statistics.median(of_step), statistics.median(of_products)
    gflop = total_flops(products_of(name, bench)) / 1e9
    return StepSpeed(
        seconds=seconds,
        tokens_per_second=rows_of(name, bench) * bench.settings.windows.bptt / seconds,
        step_gflops=gflop / seconds,
        machine_gflops=gflop / bare,
        sgemm_share=bare / seconds,
        compile_seconds=max(first - seconds, 0.0),
        peak_mb=machine.alone(step_memory, name, bench.recipe),
        split=None if _hidden(name, bench) else time_split(step),
        peer=peer.speed(seconds, precision) if peer else None,
    )


def _hidden(name: str, bench: Bench) -> bool:
    """Whether the operations of a step are hidden from the profiler of the host."""
    return bool(tf.config.list_logical_devices("GPU")) or (bench.execution.xla and name != "evaluate")


def step_memory(name: str, recipe: Recipe) -> float | None:
    """The peak memory of this process over three steps, in 10^6 bytes; to be called in a new process.

    TensorFlow keeps what it has once asked for: a second step of one process seems to need nothing.
    """
    step = TIMERS[name](build(recipe, 2))
    reset_peak()
    for _ in range(3):
        step()
    return peak_mb()


def _peer(name: str, bench: Bench):
    """The twin of a step, a `tools.peer.steps.Peer`."""
    from tools.benchmark.peers import peer_of  # late: PyTorch need not be installed

    return peer_of(name, bench)


def search_step(bench: Bench, plan: Plan, entries: Entries) -> StepSpeed:
    """One training step of the supernet."""
    return step_speed("search_step", bench, plan)


def train_step(bench: Bench, plan: Plan, entries: Entries) -> StepSpeed:
    """One training step of a genotype's cell."""
    return step_speed("train_step", bench, plan)


def evaluate(bench: Bench, plan: Plan, entries: Entries) -> StepSpeed:
    """One window of validation of a genotype's cell."""
    return step_speed("evaluate", bench, plan)
