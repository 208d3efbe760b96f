"""`curvature` of a run of `evaluate` and of a run of `search`, in this process."""

import shutil

import numpy as np
import pytest

from bayesnas_tf import config
from bayesnas_tf.commands import curvature as curvature_command
from tests.support import tiny

FACTS = {"estimator", "tau", "truncation", "d_term", "probes", "windows", "tokens"}
FEW = "--gin_param=CurvatureOptions.windows=3"
RECURSIVE = "--gin_param=CurvatureOptions.estimator='recursive'"


def curvature(run, *flags):
    return config.run_command(curvature_command.run_curvature, "curvature", [f"--run={run}", *flags])


def read(file):
    with np.load(file) as data:
        return dict(data)


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A finished search with zero-edge switches."""
    folder = tmp_path_factory.mktemp("searched")
    tiny.write(folder)
    flags = ("--gin_param=CellOptions.zero_edge_switch=True", "--gin_param=search.epochs=1")
    assert tiny.run(folder, "run", *flags) == 0
    return folder


def test_every_weight_of_a_trained_cell_is_written_and_told(exported, tmp_path, capsys):
    out = tmp_path / "new" / "h.npz"
    assert curvature(exported / "run", FEW, f"--out={out}", f"--data_dir={exported}/data") == 0
    found, printed = read(out), capsys.readouterr().out
    shapes = {name: h.shape for name, h in found.items() if name not in FACTS}
    words = len((exported / "run" / "vocabulary.txt").read_text().split())
    assert shapes == {
        "embedding": (words, 8),
        "decoder_bias": (words,),
        "kernel": (8, 16),
        "recurrent_kernel": (8, 16),
        "source_kernel_0": (8, 32),
        "source_kernel_1": (8, 16),
    }
    assert (str(found["estimator"]), int(found["windows"]), int(found["tokens"])) == ("ggn", 3, 3 * 4 * 8)
    for name in shapes:
        h = found[name]
        assert np.all(h >= 0.0)
        assert h.max() > 0.0
        (line,) = [line for line in printed.splitlines() if line.split()[0] == name]
        assert line.split()[1:] == [
            "x".join(map(str, h.shape)),
            *(f"{value:.2e}" for value in (h.min(), np.median(h), h.max())),
            f"{np.mean(h == 0.0):.1%}",
        ]
    assert f"wrote {out}: h in nats per token, the mean of 3 windows of 32 tokens" in printed


def test_a_search_gives_its_scalars_too(searched, capsys):
    assert curvature(searched / "run", FEW, RECURSIVE, f"--data_dir={searched}") == 0
    found = read(searched / "run" / "curvature.npz")
    assert found["scalars"].shape == (3, 4)
    assert found["zero_scalars"].shape == (3,)
    assert found["node_kernel_2"].shape == (3, 6)
    assert (str(found["estimator"]), int(found["tau"]), int(found["probes"])) == ("recursive", 5, 0)
    assert (str(found["truncation"]), bool(found["d_term"])) == ("chunks", False)
    assert curvature(searched / "run", FEW, f"--data_dir={searched}") == 1
    assert "replace it with --overwrite" in capsys.readouterr().err


def test_a_dry_run_writes_nothing(exported, tmp_path, capsys):
    out = tmp_path / "h.npz"
    flags = (f"--out={out}", f"--data_dir={exported}/data", "--dry_run")
    assert curvature(exported / "run", *flags) == 0
    assert f"would write {out}: h of" in capsys.readouterr().out
    assert not out.exists()


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--gin_param=CurvatureOptions.estimator='thesis'", "cannot compute the curvature of weights"),
        ("--gin_param=CurvatureOptions.windows=0", "windows cannot be 0"),
        ("--out=/proc/none/h.npz", "cannot write /proc/none/h.npz"),
        ("--run=nowhere", "no run in nowhere"),
    ],
)
def test_what_cannot_be_done_is_one_line(exported, tmp_path, capfd, flag, message):
    flags = (FEW, f"--out={tmp_path}/h.npz", f"--data_dir={exported}/data", flag)
    assert curvature(exported / "run", *flags) == 1
    last = capfd.readouterr().err.splitlines()[-1]
    assert last.startswith("error: ")
    assert message in last


def test_weights_and_text_must_be_those_of_the_run(exported, searched, tmp_path, capfd):
    flags = (FEW, f"--out={tmp_path}/h.npz", f"--data_dir={exported}/data")
    shutil.copytree(exported / "run", tmp_path / "run", ignore=shutil.ignore_patterns("checkpoints"))
    assert curvature(tmp_path / "run", *flags) == 1
    assert "no trained weights" in capfd.readouterr().err
    file = f"--gin_param=CorpusOptions.train_file='{searched}/train.txt'"
    assert curvature(exported / "run", *flags, file) == 1
    assert "has changed since its training" in capfd.readouterr().err
