"""What `studies.curvature` measures: estimators against both oracles on windows of a trained supernet."""

import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import gin
import numpy as np
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.curvature import exact
from bayesnas_tf.curvature.interface import ESTIMATORS, CurvatureOptions
from bayesnas_tf.data import batching, corpora
from bayesnas_tf.models import losses
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.ranks import spearman
from bayesnas_tf.training.execution import window_function
from bayesnas_tf.training.fixed_windows import fixed_windows
from bayesnas_tf.training.search_settings import SearchProblem, SearchSettings, build
from bayesnas_tf.training.train_loop import MASK_SEED


class Setting(NamedTuple):
    """How a supernet is trained."""

    norm: str
    gauge: str
    lr: float
    lr_w: float

    @property
    def name(self) -> str:
        """As tables and figures call it."""
        return self.norm if self.gauge == "rms" or self.norm == "mean" else f"{self.norm}, no gauge"


# Under statistics L1 alone shrinks all scalars in step, and what tells such scalars apart is nearly
# noise: the last setting shows it. The gauge keeps their size, and they part.
BATCH, LAYER = Setting("batch", "rms", 5.0, 1.5), Setting("layer", "rms", 5.0, 1.5)
MEAN, IN_STEP = Setting("mean", "none", 20.0, 0.2), Setting("batch", "none", 5.0, 0.2)


class Preset(NamedTuple):
    """Size of a study."""

    units: int
    nodes: int
    bptt: int
    batch: int
    vocabulary: int
    tokens: int  # of the training split, one epoch of which is trained
    settings: tuple[Setting, ...]
    windows: int  # that h is the mean over
    repeats: int  # of each timing


PRESETS = {
    "small": Preset(16, 4, 12, 16, 500, 40_000, (BATCH, MEAN), 4, 3),
    "full": Preset(32, 8, 35, 16, 2_000, 200_000, (BATCH, LAYER, MEAN, IN_STEP), 6, 5),
}

ROWS: tuple[dict[str, Any], ...] = (
    *({"estimator": "ggn", "probes": probes} for probes in (1, 4, 16, 64)),
    {"estimator": "recursive", "tau": 0},
    {"estimator": "recursive", "tau": 0, "d_term": True},
    {"estimator": "recursive", "tau": 5, "truncation": "chunks"},
    {"estimator": "recursive", "tau": 5, "truncation": "slots"},
    {"estimator": "thesis", "tau": 5},
    {"estimator": "thesis", "tau": 5, "d_term": True},
)


class Probed(NamedTuple):
    """A window and the state before it."""

    x: tf.Tensor
    y: tf.Tensor
    state: tf.Tensor


class Point(NamedTuple):
    """A trained supernet, the windows on which it is measured, and the truth there."""

    setting: Setting
    problem: SearchProblem
    windows: list[Probed]
    ggn: np.ndarray  # [E, O], exact, mean over the windows
    hessian: np.ndarray


def settings_of(preset: Preset, setting: Setting) -> SearchSettings:
    """The search of quickstart.gin at the preset's size."""
    values = {
        "CorpusOptions.limit_tokens": preset.tokens,
        "CorpusOptions.vocabulary_size": preset.vocabulary,
        "CellOptions.units": preset.units,
        "CellOptions.nodes": preset.nodes,
        "CellOptions.norm": repr(setting.norm),
        "WindowOptions.bptt": preset.bptt,
        "WindowOptions.batch_size": preset.batch,
        "WeightOptions.lr": setting.lr,
        "ScalarOptions.gauge": repr(setting.gauge),
        "LR_W": setting.lr_w,
    }
    config.parse(["quickstart.gin"], [f"{name}={value}" for name, value in values.items()])
    return gin.get_configurable("search")()


