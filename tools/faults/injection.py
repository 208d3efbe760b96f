"""Break tiny commands at every file operation, give them again, and compare with unbroken ones, bit for bit.

Example: python -m tools.faults.injection --command=evaluate --every=10 --mode=full --out=faults.json

Modes: kill, before every operation and half-way through every write; power, a kill that takes with it what
was not flushed to the disk; full, a disk that has no room from an operation on, and has it again the next
time. Operations are those of the C library, TensorFlow's too; without a C compiler those of Python alone.
"""

import argparse
import collections
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
COMMANDS = ("search", "evaluate", "sweep", "export", "extend", "curvature", "diagnose", "dynamic")
# a run that goes on, what replaces an older result, and a search of four updates
MORE = ("resume", "overwrite", "export_over", "updates")
MODES = ("kill", "power", "full")


def parsed() -> argparse.Namespace:
    """The command line."""
    name, form = "python -m tools.faults.injection", argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(name, description=__doc__, formatter_class=form)
    parser.add_argument("--command", action="append", choices=[*COMMANDS, *MORE], help="repeatable (all)")
    parser.add_argument("--mode", action="append", choices=MODES, help="repeatable (all)")
    parser.add_argument("--every", type=int, default=1, help="break at one in so many operations (1)")
    parser.add_argument("--first", type=int, default=1, help="the first operation to break at (1)")
    parser.add_argument("--last", type=int, default=1 << 40, help="the last one")
    parser.add_argument("--out", type=Path, help="write all faults as JSON")
    return parser.parse_args()


def restart() -> int:
    """Start this program once more, with the library loaded where it can be compiled."""
    from tests.tools.faults import control

    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        environment = {**os.environ, control.VARIABLE: ""}
        if control.compiler():
            environment = control.environment(Path(folder))
        else:
            print("no C compiler: what TensorFlow writes from C++ is not broken", file=sys.stderr)
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        environment["PYTHONPATH"] = os.pathsep.join(paths)
        environment |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-m", "tools.faults.injection", *sys.argv[1:]]
        return os.spawnve(os.P_WAIT, sys.executable, command, environment)


def broken(name: str, options: argparse.Namespace) -> Iterator[dict]:
    """All faults of one command, a row for each mode."""
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
            print(f"{name}, {mode}", flush=True)
            where, began = (options.every, options.first, options.last), time.monotonic()
            faults = injector.full(*where) if mode == "full" else injector.kills(*where, mode == "power")
            found = list(map(shown, faults))
            wrong, seconds = sum(bool(fault.wrong) for fault in found), time.monotonic() - began
            row = {"command": name, "mode": mode, "operations": injector.operations, "faults": len(found)}
            row |= {"wrong": wrong, "seconds": seconds, "all": [fault._asdict() for fault in found]}
            yield row


def shown(fault):
    """The fault, on the terminal too where it was not forgotten."""
    if fault.wrong:
        half = " (half)" if fault.half else ""
        print(f"  {fault.number} {fault.operation} {fault.path}{half}: {fault.wrong}", flush=True)
    return fault


def table(rows: list[dict]) -> str:
    """What was broken, by command and mode, and by operation."""
    lines = [f"{'command':<12} {'mode':<6} {'operations':>10} {'faults':>7} {'wrong':>6} {'seconds':>8}"]
    for row in rows:
        counts = f"{row['operations']:>10} {row['faults']:>7} {row['wrong']:>6} {row['seconds']:>8.0f}"
        lines.append(f"{row['command']:<12} {row['mode']:<6} {counts}")
    every = [fault for row in rows for fault in row["all"]]
    kinds = collections.Counter(fault["operation"] for fault in every)
    lines.append(", ".join(f"{count} at {kind}" for kind, count in kinds.most_common()))
    return "\n".join(lines)


def main() -> int:
    """Exit code 1 where some fault was not forgotten."""
    from tests.tools.faults import control

    options = parsed()
    if control.VARIABLE not in os.environ:
        return restart()
    rows = []
    for name in options.command or [*COMMANDS, *MORE]:
        for row in broken(name, options):
            rows.append(row)
            if options.out:
                options.out.write_text(json.dumps(rows, indent=1) + "\n")
    print(table(rows))
    return 1 if any(row["wrong"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
