import keras
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.optim.asgd import ASGD, averaged, averaging_weight
from tests.references import averaging as reference

STEPS, SWITCH = 25, 10
SHAPES = ((3, 2), (4,))
RATES = (2.0, 0.5, 1.25, 0.25)  # float32 holds them exactly
DECAY = 0.125


def optimizer_of(weights, compat=False, **options):
    variables = [keras.Variable(w, dtype="float64") for w in weights]
    optimizer = ASGD(weight_decay=DECAY, pytorch_compat=compat, **options)
    optimizer.build(variables)
    return optimizer, variables


def drawn(seed):
    random = np.random.default_rng(seed)
    return [random.normal(size=shape) for shape in SHAPES]


def run(optimizer, variables, steps, on_step=lambda k, gradients, lr: None):
    """Steps with the gradients of a noisy parabola; `on_step` hears of each before it is done."""
    for k in steps:
        gradients = [v.numpy() + noise for v, noise in zip(variables, drawn(100 + k), strict=True)]
        lr = 0.1 * RATES[k % len(RATES)]
        lr = float(np.float32(lr))
        on_step(k, gradients, lr)
        optimizer.learning_rate.assign(lr)
        optimizer.apply([tf.constant(g) for g in gradients], variables)


def averages(optimizer, variables):
    with optimizer.averages():
        return [v.numpy() for v in variables]


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(("twin_class", "compat"), [(reference.Sgd, False), (reference.TorchSgd, True)])
def test_iterates_and_means_equal_the_twin(twin_class, compat, compiled):
    optimizer, variables = optimizer_of(drawn(0), compat, compiled=compiled)
    twin = twin_class(drawn(0), DECAY)

    def follow(k, gradients, lr):
        if k == SWITCH:
            optimizer.start_averaging()
            twin.start()
        twin.step(gradients, lr)

    for k in range(STEPS):
        run(optimizer, variables, [k], follow)
        for variable, w in zip(variables, twin.weights, strict=True):
            np.testing.assert_allclose(variable, w, rtol=1e-12, atol=1e-13)
        wanted = twin.weights if k < SWITCH else twin.means()
        for found, mean in zip(averages(optimizer, variables), wanted, strict=True):
            np.testing.assert_allclose(found, mean, rtol=1e-12, atol=1e-13)


def test_compat_equals_torch_step_by_step():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: nothing but comparisons needs it")
    optimizer, variables = optimizer_of(drawn(0), compat=True)
    parameters = [torch.nn.Parameter(torch.tensor(w)) for w in drawn(0)]
    used = {"optimizer": torch.optim.SGD(parameters, lr=1.0, weight_decay=DECAY)}

    def follow(k, gradients, lr):
        if k == SWITCH:
            optimizer.start_averaging()
            used["optimizer"] = torch.optim.ASGD(parameters, lr=lr, t0=0, lambd=0.0, weight_decay=DECAY)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = torch.tensor(gradient)
        used["optimizer"].param_groups[0]["lr"] = lr
        used["optimizer"].step()

    for k in range(STEPS):
        run(optimizer, variables, [k], follow)
        for variable, parameter in zip(variables, parameters, strict=True):
            np.testing.assert_allclose(variable, parameter.detach().numpy(), rtol=1e-12)
        if k >= SWITCH:
            means = [used["optimizer"].state[p]["ax"].numpy() for p in parameters]
            for found, mean in zip(averages(optimizer, variables), means, strict=True):
                np.testing.assert_allclose(found, mean, rtol=1e-6)  # its weights of the mean are float32


def test_the_iterates_come_back_to_the_bit_whatever_happens():
    optimizer, variables = optimizer_of(drawn(0))
    run(optimizer, variables, range(2))
    optimizer.start_averaging()
    run(optimizer, variables, range(2, 6))
    before = [v.numpy() for v in variables]

    class Stopped(Exception):
        pass

    with pytest.raises(Stopped), optimizer.averages():
        assert not np.array_equal(variables[0], before[0])
        raise Stopped
    for variable, wanted in zip(variables, before, strict=True):
        np.testing.assert_array_equal(variable, wanted)


