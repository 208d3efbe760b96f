"""What all time steps of a window read of a cell, and the time step itself: a function of that."""

from collections.abc import Mapping
from typing import Any, NamedTuple

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
    blocks: Mapping[str, Any] = {}  # of kernels by name (`numerics.blocks`): for products without a gradient


PLAIN = Purpose()


class Reading(NamedTuple):
    """A cell for one window. Weights are tensors, read before the loop: it saves none of them per step."""

    program: Program
    staged: Program | None  # the one that the staged form runs; None: the window takes the plain loop
    fixed: dict[str, Any]  # weights, constants and what the program makes of them alone, by name
    rounded: dict[str, Any]  # kernels in bfloat16, where products are
    blocks: Mapping[str, Any]
    masks: masks.CellMasks
    matmul_dtype: products.MatmulDtype

    def product(self, x, name: str):
        """x `[..., K]` times the kernel of that name, `[K, N]`; see `products.project` for others."""
        return products.project(x, self.fixed[name], self.rounded.get(name), self.blocks.get(name))

    def project(self, x, name: str):
        """The product of a value of the cell, which the mask of hidden values meets first."""
        return self.product(masks.apply(self.masks.hidden, x), name)

    def project_inputs(self, x):
        """(x ⊙ m_x) times the input kernel: `[..., K]` -> `[..., N]`; x is `[B, T, K]` or `[B, K]`."""
        mask = self.masks.inputs
        if mask is not None and x.shape.rank == 3:
            mask = mask[:, tf.newaxis]
        return self.product(masks.apply(mask, x), "kernel")

    def run(self, projected, states, wanted=()) -> list:
        """Values of one step by name, or `Program.ends`, from projected inputs and states."""
        given = dict(zip(self.program.given, (projected, *states), strict=True))
        return interpreter.run(self.program, given, self.fixed, self.project, wanted)

    def step(self, projected, *states):
        """The states after one step, and the output where it is none, as `Program.ends` names them."""
        return tuple(self.run(projected, states))
