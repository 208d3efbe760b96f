"""What documents promise: names of the code that they quote exist, links resolve, lines fit a screen."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bayesnas_tf"
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
NAME = re.compile(r"`((?:bayesnas_tf\.)?(\w+)(?:\.\w+)+)`")
FILES = (".npz", ".html", ".json", ".gin")  # files that are called after a folder
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/*.md")]
GENERATED = [ROOT / "docs/reference" / f"{name}.md" for name in ("commands", "configurations", "settings")]
WIDTH = 100
LINK = re.compile(r"\]\(([^)\s]+)\)|<img src=\"([^\"]+)\"")
CODE = re.compile(r"^(`{3,})[^\n]*\n.*?^\1", re.MULTILINE | re.DOTALL)


def names_what_was(path):
    """Whether a page tells what was, with the names of then."""
    return path.name == "CHANGELOG.md" or path.parent.name == "history"


def named(path):
    """A page in the name of a test."""
    return path.relative_to(ROOT).as_posix()


TEXTS = [*(path for path in PAGES if not names_what_was(path)), *PACKAGE.rglob("*.py")]
PROSE = [path for path in PAGES if path not in GENERATED]


def names_of(statement):
    """What a statement binds."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return {statement.name}
    if isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return {alias.asname or alias.name for alias in statement.names}
    return set()


def exists(name):
    """Whether a dotted name is a folder, a module, or what one defines, read and not imported."""
    parts = name.removeprefix("bayesnas_tf.").split(".")
    for count in range(len(parts), 0, -1):
        base = PACKAGE.joinpath(*parts[:count])
        path = next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.exists()), None)
        body = path and ast.parse(path.read_text(encoding="utf-8")).body
        for part in parts[count:]:
            found = [statement for statement in body or () if part in names_of(statement)]
            body = getattr(found[0], "body", []) if found else None
        if body is not None:
            return True
    return False


def test_a_name_that_is_gone_is_found():
    assert exists("cells.rules.mix.mix")
    assert exists("space.base.Space.closure")
    assert exists("cells.staged")
    assert not exists("cells.highway.input_node")
    assert not exists("space.base.Space.no_such")


@pytest.mark.parametrize("path", TEXTS, ids=named)
def test_names_that_a_text_quotes_exist(path):
    quoted = NAME.finditer(path.read_text(encoding="utf-8"))
    names = {match[1] for match in quoted if match[2] in FOLDERS | {"bayesnas_tf"}}
    assert [name for name in sorted(names) if not name.endswith(FILES) and not exists(name)] == []


def without_code(path):
    """The text of a page, its blocks of code emptied and its lines kept."""
    return CODE.sub(lambda block: "\n" * block[0].count("\n"), path.read_text(encoding="utf-8"))


def anchors(path):
    """The anchors of a page: of its headings, as GitHub and the site make them."""
    headings = re.findall(r"^#+ +(.*?)\s*$", without_code(path), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", line)) for line in headings]
    return {line.lower().strip().replace(" ", "-") for line in plain}


@pytest.mark.parametrize("path", PAGES, ids=named)
def test_links_lead_somewhere(path):
    broken = []
    for match in LINK.finditer(without_code(path)):
        target, _, anchor = (match[1] or match[2]).partition("#")
        page = (path.parent / target).resolve() if target else path
        if "://" in target or target.startswith("mailto:"):
            continue
        if not page.exists() or (anchor and page.suffix == ".md" and anchor not in anchors(page)):
            broken.append(match[0])
    assert broken == []


GENERATED = [
    ROOT / "docs" / "reference" / f"{name}.md" for name in ("commands", "configurations", "settings")
]


@pytest.mark.parametrize("path", PROSE, ids=named)
def test_lines_of_prose_fit_a_screen(path):
    lines = enumerate(without_code(path).splitlines(), 1)
    prose = [(number, line) for number, line in lines if not line.lstrip().startswith(("|", "![", "$"))]
    # a link cannot be broken
    assert [number for number, line in prose if len(LINK.sub("]", line)) > WIDTH] == []


def test_the_readme_is_read_in_two_minutes():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 500


def test_every_page_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = set(re.findall(r": ([\w/]+\.md)$", navigation, re.MULTILINE))
    pages = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert listed == pages | {"index.md"}
