"""Every instruction of a program, by its name: one function of its constants, which gives a `Rule`.

`project`, the product with a kernel, is no rule: each interpreter takes products in its own way.
"""

import functools
from collections.abc import Callable

from bayesnas_tf.cells.rules import choose, elementwise, gate, linear, mix, norm, spread, switch
from bayesnas_tf.cells.rules.base import Rule
from bayesnas_tf.space.program import Op

PROJECT = "project"
RULES: dict[str, Callable[..., Rule]] = {
    "plus": linear.plus,
    "mean": linear.mean,
    "stack": linear.stack,
    "part": linear.part,
    "columns": linear.columns,
    "scale": linear.scale,
    "bias": linear.bias,
    "rows": linear.rows,
    "times": elementwise.times,
    "one_minus": elementwise.one_minus,
    "blend": elementwise.blend,
    "apply": elementwise.apply,
    "gate": gate.gate,
    "norm": norm.norm,
    "mix": mix.mix,
    "spread": spread.spread,
    "accumulate": spread.accumulate,
    "first": spread.first,
    "pick": choose.pick,
    "choose": choose.choose,
    "product": switch.product,
    "toward": switch.toward,
    "renew": switch.renew,
    "bypass": switch.bypass,
}


@functools.cache
def rule_of(op: Op) -> Rule:
    """The rule of an instruction with its constants."""
    return RULES[op.rule](*op.static)
