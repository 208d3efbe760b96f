"""What the statements of a configuration come to: macros replaced, the last of several, and who reads it.

The one resolver of gin's language: checks, run directories, sweeps and reports all ask here.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bayesnas_tf.config.gin_files import Binding, Macro, Reference, Statement

# No result depends on where and how wide a sweep runs, how often a run reports, saves or compiles, and on how
# many devices or in which parts of a batch; but after a rollback, the step that training goes back to depends
# on how often it saves.
HOW = "EngineOptions."
WITHOUT_EFFECT = ("report_every", "checkpoint_every", "compile", "distribute", "row_groups")

# What each command builds its settings from.
ROOTS = {
    "search": ("search",),
    "evaluate": ("evaluate",),
    "sweep": ("sweep",),
    "export": ("evaluate",),
    "curvature": ("search", "evaluate", "CurvatureOptions"),
    "score": (),
}
# What a configurable asks gin for by itself, without a reference in a file.
ALSO_READS = {
    "named_strategy": (
        "BayesNasOptions",
        "DartsOptions",
        "RandomOptions",
        "RandomSharingOptions",
        "EnasOptions",
        "HalvingOptions",
        "EvolutionOptions",
    )
}


def macros(statements: Sequence[Statement]) -> dict[str, Any]:
    """Name -> value as read, the last one of each name."""
    return {s.macro_name: s.value for s in statements if isinstance(s, Binding) and s.macro_name}


def without_macros(value: Any, known: Mapping[str, Any]) -> Any:
    """A value as read, with the values of macros in their place, at every depth, through chains of macros."""
    if isinstance(value, Macro):
        others = {name: item for name, item in known.items() if name != value.name}
        return without_macros(known[value.name], others) if value.name in known else value
    if isinstance(value, dict):
        return {key: without_macros(item, known) for key, item in value.items()}
    if isinstance(value, tuple | list) and not isinstance(value, Reference):
        return tuple(without_macros(item, known) for item in value)
    return value


def settled(statements: Sequence[Statement]) -> dict[str, Any]:
    """`scope/selector.argument` -> value, macros replaced; of several statements the last one counts."""
    known = macros(statements)
    return {
        s.name: without_macros(s.value, known) for s in statements if isinstance(s, Binding) and s.argument
    }


def deciding(found: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `settled` statements that a result may depend on."""
    return {
        name: value
        for name, value in found.items()
        if not name.startswith(HOW) and name.rpartition(".")[2] not in WITHOUT_EFFECT
    }


def leaves(value: Any) -> Iterator[Any]:
    """References, macros and literals inside a nested value."""
    if isinstance(value, Macro | Reference):
        yield value
    elif isinstance(value, dict):
        for pair in value.items():
            yield from (leaf for item in pair for leaf in leaves(item))
    elif isinstance(value, tuple | list):
        yield from (leaf for item in value for leaf in leaves(item))
    else:
        yield value


def macros_in(values: Iterable[Any], known: Mapping[str, Any]) -> set[str]:
    """The names of all macros in values, and of those that these stand for."""
    found: set[str] = set()
    waiting = list(values)
    while waiting:
        new = {leaf.name for leaf in leaves(waiting.pop()) if isinstance(leaf, Macro)} - found
        found |= new
        waiting += [known[name] for name in new if name in known]
    return found


def lasting(statements: Sequence[Statement]) -> list[Binding]:
    """The last statement of each name, without the macros that none of them uses any more."""
    bindings = list({s.name: s for s in statements if isinstance(s, Binding)}.values())
    used = macros_in((s.value for s in bindings if s.argument), macros(statements))
    return [s for s in bindings if s.argument or s.macro_name in used]


class Place(NamedTuple):
    """A configurable by the last part of its name, under the scope in which it is called."""

    name: str
    scope: str

    def reads(self, binding: Binding) -> bool:
        """Whether it is what a statement sets, under a scope that it is in."""
        inside = not binding.scope or f"{self.scope}/".startswith(f"{binding.scope}/")
        return inside and binding.selector.rsplit(".", 1)[-1] == self.name


def read_by(command: str, statements: Sequence[Statement]) -> set[Place]:
    """What a command reads: its roots, and whatever these refer to."""
    known = macros(statements)
    bindings = list({s.name: s for s in statements if isinstance(s, Binding) and s.argument}.values())
    found: set[Place] = set()
    waiting = [Place(root, "") for root in ROOTS[command]]
    while waiting:
        place = waiting.pop()
        if place in found:
            continue
        found.add(place)
        waiting += [Place(name, place.scope) for name in ALSO_READS.get(place.name, ())]
        for binding in filter(place.reads, bindings):
            waiting += _referred(leaves(without_macros(binding.value, known)), place.scope)
    return found


def _referred(values: Iterable[Any], scope: str) -> list[Place]:
    """The places that references in values lead to, from within a scope."""
    names = [leaf.name.rpartition("/") for leaf in values if isinstance(leaf, Reference)]
    return [Place(name.rsplit(".", 1)[-1], own or scope) for own, _, name in names]


def unread(command: str, statements: Sequence[Statement], ours: Callable[[Binding], bool]) -> list[Binding]:
    """Statements without effect under a command: settings that it does not read, macros of those alone.

    Settings that are not `ours` count as read.
    """
    places = read_by(command, statements)
    bindings = [s for s in statements if isinstance(s, Binding)]
    settings = [s for s in bindings if s.argument]
    idle = [s for s in settings if ours(s) and not any(place.reads(s) for place in places)]
    used = macros_in((s.value for s in settings if s not in idle), macros(statements))
    return [*idle, *(s for s in bindings if s.macro_name and s.macro_name not in used)]
