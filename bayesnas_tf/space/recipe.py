"""A cell as a recipe: named values, each of them one operation of others. No TensorFlow.

A recipe reads `x`, the inputs, and `h_prev_0`, `h_prev_1`, ..., the states of the step before. Its values
`h_new_0`, `h_new_1`, ... are the states of this step, and `h_new_0` is the output. So NAS-Bench-NLP writes
cells.
"""

import re
import reprlib
from collections.abc import Iterable
from typing import Any, NamedTuple

X, OUTPUT = "x", "h_new_0"
MOST_VALUES = 64
MOST_INPUTS = 16  # of one value
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,39}")
_BEFORE = re.compile(r"h_prev_(0|[1-9]\d?)")
_NOW = re.compile(r"h_new_(0|[1-9]\d?)")


class Value(NamedTuple):
    """What `op` makes of the values `inputs`, in their order."""

    name: str
    op: str
    inputs: tuple[str, ...]


def state_before(name: str) -> int | None:
    """k, where a name is `h_prev_k`: state k as the step before left it."""
    found = _BEFORE.fullmatch(name)
    return int(found[1]) if found else None


def state_now(name: str) -> int | None:
    """k, where a name is `h_new_k`: state k of this step. `h_new_1_act` is a value like others."""
    found = _NOW.fullmatch(name)
    return int(found[1]) if found else None


def states(recipe: Iterable[Value]) -> list[int]:
    """The numbers of the states that a recipe reads, ascending."""
    read = {state_before(name) for value in recipe for name in value.inputs}
    return sorted(k for k in read if k is not None)


def from_dict(data: Any) -> tuple[Value, ...]:
    """Read the JSON object of a recipe, `{value: {"op": ..., "input": [...]}}`.

    Raises:
      ValueError: it is no such object; it says which value is wrong.
    """
    if not isinstance(data, dict) or not data:
        raise ValueError(f"broken recipe: {reprlib.repr(data)} must be an object with at least one value")
    if len(data) > MOST_VALUES:
        raise ValueError(f"broken recipe: {len(data)} values, but a cell has at most {MOST_VALUES}")
    return tuple(_value(name, given) for name, given in data.items())


def _value(name: Any, given: Any) -> Value:
    shown = reprlib.repr(name)
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError(
            f"broken recipe: {shown} is not a name. Use up to 40 letters, digits and underscores"
        )
    if not isinstance(given, dict) or not isinstance(given.get("op"), str):
        raise ValueError(f"broken recipe: {shown} has no 'op'")
    inputs = given.get("input")
    if not isinstance(inputs, list) or not all(isinstance(one, str) for one in inputs):
        raise ValueError(f"broken recipe: the 'input' of {shown} must be a list of names")
    if not 1 <= len(inputs) <= MOST_INPUTS:
        raise ValueError(f"broken recipe: {shown} has {len(inputs)} inputs. It needs 1 to {MOST_INPUTS}")
    return Value(name, given["op"][:60], tuple(one[:60] for one in inputs))


def to_dict(recipe: Iterable[Value]) -> dict[str, Any]:
    """The JSON object of a recipe."""
    return {value.name: {"op": value.op, "input": list(value.inputs)} for value in recipe}


def short(recipe: Iterable[Value]) -> str:
    """All of it in one line: `f=linear(x h_prev_0) h_new_0=tanh(f)`."""
    without = lambda op: op.removeprefix("activation_").removeprefix("elementwise_")  # noqa: E731
    return " ".join(f"{value.name}={without(value.op)}({' '.join(value.inputs)})" for value in recipe)


def live(recipe: Iterable[Value]) -> tuple[Value, ...]:
    """The values that the output needs, now or in a later step, each behind those that it reads.

    The order depends on the values alone, so that two files of one cell agree.

    Raises:
      ValueError: a value reads what there is not or, by a detour, itself; or the output does not depend on
        the inputs. What is dropped is checked too.
    """
    by_name = {value.name: value for value in recipe}
    if OUTPUT not in by_name:
        raise ValueError(f"it has no {OUTPUT!r}, the output")
    for value in by_name.values():
        _check_names(value, by_name)
    _in_order(by_name, by_name)
    wanted, found = [OUTPUT], _in_order([OUTPUT], by_name)
    while more := [name for k in states(found) if (name := f"h_new_{k}") not in wanted]:
        wanted += more  # a state that is read may read others
        found = _in_order(wanted, by_name)
    if not any(X in value.inputs for value in found):
        raise ValueError("its output does not depend on x, the inputs")
    return tuple(found)


def _check_names(value: Value, by_name: dict[str, Value]) -> None:
    """Every input exists, and no value is called as an input."""
    if value.name == X or state_before(value.name) is not None:
        raise ValueError(f"{value.name!r} is the name of an input, so that no value may have it")
    for name in value.inputs:
        k = state_before(name)
        if name != X and k is None and name not in by_name:
            raise ValueError(f"{value.name!r} reads {name!r}, which does not exist")
        if k is not None and f"h_new_{k}" not in by_name:
            raise ValueError(f"{value.name!r} reads {name!r}, but there is no 'h_new_{k}'")


def _in_order(wanted: Iterable[str], by_name: dict[str, Value]) -> list[Value]:
    """`wanted` values and all that they read in this step, depth first."""
    found: dict[str, Value] = {}
    under_way: set[str] = set()

    def visit(name: str) -> None:
        if name in found or name not in by_name:
            return
        if name in under_way:
            raise ValueError(f"{name!r} depends on itself")
        under_way.add(name)
        for one in by_name[name].inputs:
            visit(one)
        found[name] = by_name[name]

    for name in wanted:
        visit(name)
    return list(found.values())
