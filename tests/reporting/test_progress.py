"""Progress on the terminal and in a log file."""

import io

import numpy as np
import pytest
from rich.console import Console

from bayesnas_tf.reporting.progress import LiveView, PlainView, ProgressCallback
from bayesnas_tf.reporting.summary_text import duration, summary_lines
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.training.records import EpochRecord, RunFacts, StepRecord, UpdateRecord

CELL = Genotype((Node(0, "tanh"), Node(1, "relu")), (1, 2))
SUMMARY = {
    "kind": "search",
    "genotype": CELL.to_dict(),
    "live_nodes": 2,
    "pruned_fraction": 0.25,
    "parameters": 22_960_000,
    "units_of_parameters": 850,
    "valid_ppl": 403.4,
    "seconds": {"train": 312.0, "hessian": 20.0},
    "tokens_per_second": 4321.0,
    "health": {
        "unigram_nats": 6.71,
        "valid_nats": 6.0,
        "train_nats": None,
        "gain": 0.106,
        "travel": 0.41,
        "choice_stability": [1.0, 0.5],
        "oracle_correlations": {"gamma": 0.93},
        "warnings": ["Every node takes its input from node 0: the cell is a star."],
    },
}


class Clock:
    """Time that passes when told to."""

    now = 0.0

    def __call__(self):
        return self.now


def facts(step=0):
    return RunFacts("search", "ptb", 1, step, 12_345_678)


def step_record(step):
    return StepRecord(100 + step, 1, 415, 6.1226, 20.0, 4321.4, 312.0, step)


def update_record(genotype=CELL):
    arrays = [np.ones((3, 4))] * 6
    pruned = np.arange(12).reshape(3, 4) < 3
    return UpdateRecord(1, 415, Highway(2).sites, *arrays, pruned, genotype, 2, 6.0, 5.9, 6.7, {})


def run_all(callback):
    callback.on_start(facts(7))
    callback.on_step(step_record(100))
    callback.on_epoch(EpochRecord(1, 415, 6.1, 6.0, 65.0))
    for done in range(3):
        callback.on_stage("hessian", done, 2)
    callback.on_update(update_record())
    callback.on_step(step_record(415))
    callback.on_end(SUMMARY)


def test_plain_lines_are_exact():
    stream = io.StringIO()
    run_all(ProgressCallback(stream))
    assert stream.getvalue().splitlines() == [
        "search ptb: 12,345,678 parameters, 1 epoch",
        "resumed after step 7",
        "epoch 1/1 step 100/415 nats 6.123 ppl 456.0 lr 20 tok/s 4,321 left 5:12",
        "epoch 1/1 done train nats 6.100 ppl 445.9 valid nats 6.000 ppl 403.4 time 1:05",
        "hessian 2/2",
        "update 1 pruned 25.0% live 2 cell tanh0 relu1 -> mean 1 2",
        "epoch 1/1 step 415/415 nats 6.123 ppl 456.0 lr 20 tok/s 4,321 pruned 25.0% live 2 left 5:12",
        *summary_lines(SUMMARY),
    ]


def test_plain_lines_come_every_ten_seconds_and_at_the_end_of_an_epoch():
    stream, clock = io.StringIO(), Clock()
    callback = ProgressCallback(view=PlainView(stream, clock))
    callback.on_start(facts())
    for step in range(5, 416, 5):
        clock.now = float(step)
        callback.on_step(step_record(step))
    shown = [int(line.split()[3].split("/")[0]) for line in stream.getvalue().splitlines()[1:]]
    assert shown == [*range(5, 416, 10)]

    clock.now += 1.0
    callback.on_step(step_record(414))
    callback.on_step(step_record(415))
    assert stream.getvalue().count("step 414/415") == 0
    assert stream.getvalue().count("step 415/415") == 2


def test_an_epoch_without_validation_names_no_valid_loss():
    stream = io.StringIO()
    callback = ProgressCallback(stream)
    callback.on_epoch(EpochRecord(1, 415, 6.1, None, 65.0))
    assert "valid" not in stream.getvalue()


