"""Build the source distribution and the wheel, and let the wheel pass the quickstart in an empty environment.

Example: python -m tools.release --out=dist
The environment and its working folder are new and lie outside of the checkout; pip downloads what the wheel
asks for. With --linked it takes the libraries of this environment instead: no download, and seconds.
"""

import argparse
import os
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections.abc import Sequence
from pathlib import Path

from tools import cli

ROOT = Path(__file__).resolve().parents[1]
SEARCHED, TRAINED = "runs/quickstart-seed0", "runs/quickstart_eval-seed0"
CHECKLIST = """What is left to do for a release, by hand:
  1. tools/test on every supported Python: bash tools/test --python=3.11, 3.12, 3.13
  2. python -m tools.gpu_check on a GPU
  3. CHANGELOG.md: the section Unreleased becomes the version, with its date
  4. bayesnas_tf/__init__.py and CITATION.cff: the version
  5. python -m tools.site; attach a report of tools/quickstart
  6. git tag -a vVERSION; upload {files}"""


def parsed(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.release", __doc__)
    parser.add_argument("--out", type=Path, default=Path("dist"), help="folder of the distributions")
    parser.add_argument("--linked", action="store_true", help="use the libraries of this environment")
    parser.add_argument("--tokens", type=int, default=0, help="use so many tokens of the corpus; 0: all")
    return parser.parse_args(arguments)


def build(out: Path) -> list[Path]:
    """The source distribution, and the wheel that is built from it."""
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(ROOT)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return sorted(out.iterdir(), key=os.path.getmtime)[-2:]


def environment(folder: Path, wheel: Path, linked: bool) -> Path:
    """The Python of a new environment that has the wheel."""
    venv.create(folder, with_pip=not linked)
    python = folder / "bin" / "python"
    installer = [str(python), "-m", "pip", "-q", "--disable-pip-version-check", "install"]
    if not linked:
        subprocess.run([*installer, f"{wheel}[cpu]"], check=True)
        return python
    site = next(folder.glob("lib/python*/site-packages"))
    (site / "linked.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = [sys.executable, "-m", "pip", "-q", "--disable-pip-version-check", "install", "--no-deps"]
    subprocess.run([*pip, "--target", str(site), str(wheel)], check=True)
    return python


def commands(tokens: int) -> list[list[str]]:
    """Those of tools/quickstart, and a report."""
    few = [f"--gin_param=CorpusOptions.limit_tokens={tokens}"] if tokens else []
    return [
        ["search", "--gin_file=quickstart.gin", *few],
        ["evaluate", "--gin_file=quickstart_eval.gin", f"--genotype={SEARCHED}/genotype.json", *few],
        ["export", f"--run={TRAINED}"],
        ["score", f"--model={TRAINED}/saved_model", "--generate=20"],
        ["report", "--runs=runs"],
    ]


def quickstart(python: Path, folder: Path, tokens: int) -> None:
    """Run every command with nothing of the checkout on the path."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    where = "import bayesnas_tf; print(bayesnas_tf.__file__)"
    found = subprocess.check_output([python, "-c", where], cwd=folder, env=clean, text=True)
    if str(ROOT) in found:
        raise RuntimeError(f"the checkout is on the path, not the wheel: {found.strip()}")
    for name, *flags in commands(tokens):
        print(f"{name} {' '.join(flags)}", flush=True)
        subprocess.run([python, "-m", f"bayesnas_tf.{name}", *flags], cwd=folder, env=clean, check=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build, install, run."""
    options = parsed(arguments)
    built = build(options.out.resolve())
    wheel = next(path for path in built if path.suffix == ".whl")
    with tempfile.TemporaryDirectory(prefix="release-") as folder:
        python = environment(Path(folder) / "environment", wheel, options.linked)
        quickstart(python, Path(folder), options.tokens)
    print(CHECKLIST.format(files=" and ".join(path.name for path in built)))
    return 0


if __name__ == "__main__":
    sys.exit(cli.ended(main))
