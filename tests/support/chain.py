"""From a search to a SavedModel on the tiny corpus, in this process: what a space must be able to do."""

from bayesnas_tf import config
from bayesnas_tf.commands import evaluate, export, search
from tests.numbers.record import EVALUATE
from tests.support import tiny


def run(main, command, folder, *flags):
    """The exit code of a command on the tiny corpus below `folder`."""
    return config.run_command(main, command, [*flags, f"--data_dir={folder}"])


def searched(folder, *flags):
    """`folder`/search."""
    tiny.write(folder)
    found = [f"--gin_file={folder}/tiny.gin", *flags, f"--run_dir={folder}/search"]
    assert run(search.run_search, "search", folder, *found) == 0


def exported(folder, genotype):
    """`folder`/train, an epoch of a cell of four units, and `folder`/model."""
    (folder / "train.gin").write_text(EVALUATE)
    flags = [f"--gin_file={folder}/train.gin", f"--genotype={genotype}", f"--run_dir={folder}/train"]
    flags += ["--gin_param=DerivedOptions.units=4", "--gin_param=evaluate.epochs=1"]
    assert run(evaluate.run_evaluate, "evaluate", folder, *flags) == 0
    out = [f"--run={folder}/train", f"--out={folder}/model"]
    assert config.run_command(export.run_export, "export", out) == 0
