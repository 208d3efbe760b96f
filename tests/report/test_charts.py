"""Charts: round ticks, true means, well-formed SVG, nothing unescaped."""

import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from bayesnas_tf.report import figures, gamma, readers, svg
from bayesnas_tf.report.records import Row
from bayesnas_tf.report.settings import Settings
from bayesnas_tf.report.svg import Series
from tests.report import builder


def texts(drawing):
    return [element.text for element in ElementTree.fromstring(str(drawing)).iter("text")]


@pytest.mark.parametrize(
    ("heights", "options", "across", "up"),
    [
        ((0.0, 1.0), {}, "1 1.5 2 2.5 3", "0 0.5 1"),
        ((10.0, 1000.0), {"log": True}, "1 1.5 2 2.5 3", "10 20 50 100 200 500 1,000"),
        ((110.0, 290.0), {"log": True}, "1 1.5 2 2.5 3", "150 200 250 300"),
        ((1.0, 1e6), {"log": True}, "1 1.5 2 2.5 3", "1 10 100 1,000 10,000 100,000 1 M"),
        ((0.0, 3300.0), {"whole": True}, "1 2 3", "0 1,000 2,000 3,000"),
        ((0.3, 0.4), {"ylim": (0.0, 1.0), "xlim": (0.0, 4.0)}, "0 1 2 3 4", "0 0.2 0.4 0.6 0.8 1"),
    ],
)
def test_ticks_are_round_and_on_the_axis(heights, options, across, up):
    points = ((1.0, heights[0]), (3.0, heights[1]))
    drawing = svg.chart("t", ("across", "up"), [Series("one", 0, points)], **options)
    assert " ".join(texts(drawing)) == f"{across} across {up} up one"


def assert_points_lie_inside(root):
    left, top, width, height = map(float, root.get("viewBox").split())
    for use in root.iter("use"):
        assert left <= float(use.get("x")) <= width
        assert top <= float(use.get("y")) <= height


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(
    "values", [[], [math.nan], [5.0], [0.0, 0.0], [-3.0, 4.0], [1e-9, 1e9], [-1e308, 1e308], [math.inf, 2.0]]
)
def test_any_values_have_a_chart(values, log):
    points = tuple((float(k), value) for k, value in enumerate(values))
    band = tuple((-value, value) for value in values)
    for series in (Series("a", 0, points, band), Series("a", 8, points, band, ("b",) * len(points))):
        drawing = str(svg.chart("t", ("x", "y"), [series], log=log))
        assert texts(drawing)[-1] == "a"
        assert "nan" not in drawing and "inf" not in drawing
        assert_points_lie_inside(ElementTree.fromstring(drawing))


def test_a_chart_is_xml_with_a_line_for_each_series_and_a_legend():
    series = [
        Series(
            'a <b> & "$c$"',
            0,
            ((1.0, 5.0), (2.0, 4.0), (3.0, math.nan)),
            ((4.0, 6.0), (3.0, 5.0), (0.0, 1.0)),
        ),
        Series("dots", 9, ((1.0, 2.0), (4.0, 3.0)), titles=("<i>", "\x00 \ud800 汉")),
    ]
    text = svg.chart("t <>", ("x", "y & z"), series, log=True)
    root = ElementTree.fromstring(str(text))
    titles = {group.find("title").text: group for group in root.iter("g") if group.find("title") is not None}
    assert list(titles) == ['a <b> & "$c$"', "<i>", "\ufffd \ufffd 汉"]
    (line,) = [path.get("d") for path in titles['a <b> & "$c$"'].findall("path")]
    assert line.count("L") == 1  # the point without a value is left out
    assert [len(list(group.iter("use"))) for group in titles.values()] == [2, 1, 1]
    assert root.get("aria-label") == "t <>"
    assert {"x", "y & z", 'a <b> & "$c$"', "dots"} <= set(texts(text))
    assert_points_lie_inside(root)


