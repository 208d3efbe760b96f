"""The one place that decides how windows are computed, and compiles the function of a loop."""

import os
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.config import cluster, provenance
from bayesnas_tf.errors import UserError
from bayesnas_tf.numerics import sums
from bayesnas_tf.numerics.blocks import KernelBlocks
from bayesnas_tf.numerics.execution import Execution
from bayesnas_tf.numerics.replicas import Replicas
from bayesnas_tf.training import threads
from bayesnas_tf.training.settings import Compile, Distribute, WindowOptions

XLA_BUCKET = 10
# of a node, rows times units; of a time step's logits, rows times words; of the embedding
STAGED_VALUES = 16384


class Machine(NamedTuple):
    """What the form of a computation depends on."""

    gpu: bool = False
    cores: int | None = None  # that this process may use; None: unknown
    threads_chosen: bool = False  # the environment says how many threads an operation has

    @classmethod
    def here(cls) -> "Machine":
        """That of this process. It asks for visible devices: asked for logical ones, TensorFlow begins."""
        gpu = bool(tf.config.get_visible_devices("GPU"))
        return cls(gpu, provenance.usable_cores(), threads.VARIABLE in os.environ)


def decide(settings, machine: Machine, embedding: tuple[int, int], sharing: Replicas) -> Execution:
    """How a command computes windows.

    Args:
      settings: of a search or an evaluation.
      machine: it runs on.
      embedding: its words and units.
      sharing: from `begin`.
    """
    (words, units), rows, mode = embedding, settings.windows.batch_size // sharing.count, settings.compile
    # by default on a GPU alone: on a CPU the time to compile eats what XLA gains in an epoch
    xla = mode == "xla" or (mode == "auto" and machine.gpu)
    return Execution(
        xla=xla,
        cell=use_stages(mode, machine, rows * units),
        head=use_stages(mode, machine, rows * words),
        updates=use_stages(mode, machine, words * units),
        fused=machine.gpu and not xla,  # XLA lacks it
        blocks=mode != "graph" and not machine.gpu,
        replicas=sharing,
    )


def use_stages(mode: Compile, machine: Machine, values: int) -> bool:
    """Whether XLA compiles what lies between matrix products, in arrays of so many values, and nothing else.

    On request, and by default on a CPU, from a size on at which that takes longer than calling it.
    """
    return mode == "stages" or (mode == "auto" and not machine.gpu and values >= STAGED_VALUES)


def usual_groups(settings, machine: Machine) -> int:
    """Of rows that a search's step has where nobody says: one for each of two cores, for large cells."""
    groups = machine.cores if machine.cores == threads.CORES and not machine.threads_chosen else 1
    pays = use_stages(settings.compile, machine, settings.windows.batch_size * settings.cell.units)
    return groups if pays and not settings.whole(groups) else 1


def begin(settings, machine: Machine) -> Replicas:
    """Find who shares the rows of a window, which begins `tf.distribute` or sets the threads of TensorFlow.

    To be called before TensorFlow computes anything. Sums keep their order from here on.
    """
    sums.keep_order()
    if settings.distribute != "none":
        norm = getattr(settings.cell, "norm", "")
        return replicas(settings.distribute, settings.configured_as, settings.windows.batch_size, norm)
    groups = settings.row_groups or usual_groups(settings, machine)
    alone = groups > 1 and (machine.threads_chosen or threads.set_for_groups(groups, machine.cores))
    return Replicas(groups=groups if alone or settings.row_groups else 1)


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
            f"{name} does not allow CellOptions.norm='batch': its statistics cross devices in the time loop. "
            "Start one process per device: 'multi_worker' (docs/distributed.md)"
        )
    else:
        devices = tf.config.list_logical_devices("GPU") or tf.config.list_logical_devices("CPU")
        found = Replicas(tf.distribute.MirroredStrategy([device.name for device in devices]))
    if batch % found.count:
        raise UserError(
            f"{name} cannot share WindowOptions.batch_size={batch} among {found.count} replicas. "
            f"Set it to a multiple of {found.count}"
        )
    return found


def blocks_for(model) -> KernelBlocks:
    """For evaluation, blocks of the kernels of a language model's cell."""
    kernels = model.cell.kernels().items() if model.execution.blocks else ()
    matrices = {name: kernel for name, kernel in kernels if kernel.shape.rank == 2}
    return KernelBlocks(matrices, model.execution.matmul_dtype)


def bucket(options: WindowOptions, xla: bool) -> int:
    """Window lengths are padded to multiples of this: under XLA each padded length is one compilation."""
    return options.bucket or (XLA_BUCKET if xla and options.jitter else 1)


def window_function(function, batch: int, xla: bool, whole: bool = True):
    """Compile function(x, y, length, ...): one graph for all lengths, or under XLA one per padded length.

    `function` takes x, y int32 `[batch, P]`, an int32 length and further tensors. `whole` False: it asks for
    XLA itself, for a part of what it does.
    """
    if xla:
        return tf.function(function, jit_compile=whole, reduce_retracing=False, autograph=False)
    window = tf.TensorSpec([batch, None], tf.int32)
    compiled = tf.function(function, autograph=False)

    def call(x, y, length, *rest):
        return compiled.get_concrete_function(window, window, tf.TensorSpec([], tf.int32), *map(_spec, rest))(
            x, y, length, *rest
        )

    return call


def _spec(tensor):
    return tf.TensorSpec(tensor.shape, tensor.dtype)
