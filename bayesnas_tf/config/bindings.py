"""Check statements against what is registered, then bind them in gin.

Gin checks no types, accepts a misspelt macro in silence and names no alternative. All of it is checked
here, before anything is bound, so that a wrong configuration costs no training.
"""

import importlib
import inspect
import types
import typing
from collections.abc import Iterable, Sequence
from typing import Any

import gin
from gin import config as gin_config

from bayesnas_tf.config import resolve
from bayesnas_tf.config.gin_files import Binding, Block, Import, Macro, Reference, Statement, read
from bayesnas_tf.errors import UserError, did_you_mean
from bayesnas_tf.options import Unfit, annotations, described, fitted

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


OURS = "bayesnas_tf."


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
    check_names(statements)
    check_types(statements)
    if command:
        check_read(command, statements)
    for binding in resolve.lasting(statements):
        key = (binding.macro_name, "gin.macro", "value") if binding.macro_name else binding[:3]
        gin.bind_parameter(key, _to_gin(binding.value))
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
        for leaf in resolve.leaves(statement.value):
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
    """Fit each value, macros resolved, to its annotation; a wrong one is named with its place."""
    macros = {s.macro_name: s for s in statements if isinstance(s, Binding) and s.macro_name}
    for statement in statements:
        if isinstance(statement, Binding) and statement.argument:
            entry = _lookup(statement.selector, statement.where)
            expected = annotations(entry.wrapped).get(statement.argument, Any)
            value = resolve.without_macros(statement.value, resolve.macros(statements))
            where, read = statement.where, statement.value
            while isinstance(read, Macro) and read.name in macros:
                where = f"{macros[read.name].where} ({read.name}, used in {where})"
                read = macros[read.name].value
            try:
                _check_value(value, expected, where)
            except Unfit as error:
                name = f"{entry.name}.{statement.argument}"
                raise UserError(f"{name} cannot be {_shown(value)}. {where}. It {error}") from error


def _check_value(value: Any, expected: Any, where: str) -> None:
    """`Unfit` unless a value, or what a reference in its place will make, fits an annotation."""
    if isinstance(value, Reference):
        wrapped = _lookup(value.name.rsplit("/", 1)[-1], where).wrapped
        kinds = [kind for kind in _kinds(expected) if isinstance(kind, type)]
        if not kinds or Any in _kinds(expected):
            return
        made = isinstance(wrapped, type) and not any(issubclass(wrapped, kind) for kind in kinds)
        if made or not value.evaluate:
            raise Unfit(f"must be {described(expected)}")
    elif not any(isinstance(leaf, Reference | Macro) for leaf in resolve.leaves(value)):
        fitted(value, expected)


def _kinds(expected: Any) -> list[Any]:
    """The members of a union, or the annotation itself."""
    union = typing.get_origin(expected) in (typing.Union, types.UnionType)
    return list(typing.get_args(expected)) if union else [expected]


def _shown(value: Any) -> str:
    """A value as a gin file has it."""
    return f"@{value.name}{'()' if value.evaluate else ''}" if isinstance(value, Reference) else repr(value)


def unread(command: str, statements: Sequence[Statement]) -> list[Binding]:
    """Statements that change nothing, for the command does not read what they set.

    Of what others registered nobody knows who reads it: those are left out.
    """
    roots = resolve.ROOTS.get(command)
    if roots is None or not all(root in {entry.name for entry in _registered().values()} for root in roots):
        return []

    def ours(binding: Binding) -> bool:
        return _lookup(binding.selector, binding.where).wrapped.__module__.startswith(OURS)

    return resolve.unread(command, statements, ours)


def check_read(command: str, statements: Sequence[Statement]) -> None:
    """Refuse a setting on the command line that the command does not read. Files may hold those of others."""
    for binding in unread(command, statements):
        if binding.typed:
            hint = _meant(command, statements, binding)
            raise UserError(f"{command} does not read {binding.name}. {binding.where}{hint}")


def _meant(command: str, statements: Sequence[Statement], binding: Binding) -> str:
    """What was probably meant: the settings of that name that the command does read."""
    names = {place.name for place in resolve.read_by(command, statements)}
    known = [entry for entry in _registered().values() if entry.name in names]
    found = [
        f"{entry.name}.{binding.argument}"
        for entry in known
        if binding.argument in inspect.signature(entry.wrapped).parameters
    ]
    return f" (did you mean {' or '.join(map(repr, sorted(found)))}?)" if found else ". Remove it"


def checked(command: str, files: Sequence[str], params: Sequence[str]) -> dict[str, Any]:
    """Check the configuration of a command without binding it, and return it settled.

    Raises:
      UserError: it says what is wrong.
    """
    statements = read(files, params)
    check_names(statements)
    check_types(statements)
    check_read(command, statements)
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
