"""The small cases: between them every cell, strategy, estimator, head and baseline, one window each.

A case is built in Keras' default precision. `tests/training/test_xla.py` compiles all of them with XLA on the
CPU in float64, and fails where one is missing.
"""

import dataclasses
import types
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.baselines.nas import NasOptions
from bayesnas_tf.cells.baselines.rhn import RhnOptions
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.curvature import interface as curvature
from bayesnas_tf.curvature import weights as of_weights
from bayesnas_tf.curvature.interface import CurvatureOptions
from bayesnas_tf.models.heads import Mixture, MixtureOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.memory import published as memory
from bayesnas_tf.training.evaluate_settings import Baseline
from bayesnas_tf.training.evaluate_step import EvaluateStep
from bayesnas_tf.training.execution import window_function
from bayesnas_tf.training.settings import (
    OptimizerOptions,
    Rule,
    ScalarOptions,
    SwitchOptions,
    WeightOptions,
    WindowOptions,
)
from bayesnas_tf.training.strategies import registry
from bayesnas_tf.training.strategies.darts.step import RADIUS
from bayesnas_tf.training.strategies.enas.step import EnasOptions
from bayesnas_tf.training.validation import window_nats

Form = Literal["graph", "xla", "cudnn"]  # cudnn: a plain graph, in which an LSTM layer is one operation
HOW: dict[Form, Execution] = {"graph": GRAPH, "xla": Execution(xla=True), "cudnn": Execution(fused=True)}
Numbers = dict[str, list[np.ndarray]]  # by what they are: loss, gradients, updates, h, state

UNITS, BATCH, BPTT, LENGTH, WORDS = 4, 3, 4, 3, 7  # the last step of a window is padding
WINDOWS = WindowOptions(batch_size=BATCH, bptt=BPTT)
GENOTYPE = Genotype((Node(0, "sigmoid"), Node(1, "relu"), Node(1, "tanh"), Node(0, "identity")), (1, 2, 3, 4))
# A value meets about (steps x nodes) products of UNITS terms and as many nonlinearities on its way forward,
# and as many on the way back; each may amplify what came before several times.
ROUNDINGS = 2048


class Subject(NamedTuple):
    """What is computed, and the variables that it depends on."""

    model: LanguageModel
    variables: list
    compute: Callable[[], Numbers]  # of one window, from the values that the variables have
    of: tuple = ()  # what it is a case of, beside its cell and head


class Case(NamedTuple):
    """How to build a subject, the form in which a GPU computes it, and how far that may be from the CPU."""

    group: str
    build: Callable[[Form], Subject]
    form: Form = "xla"
    roundings: float = ROUNDINGS
    precision: float = 0.0  # relative, of a product; 0: that of Keras' default precision


def data(seed: int = 1):
    """x, y `[B, T]`."""
    random = np.random.default_rng(seed)
    x, y = random.integers(0, WORDS, size=(2, BATCH, BPTT)).astype(np.int32)
    return tf.constant(x), tf.constant(y)


def model_of(form: Form, cell, head=None, scale: float = 0.4, **options) -> LanguageModel:
    """A language model with weights so large that every nonlinearity is felt; signs of scalars are mixed."""
    model = LanguageModel(WORDS, cell, ModelOptions(**options), head, HOW[form])
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(scale * random.normal(size=weight.shape))
    for name in ("scalars", "zero_scalars"):
        if (scalars := getattr(cell, name, None)) is not None:
            signs = np.where(random.random(scalars.shape) < 0.25, -1.0, 1.0)
            scalars.assign(signs * random.uniform(0.2, 0.6, size=scalars.shape))
    return model


def values(variables: list) -> list[np.ndarray]:
    """Copies of the variables' values."""
    return [np.array(tf.convert_to_tensor(variable)) for variable in variables]


def step_subject(step, *of) -> Subject:
    """A training step: its loss, the state after it, and by how much it moves each variable."""
    model, optimizer = step.model, getattr(step, "optimizer", None)
    variables = [*step.variables, *model.variables]
    variables += [model.cell.choice] if hasattr(model.cell, "choice") else []
    variables += optimizer.variables if optimizer else []
    lr, seed = tf.constant(0.5, model.embedding.dtype), seeds.run_seed(3)

    def train(x, y, length):
        step(x, y, length, lr, seed)

    def compute() -> Numbers:
        before = values(variables)
        window_function(train, BATCH, model.execution.xla)(*data(), tf.constant(LENGTH))
        moved = [
            after - was for after, was in zip(values(variables), before, strict=True) if was.dtype != bool
        ]
        return {
            "loss": [step.totals.nats.numpy()],
            "updates": moved,
            "state": values([step.state]),
        }

    return Subject(model, variables, compute, of)


