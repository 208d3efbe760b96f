"""LSTM and NAS layers and their stacks against twins that take one step at a time."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.baselines import cudnn, lstm
from bayesnas_tf.cells.baselines.lstm import LstmOptions
from bayesnas_tf.cells.baselines.nas import NasOptions
from bayesnas_tf.cells.baselines.recurrent import LayerMasks
from bayesnas_tf.numerics import seeds
from bayesnas_tf.numerics.execution import GRAPH, Execution
from tests.references import baselines as reference

B, T, K = 3, 5, 4
STACKS = {
    "three widths, two biases": LstmOptions(embedding=K, widths=(5, 6, K)),
    "skip, capped, one bias": LstmOptions(
        embedding=K, widths=(K, K, K), skip=True, capped=True, forget_bias=1.0, two_biases=False
    ),
}


def built(options):
    """A float64 stack with large random weights."""
    stack, random = options.cell(dtype="float64"), np.random.default_rng(1)
    for weight in stack.weights:
        weight.assign(random.normal(size=weight.shape))
    return stack, random


def drawn_masks(stack, random):
    """One mask of each kind for each layer, of zeros and twos."""
    draw = lambda *shape: tf.constant(2.0 * random.integers(0, 2, size=shape))  # noqa: E731
    return tuple(
        LayerMasks(
            draw(B, 1, layer.kernel.shape[0]), draw(B, layer.units), draw(*layer.recurrent_kernel.shape)
        )
        for layer in stack.layers
    )


def twin(stack, x, state, drawn, length):
    """Outputs `[B, T, U]` and the packed state after `length` steps, layer by layer."""
    parts = np.split(state, np.cumsum(stack.sizes)[:-1], axis=1)
    outputs, after = [], []
    for number, (layer, of_layer) in enumerate(zip(stack.layers, drawn, strict=True)):
        x_mask, h_mask, r_mask = (1.0 if mask is None else mask.numpy() for mask in of_layer)
        w, r = layer.kernel.numpy(), layer.recurrent_kernel.numpy() * r_mask
        if layer.gates == 8:
            step = lambda x, h, c, w=w, r=r, m=h_mask: reference.nas_step(x, h, c, w, r, m)  # noqa: E731
        else:
            biases, options = [bias.numpy() for bias in layer.biases], layer.options
            step = lambda x, h, c, w=w, r=r, b=biases, o=options, m=h_mask: reference.lstm_step(  # noqa: E731
                x, h, c, w, r, b, o.capped, o.forget_bias, m
            )
        x, history = reference.run(step, x * x_mask, (parts[2 * number], parts[2 * number + 1]))
        outputs.append(x)
        after += history[length - 1]
    skip = stack.skip
    return sum(outputs) if skip else outputs[-1], np.concatenate(after, axis=1)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("length", [T, 2])
@pytest.mark.parametrize("options", [*STACKS.values(), NasOptions(units=K)], ids=[*STACKS, "NAS cell"])
def test_a_window_equals_the_twin(options, length, masked):
    stack, random = built(options)
    x, state = random.normal(size=(B, T, K)), random.normal(size=(B, stack.state_size))
    drawn = drawn_masks(stack, random) if masked else (LayerMasks(),) * len(stack.layers)
    outputs, after = stack.window(
        stack.read(drawn if masked else None), tf.constant(x), tf.constant(state), length
    )
    expected, expected_after = twin(stack, x, state, drawn, length)
    np.testing.assert_allclose(outputs, expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(after, expected_after, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("step", [lstm.lstm, lstm.capped_lstm])
def test_the_written_gradient_is_the_derivative(step):
    random = np.random.default_rng(2)
    pre, c = tf.constant(random.normal(size=(2, 12))), tf.constant(random.normal(size=(2, 3)))
    found, wanted = tf.test.compute_gradient(
        lambda pre, c: tf.concat(step(pre, c), axis=1) * [1.0, 2.0, 3.0, 5.0, 7.0, 11.0], [pre, c]
    )
    for exact, numeric in zip(found, wanted, strict=True):
        np.testing.assert_allclose(exact, numeric, rtol=1e-5, atol=1e-7)


def test_masks_are_drawn_once_per_window_by_layer_and_rate():
    options = LstmOptions(
        embedding=30, widths=(40, 30), between_dropout=0.25, state_dropout=0.75, weight_dropout=0.5
    )
    stack = options.cell()
    first, second = stack.draw_masks(seeds.run_seed(1), 200)
    assert first.inputs is None
    assert second.inputs.shape == (200, 1, 40)
    for layer, of_layer in zip(stack.layers, (first, second), strict=True):
        assert of_layer.hidden.shape == (200, layer.units)
        assert of_layer.recurrent.shape == layer.recurrent_kernel.shape
        assert np.mean(of_layer.hidden == 0.0) == pytest.approx(0.75, abs=0.03)
        assert np.mean(of_layer.recurrent == 0.0) == pytest.approx(0.5, abs=0.04)
    again, other = (stack.draw_masks(seeds.run_seed(seed), 200)[0] for seed in (1, 2))
    np.testing.assert_array_equal(first.recurrent, again.recurrent)
    assert np.any(first.recurrent != other.recurrent)
    assert np.any(first.hidden[:, :30] != second.hidden)


def test_bfloat16_factors_are_near_float32():
    stack, random = LstmOptions(embedding=K, widths=(5, K)).cell(), np.random.default_rng(3)
    for weight in stack.weights:
        weight.assign(0.5 * random.normal(size=weight.shape))
    x = tf.constant(random.normal(size=(B, T, K)), tf.float32)
    exact, _ = stack.window(stack.read(), x, tf.zeros([B, stack.state_size]), T)
    reading = stack.read(None, Execution(matmul_dtype="bfloat16"))
    rounded, _ = stack.window(reading, x, tf.zeros([B, stack.state_size]), T)
    assert 0.0 < np.abs(rounded - exact).max() < 0.05


def emulated_cudnn(**arguments):
    """What NVIDIA documents of the operation, in NumPy: matrices by rows of outputs, then two biases."""
    x, h, c = (arguments[name].numpy() for name in ("input", "input_h", "input_c"))
    (steps, batch, inputs), units = x.shape, h.shape[2]
    flat, parts = arguments["params"].numpy(), []
    for width in [inputs] * 4 + [units] * 4:
        parts.append(flat[: units * width].reshape(units, width).T)
        flat = flat[units * width :]
    w, r = np.concatenate(parts[:4], axis=1), np.concatenate(parts[4:], axis=1)
    lengths = arguments["sequence_lengths"].numpy()
    outputs, h, c = np.zeros((steps, batch, units)), h[0], c[0]
    assert arguments["time_major"] and arguments["rnn_mode"] == "lstm" and len(set(lengths)) == 1
    for t in range(lengths[0]):
        h, c = reference.lstm_step(x[t], h, c, w, r, np.split(flat, 2))
        outputs[t] = h
    return tf.constant(outputs), tf.constant(h[np.newaxis]), tf.constant(c[np.newaxis]), None, None


@pytest.mark.parametrize("length", [T, 2])
@pytest.mark.parametrize("two_biases", [True, False])
def test_what_cudnn_is_given_is_what_the_loop_computes(monkeypatch, length, two_biases):
    """The operation exists on a GPU alone; its arguments are checked: layout, biases, masks, lengths."""
    options = LstmOptions(embedding=K, widths=(5, K), two_biases=two_biases, forget_bias=0.5)
    stack, random = built(options)
    x, state = (tf.constant(random.normal(size=shape)) for shape in ((B, T, K), (B, stack.state_size)))
    drawn = tuple(of_layer._replace(hidden=None) for of_layer in drawn_masks(stack, random))
    loop = stack.window(stack.read(drawn), x, state, length)
    monkeypatch.setattr(cudnn.tf.raw_ops, "CudnnRNNV3", emulated_cudnn)
    monkeypatch.setattr(lstm.LstmLayer, "has_fused_form", lambda *_: True)  # of float64 for this test
    outputs, after = stack.window(stack.read(drawn, Execution(fused=True)), x, state, length)
    np.testing.assert_allclose(outputs[:, :length], loop[0][:, :length], rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(after, loop[1], rtol=1e-10, atol=1e-12)


def test_cudnn_is_left_alone_where_it_has_no_such_layer():
    plain, masked = LayerMasks(), LayerMasks(hidden=tf.ones([1, 4]))
    for options, drawn, dtype, expected in (
        (STACKS["three widths, two biases"], plain, "float32", True),
        (STACKS["three widths, two biases"], masked, "float32", False),
        (STACKS["three widths, two biases"], plain, "float64", False),
        (STACKS["skip, capped, one bias"], plain, "float32", False),
    ):
        assert options.cell(dtype=dtype).layers[0].has_fused_form(drawn, GRAPH) is expected


@pytest.mark.parametrize(
    ("options", "wrong", "message"),
    [
        (LstmOptions, {"widths": ()}, r"LstmOptions\.widths=\(\) must have at least one"),
        (LstmOptions, {"embedding": 0}, r"LstmOptions\.embedding=0"),
        (LstmOptions, {"skip": True, "widths": (3, 4)}, r"LstmOptions\.skip=True.*same width"),
        (LstmOptions, {"weight_dropout": 1.0}, r"LstmOptions\.weight_dropout=1\.0"),
        (LstmOptions, {"init_range": -1.0}, r"LstmOptions\.init_range=-1\.0"),
        (NasOptions, {"units": 0}, r"NasOptions\.units=0"),
        (NasOptions, {"hidden_dropout": -0.1}, r"NasOptions\.hidden_dropout=-0\.1"),
        (NasOptions, {"init_range": 0.0}, r"NasOptions\.init_range=0\.0"),
    ],
)
def test_impossible_options_are_refused_by_name(options, wrong, message):
    with pytest.raises(ValueError, match=message):
        options(**wrong)
