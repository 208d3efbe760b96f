"""The page of all commands: `--help` of each, and of the tools."""

import ast
from pathlib import Path

from bayesnas_tf.config import flags, help

HEAD = """# Commands

What `--help` prints, generated from the code by `python -m tools.site`. The same command again
[resumes a run](../how_to/resume.md). An error is one line with exit code 1, or 2 for a wrong command line.
"""
TOOLS = """## Tools of a checkout

They are no part of the installed package.

| Command | What it does |
|---|---|
"""


def tools(root: Path) -> list[tuple[str, str]]:
    """Name and first line of the docstring of every command in tools/."""
    found = []
    for path in sorted((root / "tools").rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        if "\nif __name__ " in source:
            name = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__main__")
            found.append((name, (ast.get_docstring(ast.parse(source)) or "").splitlines()[0]))
    return found


def page(root: Path) -> str:
    """The page as Markdown."""
    parts = [HEAD]
    for command in help.SUMMARIES:
        parts.append(f"## {command}\n\n```text\n{str(flags.parse(command, ['--help'])).rstrip()}\n```\n")
    rows = [f"| `python -m {name}` | {line} |" for name, line in tools(root)]
    return "\n".join([*parts, TOOLS + "\n".join(rows), ""])
