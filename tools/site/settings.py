"""The page of all settings, generated from the options classes."""

import dataclasses
import inspect
import re
import typing
from collections.abc import Iterator

from bayesnas_tf.config import bindings, registry
from tools.site.meanings import meanings
from tools.site.types_in_words import default_in_words, in_words

ROOTS = ("search", "evaluate", "sweep")
HEAD = """# Settings

Every setting that a gin file or `--gin_param` can change, generated from the code by
`python -m tools.site`. `search`, `evaluate` and `sweep` are the roots; most of their settings are
groups of this page. [Configure](../how_to/configure.md) shows how to set them, and
[the method](../method.md) explains them.
"""


def groups() -> dict[str, typing.Any]:
    """Name in a gin file -> what is configured: the roots first, then in alphabetical order."""
    bindings.load()
    found = registry.registered().items()
    entries = {entry.name: entry.wrapped for name, entry in found if name.startswith(registry.OURS)}
    return {name: entries[name] for name in [*ROOTS, *sorted(entries.keys() - ROOTS)]}


class Setting(typing.NamedTuple):
    """One line of the page."""

    name: str
    kind: str
    default: str
    meaning: str


def settings_of(owner: typing.Any) -> Iterator[Setting]:
    """What can be set of a class or a function."""
    hints = typing.get_type_hints(owner, include_extras=True)
    if not (isinstance(owner, type) and dataclasses.is_dataclass(owner)):
        for name, parameter in inspect.signature(owner).parameters.items():
            default = "must be set" if parameter.default is parameter.empty else f"`{parameter.default!r}`"
            yield Setting(name, in_words(hints[name]), default, "what the group is for, above")
        return
    notes = meanings(owner)
    for field in dataclasses.fields(owner):
        kind, group = hints[field.name], options_of(hints[field.name])
        meaning = notes.get(field.name) or (group and f"its [group](#{group.lower()})")
        yield Setting(field.name, in_words(kind), default_in_words(field), meaning)


def options_of(expected: typing.Any) -> str:
    """The name of the options class that an annotation wants; empty where it wants none."""
    kinds = [
        kind
        for kind in (expected, *typing.get_args(expected))
        if isinstance(kind, type) and dataclasses.is_dataclass(kind)
    ]
    return str(kinds[0].__name__) if kinds else ""


def cell(text: str) -> str:
    """A text in a Markdown table."""
    return re.sub(r"(?<!\\)\|", r"\\|", " ".join(text.split()))


def section(name: str, owner: typing.Any) -> str:
    """One group: what it is for, and its settings."""
    rows = [
        f"| `{s.name}` | {cell(s.kind)} | {cell(s.default)} | {cell(s.meaning)} |" for s in settings_of(owner)
    ]
    head = ["| Setting | Type | Default | Meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {name}", "", inspect.getdoc(owner) or "", "", *head, *rows])


def page() -> str:
    """The page as Markdown."""
    return "\n\n".join([HEAD.strip(), *(section(*group) for group in groups().items())]) + "\n"
