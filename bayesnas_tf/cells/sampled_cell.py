"""One discrete cell at a time over kernels that all discrete cells share: which one is data, not graph."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.cells.search_cell import CellOptions


@keras.saving.register_keras_serializable(package="bayesnas_tf")
class SampledCell(ProgramCell):
    """x_j = Norm(s + σ(g) (op(a) - s)) with [g, a] = (s ⊙ m_h) W_j and s the value of node j's source.

    The kernels are those of a `SearchCell` with weight sharing `node`, and so are their initial values. A
    step costs n products with a kernel where the mixture of all edges has n (n + 1) / 2: `choice` selects a
    source and an operation per node by one-hot products, so that one graph serves every cell.

    A node has one term, and norm `mean` divides by 1: without another norm this is a `DerivedCell`.
    """

    has_lanes = False

    def __init__(self, options: CellOptions, **kwargs: Any):
        """See `CellOptions`.

        Raises:
          ValueError: the options ask for what one term per node cannot have.
        """
        for name, needed in (
            ("weight_sharing", "node"),
            ("norm_learnable", False),
            ("zero_edge_switch", False),
        ):
            if getattr(options, name) != needed:
                raise ValueError(
                    f"a strategy that samples cells cannot use CellOptions.{name} = "
                    f"{getattr(options, name)!r}. Set it to {needed!r}"
                )
        space = options.searched()
        super().__init__(options.units, space.sampled(options.form()), options.init_range, **kwargs)
        self.options, self.space = options, space
        self.couples_rows = options.norm == "batch"
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create the weights, and the choice, int64 of the shape of `Space.slots`, all 0.

        int64, for TensorFlow places int32 variables on the CPU, where a graph of a GPU cannot reach them.
        """
        super().build(input_shape)
        self.choice = tf.Variable(tf.zeros(self.space.slots.shape, tf.int64), trainable=False)

    def get_config(self) -> dict[str, Any]:
        """The options, so that Keras can rebuild the layer."""
        return {**super().get_config(), "options": dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SampledCell":
        """Rebuild the layer from `get_config`."""
        return cls(CellOptions(**config.pop("options")), **config)

    def choose(self, choice: np.ndarray | tf.Tensor) -> None:
        """Set the cell, integers `[n, 2]`."""
        self.choice.assign(tf.cast(choice, tf.int64))

    def constants(self) -> dict[str, tf.Tensor]:
        """What is chosen, as one-hot rows `[n, M]`: one array for each column of a choice."""
        sizes = self.space.slots.max(axis=0)
        return {
            name: tf.one_hot(self.choice[:, k], int(sizes[k]), dtype=self.compute_dtype)
            for k, name in enumerate(self.space.chosen)
        }

    @property
    def node_kernels(self) -> list[keras.Variable]:
        """The kernel of each node."""
        return [kernel for name, kernel in self.kernels().items() if name != "recurrent_kernel"]
