"""Who shares the rows of a window, as the settings of a command say; see `numerics.replicas`."""

import tensorflow as tf

from bayesnas_tf.config import cluster
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.training.settings import Distribute


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
        leads = cluster.leads()  # first: an unusable TF_CONFIG is a traceback in TensorFlow
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        found = Replicas(strategy, several_processes=True, leads=leads)
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
