"""Whether a literal of a gin file fits the annotation of the parameter it is bound to."""

import types
import typing
from typing import Any

from bayesnas_tf.config.gin_files import Macro, Reference


def matches(value: Any, expected: Any) -> bool:
    """Whether a literal may stand where `expected` is annotated; what is no plain type matches all."""
    if isinstance(value, Macro | Reference):
        return True
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Literal:
        return any(value == choice and type(value) is type(choice) for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return any(matches(value, choice) for choice in arguments)
    if origin is typing.Annotated:
        return matches(value, arguments[0])
    if origin in (tuple, list) or expected in (tuple, list):
        return _sequence_matches(value, origin or expected, arguments)
    if expected is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if expected is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if expected in (bool, str, dict, type(None)):
        return isinstance(value, expected)
    return True


def _sequence_matches(value: Any, kind: type, arguments: tuple[Any, ...]) -> bool:
    """Tuples and lists: gin writes either with the brackets of the other without harm."""
    if not isinstance(value, tuple | list):
        return False
    if not arguments:
        return True
    if kind is list or (len(arguments) == 2 and arguments[1] is Ellipsis):
        return all(matches(item, arguments[0]) for item in value)
    return len(value) == len(arguments) and all(map(matches, value, arguments))


def texts(expected: Any) -> list[str]:
    """The strings that an annotation enumerates."""
    if typing.get_origin(expected) is typing.Literal:
        return [choice for choice in typing.get_args(expected) if isinstance(choice, str)]
    return [text for part in typing.get_args(expected) for text in texts(part)]


def describe(expected: Any) -> str:
    """An annotation in words for an error."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is typing.Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(describe(choice) for choice in arguments)
    words = {
        int: "a whole number",
        float: "a number",
        bool: "True or False",
        str: "a text",
        type(None): "None",
    }
    if expected in words:
        return words[expected]
    return str(expected if origin else getattr(expected, "__name__", expected))
