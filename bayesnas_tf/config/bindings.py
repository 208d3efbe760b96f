"""From statements to what gin holds, checked before anything is bound."""

import importlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import gin
from gin import config as gin_config

from bayesnas_tf.config import checks, registry, resolve
from bayesnas_tf.config.gin_files import Binding, Import, Macro, Reference, Statement, read, search_path
from bayesnas_tf.errors import UserError
from bayesnas_tf.options import annotations, is_file

# What registers configurables. Every command imports all of them, so that any file parses everywhere.
MODULES = (
    "bayesnas_tf.data.corpora",
    "bayesnas_tf.bayes.update",
    "bayesnas_tf.bayes.prune",
    "bayesnas_tf.cells.search_cell",
    "bayesnas_tf.cells.derived_cell",
    "bayesnas_tf.cells.baselines.lstm",
    "bayesnas_tf.cells.baselines.nas",
    "bayesnas_tf.cells.baselines.rhn",
    "bayesnas_tf.models.heads",
    "bayesnas_tf.models.language_model",
    "bayesnas_tf.curvature.interface",
    "bayesnas_tf.training.search_loop",
    "bayesnas_tf.training.evaluate_loop",
    "bayesnas_tf.sweeping.settings",
)


_BOUND: list[Sequence[Statement]] = []  # what gin holds, as it was read


def load(modules: Iterable[str] = MODULES) -> None:
    """Import what registers configurables, and TensorFlow with it."""
    for module in modules:
        importlib.import_module(module)


def bind(statements: Sequence[Statement], command: str = "") -> None:
    """Replace gin's configuration by these statements; `UserError` names the first that is wrong.

    With a `command` also a setting on the command line that it does not read is wrong.
    """
    gin.clear_config()
    for statement in statements:
        if isinstance(statement, Import):
            _bind_import(statement)
    check(statements, command)
    placed = [_placed(binding, statements) for binding in resolve.lasting(statements)]
    for binding in resolve.lasting(placed):
        key = (binding.macro_name, "gin.macro", "value") if binding.macro_name else binding[:3]
        gin.bind_parameter(key, _to_gin(binding.value))
    gin.finalize()
    _BOUND[:] = [statements]


def check(statements: Sequence[Statement], command: str = "") -> None:
    """Raise `UserError` for the first statement that is wrong."""
    checks.check_names(statements)
    checks.check_types(statements)
    if command:
        checks.check_whole(command, statements)
        checks.check_read(command, statements)


def _placed(binding: Binding, statements: Sequence[Statement]) -> Binding:
    """A setting whose files are those beside the gin file that names them, where they lie there."""
    if not binding.argument:
        return binding
    parameter = registry.parameter(binding)
    expected = annotations(registry.lookup(binding.selector, binding.where).wrapped)
    if parameter is None or not is_file(expected.get(binding.argument)):
        return binding
    macros = {s.macro_name: s for s in statements if isinstance(s, Binding) and s.macro_name}

    def place(value: Any, folder: Path | None) -> Any:
        if isinstance(value, Macro) and value.name in macros:
            named = macros[value.name]
            found = place(named.value, named.folder)
            return value if found == named.value else found
        if isinstance(value, tuple | list) and not isinstance(value, Reference):
            return tuple(place(item, folder) for item in value)
        beside = folder / value if folder and isinstance(value, str) and value else None
        if beside is None or not beside.is_file():
            return value
        # what is found without it keeps its name, which is that of the run on every machine
        places = search_path() if beside.suffix == ".gin" else [Path.cwd()]
        return value if any((known / value).is_file() for known in places) else str(beside)

    return binding._replace(value=place(binding.value, binding.folder))


def _bind_import(statement: Import) -> None:
    """Import a module that a file names."""
    try:
        gin.parse_config(statement.text)
    except ImportError as error:
        reason = str(error).splitlines()[0]
        cure = "Check the name, or add the folder of the module to PYTHONPATH"
        raise UserError(f"cannot {statement.text}. {statement.where}: {reason}. {cure}") from error


def checked(command: str, files: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    """Check the configuration of a command as the command will, and return it settled.

    What is bound stays bound: the settings are made under a configuration of their own.

    Raises:
      UserError: it says what is wrong.
    """
    statements = read(files, params)
    check(statements, command)
    before = _BOUND[-1] if _BOUND else []
    try:
        bind(statements)
        for root in resolve.ROOTS[command][:1]:
            gin.get_configurable(root)()
    except ValueError as error:
        raise UserError(f"{' '.join(str(error).split())}. {', '.join([*files, *params])}") from error
    finally:
        bind(before)
    return resolve.settled(statements)


def _to_gin(value: Any) -> Any:
    """A value as read, with gin's own references in it."""
    delegate = gin_config.ParserDelegate()
    if isinstance(value, Reference):
        return delegate.configurable_reference(value.name, value.evaluate)
    if isinstance(value, Macro):
        return delegate.macro(value.name)
    if isinstance(value, dict):
        return {_to_gin(key): _to_gin(item) for key, item in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_to_gin(item) for item in value)
    return value
