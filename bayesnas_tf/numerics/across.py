"""Sums over replicas inside a time loop, where `tf.distribute` has none (see `numerics.replicas`)."""

import collections
import itertools
from collections.abc import Iterator

import tensorflow as tf

GROUP = 1 << 20  # keys far from those that tf.distribute counts from 1
FIRST_SUM = 1 << 20

# Replicas trace the same graph and so meet their sums in the same order: the n-th sum of one is that of all.
_sums: dict[int, Iterator[int]] = collections.defaultdict(lambda: itertools.count(FIRST_SUM))


def replicas() -> int:
    """How many replicas share the rows of the batch here; 1 outside of `tf.distribute.Strategy.run`."""
    return tf.distribute.get_strategy().num_replicas_in_sync


@tf.custom_gradient
def total(x: tf.Tensor) -> tf.Tensor:
    """The sum of x `[...]` over all replicas, of one shape in each; its gradient is such a sum too."""
    return _reduced(x), _reduced


def _reduced(x: tf.Tensor) -> tf.Tensor:
    replica = int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))
    return tf.raw_ops.CollectiveReduceV2(
        input=x,
        group_size=replicas(),
        group_key=GROUP,
        instance_key=next(_sums[replica]),
        ordering_token=[],
        merge_op="Add",
        final_op="Id",
    )
