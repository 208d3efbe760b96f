"""Bad input by command, flag, setting and value: one line that says what, where and how to cure it, always.

The cases are generated from the flags and from the annotations of every options class, so that a new one is
tested as soon as it exists.
"""

import dataclasses
import typing
from typing import Annotated, Literal

import pytest

from bayesnas_tf import config, options
from bayesnas_tf.config import bindings, help, registry
from bayesnas_tf.options import Range

FILES = {"search": "quickstart.gin", "evaluate": "quickstart_eval.gin", "sweep": "sweep_quickstart.gin"}
STRATEGIES = (
    *("DartsOptions", "EnasOptions", "EvolutionOptions", "HalvingOptions"),
    *("RandomOptions", "RandomSharingOptions"),
)
BASELINES = ("LstmOptions", "RhnOptions", "NasOptions")
LONG = "x" * 300
HUGE = str(10**30)


def accepted(run):
    raise AssertionError("accepted")


def failure(capfd, command, arguments):
    """The one line of a command line that must fail; asserts that it is one, and no raw exception."""
    code = config.run_command(accepted, command, arguments)
    out, err = capfd.readouterr()
    assert code in (1, 2), (code, out)
    lines = err.splitlines()
    assert len(lines) == 1, err
    assert lines[0].startswith("error: ")
    assert "Add --verbose" not in lines[0], lines[0]  # which only an exception that nobody expected ends in
    assert "accepted" not in lines[0]
    return lines[0]


def kinds():
    """Every options class of this package."""
    bindings.load()
    found = {entry.wrapped for entry in registry.registered().values()}
    return sorted(
        (k for k in found if isinstance(k, type) and k.__module__.startswith(registry.OURS)),
        key=lambda k: k.__name__,
    )


def reached(name):
    """The command that reads a class, and the settings without which it does not."""
    if name in ("search", "evaluate", "sweep"):
        return name, []
    if name in STRATEGIES:
        return "search", [f"search.strategy=@{name}()"]
    if name in BASELINES:
        return "evaluate", [f"evaluate.baseline=@{name}()"]
    if name == "MixtureOptions":
        return "evaluate", ["evaluate.head=@MixtureOptions()"]
    if name in ("SearchesOptions", "RankOptions", "EngineOptions"):
        return "sweep", []
    evaluated = ("DerivedOptions", "AveragingOptions", "OptimizerOptions", "DynamicOptions")
    return ("evaluate" if name in evaluated else "search"), []


