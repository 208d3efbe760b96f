"""Groups of a window's rows, computed side by side on the cores of one machine.

TensorFlow divides each operation among all cores, and at every one of some thousand operations of a step the
cores wait for each other. Here each core has rows of its own instead, and works through all operations of a
step on them; what lies between two products of one group runs beside the products of another. The gradients
are averaged over the groups, as over replicas, but there is one device and one copy of the weights. Whether
that pays is a matter of threads: `training.threads`.
"""

from collections.abc import Callable
from typing import TypeVar

import tensorflow as tf

from bayesnas_tf.numerics.sums import ordered_sum

Rows = Callable[[tf.Tensor], tf.Tensor]  # takes the rows of one group of a tensor [B, ...]
Result = TypeVar("Result")


def side_by_side(function: Callable[[Rows], Result], groups: int) -> list[Result]:
    """What `function(rows)` gives for each group; `rows(tensor)`: its rows of a tensor `[B, ...]`."""
    # nothing here asks for threads: the groups are parts of one graph that do not wait for each other
    return [function(rows_of(group, groups)) for group in range(groups)]


def rows_of(group: int | tf.Tensor, groups: int) -> Rows:
    """`rows(tensor)`: those rows of a tensor `[B, ...]` that belong to one of so many groups.

    It raises a ValueError where B is no multiple of `groups`.
    """

    def rows(tensor: tf.Tensor) -> tf.Tensor:
        share, rest = divmod(tensor.shape[0], groups)
        if rest:
            raise ValueError(f"cannot split {tensor.shape[0]} rows into {groups} equal groups")
        # `group` may be a tensor, the number of a replica: no slice that begins there has a known size
        return tf.ensure_shape(tensor[group * share :][:share], [share, *tensor.shape[1:]])

    return rows if groups > 1 else lambda tensor: tensor


def mean(
    function: Callable[[Rows], tuple[list[tf.Tensor], list[tf.Tensor]]], groups: int
) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
    """Both lists that `function(rows)` gives: means over the rows `[...]`, and values of each row `[B, ...]`.

    Means of groups of one size are averaged: the result is the mean of the whole batch, to rounding.
    """
    means, values = zip(*side_by_side(function, groups), strict=True)
    if groups == 1:
        return means[0], values[0]
    averaged = [ordered_sum(parts) / groups for parts in zip(*means, strict=True)]
    return averaged, [tf.concat(parts, axis=0) for parts in zip(*values, strict=True)]
