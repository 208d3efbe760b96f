import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds

WORDS, UNITS, BATCH = 50, 12, 4
SEED = seeds.run_seed(5)
IDS = tf.constant([[1, 2, 1], [3, 3, 3], [0, 7, 1], [2, 1, 0]])


def build(cell=None, **options):
    cell = SearchCell(CellOptions(units=UNITS, nodes=2, norm="mean", **(cell or {})))
    return LanguageModel(WORDS, cell, ModelOptions(**options))


def initialised(seed=SEED, frequencies=None, **options):
    model = build(**options)
    model.initialise(seed, frequencies)
    return model


def test_a_seed_gives_the_same_weights_and_another_seed_others():
    one, same, other = initialised(), initialised(), initialised(seeds.run_seed(6))
    for a, b, c in zip(one.weights, same.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        if "kernel" in a.name or a.name == "embedding":
            assert np.all(a.numpy() != c.numpy()), a.name


def test_no_two_kernels_share_their_values():
    kernels = [w.numpy() for w in initialised().cell.weights if "kernel" in w.name]
    firsts = [float(kernel.flat[0]) for kernel in kernels]
    assert len(set(firsts)) == len(kernels) == 4


def test_weights_fill_their_ranges():
    model = initialised(embedding_range=0.3)
    for weight, limit in ((model.embedding, 0.3), (model.cell.recurrent_kernel, 0.04)):
        assert 0.95 * limit < np.abs(weight.numpy()).max() <= limit
    np.testing.assert_array_equal(model.cell.scalars, np.ones((3, 4)))
    np.testing.assert_array_equal(model.decoder_bias, np.zeros(WORDS))


def test_input_std_is_the_deviation_of_what_reaches_node_0():
    model = initialised(input_std=0.3)
    reached = model.embed(tf.range(WORDS)[tf.newaxis]).numpy()[0] @ model.cell.kernel.numpy()
    assert np.std(reached) == pytest.approx(0.3, rel=0.15)  # of 1,200 products


def test_the_decoder_starts_at_word_frequencies_where_told():
    frequencies = np.log(np.random.default_rng(0).dirichlet(np.ones(WORDS))).astype(np.float32)
    model = initialised(frequencies=frequencies, decoder_bias="log_frequencies")
    np.testing.assert_array_equal(model.decoder_bias, frequencies)
    with pytest.raises(ValueError, match="log frequencies"):
        initialised(decoder_bias="log_frequencies")


def test_the_decoder_is_the_embedding():
    model = initialised()
    hidden = tf.random.stateless_normal([BATCH, 3, UNITS], SEED)
    expected = hidden.numpy() @ model.embedding.numpy().T + model.decoder_bias.numpy()
    np.testing.assert_allclose(model.decode(hidden), expected, rtol=1e-5, atol=1e-6)


def test_a_window_in_two_parts_is_the_window_with_the_state_carried():
    model = initialised()
    whole, last = model(IDS)
    first, state = model(IDS[:, :2])
    rest, end = model(IDS[:, 2:], state)
    np.testing.assert_allclose(tf.concat([first, rest], axis=1), whole, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(end, last, rtol=1e-5, atol=1e-6)


def test_without_rates_there_are_no_masks():
    drawn = build().draw_masks(SEED, BATCH)
    assert drawn.words is drawn.embeddings is drawn.outputs is drawn.cell.inputs is drawn.cell.hidden is None


def test_masks_are_drawn_by_seed_slot_and_rate():
    rates = {"word_dropout": 0.1, "embedding_dropout": 0.2, "output_dropout": 0.75}
    model = build({"input_dropout": 0.5, "hidden_dropout": 0.25}, **rates)
    batch = 200
    drawn, again = model.draw_masks(SEED, batch), model.draw_masks(SEED, batch)
    flat = lambda all_masks: [*all_masks[:3], *all_masks.cell]  # noqa: E731
    shapes = [(WORDS, 1), (batch, 1, UNITS), (batch, 1, UNITS), (batch, UNITS), (batch, UNITS)]
    for mask, same, shape, rate in zip(
        flat(drawn), flat(again), shapes, (0.1, 0.2, 0.75, 0.5, 0.25), strict=True
    ):
        assert mask.shape == shape
        np.testing.assert_array_equal(mask, same)
        assert set(np.unique(mask)) <= {0.0, np.float32(1.0 / (1.0 - rate))}
        tolerance = 4.0 * np.sqrt(rate * (1.0 - rate) / np.prod(shape))  # four deviations of the share
        assert np.mean(mask.numpy() == 0.0) == pytest.approx(rate, abs=tolerance)
    other = model.draw_masks(seeds.run_seed(6), batch)
    assert all(np.any(a.numpy() != b.numpy()) for a, b in zip(flat(drawn)[1:], flat(other)[1:], strict=True))
    assert np.any(drawn.cell.inputs.numpy() != drawn.cell.hidden.numpy())


def test_a_dropped_word_is_gone_wherever_it_stands():
    model = initialised(word_dropout=0.5)
    drawn = model.draw_masks(SEED, BATCH)
    embedded = model.embed(IDS, drawn).numpy()
    kept = drawn.words.numpy()[:, 0]
    for row, column in np.ndindex(*IDS.shape):
        word = int(IDS[row, column])
        np.testing.assert_allclose(
            embedded[row, column], kept[word] * model.embedding.numpy()[word], rtol=1e-6
        )


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"word_dropout": 1.0}, r"ModelOptions\.word_dropout=1\.0 must be in \[0, 1\)"),
        ({"output_dropout": -0.1}, r"ModelOptions\.output_dropout=-0\.1"),
        ({"decoder_bias": "frequencies"}, r"ModelOptions\.decoder_bias='frequencies' must be one of"),
        ({"embedding_range": -0.1}, r"ModelOptions\.embedding_range=-0\.1 must be at least 0"),
        ({"embedding_range": float("nan")}, r"ModelOptions\.embedding_range=nan"),
        ({"input_std": -1.0}, r"ModelOptions\.input_std=-1\.0"),
        ({"input_std": float("inf")}, r"ModelOptions\.input_std=inf must be finite"),
        (
            {"embedding_range": 0.0, "input_std": 0.3},
            r"ModelOptions\.input_std=0\.3 .* Set ModelOptions\.embedding_range above 0",
        ),
    ],
)
def test_impossible_options_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        ModelOptions(**wrong)
