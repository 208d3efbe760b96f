"""Run the cases in float64 and write what they compute.

    python -m tests.numbers.record OUT.json [NAME ...]

The file is recorded at the commit before a redesign; `tests/test_numbers.py` compares with it.
"""

import contextlib
import io
import json
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

import keras

from bayesnas_tf import config, evaluate, search
from tests.numbers.cases import CASES
from tests.support import tiny

MAINS = {"search": search.main, "evaluate": evaluate.main}
SECONDS = (*tiny.SECONDS, "made_by", "genotype")
EVALUATE = f"{tiny.EVALUATE}WeightOptions.lr = 2.0\nevaluate.report_every = 10\n"


def in_float64() -> None:
    """From now on this process computes in float64, whatever a command sets."""
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    keras.config.set_floatx = keras.config.set_dtype_policy = lambda *_: None


def run(name: str, folder: Path) -> dict:
    """What the case of that name computes: metrics, summary, genotype, posterior."""
    command, files, params, *flags = CASES[name]
    first = folder / ("tiny.gin" if command == "search" else "tiny_eval.gin")
    chosen = [f"--gin_file={first}", *(f"--gin_file={file}" for file in files)]
    if any(file.startswith("baselines/") for file in files):
        chosen = [chosen[1], chosen[0]]  # the tiny corpus wins
    chosen += [f"--gin_param={key}={value!r}" for key, value in params.items()]
    run_dir = folder / name
    arguments = [*chosen, *(flags[0] if flags else []), f"--data_dir={folder}", f"--run_dir={run_dir}"]
    with contextlib.redirect_stdout(io.StringIO()) as told:
        code = config.run_command(MAINS[command], command, arguments)
    if code:
        raise SystemExit(f"{name}: exit code {code}\n{told.getvalue()}")
    summary = json.loads((run_dir / "summary.json").read_text())
    found = {
        "rows": [
            {key: value for key, value in row.items() if isinstance(value, float) and key != "ppl"}
            for row in tiny.rows(run_dir)
        ],
        "summary": {key: value for key, value in summary.items() if key not in SECONDS},
        "cell": summary.get("genotype"),
    }
    if (run_dir / "posterior.npz").exists():
        found["posterior"] = {
            key: value.tolist() for key, value in tiny.posterior(run_dir).items() if value.dtype.kind == "f"
        }
    return found


def prepare(folder: Path) -> None:
    """The corpus and the configurations."""
    tiny.write(folder)
    (folder / "tiny_eval.gin").write_text(EVALUATE)


def main(out: str, *names: str) -> None:
    """Record all cases, or those named."""
    in_float64()
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder))
        for name in names or CASES:
            found[name] = run(name, Path(folder))
            print(name, found[name]["rows"][-1], flush=True)
    Path(out).write_text(json.dumps(found, indent=0) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
