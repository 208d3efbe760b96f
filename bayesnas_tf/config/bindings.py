"""Check statements against what is registered, then bind them in gin.

Gin checks no types, accepts a misspelt macro in silence and names no alternative. All of it is checked
here, before anything is bound, so that a wrong configuration costs no training.
"""

import importlib
import inspect
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import gin
from gin import config as gin_config

from bayesnas_tf.config import literals
from bayesnas_tf.config.gin_files import Binding, Block, Import, Macro, Reference, Statement, read
from bayesnas_tf.errors import UserError, did_you_mean

# What registers configurables. Every command imports all of them, so that any file parses everywhere.
MODULES = (
    "bayesnas_tf.data.corpora",
    "bayesnas_tf.bayes.update",
    "bayesnas_tf.bayes.prune",
    "bayesnas_tf.cells.search_cell",
    "bayesnas_tf.cells.derived_cell",
    "bayesnas_tf.cells.lstm",
    "bayesnas_tf.cells.nas_cell",
    "bayesnas_tf.cells.rhn_cell",
    "bayesnas_tf.models.heads",
    "bayesnas_tf.models.language_model",
    "bayesnas_tf.curvature.interface",
    "bayesnas_tf.training.search_loop",
    "bayesnas_tf.training.evaluate_loop",
    "bayesnas_tf.sweeping.settings",
)

# No result depends on where and how wide a sweep runs, how often a run reports, saves or compiles, and on how
# many devices or in which parts of a batch.
HOW = "EngineOptions."
WITHOUT_EFFECT = ("report_every", "checkpoint_every", "compile", "distribute", "row_groups")


def load(modules: Iterable[str] = MODULES) -> None:
    """Import what registers configurables, and TensorFlow with it."""
    for module in modules:
        importlib.import_module(module)


def bind(statements: Sequence[Statement]) -> None:
    """Replace gin's configuration by these statements; `UserError` names the first that is wrong."""
    gin.clear_config()
    for statement in statements:
        if isinstance(statement, Import):
            _bind_import(statement)
    check_names(statements)
    check_types(statements)
    for statement in statements:
        if isinstance(statement, Binding):
            key = (statement.macro_name, "gin.macro", "value") if statement.macro_name else statement[:3]
            gin.bind_parameter(key, _to_gin(statement.value))
    gin.finalize()


def _bind_import(statement: Import) -> None:
    """Import a module that a file names."""
    try:
        gin.parse_config(statement.text)
    except ImportError as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"cannot {statement.text}. {statement.where}: {reason}") from error


def _registered() -> dict[str, Any]:
    """Complete selector -> gin's record of the configurable, without gin's own."""
    # Gin offers no public list of what is registered.
    return {name: entry for name, entry in gin_config._REGISTRY.items() if not name.startswith("gin.")}


def _lookup(selector: str, where: str) -> Any:
    """Gin's record of a configurable; `UserError` where there is none, or more than one."""
    matches = gin_config._REGISTRY.matching_selectors(selector)
    if len(matches) == 1:
        return gin_config._REGISTRY[matches[0]]
    if matches:
        raise UserError(f"{selector!r} is ambiguous. {where}. Write one of {', '.join(sorted(matches))}")
    registered = _registered()
    known = {entry.name for entry in registered.values()} | set(registered)
    raise UserError(f"nothing named {selector!r} can be configured. {where}{did_you_mean(selector, known)}")


def check_names(statements: Sequence[Statement]) -> None:
    """Every configurable, parameter and macro must exist, and every macro be used."""
    macros = {s.macro_name: s for s in statements if isinstance(s, Binding) and s.macro_name}
    used = set()
    for statement in statements:
        if isinstance(statement, Block):
            _lookup(statement.selector, statement.where)
        if not isinstance(statement, Binding):
            continue
        if statement.argument:
            _parameter(statement)
        for leaf in _leaves(statement.value):
            if isinstance(leaf, Reference):
                _lookup(leaf.name.rsplit("/", 1)[-1], statement.where)
            elif isinstance(leaf, Macro) and not gin_config._CONSTANTS.matching_selectors(leaf.name):
                used.add(leaf.name)
                if leaf.name not in macros:
                    hint = did_you_mean(leaf.name, macros)
                    raise UserError(f"no value for %{leaf.name}. {statement.where}{hint}")
    for name in macros.keys() - used:
        hint = did_you_mean(name, used) or ". Remove it, or use it as %" + name
        raise UserError(f"nothing uses {name!r}. {macros[name].where}{hint}")


