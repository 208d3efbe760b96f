from pathlib import Path

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


def counter(directory):
    """Checkpoints of one number, and the number."""
    number = tf.Variable(0)
    return Checkpoints(directory, number=number), number


def save(directory, *numbers):
    """Write each number as `last`."""
    checkpoints, number = counter(directory)
    for value in numbers:
        number.assign(value)
        checkpoints.save()


def files(directory):
    """Content of every file by name."""
    return {path.name: path.read_bytes() for path in directory.iterdir()}


def parts(number):
    """The names of the files of a checkpoint."""
    return {f"ckpt-{number}.index", f"ckpt-{number}.data-00000-of-00001"}


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "tear",
    [
        lambda last: cut(last / "ckpt-3.index"),
        lambda last: (last / "ckpt-3.index").write_bytes(b""),
        lambda last: (last / "ckpt-3.data-00000-of-00001").write_bytes(b""),
        lambda last: (last / "ckpt-3.data-00000-of-00001").unlink(),
    ],
    ids=["cut index", "empty index", "empty data", "no data"],
)
def test_a_torn_newest_checkpoint_is_skipped_with_a_warning(tear, tmp_path, caplog):
    save(tmp_path, 10, 20, 30)
    tear(tmp_path / "last")
    checkpoints, number = counter(tmp_path)
    assert checkpoints.restore()
    assert int(number) == 20
    assert checkpoints.last_path.endswith("last/ckpt-2")
    (warning,) = caplog.messages
    assert "ckpt-3" in warning
    assert "Resuming from" in warning
    assert "\n" not in warning


def test_only_when_none_can_be_read_it_is_an_error_whose_cure_keeps_the_run(tmp_path):
    save(tmp_path, 10, 20)
    for path in (tmp_path / "last").glob("*.index"):
        cut(path)
    with pytest.raises(UserError, match=r"last/ckpt-2\. .*\. Restore its files.*another --run_dir") as caught:
        counter(tmp_path)[0].restore()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "lost", [Path.unlink, lambda path: path.write_text("model_ch")], ids=["gone", "torn"]
)
def test_the_list_of_checkpoints_may_be_lost(lost, tmp_path):
    save(tmp_path, 10, 20)
    lost(tmp_path / "last" / "checkpoint")
    checkpoints, number = counter(tmp_path)
    assert checkpoints.restore()
    assert int(number) == 20
    kept = files(tmp_path / "last")
    checkpoints.save()
    after = files(tmp_path / "last")
    assert {name for name in kept if kept[name] != after.get(name)} - {"checkpoint"} == parts(1)
    assert tf.train.latest_checkpoint(str(tmp_path / "last")).endswith("ckpt-3")  # for tools of TensorFlow


def test_no_write_takes_the_name_of_another(tmp_path):
    checkpoints, _ = counter(tmp_path)
    checkpoints.save()
    checkpoints.save_best()  # and here the process is killed
    before = files(tmp_path / "best")
    (tmp_path / "last" / "ckpt-7.data-00000-of-00001").write_bytes(b"of a write that was cut off")
    resumed, _ = counter(tmp_path)
    assert resumed.restore()
    resumed.save_best()
    resumed.save()
    after = files(tmp_path / "best")
    assert {name for name in before if before[name] != after[name]} == {"checkpoint"}
    assert resumed.last_path.endswith("ckpt-8")


def test_nothing_to_restore_is_no_error(tmp_path):
    assert not counter(tmp_path)[0].restore()


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