def trained(preset: Preset, setting: Setting, data_dir: Path, seed: int) -> Point:
    """One epoch of training, then both oracles `[E, O]` on the first windows of the training split.

    The oracles differentiate twice, once per scalar: they are the cost of the study. The state before each
    window is stored, so that every estimator sees the same windows from the same states.
    """
    settings = settings_of(preset, setting)
    problem = build(settings, corpora.load(settings.corpus, data_dir), seed)
    lr = tf.constant(settings.weights.lr, problem.model.embedding.dtype)

    def train(x: tf.Tensor, y: tf.Tensor, length: tf.Tensor, number: tf.Tensor) -> None:
        problem.step(x, y, length, lr, seeds.fold(problem.seed, MASK_SEED, number))

    compiled = window_function(train, preset.batch, False)
    plan = batching.plan(problem.train_rows.shape[1], preset.bptt, (seed, 1))
    for number, window in enumerate(batching.windows(problem.train_rows, plan, 1)):
        compiled(window.x, window.y, window.length, tf.constant(number))
    model = problem.model
    ggn = tf.function(lambda *window: exact.ggn_diagonal(model, *window)[0])
    hessian = tf.function(lambda x, y, state: exact.estimate(model, x, y, state, None, None)[:1])
    windows = carried(model, fixed_windows(problem.train_rows, preset.bptt, preset.windows))
    return Point(
        setting,
        problem,
        windows,
        np.mean([ggn(*window) for window in windows], axis=0),
        np.mean([hessian(*window)[0] for window in windows], axis=0),
    )


def carried(model: LanguageModel, windows: list[tuple[tf.Tensor, tf.Tensor]]) -> list[Probed]:
    """The windows, each with the state that those before it leave."""
    found, state = [], model.zero_state(windows[0][0].shape[0])
    for x, y in windows:
        found.append(Probed(x, y, state))
        state = model.hidden(x, state)[:, -1]
    return found


def estimator(point: Point, row: dict[str, Any]) -> Callable[[int], np.ndarray]:
    """A compiled estimate `[E, O]` on the window of a number, which also seeds it."""
    options = CurvatureOptions(**row)

    @tf.function
    def run(x: tf.Tensor, y: tf.Tensor, state: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
        return ESTIMATORS[row["estimator"]](point.problem.model, x, y, state, seed, options).h

    def on_window(number: int) -> np.ndarray:
        window = point.windows[number % len(point.windows)]
        return run(*window, seeds.fold(point.problem.seed, 99, number)).numpy()

    return on_window


def plain(point: Point) -> Callable[[int], Any]:
    """What a training step computes: loss and gradient of every weight."""
    model, window = point.problem.model, point.windows[0]
    variables = model.trainable_variables

    @tf.function
    def run() -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            hidden = model.hidden(window.x, window.state)
            loss = tf.reduce_mean(losses.token_nats(model.decode(hidden), window.y))
        return [tf.reduce_sum(tf.convert_to_tensor(g)) for g in tape.gradient(loss, variables)]

    return lambda _: [part.numpy() for part in run()]


def seconds_of(functions: list[Callable], repeats: int) -> list[float]:
    """Median seconds of each, in turns, after a first call that compiles."""
    for function in functions:
        function(0)
    times: list[list[float]] = [[] for _ in functions]
    for number in range(repeats):
        for function, own in zip(functions, times, strict=True):
            started = time.perf_counter()
            function(number)
            own.append(time.perf_counter() - started)
    return [statistics.median(own) for own in times]


def study(preset: Preset, data_dir: Path, seed: int) -> Iterator[dict[str, Any]]:
    """One entry of fidelity.json after the other."""
    for setting in preset.settings:
        point = trained(preset, setting, data_dir, seed)
        functions = [estimator(point, row) for row in ROWS]
        step, *costs = seconds_of([plain(point), *functions], preset.repeats)
        for row, function, cost in zip(ROWS, functions, costs, strict=True):
            h = np.mean([function(number) for number in range(preset.windows)], axis=0)
            yield entry(point, row, h, cost / step)


def entry(point: Point, row: dict[str, Any], h: np.ndarray, cost: float) -> dict[str, Any]:
    """How near an estimate is to the truth; `tau` 0 is the whole window."""
    return {
        "estimator": row["estimator"],
        "norm": point.setting.norm,
        "gauge": point.setting.gauge,
        "setting": point.setting.name,
        "tau": row.get("tau"),
        "truncation": row.get("truncation"),
        "d_term": row.get("d_term", False),
        "probes": row.get("probes"),
        "windows": len(point.windows),
        "spearman_ggn": spearman(h.ravel(), point.ggn.ravel()),
        "spearman_exact": spearman(h.ravel(), point.hessian.ravel()),
        "median_ratio": float(np.median(h / np.maximum(point.ggn, np.finfo(np.float32).tiny))),
        "negative_share": float(np.mean(h < 0.0)),
        "negative_share_of_exact": float(np.mean(point.hessian < 0.0)),
        "cost_steps": cost,
    }
