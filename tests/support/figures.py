"""Measures of a laid-out figure: rectangles, points on lines, crossings."""

import itertools

import numpy as np

from bayesnas_tf.reporting import cell_layout


def text_rectangle(text):
    width = cell_layout.text_width(text.text, text.size)
    width += cell_layout.text_width(text.subscript, 0.72 * text.size)
    left = text.x - (width / 2 if text.anchor == "middle" else 0.0)
    return left, text.y - text.size / 2, left + width, text.y + text.size / 2


def overlap(a, b):
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def curve_points(arrow, count=60):
    t = np.linspace(0.0, 1.0, count)[:, None]
    lines = []
    for start in range(0, len(arrow.curve) - 1, 3):
        p0, p1, p2, p3 = np.array(arrow.curve[start : start + 4])
        lines.append((1 - t) ** 3 * p0 + 3 * (1 - t) ** 2 * t * p1 + 3 * (1 - t) * t**2 * p2 + t**3 * p3)
    return np.concatenate([*lines, p3 + t * (np.array(arrow.tip) - p3)])


def crossings(a, b):
    """Pairs of segments of two polylines that cross properly."""
    p, r = a[:-1, None], np.diff(a, axis=0)[:, None]
    q, s = b[None, :-1], np.diff(b, axis=0)[None]
    cross = lambda u, v: u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0]  # noqa: E731
    with np.errstate(divide="ignore", invalid="ignore"):
        t, u = cross(q - p, s) / cross(r, s), cross(q - p, r) / cross(r, s)
    return int(np.sum((t > 1e-6) & (t < 1 - 1e-6) & (u > 1e-6) & (u < 1 - 1e-6)))


def disc_rectangles(figure):
    return [(d.x - d.radius, d.y - d.radius, d.x + d.radius, d.y + d.radius) for d in figure.discs]


def box_rectangles(figure):
    return [
        (b.x - b.width / 2, b.y - b.height / 2, b.x + b.width / 2, b.y + b.height / 2) for b in figure.boxes
    ]


def assert_nothing_overlaps_and_all_lies_inside(figure):
    shapes = disc_rectangles(figure) + box_rectangles(figure)
    texts = [text_rectangle(text) for text in figure.texts]
    for group in (shapes, texts):
        for a, b in itertools.combinations(group, 2):
            assert not overlap(a, b)
    for left, top, right, bottom in shapes + texts:
        assert left >= 0
        assert top >= 0
        assert right <= figure.width
        assert bottom <= figure.height


def assert_no_edge_runs_through_a_foreign_label(figure):
    edges = [curve_points(arrow) for arrow in figure.arrows if arrow.width == 2.0]  # those with an operation
    labels = [box for box in figure.boxes if box.stroke is None]
    for (own, box), (other, points) in itertools.product(enumerate(labels), enumerate(edges)):
        inside = (abs(points[:, 0] - box.x) < box.width / 2) & (abs(points[:, 1] - box.y) < box.height / 2)
        assert inside.any() == (own == other)
