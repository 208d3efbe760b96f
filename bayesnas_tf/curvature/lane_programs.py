"""One time step of a program on pairs: the rules of `cells.rules`, with lanes beside the values.

`uses` are shadows of what kernels make: what comes back in their place is what flows into each use of a
kernel, from which `weights` has the curvature of the kernel itself.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from bayesnas_tf.cells.interpreter import Values, prelude
from bayesnas_tf.cells.program_cell import ProgramCell
from bayesnas_tf.cells.reading import Reading
from bayesnas_tf.cells.rules import rule_of
from bayesnas_tf.cells.rules.base import Rule as Instruction
from bayesnas_tf.curvature.lanes import Pair, Rule, project, scaled, shadow_of, with_fresh
from bayesnas_tf.numerics.sums import fan_out, ordered_sum
from bayesnas_tf.space.program import PROJECT, SCALARS, Op, Program


class PairValues(Values):
    """`cells.interpreter.Values` of pairs: what comes back is added in the order of the users."""

    def put(self, name: str, value: Pair) -> None:
        """A pair is known: value `[..., B, U]` and shadow `[L, ..., B, U]`, both copied for each user."""
        count = self.uses.get(name, 0)
        self.copies[name] = map(Pair, *(fan_out(part, count) for part in value))


@tf.autograph.experimental.do_not_convert
def fixed(reading: Reading, w: Pair | None) -> dict[str, Any]:
    """Weights and constants by name; the scalars of the architecture as the pair that they are."""
    if w is None:
        return reading.fixed
    made = {op.out for op in reading.program.prelude()}
    found = {name: value for name, value in reading.fixed.items() if name not in made}
    return prelude(reading.program, found) | {SCALARS: w}


@tf.autograph.experimental.do_not_convert  # there is nothing to convert, and rules are lambdas
def step(
    reading: Reading,
    rule: Rule,
    known: Mapping[str, Any],
    given: Mapping[str, Pair],
    uses: Sequence[tf.Tensor] = (),
) -> tuple[list[Pair], list[tf.Tensor]]:
    """Pairs of `Program.ends`, and what each kernel read (no gradient passes), of one time step.

    Args:
      reading: of a cell, for this window.
      rule: of the backward pass.
      known: from `fixed`.
      given: pairs of `x` and of the states of the step before, by name.
      uses: shadows `[L, ..., B, N]` of the products with kernels, in their order; empty: none are wanted.
    """
    program = reading.program
    read: list[tf.Tensor] = []
    ops = program.steps()
    values = PairValues(ops, program.ends, known)
    for name in program.given:
        values.put(name, given[name])
    for op in ops:
        if op.rule == PROJECT:
            x = values.take(op.args[0])
            use = uses[len(read) : len(read) + 1]
            read.append(tf.stop_gradient(x.value))
            values.put(op.out, _projected(reading.masks.hidden, rule, x, known[op.args[1]], use))
        else:
            values.put(op.out, _through(rule, op, [values.take(name) for name in op.args]))
    return [values.take(name) for name in program.ends], read


def _projected(
    mask: tf.Tensor | None, rule: Rule, x: Pair, kernel: tf.Tensor, use: Sequence[tf.Tensor]
) -> Pair:
    """x, masked, times a kernel; `use` has the shadow of the result, or nothing."""
    pre = project(rule, x if mask is None else scaled(rule, x, mask), kernel)
    return Pair(pre.value, ordered_sum([pre.shadow, *use]))


def _through(rule: Rule, op: Op, args: Sequence[Any]) -> Pair:
    """One instruction; arguments are pairs, or tensors without lanes.

    Forward the rule's value, and zeros beside it. Backward one custom gradient treats both: the gradient g of
    the value and the cotangent s `[L, ...]` of the shadow. Weights and scalars have no rows: their gradients
    are summed over B here, those of the scalars' lanes only where sequences are not kept apart.
    """
    instruction, lanes = rule_of(op), next(a.shadow.shape[0] for a in args if isinstance(a, Pair))
    paired = [isinstance(a, Pair) for a in args]
    without_rows = [not is_pair or name == SCALARS for is_pair, name in zip(paired, op.args, strict=True)]

    @tf.custom_gradient
    def run(*flat: tf.Tensor) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
        x = list(flat[: len(args)])
        y = instruction.value(*x)

        def gradient(g: tf.Tensor, s: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
            of_values, of_lanes = _pulled(rule, instruction, g, s, x)
            own = [
                tf.reduce_sum(part, axis=0) if alone and part is not None else part
                for part, alone in zip(of_values, without_rows, strict=True)
            ]
            beside = [
                _of_scalars(rule, part) if alone else part
                for part, alone, is_pair in zip(of_lanes, without_rows, paired, strict=True)
                if is_pair
            ]
            return (*own, *beside)

        return (y, shadow_of(y, lanes)), gradient

    values = [a.value if is_pair else a for a, is_pair in zip(args, paired, strict=True)]
    shadows = [a.shadow for a, is_pair in zip(args, paired, strict=True) if is_pair]
    return Pair(*run(*values, *shadows))


def _pulled(
    rule: Rule, instruction: Instruction, g: tf.Tensor, s: tf.Tensor, x: Sequence[tf.Tensor]
) -> tuple[list[tf.Tensor | None], list[tf.Tensor | None]]:
    """Gradients of the arguments x from g `[...]`, and what flows into their lanes from s `[L, ...]`."""
    if not rule.diagonal:
        # linear lanes obey the chain rule: they are more cotangents of one call, which shares its activations
        both = instruction.pull(tf.concat([g[tf.newaxis], s], axis=0), *x)
        split = [(None, None) if part is None else (part[0], part[1:]) for part in both]
        return [own for own, _ in split], [beside for _, beside in split]
    # with D terms the statistics of a norm are constants: their own second derivatives would make every entry
    # negative at initialisation (docs/method.md, `recursive`)
    constant = {"constant": rule.d_terms} if instruction.statistics else {}
    of_values, of_lanes = list(instruction.pull(g, *x)), list(instruction.diagonal(s, *x, **constant))
    if rule.d_terms and instruction.second is not None:
        fresh = instruction.second(g, *x)
        of_lanes = [
            lane if new is None else with_fresh(lane, new) for lane, new in zip(of_lanes, fresh, strict=True)
        ]
    return of_values, of_lanes


def _of_scalars(rule: Rule, part: tf.Tensor) -> tf.Tensor:
    """`[L, B, E, O]`, or summed over the rows where they are not kept apart."""
    return part if rule.per_sequence else tf.reduce_sum(part, axis=1)


def _stacked(program: Program) -> dict[str, int]:
    """How many values are stacked in each value that is a stack."""
    return {op.out: len(op.args) for op in program.ops if op.rule == "stack"}


def read_shapes(cell: ProgramCell, batch: int) -> list[list[int]]:
    """Of what each product with a kernel reads, `[B, U]` or `[j, B, U]`."""
    stacks = _stacked(cell.program)
    reads = (op.args[0] for op in cell.program.projections())
    return [[*([stacks[name]] if name in stacks else []), batch, cell.units] for name in reads]


def use_shadows(cell: ProgramCell, rule: Rule, lanes: int, shape: Sequence[int]) -> list[tf.Tensor]:
    """Zeros `[T, L, ..., B, N]` for `x` and for each product with a kernel, over windows of `shape` [B, T].

    Diagonal lanes are added up: L is 1.
    """
    batch, steps = shape
    lead = [steps, 1 if rule.diagonal else lanes]
    dtype = cell.kernel.dtype
    found = [tf.zeros([*lead, batch, cell.kernel.shape[1]], dtype)]
    kernels, stacks = cell.kernels(), _stacked(cell.program)
    for op in cell.program.projections():
        kernel = kernels[op.args[1]]
        edges = [stacks[op.args[0]]] if op.args[0] in stacks else []
        per_edge = kernel.shape[:-2] if kernel.shape.rank > 2 else edges
        found.append(tf.zeros([*lead, *per_edge, batch, kernel.shape[-1]], dtype))
    return found


def edge_scalars(cell: ProgramCell, rule: Rule, scalar_shadows: Sequence[tf.Tensor]) -> Pair | None:
    """w_ij^o `[E, O]`, times the switch of its edge where there is one; None for a cell without scalars.

    As a pair: `scalar_shadows` are those of the scalars, `[L, E, O]` or `[L, B, E, O]`, and of the switches.
    """
    if not scalar_shadows:
        return None
    w = Pair(tf.convert_to_tensor(cell.scalars), scalar_shadows[0])
    if cell.zero_scalars is None:
        return w
    switch = Pair(tf.convert_to_tensor(cell.zero_scalars), scalar_shadows[1])

    @tf.custom_gradient
    def product(
        w: tf.Tensor, w_shadow: tf.Tensor, z: tf.Tensor, z_shadow: tf.Tensor
    ) -> tuple[tuple[tf.Tensor, tf.Tensor], Callable]:
        del z_shadow

        def gradient(g: tf.Tensor, s: tf.Tensor) -> tuple[tf.Tensor, ...]:
            of_w = s * rule.coefficient(z)[:, tf.newaxis]
            of_z = tf.reduce_sum(s * rule.coefficient(w), axis=-1)
            return g * z[:, tf.newaxis], of_w, tf.reduce_sum(g * w, axis=-1), of_z

        return (w * z[:, tf.newaxis], tf.zeros_like(w_shadow)), gradient

    return Pair(*product(*w, *switch))
