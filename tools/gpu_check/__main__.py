"""Compare a GPU with the CPU, and time a search, a training and an evaluation on it, in under ten minutes.

Example: python -m tools.gpu_check --json=gpu.json
Nobody has run this project on a GPU yet. This is the first command to run on one. Please report the file.

Correctness: small windows of every cell, strategy, estimator, head and baseline, computed on the CPU as a
plain graph and on the GPU in the form that it takes (XLA; cuDNN; a plain graph for evaluation), from equal
weights and seeds. The tool prints the largest difference of loss, gradients, updates of variables, h and
hidden state, relative to the largest entry of each array (or to 0.001, for h 1e-6, where all entries are
smaller), and the largest allowed difference. All is in float32, with TF32 off.

Speed: a search step of ptb.gin, a training step of ptb_eval.gin with DARTS_V2 and a window of its evaluation,
in float32 (TF32 on, TensorFlow's default) and bfloat16, on random ids.

The exit code is 0 if every check passes, and 1 if one fails or there is no GPU. --device=cpu runs the same
checks without a GPU: it compares XLA on the CPU, and measures the speed of the CPU.
"""

import argparse
import concurrent.futures.process
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayesnas_tf import config
from bayesnas_tf.config.failures import one_line
from bayesnas_tf.errors import UserError
from bayesnas_tf.space.known import find_genotype
from tools import cli, machine
from tools.gpu_check import environment

SECONDS = 540.0  # after which no check begins
PRECISIONS = ("float32", "bfloat16")
STEPS = {"search_step": "ptb.gin", "train_step": "ptb_eval.gin", "evaluate": "ptb_eval.gin"}
QUICK = {
    "search_step": ("CellOptions.units = 6", "CellOptions.nodes = 2"),
    "train_step": ("DerivedOptions.units = 6",),
    "evaluate": ("DerivedOptions.units = 6", "evaluate.eval_batch_size = 2"),
}
QUICK_WINDOWS = ("WindowOptions.batch_size = 2", "WindowOptions.bptt = 4")
QUICK_WORDS = 11


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.gpu_check", __doc__)
    parser.add_argument("--json", type=Path, help="file to which everything is also written")
    parser.add_argument("--device", choices=("gpu", "cpu"), default="gpu", help="device to compare")
    parser.add_argument("--steps", type=int, default=20, help="timed steps of each kind")
    parser.add_argument("--quick", action="store_true", help="only one case of each group, with tiny steps")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    return options


def correctness(options: argparse.Namespace, until: float) -> Iterator[dict[str, Any]]:
    """The entries of the comparison, each printed."""
    from tools.gpu_check import cases, compare

    groups: dict[str, list[str]] = {}
    for name, case in cases.CASES.items():
        groups.setdefault(case.group, []).append(name)
    if options.quick:
        groups = {group: names[:1] for group, names in groups.items()}
    print(f"{'check':<40} {'difference':>10} {'allowed':>8}")
    for entry in compare.run(groups, options.device, until):
        told = [None] if entry.differences is None else list(entry.differences.values())
        found = [value for value in told if value is not None]
        largest = f"{max(found):.1e}" if found and len(found) == len(told) else "-"
        allowed = f"{entry.tolerance:.1e}" if entry.tolerance else "-"
        print(
            f"{entry.check:<40} {largest:>10} {allowed:>8}  {verdict(entry.passed, entry.error)}", flush=True
        )
        yield entry._asdict()


def speeds(options: argparse.Namespace, until: float) -> Iterator[dict[str, Any]]:
    """The entries of the timing, each printed."""
    print(f"\n{'step':<40} {'seconds':>10} {'tokens/s':>10} {'compile, s':>10} {'GPU memory, MB':>15}")
    for precision in PRECISIONS:
        for name, file in STEPS.items():
            check, found, error = f"{name}, {precision}", None, None
            try:
                found = timed(name, file, precision, options, until)
            except Exception as failure:  # a process that was killed, a device without the memory
                error = f"{type(failure).__name__}: {one_line(failure)[:300]}"
            passed = found is not None and found.finite
            line = f"{check:<40}"
            if found is not None:
                memory = "-" if found.peak_device_mb is None else f"{found.peak_device_mb:,.0f}"
                line += f" {found.seconds:>10.4f} {found.tokens_per_second:>10,.0f}"
                line += f" {found.compile_seconds:>10.1f} {memory:>15}"
            print(f"{line}  {verdict(passed, error)}", flush=True)
            entry = {"check": check, "group": "speed", "passed": passed, "error": error}
            yield entry | (found._asdict() if found is not None else {})


def timed(name: str, file: str, precision: str, options: argparse.Namespace, until: float):
    """The speed of a step.

    Raises:
      UserError: the time is up.
    """
    from tools.benchmark.subject import Recipe
    from tools.gpu_check.speed import speed

    if time.time() > until:
        raise UserError("not begun: the time was up")
    params = [f"ModelOptions.matmul_dtype = {precision!r}"]
    params += [*QUICK[name], *QUICK_WINDOWS] if options.quick else []
    genotype = None if name == "search_step" else find_genotype("DARTS_V2", 0)
    recipe = Recipe(config.parse([file], params), QUICK_WORDS if options.quick else 0, genotype)
    return machine.alone(speed, name, recipe, options.device, options.steps)


def verdict(passed: bool, error: str | None) -> str:
    """The last column of both tables."""
    return "passed" if passed else f"FAILED {error or ''}".rstrip()


def run(options: argparse.Namespace) -> bool:
    """Check, time, print, write; whether all has passed.

    Raises:
      UserError: there is no GPU.
    """
    until, found = time.time() + SECONDS, machine.alone(environment.environment)
    if options.device == "gpu" and not found.gpus:
        raise UserError(
            f"TensorFlow {found.made_by['tensorflow']} finds no GPU, only {', '.join(found.devices)}. "
            "Install requirements.txt and NVIDIA's driver, or run the checks on the CPU with --device=cpu"
        )
    cores, load = found.machine["cores"], found.machine["load_average"]
    print(f"{found.machine['device']}, {cores} cores, load average {load:.1f}")
    print(f"devices: {', '.join(found.devices)}; {versions(found)}\n", flush=True)
    written: dict[str, Any] = {
        **found._asdict(),
        "device": options.device,
        "quick": options.quick,
        "tf32": {"comparison": False, "speed": True},
        "passed": False,
        "checks": [],
    }
    for part in (correctness, speeds):
        for entry in part(options, until):
            # entry by entry: what a run that is cut off has found is kept
            written["checks"].append(entry)
            write(options.json, written)
    written["passed"] = all(entry["passed"] for entry in written["checks"])
    write(options.json, written)
    failed = sum(not entry["passed"] for entry in written["checks"])
    print(f"\n{len(written['checks']) - failed} checks passed, {failed} failed")
    return written["passed"]


def versions(found: environment.Environment) -> str:
    """Those of the libraries on one line."""
    named = {name: found.made_by[name] for name in ("bayesnas_tf", "tensorflow", "keras", "python")}
    return ", ".join(f"{name} {version}" for name, version in (named | found.build).items())


def write(path: Path | None, written: dict[str, Any]) -> None:
    """The JSON, if it is wanted."""
    if path:
        path.write_text(json.dumps(written, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0 where all checks have passed."""
    options = parsed(arguments)
    try:
        return 0 if run(options) else 1
    except concurrent.futures.process.BrokenProcessPool:
        print(
            "error: TensorFlow crashed when it listed its devices. See the lines above",
            file=sys.stderr,
        )
        return 1
    except (UserError, ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
