"""The generated pages are those of the code, every setting has a meaning, and the site builds."""

import os
import re
import subprocess
import sys

import pytest

from tests.conftest import ROOT
from tools.site import __main__ as site
from tools.site import settings

NAMES = ["reference/commands.md", "reference/configurations.md", "reference/settings.md"]


@pytest.fixture(scope="module")
def pages():
    return site.pages()


@pytest.mark.parametrize("name", NAMES)
def test_a_generated_page_is_that_of_the_code(pages, name):
    assert sorted(pages) == NAMES
    written = (ROOT / "docs" / name).read_text(encoding="utf-8")
    assert written == pages[name], "run: python -m tools.site --reference_only"


@pytest.mark.parametrize("group", sorted(settings.groups()))
def test_every_setting_has_a_meaning(group):
    found = list(settings.settings_of(settings.groups()[group]))
    assert [setting.name for setting in found if not setting.meaning] == []
    assert settings.section(group, settings.groups()[group]).startswith(f"## {group}\n")


def test_types_and_defaults_in_words(pages):
    rows = dict(re.findall(r"^\| `(\w+)` \| (.*) \|$", pages["reference/settings.md"], re.MULTILINE))
    assert rows["init_range"].startswith("number, above 0 | `0.04` | uniform")
    assert rows["share_per_update"].startswith("number, at least 0, below 1 or `None` | `None` |")
    assert rows["weight_sharing"].startswith("one of `'node'`, `'edge'`, `'edge_op'` | `'node'` |")
    assert rows["search"] == "`SearchesOptions` or `None` | `None` | its [group](#searchesoptions)"


def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    html = (tmp_path / "method.html").read_text(encoding="utf-8")
    assert "<math" in html
    assert re.findall(r'<(?:script|link|img)[^>]*(?:src|href)="https?://[^"]*', html) == []
