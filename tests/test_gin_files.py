"""Every file that a user can name parses, builds and does one step, at toy sizes and on a toy text."""

import re

import gin
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.curvature.interface import ESTIMATORS
from bayesnas_tf.data import corpora
from bayesnas_tf.numerics import seeds
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.training import evaluate_settings, search_settings
from bayesnas_tf.training.strategies import registry
from tests.conftest import ROOT
from tests.support import tiny

GIN = ROOT / "gin"
# base/ holds parts that the others include; tests/sweeping reads the sweeps
FILES = [
    p.relative_to(GIN).as_posix()
    for p in sorted(GIN.rglob("*.gin"))
    if p.parent.name not in ("base", "studies") and not p.name.startswith(("sweep_", "search_and_select"))
]
STEPS = 4
SMALL = (
    "CorpusOptions.name = 'text'",
    "CorpusOptions.train_file = 'train.txt'",
    "CorpusOptions.valid_file = 'valid.txt'",
    "CorpusOptions.test_file = 'test.txt'",
    "CellOptions.units = 4",
    "DerivedOptions.units = 4",
    "RhnOptions.units = 4",
    "NasOptions.units = 4",
    "LstmOptions.embedding = 4",
    "LstmOptions.widths = (4, 4)",
    "MixtureOptions.experts = 2",
    "WindowOptions.batch_size = 4",
)
CELL = Genotype((Node(0, "tanh"), Node(1, "relu")), (1, 2))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gin_files")
    tiny.write(folder)
    return folder


def built(file, folder):
    """The root's name, its settings and the problem that they build."""
    text = config.parse([file], SMALL)
    (root,) = set(re.findall(r"^(search|evaluate)\.", text, re.MULTILINE))
    settings = gin.get_configurable(root)()
    corpus = corpora.load(settings.corpus, folder)
    if root == "search":
        return root, settings, search_settings.build(settings, corpus, 0)
    return root, settings, evaluate_settings.build(settings, corpus, None if settings.baseline else CELL, 0)


@pytest.mark.parametrize("file", FILES)
def test_a_file_builds_and_trains_one_step(file, folder):
    root, settings, problem = built(file, folder)
    before = [v.numpy() for v in problem.model.trainable_variables]
    x, y = (tf.constant(problem.train_rows[:, k : k + STEPS]) for k in (0, 1))
    problem.step(x, y, tf.constant(STEPS), tf.constant(settings.weights.lr), seeds.fold(problem.seed, 1, 0))
    for variable, old in zip(problem.model.trainable_variables, before, strict=True):
        assert np.isfinite(variable.numpy()).all(), variable.path
        assert np.any(variable.numpy() != old), variable.path
    assert int(problem.step.totals.tokens) == 4 * STEPS
    if root == "search" and settings.strategy.name == "bayesnas":
        estimator = ESTIMATORS[settings.curvature.estimator]
        found = estimator(problem.model, x, y, problem.step.state, problem.seed, settings.curvature)
        assert found.h.shape == problem.model.cell.scalars.shape
        assert np.isfinite(found.h.numpy()).all()


def test_there_are_files_at_all():
    assert {f"strategies/{name}.gin" for name in registry.NAMES if name != "bayesnas"} <= set(FILES)
    assert {"ptb.gin", "ptb_thesis.gin", "wikitext2.gin", "text.gin", "quickstart.gin"} <= set(FILES)


def test_the_modules_that_register_can_be_imported():
    config.parse()
    for name in ("search", "evaluate", "CorpusOptions", "CellOptions", "PruneOptions"):
        assert gin.get_configurable(name)
