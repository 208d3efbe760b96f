"""How windows are computed: one value, decided by `training.execution`, which a language model carries."""

import dataclasses

from bayesnas_tf.numerics.products import MatmulDtype
from bayesnas_tf.numerics.replicas import Replicas


@dataclasses.dataclass(frozen=True)
class Execution:
    """The form of everything that a window of text goes through; by default a plain graph on one device."""

    xla: bool = False  # XLA compiles whole windows: of training, and of the curvature
    # XLA compiles what lies between the matrix products, and nothing else
    cell: bool = False  # of the cell in training, see `cells.staged`
    head: bool = False  # of the loss, see `models.staged_softmax`
    updates: bool = False  # of the weights: the work of a step that is elementwise
    fused: bool = False  # a layer is one operation of cuDNN, where there is such a form
    blocks: bool = False  # evaluation takes large kernels in blocks, see `numerics.blocks`
    matmul_dtype: MatmulDtype = "float32"  # the model sets it, whose option it is
    replicas: Replicas = dataclasses.field(default_factory=Replicas)  # who shares the rows of a window


GRAPH = Execution()
