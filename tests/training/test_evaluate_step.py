"""Steps of training a derived cell against their twin, and the switch to averages between them."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.highway import published
from bayesnas_tf.space.highway.programs import fed_by
from bayesnas_tf.training.evaluate_step import EvaluateStep
from bayesnas_tf.training.execution import window_function
from bayesnas_tf.training.settings import WeightOptions, WindowOptions
from tests.references import averaging as reference

U, V, B, BPTT = 3, 5, 2, 4
LENGTHS = (4, 2, 4, 1, 8)  # their rates are exact in float32
GENOTYPES = {
    "shared sources": published.parse("sigmoid0 relu1 relu1 tanh0", (), "shared", "test"),
    "other outputs": published.parse("tanh0 identity1 relu0", (0, 2), "outputs", "test"),
}
CLIP, DECAY, LR = 0.25, 0.125, 2.0


def model_of(genotype):
    cell = DerivedCell(genotype, DerivedOptions(units=U, init_range=0.5), dtype="float64")
    model = LanguageModel(V, cell, ModelOptions(embedding_range=0.7), dtype="float64")
    model.initialise(seeds.run_seed(3))
    return model


def twin_weights(model):
    """The embedding, the decoder's bias, W_0 and one kernel per node, as float64 copies."""
    cell, kernels = model.cell, {}
    for source, nodes in fed_by(cell.genotype).items():
        parts = np.split(cell.source_kernels[str(source)].numpy(), len(nodes), axis=1)
        kernels |= dict(zip(nodes, parts, strict=True))
    w_0 = np.concatenate([cell.kernel.numpy(), cell.recurrent_kernel.numpy()])
    return [
        model.embedding.numpy(),
        model.decoder_bias.numpy(),
        w_0,
        *(kernels[node] for node in sorted(kernels)),
    ]


def windows(count):
    """x and y `[B, T]` of lengths in turn."""
    random = np.random.default_rng(1)
    for k in range(count):
        ids = random.integers(0, V, size=(B, LENGTHS[k % len(LENGTHS)] + 1)).astype(np.int32)
        yield ids[:, :-1], ids[:, 1:]


def assert_same(model, twin):
    for found, wanted in zip(twin_weights(model), twin, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("twin_class", "compat"), [(reference.Sgd, False), (reference.TorchSgd, True)])
@pytest.mark.parametrize("name", GENOTYPES)
def test_ten_steps_of_sgd_and_ten_averaged_ones_equal_the_twin(name, twin_class, compat):
    genotype = GENOTYPES[name]
    model = model_of(genotype)
    weights = WeightOptions(lr=LR, clip=CLIP, weight_decay=DECAY)
    step = EvaluateStep(model, WindowOptions(batch_size=B, bptt=BPTT), weights, compat)
    compiled = window_function(step, B, False)
    twin, state = twin_class(twin_weights(model), DECAY), np.zeros((B, U))
    lr = tf.constant(LR, tf.float64)
    clipped = []
    for k, (x, y) in enumerate(windows(20)):
        if k == 10:
            assert_same(model, twin.weights)
            step.optimizer.start_averaging()
            twin.start()
        compiled(tf.constant(x), tf.constant(y), tf.constant(x.shape[1]), lr, seeds.run_seed(0))
        gradients = reference.gradients(twin.weights, genotype, x, y, state)
        limited = reference.clipped(gradients, CLIP)
        clipped.append(not np.array_equal(limited[0], gradients[0]))
        state = reference.mean_nats(twin.weights, genotype, x, y, state)[1]
        twin.step(limited, LR * x.shape[1] / BPTT)
    assert_same(model, twin.weights)
    np.testing.assert_allclose(step.state, state, rtol=1e-9)
    with step.optimizer.averages():
        assert_same(model, twin.means())
    assert any(clipped) and not np.allclose(twin.means()[0], twin.weights[0])
