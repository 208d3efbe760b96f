"""Which recipes are cells: the operations of NAS-Bench-NLP, and how many inputs each has."""

import re
from typing import NamedTuple

from bayesnas_tf.errors import unknown
from bayesnas_tf.space import base
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.nasbench_nlp import pictures, programs
from bayesnas_tf.space.nasbench_nlp.programs import BLEND, FUNCTIONS, LINEAR, PRODUCT, SUM
from bayesnas_tf.space.recipe import MOST_INPUTS, X

_NAME = re.compile(r"nasbench-(\d{1,9})")


def number_of(name: str) -> int | None:
    """ID, where a cell is called `nasbench-ID`."""
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else None


class Arity(NamedTuple):
    """How many inputs an operation takes."""

    least: int
    most: int

    def __str__(self) -> str:
        """As messages say it."""
        return str(self.least) if self.least == self.most else f"{self.least} to {self.most}"


OPERATIONS = {
    LINEAR: Arity(1, MOST_INPUTS),
    BLEND: Arity(3, 3),
    PRODUCT: Arity(2, 2),
    SUM: Arity(2, MOST_INPUTS),
    **{name: Arity(1, 1) for name in FUNCTIONS},
}


@base.register
class NasBenchNlp(base.Cells):
    """Recipes of linear maps, blends, sums, products and activations, with as many states as they read."""

    name = "nasbench_nlp"
    recipes = True
    discrete = staticmethod(programs.discrete)
    graph = staticmethod(pictures.graph)

    @classmethod
    def check(cls, genotype: Genotype) -> None:
        """Operations are known and have their inputs; x, which may have another width, meets a matrix."""
        for value in genotype.recipe:
            if value.op not in OPERATIONS:
                raise ValueError(unknown("operation", value.op, OPERATIONS))
            arity = OPERATIONS[value.op]
            if not arity.least <= len(value.inputs) <= arity.most:
                raise ValueError(
                    f"{value.name!r} has {len(value.inputs)} inputs, but {value.op!r} takes {arity}"
                )
            if X in value.inputs and value.op != LINEAR:
                raise ValueError(f"{value.name!r} applies {value.op!r} to x, but x may enter only {LINEAR!r}")
