"""Rules of the house that no tool checks: import order, docstrings, sizes, packaging lists."""

import ast
import re
import tomllib
from pathlib import Path

import pytest

from bayesnas_tf.run_files import RunFiles

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "bayesnas_tf"

# The way of the data: a folder imports from itself and from those before it.
ROWS = (
    "numerics",
    "space",
    "data",
    "bayes",
    "cells",
    "models",
    "curvature",
    "optim",
    "training",
    "serving",
    "reporting",
    "report",
    "sweeping",
    "commands",
)
ABOVE = ("errors", "options", "files", "run_files", "__version__")  # the modules that everything may import
# `config` stands beside the rows: it imports none of them, and only these may import it.
MAY_IMPORT_CONFIG = ROWS[ROWS.index("training") :]

OF_TENSORS = ("numerics", "cells", "models", "curvature", "optim")

MODULES = sorted(PACKAGE.rglob("*.py"))
TOOLS = sorted((ROOT / "tools").rglob("*.py"))
EXAMPLES = sorted((ROOT / "examples").rglob("*.py"))
SOURCES = [*MODULES, *TOOLS, *EXAMPLES, *sorted((ROOT / "tests").rglob("*.py"))]


def _name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def _imports(path: Path) -> set[str]:
    """Parts of this package that a module imports, by their first name below it."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                parts = path.relative_to(ROOT).with_suffix("").parts[: -node.level]
                base = ".".join([*parts, *filter(None, [node.module])])
            else:
                base = node.module or ""
            found |= {f"{base}.{alias.name}" for alias in node.names}
    inside = [name.split(".") for name in found]
    return {parts[1] for parts in inside if parts[0] == "bayesnas_tf" and len(parts) > 1}


def _wrong_imports(part: str, imported: set[str]) -> set[str]:
    """What a folder (or an entry module) imports although it stands below."""
    if part == "config":
        return imported - {"config", *ABOVE}
    if part not in ROWS:
        return set()
    allowed = {*ROWS[: ROWS.index(part) + 1], *ABOVE}
    if part in MAY_IMPORT_CONFIG:
        allowed.add("config")
    return imported - allowed


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_folder_imports_only_from_the_rows_above_it(path):
    if path.name == "__main__.py":
        return  # a command, as the modules beside the folders are
    part = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
    assert not _wrong_imports(part, _imports(path))


def test_the_import_rule_finds_a_wrong_import():
    assert _wrong_imports("bayes", {"space", "cells"}) == {"cells"}
    assert _wrong_imports("data", {"config"}) == {"config"}
    assert _wrong_imports("config", {"errors", "training"}) == {"training"}


def test_every_folder_has_its_row():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders <= {*ROWS, "config"}


@pytest.mark.parametrize("path", [*MODULES, *TOOLS, *EXAMPLES], ids=_name)
def test_a_module_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=_name)
def test_files_and_functions_stay_short(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300
    if ROOT / "tests" in path.parents:
        return
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            doc = ast.get_docstring(node) or ""
            lines = node.end_lineno - node.lineno + 1 - len(doc.splitlines())
            assert lines <= 40, f"{node.name} has {lines} lines"


@pytest.mark.parametrize("path", [*MODULES, *TOOLS, *EXAMPLES], ids=_name)
def test_functions_have_at_most_six_arguments(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef):
            given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            names = [argument.arg for argument in given if argument.arg not in ("self", "cls")]
            assert len(names) <= 6, f"{node.name} has {len(names)}"


def _public(path: Path) -> list[ast.FunctionDef]:
    """Functions of a module and methods of its classes that others call; none inside of functions."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    nodes = [*tree.body, *(node for of_class in classes for node in of_class.body)]
    return [node for node in nodes if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")]


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    of = function.args
    every = [*of.posonlyargs, *of.args, *of.kwonlyargs, *filter(None, [of.vararg, of.kwarg])]
    return [argument for argument in every if argument.arg not in ("self", "cls")]


def _untold(function: ast.FunctionDef) -> str:
    """What a reader of a signature misses: a type, or with tensors a shape such as `[B, U]`."""
    arguments = _arguments(function)
    untyped = [argument.arg for argument in arguments if argument.annotation is None]
    if untyped or not function.returns:
        return f"{function.name}: no type of {', '.join(untyped) or 'its result'}"
    takes_tensors = any("tf.Tensor" in ast.unparse(argument.annotation) for argument in arguments)
    if takes_tensors and not re.search(r"`\[[^`]*\]`", ast.get_docstring(function) or ""):
        return f"{function.name}: no shape"
    return ""


@pytest.mark.parametrize("folder", OF_TENSORS)
def test_functions_of_tensors_have_types_and_shapes(folder):
    functions = [function for path in (PACKAGE / folder).rglob("*.py") for function in _public(path)]
    assert not [told for function in functions if (told := _untold(function))]


@pytest.mark.parametrize(
    ("signature", "docstring", "told"),
    [
        ("f(x)", "Of x `[B, U]`.", "f: no type of x"),
        ("f(x: tf.Tensor)", "Of x `[B, U]`.", "f: no type of its result"),
        ("f(x: list[tf.Tensor] | None) -> int", "Of [g, a].", "f: no shape"),
        ("f(x: tf.Tensor) -> int", "Of x `[B, U]`.", ""),
        ("f(x: int) -> int", "Of a number.", ""),
    ],
)
def test_the_rule_of_types_and_shapes_finds_what_is_missing(signature, docstring, told):
    (function,) = ast.parse(f'def {signature}:\n    """{docstring}"""').body
    assert _untold(function) == told


def test_the_names_of_a_runs_files_are_typed_once():
    typed = {}
    for path in (*MODULES, *TOOLS):
        if path.name == "run_files.py":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and node.value in RunFiles.names():
                typed[_name(path)] = node.value
    assert not typed


# where `tf.function` may stand: what makes a graph decides how long it lives, and how often there is another
GRAPHS = {
    "numerics/xla.py",  # a part of a step that XLA compiles
    "numerics/replicas.py",  # what the first of several processes says
    "cells/staged/values.py",  # a step, traced for its shapes alone
    "curvature/interface.py",  # an estimator, for all epochs of a search
    "curvature/weights.py",  # the same for all weights, once
    "training/execution.py",  # the steps of all loops
    "training/strategies/bayesnas/oracle.py",
    "serving/signatures.py",  # what a SavedModel holds
}


def test_graphs_are_made_in_few_places():
    found = {
        path for path in MODULES if "tf.function(" in (text := path.read_text()) or "@tf.function" in text
    }
    assert {path.relative_to(PACKAGE).as_posix() for path in found} == GRAPHS


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_cell_is_asked_for_what_it_can_and_not_for_its_class(path):
    if path.relative_to(PACKAGE).parts[0] == "cells":
        return
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("isinstance", "issubclass"):
            kinds = {part.id for part in ast.walk(node.args[1]) if isinstance(part, ast.Name)}
            assert not {kind for kind in kinds if kind.endswith(("Cell", "Stack", "Layer"))}


def test_the_gin_folder_does_not_shadow_the_library():
    assert not list((ROOT / "gin").rglob("__init__.py"))


def test_setuptools_lists_every_package():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        path.parent.relative_to(ROOT).as_posix().replace("/", ".") for path in PACKAGE.rglob("__init__.py")
    }
    assert set(listed) == found | {"bayesnas_tf._gin"}


@pytest.mark.parametrize(("file", "extra"), [("requirements.txt", "gpu"), ("requirements-cpu.txt", "cpu")])
def test_requirements_agree_with_pyproject(file, extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / file).read_text().splitlines()
    required = [line for line in lines if line and not line.startswith("#")]
    assert required == project["optional-dependencies"][extra] + project["dependencies"]
