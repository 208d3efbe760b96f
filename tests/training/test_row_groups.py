"""Groups of rows side by side: the numbers of the whole batch, where it is meant to be done."""

import subprocess
import sys

import gin
import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf import config
from bayesnas_tf.config import provenance
from bayesnas_tf.curvature import ggn
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import row_groups
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.training import threads, validation
from bayesnas_tf.training.execution import Machine, begin, window_function
from tests.support import tiny
from tests.support.small import BATCH, WORDS, small_model
from tests.training import two_replicas

FRESH = """
import tensorflow as tf
from bayesnas_tf.training import threads
assert threads.set_for_groups(2, 8)
tf.zeros([])
assert threads.set_for_groups(2, 8)  # as it is already
assert not threads.set_for_groups(2, 2)
assert tf.config.threading.get_intra_op_parallelism_threads() == 4
"""


@pytest.fixture
def two_cores(monkeypatch):
    """A machine of two cores, on which TensorFlow has not begun."""
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    monkeypatch.setattr(provenance, "usable_cores", lambda: 2)
    asked = []
    monkeypatch.setattr(threads, "set_for_groups", lambda *sizes: asked.append(sizes) or True)
    return asked


def settings(*params, file="ptb.gin"):
    config.parse([file], params)
    return gin.get_configurable("search")()


def groups_of(*params):
    return begin(settings(*params), Machine.here()).groups


@pytest.mark.parametrize("name", ["search, stages", "averaged"])
def test_steps_of_groups_equal_those_of_the_whole_batch(name):
    *form, tolerance = two_replicas.FORMS[name]
    whole, groups = (two_replicas.trained(Replicas(groups=count), *form) for count in (1, 4))
    for left, right in zip(two_replicas.numbers(whole), two_replicas.numbers(groups), strict=True):
        np.testing.assert_allclose(left, right, rtol=tolerance, atol=tolerance)


def test_validation_in_groups_equals_that_of_the_whole_batch():
    model, ids = small_model(norm="mean"), np.random.default_rng(0).integers(0, WORDS, size=(BATCH, 9))
    x, y = tf.constant(ids[:, :-1], tf.int32), tf.constant(ids[:, 1:], tf.int32)
    state = tf.random.stateless_normal([BATCH, model.cell.units], [0, 0], dtype=model.embedding.dtype)
    whole, groups = (
        window_function(run, BATCH, False)(x, y, tf.constant(7), state)
        for run in (validation.window_nats(model, count) for count in (1, BATCH))
    )
    np.testing.assert_allclose(groups[0], whole[0], rtol=1e-12)
    np.testing.assert_allclose(groups[1], whole[1], rtol=1e-12)


def test_the_curvature_of_a_search_takes_its_groups(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(threads.VARIABLE, "2")  # the threads of this process stay as they are
    told, own = [], ggn.of_groups
    monkeypatch.setattr(ggn, "of_groups", lambda groups: told.append(groups) or own(groups))
    tiny.write(tmp_path)
    assert tiny.run(tmp_path, "run", "--gin_param=search.row_groups=2", "--gin_param=search.epochs=1") == 0
    assert told == [2]


def test_each_group_sees_its_own_rows_in_their_order():
    batch = tf.reshape(tf.range(12), [6, 2])
    seen = row_groups.side_by_side(lambda rows: rows(batch).numpy().tolist(), 3)
    assert seen == [[[0, 1], [2, 3]], [[4, 5], [6, 7]], [[8, 9], [10, 11]]]


def test_a_search_of_full_size_has_two_groups_on_two_cores(two_cores):
    assert groups_of() == 2
    assert two_cores == [(2, 2)]


@pytest.mark.parametrize("cores", [None, 1, 4])
def test_other_machines_have_to_be_told(two_cores, monkeypatch, cores):
    monkeypatch.setattr(provenance, "usable_cores", lambda: cores)
    assert groups_of() == 1
    assert groups_of("search.row_groups = 4") == 4
    assert two_cores == [(4, cores)]


@pytest.mark.parametrize(
    "param",
    [
        "search.row_groups = 1",
        "search.compile = 'graph'",
        "CellOptions.units = 30",  # too small for stages
        "CellOptions.norm = 'batch'",
        "WindowOptions.batch_size = 65",
        "search.strategy = @DartsOptions()",
    ],
)
def test_other_searches_treat_the_batch_as_one(two_cores, param):
    assert groups_of(param) == 1
    assert not two_cores


def test_whoever_sets_the_number_of_threads_has_decided(two_cores, monkeypatch):
    monkeypatch.setenv(threads.VARIABLE, "2")
    assert groups_of() == 1
    assert not two_cores


def test_where_threads_cannot_be_set_groups_have_to_be_asked_for(two_cores, monkeypatch):
    monkeypatch.setattr(threads, "set_for_groups", lambda *_: False)
    assert groups_of() == 1
    assert groups_of("search.row_groups = 2") == 2


def test_threads_are_set_before_tensorflow_begins(root, monkeypatch):
    monkeypatch.delenv(threads.VARIABLE, raising=False)
    command = [sys.executable, "-c", FRESH]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("param", "reason"),
    [
        ("search.row_groups = -1", "row_groups cannot be -1"),
        ("search.row_groups = 3", "WindowOptions.batch_size=64"),
        ("search.distribute = 'mirrored'", "search.distribute='mirrored'"),
        ("search.strategy = @DartsOptions()", "search.strategy='darts2'"),
        ("CellOptions.norm = 'batch'", "CellOptions.norm='batch'"),
    ],
)
def test_groups_that_are_not_possible_are_refused(param, reason):
    params = [param] if "row_groups" in param else [param, "search.row_groups = 2"]
    with pytest.raises((ValueError, UserError), match=reason):
        settings(*params)
