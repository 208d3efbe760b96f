"""Watch the memory and the descriptors of a tiny search: after the first epoch, both should stay constant.

Example: python -m tools.faults.memory_over_steps --out=memory.json

By default the search has 3,000 steps in 24 epochs, because steps and updates may both leak.

The search runs in its own process. This one reads /proc (Linux) and metrics.jsonl twice a second.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from bayesnas_tf.run_files import RunFiles
from tools import cli

ROOT = Path(__file__).resolve().parents[2]
PAUSE = 0.5  # seconds
PARTS = 8  # rows of the table, and medians that are compared


class Sample(NamedTuple):
    """What a process holds after so many steps."""

    step: int
    megabytes: int
    descriptors: int
    threads: int


def sampled(process: int, metrics: Path) -> Sample | None:
    """What /proc says now; None when the process has ended."""
    try:
        status = dict(line.split(":", 1) for line in Path(f"/proc/{process}/status").read_text().splitlines())
        descriptors = len(list(Path(f"/proc/{process}/fd").iterdir()))
        megabytes, threads = int(status["VmRSS"].split()[0]) // 1024, int(status["Threads"])
    except (OSError, KeyError):
        return None
    last = metrics.read_bytes().splitlines()[-1:] if metrics.exists() else []
    try:
        step = json.loads(last[0])["step"] if last else 0
    except ValueError:  # a row that is being written
        step = 0
    return Sample(step, megabytes, descriptors, threads)


def searched(options: argparse.Namespace, folder: Path) -> list[Sample]:
    """Samples of a search from its first step to its end."""
    from tests.support import tiny

    tiny.write(folder, lines=options.lines)
    often = {"report_every": 20, "checkpoint_every": 50, "epochs": options.epochs}
    flags = [f"--gin_param=search.{name}={value}" for name, value in often.items()]
    flags += ["--gin_param=ScalarOptions.lambda_w=0.001"]  # the epochs are long: with more no node lives
    command = [sys.executable, "-m", "bayesnas_tf.search", *tiny.command(folder, "run", *flags)]
    with (folder / "errors").open("w") as errors:
        search = subprocess.Popen(command, cwd=ROOT, stderr=errors, stdout=subprocess.DEVNULL)
    found = []
    while search.poll() is None:
        sample = sampled(search.pid, RunFiles(folder / "run").metrics)
        found += [sample] if sample and sample.step else []
        time.sleep(PAUSE)
    if search.returncode:
        raise RuntimeError((folder / "errors").read_text().splitlines()[-1])
    return found


def medians(samples: list[Sample]) -> list[Sample]:
    """One sample for each of `PARTS` equal spans of steps: the medians of the span."""
    last = samples[-1].step
    spans = [[s for s in samples if k < s.step * PARTS / last <= k + 1] for k in range(PARTS)]
    return [
        Sample(*(round(statistics.median_high(values)) for values in zip(*span, strict=True)))
        for span in spans
        if span
    ]


def main() -> int:
    """Print the medians; exit code 1 where the last one is more than 5 % above that of the half."""
    sys.path.insert(0, str(ROOT))
    parser = cli.Parser("tools.faults.memory_over_steps", __doc__)
    parser.add_argument("--epochs", type=int, default=24, help="epochs of the search")
    parser.add_argument(
        "--lines", type=int, default=430, help="lines of the text; 430 give 127 steps an epoch"
    )
    parser.add_argument("--out", type=Path, help="JSON file for the medians")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="memory-") as folder:
        found = medians(searched(options, Path(folder)))
    print(f"{'step':>7} {'MB':>8} {'descriptors':>12} {'threads':>8}")
    for sample in found:
        print(f"{sample.step:>7} {sample.megabytes:>8} {sample.descriptors:>12} {sample.threads:>8}")
    if options.out:
        options.out.write_text(json.dumps([sample._asdict() for sample in found], indent=1) + "\n")
    half, last = found[len(found) // 2], found[-1]
    return int(last.megabytes > 1.05 * half.megabytes or last.descriptors > half.descriptors)


if __name__ == "__main__":
    sys.exit(main())
