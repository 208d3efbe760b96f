"""metrics.jsonl: what a run writes while it goes."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bayesnas_tf.errors import UserError
from bayesnas_tf.files import naming, plain, write_bytes, write_text
from bayesnas_tf.files import write_json as write_json  # modules import it from here


class Metrics:
    """The rows of metrics.jsonl, one JSON object per line, each on the disk before `append` returns.

    So a checkpoint never claims a step whose row a power failure can take back.
    """

    def __init__(self, path: str | Path):
        """Open or start the file; a last line that a kill or a full disk has torn is dropped."""
        self.path = Path(path)
        if self.path.exists():
            content = self.path.read_bytes()
            whole = content[: content.rfind(b"\n") + 1]
            if whole != content:
                write_bytes(self.path, whole)

    def append(self, row: Mapping[str, Any]) -> None:
        """Add one row."""
        line = json.dumps(plain(row), allow_nan=False) + "\n"
        with naming(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())

    def rows(self) -> list[dict[str, Any]]:
        """All rows so far.

        Raises:
          UserError: one of them is damaged: somebody else has written there.
        """
        lines = self.path.read_bytes().splitlines() if self.path.exists() else []
        return [self._row(number, line) for number, line in enumerate(lines, start=1)]

    def _row(self, number: int, line: bytes) -> dict[str, Any]:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if not isinstance(row, dict):
            raise self._damaged(number)
        return row

    def _damaged(self, number: int) -> UserError:
        return UserError(f"line {number} of {self.path} is damaged. Restore the file, or delete it")

    def keep(self, wanted: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Drop the other rows, which a run that resumes writes again, and return those that stay.

        Raises:
          UserError: a row is damaged, or `wanted` misses something in it.
        """
        rows, kept = self.rows(), []
        for number, row in enumerate(rows, start=1):
            try:
                kept += [row] if wanted(row) else []
            except (KeyError, TypeError):
                raise self._damaged(number) from None
        if len(kept) < len(rows) or not self.path.exists():
            write_text(self.path, "".join(json.dumps(row) + "\n" for row in kept))
        return kept
