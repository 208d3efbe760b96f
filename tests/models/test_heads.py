"""The mixture of softmaxes against its twin, alone and over cells of all kinds."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.baselines.rhn import RhnOptions
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.models.decoder import Decoder
from bayesnas_tf.models.heads import Mixture, MixtureOptions, target_log_probability
from bayesnas_tf.models.language_model import NO_MASKS, LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.highway import published
from tests.references import baselines as reference

B, T, V, K = 3, 4, 11, 3
CELLS = {
    "genotype": lambda: DerivedCell(published.named("DARTS_V2"), DerivedOptions(units=5), dtype="float64"),
    "rhn": lambda: RhnOptions(units=5, depth=2).cell(dtype="float64"),
    "lstm": lambda: LstmOptions(embedding=4, widths=(6, 5)).cell(dtype="float64"),
}


def model_of(cell, **options):
    """A float64 model with large random weights, and ids and targets for it."""
    head = Mixture(MixtureOptions(experts=K, **options), dtype="float64")
    model, random = LanguageModel(V, CELLS[cell](), ModelOptions(), head, dtype="float64"), _random()
    for weight in model.weights:
        weight.assign(random.normal(size=weight.shape))
    ids, targets = (tf.constant(random.integers(0, V, size=(B, T)), tf.int32) for _ in range(2))
    return model, ids, targets


def _random():
    return np.random.default_rng(1)


def weights_of(model):
    """Those of the mixture, as its twin takes them."""
    head = model.head
    return head.prior_kernel, head.latent_kernel, head.latent_bias, model.embedding, model.decoder_bias


def probabilities(model, hidden, mask=1.0):
    """The twin's P + 1e-8."""
    return reference.mixture(hidden.numpy(), *(weight.numpy() for weight in weights_of(model)), mask)


@pytest.mark.parametrize("cell", CELLS)
def test_probabilities_and_nats_equal_the_twin_over_any_cell(cell):
    model, ids, targets = model_of(cell)
    hidden, _ = model.window(ids, model.zero_state(B), T)
    expected = probabilities(model, hidden)
    np.testing.assert_allclose(tf.exp(model.log_probabilities(hidden)), expected, rtol=1e-10)
    np.testing.assert_allclose(tf.exp(model(ids)[0]), expected, rtol=1e-10)
    of_targets = np.take_along_axis(expected, targets.numpy()[..., np.newaxis], axis=-1)[..., 0]
    np.testing.assert_allclose(model.token_nats(hidden, targets), -np.log(of_targets), rtol=1e-10)


def test_dropout_is_on_the_hidden_states_for_all_and_on_the_latents_for_the_experts():
    model, _, targets = model_of("lstm", latent_dropout=0.5)
    random = _random()
    hidden = tf.constant(random.normal(size=(B, T, 5)))
    drawn = model.draw_masks(seeds.run_seed(3), B)
    assert drawn.head.shape == (B, 1, K * 4)
    assert set(np.unique(drawn.head)) == {0.0, 2.0}
    outputs = tf.constant(2.0 * random.integers(0, 2, size=(B, 1, 5)))
    drawn = drawn._replace(outputs=outputs)
    expected = probabilities(model, hidden * outputs, drawn.head.numpy())
    np.testing.assert_allclose(tf.exp(model.decode(hidden, drawn)), expected, rtol=1e-10)
    of_targets = np.take_along_axis(expected, targets.numpy()[..., np.newaxis], axis=-1)[..., 0]
    np.testing.assert_allclose(model.token_nats(hidden, targets, drawn), -np.log(of_targets), rtol=1e-10)


