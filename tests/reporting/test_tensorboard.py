"""TensorBoard events, read back as TensorBoard reads them."""

import os

import numpy as np
import pytest
from tensorboard.backend.event_processing.plugin_event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import api_pb2, metadata
from tensorboard.util import tensor_util

from bayesnas_tf.reporting import tensorboard
from bayesnas_tf.reporting.tensorboard import ARRAYS, TensorBoardCallback
from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway.space import Highway
from bayesnas_tf.training.records import EpochRecord, RunFacts, StepRecord, UpdateRecord

CONFIG = "include 'base/search.gin'\nLAMBDA_W = 0.17  # *why*\n"
CELL = Genotype((Node(0, "tanh"), Node(1, "relu")), (1, 2))
HEALTH = {
    "gain": 0.1,
    "h_reliability": None,
    "choice_stability": [1.0, 0.5],
    "oracle_correlations": {"gamma": 0.9},
    "warnings": ["Every node takes its input from node 0: the cell is a star."],
}


def step_record(step, nats=6.0):
    return StepRecord(step, 1, 40, nats, 20.0, 4321.0, 10.0, step)


def update_record(step=40, genotype=CELL):
    values = np.random.default_rng(0).uniform(size=(3, 4)).astype(np.float32)
    pruned = values < 0.5
    return UpdateRecord(
        1, step, Highway(2).sites, *[values] * 6, pruned, genotype, 2, 6.0, 5.9, 6.7, HEALTH, 1500.0
    )


def log_run(directory, first=0, last=40, nats=6.0):
    callback = TensorBoardCallback(
        directory, CONFIG, {"lambda_w": 0.17, "seed": 3, "norm": "mean", "cell": None}
    )
    callback.on_start(RunFacts("search", "ptb", 1, first, 1000))
    for step in range(first + 10, last + 1, 10):
        callback.on_step(step_record(step, nats))
    return callback


@pytest.fixture(scope="module")
def events(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "tb"
    callback = log_run(directory)
    callback.on_stage("hessian", 1, 2)
    callback.on_epoch(EpochRecord(1, 40, 6.1, 5.9, 3.0))
    callback.on_update(update_record())
    callback.on_end({})
    return EventAccumulator(str(directory)).Reload()


def value(events, tag):
    return [(e.step, float(tensor_util.make_ndarray(e.tensor_proto))) for e in events.Tensors(tag)]


def text(events, tag):
    return tensor_util.make_ndarray(events.Tensors(tag)[0].tensor_proto).item().decode()


def tags(events, plugin):
    return set(events.PluginTagToContent(plugin))


def test_training_scalars_have_their_steps(events):
    assert value(events, "nats/train") == [(step, 6.0) for step in (10, 20, 30, 40)]
    assert value(events, "ppl/train")[0][1] == pytest.approx(np.exp(6.0), rel=1e-6)
    assert value(events, "training/lr")[0] == (10, 20.0)
    assert value(events, "training/tokens_per_second")[0] == (10, 4321.0)
    assert value(events, "nats/valid") == [(40, pytest.approx(5.9))]


def test_an_update_logs_its_share_and_health(events):
    assert value(events, "search/live_nodes") == [(40, 2.0)]
    assert value(events, "search/pruned_fraction") == [(40, pytest.approx(update_record().pruned.mean()))]
    assert value(events, "nats/unigram") == [(40, pytest.approx(6.7))]
    scalars = {tag for tag in tags(events, "scalars") if tag.startswith("health/")}
    assert scalars == {"health/gain", "health/oracle_correlations/gamma"}


def test_every_array_has_histogram_and_heatmap(events):
    assert tags(events, "histograms") == {f"posterior/{name}" for name in ARRAYS}
    assert tags(events, "images") == {*(f"heatmap/{name}" for name in ARRAYS), "cell"}


def test_images_are_png_of_the_drawn_size(events):
    width, height, png = tensor_util.make_ndarray(events.Tensors("cell")[0].tensor_proto)
    assert png.startswith(b"\x89PNG")
    assert int(width) > 300
    assert int(height) > 300


def test_configuration_and_report_are_text(events):
    assert tags(events, "text") == {"configuration", "genotype", "health/report"}
    assert text(events, "configuration") == "    include 'base/search.gin'\n    LAMBDA_W = 0.17  # *why*"
    report = text(events, "health/report")
    assert "* **warning** Every node" in report
    assert "| choice_stability | 1 0.5 |" in report
    assert "| h_reliability | - |" in report


def test_hparams_show_a_finished_session(events):
    content = events.PluginTagToContent(metadata.PLUGIN_NAME)
    start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
    assert start.hparams["lambda_w"].number_value == 0.17
    assert start.hparams["seed"].number_value == 3
    assert start.hparams["norm"].string_value == "mean"
    assert start.hparams["cell"].string_value == "None"
    end = metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG])
    assert end.status == api_pb2.STATUS_SUCCESS


