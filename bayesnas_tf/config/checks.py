"""Everything that can be said of a configuration before anything is bound: one wrong name costs no training.

Gin checks no types, accepts a misspelt macro in silence and names no alternative.
"""

import inspect
import types
import typing
from collections.abc import Sequence
from typing import Any

from bayesnas_tf.config import resolve
from bayesnas_tf.config.gin_files import Binding, Block, Import, Macro, Reference, Statement
from bayesnas_tf.config.help import EXAMPLES
from bayesnas_tf.config.registry import is_constant, lookup, ours, parameter, registered
from bayesnas_tf.errors import UserError, did_you_mean
from bayesnas_tf.options import Unfit, annotations, described, fitted

ROOTS = ("search", "evaluate", "sweep")  # commands that read a configuration


def check_names(statements: Sequence[Statement]) -> None:
    """Every configurable, parameter, macro and scope must exist, and every macro be used."""
    _check_cycles(statements)
    _check_scopes(statements)
    macros = {s.macro_name: s for s in statements if isinstance(s, Binding) and s.macro_name}
    used = set()
    for statement in statements:
        if isinstance(statement, Block):
            lookup(statement.selector, statement.where)
        if not isinstance(statement, Binding):
            continue
        if statement.argument:
            parameter(statement)
        for leaf in resolve.leaves(statement.value):
            if isinstance(leaf, Reference):
                lookup(leaf.name.rsplit("/", 1)[-1], statement.where)
            elif isinstance(leaf, Macro) and not is_constant(leaf.name):
                used.add(leaf.name)
                if leaf.name not in macros:
                    hint = did_you_mean(leaf.name, macros) or f". Add a line {leaf.name} = VALUE"
                    raise UserError(f"the macro %{leaf.name} has no value. {statement.where}{hint}")
    for name in macros.keys() - used:
        hint = did_you_mean(name, used) or ". Remove it, or use it as %" + name
        raise UserError(f"no setting uses the macro {name!r}. {macros[name].where}{hint}")


def _check_cycles(statements: Sequence[Statement]) -> None:
    """Refuse a macro that stands for itself, directly or through others."""
    known = resolve.macros(statements)
    for s in statements:
        if isinstance(s, Binding) and s.macro_name in resolve.macros_in([known.get(s.macro_name)], known):
            raise UserError(f"the macro {s.macro_name!r} refers to itself. {s.where}. Give it a value")


def _check_scopes(statements: Sequence[Statement]) -> None:
    """Refuse a scope that no reference enters: what is set in it is never read.

    A module that a file imports may enter scopes of its own.
    """
    if any(isinstance(statement, Import) for statement in statements):
        return
    bindings = [s for s in statements if isinstance(s, Binding)]
    leaves = [leaf for s in bindings for leaf in resolve.leaves(s.value)]
    entered = {leaf.name.rpartition("/")[0] for leaf in leaves if isinstance(leaf, Reference)}
    for s in bindings:
        if s.argument and s.scope and not any(f"{e}/".startswith(f"{s.scope}/") for e in entered):
            hint = (
                did_you_mean(s.scope, filter(None, entered)) or f". Refer to it as @{s.scope}/{s.selector}()"
            )
            raise UserError(f"nothing uses the scope {s.scope!r} of {s.name}. {s.where}{hint}")


def check_types(statements: Sequence[Statement]) -> None:
    """Fit each value, macros resolved, to its annotation; a wrong one is named with its place."""
    macros = {s.macro_name: s for s in statements if isinstance(s, Binding) and s.macro_name}
    for statement in statements:
        if isinstance(statement, Binding) and statement.argument:
            entry = lookup(statement.selector, statement.where)
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
        wrapped = lookup(value.name.rsplit("/", 1)[-1], where).wrapped
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


def check_whole(command: str, statements: Sequence[Statement]) -> None:
    """Refuse a configuration that leaves out what a command needs: mostly it is that of another command."""
    entry = {entry.name: entry for entry in registered().values()}.get(command)
    if command not in ROOTS or entry is None:
        return
    bound = {s.argument for s in statements if isinstance(s, Binding) and s.selector == command}
    parameters = inspect.signature(entry.wrapped).parameters
    lacking = [p.name for p in parameters.values() if p.default is p.empty and p.name not in bound]
    if lacking or not bound:
        others = {s.selector for s in statements if isinstance(s, Binding)} & {*ROOTS} - {command}
        what = f"is for {' and '.join(sorted(others))}" if others else f"has no settings of {command}"
        raise UserError(
            f"the configuration {what}, and {command} needs {command}.{[*lacking, *parameters][0]}. "
            f"Give a file for {command}, such as {EXAMPLES[command][0]}"
        )


def unread(command: str, statements: Sequence[Statement]) -> list[Binding]:
    """Statements that change nothing, for the command does not read what they set.

    Of what others registered nobody knows who reads it: those are left out.
    """
    roots = resolve.ROOTS.get(command)
    if roots is None or not all(root in {entry.name for entry in registered().values()} for root in roots):
        return []

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
    known = [entry for entry in registered().values() if entry.name in names]
    found = [
        f"{entry.name}.{binding.argument}"
        for entry in known
        if binding.argument in inspect.signature(entry.wrapped).parameters
    ]
    return f" (did you mean {' or '.join(map(repr, sorted(found)))}?)" if found else ". Remove it"
