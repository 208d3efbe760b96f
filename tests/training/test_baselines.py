"""Baselines under the training loop: their sizes, the other rules of optimisation, and resumption."""

import dataclasses

import gin
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.models.heads import MixtureOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.training.evaluate_loop import EvaluateLoop
from bayesnas_tf.training.evaluate_settings import build, build_model, name_of
from bayesnas_tf.training.evaluate_step import EvaluateStep
from bayesnas_tf.training.execution import Machine, decide
from bayesnas_tf.training.settings import AveragingOptions, OptimizerOptions, WeightOptions, WindowOptions
from tests.references import averaging
from tests.references import baselines as reference
from tests.training.test_evaluate_loop import Listener, corpus, settings, weights
from tests.training.test_evaluate_step import GENOTYPES, LR, B, U, model_of, twin_weights, windows

PTB, WIKITEXT2 = 10_000, 33_278
PUBLISHED = {
    "rhn": (PTB, 23_482_400),
    "awd_lstm": (PTB, 24_221_600),
    "awd_lstm_wikitext2": (WIKITEXT2, 33_556_078),
    "lstm_skip": (PTB, 23_979_620),
    "mos": (PTB, 21_500_620),
    "mos_wikitext2": (WIKITEXT2, 34_909_528),
    "nas": (PTB, 25_011_216),  # V U + V + 16 U², printed as 25 M
}


def test_every_baseline_file_has_its_size_here(root):
    assert {path.stem for path in (root / "gin" / "baselines").glob("*.gin")} == set(PUBLISHED)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_baseline_has_the_parameters_that_its_authors_count(name):
    config.parse([f"baselines/{name}.gin"])
    chosen = gin.get_configurable("evaluate")()
    vocabulary, parameters = PUBLISHED[name]
    assert build_model(chosen, vocabulary, None).count_params() == parameters
    assert name_of(chosen, None) == name.removesuffix("_wikitext2")


# all of it exact in float32, in which Keras holds the rate
RULES = {
    "sgd": (OptimizerOptions(rule="sgd"), lambda w, decay: averaging.Sgd(w, decay)),
    "adam": (
        OptimizerOptions(rule="adam", beta_1=0.0, beta_2=0.75, epsilon=2**-10),
        lambda w, decay: reference.Adam(w, decay, 0.0, 0.75, 2**-10),
    ),
    "adam with momentum": (
        OptimizerOptions(rule="adam", beta_1=0.5, beta_2=0.75, epsilon=2**-10),
        lambda w, decay: reference.Adam(w, decay, 0.5, 0.75, 2**-10),
    ),
}


@pytest.mark.parametrize("rule", RULES)
def test_steps_of_other_rules_equal_the_twin(rule):
    options, twin_of = RULES[rule]
    genotype = GENOTYPES["shared sources"]
    model = model_of(genotype)
    chosen = WeightOptions(lr=LR, clip=0.25, weight_decay=0.125)
    step = EvaluateStep(model, WindowOptions(batch_size=B, bptt=4), chosen, rule=options)
    twin, state = twin_of(twin_weights(model), 0.125), np.zeros((B, U))
    for x, y in windows(4):
        step(tf.constant(x), tf.constant(y), tf.constant(x.shape[1]), tf.constant(LR, tf.float64), (0, 0))
        gradients = averaging.clipped(averaging.gradients(twin.weights, genotype, x, y, state), 0.25)
        state = averaging.mean_nats(twin.weights, genotype, x, y, state)[1]
        twin.step(gradients, LR * x.shape[1] / 4)
    for found, wanted in zip(twin_weights(model), twin.weights, strict=True):
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-11)


def test_both_activation_terms_equal_the_twin():
    model = model_of(GENOTYPES["shared sources"])
    chosen = WeightOptions(activation=2.0, temporal_activation=1.0)
    step = EvaluateStep(model, WindowOptions(batch_size=B, bptt=4), chosen)
    (x, y), *_ = windows(1)
    padded = [tf.constant(np.pad(array, [[0, 0], [0, 3]])) for array in (x, y)]
    mask = np.array([2.0, 0.0, 2.0]).reshape(1, 1, U)
    drawn = model.draw_masks(seeds.run_seed(0), B)._replace(outputs=tf.constant(mask))
    loss, nats, _ = step.loss(*padded, tf.constant(x.shape[1]), drawn, step.state)
    hidden = model.hidden(tf.constant(x), model.zero_state(B)).numpy()
    size, change = np.mean((hidden * mask) ** 2), np.mean((hidden[:, 1:] - hidden[:, :-1]) ** 2)
    np.testing.assert_allclose(loss - nats, 2.0 * size + change, rtol=1e-9)


