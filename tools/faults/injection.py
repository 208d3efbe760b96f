"""Break tiny commands at every file operation, repeat them, and compare with unbroken ones, bit for bit.

Example: python -m tools.faults.injection --command=evaluate --every=10 --mode=full --out=faults.jsonl

The tool appends a line to the file for each fault. A second run continues after the faults in the file.

Modes: kill stops the command before every operation and half-way through every write; power also loses what
was not flushed to the disk; full gives the disk no space from one operation on, and space again when the
command is repeated. Operations are those of the C library, TensorFlow's too; without a C compiler, of Python.
"""

import argparse
import collections
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from bayesnas_tf.config import provenance
from tools import cli

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("search", "evaluate", "sweep", "export", "extend", "curvature", "diagnose", "dynamic")
# a run that goes on, what replaces an older result, and a search of four updates
MORE = ("resume", "overwrite", "export_over", "updates")
MODES = ("kill", "power", "full")


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.faults.injection", __doc__)
    parser.add_argument(
        "--command",
        action="append",
        choices=[*COMMANDS, *MORE],
        help="command to break, repeatable (default: all)",
    )
    parser.add_argument(
        "--mode", action="append", choices=MODES, help="how to break it, repeatable (default: all)"
    )
    parser.add_argument("--every", type=int, default=1, help="break at one in so many operations")
    parser.add_argument("--first", type=int, default=1, help="the first operation to break at")
    parser.add_argument("--last", type=int, default=1 << 40, help="the last one (default: the end)")
    parser.add_argument(
        "--out", type=Path, help="file for the faults, one line of JSON each; those in it are skipped"
    )
    return parser.parse_args()


def restart() -> int:
    """Start this program once more, with the library loaded where it can be compiled."""
    from tests.tools.faults import control

    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        environment = {**os.environ, control.VARIABLE: ""}
        if control.compiler():
            environment = control.environment(Path(folder))
        else:
            print("note: no C compiler, so that the files that TensorFlow writes stay whole", file=sys.stderr)
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        environment |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "tools.faults.injection", *sys.argv[1:]]
        return os.spawnve(os.P_WAIT, sys.executable, command, environment)


class Record:
    """The faults of one command and mode: those of an earlier run of this tool, and those that come."""

    def __init__(self, path: Path | None, command: str, mode: str):
        """`path`: see `--out`."""
        self.path, self.key = path, {"command": command, "mode": mode}
        lines = path.read_text().splitlines() if path and path.exists() else []
        rows = [json.loads(line) for line in lines]
        self.rows = [row for row in rows if row["command"] == command and row["mode"] == mode]

    def done(self) -> set[tuple[int, bool]]:
        """The operations that were broken, and whether half-way."""
        return {(row["number"], row["half"]) for row in self.rows}

    def add(self, fault, operations: int) -> None:
        """One more; what is wrong with it is shown."""
        if fault.wrong:
            half = " (half)" if fault.half else ""
            print(f"  {fault.number} {fault.operation} {fault.path}{half}: {fault.wrong}", flush=True)
        row = {**self.key, "commit": provenance.commit(ROOT), "operations": operations, **fault._asdict()}
        self.rows.append(row)
        if self.path:
            with self.path.open("a") as file:
                file.write(json.dumps(row) + "\n")


def broken(name: str, options: argparse.Namespace) -> Iterator[Record]:
    """All faults of one command, mode by mode."""
    from bayesnas_tf import config
    from tests.tools.faults import cases, control
    from tests.tools.faults.injector import Injector

    for module in (*cases.MAINS.values(), *config.MODULES):
        importlib.import_module(module)  # once, before the forks
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        root = Path(folder).resolve()
        cases.prepare(root)
        block = control.attach() if os.environ[control.VARIABLE] else None
        injector = Injector(cases.cases(root)[name], root, block)
        injector.prepare()
        for mode in options.mode or MODES:
            record = Record(options.out, name, mode)
            print(f"{name}, {mode}: {len(record.rows)} faults already done", flush=True)
            where = (options.every, options.first, options.last)
            injector.done = record.done()
            for fault in injector.full(*where) if mode == "full" else injector.kills(*where, mode == "power"):
                record.add(fault, injector.operations)
            yield record


def table(records: list[Record]) -> str:
    """What was broken, by command and mode, and by operation."""
    lines = [f"{'command':<12} {'mode':<6} {'operations':>10} {'faults':>7} {'wrong':>6}"]
    for record in records:
        operations = max((row["operations"] for row in record.rows), default=0)
        wrong = sum(bool(row["wrong"]) for row in record.rows)
        counts = f"{operations:>10} {len(record.rows):>7} {wrong:>6}"
        lines.append(f"{record.key['command']:<12} {record.key['mode']:<6} {counts}")
    kinds = collections.Counter(row["operation"] for record in records for row in record.rows)
    lines.append(", ".join(f"{count} at {kind}" for kind, count in kinds.most_common()))
    return "\n".join(lines)


def main() -> int:
    """Exit code 1 where some fault was not forgotten."""
    from tests.tools.faults import control

    options = parsed()
    if control.VARIABLE not in os.environ:
        return restart()
    records = [record for name in options.command or [*COMMANDS, *MORE] for record in broken(name, options)]
    print(table(records))
    return 1 if any(row["wrong"] for record in records for row in record.rows) else 0


if __name__ == "__main__":
    sys.exit(main())
