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

from bayesnas_tf.config import cluster
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import row_groups, xla
from bayesnas_tf.training.settings import Distribute


class Replicas:
    """The replicas that share a batch: without a strategy one, which has all of it, in `groups` of rows."""

    def __init__(
        self,
        strategy: tf.distribute.Strategy | None = None,
        several_processes: bool = False,
        groups: int = 1,
    ):
        """`several_processes`: every worker of a cluster has made such a strategy; `groups`: without one."""
        self.strategy, self.several_processes, self.groups = strategy, several_processes, groups
        self.count = strategy.num_replicas_in_sync if strategy else 1
        self.leads = cluster.leads() if several_processes else True  # whether this process writes
        self.xla = False  # whether XLA compiles what each replica computes
        self._first = tf.function(self._value_of_the_first, autograph=False)

    def scope(self) -> contextlib.AbstractContextManager:
        """Within this context variables are made on every device."""
        return self.strategy.scope() if self.strategy else contextlib.nullcontext()

    def mean(self, function: Callable, *of_batch):
        """What `function(rows, *of_batch)` gives as a pair: means over the rows, and values of each row.

        `rows(tensor)` are those rows of a tensor `[B, ...]` that `function` has to treat. Both parts of the
        pair are lists of tensors; each of the second has the rows as its first axis.
        """
        if self.strategy is None:
            return row_groups.mean(lambda rows: function(rows, *of_batch), self.groups)

        def replica(*of_batch):
            context = tf.distribute.get_replica_context()
            rows = row_groups.rows_of(context.replica_id_in_sync_group, self.count)

            def compute(*of_batch):
                return function(rows, *of_batch)

            run = xla.stage(compute, self.xla)
            means, values = run(*of_batch)
            return context.all_reduce("MEAN", means), [context.all_gather(value, axis=0) for value in values]

        found = self.strategy.run(replica, of_batch)
        return tf.nest.map_structure(lambda value: self.strategy.experimental_local_results(value)[0], found)

    def agreed(self, value: float) -> float:
        """The value of the first process: what all decide on, whatever the last bits of their own."""
        return float(self._first(tf.constant(value, tf.float64))) if self.several_processes else value

    def wait(self) -> None:
        """Go on when all processes have come here."""
        self.agreed(0.0)

    def _value_of_the_first(self, value):
        def replica(value):
            context = tf.distribute.get_replica_context()
            first = context.replica_id_in_sync_group == 0
            return context.all_reduce("SUM", tf.where(first, value, tf.zeros_like(value)))

        return self.strategy.experimental_local_results(self.strategy.run(replica, (value,)))[0]


def replicas(mode: Distribute, command: str, batch: int, norm: str = "") -> Replicas:
    """What `search.distribute` or `evaluate.distribute` asks for.

    Args:
      mode: of the command's settings.
      command: its name.
      batch: rows of a window, which the replicas share.
      norm: of the cell.

    Raises:
      UserError: the rows cannot be shared, `TF_CONFIG` names no cluster, or the devices of one process are to
        compute the statistics of a batch together.
    """
    name = f"{command}.distribute={mode!r}"
    if mode == "none":
        return Replicas()
    if mode == "multi_worker":
        cluster.leads()  # an unusable TF_CONFIG is a traceback in TensorFlow
        found = Replicas(tf.distribute.MultiWorkerMirroredStrategy(), several_processes=True)
    elif norm == "batch":
        raise UserError(
            f"{name} cannot have CellOptions.norm='batch', whose statistics cross devices in the time loop. "
            "Give each device a process of its own: 'multi_worker' (docs/distributed.md)"
        )
    else:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        found = Replicas(tf.distribute.MirroredStrategy([device.name for device in devices]))
    if batch % found.count:
        raise UserError(
            f"{name} cannot share WindowOptions.batch_size={batch} among {found.count} replicas. "
            f"Give it a multiple of {found.count}"
        )
    return found
