"""What the source says of the fields of an options class: the comment of each."""

import ast
import inspect
import io
import textwrap
import tokenize


def comments(source: str) -> dict[int, tuple[str, bool]]:
    """Line number -> text of the comment there, and whether it has the line for itself."""
    found = {}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            found[token.start[0]] = (
                token.string.lstrip("# ").rstrip(),
                not token.line[: token.start[1]].strip(),
            )
    return found


def meaning_of(field: ast.AnnAssign, notes: dict[int, tuple[str, bool]]) -> str:
    """The comments on the lines of a field, behind those right above it."""
    first = field.lineno
    lines: list[str] = []
    while first - 1 in notes and notes[first - 1][1]:
        first -= 1
        lines.insert(0, notes[first][0])
    own = range(field.lineno, (field.end_lineno or field.lineno) + 1)
    return " ".join([*lines, *(notes[line][0] for line in own if line in notes)])


def meanings(owner: type) -> dict[str, str]:
    """Field -> its comment, of a class and its bases; empty where there is none."""
    found: dict[str, str] = {}
    for base in reversed(owner.__mro__):
        if not base.__module__.startswith("bayesnas_tf."):
            continue
        source = textwrap.dedent(inspect.getsource(base))
        body = ast.parse(source).body[0]
        assert isinstance(body, ast.ClassDef)
        notes = comments(source)
        for statement in body.body:
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                found[statement.target.id] = meaning_of(statement, notes) or found.get(
                    statement.target.id, ""
                )
    return found
