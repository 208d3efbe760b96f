"""The sections of the page, in the order in which it is read."""

from collections.abc import Sequence

from bayesnas_tf.report import cards, figures, judgement, printed, statistics, tables, thesis_tables
from bayesnas_tf.report.cells import Protocol
from bayesnas_tf.report.content import Content, Section
from bayesnas_tf.report.records import Collection, Problem, Run, as_number
from bayesnas_tf.report.tables import Column, Group, Table


def build(content: Content) -> list[Section]:
    """All sections; one that has nothing to show says so."""
    return [
        judgement.short(content.comparisons),
        _results(content),
        judgement.budgets(content.protocols),
        judgement.answers(content.comparisons),
        judgement.strategies(content),
        _progress(content),
        _stability(content.protocols),
        _sizes(content.protocols),
        _cells(content),
        _health(content.searches),
        _failures(content.collection),
        _unread(content.problems),
    ]


def _results(content: Content) -> Section:
    """The thesis' tables."""
    found = thesis_tables.build(printed.tables(), content.protocols)
    return Section(
        "results",
        "Results",
        "Tables in the shape of the thesis' 5.1 to 5.3. Perplexities are static: no dynamic evaluation, no "
        "cache, no softmax temperature. A table appears when a cell was trained on its text.",
        "No training of a cell has ended here.",
        tables=tuple(found),
    )


def _progress(content: Content) -> Section:
    """Figure 5.3."""
    drawn = (*figures.progress(content.searches), *figures.training(content.protocols))
    intro = (
        "Like figure 5.3 of the thesis: a line is the mean over seeds (searches) or over cells (trainings). "
        "The band is one standard deviation each way, where there are two or more."
    )
    table, empty = _by_lambda(content.searches), "No run here has two points of a curve."
    return Section("progress", "Search progress", intro, empty, tables=table, figures=drawn)


def _by_lambda(searches: Sequence[Run]) -> tuple[Table, ...]:
    """What searches ended with, for each λ_w of each configuration that has two seeds of one."""
    columns = [Column("λ_w", number=False), Column("Seeds", "n"), Column("Supernet, valid", "perplexity")]
    columns += [Column("Live nodes"), Column("Pruned", "% of edge operations")]
    groups = []
    for group in figures.search_groups(searches):
        if any(len(runs) > 1 for runs in group.by_lambda.values()):
            rows = tuple(_one_lambda(value, runs) for value, runs in group.by_lambda.items())
            groups.append(Group("plain", group.label, rows))
    caption = "Searches by λ_w: mean ± standard deviation over seeds"
    return (Table(caption, tuple(columns), tuple(groups)),) if groups else ()


def _one_lambda(lambda_w: float, runs: Sequence[Run]) -> tuple[str, ...]:
    """The searches with one λ_w."""
    ppl, nodes, pruned = (
        statistics.sample([run.number(name) for run in runs])
        for name in ("valid_ppl", "live_nodes", "pruned_fraction")
    )
    percent = pruned._replace(mean=100 * pruned.mean, sd=100 * pruned.sd)
    told = (tables.spread(ppl), tables.spread(nodes, 1), tables.spread(percent, 0))
    return f"{lambda_w:g}", str(len(runs)), *told


def _stability(protocols: Sequence[Protocol]) -> Section:
    """Whether a shorter training would rank the same."""
    drawn = tuple(figures.ranks(figures.stabilities(protocols)))
    empty = f"Rank stability needs {figures.RANKABLE} cells of one configuration, validated twice or more."
    return Section("ranks", "Rank stability", "", empty, figures=drawn)


def _sizes(protocols: Sequence[Protocol]) -> Section:
    """Parameters against perplexity."""
    drawn = tuple(figures.sizes(protocols))
    return Section(
        "sizes", "Parameters against perplexity", "", "No training of a cell has ended here.", figures=drawn
    )


def _cells(content: Content) -> Section:
    """Figures 5.1 and 5.2."""
    intro = (
        "Every cell that a search found, drawn like figures 5.1 and 5.2 of the thesis, the best first. "
        "γ is the prior variance of each scalar after the last update: edges run from the source (across) "
        "to the target (down). Crosses mark pruned scalars; frames mark the choices of the cell, if no node "
        "was dropped."
    )
    found = tuple(cards.build(content.collection, content.protocols))
    return Section("cells", "Cells", intro, "No search has ended here.", cards=found)


