"""Find gin files and read them into statements, without TensorFlow and before anything is bound.

Gin would search, parse, import and bind in one go, and report each missed folder as an error. Here a
file is found and its syntax checked first, so that a misspelt name fails in a tenth of a second.
"""

import importlib.util  # noqa: F401  gin 0.5 uses it without importing it
import io
import os
import re
import tokenize
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gin import config_parser

from bayesnas_tf.errors import UserError, did_you_mean, expanded, reason

PACKAGE = Path(__file__).resolve().parents[1]
MOST_BYTES = 1 << 22  # of a gin file; those of this program have a few thousand


class Reference(NamedTuple):
    """`@name` or `@name()` as read, before it is looked up."""

    name: str
    evaluate: bool


class Macro(NamedTuple):
    """`%NAME` as read."""

    name: str


class Binding(NamedTuple):
    """`scope/selector.argument = value`; a macro `NAME = value` has no argument.

    `typed`: it stands on the command line, and not in a file.
    """

    scope: str
    selector: str
    argument: str
    value: Any
    where: str
    typed: bool = False
    folder: Path | None = None  # of the file that holds it

    @property
    def name(self) -> str:
        """`scope/selector.argument`, or the name of the macro."""
        return self.macro_name or f"{self.scope}/{self.selector}.{self.argument}".removeprefix("/")

    @property
    def macro_name(self) -> str:
        """The name of the macro that this statement sets, or an empty string."""
        return "" if self.argument else "/".join(filter(None, (self.scope, self.selector)))


class Import(NamedTuple):
    """`import module`: how a user's own file registers his classes."""

    text: str
    where: str


class Block(NamedTuple):
    """`selector:` above an indented group; the bindings of the group follow it."""

    selector: str
    where: str


Statement = Binding | Import | Block


class _Reader(config_parser.ParserDelegate):
    """Leaves references and macros as names."""

    def configurable_reference(self, scoped_configurable_name: str, evaluate: bool) -> Reference:
        """`@name` or `@name()`."""
        return Reference(scoped_configurable_name, evaluate)

    def macro(self, macro_name: str) -> Macro:
        """`%name`."""
        return Macro(macro_name)


def search_path() -> list[Path]:
    """Where gin files are looked for, in order: here, ./gin, the checkout's gin/, the installed copy."""
    here = Path.cwd()
    places = [here, here / "gin"]
    if (PACKAGE.parent / "pyproject.toml").is_file():
        places.append(PACKAGE.parent / "gin")
    places.append(PACKAGE / "_gin")
    return [place for number, place in enumerate(places) if place.is_dir() and place not in places[:number]]


def find(name: str, where: str = "--gin_file", beside: Path | None = None) -> Path:
    """The path of a gin file, `beside` the file that names it or on the search path.

    Raises:
      UserError: there is none; it names the places searched and the nearest name.
    """
    given = expanded(name)
    places = [*([beside] if beside else []), *search_path()]
    places = [place for number, place in enumerate(places) if place not in places[:number]]
    for candidate in [given] if given.is_absolute() else [place / given for place in places]:
        if os.path.isfile(candidate):  # False, where `Path.is_file` raises, for what is no name of a file
            return candidate
    known = {path.name for path in Path.cwd().glob("*.gin")}
    for place in places[1:] if places and places[0] == Path.cwd() else places:
        known |= {path.relative_to(place).as_posix() for path in place.rglob("*.gin")}
    searched = str(given.parent) if given.is_absolute() else ", ".join(map(str, places))
    raise UserError(
        f"no file {name!r}. Named in {where}, looked for in {searched}{did_you_mean(name, known)}"
    )


