"""`python -m tools.benchmark`: what it prints and writes has the promised form."""

import functools
import importlib.util
import json
import os
from typing import NamedTuple

import pytest

from bayesnas_tf import config
from bayesnas_tf.errors import UserError
from bayesnas_tf.space.highway import published
from tools import machine
from tools.benchmark import __main__ as command
from tools.benchmark import entries, steps, subject
from tools.benchmark.peer_speed import PeerForms
from tools.benchmark.serving import serving_memory
from tools.benchmark.split import Event, divided, kind_of
from tools.peer.forms import FORMS

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


@pytest.fixture(autouse=True)
def _bfloat16(monkeypatch):
    """Every form is timed, whatever this processor has."""
    monkeypatch.setattr(machine, "multiplies_bfloat16", lambda: True)


@pytest.fixture
def here(monkeypatch):
    """What is to run in a process of its own runs in this one."""
    monkeypatch.setattr(machine, "alone", without(None))


def without(left_out):
    """`machine.alone` in this process; what `left_out` would give is 1."""
    return lambda function, *arguments: 1.0 if function is left_out else function(*arguments)


def test_the_command_prints_and_writes_its_numbers(capsys, tmp_path, monkeypatch):
    # memory of a step: see the test with a peer, whose step compiles fastest
    monkeypatch.setattr(machine, "alone", without(steps.step_memory))
    file, genotype = tmp_path / "speed.json", tmp_path / "genotype.json"
    published.parse("tanh0 relu1", (), "small", "test").save(genotype)
    names = ["search_step", "hessian", "one_pass", "train_step", "evaluate"]
    only = [f"--only={name}" for name in names]
    assert command.main([*SETTINGS, *only, "--graph", f"--genotype={genotype}", f"--json={file}"]) == 0
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


def test_a_saved_model_is_timed(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "alone", without(serving_memory))
    file = tmp_path / "speed.json"
    assert command.main([*SETTINGS, "--only=score", "--only=generate", f"--json={file}"]) == 0
    written = json.loads(file.read_text())
    score, generate = written["score"], written["generate"]
    assert score["tokens_per_second"] == pytest.approx((40 * 25 - 1) / score["seconds"])
    assert 1.0 <= generate["tokens_per_second"] * generate["seconds"] <= 51.0
    assert set(score) == {"seconds", "tokens_per_second", "compile_seconds", "peak_mb"}


def test_the_command_offers_all_entries():
    assert tuple(entries.MEASURES) == command.ENTRIES


def test_time_is_divided_among_what_runs():
    events = [
        Event(kind_of("gradient_tape/while/MatMul", "_MklMatMul"), 0, 30),
        Event(kind_of("rnn/while/body/mul", "Mul"), 10, 40),  # 20 of it beside the product
        Event(kind_of("GatherV2", "GatherV2"), 60, 80),
    ]
    assert divided(events, 100e-12) == pytest.approx((0.6 * 3 / 8, 0.6 * 3 / 8, 0.6 * 2 / 8, 0.4))


SECONDS = {"eager": 4.0, "compiled": 2.0, "autocast": 1.0, "autocast_compiled": 1.5}
FIRST = 7.0
NOT_COMPILED = {"eager": 4.0, "compiled": None, "autocast": 1.0, "autocast_compiled": None}


class FakeTimer(NamedTuple):
    """A `tools.peer.steps.Timer`."""

    first_seconds: float
    step: object


class FakePeer(NamedTuple):
    """A `tools.peer.steps.Peer` whose forms take these seconds; None: it cannot be compiled here."""

    seconds: dict
    turns: list

    def timer(self, form):
        name = next(name for name, other in FORMS.items() if other == form)
        if self.seconds[name] is None:
            raise RuntimeError("no C++ compiler found\nset VERBOSE")

        def step():
            self.turns.append(name)
            return self.seconds[name]

        return FakeTimer(FIRST, step)

    def peak_mb(self):
        return 3.0


@pytest.mark.parametrize(
    ("seconds", "precision", "ratio_to", "ratio"),
    [
        (SECONDS, "float32", "compiled", 1.5),
        (SECONDS, "bfloat16", "autocast", 3.0),
        (SECONDS | {"eager": 1.0}, "float32", "eager", 3.0),
        (SECONDS | {"autocast_compiled": 0.5}, "bfloat16", "autocast_compiled", 6.0),
        (NOT_COMPILED, "float32", "eager", 0.75),
        (NOT_COMPILED, "bfloat16", "autocast", 3.0),
    ],
)
def test_the_ratio_is_to_the_fastest_of_the_same_precision(here, seconds, precision, ratio_to, ratio):
    forms = PeerForms(FakePeer(seconds, []))
    forms.turn()
    speed = forms.speed(3.0, precision)
    assert (speed.ratio_to, speed.ratio) == (ratio_to, ratio)
    assert speed.peers == seconds
    assert speed.peer_seconds == seconds["eager"]  # whatever the ratio is to
    compiled = {name: seconds[name] for name in ("compiled", "autocast_compiled")}
    assert speed.peer_compile_seconds == {
        name: None if value is None else FIRST - value for name, value in compiled.items()
    }


def test_a_form_that_cannot_be_compiled_is_one_line(capsys):
    PeerForms(FakePeer(NOT_COMPILED, []))
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"warning: PyTorch cannot run the step as {name!r} here. RuntimeError: no C++ compiler found"
        for name in ("compiled", "autocast_compiled")
    ]
    with pytest.raises(RuntimeError):  # eager needs no compiler: such an error is ours
        PeerForms(FakePeer(SECONDS | {"eager": None}, []))


