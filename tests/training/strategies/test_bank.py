"""Where the cells of successive halving wait: what is kept comes back."""

import numpy as np
import pytest
import tensorflow as tf

from bayesnas_tf.training.strategies.halving.bank import Bank


@pytest.fixture
def variables():
    return [tf.Variable(tf.zeros([2, 3])), tf.Variable(0, dtype=tf.int64)]


def fill(variables, value):
    for variable in variables:
        variable.assign(tf.cast(tf.fill(variable.shape, value), variable.dtype))


def keep(bank, variables, cell, wanted):
    fill(variables, 10 + cell)
    bank.keep(cell, variables, np.array(wanted))


def given(bank, variables, cell):
    fill(variables, -1)
    bank.give(cell, variables)
    (value,) = {float(number) for variable in variables for number in np.ravel(variable.numpy())}
    return value


def test_a_cell_that_is_no_longer_wanted_makes_room(variables):
    bank = Bank(2, variables)
    keep(bank, variables, 0, [0])
    keep(bank, variables, 1, [0, 1])
    assert [given(bank, variables, cell) for cell in (0, 1)] == [10.0, 11.0]
    keep(bank, variables, 4, [1, 4])  # better than 0
    assert [given(bank, variables, cell) for cell in (1, 4)] == [11.0, 14.0]
    with pytest.raises(ValueError):
        bank.row(0)


def test_a_cell_keeps_its_row(variables):
    bank = Bank(2, variables)
    keep(bank, variables, 3, [3])
    keep(bank, variables, 5, [3, 5])
    fill(variables, 7)
    bank.keep(3, variables, np.array([3]))
    assert given(bank, variables, 3) == 7.0 and given(bank, variables, 5) == 15.0


def test_a_bank_is_restored_with_all_that_it_keeps(variables, tmp_path):
    bank = Bank(2, variables)
    keep(bank, variables, 3, [3])
    path = tf.train.Checkpoint(bank=bank).write(str(tmp_path / "bank"))
    other = Bank(2, variables)
    tf.train.Checkpoint(bank=other).read(path).assert_consumed()
    assert given(other, variables, 3) == 13.0


def test_without_a_second_rung_nothing_is_kept(variables):
    assert Bank(0, variables).variables[0].shape == (0,)
    assert len(Bank(0, variables).variables) == 1
