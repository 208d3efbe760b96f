"""The charts of a report, each with a caption that says what is shown."""

import math
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np
from markupsafe import Markup

from bayesnas_tf.numerics.ranks import spearman
from bayesnas_tf.report import cells, grouping, statistics, svg, tables
from bayesnas_tf.report.cells import Cell, Protocol
from bayesnas_tf.report.records import Run, as_number
from bayesnas_tf.report.settings import LAMBDA_W, SEARCHED
from bayesnas_tf.report.svg import Series

MOST_POINTS = 400  # of a line: about as many as its pixels
RANKABLE = 3  # cells without which no order can be stable
GREY = svg.STYLES - 1


class Figure(NamedTuple):
    """A drawing and its caption."""

    drawing: Markup
    caption: str


class SearchGroup(NamedTuple):
    """Searches that differ in λ_w and seed alone."""

    label: str
    by_lambda: dict[float, list[Run]]


def search_groups(searches: Sequence[Run]) -> list[SearchGroup]:
    """Searches by configuration, the largest group first."""
    groups = _grouped(
        searches, lambda run: (run.budget, run.corpus_digest, run.settings.protocol((LAMBDA_W,)))
    )
    ordered = sorted(groups.items(), key=lambda item: (-len(item[1]), str(item[0])))
    found = []
    for (budget, _, settings), runs in ordered:
        changes = ", ".join(grouping.changes(dict(ordered[0][0][2]), dict(settings)))
        label = f"Search on {budget}" + (f", with {changes}" if changes else "")
        found.append(SearchGroup(label, dict(sorted(_grouped(runs, _lambda).items()))))
    return found


def progress(searches: Sequence[Run]) -> list[Figure]:
    """Perplexity of the supernet while it trains for each λ_w, over seeds: a chart for each configuration."""
    drawn = []
    for group in search_groups(searches):
        series = [
            _searched(value, style, runs) for style, (value, runs) in enumerate(group.by_lambda.items())
        ]
        series = [one for one in series if one.points]
        if series:
            caption = (
                f"{group.label}: perplexity of the supernet on training text, between two reports. An epoch "
                "has other steps with each seed: a step stands at its share of the run, and seeds are joined "
                "on straight lines of the logarithm between their reports."
            )
            drawn.append(Figure(_lines("Search progress", "epochs", series, whole=False), caption))
    return drawn


def training(protocols: Sequence[Protocol]) -> list[Figure]:
    """Validation perplexity of cells while they train: by the λ_w of their search, and by who chose them."""
    drawn = []
    for protocol in protocols:
        by_lambda, by_strategy = _by_lambda(protocol), protocol.by_strategy()
        for kinds, what in ((by_lambda, "found with one λ_w"), (by_strategy, "of one strategy")):
            if kinds is by_lambda and len(by_lambda) <= 1 + (cells.UNIFORM in by_lambda):
                continue  # one λ_w: the other chart shows it
            series = [_trained(name, style, kinds[name]) for style, name in enumerate(_floor_last(kinds))]
            series = [_floor_grey(one) for one in series if one.points]
            if any(len(one.points) > 1 for one in series):
                caption = (
                    f"{protocol.label}. Validation perplexity after each epoch, mean of the cells {what}, "
                    "a cell once for each search that found it."
                )
                drawn.append(Figure(_lines("Training of cells", "epoch", series), caption))
    return drawn


def _floor_last(kinds: Iterable[str]) -> list[str]:
    """Names in order, random cells last."""
    return sorted(kinds, key=lambda name: (name in cells.RANDOM, name))


def _floor_grey(series: Series) -> Series:
    """Uniform random cells have one colour in all charts."""
    return series._replace(style=GREY) if series.label.startswith(cells.UNIFORM) else series


