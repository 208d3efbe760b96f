"""What a report says, before it is a page."""

from typing import NamedTuple

from bayesnas_tf.report.cards import Card
from bayesnas_tf.report.cells import Protocol
from bayesnas_tf.report.comparisons import Comparison
from bayesnas_tf.report.figures import Figure
from bayesnas_tf.report.records import Collection, Problem, Run
from bayesnas_tf.report.tables import Table


class Section(NamedTuple):
    """A heading and what stands below it; `empty` is said where there is nothing."""

    name: str
    title: str
    intro: str
    empty: str
    sentences: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    figures: tuple[Figure, ...] = ()
    cards: tuple[Card, ...] = ()


class Content(NamedTuple):
    """Everything that a report says."""

    collection: Collection
    protocols: tuple[Protocol, ...]
    comparisons: tuple[Comparison, ...]
    problems: tuple[Problem, ...]

    @property
    def searches(self) -> list[Run]:
        """The searches that ended."""
        return [run for run in self.collection.runs if run.kind == "search" and run.summary]
