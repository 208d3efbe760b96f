"""Known cells of the space by name, random ones, and the controls that split what a search gained."""

import dataclasses
import math
import re
from collections.abc import Callable

import numpy as np

from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.memory.programs import BEHIND_GATES, INPUT, OPTIONS, SQUASH
from bayesnas_tf.space.memory.space import cell

NODES = 6  # of a random cell
SPACE = "memory"

_DARTS_V2 = "sigmoid0 relu1 relu1 identity1 tanh2 sigmoid5 tanh3 relu5"
_BEHIND = "squash0* sigmoid1 relu2 relu2 identity2 tanh3 sigmoid6 tanh4 relu6"  # DARTS_V2 on node 1
_CHAIN = " ".join(f"tanh{node}" for node in range(9))

# name -> short form, source
_CELLS: dict[str, tuple[str, str]] = {
    "LSTM": ("[memory forget] squash0* -> mean 1", "Hochreiter & Schmidhuber 1997; Gers et al. 2000"),
    "CIFG": ("[memory] squash0* -> mean 1", "Greff et al. 2017 (coupled input and forget gate)"),
    "GRU": ("[reset] -> mean 0", "Cho et al. 2014"),
    "UGRNN": ("[] -> mean 0", "Collins et al. 2017"),
    "RHN_4": (f"[] {' '.join(_CHAIN.split()[:3])} -> mean 3", "Zilly et al. 2017, depth 4"),
    "RHN_10": (f"[] {_CHAIN} -> mean 9", "Zilly et al. 2017, depth 10"),
    "MEM_DARTS_V2": (
        f"[memory forget] {_DARTS_V2} -> mean 1 2 3 4 5 6 7 8",
        "DARTS_V2's graph with memory and forget gate",
    ),
    "LSTM_DARTS_V2": (
        f"[memory forget] {_BEHIND} -> mean 2 3 4 5 6 7 8 9",
        "DARTS_V2's graph on the output of an LSTM",
    ),
}
NAMES = tuple(_CELLS)
RANDOM = "memory-random"  # memory-random-7: drawn with seed 7
_FORMS = {  # what stays as it is in a control -> what its name says of it
    "switches": re.compile(rf"{RANDOM}-(\d{{1,9}})-switches([01]{{3}})-products([01]{{0,64}})"),
    "graph": re.compile(rf"{RANDOM}-(\d{{1,9}})-graph((?:-[a-z]+\d{{1,2}}){{0,64}})"),
    "size": re.compile(rf"{RANDOM}-(\d{{1,9}})-nodes(\d{{1,2}})-size(\d{{1,3}})"),
}
GATED_INPUT = ("reset", "forget")  # switches of the input that cost a gate
STREAM = 0x6D656D6F  # beside the seed: a control shares no draw with a uniform cell


def parse(text: str, name: str = "cell", source: str = "") -> Genotype:
    """A cell in its short form, `[memory forget] squash0* -> mean 1`.

    Raises:
      ValueError: it is no such form.
    """
    found = re.fullmatch(r"\[([a-z ]*)\]((?: [a-z]+\d+\*?)*) -> mean((?: \d+)+)", text)
    if found is None:
        raise ValueError(f"no cell of the space {SPACE!r}: {text!r}")
    words = found[2].split()
    return Genotype(
        tuple(Node(int(number), op) for op, number in re.findall(r"([a-z]+)(\d+)", found[2])),
        tuple(map(int, found[3].split())),
        name,
        provenance={"source": source} if source else {},
        space=SPACE,
        switches=tuple(found[1].split()),
        gated=tuple(number for number, word in enumerate(words, start=1) if word.endswith("*")),
    )


def named(name: str, seed: int = 0) -> Genotype | None:
    """The cell called `name`; None if there is none.

    Names are NAMES, `memory-random-N`, `memory-random` (drawn with `seed`), and those of `control_names`.
    """
    if name in _CELLS:
        return parse(_CELLS[name][0], name, _CELLS[name][1])
    if drawn := re.fullmatch(rf"{RANDOM}(?:-(\d{{1,9}}))?", name):
        return random_cell(seed if drawn[1] is None else int(drawn[1]))
    for kind, form in _FORMS.items():
        if drawn := form.fullmatch(name):
            found = _CONTROLS[kind](int(drawn[1]), *drawn.groups()[1:])
            return found and _renamed(found, name, f"uniform, with the same {kind}", int(drawn[1]))
    return None


def is_uniform(name: str) -> bool:
    """Whether a cell of that name is `memory-random-N`, drawn uniformly."""
    return re.fullmatch(rf"{RANDOM}-\d{{1,9}}", name) is not None


def is_matched(name: str) -> bool:
    """Whether a cell of that name is a control, drawn to match another one."""
    return any(form.fullmatch(name) for form in _FORMS.values())