def test_charts_take_fonts_and_colours_of_the_page_and_share_no_names_with_each_other():
    style = (Path(svg.__file__).parent / "templates" / "style.css").read_text()
    known = set(re.findall(r"--\w+(?=:)", style))
    series = [
        Series(str(k), k, ((1.0, 2.0 + k), (2.0, 3.0 + k)), ((1.0, 4.0),) * 2) for k in range(svg.STYLES)
    ]
    drawings = [str(svg.chart("t", ("x", "y"), shown)) for shown in (series, series[1:], series)]
    names = [set(re.findall(r' id="(.+?)"', drawing)) for drawing in drawings]
    for drawing, own in zip(drawings, names, strict=True):
        assert set(re.findall(r"var\((--\w+)\)", drawing)) <= known
        assert not re.findall(r"(?:fill|stroke): #|font-family|<style|http|<image", drawing)
        assert set(re.findall(r'(?:href="|url\()#(\w+)', drawing)) == own
    assert names[0] and not names[0] & names[1]
    assert drawings[0] == drawings[2]


def test_labels_of_a_chart_have_room():
    long = "a name of a strategy that is very long, and then some more"
    for count in (1, 2, 7):
        shown = [Series(f"{k} {long}" if k else "short", k, ((1.0, 1e5), (2.0, 2e5))) for k in range(count)]
        root = ElementTree.fromstring(str(svg.chart("t", ("x", "y"), shown)))
        boxes = [(float(t.get("x")), float(t.get("y"))) for t in root.iter("text")][-count:]
        assert len({y for _, y in boxes}) == count  # one below the other
        assert max(y for _, y in boxes) < float(root.get("viewBox").split()[3])


def test_search_progress_has_the_mean_and_the_spread_of_the_seeds(content):
    runs = [run for run in content.searches if run.settings.get("ScalarOptions.lambda_w", 0.0) == 0.17]
    series = figures._searched(0.17, 0, runs)
    first = [run.rows[0].ppl for run in runs]
    assert series.label == "λ_w = 0.17 (2 seeds)"
    assert series.points[0] == (10 / 240, pytest.approx(np.mean(first)))
    assert series.band[0] == pytest.approx(
        (np.mean(first) - np.std(first, ddof=1), np.mean(first) + np.std(first, ddof=1))
    )
    (group,) = figures.search_groups(content.searches)
    assert {value: len(part) for value, part in group.by_lambda.items()} == {0.17: 2, 0.2: 2}


