"""What every options class promises of its values: their type, their range, and that numbers are finite.

The annotation of a field says it all, for Python, for gin files and for the docs:

    units: Units = 300
    lr: Annotated[float, Range(0.0)] = 1.0

A whole number is a float where a float is wanted, and a list a tuple; nothing else is converted.
"""

import dataclasses
import functools
import inspect
import math
import numbers
import types
import typing
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

from bayesnas_tf.errors import did_you_mean


class Range(NamedTuple):
    """From `low` to `high`, both included unless open."""

    low: float = -math.inf
    high: float = math.inf
    open_low: bool = False
    open_high: bool = False

    def __contains__(self, value: object) -> bool:
        """Whether a number lies in it; NaN never does."""
        if not isinstance(value, int | float):
            return False
        above = self.low < value if self.open_low else self.low <= value
        return above and (value < self.high if self.open_high else value <= self.high)

    def missed(self, value: float) -> str:
        """What a number outside of it must be: `be at least 1`, `be at most 64`, `lie in [0, 1)`."""
        if self.open_high or (self.open_low and self.high < math.inf):
            ends = "(" if self.open_low else "[", ")" if self.open_high else "]"
            return f"be in {ends[0]}{self.low:g}, {self.high:g}{ends[1]}"
        if value > self.high:
            return f"be at most {self.high:,.15g}"
        return f"be above {self.low:g}" if self.open_low else f"be at least {self.low:g}"


class File(NamedTuple):
    """Marks the path of a file: a relative one in a gin file is looked for beside that gin file first."""


FilePath = Annotated[str, File()]
Whole = Annotated[int, Range(0)]
Count = Annotated[int, Range(1)]
Units = Annotated[int, Range(1, 100_000)]
Rows = Annotated[int, Range(1, 1_000_000)]  # of a batch
Steps = Annotated[int, Range(1, 100_000)]  # of a window
Seed = Annotated[int, Range(0, 2**31 - 1)]
NonNegative = Annotated[float, Range(0.0)]
Positive = Annotated[float, Range(0.0, open_low=True)]
Below1 = Annotated[float, Range(0.0, 1.0, open_high=True)]
Dropout = Below1  # a probability of dropping


def is_file(expected: Any) -> bool:
    """Whether an annotation is that of a file, or of several."""
    arguments = typing.get_args(expected)
    if typing.get_origin(expected) is Annotated:
        return any(isinstance(mark, File) for mark in arguments[1:])
    several = (tuple, typing.Union, types.UnionType)
    return typing.get_origin(expected) in several and any(map(is_file, arguments))


class Unfit(ValueError):
    """A value that its annotation does not allow; the message goes on after the value: `must be ...`."""


def fitted(value: Any, expected: Any) -> Any:
    """The value as an annotation wants it.

    Raises:
      Unfit: it has another type, lies outside of the range, or is a number that is not finite.
    """
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if expected is Any or isinstance(expected, typing.TypeVar):
        return value
    if origin is Annotated:
        return _in_range(fitted(value, arguments[0]), arguments[1:])
    if origin is Literal:
        return _one_of(value, arguments)
    if origin in (typing.Union, types.UnionType):
        return _one_kind_of(value, expected, arguments)
    if origin in (tuple, list) or expected in (tuple, list):
        return _sequence(value, expected, arguments)
    return _plain(value, origin or expected)


def checked(name: str, value: Any, expected: Any) -> Any:
    """What `fitted` makes of a value; `ValueError` names it, shows it, and says what it must be."""
    try:
        return fitted(value, expected)
    except Unfit as error:
        raise ValueError(f"{name}={value!r} {error}") from None


def _in_range(value: Any, marks: tuple) -> Any:
    """The value, if every `Range` among the marks holds it."""
    for mark in marks:
        if isinstance(mark, Range) and value not in mark:
            raise Unfit(f"must {mark.missed(value)}")
    return value


def _one_of(value: Any, choices: tuple) -> Any:
    """The value, if it is one of a `Literal`."""
    if any(value == choice and type(value) is type(choice) for choice in choices):
        return value
    hint = did_you_mean(value, [c for c in choices if isinstance(c, str)]) if isinstance(value, str) else ""
    raise Unfit(f"must be one of {', '.join(map(repr, choices))}{hint}")


def _one_kind_of(value: Any, expected: Any, kinds: tuple) -> Any:
    """The value as the first kind of a union that takes it."""
    if value is None and type(None) in kinds:
        return None
    others = [kind for kind in kinds if kind is not type(None)]
    for kind in others:
        try:
            return fitted(value, kind)
        except Unfit as error:
            if len(others) == 1 and str(error) != f"must be {described(kind)}":
                raise
    raise Unfit(f"must be {described(expected)}")


