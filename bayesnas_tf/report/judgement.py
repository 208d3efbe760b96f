"""The sections that judge: under which budget, better than chance or not, by which strategy."""

from collections.abc import Sequence

from bayesnas_tf.report import comparisons, statistics, tables
from bayesnas_tf.report.cells import NOT_SEARCHED, Cell, Protocol
from bayesnas_tf.report.comparisons import Comparison
from bayesnas_tf.report.content import Content, Section
from bayesnas_tf.report.tables import Column, Group, Table


def budgets(protocols: Sequence[Protocol]) -> Section:
    """What was run, and how much of it."""
    columns = [
        Column("Configuration", number=False),
        Column("Text", number=False),
        Column("Units"),
        Column("Epochs"),
    ]
    columns += [Column("Trained on", "million tokens, mean"), Column("Cells"), Column("Runs")]
    columns += [Column("Settings that differ from A", number=False), Column("Made by", number=False)]
    rows = []
    for one in protocols:
        runs = [run for cell in one.cells for run in cell.runs.values()]
        seen, text = statistics.sample([run.tokens for run in runs]), one.budget.corpus
        text += f", first {one.budget.limit_tokens:,} tokens" if one.budget.limit_tokens else ", whole"
        size = one.budget.size.removesuffix(" units")
        counts = (size, f"{one.budget.epochs:,}", tables.millions(seen.mean))
        made = (", ".join(one.changes) or tables.NONE, "; ".join(one.makers) or tables.NONE)
        rows.append((one.name, text, *counts, str(len(one.cells)), str(len(runs)), *made))
    caption = "The configurations of the trainings. Compare only numbers with the same letter."
    table = Table(caption, tuple(columns), (Group("plain", "", tuple(rows)),))
    return Section(
        "budgets", "Budgets", "", "No training of a cell has ended here.", tables=(table,) if rows else ()
    )


ANSWER_COLUMNS = (
    Column("Cell or strategy", number=False),
    Column("Against", number=False),
    Column("Difference", "perplexity"),
    Column("95 % interval", "uncorrected"),
    Column("n"),
    Column("p"),
    Column("p, corrected"),
    Column("Exceeds the noise", number=False),
    Column("Remark", number=False),
)


def short(asked: Sequence[Comparison]) -> Section:
    """Who is better, in sentences."""
    empty = "No searched cell was trained here, so that the report cannot judge any."
    return Section("short", "In short", "", empty, tuple(comparisons.sentences(asked)))


def answers(asked: Sequence[Comparison]) -> Section:
    """Who is better."""
    tests = sum(one.difference is not None for one in asked)
    intro = (
        f"Differences of {comparisons.SPLIT} perplexity, because cells are chosen on validation text. A "
        f"cell is compared with random cells of its size and mean depth (within {comparisons.MATCHED} "
        "steps), seed by seed (paired t test): this judges the cells. A strategy is compared with uniformly "
        "random cells (Welch's t test), and each search counts with the mean of its cell: this judges the "
        "strategy. There is no test where a training or a search has no result. The best cell on validation "
        "text is also compared with each published one. All tests assume normal differences. This report "
        f"has {tables.counted(tests, 'test')}; p is corrected for that number (Holm), and a "
        f"difference exceeds the noise below {comparisons.SIGNIFICANT}."
    )
    groups = []
    for protocol in dict.fromkeys(one.protocol.label for one in asked):
        here = [one for one in asked if one.protocol.label == protocol and one.difference is not None]
        groups += [Group("plain", protocol, tuple(map(_answer, here)))] if here else []
    table = Table("Every test. A difference below 0 favours the first", ANSWER_COLUMNS, tuple(groups))
    reasons = dict.fromkeys(one.why for one in asked) or ("no searched cell was trained here",)
    empty = f"No test was possible: {'; '.join(reasons)}."
    return Section("answers", "Better than chance?", intro, empty, tables=(table,) if groups else ())


def _answer(one: Comparison) -> tuple[str, ...]:
    """One line of the table of comparisons."""
    d = one.difference
    assert d is not None
    mean, low, high = (tables.signed(value, "+.2f") for value in (d.mean, d.low, d.high))
    numbers = (mean, f"{low} to {high}", " and ".join(map(str, d.n)))
    told = (f"{d.p:.2g}", f"{one.adjusted:.2g}", "yes" if one.significant else "no", one.why)
    return one.first, one.second, *numbers, *told


def strategies(content: Content) -> Section:
    """Strategies beside the random floor."""
    columns = [Column("Strategy", number=False), Column("Valid", "perplexity"), Column("Test", "perplexity")]
    columns += [
        Column("Best", "test"),
        Column("Worst", "test"),
        Column("Searches", "n"),
        Column("Cells", "n"),
    ]
    columns += [Column("Absent", "n"), Column("Search", "million tokens"), Column("Search", "h:min:s")]
    groups = []
    for protocol in content.protocols:
        by = protocol.by_strategy()
        if len(by) > 1:
            rows = tuple(_strategy(name, members, protocol) for name, members in by.items())
            groups.append(Group("plain", protocol.label, rows))
    caption = (
        "Mean ± standard deviation over the searches of a strategy, each with the mean of its cell over "
        "seeds, also if two found the same cell; over cells if nothing was searched"
    )
    table = (Table(caption, tuple(columns), tuple(groups)),) if groups else ()
    intro = (
        "Uniform random cells are the floor. Cells that match the size and depth of a searched one are "
        "compared only with that one. Absent are searches that failed, or whose cell was not trained here."
    )
    return Section("strategies", "Strategies", intro, "All cells here come from one strategy.", tables=table)


def _strategy(name: str, members: Sequence[Cell], protocol: Protocol) -> tuple[str, ...]:
    """One line of the table of strategies."""
    valid, test = ([cell.sample(split).mean for cell in members] for split in ("valid", "test"))
    finite = [mean for mean in test if mean == mean]
    searched = name not in NOT_SEARCHED
    cells = {cell.label: cell for cell in members}
    spent = [one.run for cell in cells.values() for one in cell.origins if one.run and one.strategy == name]
    tokens = statistics.sample([run.tokens for run in spent])
    seconds = statistics.sample([run.seconds for run in spent])
    return (
        name,
        tables.spread(statistics.sample(valid)),
        tables.spread(statistics.sample(test)),
        tables.value(min(finite, default=None)),
        tables.value(max(finite, default=None)),
        str(len(members)) if searched else tables.NONE,
        str(len(cells)),
        str(len(protocol.absent.get(name, ()))),
        tables.millions(tokens.mean) if searched else "no search",
        tables.clock(seconds.mean) if searched else "no search",
    )
