"""Where a loop compiles its step, and chooses what XLA compiles of it (`numerics.xla.stage`).

Asked for visible devices, and not for logical ones, TensorFlow does not begin: `threads` sets theirs.
"""

import tensorflow as tf

from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.models.heads import Softmax
from bayesnas_tf.models.language_model import LanguageModel
from bayesnas_tf.numerics.blocks import KernelBlocks
from bayesnas_tf.training.settings import Compile, WindowOptions
from bayesnas_tf.training.train_step import TrainStep

XLA_BUCKET = 10
# of a node, rows times units; of a time step's logits, rows times words; of the embedding
STAGED_VALUES = 16384


def use_xla(mode: Compile) -> bool:
    """XLA on request, and by default on a GPU; on a CPU its compile time eats what it gains in an epoch."""
    return mode == "xla" or (mode == "auto" and bool(tf.config.get_visible_devices("GPU")))


def use_stages(mode: Compile, values: int) -> bool:
    """Whether XLA compiles what lies between matrix products, in arrays of so many values, and nothing else.

    On request, and by default on a CPU, from a size on at which that takes longer than calling it.
    """
    if mode == "auto":
        return not tf.config.get_visible_devices("GPU") and values >= STAGED_VALUES
    return mode == "stages"


def stage(step: TrainStep, mode: Compile, rows: int) -> None:
    """Choose the form of what a step does to windows of `rows` rows: see `use_xla`, `use_stages`."""
    model, rows = step.model, rows // step.replicas.count
    cell, head = model.cell, model.head
    step.replicas.xla = use_xla(mode)
    if isinstance(cell, ProgramCell):
        cell.staged = use_stages(mode, rows * cell.units)  # see `cells.staged.window`
    if isinstance(head, Softmax):
        head.staged = use_stages(mode, rows * model.vocabulary)  # see `models.staged_softmax`
    if use_stages(mode, model.vocabulary * cell.input_size):
        step.use_stages()


def blocks_for(model: LanguageModel, mode: Compile) -> KernelBlocks:
    """For evaluation on a CPU, blocks of a highway cell's kernels; of none in a graph that is to be plain."""
    cell = model.cell
    if mode == "graph" or tf.config.get_visible_devices("GPU") or not isinstance(cell, ProgramCell):
        return KernelBlocks({}, model.options.matmul_dtype)
    matrices = {name: kernel for name, kernel in cell.kernels().items() if kernel.shape.rank == 2}
    return KernelBlocks(matrices, model.options.matmul_dtype)


def bucket(options: WindowOptions, xla: bool) -> int:
    """Window lengths are padded to multiples of this: under XLA each padded length is one compilation."""
    return options.bucket or (XLA_BUCKET if xla and options.jitter else 1)


def window_function(function, batch: int, xla: bool, whole: bool = True):
    """Compile function(x, y, length, ...): one graph for all lengths, or under XLA one per padded length.

    `function` takes x, y int32 `[batch, P]`, an int32 length and further tensors. `whole` False: it asks for
    XLA itself, for a part of what it does.
    """
    if xla:
        return tf.function(function, jit_compile=whole, reduce_retracing=False)
    window = tf.TensorSpec([batch, None], tf.int32)
    compiled = tf.function(function)

    def call(x, y, length, *rest):
        return compiled.get_concrete_function(window, window, tf.TensorSpec([], tf.int32), *map(_spec, rest))(
            x, y, length, *rest
        )

    return call


def _spec(tensor):
    return tf.TensorSpec(tensor.shape, tensor.dtype)
