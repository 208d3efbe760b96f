"""A recipe as a program: the matrices that one value meets stand side by side, and cost one product.

State k is `h<k>` here. A linear value is Σ_i s_i W_i + b; its bias begins at 0.
"""

from typing import NamedTuple

from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.program import PROJECT, Op, Program, Weight, before
from bayesnas_tf.space.recipe import OUTPUT, Value, X, state_before, state_now, states

LINEAR, BLEND, PRODUCT, SUM = "linear", "blend", "elementwise_prod", "elementwise_sum"
RULES = {BLEND: "blend", PRODUCT: "times", SUM: "plus"}
FUNCTIONS = {
    "activation_tanh": "tanh",
    "activation_sigm": "sigmoid",
    "activation_leaky_relu": "leaky_relu",
}


def state(k: int) -> str:
    """What state k is called in programs and drawings."""
    return f"h{k}"


class Source(NamedTuple):
    """A value that linear ones read: `terms` are its products, side by side in `kernel`."""

    value: str
    kernel: str
    terms: list[str]

    def ops(self) -> list[Op]:
        """The product with all matrices, and its parts."""
        count, whole = len(self.terms), f"{self.kernel}*"
        parts = [Op("part", term, (whole,), (k, count)) for k, term in enumerate(self.terms)]
        return [Op(PROJECT, whole, (self.value, self.kernel)), *parts]


class Names:
    """What the values of a recipe are called in its program: by their place, which no weight's name has."""

    def __init__(self, recipe: tuple[Value, ...]):
        """See the class."""
        self._place = {value.name: place for place, value in enumerate(recipe, start=1)}

    def value(self, name: str) -> str:
        """A value, an input or a state."""
        if (k := state_before(name)) is not None:
            return before(state(k))
        if (k := state_now(name)) is not None:
            return state(k)
        return X if name == X else f"v{self._place[name]}"

    def kernel(self, name: str) -> str:
        """The matrices that a value meets."""
        k = state_before(name)
        return f"source_kernel_{self._place[name]}" if k is None else f"recurrent_kernel_{k}"

    def bias(self, name: str) -> str:
        """The bias of a linear value."""
        return f"bias_{self._place[name]}"

    def terms(self, value: Value) -> list[str]:
        """The products that a linear value adds up."""
        return [f"t{self._place[value.name]}.{number}" for number in range(len(value.inputs))]


def _sources(recipe: tuple[Value, ...], names: Names) -> dict[str, Source]:
    """What linear values read but x, by its name in the recipe; and x without a kernel."""
    found: dict[str, Source] = {X: Source(X, "", [])}
    for value in recipe:
        if value.op == LINEAR:
            for name, term in zip(value.inputs, names.terms(value), strict=True):
                kernel = "" if name == X else names.kernel(name)
                found.setdefault(name, Source(names.value(name), kernel, [])).terms.append(term)
    return found


def _linear(value: Value, names: Names) -> list[Op]:
    """The sum of the products and a bias."""
    terms, out = names.terms(value), names.value(value.name)
    if len(terms) == 1:
        return [Op("bias", out, (terms[0], names.bias(value.name)))]
    total = f"{out}+"
    return [Op("plus", total, tuple(terms)), Op("bias", out, (total, names.bias(value.name)))]


def _plain(value: Value, names: Names) -> Op:
    """An operation without weights."""
    args, out = tuple(map(names.value, value.inputs)), names.value(value.name)
    if value.op in FUNCTIONS:
        return Op("apply", out, args, (FUNCTIONS[value.op],))
    return Op(RULES[value.op], out, args)


def discrete(genotype: Genotype) -> Program:
    """The cell of a recipe; it carries the states that the recipe reads."""
    recipe, names = genotype.recipe, Names(genotype.recipe)
    sources = _sources(recipe, names)
    count = len(sources[X].terms)
    ops = [Op("part", term, (X,), (k, count)) for k, term in enumerate(sources.pop(X).terms)]
    for name in [name for name in sources if state_before(name) is not None]:
        ops += sources[name].ops()
    for value in recipe:
        ops += _linear(value, names) if value.op == LINEAR else [_plain(value, names)]
        if value.name in sources:
            ops += sources[value.name].ops()
    kernels = [Weight(source.kernel, (1, len(source.terms))) for source in sources.values()]
    biases = [Weight(names.bias(v.name), (1,), start=0.0) for v in recipe if v.op == LINEAR]
    carried = tuple(map(state, states(recipe)))
    return Program(count, (*kernels, *biases), tuple(ops), names.value(OUTPUT), carried)
