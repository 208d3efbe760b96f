"""Names of the code that documents and docstrings quote exist."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bayesnas_tf"
FOLDERS = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
NAME = re.compile(r"`((?:bayesnas_tf\.)?(\w+)(?:\.\w+)+)`")
FILES = (".npz", ".html", ".json", ".gin")  # files that are called after a folder
TEXTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *PACKAGE.rglob("*.py")]
HISTORY = ("CHANGELOG.md",)  # names what was


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


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_names_that_a_text_quotes_exist(path):
    if path.name in HISTORY:
        return
    quoted = NAME.finditer(path.read_text(encoding="utf-8"))
    names = {match[1] for match in quoted if match[2] in FOLDERS | {"bayesnas_tf"}}
    assert [name for name in sorted(names) if not name.endswith(FILES) and not exists(name)] == []