def _renamed(drawn: Genotype, name: str, source: str, seed: int) -> Genotype:
    return dataclasses.replace(drawn, name=name, provenance={"source": source, "seed": seed})


def _drawn(draw: Callable[[], int], count: int) -> Genotype:
    """Fair coins for the switches; for each node a source, an operation and a coin for its product."""
    switches, nodes, gated = [draw() % 2 for _ in INPUT], [], []
    for number in range(1, count + 1):
        nodes.append(Node(int(draw() % number), OPTIONS[draw() % len(OPTIONS)]))
        gated += [number] * int(draw() % 2)
    return cell(switches, nodes, gated)


def random_cell(seed: int, nodes: int = NODES) -> Genotype:
    """A uniform cell. The same seed gives the same cell on every machine and with every NumPy."""
    return _renamed(_drawn(np.random.PCG64(seed).random_raw, nodes), f"{RANDOM}-{seed}", "uniform", seed)


def size(of: Genotype) -> int:
    """The kernels of a cell in units of U²: of cells of one size as many units have as many parameters."""
    with_kernel = sum(node.op != SQUASH for node in of.nodes)
    gates = len(of.gated) + sum(name in of.switches for name in GATED_INPUT)
    return 4 + 2 * with_kernel + 2 * gates


def _stream(seed: int) -> Callable[[], int]:
    return np.random.PCG64([seed, STREAM]).random_raw


def _same_switches(seed: int, switches: str, products: str) -> Genotype:
    """A random graph behind these switches, with these products."""
    drawn = _drawn(_stream(seed), len(products))
    gated = [number for number, product in enumerate(products, start=1) if product == "1"]
    return cell(map(int, switches), drawn.nodes, gated)


def _same_graph(seed: int, graph: str) -> Genotype | None:
    """Random switches and products around this graph."""
    words = re.findall(r"-([a-z]+)(\d+)", graph)
    drawn = _drawn(_stream(seed), len(words))
    nodes = [Node(int(source), op) for op, source in words]
    if any(node.op not in OPTIONS or node.source > place for place, node in enumerate(nodes)):
        return None
    return cell([name in drawn.switches for name in INPUT], nodes, drawn.gated)


def _same_size(seed: int, nodes: str, of: str) -> Genotype | None:
    """A uniform cell among those of so many nodes and of this size; None where there are none."""
    count, gates = int(nodes), int(nodes) + len(GATED_INPUT)
    half, odd = divmod(int(of) - 4, 2)
    # of (k, half - k): nodes with a kernel, and gates
    cells = [
        math.comb(count, k) * len(BEHIND_GATES) ** k * math.comb(gates, half - k) if k <= half else 0
        for k in range(count + 1)
    ]
    if odd or not sum(cells):
        return None
    draw = _stream(seed)
    place = sum(draw() << 64 * k for k in range(6)) % sum(cells)  # no sum of 64 nodes has as many bits
    kernels = next(k for k in range(count + 1) if place < sum(cells[: k + 1]))
    with_kernel, open_gates = _some(draw, count, kernels), _some(draw, gates, half - kernels)
    drawn = []
    for number in range(1, count + 1):
        op = BEHIND_GATES[draw() % len(BEHIND_GATES)] if number - 1 in with_kernel else SQUASH
        drawn.append(Node(int(draw() % number), op))
    on = {name for place, name in enumerate(GATED_INPUT) if count + place in open_gates}
    on |= {"memory"} if draw() % 2 else set()
    products = [number for number in range(1, count + 1) if number - 1 in open_gates]
    return cell([name in on for name in INPUT], drawn, products)


def _some(draw: Callable[[], int], count: int, size: int) -> set[int]:
    """`size` of the numbers 0..count - 1, each set of them as likely."""
    left = list(range(count))
    return {left.pop(int(draw() % len(left))) for _ in range(size)}


_CONTROLS: dict[str, Callable[..., Genotype | None]] = {
    "switches": _same_switches,
    "graph": _same_graph,
    "size": _same_size,
}


def control_names(seed: int, of: Genotype) -> dict[str, str]:
    """The names of three random cells, each of which shares one thing with another: switches, graph, size."""
    switches = "".join(str(int(name in of.switches)) for name in INPUT)
    products = "".join(str(int(number in of.gated)) for number in range(1, len(of.nodes) + 1))
    words = "".join(f"-{node.op}{node.source}" for node in of.nodes)
    return {
        "switches": f"{RANDOM}-{seed}-switches{switches}-products{products}",
        "graph": f"{RANDOM}-{seed}-graph{words}",
        "size": matched_name(seed, of),
    }


def matched_name(seed: int, of: Genotype) -> str:
    """The name of a random cell with as many nodes and parameters as another."""
    return f"{RANDOM}-{seed}-nodes{len(of.nodes)}-size{size(of)}"
