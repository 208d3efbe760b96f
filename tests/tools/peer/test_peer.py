"""The PyTorch models of the benchmark's --peer are the same models: one step leaves the same numbers."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.errors import UserError
from bayesnas_tf.space.highway import published
from bayesnas_tf.training.validation import window_nats
from tools.benchmark import subject

torch = pytest.importorskip("torch", reason="PyTorch is not installed: it is needed by --peer alone")

from tools.benchmark import peers  # noqa: E402  these import PyTorch
from tools.peer.forms import FORMS as WAYS  # noqa: E402
from tools.peer.model import Masks  # noqa: E402

WINDOWS = ("WindowOptions.batch_size = 3", "WindowOptions.bptt = 4")
SEARCH = (*WINDOWS, "CellOptions.units = 5", "CellOptions.nodes = 3")
TRAINING = (*WINDOWS, "DerivedOptions.units = 5", "DerivedOptions.init_range = 0.5")
VOCABULARY, STEPS, SEED = 11, 2, tf.constant([3, 4])
REGULARISED = (
    "ModelOptions.word_dropout = 0.2",
    "ModelOptions.embedding_dropout = 0.3",
    "ModelOptions.output_dropout = 0.4",
    "CellOptions.input_dropout = 0.5",
    "CellOptions.hidden_dropout = 0.25",
    "WeightOptions.weight_decay = 0.01",
    "WeightOptions.activation = 0.2",
    "WeightOptions.temporal_activation = 0.3",
)
FORMS = {
    "ptb.gin": (),
    "batch norm, clipped, all regularisers": ("CellOptions.norm = 'batch'", *REGULARISED),
    "layer norm, scalars pruned": ("CellOptions.norm = 'layer'", "ScalarOptions.lambda_w = 3.0"),
    "no norm, not clipped": (
        "CellOptions.norm = 'none'",
        "WeightOptions.clip = 0.0",
        "WeightOptions.lr = 0.1",
        "ScalarOptions.lr = 0.1",
    ),
}
# Rounding of 1e-16 in sums of some 10² terms and in gradients through 4 time steps and a batch norm of
# three rows, times a learning rate of 20.
CLOSE = {"rtol": 1e-9, "atol": 1e-11}


@pytest.fixture(autouse=True)
def _float64():
    """Models in float64, in which a difference of form shows beside rounding."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float64")
    yield
    keras.config.set_dtype_policy(before)


def search_bench(*settings):
    config.parse(["ptb.gin"], (*SEARCH, *settings))
    return subject.prepare(STEPS, VOCABULARY)


def training_bench(*settings):
    config.parse(["ptb_eval.gin"], (*TRAINING, *settings))
    return subject.prepare(STEPS, VOCABULARY, published.named("DARTS_V2"))


def windows(rows, bptt=4):
    """Ids and targets `[B, T]` of windows that follow each other."""
    for start in range(0, STEPS * bptt, bptt):
        yield rows[:, start : start + bptt], rows[:, start + 1 : start + bptt + 1]


def by_time(ids):
    return torch.tensor(ids.T.astype(np.int64))


def same_masks(model, batch):
    """Our masks of a window for the peer."""
    ours = model.draw_masks(SEED, batch)
    found = (ours.words, ours.embeddings, *ours.cell, ours.outputs)
    words, embeddings, inputs, hidden, outputs = (None if m is None else m.numpy() for m in found)
    sequence = lambda mask: None if mask is None else mask.swapaxes(0, 1)  # noqa: E731
    every = words, sequence(embeddings), inputs, hidden, sequence(outputs)
    return Masks(*(None if mask is None else torch.tensor(mask) for mask in every))


def weights_of(peer):
    """Its weights in the order of `Weights`."""
    model = peer.model
    scalars = [model.cell.scalars] if hasattr(model.cell, "scalars") else []
    found = model.embedding, model.decoder_bias, model.cell.input_kernel, *model.cell.node_kernels, *scalars
    return [weight.detach().numpy() for weight in found]


def assert_same_training(bench, peer, lr):
    """Both train on the same windows with the same masks; loss, weights, scalars and state agree."""
    model, step, before = bench.problem.model, bench.problem.step, 0.0
    for ids, targets in windows(bench.problem.train_rows):
        step(tf.constant(ids), tf.constant(targets), tf.constant(4), tf.constant(lr, tf.float64), SEED)
        nats = peer(by_time(ids), by_time(targets), same_masks(model, len(ids)))
        total = float(step.totals.nats)
        np.testing.assert_allclose(nats, (total - before) / ids.size, **CLOSE)
        before = total
    found = peers.weights_of(model)
    ours = [*found[:3], *found.node_kernels, *([] if found.scalars is None else [found.scalars])]
    for actual, wanted in zip(weights_of(peer), ours, strict=True):
        assert actual.dtype == np.float64
        np.testing.assert_allclose(actual, wanted, **CLOSE)
    np.testing.assert_allclose(peer.state.numpy(), step.state.numpy(), **CLOSE)


@pytest.mark.parametrize("form", FORMS)
def test_a_search_step_is_the_same(form):
    bench = search_bench(*FORMS[form])
    step, random = bench.problem.step, np.random.default_rng(7)
    scalars, omega = (random.uniform(0.2, 2.0, size=step.scalars[0].shape) for _ in range(2))
    bench.problem.model.cell.scalars.assign(scalars)
    peer = peers.peer_of("search_step", bench).step()
    step.omega[0].assign(omega)
    peer.omega.copy_(torch.tensor(omega))
    assert_same_training(bench, peer, bench.settings.weights.lr)
    moved = bench.problem.model.cell.scalars.numpy()
    assert np.any(moved == 0.0) == ("pruned" in form)
    assert not np.allclose(moved, scalars)


