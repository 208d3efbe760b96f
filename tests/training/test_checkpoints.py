import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.training.checkpoints import Checkpoints, restore_best

GENOTYPE = Genotype((Node(0, "tanh"), Node(0, "relu"), Node(1, "identity")), (1, 2, 3))
CELLS = {
    "derived": lambda: DerivedCell(GENOTYPE, DerivedOptions(units=3)),
    **{
        f"search, {sharing}": lambda sharing=sharing: SearchCell(
            CellOptions(
                units=3,
                nodes=2,
                norm="layer",
                weight_sharing=sharing,
                norm_learnable=True,
                zero_edge_switch=True,
            )
        )
        for sharing in ("node", "edge", "edge_op")
    },
}


def numbered(cell, first):
    """A model whose weights are all different."""
    model = LanguageModel(7, cell, ModelOptions())
    for number, variable in enumerate(model.variables, start=first):
        variable.assign(number + np.arange(variable.shape.num_elements()).reshape(variable.shape) / 1000.0)
    return model


@pytest.mark.parametrize("make", CELLS.values(), ids=CELLS)
def test_every_weight_of_a_cell_comes_back_in_a_new_model(make, tmp_path):
    saved = numbered(make(), 1)
    checkpoints = Checkpoints(tmp_path, model=saved)
    checkpoints.save()
    checkpoints.save_best()
    for restore in ("last", "best"):
        model = numbered(make(), 100)
        if restore == "last":
            assert Checkpoints(tmp_path, model=model).restore()
        else:
            restore_best(tmp_path, model)
        for variable, expected in zip(model.variables, saved.variables, strict=True):
            np.testing.assert_array_equal(variable.numpy(), expected.numpy(), err_msg=variable.path)


def test_best_gives_a_model_alone_its_weights_back(tmp_path):
    model, counter = numbered(CELLS["derived"](), 1), tf.Variable(3)
    Checkpoints(tmp_path, model=model, counter=counter).save_best()
    other = numbered(CELLS["derived"](), 100)
    restore_best(tmp_path, other)
    np.testing.assert_array_equal(other.embedding.numpy(), model.embedding.numpy())


def foreign():
    return numbered(CELLS["search, node"](), 1)


@pytest.mark.parametrize(
    ("break_it", "part"),
    [
        (lambda folder: None, "no trained weights"),
        (
            lambda folder: Checkpoints(folder, model=numbered(CELLS["search, node"](), 1)).save_best(),
            "cannot use",
        ),
    ],
)
def test_a_lacking_or_foreign_best_is_one_line(break_it, part, tmp_path):
    break_it(tmp_path)
    with pytest.raises(UserError, match=part) as caught:
        restore_best(tmp_path, numbered(CELLS["derived"](), 1))
    assert "\n" not in str(caught.value)