HEALTH = {
    "gain": ("Gain", "share", ".1%"),
    "pull_ratio": ("Pull of L1", "ratio", ".3g"),
    "travel": ("Travel", "", ".2f"),
    "h_reliability": ("Reliability of h", "Spearman", ".2f"),
    "stability": ("Stability", "share", ".0%"),
    "mean_depth": ("Mean depth", "steps", ".2f"),
    "identity_share": ("Identity", "share", ".0%"),
}


def _health(searches: Sequence[Run]) -> Section:
    """What each search says about itself."""
    columns = [Column("Search", number=False), Column("Valid", "supernet perplexity"), Column("Live nodes")]
    columns += [Column(label, unit) for label, unit, _ in HEALTH.values()]
    rows = []
    warnings: dict[str, list[str]] = {}
    for run in searches:
        told = run.summary.get("health")
        told = told if isinstance(told, dict) else {}
        numbers = (_health_number(told.get(name), form) for name, (_, _, form) in HEALTH.items())
        ended = (tables.value(run.number("valid_ppl")), tables.value(run.number("live_nodes"), ".0f"))
        rows.append((run.path, *ended, *numbers))
        for sentence in told["warnings"] if isinstance(told.get("warnings"), list) else []:
            warnings.setdefault(str(sentence), []).append(run.path)
    sentences = [f"{sentence} ({', '.join(paths)})" for sentence, paths in warnings.items()]
    warned = len({path for paths in warnings.values() for path in paths})
    intro = f"{warned} of {len(rows)} searches give a warning." if rows else ""
    table = (
        Table(
            "What each search measured of its own signal", tuple(columns), (Group("plain", "", tuple(rows)),)
        ),
    )
    return Section(
        "health",
        "Health of the searches",
        intro,
        "No search has ended here.",
        tuple(sentences),
        (*table, *_discretisation(searches)) if rows else (),
    )


def _discretisation(searches: Sequence[Run]) -> tuple[Table, ...]:
    """What each removal cost, of the searches that prune gradually."""
    rows = []
    for run in searches:
        health = run.summary.get("health")
        told = health.get("discretisation") if isinstance(health, dict) else None
        if isinstance(told, dict):
            numbers = zip(*(told.get(name, ()) for name in ("left", "before", "after")), strict=False)
            for update, (left, *nats) in enumerate(numbers, start=1):
                values = (_health_number(value, ".3f") for value in nats)
                rows.append((run.path, f"{update}", _health_number(left, ".0f"), *values))
    columns = [Column("Search", number=False), Column("Update"), Column("Scalars left")]
    columns += [Column("Before", "validation nats"), Column("After", "validation nats")]
    title = "Supernets that are pruned gradually; the last update leaves only the cell"
    return (Table(title, tuple(columns), (Group("plain", "", tuple(rows)),)),) if rows else ()


def _health_number(value: object, form: str) -> str:
    """A number of the health report; a dash where it was not measured."""
    return tables.value(as_number(value), form)


def _failures(collection: Collection) -> Section:
    """Runs without a result."""
    columns = tuple(
        Column(name, number=name == "Attempts") for name in ("Run", "State", "Reason", "Attempts")
    )
    rows = tuple((one.path, one.state, one.what, str(one.attempts)) for one in collection.failures)
    table = Table("Runs that failed or have not ended", columns, (Group("plain", "", rows),))
    return Section(
        "failures",
        "Failed and unfinished runs",
        "",
        "Every run that was read has ended.",
        tables=(table,) if rows else (),
    )


def _unread(problems: Sequence[Problem]) -> Section:
    """Files that could not be read."""
    columns = tuple(Column(name, number=False) for name in ("Folder", "File", "Why"))
    rows = tuple((one.path, one.file or "(all of it)", one.what) for one in problems)
    table = Table(
        "What could not be read. Everything else is in this report.", columns, (Group("plain", "", rows),)
    )
    return Section(
        "unread", "Not read", "", "Every file that was found could be read.", tables=(table,) if rows else ()
    )
