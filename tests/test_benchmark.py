"""tools/benchmark: what it counts is what a step computes, and what it prints has the promised form."""

import collections
import json
import os
import runpy

import pytest
import tensorflow as tf
from tensorflow.python.framework import op_callbacks  # counts the products of a real step

from bayesnas_tf import config
from bayesnas_tf.cells.search_cell import CellOptions
from bayesnas_tf.cells.wiring import Arithmetic
from bayesnas_tf.errors import UserError
from bayesnas_tf.space import known
from bayesnas_tf.training import row_groups
from bayesnas_tf.training.validation import window_nats
from tools import benchmarking, machine
from tools.benchmarking import steps
from tools.benchmarking.serving import serving_memory
from tools.benchmarking.split import Event, divided, kind_of
from tools.matrix_products import (
    Pass,
    Product,
    backward_products,
    forward_passes,
    of_time_step,
    pass_timer,
    plain_passes,
    total,
    total_flops,
)

TINY = (
    "CellOptions.units = 6",
    "CellOptions.nodes = 2",
    "WindowOptions.batch_size = 3",
    "WindowOptions.bptt = 4",
    "CurvatureOptions.windows = 2",
    "CurvatureOptions.probes = 1",
)
TINY_TRAINING = (
    "DerivedOptions.units = 6",
    "WindowOptions.batch_size = 3",
    "WindowOptions.bptt = 4",
    "evaluate.eval_batch_size = 2",
)
VOCABULARY = 11
SHARES = ("matmul", "elementwise", "embedding_softmax", "host")
SETTINGS = [
    *(f"--gin_param={setting}" for setting in TINY),
    *(f"--eval_gin_param={setting}" for setting in TINY_TRAINING),
    f"--vocabulary={VOCABULARY}",
    "--steps=2",
]


@pytest.fixture
def here(monkeypatch):
    """What is to run in a process of its own runs in this one."""
    monkeypatch.setattr(machine, "alone", without(None))


def without(left_out):
    """`machine.alone` in this process; what `left_out` would give is 1."""
    return lambda function, *arguments: 1.0 if function is left_out else function(*arguments)


@pytest.fixture
def command(root):
    """`main` of tools/benchmark."""
    return runpy.run_path(str(root / "tools" / "benchmark"), run_name="benchmark")["main"]


def test_products_of_a_hand_worked_step():
    cell = CellOptions(units=2, nodes=2)
    forward = total(forward_passes(of_time_step(cell, 3), 2, batch=3, steps=4, vocabulary=5))
    assert forward == {
        Product(12, 2, 4): 1,  # inputs
        Product(3, 2, 4): 4 + 4,  # node 0 and the only edge into node 1, at each time step
        Product(6, 2, 4): 4,  # the two edges into node 2
        Product(12, 2, 5, transpose_b=True): 1,  # decoder
    }
    assert total_flops(forward) == 192 + 8 * 48 + 4 * 96 + 240
    assert total_flops(total(plain_passes(of_time_step(cell, 3), 2, 3, 4, 5))) == 3 * total_flops(forward)


@pytest.mark.parametrize(("sharing", "factor"), [("edge", 1), ("edge_op", 4)])
def test_sharing_changes_the_products_of_the_edges(sharing, factor):
    of_step = of_time_step(CellOptions(units=2, nodes=2, weight_sharing=sharing), 3)
    forward = total(forward_passes(of_step, 2, 3, 4, 5))
    assert total_flops(forward) == 192 + 4 * 48 + factor * 4 * (1 + 2) * 48 + 240


@pytest.mark.parametrize("transpose_b", [False, True])
def test_backward_products_are_the_gradients_of_matmul(transpose_b):
    product = Product(2, 3, 5, transpose_b=transpose_b)
    assert [p.flops for p in backward_products(product)] == [product.flops] * 2
    x, w = tf.ones([2, 3]), tf.ones([5, 3] if transpose_b else [3, 5])
    with counted_products() as seen, tf.GradientTape() as tape:
        tape.watch([x, w])
        y = tf.matmul(x, w, transpose_b=transpose_b)
        tape.gradient(y, [x, w])
    assert seen == {p: 1 for p in (product, *backward_products(product))}


class counted_products:  # noqa: N801  a context manager
    """Counts every matrix product that runs eagerly."""

    def __enter__(self):
        self.seen = collections.Counter()
        op_callbacks.add_op_callback(self.count)
        return self.seen

    def __exit__(self, *error):
        op_callbacks.remove_op_callback(self.count)

    def count(self, op_type, inputs, attrs, outputs, op_name=None, graph=None):
        if op_type == "MatMul":
            given = dict(zip(attrs[::2], attrs[1::2], strict=True))
            a, b = given["transpose_a"], given["transpose_b"]
            m, k = inputs[0].shape[::-1] if a else inputs[0].shape
            self.seen[Product(m, k, inputs[1].shape[0 if b else 1], a, b)] += 1