def test_a_resumed_run_supersedes_what_came_after_its_checkpoint(tmp_path):
    killed = log_run(tmp_path, last=40, nats=6.0)
    killed._writer.flush()
    resumed = log_run(tmp_path, first=20, last=50, nats=5.0)
    resumed.on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert value(events, "nats/train") == [(10, 6.0), (20, 6.0), (30, 5.0), (40, 5.0), (50, 5.0)]


def end_epoch(callback, epoch, step, nats):
    callback.on_epoch(EpochRecord(epoch, step, nats, nats, 3.0))
    callback.on_update(update_record(step))


@pytest.mark.parametrize("folder", ["tb", "lr=[5]", "a*b", "back\\slash"])
def test_a_kill_between_the_last_step_and_the_end_of_an_epoch_shows_nothing_twice(tmp_path, folder):
    killed = log_run(tmp_path / folder, last=40, nats=6.0)
    end_epoch(killed, 1, 40, 5.9)  # told, but no checkpoint counts the epoch
    resumed = log_run(tmp_path / folder, first=40, last=80, nats=4.0)
    end_epoch(resumed, 1, 40, 5.8)
    end_epoch(resumed, 2, 80, 4.8)
    resumed.on_end({})
    events = EventAccumulator(str(tmp_path / folder)).Reload()
    assert value(events, "nats/train")[3:5] == [(40, 6.0), (50, 4.0)]
    assert value(events, "nats/valid") == [(40, pytest.approx(5.8)), (80, pytest.approx(4.8))]
    for tag in ("cell", "heatmap/w", "posterior/w", "genotype", "health/gain"):
        assert [event.step for event in events.Tensors(tag)] == [40, 80], tag
    assert [name for name in os.listdir(tmp_path / folder) if "tfevents" not in name] == []


def test_the_points_of_an_epoch_that_is_counted_stay(tmp_path):
    killed = log_run(tmp_path, last=40)
    end_epoch(killed, 1, 40, 5.9)
    again = TensorBoardCallback(tmp_path, CONFIG, {})
    again.on_start(RunFacts("search", "ptb", 2, 40, 1000, epochs_done=1))
    end_epoch(again, 2, 80, 4.9)
    third = TensorBoardCallback(tmp_path, CONFIG, {})
    third.on_start(RunFacts("search", "ptb", 2, 80, 1000, epochs_done=1))
    end_epoch(third, 2, 80, 4.7)
    third.on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert value(events, "nats/valid") == [(40, pytest.approx(5.9)), (80, pytest.approx(4.7))]
    assert [step for step, _ in value(events, "nats/train")] == [10, 20, 30, 40]


@pytest.mark.parametrize("first", [0, 20])
def test_the_configuration_and_the_end_are_shown_once(tmp_path, first):
    for step in (0, first, first):
        log_run(tmp_path, first=step, last=40).on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    for tag in ("configuration", "training/parameters", metadata.SESSION_END_INFO_TAG):
        assert [event.step for event in events.Tensors(tag)] == [0]


def test_what_precedes_a_checkpoint_is_in_the_files(tmp_path):
    killed = log_run(tmp_path, last=40)  # no flush, no close: it stays open
    events = EventAccumulator(str(tmp_path)).Reload()
    assert [step for step, _ in value(events, "nats/train")] == [10, 20, 30, 40]
    killed.on_end({})


