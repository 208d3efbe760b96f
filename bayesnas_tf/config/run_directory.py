"""The run directory: who may write it, what configuration it belongs to, and when it may be resumed."""

import contextlib
import dataclasses
import difflib
import errno
import hashlib
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gin

from bayesnas_tf import files
from bayesnas_tf.config import checks, cluster, gin_files, locks, resolve, stored
from bayesnas_tf.config.flags import CommandLine
from bayesnas_tf.config.run import Run, config_name, default_directory, run_of
from bayesnas_tf.config.stored import CONFIGURATION, HEADER, header, pins
from bayesnas_tf.errors import UserError, did_you_mean, expanded, writing
from bayesnas_tf.files import write_text
from bayesnas_tf.run_files import RunFiles

_WORK = (RunFiles.metrics, RunFiles.checkpoints, RunFiles.summary, RunFiles.pins)
# a folder of such a name stands where a run writes a file
_FILES = (".json", ".jsonl", ".npz", ".gin", ".txt", ".svg", ".dot")


def _identity(line: CommandLine) -> dict[str, Any]:
    """What, besides the configuration, makes two runs the same run."""
    identity: dict[str, Any] = {"command": line.command, "seed": line.seed}
    genotype = getattr(line.options, "genotype", "")
    if genotype:
        identity["genotype"] = _cell(genotype)
    return identity


def _cell(genotype: str) -> str:
    """A genotype's name, or its cell where it is a file: the same file may hold another cell tomorrow."""
    path = expanded(genotype)
    if not path.is_file():
        return genotype
    content = path.read_bytes()
    try:
        data = json.loads(content)
        cell = " ".join(f"{node['op']}{node['source']}" for node in data["nodes"])
        return f"{cell} -> mean {' '.join(map(str, data['output']))}"
    except (ValueError, KeyError, TypeError):
        return "file " + hashlib.sha256(content).hexdigest()[:12]


def open_run(line: CommandLine, config_text: str) -> Run:
    """Claim the directory of a run: make it, resume it, or say in one `UserError` why not.

    Nothing that lies there is touched unless it is a run directory and `--overwrite` was given. A dry
    run claims and writes nothing.
    """
    directory = line.run_dir or default_directory(line)
    run = run_of(line, directory, config_name(line), config_text)
    if line.dry_run:
        return run
    text = f"{HEADER}{json.dumps(_identity(line), sort_keys=True)}\n{config_text.rstrip()}\n"
    if _follows(line.command, text):
        return _follower(run, text)
    with _writing(directory):
        _stored(directory)  # a foreign folder is refused before anything is made in it
        directory.mkdir(parents=True, exist_ok=True)
        lock = locks.locked(directory)
        try:
            files.clean(directory)
            begun = _stored(directory) if _begun(directory) else None
            if begun is not None and not line.overwrite:
                _check_same(directory, begun, text)
                _check_files(directory)
                return dataclasses.replace(run, resumed=True, lock=lock)
            if begun is not None:
                _check_quiet(directory)
                _empty(directory)
            write_text(RunFiles(directory).config, text)
        except BaseException:
            lock.close()
            raise
    return dataclasses.replace(run, lock=lock)


def _follows(command: str, text: str) -> bool:
    """Whether another process of the same run claims and writes the directory."""
    settings = resolve.settled(gin_files.read_text(text, RunFiles.config))
    return settings.get(f"{command}.distribute") == "multi_worker" and not cluster.leads()


def _follower(run: Run, text: str) -> Run:
    """The run of a process that only reads the directory: checked as that of the first one is."""
    resumed = _begun(run.directory) and not run.overwrite
    if resumed and (begun := _stored(run.directory)) is not None:
        _check_same(run.directory, begun, text)
    return dataclasses.replace(run, resumed=resumed, writes=False)


