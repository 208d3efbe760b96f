"""Speed and memory of a search, and of the training and evaluation of a cell, on this machine.

Example: python -m tools.benchmark --gin_file=ptb.gin --eval_gin_file=ptb_eval.gin --peer --json=speed.json
It needs no corpus: the token ids are random. It times a step and the bare matrix products in turns.

--peer (pip install "bayesnas_tf[bench]") also times the same model and step in PyTorch, written like the code
of DARTS: on the CPU, in the same process, with as many threads, in turns. PyTorch runs in four ways: eager;
compiled (torch.compile of a time step); autocast (torch.autocast to bfloat16); autocast_compiled (both).
`ratio` is our median over the median of the fastest way of the same precision, which `ratio_to` names: of the
first two ways if matmul_dtype is float32, of the others if it is bfloat16. A way is null if it cannot run
here, because there is no C++ compiler or the processor has no bfloat16 instructions. `peer_seconds` and
`peer_peak_mb` belong to eager. Install PyTorch for the CPU: `triton`, which comes with PyTorch for GPUs,
crashes beside TensorFlow.

PyTorch compiles for minutes; no step's time includes them. It compiles again each time, unless
TORCHINDUCTOR_CACHE_DIR names the folder of an earlier run. Measure a ratio only on a quiet machine: the
OpenMP threads of PyTorch spin while they wait, and beside other work a step takes many times as long.
OMP_WAIT_POLICY=passive lets them sleep; quote the faster of the two. The peak memory of a step is that of a
process that does nothing else, libraries included.

The split of a step's time comes from three more steps under TensorFlow's profiler; XLA gives none.

The JSON file has one object per entry: search_step, hessian and one_pass of --gin_file; train_step, evaluate,
score (1,000 tokens) and generate (50 words) of --eval_gin_file and --genotype. score and generate use a
SavedModel. hessian is compared with the training of an epoch if search_step is measured too.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bayesnas_tf import config
from bayesnas_tf.config.failures import one_line
from bayesnas_tf.errors import UserError
from bayesnas_tf.space.known import find_genotype
from tools import cli, machine

QUIET = 0.5  # load average up to which a ratio to PyTorch is worth something
ENTRIES = ("search_step", "hessian", "one_pass", "train_step", "evaluate", "score", "generate")
COMPILED_CODE = "TORCHINDUCTOR_CACHE_DIR"  # where PyTorch looks for what it has compiled before

# Number -> what it is, and how it is printed; `part` is the key of a number in an object of several.
LABELS = {
    "seconds": ("seconds", "{:.3f}"),
    "peers": ("seconds in PyTorch, {part}", "{:.3f}"),
    "peer_compile_seconds": ("its compile time, s, {part}", "{:.1f}"),
    "ratio": ("ratio to PyTorch, {ratio_to}", "{:.2f}"),
    "peer_peak_mb": ("peak memory in PyTorch, MB", "{:,.0f}"),
    "tokens_per_second": ("tokens/s", "{:,.0f}"),
    "step_gflops": ("sgemm rate of the step, GFLOP/s", "{:.1f}"),
    "machine_gflops": ("sgemm rate at its shapes, GFLOP/s", "{:.1f}"),
    "sgemm_share": ("share of that rate", "{:.1%}"),
    "matmul_share": ("of its time: matrix products", "{:.1%}"),
    "elementwise_share": ("  else in the time loop", "{:.1%}"),
    "embedding_softmax_share": ("  embedding, softmax, updates", "{:.1%}"),
    "host_share": ("  no operation runs", "{:.1%}"),
    "windows": ("windows", "{}"),
    "seconds_per_window": ("seconds per window", "{:.3f}"),
    "share_of_epoch": ("relative to an epoch's training", "{:.1%}"),
    "ggn_steps": ("seconds with a probe in the pass, x", "{:.2f}"),
    "recursive_steps": ("seconds with the recursion in it, x", "{:.2f}"),
    "plain_mb": ("memory of the gradient alone, MB", "{:,.0f}"),
    "ggn_memory": ("memory with a probe in the pass, x", "{:.2f}"),
    "recursive_memory": ("memory with the recursion in it, x", "{:.2f}"),
    "compile_seconds": ("compile time, s", "{:.1f}"),
    "peak_mb": ("peak memory, MB", "{:,.0f}"),
}
SAID_ELSEWHERE = ("peer_seconds", "ratio_to")  # as peers.eager, and beside the ratio


def parsed(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = cli.Parser("tools.benchmark", __doc__)
    parser.add_argument(
        "--gin_file", **cli.REPEATABLE, help="file of a search, repeatable (default: ptb.gin)"
    )
    parser.add_argument("--gin_param", **cli.REPEATABLE, help="NAME=VALUE of the search, repeatable")
    parser.add_argument(
        "--eval_gin_file",
        **cli.REPEATABLE,
        help="file of the training of a cell, repeatable (default: ptb_eval.gin)",
    )
    parser.add_argument("--eval_gin_param", **cli.REPEATABLE, help="NAME=VALUE of the training, repeatable")
    parser.add_argument("--genotype", default="DARTS_V2", help="name or file of the cell to train")
    parser.add_argument(
        "--only", **cli.REPEATABLE, choices=ENTRIES, help="entry to measure, repeatable (default: all)"
    )
    parser.add_argument("--peer", action="store_true", help="also time the same steps in PyTorch")
    parser.add_argument("--steps", type=int, default=5, help="number of measured steps")
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--xla", action="store_true", help="compile with XLA, whatever the configuration says")
    mode.add_argument("--graph", action="store_true", help="compile without XLA")
    parser.add_argument(
        "--vocabulary", type=int, default=0, help="number of tokens (default: that of the corpus)"
    )
    parser.add_argument("--epoch_steps", type=int, default=415, help="steps of an epoch; PTB has 415")
    parser.add_argument("--json", type=Path, help="file to which the numbers are also written")
    options = parser.parse_args(arguments)
    options.gin_file = options.gin_file or ["ptb.gin"]
    options.eval_gin_file = options.eval_gin_file or ["ptb_eval.gin"]
    for name in ("steps", "epoch_steps"):
        if getattr(options, name) < 1:
            parser.error(f"--{name} must be at least 1")
    if options.vocabulary < 0:
        parser.error("--vocabulary must be at least 0")
    return options


def block(name: str, numbers: dict[str, Any]) -> str:
    """One entry as lines."""
    lines = [name]
    for key, value in numbers.items():
        if key in SAID_ELSEWHERE:
            continue
        label, form = LABELS[key]
        for part, number in value.items() if isinstance(value, dict) else [("", value)]:
            named = label.format(part=part, **numbers)
            lines.append(f"  {named:<38} {'not known' if number is None else form.format(number):>9}")
    return "\n".join(lines)


def recipes(options: argparse.Namespace) -> list:
    """The search and the training of a cell, as far as anything of them is to be measured.

    Both configurations are read before the first is measured: a mistake in either costs nothing.
    """
    from tools.benchmark import entries, subject

    mode = "xla" if options.xla else "graph" if options.graph else ""
    found = []
    derived = find_genotype(options.genotype, 0)
    for root, prefix, files, params, genotype in (
        ("search", "--gin", options.gin_file, options.gin_param, None),
        ("evaluate", "--eval_gin", options.eval_gin_file, options.eval_gin_param, derived),
    ):
        compiled = [f"{root}.compile = '{mode}'"] if mode else []
        text = config.parse(files, params + compiled, prefix=prefix)
        recipe = subject.Recipe(text, options.vocabulary, genotype)
        if not options.only or set(options.only) & set(entries.entries_of(recipe)):
            found.append(recipe)
    return found


@contextlib.contextmanager
def compiled_anew() -> Iterator[None]:
    """PyTorch finds nothing that an earlier run compiled, unless the user names a folder of such."""
    if COMPILED_CODE in os.environ:
        yield
        return
    with tempfile.TemporaryDirectory() as folder:
        os.environ[COMPILED_CODE] = folder  # processes of their own, which measure, are given it
        try:
            yield
        finally:
            del os.environ[COMPILED_CODE]


def run(options: argparse.Namespace) -> None:
    """Configure, measure, print, write."""
    from tools.benchmark import entries, subject

    if options.peer and importlib.util.find_spec("torch") is None:
        raise UserError(
            "--peer needs PyTorch, and it is not installed. Run: pip install 'bayesnas_tf[bench]'"
        )
    plan = subject.Plan(options.steps, options.epoch_steps, options.peer)
    facts = machine.facts()
    print(f"{facts['device']}, {facts['cores']} cores, load average {facts['load_average']:.1f}", flush=True)
    if options.peer and facts["load_average"] > QUIET:
        print(
            "warning: other work runs here. It slows PyTorch far more than TensorFlow: do not quote a ratio"
        )
    written: dict[str, Any] = {"machine": facts}
    for recipe in recipes(options):
        # Entry by entry: what a run that is cut off has measured is kept.
        for name, (description, numbers) in entries.measure(recipe, plan, options.only):
            print(f"\n{description}\n{block(name, numbers)}", flush=True)
            written[name] = numbers
            if options.json:
                options.json.write_text(json.dumps(written, indent=1) + "\n")


def main(arguments: list[str] | None = None) -> int:
    """Exit code 1 with one line where the configuration is wrong."""
    options = parsed(arguments)
    try:
        with compiled_anew():
            run(options)
    except (UserError, ValueError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