@pytest.mark.parametrize("settings", [(), ("WeightOptions.clip = 0.0", "WeightOptions.activation = 0.2")])
def test_a_training_step_is_the_same(settings):
    bench = training_bench(*settings)
    assert None not in same_masks(bench.problem.model, 3)  # ptb_eval.gin drops everywhere
    peer = peers.peer_of("train_step", bench).step()
    assert_same_training(bench, peer, bench.settings.weights.lr)


def test_evaluation_is_the_same():
    bench = training_bench("evaluate.eval_batch_size = 2")
    peer, run = peers.peer_of("evaluate", bench).step(), window_nats(bench.problem.model)
    state = bench.problem.model.zero_state(2)
    for ids, targets in windows(bench.problem.valid_rows):
        nats, state = run(tf.constant(ids), tf.constant(targets), tf.constant(4), state)
        np.testing.assert_allclose(peer(by_time(ids), by_time(targets)), float(nats) / ids.size, **CLOSE)
    np.testing.assert_allclose(peer.state.numpy(), state.numpy(), **CLOSE)


def test_the_peer_draws_masks_as_ours():
    bench = training_bench()
    model = peers.peer_of("train_step", bench).model()
    drawn, ours = model.draw_masks(100), same_masks(bench.problem.model, 100)
    for mask, like, rate in zip(drawn, ours, model.rates, strict=True):
        assert mask.shape == like.shape
        assert 0 < torch.count_nonzero(mask) <= mask.numel()
        np.testing.assert_allclose(mask[mask != 0.0], 1.0 / (1.0 - rate))
    assert abs(torch.count_nonzero(drawn.inputs) / 500 - 0.25) < 0.1  # five standard deviations


def test_what_the_peer_cannot_do_is_refused():
    bench = search_bench("CellOptions.weight_sharing = 'edge'")
    with pytest.raises(UserError, match="no PyTorch form of CellOptions.weight_sharing = 'edge'"):
        peers.peer_of("search_step", bench)


# Float32: rounding of 6e-8 in some 10 terms. Autocast: factors and products of some 1, rounded to 2^-9.
LOSS = {"float32": 3e-6, "bfloat16": 2e-2}
SHORT = (
    "WindowOptions.bptt = 2",  # compiles fast
    "WeightOptions.lr = 0.1",  # a second loss stays close
)
FEW = ("DerivedOptions.input_dropout = 0.2", "ModelOptions.output_dropout = 0.2")  # of five units some stay
SMALLEST = published.parse("tanh0", (), "smallest", "test")


@pytest.fixture
def float32():
    """Weights as a benchmark has them: autocast leaves float64 alone."""
    keras.config.set_dtype_policy("float32")
    torch.compiler.reset()
    yield
    torch.compiler.reset()


def bench_of(name, genotype=SMALLEST):
    """A bench whose logits are of some 1, so that rounded factors show in the loss."""
    if name == "search_step":
        bench = search_bench(*SHORT, "CellOptions.nodes = 2", "ScalarOptions.lr = 0.01")
    else:
        config.parse(["ptb_eval.gin"], (*TRAINING, *SHORT, *FEW, "evaluate.eval_batch_size = 3"))
        bench = subject.prepare(STEPS, VOCABULARY, genotype)
    embedding = bench.problem.model.embedding
    embedding.assign(np.random.default_rng(7).uniform(-1.0, 1.0, embedding.shape))
    return bench


def losses_of(name, bench, form):
    """The losses of some windows in a form, with the same masks in each; the first one compiles."""
    step, found = peers.peer_of(name, bench).step(form), []
    masks = () if name == "evaluate" else (same_masks(bench.problem.model, 3),)
    for ids, targets in windows(bench.problem.train_rows, 2):
        with torch.compiler.set_stance("fail_on_recompile" if found else "default"):
            found.append(step(by_time(ids), by_time(targets), *masks))
    return np.array(found)


def assert_same_losses(name, bench, *forms):
    """As eager's; those of autocast are rounded."""
    eager = losses_of(name, bench, WAYS["eager"])
    for form in forms:
        found = losses_of(name, bench, form)
        np.testing.assert_allclose(found, eager, rtol=LOSS[form.precision])
        assert np.allclose(found, eager, rtol=LOSS["float32"]) != form.autocast


@pytest.mark.parametrize("name", ["search_step", "train_step", "evaluate"])
def test_all_forms_have_the_same_loss(name, float32, monkeypatch):
    """Traced as for the compiler, as one graph, which then runs as it is: fast, and the same graph."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    assert_same_losses(name, bench_of(name, published.named("DARTS_V2")), *WAYS.values())


def test_what_the_compiler_writes_has_the_same_loss(float32):
    assert_same_losses("train_step", bench_of("train_step"), WAYS["autocast_compiled"])


def test_a_compiled_step_is_timed_without_compiling(float32, monkeypatch):
    graphs = []

    def compiler(graph, inputs):
        graphs.append(graph)
        return graph

    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=compiler))
    timer = peers.peer_of("train_step", bench_of("train_step")).timer(WAYS["compiled"])
    assert timer.step() < timer.first_seconds
    assert len(graphs) == 2  # of a time step: from a state without a gradient, and from one that has it