def test_a_real_step_computes_these_products():
    config.parse(["ptb.gin"], TINY)
    bench = benchmarking.prepare(1, VOCABULARY)
    assert products_of_one(bench) == steps.products_of("search_step", bench)


def test_a_step_in_groups_of_rows_computes_these_products(monkeypatch):
    monkeypatch.setenv(row_groups.VARIABLE, "2")  # the threads of this process stay as they are
    config.parse(["ptb.gin"], (*TINY, "WindowOptions.batch_size = 6", "search.row_groups = 2"))
    bench = benchmarking.prepare(1, VOCABULARY)
    assert products_of_one(bench) == steps.products_of("search_step", bench)
    assert "norm mean, weight sharing node, 2 x 3 rows" in benchmarking.describe(bench)


def test_a_real_training_step_computes_these_products():
    config.parse(["ptb_eval.gin"], TINY_TRAINING)
    bench = benchmarking.prepare(1, VOCABULARY, known.named("DARTS_V2"))
    assert products_of_one(bench) == steps.products_of("train_step", bench)
    ids = tf.constant(bench.problem.valid_rows[:, :5])
    with counted_products() as seen:
        window_nats(bench.problem.model)(ids[:, :-1], ids[:, 1:], tf.constant(4), tf.zeros([2, 6]))
    assert seen == steps.products_of("evaluate", bench)


@pytest.mark.parametrize("genotype", [None, "DARTS_V2"])
def test_a_real_staged_step_computes_these_products(genotype, monkeypatch):
    root, params = ("evaluate", TINY_TRAINING) if genotype else ("search", TINY)
    config.parse([f"ptb{'_eval' if genotype else ''}.gin"], [*params, f"{root}.compile = 'stages'"])
    bench = benchmarking.prepare(1, VOCABULARY, genotype and known.named(genotype))
    monkeypatch.setattr(Arithmetic, "stage", lambda self, function: function)  # whose products can be seen
    seen = products_of_one(bench, beside=0)
    assert seen == steps.products_of("train_step" if genotype else "search_step", bench)


def products_of_one(bench, beside=1):
    """Products of a training step, and `beside` those that an eager step leaves out."""
    problem, ids = bench.problem, tf.constant(bench.problem.train_rows[:, :5])
    with counted_products() as seen:
        problem.step(ids[:, :-1], ids[:, 1:], tf.constant(4), tf.constant(1.0), problem.seed)
    # Eagerly the gradient of the state before the window is left out; the compiled loop has it at each step.
    seen[Product(3, 12, 6, transpose_b=True)] += beside * problem.step.replicas.groups
    return seen


@pytest.mark.parametrize("groups", [1, 2])
def test_every_repeat_of_every_product_is_computed(groups):
    few, *many = (
        min(timer() for _ in range(5))
        for timer in (
            pass_timer(Pass(collections.Counter({Product(256, 256, 256): copies}), repeats), groups=groups)
            for copies, repeats in ((3, 2), (3, 20), (30, 2))
        )
    )
    assert min(many) > 3 * few  # ten times as long, but for noise; as long if only one were computed


def test_the_command_prints_and_writes_its_numbers(command, capsys, tmp_path, monkeypatch):
    # memory of a step: see the test with a peer, whose step compiles fastest
    monkeypatch.setattr(machine, "alone", without(steps.step_memory))
    file, genotype = tmp_path / "speed.json", tmp_path / "genotype.json"
    known.parse("tanh0 relu1", (), "small", "test").save(genotype)
    names = ["search_step", "hessian", "one_pass", "train_step", "evaluate"]
    only = [f"--only={name}" for name in names]
    assert command([*SETTINGS, *only, "--graph", f"--genotype={genotype}", f"--json={file}"]) == 0
    printed, written = capsys.readouterr().out, json.loads(file.read_text())
    assert set(written) == {*names, "machine"}
    for text in ("load average", "graph without XLA", "tokens/s", "share of that rate", "peak memory, MB"):
        assert text in printed
    assert "small, 6 units, 2 nodes, 3 rows x 4 steps" in printed
    for name, rows in (("search_step", 3), ("train_step", 3), ("evaluate", 2)):
        step = written[name]
        assert {"seconds", "sgemm_share", "peak_mb", "compile_seconds", "tokens_per_second"} <= set(step)
        assert all(value > 0 for value in step.values())
        assert step["sgemm_share"] == pytest.approx(step["step_gflops"] / step["machine_gflops"])
        assert step["tokens_per_second"] == pytest.approx(rows * 4 / step["seconds"])
        assert sum(step[f"{share}_share"] for share in SHARES) == pytest.approx(1.0)
        assert not any(key.startswith("peer") for key in step)
    hessian = written["hessian"]
    assert hessian["windows"] == 2
    assert written["one_pass"]["seconds"] > 0.0
    assert min(written["one_pass"][f"{name}_steps"] for name in ("ggn", "recursive")) > 0.0
    assert {"plain_mb", "ggn_memory", "recursive_memory"} <= set(written["one_pass"])
    assert hessian["share_of_epoch"] == pytest.approx(
        hessian["seconds"] / (415 * written["search_step"]["seconds"])
    )


