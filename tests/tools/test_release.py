"""A wheel that is built from the source distribution passes the quickstart outside of the checkout."""

import sys
import tarfile
import zipfile

import pytest

from tests.conftest import ROOT
from tools import release


@pytest.mark.slow
def test_the_wheel_passes_the_quickstart_in_an_empty_environment(tmp_path, capfd):
    assert release.main(["--linked", "--tokens=3000", f"--out={tmp_path}"]) == 0
    printed = "".join(capfd.readouterr())
    for words in (
        "live nodes",
        "perplexity valid",
        "it computes the same as the run",
        "report.html",
        "git tag",
    ):
        assert words in printed
    (source,), (wheel,) = tmp_path.glob("*.tar.gz"), tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.split("/")[0] for name in names if "dist-info" not in name} == {"bayesnas_tf"}
    shipped = {name.removeprefix("bayesnas_tf/_gin/") for name in names if name.endswith(".gin")}
    assert shipped == {path.relative_to(ROOT / "gin").as_posix() for path in (ROOT / "gin").rglob("*.gin")}
    with tarfile.open(source) as file:
        assert any(name.endswith("/gin/ptb.gin") for name in file.getnames())


def test_the_checkout_on_the_path_is_noticed():
    with pytest.raises(RuntimeError, match="the checkout is on the path, not the wheel"):
        release.quickstart(sys.executable, ROOT, 0)
