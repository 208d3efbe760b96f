"""A small trained cell for the tests of evaluate, export and score."""

import json

from bayesnas_tf import config
from bayesnas_tf.commands import evaluate as evaluate_command
from bayesnas_tf.commands.export import run_export
from bayesnas_tf.commands.score import run_score
from bayesnas_tf.space.genotype import Genotype, Node

GENOTYPE = Genotype((Node(0, "tanh"), Node(1, "relu"), Node(0, "identity")), (1, 2, 3), "small")
WORDS = ("one", "two", "three", "four", "five")
CONFIG = """
include 'base/evaluate.gin'
CorpusOptions.name = 'text'
CorpusOptions.train_file = '{folder}/train.txt'
CorpusOptions.valid_file = '{folder}/valid.txt'
CorpusOptions.test_file = '{folder}/valid.txt'
DerivedOptions.units = 8
DerivedOptions.init_range = 0.3
ModelOptions.embedding_range = 0.5
WindowOptions.batch_size = 4
WindowOptions.bptt = 8
WeightOptions.lr = 5.0
evaluate.eval_batch_size = 1
"""


def write_corpus(folder):
    """A text that counts to five again and again, its configuration and a genotype."""
    lines = [" ".join(WORDS[k % 5] for k in range(start, start + 2 + start % 7)) for start in range(200)]
    (folder / "train.txt").write_text("\n".join([*lines[:100], "", *lines[100:150]]) + "\n")
    (folder / "valid.txt").write_text("\n".join([*lines[150:160], "", "six two", *lines[160:170]]) + "\n")
    (folder / "small.gin").write_text(CONFIG.format(folder=folder))
    GENOTYPE.save(folder / "genotype.json")


def evaluate(folder, *arguments):
    """The exit code of `evaluate` on that text; it writes `folder`/run."""
    return config.run_command(
        evaluate_command.run_evaluate,
        "evaluate",
        [
            f"--gin_file={folder}/small.gin",
            f"--genotype={folder}/genotype.json",
            f"--run_dir={folder}/run",
            f"--data_dir={folder}/data",
            *arguments,
        ],
    )


def export(folder, *arguments):
    """The exit code of `export` of that run."""
    return config.run_command(run_export, "export", [f"--run={folder}/run", *arguments])


def score(folder, *arguments):
    """The exit code of `score` with the SavedModel of that run."""
    return config.run_command(run_score, "score", [f"--model={folder}/run/saved_model", *arguments])


def summary(folder):
    """What summary.json of that run holds."""
    return json.loads((folder / "run" / "summary.json").read_text())