def test_a_dead_cell_is_named():
    stream = io.StringIO()
    ProgressCallback(stream).on_update(update_record(genotype=None))
    assert "cell none: every node is dead" in stream.getvalue()


@pytest.mark.parametrize("width", [40, 80, 200])
def test_a_terminal_gets_a_live_bar(width):
    console = Console(file=io.StringIO(), force_terminal=True, record=True, width=width)
    view = LiveView(console)
    run_all(ProgressCallback(view=view))
    text = console.export_text()
    assert "search ptb: 12,345,678 parameters, 1 epoch" in text
    assert "cell tanh0 relu1 -> mean 1 2" in text
    assert "warning" in text


def test_the_bar_shows_progress_pruning_and_time_left():
    console = Console(file=io.StringIO(), force_terminal=True, width=90)
    callback = ProgressCallback(view=LiveView(console))
    callback.on_start(facts())
    callback.on_update(update_record())
    callback.on_step(step_record(100))
    callback._view.close()
    drawn = Console(file=io.StringIO(), width=90, record=True)
    drawn.print(callback._view._progress.get_renderable())
    line = drawn.export_text().strip()
    assert line.startswith("epoch 1/1 step")
    for part in ("100/415", "ppl 456.0", "tok/s 4,321", "pruned 25.0%", "live 2", "left 5:12"):
        assert part in line


def test_the_stream_decides():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert isinstance(ProgressCallback(Terminal())._view, LiveView)
    assert isinstance(ProgressCallback(io.StringIO())._view, PlainView)


def test_summary_lines_give_result_health_and_warnings():
    assert summary_lines(SUMMARY) == [
        "cell       tanh0 relu1 -> mean 1 2",
        "size       2 live nodes, 25.0% of the edge operations pruned, 22,960,000 parameters at 850 units",
        "perplexity valid 403.40 (of the supernet)",
        "time       train 5:12, hessian 0:20, 4,321 tokens/s",
        "nats       unigram 6.710, valid 6.000",
        "health     gain 10.6%, travel 0.41, oracle correlations gamma 0.93",
        "warning    Every node takes its input from node 0: the cell is a star.",
    ]


def test_summary_lines_of_an_evaluation():
    summary = {
        "kind": "evaluate",
        "baseline": "lstm",
        "parameters": 24_000_000,
        "valid_ppl": 60.0,
        "test_ppl": 58.25,
        "epochs": 7,
    }
    assert summary_lines(summary) == [
        "cell       lstm",
        "size       24,000,000 parameters",
        "perplexity valid 60.00, test 58.25",
        "training   7 epochs",
    ]


def test_perplexities_that_are_not_finite_and_dynamic_ones_have_their_words():
    dynamic = {"valid_ppl": 55.5, "test_ppl": 54.0}
    summary = {"kind": "evaluate", "valid_ppl": None, "test_ppl": 60.0, "dynamic": dynamic}
    line = "perplexity valid not finite, test 60.00, valid 55.50 dynamic, test 54.00 dynamic"
    assert line in summary_lines(summary)


def test_a_training_that_was_averaged_or_went_back_says_so():
    summary = {"kind": "evaluate", "baseline": "lstm", "epochs": 1, "asgd_epoch": 5, "rollbacks": 2}
    assert summary_lines(summary)[-1] == (
        "training   1 epoch, averaged from epoch 5 on, returned to an earlier state 2 times"
    )


def test_averages_and_rollbacks_have_their_words():
    stream = io.StringIO()
    callback = ProgressCallback(stream)
    callback.on_epoch(EpochRecord(3, 415, 6.1, 6.0, 65.0, averaged=True))
    callback.on_rollback(facts(400), 2)
    assert stream.getvalue().splitlines() == [
        "epoch 3/0 done train nats 6.100 ppl 445.9 valid (averaged) nats 6.000 ppl 403.4 time 1:05",
        "training diverged: back to step 400, rollback 2",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0:00"), (59.6, "1:00"), (312, "5:12"), (3912, "1:05:12"), (float("nan"), "?"), (float("inf"), "?")],
)
def test_durations(seconds, shown):
    assert duration(seconds) == shown
