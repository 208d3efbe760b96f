"""The configuration of a run as plain settings: what it was given, and which runs may be compared."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bayesnas_tf.config import gin_files
from bayesnas_tf.config.bindings import WITHOUT_EFFECT
from bayesnas_tf.errors import UserError

LAMBDA_W = "ScalarOptions.lambda_w"


class Budget(NamedTuple):
    """What decides how far a perplexity can fall: two of them never stand beside each other unmarked."""

    corpus: str
    limit_tokens: int  # 0: the whole corpus
    units: int
    epochs: int

    def __str__(self) -> str:
        """In words, with units."""
        part = "whole" if not self.limit_tokens else f"first {self.limit_tokens:,} tokens"
        epochs = f"{self.epochs:,} epoch{'' if self.epochs == 1 else 's'}"
        return f"{self.corpus} ({part}), {self.units} units, {epochs}"


class Settings(NamedTuple):
    """`Class.parameter` -> value, macros resolved."""

    values: Mapping[str, Any]

    def get(self, name: str, default: Any) -> Any:
        """A setting of the type of `default`; the default where it is absent or of another type."""
        value = self.values.get(name, default)
        if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
            return float(value)
        return value if type(value) is type(default) else default

    def completed(self, used: "Settings") -> "Settings":
        """These settings and those that were used, which are the stronger ones."""
        return Settings({**self.values, **used.values})

    def budget(self, kind: str, summary: Mapping[str, Any]) -> Budget:
        """Corpus, its limit, units and epochs; what the summary says of itself is stronger."""
        told = {name: summary.get(name) for name in ("units", "epochs")}
        units = self.get("CellOptions.units" if kind == "search" else "DerivedOptions.units", 0)
        return Budget(
            self.get("CorpusOptions.name", "unknown corpus"),
            self.get("CorpusOptions.limit_tokens", 0),
            told["units"] if type(told["units"]) is int else units,
            told["epochs"] if type(told["epochs"]) is int else self.get(f"{kind}.epochs", 0),
        )

    def protocol(self, without: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
        """All settings that can change a result, except those named."""
        kept = (
            (name, repr(value))
            for name, value in self.values.items()
            if name not in without and name.rpartition(".")[2] not in WITHOUT_EFFECT
        )
        return tuple(sorted(kept))


def read(text: str, source: str) -> Settings:
    """The settings of one gin text; `ValueError` when it is none."""
    try:
        statements = gin_files.read_text(text, source)
    except UserError as error:
        raise ValueError(str(error)) from error
    bindings = [statement for statement in statements if isinstance(statement, gin_files.Binding)]
    macros = {binding.macro_name: binding.value for binding in bindings if binding.macro_name}
    values = {}
    for binding in bindings:
        if not binding.macro_name:
            value = binding.value
            if isinstance(value, gin_files.Macro):
                value = macros.get(value.name)
            scope = f"{binding.scope}/" if binding.scope else ""
            values[f"{scope}{binding.selector}.{binding.argument}"] = value
    return Settings(values)