def _parse(statements: str, source: str) -> list[Any]:
    """Statements of one text as gin's parser gives them; `UserError` names the line it cannot read."""
    try:
        return list(config_parser.ConfigParser(statements, _Reader()))
    except SyntaxError as error:
        location = error.args[1] if len(error.args) > 1 else None
        line, content = (location[1], location[3].strip()) if location else (error.lineno, error.text or "")
        bare = re.search(r"Failed to parse token '([A-Za-z_]\w*)'", str(error.args[0]))
        value = content.partition("=")[2].partition("#")[0].strip()
        text = value if re.fullmatch(r"[\w./~-]+", value) else bare and bare[1]
        reason = f"write the text as '{text}', in quotes" if bare else _short(str(error.args[0]), 300)
        if value and reason.startswith("Expected newline"):
            reason = "write one value behind the = sign, with a point for decimals"
        raise UserError(f"cannot read {_short(content, 100)!r}. {source}, line {line}: {reason}") from error
    except tokenize.TokenError as error:
        raise UserError(
            f"cannot read {source} to its end: {error.args[0]}. Close every bracket and quote"
        ) from error
    except (RecursionError, MemoryError, TypeError, ValueError) as error:  # brackets in brackets, {[]: 1}
        raise UserError(
            f"cannot read {source}: {_short(str(error), 300)}. Write simple values of Python"
        ) from error


def _short(text: str, most: int) -> str:
    """The beginning of a text that may be too long for a line."""
    return text if len(text) <= most else f"{text[:most]}..."


def _statements(text: str, source: str, chain: tuple[Path, ...]) -> Iterator[Statement]:
    """The statements of one text with its includes in their place, which are looked for beside it first."""
    for read in _parse(text, source):
        where = f"{source}, line {read.location.line_num}"
        match read:
            case config_parser.BindingStatement():
                where = where if chain else source
                folder = chain[-1].parent if chain else None
                yield Binding(read.scope, read.selector, read.arg_name, read.value, where, not chain, folder)
            case config_parser.BlockDeclaration():
                yield Block(read.selector, where)
            case config_parser.ImportStatement():
                yield Import(read.format(), where)
            case config_parser.IncludeStatement():
                yield from _file(find(read.filename, where, chain[-1].parent if chain else None), chain)


def _file(path: Path, chain: tuple[Path, ...]) -> Iterator[Statement]:
    """The statements of one file; `chain` holds the files that include it."""
    path = path.resolve()
    if path in chain:
        raise UserError(f"{path} includes itself. Give your file another name")
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error)}. Give another gin file") from error
    if len(content) > MOST_BYTES:
        raise UserError(f"{path} is not a gin file: it has more than {MOST_BYTES:,} bytes. Give another one")
    try:
        text = io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()  # with any line ends
    except UnicodeDecodeError as error:
        raise UserError(f"cannot read {path}: {error}. Save it as UTF-8 text") from error
    if "\0" in text:
        raise UserError(f"{path} is not a gin file: it has zero bytes. Save it as UTF-8 text")
    yield from _statements(text, path.name, (*chain, path))


def read(files: Sequence[str], params: Sequence[str] = (), prefix: str = "--gin") -> list[Statement]:
    """All statements of the files in order, includes expanded, then those of the parameters.

    The flags that gave them are called `prefix`_file and `prefix`_param.
    """
    statements: list[Statement] = []
    for name in files:
        statements += _file(find(name, f"{prefix}_file"), ())
    for param in params:
        if "=" not in param:
            raise UserError(f"{prefix}_param={param} sets nothing. Write {prefix}_param=NAME=VALUE")
        found = list(_statements(param, f"{prefix}_param {param}", ()))
        if not all(isinstance(statement, Binding) for statement in found):
            raise UserError(
                f"{prefix}_param={param} is not a setting. Write `import` and `include` into a file, and "
                f"name it with {prefix}_file"
            )
        statements += found
    return statements


def read_text(text: str, source: str) -> list[Statement]:
    """The settings of a configuration kept as one text, such as config.gin of a run.

    What it imports is left out: reading a run directory runs no code that the directory names.
    """
    found = _statements(text, source, (Path(source),))
    return [statement for statement in found if not isinstance(statement, Import)]


def imports(text: str, source: str) -> list[str]:
    """The lines of such a configuration that import, which are left out when it is read."""
    found = _statements(text, source, (Path(source),))
    return [statement.text for statement in found if isinstance(statement, Import)]
