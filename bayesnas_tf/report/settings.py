"""The configuration of a run as plain settings: what it was given, and which runs may be compared."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from bayesnas_tf.config import gin_files, resolve
from bayesnas_tf.config.gin_files import Reference
from bayesnas_tf.data.corpora.records import RECORDS
from bayesnas_tf.errors import UserError
from bayesnas_tf.report import tables

LAMBDA_W = "ScalarOptions.lambda_w"
SEARCHED = "bayesnas"  # the strategy of a search that names none
STRATEGIES = {
    "BayesNasOptions": SEARCHED,
    "RandomOptions": "random",
    "RandomSharingOptions": "random_ws",
    "EnasOptions": "enas",
    "HalvingOptions": "halving",
    "EvolutionOptions": "evolution",
}


class Budget(NamedTuple):
    """What decides how far a perplexity can fall: two of them never stand beside each other unmarked."""

    corpus: str
    limit_tokens: int  # 0: the whole corpus
    units: int  # 0 where they follow from `parameters`
    epochs: int
    parameters: int = 0  # > 0: cells have equal size, and not equal units

    @property
    def size(self) -> str:
        """In words, with its unit."""
        return f"{self.parameters:,} parameters" if self.parameters else f"{self.units} units"

    def __str__(self) -> str:
        """In words, with units."""
        part = "whole" if not self.limit_tokens else f"first {self.limit_tokens:,} tokens"
        return f"{self.corpus} ({part}), {self.size}, {tables.counted(self.epochs, 'epoch')}"


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
        """What was configured, never what came of it: with patience, seeds of one cell end at other epochs.

        Only the units are those of the summary where it tells them: a baseline's stand in options of its own.
        """
        units = self.get("CellOptions.units" if kind == "search" else "DerivedOptions.units", 0)
        told, parameters = summary.get("units"), 0
        if kind != "search" and not summary.get("baseline"):
            parameters = self.get("DerivedOptions.parameters", 0)
        return Budget(
            self._corpus(summary),
            self.get("CorpusOptions.limit_tokens", 0),
            0 if parameters else told if type(told) is int else units,
            self.get(f"{kind}.epochs", 1),
            parameters,
        )

    def _corpus(self, summary: Mapping[str, Any]) -> str:
        """The corpus, with its vocabulary where that is not its own: another vocabulary is another corpus.

        Version 0.1 recorded 10,000 words as the default for every corpus, and no corpus in its summaries.
        """
        if isinstance(summary.get("corpus"), str):
            return summary["corpus"]
        name = self.get("CorpusOptions.name", "unknown corpus")
        size = self.get("CorpusOptions.vocabulary_size", 0)
        own = RECORDS[name].types if name in RECORDS else 0
        return f"{name}-{size}" if 0 < size < own and size != 10_000 else name

    def protocol(self, without: tuple[str, ...] = ()) -> tuple[tuple[str, str], ...]:
        """All settings that can change a result, except those named."""
        kept = resolve.deciding(self.values).items()
        return tuple(sorted((name, repr(_plain(value))) for name, value in kept if name not in without))


def asked_strategy(settings: Settings) -> str:
    """The strategy that a search was configured with, where no summary tells."""
    value = settings.values.get("search.strategy")
    name = value.name if isinstance(value, Reference) else ""
    if name == "named_strategy":
        return settings.get("named_strategy.name", SEARCHED)
    if name == "DartsOptions":
        return f"darts{settings.get('DartsOptions.order', 2)}"
    return STRATEGIES.get(name, SEARCHED)


def _plain(value: Any) -> Any:
    """A value with whole numbers as such: 20 and 20.0 are one setting, and earlier versions kept either."""
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return int(value) if isinstance(value, float) and value.is_integer() else value


def read(text: str, source: str) -> Settings:
    """The settings of one gin text; `ValueError` when it is none."""
    try:
        statements = gin_files.read_text(text, source)
    except UserError as error:
        raise ValueError(str(error)) from error
    return Settings(resolve.settled(statements))
