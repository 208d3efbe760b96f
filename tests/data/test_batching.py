"""Rows, plans and windows: every target once, in order, equal to the slow twin."""

import numpy as np
import pytest

from bayesnas_tf.data import batching
from bayesnas_tf.errors import UserError
from tests.references import batching as reference

STREAM = np.arange(1, 1001, dtype=np.int32)  # no id is 0: padding shows


@pytest.mark.parametrize("batch", [1, 7, 10, 500])
def test_rows_equal_the_twin(batch):
    rows = batching.rows(STREAM, batch)
    assert rows.dtype == np.int32
    np.testing.assert_array_equal(rows, reference.rows(STREAM, batch))


@pytest.mark.parametrize(
    ("tokens", "batch", "bptt", "cure"),
    [
        (0, 1, None, "Use a longer text"),
        (1, 1, None, "Use a longer text"),
        (19, 10, None, "Use a longer text or a batch of at most 9"),
        (0, 1, 35, "Use a longer text"),
        (35, 1, 35, "Use a longer text or a bptt of at most 34"),
        (19, 10, 35, "Use a longer text"),
        (90, 10, 35, "Use a longer text, a batch of at most 2 or a bptt of at most 8"),
        (71, 2, 35, "Use a longer text, a batch of at most 1 or a bptt of at most 34"),
    ],
)
def test_a_corpus_shorter_than_its_rows_is_named_with_the_cure(tokens, batch, bptt, cure):
    with pytest.raises(UserError) as error:
        batching.rows(STREAM[:tokens], batch, corpus="text (valid)", bptt=bptt)
    message = str(error.value)
    assert message.startswith(f"text (valid) is too short: {tokens} tokens for a batch of {batch} rows")
    assert (f"in windows of {bptt} steps" in message) == (bptt is not None)
    assert f"at least {(bptt or 1) + 1}. " in message
    assert message.endswith(cure)
    assert "\n" not in message


@pytest.mark.parametrize(("tokens", "bptt"), [(72, 35), (4, 1), (4, None)])
def test_a_corpus_that_just_suffices_is_taken(tokens, bptt):
    assert batching.rows(STREAM[:tokens], 2, bptt=bptt).shape == (2, tokens // 2)


@pytest.mark.parametrize("columns", [2, 3, 6, 36, 37, 200, 5001])
@pytest.mark.parametrize("bptt", [1, 5, 35, 70])
@pytest.mark.parametrize("jitter", [True, False])
def test_a_plan_predicts_every_step_once(columns, bptt, jitter):
    plan = batching.plan(columns, bptt, (3, columns), jitter)
    assert plan.starts.dtype == plan.lengths.dtype == np.int32
    steps = np.concatenate([np.arange(s, s + n) for s, n in zip(*plan, strict=True)])
    np.testing.assert_array_equal(steps, np.arange(columns - 1))
    assert (plan.lengths > 0).all()
    longest = max(bptt + batching.MAX_EXCESS if jitter else bptt, batching.MIN_LENGTH)
    assert plan.lengths.max() <= longest
    if jitter:
        assert (plan.lengths[:-1] >= batching.MIN_LENGTH).all()
    else:
        assert (plan.lengths[:-1] == bptt).all()


@pytest.mark.parametrize("seed", [0, (0, 1), [7, 2, 3]])
@pytest.mark.parametrize("columns", [50, 14525])
def test_jittered_lengths_equal_the_loop_of_darts(seed, columns):
    draws = -(-(columns - 1) // 5)
    generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed)))
    base, normal = generator.random(draws), generator.standard_normal(draws)
    expected = reference.darts_lengths(columns - 1, 35, base, normal)
    np.testing.assert_array_equal(batching.plan(columns, 35, seed).lengths, expected)


def test_the_seed_alone_decides_the_plan():
    first, again, other = (batching.plan(5000, 35, seed) for seed in ((1, 0), (1, 0), (1, 1)))
    np.testing.assert_array_equal(first.lengths, again.lengths)
    assert list(first.lengths) != list(other.lengths)


def test_jittered_lengths_have_the_mean_of_their_rule():
    lengths = batching.plan(2_000_000, 35, 0).lengths
    # .95 * 35 + .05 * 17.5 = 34.1, less .5 for cutting to an integer; deviation 6.3 over 59,000 windows: .026
    assert abs(lengths.mean() - 33.63) < 0.13


@pytest.mark.parametrize(("columns", "bptt"), [(1, 35), (10, 0)])
def test_impossible_plans_are_refused(columns, bptt):
    with pytest.raises(ValueError, match="a window of"):
        batching.plan(columns, bptt, 0)


@pytest.mark.parametrize("bucket", [1, 5, 64])
@pytest.mark.parametrize("batch", [1, 8])
def test_windows_equal_the_twin(batch, bucket):
    rows = batching.rows(STREAM, batch)
    plan = batching.plan(rows.shape[1], 20, 5)
    expected = reference.windows(rows, plan.starts, plan.lengths, bucket)
    found = list(batching.windows(rows, plan, bucket).as_numpy_iterator())
    assert len(found) == len(expected)
    for window, (x, y, length) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(window.x, x)
        np.testing.assert_array_equal(window.y, y)
        assert window.length == length


def test_windows_put_together_give_back_the_rows():
    rows = batching.rows(STREAM, 4)
    plan = batching.plan(rows.shape[1], 35, 1)
    found = list(batching.windows(rows, plan, 8).as_numpy_iterator())
    np.testing.assert_array_equal(np.concatenate([w.x[:, : w.length] for w in found], 1), rows[:, :-1])
    np.testing.assert_array_equal(np.concatenate([w.y[:, : w.length] for w in found], 1), rows[:, 1:])
    assert all((w.x[:, w.length :] == 0).all() and (w.y[:, w.length :] == 0).all() for w in found)


@pytest.mark.parametrize("first", [0, 3, 10_000])
def test_starting_later_equals_skipping(first):
    rows = batching.rows(STREAM, 4)
    plan = batching.plan(rows.shape[1], 20, 1)
    late = list(batching.windows(rows, plan, 8, first=first).as_numpy_iterator())
    skipped = list(batching.windows(rows, plan, 8).skip(first).as_numpy_iterator())
    assert len(late) == len(skipped) == max(0, len(plan.starts) - first)
    for a, b in zip(late, skipped, strict=True):
        np.testing.assert_array_equal(a.x, b.x)
        np.testing.assert_array_equal(a.y, b.y)


def test_windows_have_a_known_batch_and_an_open_width():
    rows = batching.rows(STREAM, 4)
    spec = batching.windows(rows, batching.plan(rows.shape[1], 20, 1), 8).element_spec
    assert spec.x.shape.as_list() == spec.y.shape.as_list() == [4, None]
    assert spec.length.shape.rank == 0


def test_nothing_is_tuned_for_an_epoch_would_end_late():
    """An iterator that is tuned ends with the tuner's next round, long behind the last window."""
    rows = batching.rows(np.arange(40, dtype=np.int32), 2)
    assert not batching.windows(rows, batching.plan(20, 5, 0), 1).options().autotune.enabled


def test_a_bucket_below_one_is_refused():
    with pytest.raises(ValueError, match="bucket=0 must be at least 1"):
        batching.windows(batching.rows(STREAM, 4), batching.plan(250, 20, 1), 0)
