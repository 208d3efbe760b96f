"""Every command of the tools says how it is called, and is called so."""

import re
import runpy
import sys

import pytest

from tests.conftest import ROOT
from tools import cli
from tools.benchmark import scaling
from tools.studies import calibration_table

PATHS = [path for path in sorted((ROOT / "tools").rglob("*.py")) if "__name__ ==" in path.read_text()]
NAMES = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in PATHS]


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # another test has imported the module
@pytest.mark.parametrize("name", [name.removesuffix(".__main__") for name in NAMES])
def test_help_names_the_command(name, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    with pytest.raises(SystemExit) as end:
        runpy.run_module(name, run_name="__main__")
    assert end.value.code == 0
    printed = capsys.readouterr().out
    assert printed.startswith(f"usage: python -m {name} ")
    assert f"Example: python -m {name}" in printed
    flags = re.split(r"\n  (?=-)", printed.partition("\noptions:")[2])[1:]
    told = [" ".join(flag.split()) for flag in flags]
    assert told[0].startswith("-h, --help")
    assert [flag for flag in told[1:] if "(default: " not in flag and "(required)" not in flag] == []


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ("--stepz=3", "unknown flag --stepz (did you mean '--steps'?)"),
        ("--steps=x", "--steps must be a whole number, not 'x'"),
        ("--steps=0", "--steps must be at least 1"),
    ],
)
def test_a_mistake_is_one_line_with_a_cure(given, line, capsys):
    with pytest.raises(SystemExit) as end:
        scaling.parsed([given])
    assert end.value.code == 2
    assert capsys.readouterr().err == f"error: {line}. See python -m tools.benchmark.scaling --help\n"


def test_a_file_that_is_not_there_is_one_line(capsys, tmp_path):
    assert cli.ended(lambda: calibration_table.main([str(tmp_path / "run")])) == 1
    assert f"error: cannot read {tmp_path}/run/config.gin: no such file" in capsys.readouterr().err
