"""Heatmaps of [E, O] arrays."""

import numpy as np
import pytest
from matplotlib import colormaps, colors, rc_context

from bayesnas_tf.reporting import heatmap
from bayesnas_tf.space.highway import topology
from bayesnas_tf.space.highway.space import Highway


def draw(values, **options):
    return heatmap.edge_heatmap(values, "gamma", Highway(topology.node_count(len(values))).sites, **options)


def cell_pixel(image, row, column):
    """A pixel in the corner of one cell: neither number nor cross covers it."""
    (wide, high), (left, top) = heatmap.CELL, (heatmap.LEFT, heatmap.TOP)
    return image[round(top + (row + 0.25) * high), round(left + (column + 0.1) * wide)]


def viridis(place):
    return colormaps["viridis"](place, bytes=True)[:3]


@pytest.mark.parametrize("nodes", [1, 8, 11])
@pytest.mark.parametrize("log", [False, True])
def test_an_image_is_uint8_rgb_and_grows_with_the_edges(nodes, log):
    edges = topology.edge_count(nodes)
    image = draw(np.random.default_rng(nodes).normal(size=(edges, 4)), log=log)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    assert image.shape[2] == 3
    assert image.shape[0] > edges * heatmap.CELL[1]


def test_the_settings_of_a_user_decide_nothing():
    values = np.linspace(0.0, 1.0, 12).reshape(3, 4)
    with rc_context({"text.usetex": True, "figure.facecolor": "black", "font.size": 40.0}):
        found = draw(values)
    np.testing.assert_array_equal(found, draw(values))


def test_cells_have_the_colour_of_their_value():
    values = np.linspace(0.0, 1.0, 12).reshape(3, 4)
    image = draw(values)
    for row, column in ((0, 0), (1, 2), (2, 3)):
        np.testing.assert_allclose(cell_pixel(image, row, column), viridis(values[row, column]), atol=1)


def test_a_log_scale_colours_decades_evenly():
    values = np.full((3, 4), 1e-4)
    values[0] = [1e-4, 1e-2, 1.0, 1e4]
    image = draw(values, log=True)
    np.testing.assert_allclose(cell_pixel(image, 0, 2), viridis(0.5), atol=1)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, -1.0])
def test_values_without_a_place_on_a_log_scale_are_grey(bad):
    values = np.ones((3, 4))
    values[1, 1] = bad
    grey = 255 * np.array(colors.to_rgb(heatmap.MISSING))
    np.testing.assert_allclose(cell_pixel(draw(values, log=True), 1, 1), grey, atol=1)


@pytest.mark.parametrize("values", [np.ones((3, 4)), np.zeros((3, 4)), np.full((3, 4), np.nan)])
@pytest.mark.parametrize("log", [False, True])
def test_constant_and_empty_ranges_are_drawn(values, log):
    assert draw(values, log=log).size


def test_pruned_cells_are_crossed_out():
    values, pruned = np.ones((3, 4)), np.zeros((3, 4), bool)
    pruned[2, 0] = True
    plain, crossed = draw(values), draw(values, pruned=pruned)
    top = round(heatmap.TOP + 2 * heatmap.CELL[1])
    left, right = round(heatmap.LEFT), round(heatmap.LEFT + heatmap.CELL[0])
    assert (plain != crossed)[top : top + 18, left:right].any()
    assert (plain == crossed)[top : top + 18, right : right + 66].all()
    np.testing.assert_array_equal(cell_pixel(crossed, 2, 0), cell_pixel(plain, 2, 0))  # its colour stays


def test_an_option_that_a_site_lacks_is_left_empty():
    values, pruned = np.ones((3, 4)), np.zeros((3, 4), bool)
    values[1, 1], pruned[1, 1] = np.nan, True
    image = draw(values, pruned=pruned)
    np.testing.assert_array_equal(cell_pixel(image, 1, 1), 255)
    np.testing.assert_array_equal(image[:, 300:], draw(np.ones((3, 4)))[:, 300:])  # none of it is pruned


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"gamma.*\(3, 3\) values for 3 edges, 4 operations"):
        draw(np.ones((3, 3)))
    with pytest.raises(ValueError, match=r"gamma.*mask is \(2, 4\)"):
        draw(np.ones((3, 4)), pruned=np.ones((2, 4), bool))


@pytest.mark.parametrize("log", [False, True])
def test_a_lone_value_has_the_middle_of_the_scale(log):
    values = np.full((3, 4), 0.25)
    np.testing.assert_allclose(cell_pixel(draw(values, log=log), 1, 1), viridis(0.5), atol=1)