@contextlib.contextmanager
def _writing(directory: Path) -> Iterator[None]:
    """Turn what the file system refuses into one readable error; a full disk needs another cure."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise
        with writing(directory, "--run_dir"):
            raise


def _stored(directory: Path) -> str | None:
    """config.gin of an earlier run; None for a new or empty directory; `UserError` for any other."""
    config = RunFiles(directory).config
    if config.is_file():
        text = config.read_text(encoding="utf-8", errors="replace")
        if text.startswith(HEADER):
            return text
    if _begun(directory):
        raise UserError(
            f"{config} is missing or damaged, and only it identifies the run in {directory}. Restore it, or "
            "choose another --run_dir"
        )
    if directory.is_dir() and not all(map(_of_a_start, directory.iterdir())):
        raise UserError(
            f"{directory} holds files that are not of a run. Choose another --run_dir, or empty it"
        )
    return None


def _of_a_start(path: Path) -> bool:
    """Whether a file is what a start leaves that was killed before it had written the configuration."""
    return path.name == RunFiles.lock or files.is_temporary(path, RunFiles.config)


def _begun(directory: Path) -> bool:
    """Whether a run got as far as its loop; one that failed before has nothing to be spoilt."""
    return any((directory / name).exists() for name in _WORK)


def pin(run: Run, name: str, value: str) -> None:
    """Tie the run directory to a fact outside the configuration, such as what its corpus holds.

    The first call writes it, and a resumed run must bring the same value.

    Raises:
      UserError: it brings another; the lines that changed are its details.
    """
    known = pins(run.directory)
    if run.resumed and not known:
        told = f"{run.files.pins} does not record with which {name} the run started"
        print(f"note: {told}. It now records the present one", file=sys.stderr)
    begun = run.files.config.read_text(encoding="utf-8", errors="replace")
    known.setdefault(CONFIGURATION, stored.configuration_digest(begun))
    if (before := known.setdefault(name, value)) != value:
        raise UserError(
            f"{run.directory} started with another {name} (- then, + now), and its state does not fit this "
            f"one. Restore the {name}, choose another --run_dir, or replace the run with --overwrite",
            _diff(before.splitlines(), value.splitlines()),
        )
    write_text(run.files.pins, json.dumps(known, indent=1) + "\n")


def _check_quiet(directory: Path) -> None:
    """Refuse where a run below is being written: those of a sweep outlive it while they save their state."""
    for path in directory.rglob("*"):
        locked = path.name == RunFiles.lock or path.suffix == ".log"
        if locked and path != RunFiles(directory).lock and locks.taken(path):
            raise locks.written(path.parent)


def deciding(text: str, where: str | Path = RunFiles.config) -> dict[str, Any]:
    """The settings of config.gin that a result may depend on, however they are written down.

    An earlier version also took settings that its command does not read.
    """
    statements = gin_files.read_text(text, str(where))
    command = stored.identity(text, where)["command"]
    without = {s.name for s in checks.unread(command, statements)}
    found = resolve.deciding(resolve.settled(statements))
    return {name: value for name, value in found.items() if name not in without}


def _diff(old: Sequence[str], new: Sequence[str]) -> str:
    """What changed, without context."""
    changes = difflib.unified_diff(old, new, lineterm="", n=0)
    return "\n".join(line for line in changes if not line.startswith(("---", "+++", "@@")))


def _check_same(directory: Path, begun: str, text: str) -> None:
    """Refuse to go on with a run under another configuration than it began with."""
    path = RunFiles(directory).config
    stored.identity(begun, path)
    if header(begun) != header(text) or deciding(begun, path) != deciding(text):
        stored.check_whole(begun, path, pins(directory))
        raise UserError(
            f"{directory} started with another configuration (- then, + now). "
            "Choose another --run_dir, or start again with --overwrite",
            _diff(stored.facts(begun), stored.facts(text)),
        )


def _check_files(directory: Path) -> None:
    """Refuse a folder where the run writes a file, before it computes what goes there."""
    for path in sorted(directory.iterdir()):
        if path.suffix in _FILES and path.is_dir():
            raise UserError(f"{path} is a folder, and the run writes a file there. Move the folder away")


def _empty(directory: Path) -> None:
    """Remove everything but the lock, so that an interrupted removal can be repeated or the run resumed.

    The summary goes first: without its checkpoints no run has ended. config.gin goes last: without it the
    rest is nobody's; and before it what tells that the run had begun. A folder goes at once, so that no half
    of its checkpoints is taken for all.
    """
    ranks = {**dict.fromkeys(_WORK, 1), RunFiles.summary: -1, RunFiles.config: 2}
    children = [path for path in directory.iterdir() if path.name != RunFiles.lock]
    for path in sorted(children, key=lambda path: ranks.get(path.name, 0)):
        if path.is_dir() and not path.is_symlink():
            path = path.rename(files.temporary_of(path))
        files.remove(path)


def stored_config(directory: Path) -> str:
    """The configuration of a run directory as one gin text.

    Raises:
      UserError: there is no run, or its configuration was cut or edited.
    """
    text, path = _stored(directory) if directory.is_dir() else None, RunFiles(directory).config
    if text is None:
        near = (str(known.parent) for known in directory.parent.glob(f"*/{path.name}"))
        cure = f"Give the directory of a trained run{did_you_mean(str(directory), near)}"
        raise UserError(f"no run in {directory}: it has no {path.name}. {cure}")
    stored.identity(text, path)
    stored.check_whole(text, path, pins(directory))
    return text


def stored_command(directory: Path) -> str:
    """The command that made the run in `directory`; `UserError` where there is no run."""
    return stored.identity(stored_config(directory), RunFiles(directory).config)["command"]


def record_operative(run: Run) -> None:
    """Write operative_config.gin: every parameter that was used, defaults included."""
    write_text(run.files.operative_config, gin.operative_config_str())