def sizes(protocols: Sequence[Protocol]) -> list[Figure]:
    """Parameters against validation perplexity: one chart a configuration, so that no budgets mix."""
    figures = []
    for protocol in protocols:
        kinds = {name: _distinct(members) for name, members in protocol.by_strategy().items()}
        series = [_scattered(name, style, kinds[name]) for style, name in enumerate(_floor_last(kinds))]
        series = [_floor_grey(one) for one in series if one.points]
        if series:
            labels = ("parameters", "validation perplexity")
            drawing = svg.chart("Parameters against perplexity", labels, series)
            caption = (
                f"{protocol.label}. A mark is a cell, its bar one standard deviation over seeds each way."
            )
            figures.append(Figure(drawing, caption))
    return figures


class Stability(NamedTuple):
    """How well the order of cells after each epoch agrees with their last one: (epoch, Spearman)."""

    protocol: Protocol
    cells: int
    points: tuple[svg.Point, ...]


def stabilities(protocols: Sequence[Protocol]) -> list[Stability]:
    """Rank stability of every configuration with enough cells and epochs."""
    found = []
    for protocol in protocols:
        curves = [
            dict(_mean_curve([_validation(run) for run in cell.runs.values()])) for cell in protocol.cells
        ]
        curves = [curve for curve in curves if curve]
        last = max((max(curve) for curve in curves), default=0)
        curves = [curve for curve in curves if last in curve]
        shared = sorted(set.intersection(*map(set, curves))) if curves else []
        if len(curves) < RANKABLE or len(shared) < 2:
            continue
        end = _at(curves, last)
        points = tuple((epoch, spearman(_at(curves, epoch), end)) for epoch in shared)
        found.append(Stability(protocol, len(curves), points))
    return found


def ranks(found: Sequence[Stability]) -> list[Figure]:
    """Rank stability against budget, one line a configuration."""
    series = [
        Series(
            f"{one.protocol.name} ({one.cells} cells)",
            style,
            tuple((e / one.points[-1][0], r) for e, r in one.points),
        )
        for style, one in enumerate(found)
    ]
    if not series:
        return []
    lowest = min(-0.1, *(rho for one in series for _, rho in one.points))
    labels = ("share of the epochs", "Spearman with the end")
    drawing = svg.chart("Rank stability", labels, series, xlim=(0.0, 1.0), ylim=(lowest - 0.05, 1.05))
    caption = (
        "Rank correlation of the cells' mean validation perplexity after part of the epochs with that at "
        "the end. Near 1, the shorter training ranks as the whole one; near 0 it says nothing. The last "
        "point is 1 by construction."
    )
    return [Figure(drawing, caption)]


def _at(curves: Sequence[dict[float, float]], epoch: float) -> np.ndarray:
    """The value of every curve at an epoch, [cells]."""
    return np.array([curve[epoch] for curve in curves])


def _grouped(items: Iterable, key: Callable) -> dict:
    """Items by key, in the order of their first."""
    groups: dict = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return groups


def _lambda(run: Run) -> float:
    """The λ_w that a search was given."""
    return run.settings.get(LAMBDA_W, 0.0)


def _by_lambda(protocol: Protocol) -> dict[str, list[Cell]]:
    """The cells of BayesNAS by the λ_w of their search, once for each search, and the floor."""
    found: dict[str, list[Cell]] = {}
    for cell in protocol.cells:
        for origin in cell.origins:
            if origin.strategy == SEARCHED:
                found.setdefault(f"λ_w = {origin.lambda_w!r}", []).append(cell)
            elif origin.strategy == cells.UNIFORM:
                found.setdefault(cells.UNIFORM, []).append(cell)
    return found


def _distinct(members: Sequence[Cell]) -> list[Cell]:
    """Each cell once."""
    return list({cell.label: cell for cell in members}.values())


def _training(run: Run) -> list[svg.Point]:
    """(epochs, perplexity) on training text; a step lies at its share of all steps of the run."""
    last, epochs = max((row.step for row in run.rows), default=0) or 1, as_number(run.budget.epochs)
    return [(row.step / last * epochs, row.ppl) for row in run.rows if row.split == "train" and row.ppl > 0]


def _validation(run: Run) -> list[svg.Point]:
    """(epoch, perplexity) on validation text."""
    return [(row.epoch, row.ppl) for row in run.rows if row.split == "valid" and row.ppl > 0]


