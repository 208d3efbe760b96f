"""What gin has registered: the one place that looks into its private tables."""

import inspect
from typing import Any

from gin import config as gin_config

from bayesnas_tf.config.gin_files import Binding
from bayesnas_tf.errors import UserError, did_you_mean

OURS = "bayesnas_tf."


class Unknown(UserError):
    """Nothing of a name is registered."""


def registered() -> dict[str, Any]:
    """Complete selector -> gin's record of the configurable, without gin's own."""
    # Gin offers no public list of what is registered.
    return {name: entry for name, entry in gin_config._REGISTRY.items() if not name.startswith("gin.")}


def lookup(selector: str, where: str) -> Any:
    """Gin's record of a configurable; `UserError` where there is none, or more than one."""
    matches = gin_config._REGISTRY.matching_selectors(selector)
    if len(matches) == 1:
        return gin_config._REGISTRY[matches[0]]
    if matches:
        raise UserError(f"{selector!r} is ambiguous. {where}. Write one of {', '.join(sorted(matches))}")
    found = registered()
    known = {entry.name for entry in found.values()} | set(found)
    raise Unknown(f"unknown name {selector!r}. {where}{did_you_mean(selector, known)}")


def parameter(binding: Binding) -> inspect.Parameter | None:
    """The parameter that a statement sets; None where the callable takes any keyword."""
    entry = lookup(binding.selector, binding.where)
    parameters = inspect.signature(entry.wrapped).parameters
    if binding.argument in parameters:
        return parameters[binding.argument]
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return None
    hint = did_you_mean(binding.argument, parameters) or f". It has {', '.join(parameters)}"
    raise UserError(f"{entry.name} has no parameter {binding.argument!r}. {binding.where}{hint}")


def is_constant(macro: str) -> bool:
    """Whether gin itself knows a macro, as a constant."""
    return bool(gin_config._CONSTANTS.matching_selectors(macro))


def ours(binding: Binding) -> bool:
    """Whether this package registered what a statement sets: of others nobody knows who reads it."""
    return lookup(binding.selector, binding.where).wrapped.__module__.startswith(OURS)
