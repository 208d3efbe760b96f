"""A run that goes on where another one ended: the same configuration, for more epochs."""

import shutil
from pathlib import Path

from bayesnas_tf import files
from bayesnas_tf.config import run_directory, stored
from bayesnas_tf.config.run import Run
from bayesnas_tf.config.stored import CONFIGURATION
from bayesnas_tf.errors import UserError
from bayesnas_tf.run_files import RunFiles

EPOCHS = "evaluate.epochs"
DECAY = "OptimizerOptions.decay"
_MAY_LACK = RunFiles.tensorboard  # may have been deleted: no result depends on it
# the checkpoints last: they tell that the copy is whole
_COPIED = (RunFiles.metrics, _MAY_LACK, RunFiles.checkpoints)


def extend(run: Run, source: Path) -> None:
    """Give a new run the state in which `source` ended, so that it goes on as if it had never stopped.

    A run that has checkpoints of its own is left alone: it resumes from those.

    Raises:
      UserError: `source` holds no ended run, or not all of it, or one that differs in more than its epochs,
        or has more.
    """
    if run.files.checkpoints.exists():
        return
    if not RunFiles(source).summary.is_file():
        raise UserError(f"no finished run in {source}. Finish that run first, or remove --extend")
    _check_extends(run, source)
    for name in _COPIED:
        if name != _MAY_LACK and not (source / name).exists():
            raise UserError(f"{source} has no {name}. Restore it, or remove --extend")
    for name in _COPIED:
        if (source / name).exists():
            _copy(source / name, run.directory / name)
        else:
            files.remove(run.directory / name)


def _copy(source: Path, path: Path) -> None:
    """Put a copy of a file or folder in place of what is there, whole or not at all."""
    with files.prepared(path) as temporary:
        # `shutil.copytree` would hide in a list what the system refused
        for part in [source, *sorted(source.rglob("*"))]:
            target = temporary / part.relative_to(source)
            if part.is_dir():
                target.mkdir()
            else:
                shutil.copy(part, target)


def _check_extends(run: Run, source: Path) -> None:
    """Refuse a source that is not the beginning of the run."""
    begun = run_directory.stored_config(source)
    own = run.files.config.read_text(encoding="utf-8")
    before, after = run_directory.deciding(begun, RunFiles(source).config), run_directory.deciding(own)
    old, new = before.pop(EPOCHS, 1), after.pop(EPOCHS, 1)
    changed = [name for name in before | after if before.get(name) != after.get(name)]
    if stored.header(begun) != stored.header(own):
        changed.append("command, seed or genotype")
    theirs, ours = stored.pins(source), stored.pins(run.directory)
    shared = (theirs.keys() & ours.keys()) - {CONFIGURATION}  # of which the epochs are a part
    changed += [name for name in sorted(shared) if theirs[name] != ours[name]]
    if changed:
        raise UserError(
            f"{run.directory} cannot continue {source}: {', '.join(changed)} differ. Change only {EPOCHS}"
        )
    if new != old and after.get(DECAY) == "linear":
        raise UserError(
            f"{DECAY}='linear' lowers the rate over all epochs, and {EPOCHS} = {new} is not the {old} of "
            f"{source}. Train the longer run from its start, without --extend"
        )
    if new < old:
        raise UserError(f"{EPOCHS} = {new} is less than the {old} epochs of {source}. Give at least as many")