def _mean_curve(curves: Sequence[Sequence[svg.Point]]) -> list[svg.Point]:
    """The mean at each x that all curves have."""
    return [(x, statistics.sample(values).mean) for x, values in _stacked(curves)]


def _stacked(curves: Sequence[Sequence[svg.Point]]) -> list[tuple[float, list[float]]]:
    """The values of all curves at each x that all have."""
    maps = [dict(curve) for curve in curves]
    shared = set.intersection(*map(set, maps)) if maps else set()
    stacked = [(x, [one[x] for one in maps]) for x in sorted(shared)]
    return [(x, values) for x, values in stacked if all(map(math.isfinite, values))]


def _joined(curves: Sequence[Sequence[svg.Point]]) -> list[tuple[float, list[float]]]:
    """The values of all curves at each x that one of them has, where all have begun and none has ended.

    Between its points a curve is straight in the logarithm of its values.
    """
    if len(curves) < 2:
        return _stacked(curves)
    parts = [np.array(sorted(dict(curve).items())).T for curve in curves]  # x and y, each [2, points]
    first, last = max(x[0] for x, _ in parts), min(x[-1] for x, _ in parts)
    grid = np.unique(np.concatenate([x for x, _ in parts]))
    grid = grid[(first <= grid) & (grid <= last)]
    values = np.exp([np.interp(grid, x, np.log(y)) for x, y in parts])
    return [
        (float(x), column.tolist())
        for x, column in zip(grid, values.T, strict=True)
        if np.isfinite(column).all()
    ]


def _curve(
    label: str, style: int, curves: Sequence[Sequence[svg.Point]], join: Callable = _stacked
) -> Series:
    """Mean of curves, with a band of one standard deviation where there are two or more.

    `join` gives the values of all curves at each x.
    """
    summary = [(x, statistics.sample(values)) for x, values in join([curve for curve in curves if curve])]
    thinned = summary[:: math.ceil(len(summary) / MOST_POINTS) or 1]
    summary = thinned if thinned[-1:] == summary[-1:] else [*thinned, summary[-1]]
    points = tuple((x, one.mean) for x, one in summary)
    band = tuple((one.mean - one.sd, one.mean + one.sd) for _, one in summary) if len(curves) > 1 else ()
    return Series(label, style, points, band if all(map(math.isfinite, (v for b in band for v in b))) else ())


def _searched(lambda_w: float, style: int, runs: Sequence[Run]) -> Series:
    """The training curve of the searches with one λ_w."""
    curves = [curve for run in runs if (curve := _training(run))]
    return _curve(f"λ_w = {lambda_w:g} ({tables.counted(len(curves), 'seed')})", style, curves, _joined)


def _trained(name: str, style: int, members: Sequence[Cell]) -> Series:
    """The training curve of the cells of one kind."""
    means = (_mean_curve([_validation(run) for run in cell.runs.values()]) for cell in members)
    curves = [curve for curve in means if curve]
    return _curve(f"{name} ({tables.counted(len(curves), 'cell')})", style, curves)


def _scattered(name: str, style: int, members: Sequence[Cell]) -> Series:
    """The cells of one kind as marks with bars."""
    shown = [(cell, cell.sample("valid")) for cell in members]
    shown = [(cell, one) for cell, one in shown if one.n and math.isfinite(cell.parameters)]
    points = tuple((cell.parameters, one.mean) for cell, one in shown)
    reach = [one.sd if math.isfinite(one.sd) else 0.0 for _, one in shown]
    band = tuple((y - r, y + r) for (_, y), r in zip(points, reach, strict=True))
    titles = tuple(f"{cell.label}: {one.mean:.2f}, {cell.parameters:,.0f} parameters" for cell, one in shown)
    return Series(name, style, points, band, titles)


def _lines(title: str, x_label: str, series: Sequence[Series], whole: bool = True) -> Markup:
    """Perplexities on a logarithmic axis; `whole` for an x that counts."""
    return svg.chart(title, (x_label, "perplexity"), series, log=True, whole=whole)