def test_a_saved_model_is_timed(command, tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "alone", without(serving_memory))
    file = tmp_path / "speed.json"
    assert command([*SETTINGS, "--only=score", "--only=generate", f"--json={file}"]) == 0
    written = json.loads(file.read_text())
    score, generate = written["score"], written["generate"]
    assert score["tokens_per_second"] == pytest.approx((40 * 25 - 1) / score["seconds"])
    assert 1.0 <= generate["tokens_per_second"] * generate["seconds"] <= 51.0
    assert set(score) == {"seconds", "tokens_per_second", "compile_seconds", "peak_mb"}


def test_the_command_offers_all_entries(root):
    offered = runpy.run_path(str(root / "tools" / "benchmark"), run_name="benchmark")["ENTRIES"]
    assert offered == tuple(benchmarking.MEASURES)


def test_time_is_divided_among_what_runs():
    events = [
        Event(kind_of("gradient_tape/while/MatMul", "_MklMatMul"), 0, 30),
        Event(kind_of("rnn/while/body/mul", "Mul"), 10, 40),  # 20 of it beside the product
        Event(kind_of("GatherV2", "GatherV2"), 60, 80),
    ]
    assert divided(events, 100e-12) == pytest.approx((0.6 * 3 / 8, 0.6 * 3 / 8, 0.6 * 2 / 8, 0.4))


def test_a_peer_is_timed_beside_the_step(command, capsys, tmp_path, here, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: it is needed by --peer alone")
    monkeypatch.setattr(os, "getloadavg", lambda: (5.0, 5.0, 5.0))
    file = tmp_path / "speed.json"
    assert command([*SETTINGS, "--only=evaluate", "--peer", f"--json={file}"]) == 0
    written = json.loads(file.read_text())
    assert set(written) == {"machine", "evaluate"}
    numbers = written["evaluate"]
    assert numbers["ratio"] == pytest.approx(numbers["seconds"] / numbers["peer_seconds"])
    assert numbers["peer_peak_mb"] > 0.0
    assert torch.get_num_threads() == machine.facts()["cores"]  # what TensorFlow takes
    printed = capsys.readouterr().out
    assert "seconds in PyTorch" in printed
    assert "warning: other work runs here" in printed


def test_a_peer_needs_pytorch(command, capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else object())
    assert command(["--peer"]) == 1
    assert capsys.readouterr().err == (
        "error: --peer needs PyTorch. It is not installed. Use pip install 'bayesnas_tf[bench]'\n"
    )


def test_the_configuration_of_another_command_is_refused():
    config.parse(["ptb_eval.gin"])
    with pytest.raises(UserError, match="has no search"):
        benchmarking.prepare(1)


def test_another_system_than_a_cell_is_refused():
    config.parse(["ptb.gin"])
    with pytest.raises(UserError, match="trains no cell"):
        benchmarking.prepare(1, VOCABULARY, known.named("DARTS_V2"))
    config.parse(["baselines/rhn.gin"])
    with pytest.raises(UserError, match="binds evaluate.baseline"):
        benchmarking.prepare(1, VOCABULARY, known.named("DARTS_V2"))


def test_published_corpora_have_their_own_vocabulary():
    config.parse(["wikitext2.gin"], TINY)
    assert benchmarking.prepare(1).problem.model.vocabulary == 33_278


def test_a_wrong_setting_is_one_line(command, capsys):
    assert command(["--gin_param=CellOptions.unit=3"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: CellOptions has no parameter 'unit'")
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_named_with_its_flag(command, capsys):
    for flag in ("--gin_file", "--eval_gin_file"):
        assert command([f"{flag}=nowhere.gin"]) == 1
        assert f"no file 'nowhere.gin'. Named in {flag}," in capsys.readouterr().err


def test_usage_errors_name_the_flag(command, capsys):
    with pytest.raises(SystemExit, match="2"):
        command(["--steps=0"])
    assert "--steps must be at least 1" in capsys.readouterr().err
