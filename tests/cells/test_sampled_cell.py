import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import masks
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.sampled_cell import SampledCell
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.models.language_model import NO_MASKS, LanguageModel, ModelOptions
from bayesnas_tf.space.highway import programs, published
from bayesnas_tf.space.highway.programs import fed_by
from bayesnas_tf.space.highway.space import Highway

UNITS, NODES, BATCH, STEPS, WORDS = 3, 4, 2, 3, 7
SEED = tf.constant([1, 2])


def model(cell):
    return LanguageModel(WORDS, cell, ModelOptions(), dtype="float64")


def sampled(norm="mean"):
    made = model(
        SampledCell(CellOptions(units=UNITS, nodes=NODES, norm=norm, init_range=0.9), dtype="float64")
    )
    made.initialise(SEED)
    return made


def derived(genotype, like):
    """The language model of a genotype with the weights of a sampled one."""
    made = model(DerivedCell(genotype, DerivedOptions(units=UNITS), dtype="float64"))
    for name in ("kernel", "recurrent_kernel"):
        getattr(made.cell, name).assign(getattr(like.cell, name))
    for source, nodes in fed_by(made.cell.genotype).items():
        kernels = [like.cell.node_kernels[node - 1].numpy() for node in nodes]
        made.cell.source_kernels[str(source)].assign(np.concatenate(kernels, axis=1))
    made.embedding.assign(like.embedding)
    return made


def window():
    random = np.random.default_rng(3)
    x = random.integers(0, WORDS, size=(BATCH, STEPS)).astype(np.int32)
    return tf.constant(x), tf.constant(random.normal(size=(BATCH, UNITS)))


def test_one_graph_is_the_derived_cell_of_each_choice_with_its_gradient_and_masks():
    shared, (x, state) = sampled(), window()
    drawn = masks.CellMasks(
        *(tf.constant(np.random.default_rng(k).uniform(size=(BATCH, UNITS))) for k in (4, 5))
    )

    def gradient(of):
        with tf.GradientTape() as tape:
            hidden = of.hidden(x, state, NO_MASKS._replace(cell=drawn))
            loss = tf.reduce_sum(of.decode(hidden) ** 2)
        return loss, tape.gradient(loss, [of.cell.kernel, of.cell.recurrent_kernel])

    traced = tf.function(lambda: gradient(shared))
    for seed in range(6):
        genotype = published.random_cell(seed, NODES)
        shared.cell.choose(Highway.choice(genotype))
        loss, gradients = traced()
        expected, wanted = gradient(derived(genotype, shared))
        np.testing.assert_allclose(loss, expected, rtol=1e-12)
        for left, right in zip(gradients, wanted, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)
    assert traced.experimental_get_tracing_count() == 1


def test_every_shared_kernel_learns_from_every_cell():
    shared, (x, state) = sampled(), window()
    shared.cell.choose(Highway.choice(published.random_cell(1, NODES)))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(shared(x, state)[0] ** 2)
    for gradient in tape.gradient(loss, shared.trainable_variables):
        assert np.any(tf.convert_to_tensor(gradient).numpy() != 0.0)


def test_batch_norm_leaves_every_node_standardised():
    cell = sampled("batch").cell
    random = np.random.default_rng(6)
    x, h = (tf.constant(random.normal(size=(5, 64, k * UNITS))) for k in (2, 1))
    for value in cell.read().run(x, [h], [programs.node(k) for k in range(NODES + 1)]):
        np.testing.assert_allclose(value.numpy().mean(axis=1), 0.0, atol=1e-12)


def test_it_starts_from_the_kernels_of_the_supernet():
    supernet = model(SearchCell(CellOptions(units=UNITS, nodes=NODES, init_range=0.9), dtype="float64"))
    supernet.initialise(SEED)
    left, right = (
        [m.cell.kernel, m.cell.recurrent_kernel, *m.cell.node_kernels, m.embedding]
        for m in (supernet, sampled())
    )
    for one, other in zip(left, right, strict=True):
        np.testing.assert_array_equal(one, other)


def test_keras_rebuilds_the_cell_from_its_options():
    cell = SampledCell(CellOptions(units=UNITS, nodes=2, norm="layer"), name="cell")
    again = SampledCell.from_config(cell.get_config())
    assert (again.options, again.name) == (cell.options, "cell")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"weight_sharing": "edge"}, r"CellOptions\.weight_sharing = 'edge'\. Set it to 'node'"),
        ({"norm_learnable": True}, r"CellOptions\.norm_learnable = True\. Set it to False"),
        ({"zero_edge_switch": True}, r"CellOptions\.zero_edge_switch = True\. Set it to False"),
    ],
)
def test_what_one_term_per_node_cannot_have_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        SampledCell(CellOptions(**wrong))
