"""Write the reference pages from the code, and build the documentation as a site of static files.

Example: python -m tools.site --out=site
Open site/index.html in a browser, or serve it while you write: .venv/bin/mkdocs serve
"""

import os
import subprocess
import sys
from pathlib import Path

from tools import cli
from tools.site import commands, configurations, settings

ROOT = Path(__file__).resolve().parents[2]


def pages() -> dict[str, str]:
    """Path in docs/ -> text of each page that is generated."""
    return {
        "reference/commands.md": commands.page(ROOT),
        "reference/configurations.md": configurations.page(ROOT),
        "reference/settings.md": settings.page(),
    }


def main() -> int:
    """Write the pages, then build."""
    parser = cli.Parser("tools.site", __doc__)
    parser.add_argument("--out", type=Path, default=Path("site"), help="folder of the site")
    parser.add_argument("--reference_only", action="store_true", help="write the pages and build nothing")
    options = parser.parse_args()
    for name, text in pages().items():
        path = ROOT / "docs" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    if options.reference_only:
        return 0
    build = ["build", "--strict", "--site-dir", str(options.out.resolve())]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.call([sys.executable, "-m", "mkdocs", *build], cwd=ROOT, env=quiet)


if __name__ == "__main__":
    sys.exit(cli.ended(main))