def search_step(
    form: Form,
    name: registry.Name,
    matmul_dtype="float32",
    dropout: float = 0.0,
    rule: Rule = "sgd",
    **cell,
) -> Subject:
    """The step of a strategy on its network; `dropout` of everything. XLA takes long over each mask."""
    strategy: Any = registry.named_strategy(name)
    if isinstance(strategy, EnasOptions):
        strategy = dataclasses.replace(strategy, units=4)
    weights = WeightOptions(lr=0.5, temporal_activation=0.1)
    settings = types.SimpleNamespace(
        windows=WINDOWS,
        weights=weights,
        scalars=ScalarOptions(lambda_w=0.01),
        switches=SwitchOptions(lr=0.2, lambda_w=0.01),
        optimizer=OptimizerOptions(rule=rule),
    )
    sizes = {"units": UNITS, "nodes": 2, "norm": "mean", "input_dropout": dropout, "hidden_dropout": dropout}
    network = strategy.cell(CellOptions(**{**sizes, **cell}))
    around = dict.fromkeys(("word_dropout", "embedding_dropout", "output_dropout"), dropout)
    model = model_of(form, network, matmul_dtype=matmul_dtype, **around)
    valid = np.random.default_rng(2).integers(0, WORDS, size=(BATCH, 10)).astype(np.int32)
    step = strategy.step(model, settings, valid, seeds.run_seed(4))
    if name == "enas":  # the first reward is the baseline, and moves nothing: this is a later one
        step.turns.done.assign(1)
        step.baseline.assign(1.0)
    if hasattr(network, "choice"):
        network.choose(np.minimum(network.space.slots - 1, 1))
    return step_subject(step, name)


def train_step(form: Form, system: Baseline | None, rule: Rule = "asgd", experts: int = 0) -> Subject:
    """A step of training a baseline, None: a derived cell; `experts` of a mixture, 0: one softmax."""
    weights = WeightOptions(lr=0.5, activation=2.0, temporal_activation=1.0)
    head = Mixture(MixtureOptions(experts, latent_dropout=0.2)) if experts else None
    model = model_of(form, system.cell() if system else derived(), head)
    return step_subject(EvaluateStep(model, WINDOWS, weights, rule=OptimizerOptions(rule=rule)), system, rule)


def evaluation(form: Form, cell) -> Subject:
    """A window of evaluation, which is a plain graph everywhere."""
    model = model_of(form, cell)

    def compute() -> Numbers:
        run = window_function(window_nats(model), BATCH, False)
        nats, state = run(*data(), tf.constant(LENGTH), model.zero_state(BATCH))
        return {"loss": [nats.numpy()], "state": [state.numpy()]}

    return Subject(model, list(model.variables), compute)


def derived(genotype: Genotype = GENOTYPE) -> DerivedCell:
    """A cell; by default one in which a source has two nodes."""
    return DerivedCell(genotype, DerivedOptions(units=UNITS))


def estimate(form: Form, options: CurvatureOptions, **cell) -> Subject:
    """h of the architecture scalars of a supernet, and the gradient."""
    model = model_of(form, SearchCell(CellOptions(**{"units": UNITS, "nodes": 2, **cell})), scale=0.8)

    def compute() -> Numbers:
        state, chosen = model.zero_state(BATCH), dataclasses.replace(options, windows=1)
        found = curvature.diagonal(model, [data()], state, chosen, seeds.run_seed(5))
        given = {"h": (found.h, found.h_zero), "gradients": (found.gradient, found.gradient_zero)}
        return {name: [part for part in parts if part is not None] for name, parts in given.items()}

    return Subject(model, list(model.variables), compute, (options,))


def estimate_weights(form: Form, cell, options: CurvatureOptions) -> Subject:
    """h of every weight, as `python -m bayesnas_tf.curvature` gives it."""
    model = model_of(form, cell)

    def compute() -> Numbers:
        state, seed = model.zero_state(BATCH), seeds.run_seed(5)
        found = of_weights.diagonal(model, [data()], state, options, seed)
        return {"h": [*found.weights, *found.scalars]}

    return Subject(model, list(model.variables), compute, ("weights", options))


def _search(name: registry.Name, **options) -> Case:
    return Case("search steps", lambda form: search_step(form, name, **options))


