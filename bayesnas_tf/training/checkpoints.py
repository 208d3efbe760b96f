"""Checkpoints of a training run: the last few, the best, and a stop that can be resumed."""

import contextlib
import itertools
import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
from absl import logging

from bayesnas_tf import files
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics.replicas import Replicas

# what reading a torn or foreign checkpoint raises; the reader passes some errors on as Python's own
UNUSABLE = (tf.errors.OpError, AssertionError, ValueError, IndexError, RuntimeError)
LIST = "checkpoint"  # for the tools of TensorFlow; nothing here depends on it
FLOATS = ("float32", "float64", "bfloat16")
BEST_NATS = "progress/best_nats"  # of `Progress`, in a checkpoint of either loop
CURE = "Restore its files, or train in another --run_dir; --overwrite deletes what this one holds"
ROOM = "Free some space, or check the disk; the same command resumes from the one before"


class Numbered:
    """Checkpoints `ckpt-N` of one folder, known by what lies there; the newest two that are whole stay."""

    def __init__(self, folder: Path):
        """Nothing is read or made until it is asked for."""
        self.folder = folder
        self._whole: set[int] = set()  # numbers that this process has written, or read from end to end

    def path(self, number: int) -> Path:
        """What TensorFlow calls the prefix."""
        return self.folder / f"ckpt-{number}"

    def newest_first(self) -> list[int]:
        """The numbers of the checkpoints whose index is there: it is put there last."""
        return sorted((n for n, path in self._parts() if path.suffix == ".index"), reverse=True)

    def _parts(self) -> list[tuple[int, Path]]:
        """All that belongs to some checkpoint, complete or not, with its number; every index first."""
        found = ((re.match(r"ckpt-(\d+)\D", path.name), path) for path in self.folder.glob("ckpt-*"))
        parts = [(int(match[1]), path) for match, path in found if match]
        return sorted(parts, key=lambda part: part[1].suffix != ".index")

    def write(self, checkpoint: tf.train.Checkpoint) -> Path:
        """Write one with a number above all that lie there, complete or not, and remove what is too old.

        It is written aside, read again and flushed to the disk before it gets its name. The data are put in
        place first and the index last: an index that is there has its data, whenever the process was killed.

        Raises:
          UserError: something of this failed; those before are there.
        """
        number = max((n for n, _ in self._parts()), default=0) + 1
        path = self.path(number)
        temporary = path.with_name(f"{path.name}_temp")
        checkpoint.save_counter.assign_add(1)  # earlier versions want it
        try:
            temporary.mkdir(parents=True)
            with files.unpatterned(temporary) as folder:
                checkpoint.write(str(folder / path.name))
            with Numbered(temporary)._opened(number):
                pass  # it can be read
            for part in sorted(temporary.iterdir()):  # .data-..., then .index
                files.replace(part, self.folder / part.name)
            temporary.rmdir()
            self._whole.add(number)
            self._keep(number)
        except (OSError, *UNUSABLE) as error:
            with contextlib.suppress(OSError):
                files.remove(temporary)
            raise UserError(f"cannot write checkpoint {path}. {_first_line(error)}. {ROOM}") from error
        return path

    def _keep(self, number: int) -> None:
        """Remove all but the newest checkpoint and the one before it that can be read."""
        older = (n for n in self.newest_first() if n < number and self.is_whole(n))
        kept = [*itertools.islice(older, 1), number]
        listed = "".join(f'all_model_checkpoint_paths: "ckpt-{n}"\n' for n in kept)
        files.write_text(self.folder / LIST, f'model_checkpoint_path: "ckpt-{number}"\n{listed}')
        for path in (path for n, path in self._parts() if n not in kept):
            files.remove(path)

    def clean(self) -> None:
        """Remove what a write has left that was cut off."""
        if self.folder.is_dir():
            files.clean(self.folder)
            for path in [*self.folder.glob("ckpt-*_temp"), *self.folder.glob(f"{LIST}.tmp*")]:
                files.remove(path)

    @contextlib.contextmanager
    def _opened(self, number: int) -> Iterator[tuple[str, Any]]:
        """Prefix and reader of a checkpoint, once all of it was read; else one of `UNUSABLE` is raised."""
        with files.unpatterned(self.folder) as folder:
            prefix = str(folder / f"ckpt-{number}")
            reader = tf.train.load_checkpoint(prefix)
            for name in reader.get_variable_to_shape_map():
                reader.get_tensor(name)  # compares its checksum
            yield prefix, reader

    def is_whole(self, number: int) -> bool:
        """Whether a checkpoint can be read."""
        if number not in self._whole:
            with contextlib.suppress(*UNUSABLE), self._opened(number):
                self._whole.add(number)
        return number in self._whole

    def read(self, number: int, fitting: Callable[[set[str]], tf.train.Checkpoint]):
        """Restore what `fitting` makes of the names of its objects, and return the status of that.

        Nothing is touched if the checkpoint is torn; what is raised is among `UNUSABLE`.
        """
        with self._opened(number) as (prefix, reader):
            self._whole.add(number)
            names = {name.partition("/")[0] for name in reader.get_variable_to_shape_map()}
            return fitting(names).restore(prefix)

    def value(self, number: int, name: str) -> float | None:
        """One number in a checkpoint; None where there is none, or it cannot be read."""
        with contextlib.suppress(*UNUSABLE), self._opened(number) as (_, reader):
            return float(reader.get_tensor(f"{name}/.ATTRIBUTES/VARIABLE_VALUE"))
        return None

    def was_never_whole(self) -> bool:
        """Whether all there is was cut off when it was written, by an earlier version, for the first time."""
        with contextlib.suppress(*UNUSABLE), self._opened(1):
            return False
        return self.newest_first() == [1] and not (self.folder / LIST).exists()


