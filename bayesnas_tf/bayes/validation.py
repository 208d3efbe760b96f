"""Checks shared by the options of this folder."""

import math
from typing import Any, get_args


def one_of(name: str, value: Any, literal: Any) -> None:
    """`ValueError` unless `value` is one of the strings of the `Literal` type."""
    allowed = get_args(literal)
    if value not in allowed:
        raise ValueError(f"{name} = {value!r} is unknown. Use one of {', '.join(allowed)}")


def in_range(name: str, value: float, low: float, high: float = math.inf, open_low: bool = False) -> None:
    """`ValueError` unless low <= value < high (low < value when `open_low`)."""
    if not (low <= value < high) or (open_low and value == low):
        bracket = "(" if open_low else "["
        raise ValueError(f"{name} = {value!r} is out of range. It must lie in {bracket}{low:g}, {high:g})")
