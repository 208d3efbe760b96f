"""The page in headless Chromium: it draws, fits, reaches for nothing and complains of nothing."""

import json
import re
import shutil
import subprocess

import numpy as np
import pytest
from PIL import Image

from bayesnas_tf.report import page
from tests.report.test_report_command import SECTIONS

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",  # Chromium refuses to run as root with one
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # the browser has errands of its own
    "--allow-file-access-from-files",  # the frame below is another file
    "--enable-logging=stderr",
    "--hide-scrollbars",
    "--window-size=1240,1600",
)
WIDTHS = (1200, 400)
# Measures the page in a frame of each width; the page itself runs no script.
FRAME = """<!DOCTYPE html><body style="margin:0"><iframe id="frame" src="page.html"
style="border:0;height:1500px"></iframe><pre id="found"></pre><script>
const frame = document.getElementById("frame");
frame.onload = () => {
  const inside = frame.contentDocument, found = {widths: {}};
  const size = element => { const r = element.getBoundingClientRect(); return [r.width, r.height]; };
  for (const width of %s) {
    frame.style.width = width + "px";
    const all = selector => [...inside.querySelectorAll(selector)];
    found.widths[width] = {
      scroll: inside.documentElement.scrollWidth,
      sections: Object.fromEntries(all("section").map(section => [section.id, size(section)])),
      drawings: all("figure svg, figure img, table").map(size),
    };
  }
  found.pictures = [...inside.images].map(image => image.naturalWidth);
  found.fetched = frame.contentWindow.performance.getEntriesByType("resource").map(entry => entry.name);
  frame.style.width = "1200px";
  document.getElementById("found").textContent = JSON.stringify(found);
};
</script></body>"""


@pytest.fixture(scope="module")
def browser():
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser: none of {', '.join(BROWSERS)} is installed")
    return found


def look(browser, folder, html, *flags):
    """What the frame measured, what the console said, and the screenshot."""
    (folder / "page.html").write_text(html, encoding="utf-8")
    (folder / "frame.html").write_text(FRAME % list(WIDTHS), encoding="utf-8")
    own = [f"--user-data-dir={folder}/profile", f"--screenshot={folder}/shot.png", "--dump-dom"]
    command = [browser, *FLAGS, *flags, *own, f"file://{folder}/frame.html"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr[-2000:]
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(found[1]), console, np.asarray(Image.open(folder / "shot.png").convert("RGB"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("flags", "dark"), [((), False), (("--force-dark-mode",), True)], ids=["light", "dark"]
)
def test_the_page_is_drawn_whole_and_fits(browser, tmp_path, content, flags, dark):
    found, console, shot = look(browser, tmp_path, page.html(content), *flags)
    assert console == []
    assert [name for name in found["fetched"] if not name.startswith("data:")] == []
    assert found["pictures"]
    assert min(found["pictures"]) > 0
    for width in WIDTHS:
        seen = found["widths"][str(width)]
        assert seen["scroll"] <= width
        assert tuple(seen["sections"]) == SECTIONS
        for wide, high in (*seen["sections"].values(), *seen["drawings"]):
            assert wide > 100
            assert high > 20
    paper = shot[5, 5].mean()
    assert paper < 60 if dark else paper == 255
    assert 0.02 < (np.abs(shot[:1500].astype(int) - shot[5, 5]).max(axis=2) > 40).mean() < 0.6
    assert len(np.unique(shot.astype(int) @ [65536, 256, 1])) > 100


@pytest.mark.slow
def test_a_page_that_reaches_out_or_runs_scripts_would_be_noticed(browser, tmp_path, content):
    html = page.html(content).replace(
        "<main>", '<main><img src="https://example.invalid/a.png"><script>x()</script>'
    )
    _, console, _ = look(browser, tmp_path, html)
    assert any("example.invalid" in line for line in console)  # refused by the page's own policy
    assert any("inline script" in line for line in console)
    open_page = re.sub(r"<meta http-equiv[^>]*>", "", html)
    found, console, _ = look(browser, tmp_path, open_page)
    assert "https://example.invalid/a.png" in found["fetched"]
    assert any("x is not defined" in line for line in console)