def _parameter(binding: Binding) -> inspect.Parameter | None:
    """The parameter that a statement sets; None where the callable takes any keyword."""
    entry = _lookup(binding.selector, binding.where)
    parameters = inspect.signature(entry.wrapped).parameters
    if binding.argument in parameters:
        return parameters[binding.argument]
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    hint = did_you_mean(binding.argument, parameters) or f". It has {', '.join(parameters)}"
    raise UserError(f"{entry.name} has no parameter {binding.argument!r}. {binding.where}{hint}")


def check_types(statements: Sequence[Statement]) -> None:
    """Compare each literal with the annotation of its parameter; macros count as their last value."""
    macros = {s.macro_name: s for s in statements if isinstance(s, Binding) and s.macro_name}
    for statement in statements:
        if isinstance(statement, Binding) and statement.argument:
            entry = _lookup(statement.selector, statement.where)
            expected = _annotations(entry.wrapped).get(statement.argument, Any)
            value, where = statement.value, statement.where
            for _ in macros:  # a macro may stand for another
                if not (isinstance(value, Macro) and value.name in macros):
                    break
                where = f"{macros[value.name].where} ({value.name}, used in {statement.where})"
                value = macros[value.name].value
            if not literals.matches(value, expected):
                hint = did_you_mean(value, literals.texts(expected)) if isinstance(value, str) else ""
                name = f"{entry.name}.{statement.argument}"
                raise UserError(
                    f"{name} cannot be {value!r}. {where}. It takes {literals.describe(expected)}{hint}"
                )


def checked(files: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    """Check a configuration without binding it, and return it `settled`; `UserError` says what is wrong."""
    statements = read(files, params)
    check_names(statements)
    check_types(statements)
    return settled(statements)


def settled(statements: Sequence[Statement]) -> dict[str, Any]:
    """`scope/selector.argument` -> value, macros replaced; of several statements the last one counts."""
    macros = {s.macro_name: s.value for s in statements if isinstance(s, Binding) and s.macro_name}
    return {
        f"{s.scope}/{s.selector}.{s.argument}".removeprefix("/"): _without_macros(s.value, macros)
        for s in statements
        if isinstance(s, Binding) and s.argument
    }


def deciding(found: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `settled` statements that a result may depend on."""
    return {
        name: value
        for name, value in found.items()
        if not name.startswith(HOW) and name.rpartition(".")[2] not in WITHOUT_EFFECT
    }


def _without_macros(value: Any, macros: dict[str, Any]) -> Any:
    """A value as read, with the values of macros in their place."""
    if isinstance(value, Macro):
        others = {name: item for name, item in macros.items() if name != value.name}
        return _without_macros(macros[value.name], others) if value.name in macros else value
    if isinstance(value, dict):
        return {key: _without_macros(item, macros) for key, item in value.items()}
    if isinstance(value, tuple | list) and not isinstance(value, Reference):
        return tuple(_without_macros(item, macros) for item in value)
    return value


def _annotations(wrapped: Any) -> dict[str, Any]:
    """Annotations of the parameters of a function or class; empty where they cannot be resolved."""
    try:
        return typing.get_type_hints(wrapped.__init__ if inspect.isclass(wrapped) else wrapped)
    except (NameError, TypeError):
        return {}


def _leaves(value: Any) -> list[Any]:
    """References, macros and literals inside a nested value."""
    if isinstance(value, Macro | Reference):
        return [value]
    if isinstance(value, dict):
        return [leaf for pair in value.items() for item in pair for leaf in _leaves(item)]
    if isinstance(value, tuple | list):
        return [leaf for item in value for leaf in _leaves(item)]
    return [value]


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