def test_there_is_no_average_before_the_first_averaged_step():
    optimizer, variables = optimizer_of(drawn(0))
    run(optimizer, variables, range(3))
    optimizer.start_averaging()
    assert not optimizer.averaging
    for found, wanted in zip(averages(optimizer, variables), variables, strict=True):
        np.testing.assert_array_equal(found, wanted)
    run(optimizer, variables, [3])
    assert optimizer.averaging


@pytest.mark.parametrize("at", [4, 12])
def test_a_checkpoint_holds_all_that_the_next_steps_need(tmp_path, at):
    whole, variables = optimizer_of(drawn(0), compat=True)
    restored, others = optimizer_of(drawn(1), compat=True)
    for k in range(20):
        if k == SWITCH:
            whole.start_averaging()
            if at < SWITCH:
                restored.start_averaging()
        if k == at:
            whole_state, state = (
                tf.train.Checkpoint(o=o, r=o.rests, v=[v.value for v in of])
                for o, of in ((whole, variables), (restored, others))
            )
            loaded = state.restore(whole_state.save(str(tmp_path / "c")))
            loaded.assert_existing_objects_matched().assert_consumed()
        run(whole, variables, [k])
        if k >= at:
            run(restored, others, [k])
    means = averages(whole, variables), averages(restored, others)
    for left, right in ((variables, others), means, (whole.rests.of, restored.rests.of)):
        for one, other in zip(left, right, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_keras_model_trains_with_it_and_its_configuration_comes_back():
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(1)])
    optimizer = ASGD(0.1, weight_decay=1e-3, pytorch_compat=True, global_clipnorm=1.0)
    model.compile(optimizer=optimizer, loss="mse")
    x = np.random.default_rng(0).normal(size=(64, 3)).astype("float32")
    history = model.fit(x, x.sum(axis=1, keepdims=True), epochs=20, verbose=0).history["loss"]
    assert history[-1] < 0.05 * history[0]
    again = keras.optimizers.deserialize(keras.optimizers.serialize(optimizer))
    assert isinstance(again, ASGD)
    assert again.get_config() == optimizer.get_config()


@pytest.mark.parametrize("compiled", [False, True])
def test_the_mean_of_a_long_training_is_that_of_its_iterates(compiled):
    # as many steps as a published recipe averages; iterates about 1 whose noise is small beside them
    steps, width = 300_000, 16
    noise = tf.constant(np.random.default_rng(0).normal(1.0, 0.01, size=(1000, width)).astype("float32"))

    @tf.function(jit_compile=compiled)
    def run():
        mean, rest, exact = tf.zeros([width]), tf.zeros([width]), tf.zeros([width], tf.float64)
        for k in tf.range(steps):
            w = noise[k % 1000] + tf.cast(k, tf.float32) * 1e-7
            share = averaging_weight(tf.cast(k + 1, tf.int64), False)
            mean, rest = averaged(mean, rest, w, tf.cast(share, tf.float32))
            exact += tf.cast(w, tf.float64)
        return mean, exact / steps

    mean, exact = run()
    np.testing.assert_allclose(mean, exact, rtol=2**-23)  # the nearest float32 but one


def test_a_first_iterate_is_its_mean_to_the_bit():
    w, before = tf.constant([0.1, 1e-8, 3e7]), tf.constant([7.7, -3.3, 1e-3])
    mean, rest = averaged(before, before, w, tf.constant(1.0))
    np.testing.assert_array_equal(mean, w)
    np.testing.assert_array_equal(rest, np.zeros(3))


def test_it_compiles():
    optimizer, variables = optimizer_of(drawn(0))
    eager, others = optimizer_of(drawn(0))
    gradients = [tf.constant(g) for g in drawn(5)]
    compiled = tf.function(lambda: optimizer.apply(gradients, variables), jit_compile=True)
    for k in range(4):
        if k == 2:
            optimizer.start_averaging()
            eager.start_averaging()
        compiled()
        eager.apply(gradients, others)
    for one, other in zip(averages(optimizer, variables), averages(eager, others), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
