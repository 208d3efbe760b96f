"""Charts: round ticks, true means, well-formed SVG, nothing unescaped."""

import math
import re
from xml.etree import ElementTree

import numpy as np
import pytest

from bayesnas_tf.reporting.report import figures, gamma, readers, svg
from bayesnas_tf.reporting.report.svg import Axis, Series
from tests.reporting.report import builder


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        (Axis(0.0, 1.0), [0.0, 0.5, 1.0]),
        (Axis(10.0, 1000.0, True), [10, 20, 50, 100, 200, 500, 1000]),
        (Axis(100.0, 300.0, True), [100, 150, 200, 250, 300]),
        (Axis(0.9, 3.1, whole=True), [1, 2, 3]),
        (Axis(0.0, 3300.0), [0, 1000, 2000, 3000]),
    ],
)
def test_ticks_are_round_and_on_the_axis(axis, expected):
    np.testing.assert_allclose(axis.ticks(), expected, atol=1e-12)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values", [[], [math.nan], [5.0], [0.0, 0.0], [-3.0, 4.0], [1e-9, 1e9], [math.inf, 2.0]]
)
def test_any_values_have_an_axis(values, log):
    axis = svg.axis(values, log)
    assert axis.low < axis.high
    for value in values:
        if math.isfinite(value) and (value > 0 or not log):
            assert 0.0 <= axis.place(value) <= 1.0
    assert all(math.isfinite(tick) for tick in axis.ticks())


def test_a_chart_is_xml_with_a_line_for_each_series_and_a_legend():
    series = [
        Series(
            'a <b> & "c"', 0, ((1.0, 5.0), (2.0, 4.0), (3.0, math.nan)), ((4.0, 6.0), (3.0, 5.0), (0.0, 1.0))
        ),
        Series("dots", 9, ((1.0, 2.0),), line=False, titles=("<i>",)),
    ]
    text = svg.chart("t <>", ("x", "y & z"), (Axis(0, 4), Axis(1, 10, True)), series)
    root = ElementTree.fromstring(str(text))
    lines = [path.get("d") for path in root.iter("path") if path.get("class") == "line"]
    assert lines[0].count("L") == 1  # the point without a value is left out
    assert root.get("aria-label") == "t <>"
    texts = [element.text for element in root.iter("text")]
    assert {"x", "y & z", 'a <b> & "c"', "dots"} <= set(texts)
    left, top, width, height = map(float, root.get("viewBox").split())
    for number in re.findall(r"translate\(([-\d.]+) ([-\d.]+)\)", str(text)):
        assert left <= float(number[0]) <= width
        assert top <= float(number[1]) <= height


def test_search_progress_has_the_mean_and_the_spread_of_the_seeds(tmp_path, content):
    runs = [run for run in content.searches if run.settings.get("ScalarOptions.lambda_w", 0.0) == 0.17]
    series = figures._curve("x", 0, [figures._training(run) for run in runs])
    first = [run.rows[0].ppl for run in runs]
    assert series.points[0] == (10, pytest.approx(np.mean(first)))
    assert series.band[0] == pytest.approx(
        (np.mean(first) - np.std(first, ddof=1), np.mean(first) + np.std(first, ddof=1))
    )
    (group,) = figures.search_groups(content.searches)
    assert {value: len(part) for value, part in group.by_lambda.items()} == {0.17: 2, 0.2: 2}


def test_rank_stability_is_spearman_with_the_end(tmp_path, content):
    (found,) = figures.stabilities(content.protocols)
    assert (found.cells, found.points[-1]) == (7, (5, 1.0))
    assert [epoch for epoch, _ in found.points] == [1, 2, 3, 4, 5]
    (protocol,) = content.protocols
    turned = []
    for cell in protocol.cells:  # after the first epoch, the better a cell ends the worse it is
        ppl = 1000 - cell.sample("valid").mean
        first = {seed: run.rows[0]._replace(ppl=ppl) for seed, run in cell.runs.items()}
        runs = {seed: run._replace(rows=(first[seed], *run.rows[1:])) for seed, run in cell.runs.items()}
        turned.append(cell._replace(runs=runs))
    other = protocol._replace(cells=tuple(turned))
    assert figures.stabilities([other])[0].points[0] == (1, pytest.approx(-1.0))


def test_a_long_curve_is_thinned_and_keeps_its_ends():
    curve = [(float(k), 100.0 + k) for k in range(1, 3301)]
    series = figures._curve("x", 0, [curve])
    assert len(series.points) <= figures.MOST_POINTS + 1
    assert (series.points[0], series.points[-1]) == (curve[0], curve[-1])


def test_two_cells_have_no_rank_stability(content):
    (protocol,) = content.protocols
    assert figures.stabilities([protocol._replace(cells=protocol.cells[:2])]) == []


def test_gamma_shows_every_edge_operation_the_pruned_and_the_chosen(tmp_path):
    cell = builder.search(tmp_path)
    posterior = readers.posterior(tmp_path / "posterior.npz")
    root = ElementTree.fromstring(str(gamma.figure(posterior, cell)))
    titles = [title.text for title in root.iter("title")]
    assert len(titles) == 36 * 4
    assert sum(title.endswith("pruned") for title in titles) == posterior.pruned.sum() > 0
    crosses = [path for path in root.iter("path") if path.get("class") == "cross"]
    kept = [rect for rect in root.iter("rect") if rect.get("class") == "kept"]
    assert (len(crosses), len(kept)) == (posterior.pruned.sum(), 8)


def test_gamma_of_a_cell_that_lost_nodes_frames_nothing(tmp_path):
    cell = builder.search(tmp_path, genotype=builder.found_cell(nodes=6))
    root = ElementTree.fromstring(str(gamma.figure(readers.posterior(tmp_path / "posterior.npz"), cell)))
    assert not [rect for rect in root.iter("rect") if rect.get("class") == "kept"]


def test_probabilities_of_another_strategy_are_shown_in_its_place(tmp_path):
    edges = np.array([(i, j) for j in (1, 2) for i in range(j)])
    np.savez(
        tmp_path / "architecture.npz", probabilities=np.full((3, 4), 0.25), edges=edges, ops=list("abcd")
    )
    assert readers.probabilities(tmp_path / "architecture.npz").name == "probability"
    np.savez(tmp_path / "architecture.npz", candidates=np.zeros((3, 8, 2)), edges=edges, ops=list("abcd"))
    assert readers.probabilities(tmp_path / "architecture.npz") is None
