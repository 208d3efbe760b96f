"""Checkpoints of a training run: the last few, the best, and a stop that can be resumed."""

import contextlib
import signal
from pathlib import Path

import tensorflow as tf

from bayesnas_tf.errors import UserError


class Checkpoints:
    """`last` and `best` below one directory, as `tf.train` checkpoints of the given trackables."""

    def __init__(self, directory: Path, **trackables):
        """`trackables` are saved and restored together: every number that a resumed run needs."""
        self._checkpoint = tf.train.Checkpoint(**trackables)
        self._last = tf.train.CheckpointManager(self._checkpoint, str(directory / "last"), max_to_keep=2)
        self._best = tf.train.CheckpointManager(self._checkpoint, str(directory / "best"), max_to_keep=1)

    def save(self) -> None:
        """Write `last`; a write that is cut off leaves the one before: no two writes have one name."""
        self._last.save()

    def save_best(self) -> None:
        """Write `best`."""
        self._best.save()

    def restore(self) -> bool:
        """Go to `last` if there is one, and say whether there was.

        Raises:
          UserError: the checkpoint is torn or of another model.
        """
        if self._last.latest_checkpoint is None:
            return False
        try:
            self._checkpoint.restore(self._last.latest_checkpoint).assert_existing_objects_matched()
        except (tf.errors.OpError, AssertionError, ValueError) as error:
            raise UserError(
                f"cannot resume from checkpoint {self._last.latest_checkpoint}. "
                f"{str(error).splitlines()[0]}. Start anew with --overwrite"
            ) from error
        return True

    @property
    def last_path(self) -> str:
        """Where the last good state lies; empty when none was saved."""
        return self._last.latest_checkpoint or ""


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
    except (tf.errors.OpError, AssertionError, ValueError) as error:
        raise UserError(
            f"cannot use checkpoint {path}. {str(error).splitlines()[0]}. Train anew with --overwrite"
        ) from error


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


def all_finite(variables) -> bool:
    """Whether no weight is NaN or infinite."""
    checks = [
        tf.reduce_all(tf.math.is_finite(v))
        for v in variables
        if v.dtype in ("float32", "float64", "bfloat16")
    ]
    return bool(tf.reduce_all(tf.stack(checks)))
