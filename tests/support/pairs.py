"""Fewer cases than a full grid has, where its axes are independent."""

import itertools


def pairwise(*axes: list) -> list[tuple]:
    """Cases of one value of each axis, in which every two values of two axes meet; in the grid's order."""
    left = {pair for case in itertools.product(*map(_numbered, axes)) for pair in _pairs(case)}
    grid, chosen = list(itertools.product(*map(_numbered, axes))), []
    while left:
        best = max(grid, key=lambda case: len(left & _pairs(case)))
        left -= _pairs(best)
        chosen.append(best)
    return [tuple(value for _, value in case) for case in sorted(chosen, key=grid.index)]


def _numbered(axis: list) -> list[tuple]:
    return list(enumerate(axis))


def _pairs(case: tuple) -> set[tuple]:
    """The pairs of a case, by the numbers of axes and values."""
    return set(itertools.combinations([(axis, number) for axis, (number, _) in enumerate(case)], 2))
