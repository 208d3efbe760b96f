"""Every file of examples/ runs as it stands and prints what it promises."""

import ast
import importlib
import re
import runpy
import subprocess
import sys

import nbclient
import nbformat
import numpy as np
import pytest

from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.data.vocabulary import Vocabulary
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.numerics import seeds
from bayesnas_tf.serving.saved_model import export
from bayesnas_tf.serving.tokenisation import RULES
from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import Genotype, Node
from tests.conftest import ROOT
from tests.support import tiny

EXAMPLES = ROOT / "examples"
SCRIPTS = sorted(EXAMPLES.glob("*.py"))
FILES = [*SCRIPTS, *sorted(EXAMPLES.glob("*.ipynb"))]
CELL = Genotype((Node(0, "tanh"), Node(1, "relu")), (1, 2))
SMALLER = {r"\b1500\b": "250", "epochs=4": "epochs=2"}  # of the notebook


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """`python -m examples.NAME ARGUMENT ...` in an empty folder and in this process; what it prints."""

    def of(name, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_module(f"examples.{name}", run_name="__main__")
        return capsys.readouterr().out

    return of


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_example_has_a_test_and_a_place_in_the_docs(path):
    assert f"test_{path.stem}" in globals()
    assert f"../../examples/{path.name})" in (ROOT / "docs" / "how_to" / "use_in_python.md").read_text()


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: path.name)
def test_an_example_says_how_it_is_run(path):
    told = ast.get_docstring(ast.parse(path.read_text()))
    assert f"python -m examples.{path.stem}" in told or f"python examples/{path.name} " in told


def test_search_in_python(run, tmp_path):
    tiny.write(tmp_path, lines=400)
    out = run("search_in_python", tmp_path / "train.txt")
    found = tmp_path / "runs" / "search_in_python"
    assert out.endswith(
        f"{Genotype.load(found / 'genotype.json')} in {found.relative_to(tmp_path)}/genotype.json\n"
    )
    assert {"cell.svg", "posterior.npz", "metrics.jsonl"} <= {path.name for path in found.iterdir()}


@pytest.mark.parametrize("name", ["LSTM", "genotype.json"])
def test_classify_with_a_found_cell(name, run, tmp_path):
    CELL.save(tmp_path / "genotype.json")
    out = run("classify_with_a_found_cell", name)
    assert float(re.search(rf"{name}: (\S+)% of 500 new sentences are right", out)[1]) > 90.0


def test_curvature_of_a_keras_cell(run, tmp_path):
    CELL.save(tmp_path / "genotype.json")
    out = run("curvature_of_a_keras_cell", "genotype.json")
    assert re.findall(r"^(\w+) +\(.*median h", out, re.MULTILINE) == [
        *("embedding", "decoder_bias", "kernel", "recurrent_kernel", "source_kernel_0", "source_kernel_1")
    ]
    nats = dict(re.findall(r"^removed (.*?) +(\S+) nats$", out, re.MULTILINE))
    assert float(nats["none"]) < float(nats["smallest h w² / 2"]) < float(nats["random"])


def test_a_space_of_your_own(run, tmp_path):
    out = run("a_space_of_your_own")
    folder = tmp_path / "runs" / "a_space_of_your_own"
    assert Genotype.load(folder / "genotype.json").space == "chain"
    assert re.match(r"\w+0 .*-> mean \d of the space 'chain', drawn in .*/cell.svg\n$", out)
    assert (folder / "cell.svg").read_text().startswith("<svg")


def test_what_a_chain_does_with_dead_nodes():
    importlib.import_module("examples.a_space_of_your_own")
    space, pruned, scores = base.searched("chain")(3), np.zeros((3, 4), bool), np.arange(12.0).reshape(3, 4)
    pruned[1], pruned[0, 3] = True, True
    mask = space.closure(pruned)
    assert mask.all(axis=1).tolist() == [False, True, True]
    assert str(space.decode(space.decisions(scores, mask))) == "sigmoid0 -> mean 1"
    assert space.decisions(scores, mask, keep_all=True).tolist() == [2, 3, 3]
    assert space.decode(np.full(3, base.DEAD)) is None


@pytest.fixture
def saved_model(tmp_path):
    """A tiny untrained one, of five words."""
    vocabulary = Vocabulary(("<eos>", "<unk>", "one", "two", "three"))
    model = LanguageModel(len(vocabulary), DerivedCell(CELL, DerivedOptions(units=4)), ModelOptions())
    model.initialise(seeds.run_seed(0))
    export(model, vocabulary, RULES["text"], {}, tmp_path / "saved_model")
    return tmp_path / "saved_model"


def test_serve(saved_model, tmp_path):
    script = EXAMPLES / "serve.py"
    assert "bayesnas_tf" not in re.sub('""".*?"""', "", script.read_text(), flags=re.DOTALL)
    command = [sys.executable, script, saved_model, "one two", "three"]
    out = subprocess.run(
        command, cwd=tmp_path, check=True, capture_output=True, text=True, timeout=300
    ).stdout
    *scores, all_lines, written = out.splitlines()
    assert [line.split() for line in scores] == [["5.0", "one", "two"], ["5.0", "three"]]
    assert all_lines.split() == ["5.0", "all", "4", "tokens"]
    words = written.split()
    assert words[:2] == ["one", "two"] and len(words) == 22
    assert set(words) <= {"<eos>", "<unk>", "one", "two", "three"}


def test_tour(tmp_path, monkeypatch):
    notebook = nbformat.read(EXAMPLES / "tour.ipynb", 4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs for cell in code), "commit it without outputs"
    for old, new in SMALLER.items():
        (cell,) = (cell for cell in code if re.search(old, cell.source))
        cell.source = re.sub(old, new, cell.source)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    here = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=here).execute()
    outputs = [output for cell in code for output in cell.outputs]
    assert {kind for o in outputs for kind in o.get("data", {})} >= {"image/svg+xml", "image/png"}
    printed = "".join(output.get("text", "") for output in outputs)
    assert re.search(r"^h_reliability +\d", printed, re.MULTILINE)
    assert len(re.findall(r"^\d+\.\d\d nats per token", printed, re.MULTILINE)) == 3
