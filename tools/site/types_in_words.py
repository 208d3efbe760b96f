"""Types and defaults of settings in words."""

import dataclasses
import math
import types
import typing
from typing import Annotated, Any, Literal

from bayesnas_tf.options import Range, is_file

PLAIN = {int: "whole number", float: "number", bool: "`True` or `False`", str: "text", type(None): "`None`"}


def limits(span: Range) -> str:
    """A range behind the name of its type: `, at least 1`."""
    low = f"above {span.low:,.15g}" if span.open_low else f"at least {span.low:,.15g}"
    high = f"below {span.high:,.15g}" if span.open_high else f"at most {span.high:,.15g}"
    return "".join(
        f", {end}" for end, number in ((low, span.low), (high, span.high)) if math.isfinite(number)
    )


def in_words(expected: Any) -> str:
    """An annotation as a reader of a table wants it."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if is_file(expected) and origin is Annotated:
        return "path of a file"
    if origin is Annotated:
        return in_words(arguments[0]) + "".join(
            limits(mark) for mark in arguments[1:] if isinstance(mark, Range)
        )
    if origin is Literal:
        return "one of " + ", ".join(f"`{choice!r}`" for choice in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(in_words(argument) for argument in arguments)
    if origin in (tuple, list):
        kinds = [in_words(argument) for argument in arguments if argument is not Ellipsis]
        return (
            f"tuple: each {kinds[0]}"
            if Ellipsis in arguments or len(kinds) == 1
            else f"tuple: {', '.join(kinds)}"
        )
    if origin is dict:
        return "dictionary"
    if dataclasses.is_dataclass(expected):
        return f"`{getattr(expected, '__name__', expected)}`"
    return PLAIN.get(expected, f"`{getattr(expected, '__name__', expected)}`")


def default_in_words(field: dataclasses.Field) -> str:
    """The default of a field, as gin writes it; a field without one must be set."""
    if field.default is not dataclasses.MISSING:
        return f"`{field.default!r}`"
    if field.default_factory is dataclasses.MISSING:
        return "must be set"
    value = field.default_factory()
    return f"`@{type(value).__name__}()`" if dataclasses.is_dataclass(value) else f"`{value!r}`"
