"""What tools/benchmark measures: how fast and in how much memory each part of a search runs.

Each function in `MEASURES` measures one entry of the result, (bench, rounds, entries so far) -> a NamedTuple
of numbers. Seconds are wall-clock medians, memory is that of this process (host) in megabytes of 10^6 bytes
unless it says otherwise, compile time is what the first call takes beyond a later one.
"""

import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.config import bindings, gin_files
from bayesnas_tf.curvature import interface as curvature
from bayesnas_tf.curvature import one_pass as one_pass_form
from bayesnas_tf.curvature.lanes import Rule
from bayesnas_tf.data import batching
from bayesnas_tf.data.corpora import Corpus, CorpusOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.errors import UserError
from bayesnas_tf.models import losses
from bayesnas_tf.training import compile as compiling
from bayesnas_tf.training.fixed_windows import fixed_windows
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings, build
from bayesnas_tf.training.strategies.bayesnas import HESSIAN_SEED
from bayesnas_tf.training.train_loop import MASK_SEED
from tools import machine
from tools.machine import peak_mb, reset_peak, resident_mb
from tools.matrix_products import Product, product_timer, step_products, total_flops

PUBLISHED_VOCABULARY = {"ptb": 10_000, "wikitext2": 33_278}
EPOCH_STEPS = 415  # Penn Treebank: 929,589 tokens in 64 rows and windows of 35


class Bench(NamedTuple):
    """A configuration with its supernet, on random ids."""

    settings: SearchSettings
    problem: SearchProblem
    xla: bool
    epoch_steps: int


def random_corpus(options: CorpusOptions, vocabulary: int, tokens: int) -> Corpus:
    """Uniform ids: the time of a step does not depend on the text. `vocabulary` 0: that of the corpus."""
    size = vocabulary or PUBLISHED_VOCABULARY.get(options.name, options.vocabulary_size)
    ids = np.random.default_rng(0).integers(0, size, tokens, dtype=np.int32)
    return Corpus("random ids", Vocabulary(tuple(map(str, range(size)))), ids, ids, ids)


def configured_search() -> SearchSettings:
    """The search that gin is configured for.

    Raises:
      UserError: the configuration is that of another command.
    """
    try:
        return gin.get_configurable("search")()
    except TypeError as error:
        raise UserError(
            "this configuration has no search. it leaves parts of `search` unset. "
            "use one that includes base/search.gin, such as --gin_file=ptb.gin"
        ) from error


def prepare(rounds: int, vocabulary: int = 0, epoch_steps: int = EPOCH_STEPS) -> Bench:
    """Build the configured search with as many random ids as `rounds` steps and the Hessian phase need."""
    settings = configured_search()
    windows = settings.windows
    columns = windows.bptt * max(rounds + 1, settings.curvature.windows) + 1
    corpus = random_corpus(settings.corpus, vocabulary, windows.batch_size * columns)
    problem = build(settings, corpus, seed=0)
    return Bench(settings, problem, compiling.use_xla(settings.compile), epoch_steps)


def describe(bench: Bench) -> str:
    """The sizes that decide about speed, on one line."""
    cell, windows = bench.settings.cell, bench.settings.windows
    return (
        f"{cell.units} units, {cell.nodes} nodes, norm {cell.norm}, weight sharing {cell.weight_sharing}, "
        f"{windows.batch_size} rows x {windows.bptt} steps, vocabulary {bench.problem.model.vocabulary:,}, "
        f"{'XLA' if bench.xla else 'graph without XLA'}"
    )


def step_timer(bench: Bench) -> Callable[[], float]:
    """A function that trains on the next full window, as the search does, and returns its seconds."""
    settings, problem = bench.settings, bench.problem
    windows, rows, step = settings.windows, problem.train_rows, problem.step
    lr = tf.constant(settings.weights.lr, problem.model.embedding.dtype)

    def train(x, y, length, number):
        step(x, y, length, lr, masks.fold(problem.seed, MASK_SEED, number))

    compiled = compiling.window_function(train, windows.batch_size, bench.xla)
    plan = batching.plan(rows.shape[1], windows.bptt, 0, jitter=False)
    stream = enumerate(batching.windows(rows, plan, compiling.bucket(windows, bench.xla)))

    def seconds() -> float:
        number, window = next(stream)
        started = time.perf_counter()
        compiled(window.x, window.y, window.length, tf.constant(number))
        step.totals.nats.numpy()  # the step has ended when its result can be read
        return time.perf_counter() - started

    return seconds


class SearchStepSpeed(NamedTuple):
    """One training step of the supernet on a full window; rates of its matrix products in 10^9 FLOP/s."""

    seconds: float
    tokens_per_second: float
    step_gflops: float  # what the step reaches
    machine_gflops: float  # what this machine reaches at the step's own shapes
    sgemm_share: float  # their quotient
    compile_seconds: float
    peak_mb: float | None