def test_a_torn_event_and_a_torn_session_harm_nothing(tmp_path):
    log_run(tmp_path, last=40)
    path = max(path for path in tmp_path.iterdir() if "-session" not in path.name)
    path.write_bytes(path.read_bytes()[:-7])
    (tmp_path / ".session.99999999").write_bytes(b"torn")
    log_run(tmp_path, first=20, last=30, nats=5.0).on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert value(events, "nats/train") == [(10, 6.0), (20, 6.0), (30, 5.0)]
    assert not (tmp_path / ".session.99999999").exists()


def test_a_rollback_supersedes_what_is_done_again(tmp_path):
    callback = log_run(tmp_path, last=40, nats=6.0)
    callback.on_rollback(RunFacts("evaluate", "cell", 1, step=20, parameters=1), 1)
    callback.on_step(step_record(30, 5.0))
    callback.on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert value(events, "nats/train") == [(10, 6.0), (20, 6.0), (30, 5.0)]


def test_event_files_of_this_second_or_the_future_are_read_in_order_and_waited_for_never(
    tmp_path, monkeypatch
):
    monkeypatch.setattr(tensorboard.time, "sleep", None)
    log_run(tmp_path, last=40, nats=6.0)._writer.close()
    first = max(tmp_path.iterdir())
    first.rename(first.with_name(first.name.replace(first.name.split(".")[3], "4000000000")))
    log_run(tmp_path, first=20, last=30, nats=5.0)._writer.close()
    log_run(tmp_path, first=20, last=50, nats=4.0).on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert value(events, "nats/train") == [(10, 6.0), (20, 6.0), (30, 4.0), (40, 4.0), (50, 4.0)]


def test_renamed_event_files_keep_their_order_and_content(tmp_path):
    names = [
        "0000000005.b.1",
        "0000000099.a.1",
        "0000000100.-session",
        "0000000100.a.2",
        "0000000103.-session",
    ]
    names += ["0000000104.a.3", "odd"]
    for name in names:
        (tmp_path / f"events.out.tfevents.{name}").write_text(name)
    tensorboard.make_past(tmp_path, 101)
    paths = sorted(tmp_path.iterdir())
    assert [path.read_text() for path in paths] == names
    assert max(map(tensorboard._second, paths)) < 101
    assert [path.name for path in paths[::6]] == [f"events.out.tfevents.{names[k]}" for k in (0, 6)]


def test_a_resumed_run_supersedes_though_it_logs_nothing_anew(tmp_path):
    log_run(tmp_path, last=40)._writer.flush()
    log_run(tmp_path, first=20, last=20).on_end({})
    assert [step for step, _ in value(EventAccumulator(str(tmp_path)).Reload(), "nats/train")] == [10, 20]


def test_a_collapsed_cell_is_logged_without_a_picture(tmp_path):
    callback = log_run(tmp_path)
    callback.on_update(update_record(genotype=None))
    callback.on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert "cell" not in tags(events, "images")
    assert "heatmap/gamma" in tags(events, "images")


@pytest.mark.parametrize("nats", [1e4, 400.0])  # beyond float64, beyond the float32 of events
def test_an_overflowing_loss_is_infinite_perplexity_and_nan_is_left_out(tmp_path, nats):
    callback = log_run(tmp_path)
    callback.on_step(step_record(50, nats=nats))
    callback.on_epoch(EpochRecord(1, 50, float("nan"), None, 1.0))
    callback.on_end({})
    events = EventAccumulator(str(tmp_path)).Reload()
    assert value(events, "ppl/train")[-1] == (50, float("inf"))
    assert "nats/train_epoch" not in tags(events, "scalars")


def test_a_step_before_the_start_is_refused(tmp_path):
    with pytest.raises(ValueError, match="before on_start"):
        TensorBoardCallback(tmp_path, "", {}).on_step(step_record(1))


def test_numbers_follow_nested_reports_and_leave_lists():
    report = {"a": 1, "b": {"c": 2.5, "d": None}, "e": [1, 2], "f": "text", "g": True}
    assert list(tensorboard.numbers(report)) == [("a", 1.0), ("b/c", 2.5), ("g", 1.0)]
