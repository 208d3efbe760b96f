"""All that commands have left in a folder, as far as two runs can share it: name -> text to compare."""

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.util import tensor_util

TIMINGS = ("seconds", "tokens_per_second", "made_by")  # what no two runs share
NAMES = (  # what is called by a number or a moment
    (r"ckpt-\d+", "ckpt-N"),
    (r"events\.out\.tfevents\..*", "events"),
)


def outcome(folder: Path, events: bool = True) -> dict[str, str]:
    """Names of files, results, rows, checkpoints, and with `events` the points of TensorBoard."""
    found = {"files": " ".join(sorted(_names(folder)))}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.name in ("last", "best") and path.is_dir():
            found[name] = _checkpoint(path)
        elif path.name == "variables" and path.is_dir():
            found[name] = _values(path / "variables")
        elif path.name == "tb" and path.is_dir() and events:
            found |= {f"{name}: {tag}": points for tag, points in _points(path).items()}
        elif path.is_file() and (text := _text(path)) is not None:
            found[name] = text
    return found


def _names(folder: Path) -> set[str]:
    """The files, those that differ in a number once."""
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    for pattern, instead in NAMES:
        names = {re.sub(pattern, instead, name) for name in names}
    return names


def _text(path: Path) -> str | None:
    """The content of a file that is to be the same."""
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            # threads may add up a curvature in another order, even in two unbroken runs
            digest = _roughly if path.name == "curvature.npz" else _digest
            return " ".join(f"{name} {digest(arrays[name])}" for name in sorted(arrays))
    if path.suffix == ".jsonl":
        return "\n".join(_untimed(line) for line in path.read_text().splitlines())
    if path.suffix == ".json":
        return _untimed(path.read_text())
    if path.suffix in (".gin", ".svg", ".dot", ".txt", ".md"):
        return re.sub(r"\d+:\d\d|[\d,.]+ tokens/s.*", "", path.read_text())
    return None


def _untimed(text: str) -> str:
    """A JSON object without timings, at every depth."""

    def strip(value):
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in (*TIMINGS, "attempts")}
        return [strip(item) for item in value] if isinstance(value, list) else value

    return json.dumps(strip(json.loads(text)))


def _digest(array) -> str:
    array = np.asarray(array)
    content = repr(array.tolist()).encode() if array.dtype == object else array.tobytes()
    return f"{array.dtype}{array.shape}{hashlib.sha256(content).hexdigest()[:12]}"


def _roughly(array) -> str:
    total = f"{array.sum(dtype=float):.3g}" if array.dtype.kind in "fiub" else array
    return f"{array.dtype}{array.shape}{total}"


def _checkpoint(folder: Path) -> str:
    """The numbers of the newest checkpoint."""
    numbers = [int(path.stem.removeprefix("ckpt-")) for path in folder.glob("ckpt-*.index")]
    return _values(folder / f"ckpt-{max(numbers)}") if numbers else "none"


def _values(prefix: Path) -> str:
    reader = tf.train.load_checkpoint(str(prefix))
    names = sorted(name for name in reader.get_variable_to_shape_map() if "OBJECT_GRAPH" not in name)
    return "\n".join(f"{name} {_digest(reader.get_tensor(name))}" for name in names if "seconds" not in name)


def _points(folder: Path) -> dict[str, str]:
    """What TensorBoard shows: tag -> its steps and what is shown there."""
    events = EventAccumulator(str(folder), size_guidance={"tensors": 0}).Reload()
    shown = {}
    for tag in events.Tags()["tensors"]:
        untold = tag == "training/tokens_per_second" or "hparams" in tag
        points = events.Tensors(tag)
        values = ["" if untold else _digest(tensor_util.make_ndarray(p.tensor_proto)) for p in points]
        shown[tag] = " ".join(f"{p.step}:{value}" for p, value in zip(points, values, strict=True))
    return shown
