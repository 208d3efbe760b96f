"""Every command of the tools says how it is called, and is called so."""

import runpy
import sys

import pytest

from tests.conftest import ROOT

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
