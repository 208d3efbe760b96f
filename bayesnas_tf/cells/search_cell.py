"""The over-parameterised cell: a custom Keras RNN cell with mixed highway operations."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any, Literal

import gin
import keras
import tensorflow as tf

from bayesnas_tf.cells import norms
from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.options import Dropout, Options, Positive, Range, Units
from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import HIGHWAY, MOST_NODES
from bayesnas_tf.space.program import SCALARS, Form, Program, Weight

Sharing = Literal["node", "edge", "edge_op"]


@gin.register
@dataclasses.dataclass(frozen=True)
class CellOptions(Options):
    """Size and form of the search cell (method sections 1 and 2)."""

    units: Units = 300  # of every node and of the hidden state
    nodes: Annotated[int, Range(1, MOST_NODES)] = 8  # of the graph, without the input node
    # which entries share a weight matrix: those of one node, of one edge, or none
    weight_sharing: Sharing = "node"
    # of each sum: by batch statistics, by those of each row, by the number of terms (mean), or none
    norm: norms.Norm = "batch"
    norm_learnable: bool = False  # scale and offset of the norm: rows of table 5.1
    zero_edge_switch: bool = False  # one more scalar per edge (equation 3.9)
    input_dropout: Dropout = 0.0  # on x_t; a probability of dropping
    hidden_dropout: Dropout = 0.0  # on h_{t-1} and on every predecessor
    init_range: Positive = 0.04  # uniform, as DARTS
    space: str = HIGHWAY  # of which the nodes are
    cap: bool = False  # in spaces with a forget gate: the input gate is at most 1 - forget gate

    def __post_init__(self):
        """Refuse a norm that has nothing to learn."""
        super().__post_init__()
        base.searched(self.space).check_form(self.form(), self.zero_edge_switch)
        if self.norm_learnable and self.norm not in ("batch", "layer"):
            raise ValueError(
                f"CellOptions.norm_learnable=True needs the norm 'batch' or 'layer', not {self.norm!r}"
            )

    def searched(self) -> base.Space:
        """The space with so many nodes."""
        return base.searched(self.space).of(self.form())

    def form(self) -> Form:
        """What the program of the supernet is made of."""
        return Form(self.nodes, self.weight_sharing, self.norm, self.norm_learnable, self.cap)


class SearchCell(ProgramCell):
    """All sites, all options, each scaled by its architecture scalar (M1-M4); owns the scalars."""

    def __init__(self, options: CellOptions, **kwargs: Any):
        """See `CellOptions`."""
        space = options.searched()
        super().__init__(options.units, space.mixture(options.form()), options.init_range, **kwargs)
        self.options, self.space = options, space
        self.couples_rows = options.norm == "batch"
        self.input_dropout, self.hidden_dropout = options.input_dropout, options.hidden_dropout

    def build(self, input_shape: Sequence[int | None]) -> None:
        """Create kernels, then the scalars w = 1 (0 where a site has no such option), then all else."""
        self.create(Weight("kernel", (1, self.program.inputs)), input_shape[-1])
        drawn = [weight for weight in self.program.weights if weight.start is None]
        for weight in drawn:
            self.create(weight)
        sites = self.space.sites
        self.scalars = self.add_weight(
            name="scalars",
            shape=sites.exists.shape,
            initializer=lambda shape, dtype=None: tf.reshape(tf.cast(sites.exists, dtype), shape),
        )
        self.zero_scalars = None
        if self.options.zero_edge_switch:
            shape = (len(sites.exists),)
            self.zero_scalars = self.add_weight(name="zero_scalars", shape=shape, initializer="ones")
        for weight in self.program.weights:
            if weight not in drawn:
                self.create(weight)

    def get_config(self) -> dict[str, Any]:
        """The options, so that Keras can rebuild the layer."""
        return {**super().get_config(), "options": dataclasses.asdict(self.options)}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "SearchCell":
        """Rebuild the layer from `get_config`."""
        return cls(CellOptions(**config.pop("options")), **config)

    @property
    def node_kernels(self) -> list[keras.Variable]:
        """The kernels of the edges into each node."""
        return [kernel for name, kernel in self.kernels().items() if name != "recurrent_kernel"]

    def edge_scalars(self) -> tf.Tensor:
        """w_ij^o `[E, O]`, times the switch of its edge where there is one."""
        w = tf.convert_to_tensor(self.scalars)
        if self.zero_scalars is None:
            return w
        return w * tf.convert_to_tensor(self.zero_scalars)[:, tf.newaxis]

    def constants(self) -> dict[str, tf.Tensor]:
        """The scalars."""
        return {SCALARS: self.edge_scalars()}

    def staged_program(self) -> Program | None:
        """The same cell, all edges that leave a node at once, where it has such a form."""
        return self.space.mixture_by_source(self.options.form())