def search_step(bench: Bench, rounds: int, entries: dict[str, Any]) -> SearchStepSpeed:
    """Time steps and bare products in turns, so that both see the same noise of the machine."""
    settings = bench.settings
    batch, bptt = settings.windows.batch_size, settings.windows.bptt
    products = step_products(settings.cell, batch, bptt, bench.problem.model.vocabulary)
    step = step_timer(bench)
    reset_peak()
    first, of_step = step(), [step()]
    peak = peak_mb()
    timers = {product: product_timer(product, count) for product, count in products.items()}
    of_product: dict[Product, list[float]] = {product: [timer()] for product, timer in timers.items()}
    for _ in range(rounds - 1):
        of_step.append(step())
        for product, timer in timers.items():
            of_product[product].append(timer())
    seconds = statistics.median(of_step)
    bare = sum(count * statistics.median(of_product[product]) for product, count in products.items())
    gflop = total_flops(products) / 1e9
    return SearchStepSpeed(
        seconds=seconds,
        tokens_per_second=batch * bptt / seconds,
        step_gflops=gflop / seconds,
        machine_gflops=gflop / bare,
        sgemm_share=bare / seconds,
        compile_seconds=max(first - seconds, 0.0),
        peak_mb=peak,
    )


class HessianSpeed(NamedTuple):
    """The Hessian phase of one update, compilation included."""

    seconds: float
    windows: int
    seconds_per_window: float
    share_of_epoch: float  # relative to the training steps of an epoch
    tokens_per_second: float
    compile_seconds: float
    peak_mb: float | None


def clocked(items: Iterable, ticks: list[float]):
    """The items; the time of handing out each is added to `ticks`."""
    for item in items:
        ticks.append(time.perf_counter())
        yield item


def hessian(bench: Bench, rounds: int, entries: dict[str, Any]) -> HessianSpeed:
    """Time the whole phase once; its windows are the repeats."""
    settings, problem = bench.settings, bench.problem
    batch, bptt, options = settings.windows.batch_size, settings.windows.bptt, settings.curvature
    windows = fixed_windows(problem.train_rows, bptt, options.windows)
    state, seed = problem.model.zero_state(batch), masks.fold(problem.seed, HESSIAN_SEED, 0)
    ticks: list[float] = []
    reset_peak()
    curvature.diagonal(problem.model, clocked(windows, ticks), state, options, seed, bench.xla)
    ticks.append(time.perf_counter())
    first, *others = np.diff(ticks).tolist()
    per_window = statistics.median(others or [first])
    seconds = ticks[-1] - ticks[0]
    return HessianSpeed(
        seconds=seconds,
        windows=len(windows),
        seconds_per_window=per_window,
        share_of_epoch=seconds / (bench.epoch_steps * entries["search_step"]["seconds"]),
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


def gradient_pass(bench: Bench, rule: Rule | None):
    """The compiled gradient of one window in all weights and, with a rule, in the scalars' shadows."""
    problem, windows = bench.problem, bench.settings.windows
    ((x, y),) = fixed_windows(problem.train_rows, windows.bptt, 1)
    model, state = problem.model, problem.model.zero_state(windows.batch_size)

    @tf.function(jit_compile=bench.xla)
    def gradients():
        lanes = one_pass_form.Lanes(rule or Rule(False), 1)
        beside = one_pass_form.shadows(lanes, model, windows.batch_size) if rule else []
        with tf.GradientTape() as tape:
            tape.watch(beside)
            if rule:
                loss, _ = one_pass_form.forward(model, x, y, state, lanes, beside, problem.seed)
            else:
                loss = tf.reduce_mean(losses.token_nats(model.decode(model.hidden(x, state)), y))
        found = tape.gradient(loss, [*model.trainable_variables, *beside])
        return [tf.reduce_sum(tf.convert_to_tensor(part)) for part in found]

    return gradients


def pass_memory(configuration: str, vocabulary: int, xla: bool, rule: Rule | None) -> float | None:
    """What `gradient_pass` needs, in 10^6 bytes; to be called in a new process.

    TensorFlow keeps what it has once asked for: a second function of one process seems to need nothing.
    """
    bindings.load()
    bindings.bind(gin_files.read_text(configuration, "configuration"))
    function = gradient_pass(prepare(1, vocabulary)._replace(xla=xla), rule)
    function.get_concrete_function()
    before = resident_mb()
    reset_peak()
    for _ in range(2):
        [part.numpy() for part in function()]
    peak = peak_mb()
    return None if before is None or peak is None else peak - before


def one_pass(bench: Bench, rounds: int, entries: dict[str, Any]) -> OnePassSpeed:
    """Time the three in turns; then measure the memory of each, in a process of its own."""
    compiled = [gradient_pass(bench, rule) for rule in PASSES]
    times: list[list[float]] = [[] for _ in compiled]
    for number in range(rounds + 1):
        for function, own in zip(compiled, times, strict=True):
            started = time.perf_counter()
            [part.numpy() for part in function()]
            if number:  # the first call compiles
                own.append(time.perf_counter() - started)
    plain, ggn, recursive = (statistics.median(own) for own in times)
    same = gin.config_str(), bench.problem.model.vocabulary, bench.xla
    first, *others = [machine.alone(pass_memory, *same, rule) for rule in PASSES]
    shares = [None if first is None or other is None else other / first for other in others]
    return OnePassSpeed(plain, ggn / plain, recursive / plain, first, *shares)


# In order: an entry may use those before it.
MEASURES: dict[str, Callable[[Bench, int, dict[str, Any]], Any]] = {
    "search_step": search_step,
    "hessian": hessian,
    "one_pass": one_pass,
}


def measure(bench: Bench, rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Name and numbers of each entry, as soon as it is measured."""
    entries: dict[str, Any] = {}
    for name, function in MEASURES.items():
        entries[name] = function(bench, rounds, entries)._asdict()
        yield name, entries[name]
