"""metrics.jsonl and summary.json: what a run writes while it goes and when it ends."""

import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def _plain(value: Any) -> Any:
    """A value that JSON can hold: NumPy scalars, arrays and paths as plain ones, NaN and infinity as null."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, Path):
        return str(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader, or a kill, meets the old text or the new one and nothing between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(text, encoding="utf-8")
    os.replace(temporary, path)


def write_json(path: str | Path, data: Mapping[str, Any]) -> None:
    """Write an object as JSON, whole or not at all; NaN becomes null."""
    write_text(Path(path), json.dumps(_plain(data), indent=1, allow_nan=False) + "\n")


class Metrics:
    """The rows of metrics.jsonl, one JSON object per line, each on disk before `append` returns."""

    def __init__(self, path: str | Path):
        """Open or start the file; a last line that a kill has torn is dropped."""
        self.path = Path(path)
        if self.path.exists():
            text = self.path.read_bytes()
            whole = text[: text.rfind(b"\n") + 1]
            if whole != text:
                write_text(self.path, whole.decode())

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(_plain(row), allow_nan=False) + "\n")

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far."""
        if not self.path.exists():
            return []
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> None:
        """Drop the other rows: a run that resumes writes them again."""
        kept = [row for row in self.rows() if wanted(row)]
        write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
