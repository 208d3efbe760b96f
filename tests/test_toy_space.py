"""A second space runs from a search to a SavedModel, and the package does not know it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.cells import primitives
from bayesnas_tf.cells.derived_cell import DerivedCell, DerivedOptions
from bayesnas_tf.cells.rules import rule_of
from bayesnas_tf.cells.sampled_cell import SampledCell
from bayesnas_tf.cells.scan import by_time
from bayesnas_tf.cells.search_cell import CellOptions, SearchCell
from bayesnas_tf.commands import search
from bayesnas_tf.curvature import exact
from bayesnas_tf.errors import UserError
from bayesnas_tf.models.language_model import LanguageModel, ModelOptions
from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import IMPORT, Genotype
from bayesnas_tf.space.known import find_genotype
from bayesnas_tf.training import trained_files
from tests.references import program as reference
from tests.support import chain, tiny, toy
from tests.support.small import by_probes, small_window

B, U, WORDS = 3, 4, 7
SEARCH = ["--gin_param=CellOptions.space='toy'", "--gin_param=CellOptions.nodes=3"]


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """A search, a training of its cell, and the SavedModel."""
    folder = tmp_path_factory.mktemp("toy")
    chain.searched(folder, *SEARCH)
    chain.exported(folder, folder / "search" / "genotype.json")
    return folder


def test_a_search_finds_a_cell_of_the_space(found):
    cell = Genotype.load(found / "search" / "genotype.json")
    assert cell.space == "toy"
    assert json.loads((found / "search" / "genotype.json").read_text())["format"] == "bayesnas_tf.genotype/2"
    assert [node.source for node in cell.nodes] == [0, 1, 2]
    assert {node.op for node in cell.nodes} <= set(toy.OPTIONS)
    with np.load(found / "search" / "posterior.npz") as data:
        assert data["ops"].tolist() == list(toy.OPTIONS)
        assert data["edges"].tolist() == [[0, 1], [1, 2], [2, 3]]
        assert data["gamma"].shape == (2, 3, 2)


def test_the_saved_cell_carries_both_states(found):
    loaded = tf.saved_model.load(str(found / "model"))
    cell, ones = loaded.signatures["cell"], tf.ones([2, 4])
    after = cell(x=ones, h=ones, c=0.5 * ones)
    assert set(after) == {"h", "c"}
    assert loaded.signatures["step"](ids=tf.constant([1]), state=tf.zeros([1, 8]))["state"].shape == (1, 8)


def test_its_drawing_is_there(found):
    assert (found / "search" / "cell.svg").read_text().startswith("<svg")


FEW = {
    "darts1": [],
    "random": ["RandomOptions.cells=2"],
    "random_ws": ["RandomSharingOptions.cells=3"],
    "evolution": ["EvolutionOptions.cells=3", "EvolutionOptions.population=2", "EvolutionOptions.sample=1"],
}


@pytest.mark.parametrize("strategy", FEW)
def test_other_strategies_search_it_too(strategy, tmp_path):
    tiny.write(tmp_path)
    flags = [f"--gin_file={tmp_path}/tiny.gin", f"--gin_file=strategies/{strategy}.gin", *SEARCH]
    flags += [f"--gin_param={param}" for param in ["search.epochs=1", *FEW[strategy]]]
    flags.append(f"--run_dir={tmp_path}/run")
    assert chain.run(search.run_search, "search", tmp_path, *flags) == 0
    assert Genotype.load(tmp_path / "run" / "genotype.json").space == "toy"


@pytest.mark.parametrize("refused", ["CurvatureOptions.estimator='thesis'", "search.strategy=@EnasOptions()"])
def test_what_knows_one_space_alone_says_so(refused, tmp_path, capfd):
    tiny.write(tmp_path)
    flags = [
        f"--gin_file={tmp_path}/tiny.gin",
        *SEARCH,
        f"--gin_param={refused}",
        f"--run_dir={tmp_path}/run",
    ]
    assert chain.run(search.run_search, "search", tmp_path, *flags) == 1
    error = capfd.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert "CellOptions.space" in error and "'toy'" in error


def test_a_run_in_a_space_that_nobody_imported_names_the_cure(tmp_path, monkeypatch):
    toy.Toy().of_choice([[1], [0], [0]]).save(tmp_path / "genotype.json")
    monkeypatch.delitem(base._KNOWN, "toy")
    for read in (trained_files.read_genotype, lambda folder: find_genotype(str(folder / "genotype.json"), 0)):
        with pytest.raises(UserError) as error:
            read(tmp_path)
        assert "genotype.json: unknown space 'toy'. The spaces are " in str(error.value)
        assert str(error.value).endswith(IMPORT)


CELLS = {
    "supernet": lambda: SearchCell(CellOptions(U, 3, norm="layer", space="toy"), dtype="float64"),
    "sampled": lambda: SampledCell(CellOptions(U, 3, norm="mean", space="toy"), dtype="float64"),
    "derived": lambda: DerivedCell(toy.Toy().of_choice([[1], [0], [0]]), DerivedOptions(U), dtype="float64"),
}


@pytest.mark.parametrize("name", CELLS)
def test_its_cells_equal_the_numpy_interpreter(name):
    equals_the_interpreter(CELLS[name]())


def equals_the_interpreter(cell):
    draw = np.random.default_rng(0)
    cell.build((B, U))
    cell.built = True
    for weight in cell.weights:
        weight.assign(0.5 * draw.normal(size=weight.shape))
    projected, states = draw.normal(size=(B, 5, 2 * U)), draw.normal(size=(2, B, U))
    fixed = {key: np.asarray(value) for key, value in cell.read().fixed.items()}
    expected, _ = reference.window(cell.program, fixed, projected.transpose(1, 0, 2), list(states))
    found = by_time(cell.read(), tf.constant(projected), [tf.constant(s) for s in states])
    np.testing.assert_allclose(found["h"], expected, rtol=1e-11)


@pytest.mark.parametrize("norm", ["mean", "layer"])
def test_random_probes_give_the_exact_gauss_newton_diagonal_of_its_scalars(norm):
    cell = SearchCell(CellOptions(U, 3, norm=norm, space="toy"), dtype="float64")
    model = LanguageModel(WORDS, cell, ModelOptions(), dtype="float64")
    draw = np.random.default_rng(1)
    for weight in model.weights:
        weight.assign(0.5 * draw.normal(size=weight.shape))
    cell.scalars.assign(draw.uniform(0.3, 1.0, size=cell.scalars.shape))
    x, y, _ = small_window()
    state = model.zero_state(x.shape[0]) + 0.2
    (expected,) = exact.ggn_diagonal(model, x, y, state)
    h, gradient = by_probes(model, x, y, state, 50)
    assert np.median(np.abs(h - expected) / expected) < 0.08
    truth = exact.estimate(model, x, y, state, None, None)
    np.testing.assert_allclose(gradient, truth.gradient, rtol=1e-9, atol=1e-12)


@pytest.fixture
def sine(monkeypatch):
    """One record and one twin: all that a new operation takes."""
    monkeypatch.setitem(primitives._BY_NAME, "sine", toy.SINE)
    monkeypatch.setitem(reference.FUNCTIONS, "sine", np.sin)
    yield
    rule_of.cache_clear()


def test_a_new_operation_is_one_record_and_a_twin(sine):
    cell = SearchCell(CellOptions(U, 3, norm="mean", space="wave"), dtype="float64")
    equals_the_interpreter(cell)
    model = LanguageModel(WORDS, cell, ModelOptions(), dtype="float64")
    x, y, _ = small_window()
    state = model.zero_state(x.shape[0]) + 0.2
    (expected,) = exact.ggn_diagonal(model, x, y, state)
    h, _ = by_probes(model, x, y, state, 20)
    assert expected.shape[1] == 3 and (expected.numpy()[:, 2] > 0.0).all()
    assert np.median(np.abs(h - expected) / expected) < 0.15


def test_a_search_may_find_a_new_operation(sine, tmp_path):
    tiny.write(tmp_path)
    params = [
        "CellOptions.space='wave'",
        "CellOptions.nodes=3",
        "search.epochs=1",
        "PruneOptions.score='magnitude'",
    ]
    flags = [f"--gin_file={tmp_path}/tiny.gin", *(f"--gin_param={param}" for param in params)]
    assert chain.run(search.run_search, "search", tmp_path, *flags, f"--run_dir={tmp_path}/run") == 0
    with np.load(tmp_path / "run" / "posterior.npz") as data:
        assert data["ops"].tolist() == ["tanh", "identity", "sine"]
        assert np.isfinite(data["gamma"]).all()
