"""What an annotation makes of a value, and that every options class promises it."""

import dataclasses
import inspect
import typing
from typing import Annotated, Literal

import numpy as np
import pytest

from bayesnas_tf import options
from bayesnas_tf.config import bindings, registry
from bayesnas_tf.options import Options, Range, Unfit, fitted
from tests import configurables

INF, NAN = float("inf"), float("nan")


@pytest.mark.parametrize(
    ("value", "expected", "found"),
    [
        (1, float, 1.0),
        (np.float32(0.5), float, 0.5),
        (np.int64(3), int, 3),
        (None, int | None, None),
        (3, float | None, 3.0),
        ([1, 2], tuple[int, ...], (1, 2)),
        ([1, 2], tuple[float, float], (1.0, 2.0)),
        ((1, "a"), tuple[int, str], (1, "a")),
        ([], list[str], []),
        ({"a": 1}, dict[str, typing.Any], {"a": 1}),
        (2, Literal[1, 2], 2),
        (0, Annotated[float, Range(0.0)], 0.0),
        ("anything", typing.Any, "anything"),
    ],
)
def test_what_fits_an_annotation(value, expected, found):
    got = fitted(value, expected)
    assert got == found
    assert type(got) is type(found)


@pytest.mark.parametrize(
    ("value", "expected", "words"),
    [
        (1.0, int, "a whole number"),
        (True, float, "a number"),
        (True, int, "a whole number"),
        (1, bool, "True or False"),
        ("1", float, "a number"),
        (None, int, "a whole number"),
        (1.5, int | None, "a whole number or None"),
        (10**400, float, "finite"),
        (INF, float, "finite"),
        (-INF, float, "finite"),
        (NAN, float, "finite"),
        (INF, float | None, "finite"),
        ((1.0, NAN), tuple[float, ...], "finite"),
        ((1, 2), tuple[int, str, int], "a tuple of 3"),
        ("ab", tuple[str, ...], "a tuple of texts"),
        (["a"], list[int], "a whole number"),
        (1.0, Literal[1, 2], "one of 1, 2"),
        (True, Literal[1, 2], "one of 1, 2"),
        ("bacth", Literal["batch", "mean"], "did you mean 'batch'?"),
        (0, Annotated[int, Range(1)], "be at least 1"),
        (65, Annotated[int, Range(1, 64)], "be at most 64"),
        (0.0, options.Positive, "be above 0"),
        (1.0, options.Dropout, r"be in [0, 1)"),
        (-0.1, options.Dropout, r"be in [0, 1)"),
        ((1, 0), tuple[options.Units, ...], "0 must be at least 1"),
        ("anything", configurables.ToyOptions, "@ToyOptions()"),
        (configurables.ToyOptions, configurables.ToyOptions, "Write @ToyOptions(), with brackets"),
    ],
)
def test_what_does_not_fit_says_what_it_must_be(value, expected, words):
    with pytest.raises(Unfit) as error:
        fitted(value, expected)
    assert str(error.value).startswith("must ")
    assert words in str(error.value)


@dataclasses.dataclass(frozen=True)
class Small(Options):
    """Two numbers."""

    rate: options.NonNegative = 1.0
    widths: tuple[int, ...] = ()


def test_an_options_class_fits_its_values_and_names_what_does_not_fit():
    small = Small(rate=2, widths=[3, 4])
    assert (small.rate, type(small.rate), small.widths) == (2.0, float, (3, 4))
    with pytest.raises(ValueError, match=r"^Small\.rate=-1 must be at least 0$"):
        Small(rate=-1)


def registered():
    """Every class of this package that a gin file may set."""
    bindings.load()
    found = {entry.wrapped for entry in registry.registered().values()}
    return sorted(
        (kind for kind in found if inspect.isclass(kind) and kind.__module__.startswith("bayesnas_tf.")),
        key=lambda kind: kind.__name__,
    )


@dataclasses.dataclass(frozen=True)
class Root(Options):
    """One part without a default, as the root of a command has them, and one with."""

    small: Small
    epochs: int = 1


def test_of_gives_defaults_to_the_parts_that_a_program_leaves_out():
    assert Root.of(epochs=3) == Root(Small(), 3)
    assert Root.of(small=Small(2.0)) == Root(Small(2.0), 1)
    with pytest.raises(TypeError, match="no_such"):
        Root.of(no_such=1)


def test_every_options_class_makes_these_promises():
    kinds = registered()
    assert len(kinds) > 20
    for kind in kinds:
        assert issubclass(kind, Options), kind
        assert dataclasses.fields(kind) or kind.__name__ == "BayesNasOptions"
        assert all(name in options.annotations(kind) for name in (f.name for f in dataclasses.fields(kind)))


def numbers_of(kind):
    """The numeric settings of a class, and what a good value is."""
    for field in dataclasses.fields(kind):
        hint = options.annotations(kind)[field.name]
        plain = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
        if plain in (int, float):
            yield field.name, plain


def test_no_numeric_setting_takes_infinity_nan_or_another_type():
    tried = 0
    for kind in registered():
        if any(
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
            for field in dataclasses.fields(kind)
        ):
            continue  # search, evaluate: their numbers are tested through the commands
        for name, plain in numbers_of(kind):
            for bad in (INF, -INF, NAN, True, "1", None, (1,), *([0.5] if plain is int else [])):
                with pytest.raises(ValueError, match=rf"{kind.__name__}\.{name}=.* must "):
                    kind(**{name: bad})
                tried += 1
    assert tried > 300


def test_a_whole_number_is_a_float_in_every_option_that_takes_one():
    tried = 0
    for kind in registered():
        for name, plain in numbers_of(kind):
            if plain is not float:
                continue
            hint = options.annotations(kind)[name]
            marks = [mark for mark in typing.get_args(hint)[1:] if isinstance(mark, Range)]
            whole = next((k for k in (1, 0, 2) if all(k in mark for mark in marks)), None)
            if whole is None:
                continue  # no whole number lies between 0 and 1
            assert fitted(whole, hint) == float(whole)
            assert type(fitted(whole, hint)) is float
            tried += 1
    assert tried > 40