def _sequence(value: Any, expected: Any, arguments: tuple) -> Any:
    """A tuple or list, item by item; gin writes either with the brackets of the other."""
    kind = typing.get_origin(expected) or expected
    if not isinstance(value, tuple | list):
        raise Unfit(f"must be {described(expected)}")
    endless = kind is list or (len(arguments) == 2 and arguments[1] is Ellipsis)
    if arguments and not endless and len(value) != len(arguments):
        raise Unfit(f"must be {described(expected)}")
    wanted = [arguments[0]] * len(value) if endless and arguments else arguments or [Any] * len(value)
    return kind(_item(item, of, expected) for item, of in zip(value, wanted, strict=True))


def _item(value: Any, expected: Any, of: Any) -> Any:
    """One item of a tuple."""
    try:
        return fitted(value, expected)
    except Unfit as error:
        raise Unfit(f"must be {described(of)}: {value!r} {error}") from None


def _plain(value: Any, kind: Any) -> Any:
    """A number, a text, a dictionary, or an instance of a class."""
    number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    if kind is float and number:
        try:
            exact = float(value)
        except OverflowError:
            exact = math.inf
        if not math.isfinite(exact):
            raise Unfit("must be finite")
        return exact
    if kind is int and number and isinstance(value, numbers.Integral):
        return int(value)
    if kind in (int, float) or not isinstance(value, kind):
        raise Unfit(f"must be {described(kind)}{_instead(value, kind)}")
    return value


def _instead(value: Any, kind: Any) -> str:
    """What was forgotten: options were named, and not made."""
    forgotten = isinstance(value, type) and isinstance(kind, type) and issubclass(value, kind)
    return f". Write @{value.__name__}(), with brackets" if forgotten else ""


def described(expected: Any) -> str:
    """An annotation in words."""
    origin, arguments = typing.get_origin(expected), typing.get_args(expected)
    if origin is Annotated:
        return described(arguments[0])
    if origin is Literal:
        return "one of " + ", ".join(map(repr, arguments))
    if origin in (typing.Union, types.UnionType):
        return " or ".join(described(kind) for kind in arguments)
    if origin in (tuple, list):
        many = len(arguments) == 2 and arguments[1] is Ellipsis
        if not many and origin is tuple:
            return f"a tuple of {len(arguments)}"
        one = described(arguments[0])
        plurals = {"a whole number": "whole numbers", "a number": "numbers", "a text": "texts"}
        return f"a tuple of {plurals.get(one) or f'items, each {one}'}"
    words = {int: "a whole number", float: "a number", bool: "True or False", str: "a text"}
    words |= {type(None): "None", dict: "a dictionary", tuple: "a tuple", list: "a tuple"}
    if (kind := origin or expected) in words:
        return words[kind]
    names = [leaf.__name__ for leaf in _leaves(kind)] if isinstance(kind, type) else [str(kind)]
    return " or ".join(f"@{name}()" for name in names)


def _leaves(kind: type) -> list[type]:
    """A class, or those that inherit from it and from which none inherits."""
    below: list[type] = kind.__subclasses__()
    return [leaf for one in below for leaf in _leaves(one)] if below else [kind]


@functools.cache
def annotations(wrapped: Any) -> dict[str, Any]:
    """Annotations of the parameters of a function or class; empty where they cannot be resolved."""
    try:
        function = vars(wrapped)["__init__"] if isinstance(wrapped, type) else wrapped
        return typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError, KeyError):
        return {}


class Options:
    """Base of the frozen dataclasses that a gin file may set: every value is `fitted` to its annotation.

    A subclass that checks values against each other does so in `__post_init__`, after this one.
    """

    __dataclass_fields__: ClassVar[dict[str, dataclasses.Field[Any]]]  # every subclass is a dataclass
    configured_as: ClassVar[str] = ""  # its name in gin, where that is not the name of the class

    @classmethod
    def of(cls, **values) -> typing.Self:
        """For Python programs: a part that is not given has its defaults. A gin file names every part."""
        kinds, parameters = typing.get_type_hints(cls), inspect.signature(cls).parameters.values()
        lacking = [p.name for p in parameters if p.default is p.empty and p.name not in values]
        return cls(**{name: kinds[name]() for name in lacking}, **values)

    def __post_init__(self):
        """Fit every value; `ValueError` names the setting, its value and what it must be."""
        # mypy takes the `__hash__` of an instance for that of its class
        kinds = annotations(type(self))  # type: ignore[arg-type]
        owner = self.configured_as or type(self).__name__
        for field in dataclasses.fields(self):
            value, expected = getattr(self, field.name), kinds.get(field.name, Any)
            object.__setattr__(self, field.name, checked(f"{owner}.{field.name}", value, expected))