def _estimate(estimator: curvature.Estimator, cell: dict | None = None, **options) -> Case:
    chosen = CurvatureOptions(estimator, **options)
    return Case("curvature", lambda form: estimate(form, chosen, **(cell or {"norm": "mean"})))


def _train(system: Baseline | None, form: Form = "xla", **options) -> Case:
    return Case("training steps", lambda form: train_step(form, system, **options), form)


GATED = memory.parse("[reset memory forget cap] squash0* relu1 -> mean 1 2")
LSTM = LstmOptions(embedding=UNITS, widths=(5, UNITS), between_dropout=0.2, weight_dropout=0.2)
CAPPED = LstmOptions(
    embedding=UNITS, widths=(UNITS, UNITS), skip=True, capped=True, two_biases=False, state_dropout=0.2
)

CASES: dict[str, Case] = {
    "bayesnas, norm mean, sharing node": _search("bayesnas", zero_edge_switch=True, dropout=0.2),
    "bayesnas, norm none, sharing edge": _search("bayesnas", norm="none", weight_sharing="edge"),
    "bayesnas, norm batch, sharing edge_op": _search(
        "bayesnas", norm="batch", norm_learnable=True, weight_sharing="edge_op"
    ),
    "bayesnas, norm layer, sharing node": _search("bayesnas", norm="layer", norm_learnable=True),
    "bayesnas, products in bfloat16": _search("bayesnas", matmul_dtype="bfloat16")._replace(
        roundings=16, precision=2.0**-8
    ),
    "bayesnas, memory, adam": _search("bayesnas", space="memory", rule="adam", cap=True),
    "random_ws, memory": _search("random_ws", space="memory", nodes=1),
    "darts1": _search("darts1", nodes=1),
    # a difference of two gradients, divided by 2 R
    "darts2": _search("darts2", nodes=1)._replace(roundings=ROUNDINGS / (2 * RADIUS)),
    "random, norm batch": _search("random", norm="batch"),
    "random_ws": _search("random_ws"),
    "enas": _search("enas"),
    "halving": _search("halving", rule="adam"),  # what it carries from rung to rung has slots of Adam
    "evolution, memory": _search("evolution", space="memory", nodes=1),
    "ggn": _estimate("ggn", {"norm": "mean", "zero_edge_switch": True}),
    "ggn, norm batch, 1 probe": _estimate("ggn", {"norm": "batch", "weight_sharing": "edge"}, probes=1),
    "ggn, memory": _estimate("ggn", {"norm": "mean", "space": "memory", "nodes": 1}),
    "recursive, memory, D": _estimate(
        "recursive", {"norm": "layer", "space": "memory", "nodes": 1}, tau=2, d_term=True
    ),
    "recursive, whole window": _estimate("recursive", {"norm": "layer"}, tau=0),
    "recursive, chunks": _estimate("recursive", {"norm": "none", "weight_sharing": "edge_op"}, tau=2),
    "recursive, slots, D": _estimate("recursive", {"norm": "batch"}, tau=2, truncation="slots", d_term=True),
    "thesis": _estimate("thesis", {"norm": "mean", "nodes": 1}, tau=2),
    "thesis, D": _estimate("thesis", tau=2, d_term=True),
    "exact": _estimate("exact", {"norm": "none", "nodes": 1}),
    "ggn of weights, supernet": Case(
        "curvature",
        lambda form: estimate_weights(
            form, SearchCell(CellOptions(UNITS, 1, norm="layer")), CurvatureOptions("ggn", probes=1)
        ),
    ),
    "recursive of weights, derived cell": Case(
        "curvature", lambda form: estimate_weights(form, derived(), CurvatureOptions("recursive", tau=2))
    ),
    "derived cell, asgd": _train(None),
    "cell with a memory, asgd": Case(
        "training steps",
        lambda form: step_subject(
            EvaluateStep(model_of(form, derived(GATED)), WINDOWS, WeightOptions(lr=0.5)), GATED
        ),
    ),
    "lstm under a mixture, asgd": _train(LSTM, experts=2),
    "lstm, capped, skip, adam": _train(CAPPED, rule="adam"),
    "lstm, cuDNN": _train(LSTM, "cudnn"),
    "rhn, sgd": _train(RhnOptions(UNITS, depth=2), rule="sgd"),
    "nas, asgd": _train(NasOptions(UNITS)),
    "derived cell, evaluation": Case("evaluation", lambda form: evaluation(form, derived()), "graph"),
    "lstm, cuDNN, evaluation": Case("evaluation", lambda form: evaluation(form, LSTM.cell()), "cudnn"),
}
GROUPS = tuple(dict.fromkeys(case.group for case in CASES.values()))