def test_a_form_that_the_processor_would_emulate_is_not_timed(capsys, monkeypatch):
    monkeypatch.setattr(machine, "multiplies_bfloat16", lambda: False)
    timers = PeerForms(FakePeer(SECONDS, [])).timers
    assert [name for name, timer in timers.items() if timer] == ["eager", "compiled"]
    assert capsys.readouterr().out.count("this processor has no bfloat16 instructions\n") == 2


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_forms_are_timed_in_turns_and_written(capsys, tmp_path, monkeypatch, precision):
    find, file, fake = importlib.util.find_spec, tmp_path / "speed.json", FakePeer(NOT_COMPILED, [])
    ratio_to = {"float32": "eager", "bfloat16": "autocast"}[precision]
    monkeypatch.setattr("importlib.util.find_spec", lambda name, *of: name == "torch" or find(name, *of))
    monkeypatch.setattr(steps, "_peer", lambda name, bench: fake)
    dtype = f"--eval_gin_param=ModelOptions.matmul_dtype = {precision!r}"
    assert command.main([*SETTINGS, dtype, "--only=evaluate", "--peer", f"--json={file}"]) == 0
    assert fake.turns == 2 * ["eager", "autocast"]  # as many as --steps
    numbers = json.loads(file.read_text())["evaluate"]
    assert numbers["peers"] == NOT_COMPILED
    assert numbers["ratio_to"] == ratio_to
    assert numbers["ratio"] == pytest.approx(numbers["seconds"] / NOT_COMPILED[ratio_to])
    assert numbers["peer_compile_seconds"] == {"compiled": None, "autocast_compiled": None}
    assert (numbers["peer_seconds"], numbers["peer_peak_mb"]) == (4.0, 3.0)
    printed = " ".join(capsys.readouterr().out.split())
    for text in ("PyTorch, eager 4.000", "PyTorch, compiled not known", "PyTorch, autocast 1.000"):
        assert f"seconds in {text}" in printed
    assert f"ratio to PyTorch, {ratio_to} {numbers['ratio']:.2f}" in printed


def test_pytorch_compiles_anew_unless_told_where_its_code_is(monkeypatch):
    name = command.COMPILED_CODE
    monkeypatch.delenv(name, raising=False)
    with command.compiled_anew():
        assert os.listdir(os.environ[name]) == []
    assert name not in os.environ
    monkeypatch.setenv(name, "kept")
    with command.compiled_anew():
        assert os.environ[name] == "kept"
    assert os.environ[name] == "kept"


def test_a_peer_is_timed_beside_the_step(capsys, tmp_path, here, monkeypatch):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed: it is needed by --peer alone")
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))  # fast
    monkeypatch.setattr(os, "getloadavg", lambda: (5.0, 5.0, 5.0))
    file = tmp_path / "speed.json"
    assert command.main([*SETTINGS, "--only=evaluate", "--peer", f"--json={file}"]) == 0
    written = json.loads(file.read_text())
    assert set(written) == {"machine", "evaluate"}
    numbers = written["evaluate"]
    assert set(numbers["peers"]) == set(FORMS)
    assert min(numbers["peers"].values()) > 0.0
    assert numbers["peers"]["eager"] == numbers["peer_seconds"]
    assert numbers["ratio"] == pytest.approx(numbers["seconds"] / numbers["peers"][numbers["ratio_to"]])
    assert min(numbers["peer_compile_seconds"].values()) > 0.0
    assert numbers["peer_peak_mb"] > 0.0
    assert torch.get_num_threads() == machine.facts()["cores"]  # what TensorFlow takes
    printed = capsys.readouterr().out
    assert "seconds in PyTorch, autocast_compiled" in printed
    assert "warning: other work runs here" in printed


def test_a_peer_needs_pytorch(capsys, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "torch" else object())
    assert command.main(["--peer"]) == 1
    assert capsys.readouterr().err == (
        "error: --peer needs PyTorch, and it is not installed. Run: pip install 'bayesnas_tf[bench]'\n"
    )


def test_the_configuration_of_another_command_is_refused():
    config.parse(["ptb_eval.gin"])
    with pytest.raises(UserError, match="has no search"):
        subject.prepare(1)


def test_another_system_than_a_cell_is_refused():
    config.parse(["ptb.gin"])
    with pytest.raises(UserError, match="trains no cell"):
        subject.prepare(1, VOCABULARY, published.named("DARTS_V2"))
    config.parse(["baselines/rhn.gin"])
    with pytest.raises(UserError, match="sets evaluate.baseline"):
        subject.prepare(1, VOCABULARY, published.named("DARTS_V2"))


def test_published_corpora_have_their_own_vocabulary():
    config.parse(["wikitext2.gin"], TINY)
    assert subject.prepare(1).problem.model.vocabulary == 33_278


def test_a_wrong_setting_is_one_line(capsys):
    assert command.main(["--gin_param=CellOptions.unit=3"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: CellOptions has no parameter 'unit'")
    assert error.count("\n") == 1


def test_a_file_that_is_not_there_is_named_with_its_flag(capsys):
    for flag in ("--gin_file", "--eval_gin_file"):
        assert command.main([f"{flag}=nowhere.gin"]) == 1
        assert f"no file 'nowhere.gin'. Named in {flag}," in capsys.readouterr().err


def test_usage_errors_name_the_flag(capsys):
    with pytest.raises(SystemExit, match="2"):
        command.main(["--steps=0"])
    assert "--steps must be at least 1" in capsys.readouterr().err
