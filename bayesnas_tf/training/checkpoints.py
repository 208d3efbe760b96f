"""Checkpoints of a training run: the last few, the best, and a stop that can be resumed."""

import contextlib
import re
import signal
from pathlib import Path

import tensorflow as tf
from absl import logging

from bayesnas_tf.errors import UserError
from bayesnas_tf.training.replicas import Replicas

# what reading a torn or foreign checkpoint raises; the reader passes some errors on as Python's own
UNUSABLE = (tf.errors.OpError, AssertionError, ValueError, IndexError, RuntimeError)
CURE = "Put its files back, or train in another --run_dir; --overwrite discards what this one holds"


class Checkpoints:
    """`last` and `best` below one directory, as `tf.train` checkpoints of the given trackables."""

    def __init__(self, directory: Path, replicas: Replicas | None = None, added=None, **trackables):
        """`trackables` are saved and restored together: every number that a resumed run needs.

        `added` are more of them, name -> an object with `forget`, that checkpoints of earlier versions lack.
        Of several processes, those of `replicas`, the first one writes and all read.
        """
        self._directory, self._replicas = directory, replicas or Replicas()
        self.last_path = ""  # of the last good state, saved or restored
        self._added = added or {}
        self._checkpoint = tf.train.Checkpoint(**trackables, **self._added)
        self._earlier = tf.train.Checkpoint(**trackables)
        self._last = tf.train.CheckpointManager(self._checkpoint, str(directory / "last"), max_to_keep=2)
        self._best = tf.train.CheckpointManager(self._checkpoint, str(directory / "best"), max_to_keep=1)

    def save(self) -> None:
        """Write `last`; a write that is cut off leaves the one before."""
        if not self._replicas.leads:
            return
        self.last_path = self._last.save(_free_number(self._directory / "last"))

    def save_best(self) -> None:
        """Write `best`; a write that is cut off leaves the one before."""
        if self._replicas.leads:
            self._best.save(_free_number(self._directory / "best"))

    def restore(self) -> bool:
        """Go to the newest of `last` that can be read, if there is any at all, and say whether there is.

        All processes go there together: the first one writes neither before nor while the others read.

        Raises:
          UserError: all are torn or of another model.
        """
        self._replicas.wait()
        found = self._restore()
        self._replicas.wait()
        return found

    def _restore(self) -> bool:
        unusable: list[str] = []
        for path in _newest_first(self._directory / "last"):
            try:
                self._version_of(path).restore(path).assert_existing_objects_matched()
            except UNUSABLE as error:
                unusable.append(f"{path}. {_first_line(error)}")
                continue
            for skipped in unusable:
                logging.warning("cannot resume from checkpoint %s. Resuming from %s", skipped, path)
            self.last_path = path
            return True
        if unusable:
            raise UserError(f"cannot resume from checkpoint {unusable[0]}. {CURE}")
        return False

    def _version_of(self, path: str) -> tf.train.Checkpoint:
        """What a checkpoint holds: everything, or all but `added`, which then is as at the start."""
        names = {name.partition("/")[0] for name, _ in tf.train.list_variables(path)}
        if names.issuperset(self._added):
            return self._checkpoint
        for trackable in self._added.values():
            trackable.forget()
        return self._earlier


def restore_best(directory: Path, model) -> None:
    """Give a model, and nothing else of the run, the weights of `best` below `directory`.

    Raises:
      UserError: there is no such checkpoint, or it is torn or of another model.
    """
    path = tf.train.latest_checkpoint(str(directory / "best"))
    if path is None:
        raise UserError(f"no trained weights in {directory / 'best'}. Let the training end one epoch first")
    try:
        restored = tf.train.Checkpoint(model=model).restore(path).expect_partial()
        restored.assert_existing_objects_matched()
    except UNUSABLE as error:
        raise UserError(f"cannot use checkpoint {path}. {_first_line(error)}. {CURE}") from error


def _numbers(directory: Path, pattern: str) -> list[int]:
    """Numbers of the files of checkpoints whose whole names match, ascending."""
    found = (re.fullmatch(pattern, path.name) for path in directory.glob("ckpt-*"))
    return sorted(int(match.group(1)) for match in found if match)


def _newest_first(directory: Path) -> list[str]:
    """Checkpoints by what lies there: the list that TensorFlow keeps may be older, or torn itself."""
    return [str(directory / f"ckpt-{n}") for n in reversed(_numbers(directory, r"ckpt-(\d+)\.index"))]


def _free_number(directory: Path) -> int:
    """A number above all that lie there, complete or not.

    TensorFlow's own count is restored with the rest: a resumed run would write over files of the killed one,
    and be torn together with them.
    """
    return max(_numbers(directory, r"ckpt-(\d+)\D.*"), default=0) + 1


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0].rstrip(".")


class StopRequest:
    """Set by the first SIGINT or SIGTERM; the loop looks at it between steps."""

    def __init__(self):
        """Nothing asked yet."""
        self.asked = False

    def __call__(self, *_):
        """The signal handler; a second signal interrupts at once."""
        if self.asked:
            raise KeyboardInterrupt
        self.asked = True


@contextlib.contextmanager
def stop_request():
    """Within this context the first SIGINT or SIGTERM only marks the yielded `StopRequest`."""
    request = StopRequest()
    previous = {number: signal.signal(number, request) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def all_finite(variables) -> tf.Tensor:
    """Whether no weight is NaN or infinite, a boolean; variables of integers do not count."""
    checks = [
        tf.reduce_all(tf.math.is_finite(v))
        for v in variables
        if v.dtype in ("float32", "float64", "bfloat16")
    ]
    return tf.reduce_all(tf.stack(checks))
