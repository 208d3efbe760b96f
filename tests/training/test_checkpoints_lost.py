"""What becomes of a run whose checkpoints were cut off, damaged or taken away, and of odd folders."""

import errno
import os
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from bayesnas_tf import files
from bayesnas_tf.errors import UserError
from bayesnas_tf.training.checkpoints import Checkpoints, restore_best
from bayesnas_tf.training.progress import Progress

FOLDERS = ("lr=[5]", "a*b", "back\\slash", "exp [v2]", "sp ace", "q?", "größe-δ", "{x}", "a:b")


class Weights(tf.Module):
    """A model of one number."""

    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(0.0)


class Run:
    """Checkpoints of a model and of what a loop counts."""

    def __init__(self, directory):
        self.directory, self.model, self.progress = directory, Weights(), Progress()
        self.checkpoints = Checkpoints(directory, model=self.model, progress=self.progress)

    def end_epoch(self, weight, nats):
        """As both loops: `best` where it is better, then `last`."""
        self.model.weight.assign(weight)
        if nats < float(self.progress.best_nats):
            self.progress.best_nats.assign(nats)
            self.checkpoints.save_best()
        self.checkpoints.save()

    def weight(self):
        return float(self.model.weight)


@pytest.fixture
def run(tmp_path):
    """Two epochs, the second the better one."""
    run = Run(tmp_path / "checkpoints")
    run.end_epoch(1.0, 5.5)
    run.end_epoch(2.0, 5.0)
    return run


def best(directory):
    """The weight of the best epoch, in a new model."""
    model = Weights()
    restore_best(directory, model)
    return float(model.weight)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("lose", [Path.unlink, lambda path: path.write_bytes(b"")], ids=["gone", "empty"])
@pytest.mark.parametrize("kind", ["best", "last"])
def test_no_list_is_needed(run, kind, lose):
    lose(run.directory / kind / "checkpoint")
    assert best(run.directory) == 2.0
    resumed = Run(run.directory)
    assert resumed.checkpoints.restore()
    assert resumed.weight() == 2.0


def test_two_of_each_stay(run):
    for weight in (3.0, 4.0):
        run.end_epoch(weight, 4.0 / weight)
    for kind in ("best", "last"):
        found = [name for name in names(run.directory / kind) if name.endswith(".index")]
        assert found == ["ckpt-3.index", "ckpt-4.index"]


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
def test_the_best_before_is_taken_and_the_warning_says_which(run, part, caplog):
    cut(run.directory / "best" / f"ckpt-2.{part}")
    assert best(run.directory) == 1.0
    (warning,) = caplog.messages
    assert warning.startswith(f"cannot use checkpoint {run.directory / 'best/ckpt-2'}. ")
    assert warning.endswith("ckpt-1, of an earlier epoch: 5.5 nats on the validation split instead of 5")


def test_a_best_that_was_written_twice_is_the_same(run, caplog):
    run.checkpoints.save_best()  # a run that was killed before it had counted the epoch
    cut(run.directory / "best" / "ckpt-3.index")
    assert best(run.directory) == 2.0
    assert caplog.messages[0].endswith("ckpt-2, which holds the same weights")


def test_a_lost_best_is_told_when_the_run_resumes(run, caplog):
    cut(run.directory / "best" / "ckpt-2.index")
    assert Run(run.directory).checkpoints.restore()
    assert f"the best weights, {run.directory / 'best/ckpt-2'}, cannot be read" in caplog.messages[0]
    shutil.rmtree(run.directory / "best")
    assert Run(run.directory).checkpoints.restore()
    assert f"the best weights are missing in {run.directory / 'best'}" in caplog.messages[1]
    with pytest.raises(UserError, match=r"the best weights are missing.*Restore its files"):
        best(run.directory)


def test_a_damaged_checkpoint_does_not_push_a_good_one_out(run):
    cut(run.directory / "last" / "ckpt-2.data-00000-of-00001")
    resumed = Run(run.directory)
    assert resumed.checkpoints.restore()
    assert resumed.weight() == 1.0
    resumed.checkpoints.save()
    found = [name for name in names(run.directory / "last") if name.endswith(".index")]
    assert found == ["ckpt-1.index", "ckpt-3.index"]


def test_a_first_checkpoint_that_was_cut_off_is_no_state(tmp_path, caplog):
    last = tmp_path / "last"
    (last / "ckpt-1_temp").mkdir(parents=True)
    (last / "ckpt-1.data-00000-of-00001").write_bytes(b"1234")
    (last / "ckpt-1.index").write_bytes(b"")
    run = Run(tmp_path)
    assert not run.checkpoints.restore()
    assert "The run starts again" in caplog.messages[0]
    run.end_epoch(1.0, 5.0)
    assert Run(tmp_path).checkpoints.restore()
    assert names(last) == ["checkpoint", "ckpt-2.data-00000-of-00001", "ckpt-2.index"]


def test_what_a_killed_write_left_is_removed_by_the_next_start(run):
    last = run.directory / "last"
    before = names(last)
    (last / "ckpt-3_temp").mkdir()
    (last / "ckpt-3_temp" / "ckpt-3.index").write_bytes(b"")
    (last / "checkpoint.tmp0123").write_bytes(b"")  # of TensorFlow
    (last / ".checkpoint.99999999").write_bytes(b"")
    assert Run(run.directory).checkpoints.restore()
    assert names(last) == before


def test_a_full_disk_leaves_the_checkpoints_before(run, monkeypatch):
    before = names(run.directory / "last")

    def refuse(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(files, "replace", refuse)
        with pytest.raises(
            UserError, match=r"cannot write checkpoint .*No space left.*Free some space"
        ) as caught:
            run.checkpoints.save()
    assert "\n" not in str(caught.value)
    assert names(run.directory / "last") == before
    run.checkpoints.save()


def test_what_cannot_be_read_again_takes_no_name(run, monkeypatch):
    before = names(run.directory / "best")
    write = tf.train.Checkpoint.write

    def badly(self, prefix):
        write(self, prefix)
        cut(Path(f"{prefix}.data-00000-of-00001"))

    monkeypatch.setattr(tf.train.Checkpoint, "write", badly)
    with pytest.raises(UserError, match="cannot write checkpoint"):
        run.checkpoints.save_best()
    assert names(run.directory / "best") == before


@pytest.mark.parametrize("name", FOLDERS)
def test_no_folder_is_taken_for_a_pattern(name, tmp_path):
    directory = tmp_path / name / "checkpoints"
    run = Run(directory)
    for weight in (1.0, 2.0, 3.0):
        run.end_epoch(weight, 1.0 / weight)
    assert best(directory) == 3.0
    resumed = Run(directory)
    assert resumed.checkpoints.restore()
    assert resumed.weight() == 3.0
    assert resumed.checkpoints.last_path == str(directory / "last" / "ckpt-3")
    cut(directory / "last" / "ckpt-3.index")
    cut(directory / "last" / "ckpt-2.index")
    with pytest.raises(UserError) as caught:
        Run(directory).checkpoints.restore()
    assert str(directory / "last" / "ckpt-3") in str(caught.value)
    assert "/proc/" not in str(caught.value)


def test_a_relative_folder_is_no_pattern_either(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Run(Path("[a]")).end_epoch(1.0, 1.0)
    assert best(Path("[a]")) == 1.0