def stretched(run, steps, every, start=500.0):
    """A run of 3 epochs and so many steps, reported every so many and at its end."""
    at = [*range(every, steps, every), steps]
    ppl = start * np.exp(-2.0 * np.array(at) / steps) + 90.0 + np.cos(at)
    rows = [Row(k, 1 + (3 * k - 1) // steps, "train", float(p)) for k, p in zip(at, ppl, strict=True)]
    settings = Settings({**run.settings.values, "search.epochs": 3})
    return run._replace(rows=(*rows, Row(steps, 3, "valid", 120.0)), settings=settings)


def by_hand(run, x):
    """The perplexity of a run after `x` of its 3 epochs, straight in the logarithm between two reports."""
    reports = [row for row in run.rows if row.split == "train"]
    places = [3.0 * row.step / run.rows[-1].step for row in reports]
    after = next(k for k, place in enumerate(places) if place >= x - 1e-12)
    before = max(after - 1, 0)
    share = (x - places[before]) / (places[after] - places[before]) if after else 1.0
    return reports[before].ppl ** (1.0 - share) * reports[after].ppl ** share


def test_seeds_of_other_step_counts_are_joined_to_the_end(content):
    run = content.searches[0]
    runs = [stretched(run, 80, 20), stretched(run, 183, 7, 480.0), stretched(run, 101, 10, 530.0)]
    series = figures._searched(0.17, 0, runs)
    assert series.label == "λ_w = 0.17 (3 seeds)"
    places = {3.0 * row.step / one.rows[-1].step for one in runs for row in one.rows}
    overlap = sorted(place for place in places if place >= 3.0 * 20 / 80)
    np.testing.assert_allclose([x for x, _ in series.points], overlap, rtol=1e-14)
    each = np.array([[by_hand(one, x) for one in runs] for x in overlap])
    np.testing.assert_allclose([y for _, y in series.points], each.mean(axis=1), rtol=1e-12)
    spread = each.std(axis=1, ddof=1)
    np.testing.assert_allclose([high for _, high in series.band], each.mean(axis=1) + spread, rtol=1e-12)
    assert series.points[-1][0] == 3.0
    assert series.points[-1][1] == pytest.approx(np.mean([one.rows[-2].ppl for one in runs]))


def test_a_single_search_keeps_its_points(content):
    run = stretched(content.searches[0], 183, 50)
    series = figures._searched(0.17, 0, [run, run._replace(rows=())])
    assert series.label == "λ_w = 0.17 (1 seed)"  # nothing is known of the other
    assert series.points == tuple((row.step / 183 * 3.0, row.ppl) for row in run.rows[:-1])
    assert not series.band


def test_a_perplexity_that_is_not_finite_leaves_a_gap(content):
    runs = [stretched(content.searches[0], steps, 10) for steps in (80, 100)]
    rows = list(runs[0].rows)
    rows[3] = rows[3]._replace(ppl=math.inf)
    series = figures._searched(0.17, 0, [runs[0]._replace(rows=tuple(rows)), runs[1]])
    assert all(math.isfinite(y) for _, y in series.points)
    assert not [x for x, _ in series.points if 3.0 * 30 / 80 < x < 3.0 * 50 / 80]
    assert [x for x, _ in series.points if x in (3.0 * 30 / 80, 3.0 * 50 / 80)] == [1.125, 1.875]


def test_the_axis_of_search_progress_counts_epochs(content):
    run = content.searches[0]
    runs = [stretched(run, 80, 20), stretched(run, 183, 7)]
    (figure,) = figures.progress(runs)
    assert {"epochs", "3"} <= set(texts(figure.drawing))
    assert "its share of the run" in figure.caption


def test_joined_curves_are_thinned_and_keep_their_ends(content):
    runs = [stretched(content.searches[0], steps, 1) for steps in (2999, 3001)]
    series = figures._searched(0.17, 0, runs)
    assert 200 < len(series.points) <= figures.MOST_POINTS + 1
    assert series.points[-1][0] == 3.0


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


def test_gamma_of_ragged_sites_shows_those_there_are(tmp_path):
    edges = np.array([[0, 3], [2, 3], [0, 5], [2, 5], [3, 5]])  # no triangle: two sources, then three
    values = np.full((1, 5, 3), 0.5)
    values[0, 1, 2] = np.nan  # no such option there
    pruned = np.isnan(values)
    pruned[0, 0, 0] = True
    np.savez(tmp_path / "posterior.npz", gamma=values, pruned=pruned, edges=edges, ops=["x", "tanh", "gate"])
    drawn = str(gamma.figure(readers.posterior(tmp_path / "posterior.npz"), None))
    root = ElementTree.fromstring(drawn)
    titles = [title.text for title in root.iter("title")]
    assert len(titles) == 14
    assert titles[0] == "x, 0 to 3: γ 0.5, pruned"
    assert "gate, 2 to 3" not in drawn
    assert "γ of 14 edge operations, 1 pruned" in drawn
    numbers = [text.text for text in root.find("g").iter("text")]
    assert numbers == ["0", "2", "3", "3", "5"]


def test_an_option_without_a_probability_is_none(tmp_path):
    values = np.array([[0.5, np.nan]])
    np.savez(tmp_path / "architecture.npz", probabilities=values, edges=[[0, 1]], ops=["a", "b"])
    found = readers.probabilities(tmp_path / "architecture.npz")
    assert found.pruned.tolist() == [[False, True]]


def test_probabilities_of_another_strategy_are_shown_in_its_place(tmp_path):
    edges = np.array([(i, j) for j in (1, 2) for i in range(j)])
    np.savez(
        tmp_path / "architecture.npz", probabilities=np.full((3, 4), 0.25), edges=edges, ops=list("abcd")
    )
    assert readers.probabilities(tmp_path / "architecture.npz").name == "probability"
    np.savez(tmp_path / "architecture.npz", candidates=np.zeros((3, 8, 2)), edges=edges, ops=list("abcd"))
    assert readers.probabilities(tmp_path / "architecture.npz") is None