def test_the_gradient_equals_the_twin_in_hidden_states_and_weights():
    model, _, targets = model_of("lstm", latent_dropout=0.5)
    hidden, mask = tf.constant(_random().normal(size=(B, T, 5))), model.draw_masks(seeds.run_seed(3), B).head
    weights = [weight.value for weight in weights_of(model)]
    with tf.GradientTape() as tape:
        tape.watch(hidden)
        loss = tf.reduce_sum(model.token_nats(hidden, targets, NO_MASKS._replace(head=mask)))
    found = tape.gradient(loss, [hidden, *weights])
    given = (hidden.numpy(), *(weight.numpy() for weight in weights))
    expected = reference.mixture_gradients(*given, targets.numpy(), mask.numpy())
    for actual, wanted in zip(found, expected, strict=True):
        np.testing.assert_allclose(actual, wanted, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("experts", [1, 5, 15])
def test_at_the_start_hidden_states_get_a_smaller_gradient_than_under_one_softmax(experts):
    """‖Σ π_k L_k g‖² is E / (3 K U) ‖g‖² if π_k = 1/K and L is uniform within 1/√U, of variance 1 / (3 U)."""
    units, words, norms = 120, 50, []
    hidden = tf.constant(0.01 * _random().normal(size=(B, T, units)), tf.float32)
    targets = tf.constant(_random().integers(0, words, size=(B, T)), tf.int32)
    for head in (None, Mixture(MixtureOptions(experts=experts))):
        model = LanguageModel(words, RhnOptions(units=units, depth=1).cell(), ModelOptions(), head)
        model.initialise(seeds.run_seed(0))
        with tf.GradientTape() as tape:
            tape.watch(hidden)
            loss = tf.reduce_sum(model.token_nats(hidden, targets))
        norms.append(np.linalg.norm(tape.gradient(loss, hidden)))
    assert norms[1] / norms[0] == pytest.approx(1.0 / np.sqrt(3.0 * experts), rel=0.1)


def test_the_gradient_is_that_of_the_whole_distribution():
    model, ids, targets = model_of("genotype")
    results = []
    for nats in (
        lambda hidden: model.token_nats(hidden, targets),
        lambda hidden: -tf.gather(model.decode(hidden), targets, batch_dims=2),
    ):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(nats(model.hidden(ids, model.zero_state(B))))
        gradients = tape.gradient(loss, model.trainable_variables)
        results.append([tf.convert_to_tensor(gradient) for gradient in gradients])
    for found, wanted in zip(*results, strict=True):
        assert np.any(wanted.numpy() != 0.0)
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-12)


def test_training_keeps_no_logits_of_an_expert():
    """Whatever a loop keeps for its gradient is pushed on a list: nothing as wide as the vocabulary is."""
    model, _, targets = model_of("lstm")

    @tf.function
    def gradient(hidden):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model.token_nats(hidden, targets))
        return tape.gradient(loss, model.trainable_variables)

    graph = gradient.get_concrete_function(tf.TensorSpec([B, T, 5], tf.float64)).graph
    bodies = [function.graph for function in graph._functions.values() if hasattr(function, "graph")]
    kept = [
        operation.inputs[1].shape
        for part in (graph, *bodies)
        for operation in part.get_operations()
        if operation.type == "TensorListPushBack"
    ]
    assert kept and [B * T, 4] in kept
    assert all(V not in shape for shape in kept)


def test_a_target_far_from_all_experts_has_the_floor_and_a_finite_gradient():
    latent, embedding = tf.constant([[80.0]]), tf.constant([[1.0], [-1.0]])
    decoder = Decoder(embedding, tf.zeros([2]))
    with tf.GradientTape() as tape:
        tape.watch(latent)
        found = target_log_probability(latent, tf.constant([1]), decoder)
    assert float(found[0]) == pytest.approx(-160.0)
    assert float(tape.gradient(found, latent)[0, 0]) == pytest.approx(-2.0)


def test_a_tied_softmax_refuses_outputs_of_another_width():
    cell = LstmOptions(embedding=4, widths=(6, 5)).cell()
    with pytest.raises(ValueError, match=r"5 and 4 units.*evaluate\.head = @MixtureOptions"):
        LanguageModel(V, cell, ModelOptions())


@pytest.mark.parametrize(("name", "value"), [("experts", 0), ("latent_dropout", 1.0)])
def test_impossible_options_are_refused_by_name(name, value):
    with pytest.raises(ValueError, match=rf"MixtureOptions\.{name}="):
        MixtureOptions(**{name: value})
