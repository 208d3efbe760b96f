"""Data parallel training: who shares the rows of every window, replicas (`tf.distribute`) or row groups.

The weights of the model are mirrored, one copy on each device; all else is as with one replica. A step's
gradients are computed by all replicas, each on its rows, and averaged. What is made of them (clip, decay, the
new weights, totals, averages) is computed once per process, outside of any replica, and the new weights are
copied to the devices. So checkpoints, the curvature, validation and dynamic evaluation know of no replicas;
the curvature and validation of a search take its groups.

`mirrored`: the devices of this process, GPUs where there are any; `multi_worker`: those of all processes that
`TF_CONFIG` names.
"""

import contextlib
from collections.abc import Callable

import tensorflow as tf

from bayesnas_tf.numerics import row_groups, xla


class Replicas:
    """The replicas that share a batch: without a strategy one, which has all of it, in `groups` of rows."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None = None,
        groups: int = 1,
        several_processes: bool = False,
        leads: bool = True,
    ):
        """`groups`: without a strategy. `several_processes`: every worker of a cluster has made it.

        `leads`: whether this process is the one that writes.
        """
        self.strategy, self.groups = strategy, groups
        self.several_processes, self.leads = several_processes, leads
        self.count = strategy.num_replicas_in_sync if strategy else 1
        self._first = tf.function(self._value_of_the_first, autograph=False)

    def scope(self) -> contextlib.AbstractContextManager:
        """Within this context variables are made on every device."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def mean(
        self, function: Callable, compiled: bool, *of_batch: tf.Tensor
    ) -> tuple[list[tf.Tensor], list[tf.Tensor]]:
        """What `function(rows, *of_batch)` gives as a pair: means over the rows, and values of each row.

        `rows(tensor)` are those rows of a tensor `[B, ...]` that `function` has to treat. Both parts of the
        pair are lists of tensors; each of the second has the rows as its first axis. `compiled`: whether XLA
        compiles what each of several replicas computes; it has no sums over replicas, which stay outside.
        """
        if self.strategy is None:
            return row_groups.mean(lambda rows: function(rows, *of_batch), self.groups)

        def replica(*of_batch):
            context = tf.distribute.get_replica_context()
            rows = row_groups.rows_of(context.replica_id_in_sync_group, self.count)

            def compute(*of_batch):
                return function(rows, *of_batch)

            means, values = xla.stage(compute, compiled)(*of_batch)
            return context.all_reduce("MEAN", means), [context.all_gather(value, axis=0) for value in values]

        found = self.strategy.run(replica, of_batch)
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], found)

    def agreed(self, value: float) -> float:
        """The value of the first process: what all decide on, whatever the last bits of their own."""
        return float(self._first(tf.constant(value, tf.float64))) if self.several_processes else value

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.agreed(0.0)

    def _value_of_the_first(self, value: tf.Tensor) -> tf.Tensor:
        assert self.strategy is not None  # there are several processes

        def replica(value):
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group == 0
            return context.all_reduce("SUM", tf.where(first, value, tf.zeros_like(value)))

        return self.strategy.experimental_local_results(self.strategy.run(replica, (value,)))[0]
