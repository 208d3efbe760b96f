"""Compare the throughput of two workers on two cores with one worker on one core, in training tokens/s.

Example: python -m tools.benchmark.sweep_throughput
It runs searches of quickstart.gin with the local engine: one on the first core, then two at a time, each on
its own core. If the two cores are threads of one core, the two workers share its arithmetic.
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

from bayesnas_tf.config.flags import default_data_dir
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.sweeping import child, jobs, local
from bayesnas_tf.sweeping.drive import Driver
from bayesnas_tf.sweeping.ledger import Ledger
from bayesnas_tf.sweeping.settings import SearchesOptions
from tools import cli


def speeds(folder: Path, cores: list[int], options: argparse.Namespace) -> list[float]:
    """Tokens per second of one search per core, all at the same time."""
    params = {"CorpusOptions.limit_tokens": options.tokens, "CellOptions.units": options.units}
    seeds = tuple(range(len(cores)))
    searches = jobs.searches(SearchesOptions(gin_files=("quickstart.gin",), params=params, seeds=seeds), 0)
    folder.mkdir()
    ledger = Ledger(folder, "throughput", "local", 1)

    def launch(job: jobs.Job) -> child.Launch:
        command = job.command_line(folder, options.data_dir)
        return child.Launch(command, str(RunFiles(folder / job.directory).summary), str(ledger.log(job)))

    engine = local.LocalEngine([local.Share((core,)) for core in cores], launch)
    Driver(engine, ledger, lambda *_: None).run(searches)
    found = []
    for job in searches:
        summary = ledger.summary(job)
        if summary is None:
            raise SystemExit(f"error: {ledger.failure(job).error}")
        found.append(summary["tokens_per_second"])
    return found


def main() -> int:
    """Print the speeds and their ratio."""
    parser = cli.Parser("tools.benchmark.sweep_throughput", __doc__)
    parser.add_argument("--tokens", type=int, default=100_000, help="training tokens of each search")
    parser.add_argument("--units", type=int, default=64, help="units of the cell")
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=default_data_dir(),
        help="folder of the texts (default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf)",
    )
    options = parser.parse_args()
    cores = local.cores()[:2]
    if len(cores) < 2:
        print("error: this machine has one core. Use a machine with two", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        (alone,) = speeds(Path(folder) / "alone", cores[:1], options)
        both = speeds(Path(folder) / "both", cores, options)
    print(f"one worker on one core    {alone:,.0f} tokens/s")
    print(f"two workers on two cores  {' + '.join(f'{speed:,.0f}' for speed in both)} tokens/s")
    print(f"ratio                     {sum(both) / alone:.2f}, at a load average of {os.getloadavg()[0]:.1f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
