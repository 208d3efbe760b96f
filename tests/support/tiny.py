"""A search that ends in seconds: a small text corpus, its configuration, and the command in this process."""

import json
import random
from pathlib import Path

import numpy as np

from bayesnas_tf import config, search

CORPUS = """
CorpusOptions.name = 'text'
CorpusOptions.train_file = 'train.txt'
CorpusOptions.valid_file = 'valid.txt'
CorpusOptions.test_file = 'test.txt'
WindowOptions.batch_size = 4
WindowOptions.bptt = 5
"""
EVALUATE = (
    f"include 'base/evaluate.gin'\n{CORPUS}"  # the training of a cell on it; units and rate are to be added
)
CONFIG = f"""
include 'base/search.gin'
{CORPUS}
CellOptions.units = 3
CellOptions.nodes = 2
CellOptions.norm = 'mean'
CellOptions.hidden_dropout = 0.2
WeightOptions.lr = 1.0
ScalarOptions.lr = 0.1
CurvatureOptions.windows = 2
CurvatureOptions.probes = 1
search.epochs = 2
search.report_every = 3
search.checkpoint_every = 2
search.resamples = 5
"""

SECONDS = ("tokens_per_second", "seconds")  # what no two runs share


def write(folder: Path, lines: int = 60) -> None:
    """The configuration, and three files in which half of the words are followed by one word only."""
    (folder / "tiny.gin").write_text(CONFIG)
    draw, words = random.Random(0), [f"w{k}" for k in range(20)]
    for split, count in (("train", lines), ("valid", lines // 3), ("test", lines // 3)):
        text = []
        for _ in range(count):
            drawn = [draw.choice(words) for _ in range(draw.randint(2, 5))]
            text.append(" ".join(f"{word} {word}x" for word in drawn))
        (folder / f"{split}.txt").write_text("\n".join(text) + "\n")


def command(folder: Path, run_dir: str, *flags: str) -> list[str]:
    """The command line of a search over the corpus in `folder`; a later `--gin_param` wins."""
    return [
        f"--gin_file={folder / 'tiny.gin'}",
        f"--data_dir={folder}",
        f"--run_dir={folder / run_dir}",
        *flags,
    ]


def run(folder: Path, run_dir: str, *flags: str) -> int:
    """Its exit code."""
    return config.run_command(search.main, "search", command(folder, run_dir, *flags))


def rows(directory: Path) -> list[dict]:
    """metrics.jsonl without timings."""
    lines = (directory / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in SECONDS} for line in lines]


def posterior(directory: Path) -> dict[str, np.ndarray]:
    """posterior.npz, read whole."""
    with np.load(directory / "posterior.npz") as data:
        return dict(data)


def summary(directory: Path) -> dict:
    """summary.json without timings."""
    data = json.loads((directory / "summary.json").read_text())
    return {key: value for key, value in data.items() if key not in SECONDS}


def assert_same_result(one: Path, other: Path) -> None:
    """Bit for bit the same posterior, metrics, genotype and summary."""
    left, right = posterior(one), posterior(other)
    assert left.keys() == right.keys()
    for name in left:
        np.testing.assert_array_equal(left[name], right[name], err_msg=name)
    assert rows(one) == rows(other)
    assert summary(one) == summary(other)
    assert (one / "genotype.json").read_text() == (other / "genotype.json").read_text()
