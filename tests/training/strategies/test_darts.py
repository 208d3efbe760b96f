"""DARTS' gradients against exact ones on quadratics, and its step against them on a small network."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.models import losses
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.space.memory.space import Memory
from bayesnas_tf.training.settings import WeightOptions, WindowOptions
from bayesnas_tf.training.strategies.darts import step as darts_step
from bayesnas_tf.training.strategies.darts import strategy as darts
from bayesnas_tf.training.strategies.darts.step import DartsOptions, DartsStep, Gradients
from tests.support.small import BATCH, STEPS, UNITS, WORDS, small_model

SEED = tf.constant([3, 4])
EDGES, OPS = 3, 4
SITES = Highway(2).sites


def quadratics(random, size=5, scalars=3):
    """L_train, L_valid of W (in two parts) and w: a quadratic each, with a term that couples W and w."""
    made = []
    for _ in range(2):
        a, b, c = (tf.constant(random.normal(size=shape)) for shape in ((size, size), (size, scalars), size))
        made.append(
            lambda weights, w, a=a, b=b, c=c: (
                0.5
                * tf.reduce_sum(
                    tf.square(tf.linalg.matvec(a, tf.concat(weights, 0)) + tf.linalg.matvec(b, w) * c)
                )
            )
        )
    return made


@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_the_second_order_gradient_is_that_through_the_step_on_a_quadratic(clip):
    random = np.random.default_rng(0)
    train, valid = quadratics(random)
    weights = [tf.constant(random.normal(size=size)) for size in (2, 3)]
    w, rate, decay = tf.constant(random.normal(size=3)), tf.constant(0.05, tf.float64), 0.01

    def gradients(loss, at):
        with tf.GradientTape() as tape:
            tape.watch([*at, w])
            value = loss(at, w)
        *of_weights, of_scalars = tape.gradient(value, [*at, w])
        return of_weights, of_scalars

    of = Gradients(
        lambda at: gradients(train, at)[0],
        lambda at: gradients(train, at)[1],
        lambda at: gradients(valid, at),
    )
    actual = darts_step.unrolled_gradient(of, weights, rate, clip, decay)

    with tf.GradientTape() as outer:
        outer.watch(w)
        with tf.GradientTape() as inner:
            inner.watch(weights)
            value = train(weights, w)
        moved = inner.gradient(value, weights)
        norm = np.sqrt(sum(float(tf.reduce_sum(g**2)) for g in moved))
        factor = min(clip / (norm + 1e-6), 1.0) if clip else 1.0
        after = [v - rate * (factor * g + 2.0 * decay * v) for v, g in zip(weights, moved, strict=True)]
        value = valid(after, w)
    exact = outer.gradient(value, w)
    assert (factor < 1.0) == (clip > 0.0)
    # the difference is central and the third derivative of a quadratic is 0: rounding alone is left,
    # 1e-16 |∇L| / R with R = 0.01 / ‖v‖
    np.testing.assert_allclose(actual, exact, rtol=1e-10)
    assert np.all(np.abs(actual - gradients(valid, weights)[1]) > 1e-3)


@pytest.mark.parametrize(("norm", "scale"), [("layer", 1.0), ("mean", 4.0)])
def test_the_gradient_goes_through_the_softmax(norm, scale):
    softmax, random = darts_step.Softmax(SITES, norm), np.random.default_rng(1)
    alpha, upstream = tf.constant(random.normal(size=(EDGES, OPS + 1))), random.normal(size=(EDGES, OPS))
    with tf.GradientTape() as tape:
        tape.watch(alpha)
        w = softmax.mixture(alpha)
        value = tf.reduce_sum(w * upstream)
    np.testing.assert_allclose(softmax.pull(alpha, upstream), tape.gradient(value, alpha), rtol=1e-12)
    exponentials = np.exp(alpha.numpy())
    expected = scale * exponentials / exponentials.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(w, expected[:, :OPS], rtol=1e-12)


def test_a_switch_is_a_sigmoid_and_absent_options_have_no_share():
    sites = Memory(2).sites
    softmax = darts_step.Softmax(sites, "mean")
    alpha = tf.constant(np.random.default_rng(2).normal(size=(len(sites.exists), sites.exists.shape[1] + 1)))
    w, p = softmax.mixture(alpha).numpy(), softmax.probabilities(alpha).numpy()
    assert not w[~sites.exists].any()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    for row in sites.switches:
        np.testing.assert_allclose(w[row, -1], tf.sigmoid(alpha[row, -2] - alpha[row, -1]), rtol=1e-12)
    edges = sites.edges
    np.testing.assert_allclose(w[edges], 5.0 * p[edges, :-1], rtol=1e-12)
    assert not softmax.pull(alpha, tf.ones_like(w)).numpy()[:, :-1][~sites.exists].any()


def make_step(order, norm="mean", clip=0.3, w_decay=8e-7, **options):
    random = np.random.default_rng(5)
    rows = random.integers(0, WORDS, size=(BATCH, 2 * STEPS + 2)).astype(np.int32)
    windows = WindowOptions(batch_size=BATCH, bptt=STEPS)
    weights = WeightOptions(clip=clip, weight_decay=w_decay)
    step = DartsStep(small_model(norm=norm), windows, weights, DartsOptions(order=order, **options), rows)
    step.set_alpha(random.normal(size=step.alpha.shape))
    return step, rows


def train(step, rate=1.0):
    x, y = np.random.default_rng(6).integers(0, WORDS, size=(2, BATCH, STEPS)).astype(np.int32)
    step(tf.constant(x), tf.constant(y), tf.constant(STEPS), tf.constant(rate, tf.float64), SEED)
    return x, y


def test_the_first_order_step_is_adam_on_the_validation_loss_at_w_as_it_is():
    step, rows = make_step(1, lr=0.1, weight_decay=0.5)
    alpha, model = step.alpha.numpy(), step.model
    valid = step.model.draw_masks(seeds.fold(SEED, darts_step.VALID_SEED), BATCH)
    with tf.GradientTape() as tape:
        hidden = model.hidden(tf.constant(rows[:, :STEPS]), tf.zeros([BATCH, UNITS], tf.float64), valid)
        nats = losses.token_nats(model.decode(hidden, valid), tf.constant(rows[:, 1 : STEPS + 1]))
        loss = tf.reduce_mean(nats)
    of_scalars = tape.gradient(loss, model.cell.scalars.value)
    train(step)
    gradient = step.softmax.pull(tf.constant(alpha), of_scalars) + 0.5 * alpha
    # the first step of Adam: lr g / (|g| + epsilon), up to the correction of epsilon
    np.testing.assert_allclose(step.alpha, alpha - 0.1 * np.sign(gradient), atol=1e-5)
    np.testing.assert_allclose(model.cell.scalars, step.softmax.mixture(step.alpha), rtol=1e-12)
    np.testing.assert_allclose(step.turns.state, hidden[:, -1], rtol=1e-9)


def given_to_adam(step, monkeypatch):
    """The gradients that the optimizer of α will have been given."""
    given, apply = [], step.optimizer.apply

    def recorded(gradients, variables):
        given.extend(gradients)
        apply(gradients, variables)

    monkeypatch.setattr(step.optimizer, "apply", recorded)
    return given


def test_alpha_moves_down_the_validation_loss_behind_a_step_of_w_by_its_central_difference(monkeypatch):
    step, rows = make_step(2, lr=0.1, weight_decay=0.0, clip=0.0, w_decay=0.01)
    model, alpha, start = step.model, step.alpha.numpy(), [v.numpy() for v in step.weights]
    given, rate, width = given_to_adam(step, monkeypatch), 1.0, 1e-4

    def nats(x, y):
        hidden = model.hidden(x, tf.zeros([BATCH, UNITS], tf.float64))
        return tf.reduce_mean(losses.token_nats(model.decode(hidden), y))

    def behind_a_step(logits):
        step.set_alpha(logits)
        step.set_weights(start)
        with tf.GradientTape() as tape:
            loss = nats(x, y)
        gradients = [tf.convert_to_tensor(gradient) for gradient in tape.gradient(loss, step.weights)]
        step.set_weights([w - rate * (g + 2.0 * 0.01 * w) for w, g in zip(start, gradients, strict=True)])
        return float(nats(rows[:, :STEPS], rows[:, 1 : STEPS + 1]))

    x, y = train(step, rate)
    moved, expected = step.alpha.numpy() - alpha, np.zeros_like(alpha)
    for index in np.ndindex(alpha.shape):
        shift = np.zeros_like(alpha)
        shift[index] = width
        expected[index] = (behind_a_step(alpha + shift) - behind_a_step(alpha - shift)) / (2.0 * width)
    # both differences are central: relative errors of the order of 0.01² times third derivatives, and of 1e-8
    np.testing.assert_allclose(given[0], expected, atol=1e-4 * np.abs(expected).max())
    np.testing.assert_array_equal(np.sign(moved), -np.sign(expected))

    first, _ = make_step(1, lr=0.1, weight_decay=0.0)
    as_it_is = given_to_adam(first, monkeypatch)
    train(first)
    assert np.abs(as_it_is[0] - expected).max() > 0.05 * np.abs(expected).max()  # the step of W is felt


@pytest.mark.parametrize("order", [1, 2])
def test_architecture_passes_leave_w_as_it_was(order):
    step, _ = make_step(order, norm="batch", lr=0.0)
    before = [v.numpy() for v in step.weights]
    train(step, rate=0.0)
    for old, variable in zip(before, step.weights, strict=True):
        np.testing.assert_array_equal(old, variable)
    assert (step.softmax.scale == 1.0).all()
    assert int(step.architecture_tokens) == BATCH * STEPS * (1 if order == 1 else 4)


def test_validation_windows_come_in_turn_and_begin_again_at_zero():
    step, rows = make_step(1)
    starts = []
    for _ in range(5):
        x, _, state = step.turns.window()
        assert np.any(state.numpy() != 0.0) == (len(starts) % 2 == 1)
        starts.append(next(k for k in range(rows.shape[1]) if np.array_equal(rows[:, k : k + STEPS], x)))
        step.turns.carry(tf.ones_like(state))
    assert starts == [0, STEPS, 0, STEPS, 0]


def test_the_cell_has_the_largest_entry_of_each_node():
    probabilities = np.full((EDGES, OPS), 0.1)
    probabilities[0, 2] = 0.3  # 0 -> 1
    probabilities[1, 0], probabilities[2, 3] = 0.2, 0.4  # 0 -> 2, 1 -> 2
    assert str(darts.derive(probabilities, Highway(2))) == "sigmoid0 identity1 -> mean 1 2"
    np.testing.assert_allclose(darts.margins(probabilities, SITES), [0.2, 0.2])
    assert str(darts.derive(np.full((EDGES, OPS), 0.2), Highway(2))) == "tanh0 tanh0 -> mean 1 2"


def test_an_order_there_is_not_is_refused():
    with pytest.raises(ValueError, match=r"DartsOptions\.order=3"):
        DartsOptions(order=3)
