"""Where the second derivative can be written down: a linear, a quadratic and a constant loss.

With one step, one learned node and no statistics in the norm, the hidden state is linear in the scalars:
h = Σ_o w_o u_o, over the number of terms for norm `mean`. `thesis` begins in the softmax in closed form and
takes no other loss.
"""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.curvature import exact, one_pass
from bayesnas_tf.curvature.interface import ESTIMATORS, CurvatureOptions
from bayesnas_tf.curvature.lanes import Pair
from bayesnas_tf.numerics import seeds
from tests.references import cell as cell_reference
from tests.support.small import small_model, small_window

SEED = seeds.run_seed(2)
FORMS = [("none", 1.0), ("mean", 4.0)]


def of_state(a, b):
    """½ a h² + b h of every state, as the loss op of `one_pass`: its gradient, and what lanes begin with."""

    def mean_loss(model, hidden: Pair, y, lanes, seed, model_masks=None):
        count = tf.cast(tf.size(y), hidden.value.dtype)

        @tf.custom_gradient
        def run(h, shadow):
            def gradient(g):
                if lanes.rule.diagonal:
                    begun = tf.fill(h.shape, a / count)[tf.newaxis]
                    return g * (a * h + b) / count, tf.concat([begun, tf.zeros_like(shadow)[1:]], axis=0)
                signs = 1 - 2 * tf.random.stateless_uniform(shadow.shape, seed, 0, 2, tf.int32)
                return g * (a * h + b) / count, tf.cast(signs, h.dtype) * tf.sqrt(a / count)

            return tf.reduce_sum(0.5 * a * tf.square(h) + b * h) / count, gradient

        return run(*hidden)

    return mean_loss


def one_unit(norm):
    """One unit whose state is the first of two logits, the other being 0; and a window of one step."""
    model = small_model(norm=norm, units=1, nodes=1)
    model.embedding.assign(tf.eye(model.vocabulary, 1, dtype=tf.float64))
    model.decoder_bias.assign(tf.zeros_like(model.decoder_bias))
    x, y, state = small_window()
    return model, x[:, :1], y[:, :1], state[:, :1]


def found(name, norm, a, b, monkeypatch, **options):
    """h of an estimator under ½ a h² + b h, and u_o of every example, `[O, B]`."""
    model, x, y, state = one_unit(norm)
    of_logits = lambda logits, _: 0.5 * a * logits[..., 0] ** 2 + b * logits[..., 0]  # noqa: E731
    monkeypatch.setattr(exact.losses, "token_nats", of_logits)
    monkeypatch.setattr(one_pass, "mean_nats", of_state(tf.constant(a, tf.float64), b))
    h = ESTIMATORS[name](model, x, y, state, SEED, CurvatureOptions(name, **options)).h
    twin = cell_reference.copy_of(model.cell, model)
    _, _, outputs = cell_reference.step(twin, twin.embedding[x.numpy()[:, 0]], state.numpy())
    return h.numpy()[0], np.array([outputs[0, 1, o][:, 0] for o in range(4)])


HOW = [
    ("exact", {}),
    ("ggn", {"probes": 1}),
    ("ggn", {"probes": 3}),
    ("recursive", {"tau": 0}),
    ("recursive", {"tau": 2, "truncation": "slots"}),
    ("recursive", {"tau": 0, "d_term": True}),
]


@pytest.mark.parametrize(("name", "options"), HOW, ids=str)
@pytest.mark.parametrize(("norm", "terms"), FORMS)
def test_a_linear_loss_gives_0(name, options, norm, terms, monkeypatch):
    h, u = found(name, norm, 0.0, 1.7, monkeypatch, **options)
    assert np.all(np.abs(u) > 1e-3)  # the scalars are felt
    np.testing.assert_allclose(h, 0.0, atol=1e-15)


@pytest.mark.parametrize(("name", "options"), HOW, ids=str)
@pytest.mark.parametrize(("norm", "terms"), FORMS)
def test_a_quadratic_loss_gives_its_coefficient(name, options, norm, terms, monkeypatch):
    h, u = found(name, norm, 2.3, 1.7, monkeypatch, **options)
    np.testing.assert_allclose(h, 2.3 * np.mean((u / terms) ** 2, axis=1), rtol=1e-10)


@pytest.mark.parametrize("name", sorted(ESTIMATORS))
def test_a_constant_loss_gives_0_in_any_cell(name, monkeypatch):
    # the only word there is has probability 1
    monkeypatch.setattr("tests.support.small.WORDS", 1)
    model, (x, y, state) = small_model(norm="layer", nodes=1), small_window()
    h = ESTIMATORS[name](model, x, y, state, SEED, CurvatureOptions(name, d_term=True)).h
    np.testing.assert_allclose(h, 0.0, atol=1e-15)