class Checkpoints:
    """`last` and `best` below one directory, as `tf.train` checkpoints of the given trackables."""

    def __init__(self, directory: Path, replicas: Replicas | None = None, added=None, **trackables):
        """`trackables` are saved and restored together: every number that a resumed run needs.

        `added` are more of them, name -> an object with `forget`, that checkpoints of earlier versions lack.
        Of several processes, those of `replicas`, the first one writes and all read. Nobody else may write
        into the directory meanwhile: the run holds its lock.
        """
        self._replicas = replicas or Replicas()
        self.last_path = ""  # of the last good state, saved or restored
        self._added = added or {}
        self._checkpoint = tf.train.Checkpoint(**trackables, **self._added)
        self._earlier = tf.train.Checkpoint(**trackables)
        self._last, self._best = Numbered(directory / "last"), Numbered(directory / "best")

    def save(self) -> None:
        """Write `last`; the one before stays too.

        Raises:
          UserError: it cannot be written, or not be read again; those before are there.
        """
        if self._replicas.leads:
            self.last_path = str(self._last.write(self._checkpoint))

    def save_best(self) -> None:
        """Write `best`; the one before stays too. It raises what `save` does."""
        if self._replicas.leads:
            self._best.write(self._checkpoint)

    def restore(self) -> bool:
        """Go to the newest of `last` that can be read, if there is any at all, and say whether there is.

        All processes go there together: the first one writes neither before nor while the others read.

        Raises:
          UserError: all are torn or of another model.
        """
        self._replicas.wait()
        if self._replicas.leads:
            self._last.clean()
            self._best.clean()
        found = self._restore()
        self._replicas.wait()
        return found

    def _restore(self) -> bool:
        """See `restore`; the newest first, and a warning for each that cannot be read.

        A first and only checkpoint that was cut off, by a version that wrote it under its name, counts as
        none: the run begins anew. If more are there and none can be read, that is an error.
        """
        unusable: list[str] = []
        for number in self._last.newest_first():
            path = self._last.path(number)
            try:
                self._last.read(number, self._version_of).assert_existing_objects_matched()
            except UNUSABLE as error:
                unusable.append(f"{path}. {_first_line(error)}")
                continue
            for skipped in unusable:
                logging.warning("cannot resume from checkpoint %s. Resuming from %s", skipped, path)
            self.last_path = str(path)
            _look_after_best(self._best, self._last)
            return True
        if unusable and not self._last.was_never_whole():
            raise UserError(f"cannot resume from checkpoint {unusable[0]}. {CURE}")
        for skipped in unusable:
            logging.warning("the first checkpoint is incomplete: %s. The run starts again", skipped)
        return False

    def _version_of(self, names: set[str]) -> tf.train.Checkpoint:
        """What fits a checkpoint with these objects: everything, or all but `added`, as at the start then."""
        if names.issuperset(self._added):
            return self._checkpoint
        for trackable in self._added.values():
            trackable.forget()
        return self._earlier