def wrong_values(hint):
    """Texts of gin values that an annotation does not allow."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        yield from wrong_values(arguments[0])
        for mark in arguments[1:]:
            yield from outside(mark, arguments[0])
    elif origin is Literal:
        yield from ("'nonsense'", "None", "1.5")
    elif hint in (int, float):
        yield from ("'many'", "True", "None", "(1, 2)", "1e999", "-1e999", *(["1.5"] if hint is int else []))
    elif hint is bool:
        yield from ("'yes'", "1", "None")
    elif hint is str:
        yield from ("3", "True", "None")
    elif origin is tuple:
        yield from ("3", "'abc'", *(["(None,)"] if arguments[0] in (int, str) else []))
    elif isinstance(hint, type) and issubclass(hint, options.Options):
        yield from ("'x'", "3", "None", f"@{hint.__name__}", "@WindowOptions()")


def outside(mark, kind):
    """Values beyond the ends of a range."""
    if not isinstance(mark, Range):
        return
    step = 1 if kind is int else 0.5
    if mark.low > float("-inf"):
        yield repr(kind(mark.low - step))
        if mark.open_low:
            yield repr(kind(mark.low))
    if mark.high < float("inf"):
        yield repr(kind(mark.high + step))
        yield HUGE if kind is int else "1e300"
        if mark.open_high:
            yield repr(kind(mark.high))


def name_of(kind):
    return kind.configured_as or kind.__name__


def settings():
    """(command, parameters) of every setting with every value that it must not take."""
    for kind in kinds():
        command, needed = reached(name_of(kind))
        for field in dataclasses.fields(kind):
            hint = options.annotations(kind)[field.name]
            for value in dict.fromkeys(wrong_values(hint)):
                if value == "@WindowOptions()" and hint.__name__ == "WindowOptions":
                    continue
                yield command, [*needed, f"{name_of(kind)}.{field.name}={value}"]


SETTINGS = list(settings())


def test_there_are_many_cases():
    assert len(SETTINGS) > 400
    assert {kind.__name__ for kind in kinds()} >= {
        "CellOptions",
        "DerivedOptions",
        "RankOptions",
        "SearchSettings",
    }


@pytest.mark.parametrize(("command", "params"), SETTINGS, ids=[f"{c} {p[-1]}" for c, p in SETTINGS])
def test_a_value_that_a_setting_must_not_take_is_one_line(capfd, tmp_path, monkeypatch, command, params):
    monkeypatch.chdir(tmp_path)
    arguments = [f"--gin_file={FILES[command]}", *(f"--gin_param={param}" for param in params)]
    line = failure(capfd, command, arguments)
    assert params[-1].partition("=")[0] in line
    assert not list(tmp_path.iterdir())  # nothing was begun


BAD_PATHS = ("nowhere/at/all", "~nobody_of_that_name/x", LONG, "\0", "")
NUMBERS = {"seed": ("-1", "x", "1.5", HUGE, ""), "generate": ("-1", "x", HUGE), "top_k": ("-1", "x"),
           "temperature": ("-1", "nan", "inf", "x")}  # fmt: skip
NEEDED = {
    "search": ["--gin_file=quickstart.gin"],
    "evaluate": ["--gin_file=quickstart_eval.gin", "--genotype=DARTS_V2"],
    "sweep": ["--gin_file=sweep_quickstart.gin"],
    "export": [],
    "curvature": [],
    "score": ["--text=x"],
    "report": [],
}
PATHS = {"search": (), "evaluate": (), "sweep": (), "export": ("run",), "curvature": ("run",),
         "score": ("model",), "report": ("runs",)}  # fmt: skip


def command_lines():
    """(command, arguments) of flags with values that they must not take."""
    for command, needed in NEEDED.items():
        yield command, [*needed, "--nonsense"]
        yield command, [*needed, "unexpected"]
        yield command, [*needed, "--gin_file=nowhere.gin"]
        yield command, [*needed, f"--gin_file={LONG}.gin"]
        yield command, [*needed, "--gin_file=~nobody_of_that_name/a.gin"]
        yield command, [*needed, "--gin_param=nothing"]
        yield command, [*needed, "--gin_param=A.b=3"]
        yield command, [*needed, "--gin_param=import os"]
        yield command, [*needed, "--gin_param=include 'ptb.gin'"]
        yield command, [*needed, "--gin_param=A=%A"]
        yield command, [*needed, "--verbose=maybe"]
        for flag in ("run_dir", "data_dir"):
            yield command, [*needed, f"--{flag}=~nobody_of_that_name/x"]
            yield command, [*needed, f"--{flag}={LONG}"]
        for value in NUMBERS["seed"]:
            yield command, [*needed, f"--seed={value}"]
        for flag in PATHS[command]:
            for value in BAD_PATHS:
                yield command, [*needed, f"--{flag}={value}"]
    for flag in ("generate", "top_k", "temperature"):
        for value in NUMBERS[flag]:
            yield "score", ["--model=m", "--text=x", f"--{flag}={value}"]
    for command in ("search", "evaluate", "sweep"):
        for other in sorted({*FILES} - {command}):
            yield command, [f"--gin_file={FILES[other]}"]
        yield command, []
    yield "sweep", [*NEEDED["sweep"], "--engine=slurm"]


LINES = list(command_lines())


@pytest.mark.parametrize(
    ("command", "arguments"), LINES, ids=[f"{c} {a[-1][:40] if a else ''}" for c, a in LINES]
)
def test_a_command_line_that_makes_no_sense_is_one_line(capfd, tmp_path, monkeypatch, command, arguments):
    monkeypatch.chdir(tmp_path)
    failure(capfd, command, arguments)
    assert not list(tmp_path.iterdir())


def test_every_command_is_tried():
    assert set(NEEDED) == set(help.SUMMARIES)