LSTM = LstmOptions(
    name="small",
    embedding=6,
    widths=(5, 6),
    between_dropout=0.1,
    state_dropout=0.1,
    weight_dropout=0.2,
    init_range=0.5,
)
SYSTEMS = {
    "averaged LSTM with DropConnect under a mixture": {
        "baseline": dataclasses.replace(LSTM, widths=(7,)),
        "head": MixtureOptions(experts=2, latent_dropout=0.2),
        "averaging": AveragingOptions(after_epoch=1, pytorch_compat=True),
        "weights": WeightOptions(lr=5.0, activation=2.0, temporal_activation=1.0),
    },
    "skip, Adam and a falling rate": {
        "baseline": dataclasses.replace(LSTM, widths=(6, 6), skip=True, capped=True, two_biases=False),
        "optimizer": OptimizerOptions(rule="adam", beta_1=0.0, lr_divisor=2.0),
        "weights": WeightOptions(lr=0.01),
        "spare_words": 1,
    },
}


def loop(folder, system, listener=None):
    chosen = dataclasses.replace(settings(), **SYSTEMS[system])
    return EvaluateLoop(build(chosen, corpus(), None, 3), chosen, 3, folder, listener or Listener())


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_stopped_run_resumes_bit_for_bit(tmp_path, system):
    heard = Listener()
    whole = loop(tmp_path / "whole", system, heard)
    expected = whole.run()
    stop_at = heard.epochs[0].step + 2
    with pytest.raises(KeyboardInterrupt):
        loop(tmp_path / "stopped", system, Listener(stop_at)).run()
    again = Listener()
    resumed = loop(tmp_path / "stopped", system, again)
    assert resumed.run()[:5] == expected[:5]
    assert again.steps[0].step == stop_at + 1
    for found, wanted in zip(weights(resumed), weights(whole), strict=True):
        np.testing.assert_array_equal(found, wanted)
    state = zip(resumed.step.optimizer.variables, whole.step.optimizer.variables, strict=True)
    assert all(np.array_equal(found, wanted) for found, wanted in state)
    falls = SYSTEMS[system].get("optimizer", OptimizerOptions()).lr_divisor
    assert [record.lr for record in (heard.steps[0], heard.steps[-1])] == [
        whole.settings.weights.lr / falls**epoch for epoch in (1, 2)
    ]


def test_the_rate_falls_after_the_epochs_of_full_rate(tmp_path):
    trained = loop(tmp_path, "skip, Adam and a falling rate")
    options = OptimizerOptions(rule="sgd", lr_divisor=1.02, full_rate_epochs=20)
    trained.settings = dataclasses.replace(trained.settings, optimizer=options)
    for done, divisor in ((0, 1.0), (19, 1.0), (20, 1.02), (21, 1.02**2)):
        trained.progress.epoch.assign(done)
        assert float(trained.lr_divisor()) == pytest.approx(divisor, rel=1e-12)


def test_other_rules_than_averaged_sgd_average_nothing(tmp_path):
    trained = loop(tmp_path, "skip, Adam and a falling rate")
    trained.settings = dataclasses.replace(
        trained.settings, epochs=3, averaging=AveragingOptions(after_epoch=1)
    )
    assert not trained.begins(1)
    assert not trained.step.averaging


def test_cudnn_is_for_a_gpu_and_not_under_xla():
    def fused(mode, gpu):
        given = dataclasses.replace(settings(), compile=mode)
        return decide(given, Machine(gpu=gpu), (7, 4), Replicas()).fused

    assert not any(fused(mode, False) for mode in ("auto", "graph", "xla"))
    assert [fused(mode, True) for mode in ("auto", "graph", "xla")] == [False, True, False]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (
            {"baseline": LstmOptions},
            r"evaluate\.baseline=.*@LstmOptions\(\) or @RhnOptions\(\) or @NasOptions\(\) or None",
        ),
        ({"head": LSTM}, r"evaluate\.head=.*must be @MixtureOptions\(\) or None"),
    ],
)
def test_other_things_than_baselines_and_heads_are_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        settings(**wrong)


def test_without_genotype_and_baseline_there_is_nothing_to_train():
    with pytest.raises(ValueError, match=r"Give a genotype, or set evaluate\.baseline"):
        build_model(settings(), 9, None)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"rule": "adamw"}, r"OptimizerOptions\.rule='adamw' must be one of"),
        ({"beta_1": 1.0}, r"OptimizerOptions\.beta_1=1\.0"),
        ({"epsilon": 0.0}, r"OptimizerOptions\.epsilon=0\.0"),
        ({"lr_divisor": 0.5}, r"OptimizerOptions\.lr_divisor=0\.5"),
        ({"full_rate_epochs": -1}, r"OptimizerOptions\.full_rate_epochs=-1"),
    ],
)
def test_impossible_options_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        OptimizerOptions(**wrong)