def restore_best(directory: Path, model) -> None:
    """Give a model, and nothing else of the run, the weights of `best` below `directory`.

    Where the newest cannot be read, those of the one before it are taken, and a warning says so.

    Raises:
      UserError: there is no such checkpoint, or all are torn or of another model.
    """
    best, last = Numbered(directory / "best"), Numbered(directory / "last")
    unusable: list[str] = []
    for number in best.newest_first():
        try:
            status = best.read(number, lambda names: tf.train.Checkpoint(model=model))
            status.expect_partial().assert_existing_objects_matched()
        except UNUSABLE as error:
            unusable.append(f"{best.path(number)}. {_first_line(error)}")
            continue
        if unusable:
            compared = _compared(best, number, last)
            logging.warning("cannot use checkpoint %s. Using %s%s", unusable[0], best.path(number), compared)
        return
    if unusable:
        raise UserError(f"cannot use checkpoint {unusable[0]}. {CURE}")
    if (best.folder / LIST).exists() or math.isfinite(_best_nats(last)):
        raise UserError(f"the best weights are missing in {best.folder}. {CURE}")
    raise UserError(f"no trained weights in {best.folder}. Train for at least one epoch first")


def _look_after_best(best: Numbered, last: Numbered) -> None:
    """Warn at once of best weights that are lost, not after the last epoch, when they are wanted."""
    numbers, lost = best.newest_first(), ""
    if not numbers and math.isfinite(_best_nats(last)):
        lost = f"the best weights are missing in {best.folder}"
    elif numbers and not best.is_whole(numbers[0]):
        lost = f"the best weights, {best.path(numbers[0])}, cannot be read"
    if lost:
        logging.warning("%s. The run needs them at its end if no later epoch is better. %s", lost, CURE)


def _compared(best: Numbered, number: int, last: Numbered) -> str:
    """How far the weights of `best` are from those that the run has called its best, as far as is known."""
    taken, wanted = best.value(number, BEST_NATS), _best_nats(last)
    if taken is None or not math.isfinite(wanted):
        return ""
    other = f", of an earlier epoch: {taken:.6g} nats on the validation split instead of {wanted:.6g}"
    return ", which holds the same weights" if taken == wanted else other


def _best_nats(last: Numbered) -> float:
    """The validation loss of the best epoch so far; infinite where none ended, or nothing tells."""
    found = (last.value(number, BEST_NATS) for number in last.newest_first())
    return next((nats for nats in found if nats is not None), math.inf)


def _first_line(error: Exception) -> str:
    """An error as one line, without what is no word for a user."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    return re.sub(r"\{\{.*?\}\} *| \[Op:\w+\]|/proc/self/fd/\d+/", "", text).rstrip(". ")


def all_finite(variables) -> tf.Tensor:
    """Whether no weight is NaN or infinite, a boolean; variables of integers do not count."""
    checks = [tf.reduce_all(tf.math.is_finite(v)) for v in variables if v.dtype in FLOATS]
    return tf.reduce_all(tf.stack(checks))
