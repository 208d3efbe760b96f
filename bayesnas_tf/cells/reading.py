"""What all time steps of a window read of a cell, and the time step itself: a function of that."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from bayesnas_tf.cells import interpreter, masks
from bayesnas_tf.numerics import products
from bayesnas_tf.space.program import Program


class Purpose(NamedTuple):
    """What a window is computed for, as far as that decides how."""

    training: bool = False  # in the form whose gradient is fast, where there is one
    # A while loop computes the gradient of everything that its body reads, whoever wants it: where kernels
    # are constants, a backward pass for others does not pay for theirs.
    fixed_kernels: bool = False
    # of kernels by name, [n, K, COLUMNS] (`numerics.blocks`): for products without a gradient
    blocks: Mapping[str, tf.Tensor] = {}


PLAIN = Purpose()


class Reading(NamedTuple):
    """A cell for one window. Weights are tensors, read before the loop: it saves none of them per step."""

    program: Program
    staged: Program | None  # the one that the staged form runs; None: the window takes the plain loop
    fixed: dict[str, tf.Tensor]  # weights, constants and what the program makes of them alone, by name
    rounded: dict[str, tf.Tensor | None]  # kernels in bfloat16, where products are
    blocks: Mapping[str, tf.Tensor]
    masks: masks.CellMasks
    matmul_dtype: products.MatmulDtype

    def product(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """x `[..., K]` times the kernel of that name, `[K, N]`; see `products.project` for others."""
        return products.project(x, self.fixed[name], self.rounded.get(name), self.blocks.get(name))

    def project(self, x: tf.Tensor, name: str) -> tf.Tensor:
        """The product of a value `[..., B, U]` of the cell, which the mask of hidden values meets first."""
        return self.product(masks.apply(self.masks.hidden, x), name)

    def project_inputs(self, x: tf.Tensor) -> tf.Tensor:
        """(x ⊙ m_x) times the input kernel: `[..., K]` -> `[..., N]`; x is `[B, T, K]` or `[B, K]`."""
        mask = self.masks.inputs
        if mask is not None and x.shape.rank == 3:
            mask = mask[:, tf.newaxis]
        return self.product(masks.apply(mask, x), "kernel")

    def run(
        self, projected: tf.Tensor, states: Sequence[tf.Tensor], wanted: Sequence[str] = ()
    ) -> list[tf.Tensor]:
        """Values of one step by name, or `Program.ends`, from projected inputs `[B, N]`, states `[B, U]`."""
        given = dict(zip(self.program.given, (projected, *states), strict=True))
        return interpreter.run(self.program, given, self.fixed, self.project, wanted)

    def step(self, projected: tf.Tensor, *states: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """The states `[B, U]` after one step, and the output where it is none, as `Program.ends` names them.

        From projected inputs `[B, N]` and the states before.
        """
        return tuple(self.run(projected, states))
