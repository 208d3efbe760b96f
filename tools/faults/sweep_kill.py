"""Kill a sweep of real searches again and again, and compare it with an unbroken one: results must be equal.

Example: python -m tools.faults.sweep_kill --folder=runs/sweep_kill
The tool sends SIGKILL to the sweep and to its runs, at moments that it draws from a seed. It reuses an
unbroken sweep in the folder. With --lose_node the sweep runs on two Ray nodes, and the tool kills one.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from bayesnas_tf.config.flags import default_data_dir
from bayesnas_tf.run_files import RunFiles
from tools import cli

ROOT = Path(__file__).resolve().parents[2]
TIMINGS = ("seconds", "tokens_per_second", "made_by")  # what no two runs share


def start(options: argparse.Namespace, name: str, *flags: str) -> subprocess.Popen:
    """The sweep in `folder`/`name`, as a process."""
    command = [sys.executable, "-m", "bayesnas_tf.sweep", f"--gin_file={options.gin_file}"]
    command += [f"--gin_param={param}" for param in options.gin_param]
    command += [f"--run_dir={options.folder / name}", f"--data_dir={options.data_dir}", *flags]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)})


def runs(process: subprocess.Popen) -> list[int]:
    """The process ids of the runs under way."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def kill(process: subprocess.Popen) -> int:
    """SIGKILL to a sweep and its runs; how many runs there were."""
    victims = runs(process)
    for pid in (process.pid, *victims):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    return len(victims)


def without_timings(row: dict) -> dict:
    """A row or summary as far as two runs can share it."""
    return {key: value for key, value in row.items() if key not in TIMINGS}


def result(run: RunFiles) -> dict[str, str]:
    """Everything that a search leaves, as texts to compare."""
    import numpy as np

    rows = [without_timings(json.loads(line)) for line in run.metrics.read_text().splitlines()]
    summary = without_timings(json.loads(run.summary.read_text()))
    with np.load(run.posterior) as arrays:
        posterior = {f"posterior {name}": arrays[name].tobytes().hex() for name in sorted(arrays)}
    genotype = run.genotype.read_text()
    return {"metrics": json.dumps(rows), "summary": json.dumps(summary), "genotype": genotype, **posterior}


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.faults.sweep_kill", __doc__)
    parser.add_argument("--folder", type=Path, required=True, help="folder for both sweeps")
    parser.add_argument("--gin_file", default="sweep_quickstart.gin", help="file of a sweep of searches only")
    parser.add_argument("--gin_param", **cli.REPEATABLE, help="NAME=VALUE, repeatable")
    parser.add_argument(
        "--data_dir",
        type=Path,
        default=default_data_dir(),
        help="folder of the texts (default: $BAYESNAS_DATA, else ~/.cache/bayesnas_tf)",
    )
    parser.add_argument("--kills", type=int, default=3, help="number of kills")
    parser.add_argument("--lose_node", action="store_true", help="kill a Ray node instead of the sweep")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments of the kills")
    return parser.parse_args()


def break_locally(options: argparse.Namespace, draw: random.Random, seconds: float) -> int:
    """Kill sweep and runs at moments of a sweep that lasts `seconds`, then let it end; its exit code."""
    for number in range(1, options.kills + 1):
        process = start(options, "broken")
        while process.poll() is None and not runs(process):
            time.sleep(0.1)  # reading the configuration is no part of the sweep
        moment = draw.uniform(0.0, seconds / (options.kills + 1))
        time.sleep(moment)
        if process.poll() is not None:
            print(f"error: the sweep ended before kill {number}. Lower --kills", file=sys.stderr)
            return 1
        print(f"kill {number} after {moment:.1f} s: the sweep and {kill(process)} runs", flush=True)
    return start(options, "broken").wait()


def lose_a_node(options: argparse.Namespace, draw: random.Random, seconds: float) -> int:
    """The sweep on two Ray nodes, one of which is killed under way; its exit code."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    node = cluster.add_node(num_cpus=1)
    address = f"--gin_param=EngineOptions.address='{cluster.address}'"
    process = start(options, "broken", "--engine=ray", address)
    while process.poll() is None and not list((options.folder / "broken").glob("logs/search/*.log")):
        time.sleep(0.1)
    moment = draw.uniform(0.1, 0.6) * seconds
    time.sleep(moment)
    cluster.remove_node(node, allow_graceful=False)
    print(f"a node was killed after {moment:.1f} s", flush=True)
    code = process.wait()
    cluster.shutdown()
    starts = [
        path.read_text().count("\n# ")
        for path in (RunFiles(options.folder / "broken").logs / "search").iterdir()
    ]
    print(f"runs that had to start again: {sum(count > 0 for count in starts)}")
    return code


def main() -> int:
    """Exit code 1 where the two sweeps differ."""
    options = parsed()
    if start(options, "whole").wait():
        return 1
    seconds = json.loads(RunFiles(options.folder / "whole").sweep.read_text())["seconds"]
    harm = lose_a_node if options.lose_node else break_locally
    if harm(options, random.Random(options.seed), seconds):
        return 1
    names = sorted(path.name for path in (options.folder / "whole" / "search").iterdir())
    found = sorted(path.name for path in (options.folder / "broken" / "search").iterdir())
    different = [] if found == names else ["the runs themselves"]
    for name in names:
        one, other = (
            result(RunFiles(options.folder / sweep / "search" / name)) for sweep in ("whole", "broken")
        )
        different += [f"{name}: {key}" for key in one if one[key] != other.get(key)]
    print("\n".join(different) or f"{len(names)} searches: all results are equal bit for bit")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
