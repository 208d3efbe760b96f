"""Cells of the literature by name, and random ones: what a searched cell stands beside."""

import re

import numpy as np

from bayesnas_tf.space.genotype import Genotype, Node
from bayesnas_tf.space.highway.operations import OP_NAMES

NODES = 8  # of a random cell

# name -> nodes, output (empty: all learned nodes), source
_CELLS: dict[str, tuple[str, tuple[int, ...], str]] = {
    "DARTS_V1": (
        "relu0 relu1 tanh2 relu3 relu4 identity1 relu5 relu1",
        (),
        "Liu et al. 2019 (DARTS), first release; not the first-order search",
    ),
    "DARTS_V2": (
        "sigmoid0 relu1 relu1 identity1 tanh2 sigmoid5 tanh3 relu5",
        (),
        "Liu et al. 2019 (DARTS), second release",
    ),
    "ENAS": (
        "tanh0 tanh1 relu1 tanh3 tanh3 relu3 relu4 relu7 relu8 relu8 relu8",
        (2, 5, 6, 9, 10, 11),
        "Pham et al. 2018 (ENAS), as DARTS transcribed it",
    ),
    "ENAS_LM": (
        "sigmoid0 tanh1 relu2 sigmoid2 tanh4 tanh5 sigmoid3 sigmoid6",
        (),
        "Pham et al. 2018 (ENAS), the authors' re-release",
    ),
    "NAO": (
        "relu0 relu0 relu1 tanh3 relu4 relu4 relu5 relu1 relu7 relu1 identity1",
        (),
        "Luo et al. 2018 (NAO)",
    ),
    "NAO_WS": (
        "relu0 relu1 sigmoid2 sigmoid1 relu4 relu4 relu4 relu7 sigmoid8 tanh1 relu4",
        (),
        "Luo et al. 2018 (NAO), with weight sharing",
    ),
    "GDAS": (
        "relu0 relu0 identity1 relu1 tanh0 relu2 identity4 identity2",
        (),
        "Dong & Yang 2019 (GDAS)",
    ),
    "SDARTS_RS": (
        "sigmoid0 sigmoid1 identity2 sigmoid1 tanh2 tanh2 sigmoid0 sigmoid3",
        (),
        "Chen & Hsieh 2020 (SmoothDARTS), random smoothing",
    ),
    "SDARTS_ADV": (
        "relu0 relu1 tanh2 relu3 identity2 relu1 tanh2 relu7",
        (),
        "Chen & Hsieh 2020 (SmoothDARTS), adversarial",
    ),
}
NAMES = tuple(_CELLS)
RANDOM = "random"  # random-7: drawn with seed 7
_MATCHED = re.compile(rf"{RANDOM}-(\d{{1,9}})-nodes(\d{{1,2}})-depth(\d{{1,4}})")
MATCHED_DRAWS = 100_000  # among which a random cell of a given depth is looked for
MATCHED_STREAM = 0x6D617463  # beside the seed: a matched cell shares no draw with `random-N`


def named(name: str, seed: int = 0) -> Genotype | None:
    """The cell called `name`; None if there is none.

    Names are NAMES, `random-N`, `random` (drawn with `seed`) and `random-N-nodesK-depthD`.
    """
    if name in _CELLS:
        text, output, source = _CELLS[name]
        return parse(text, output, name, source)
    if drawn := re.fullmatch(rf"{RANDOM}(?:-(\d{{1,9}}))?", name):
        return random_cell(seed if drawn[1] is None else int(drawn[1]))
    if drawn := _MATCHED.fullmatch(name):
        return matched_cell(*map(int, drawn.groups()))
    return None


def is_uniform(name: str) -> bool:
    """Whether a cell of that name is `random-N`, drawn uniformly."""
    return re.fullmatch(rf"{RANDOM}-\d{{1,9}}", name) is not None


def is_matched(name: str) -> bool:
    """Whether a cell of that name is `random-N-nodesK-depthD`, drawn to match another one."""
    return _MATCHED.fullmatch(name) is not None


def parse(text: str, output: tuple[int, ...], name: str, source: str) -> Genotype:
    """A cell in the short form of the literature, `relu0 tanh1 ...`; no `output` means all its nodes."""
    nodes = []
    for word in text.split():
        op, number = re.fullmatch(r"([a-z]+)(\d+)", word).groups()  # type: ignore[union-attr]
        nodes.append(Node(int(number), op))
    return Genotype(
        tuple(nodes), output or tuple(range(1, len(nodes) + 1)), name, provenance={"source": source}
    )


def random_cell(seed: int, nodes: int = NODES) -> Genotype:
    """A cell whose every node has a uniform source among the nodes before it and a uniform operation.

    The same seed gives the same cell on every machine and with every NumPy: raw draws stay.
    """
    draw = np.random.PCG64(seed).random_raw
    drawn = tuple(
        Node(int(draw() % number), OP_NAMES[draw() % len(OP_NAMES)]) for number in range(1, nodes + 1)
    )
    output = tuple(range(1, nodes + 1))
    return Genotype(drawn, output, f"{RANDOM}-{seed}", provenance={"source": "uniform", "seed": seed})


def matched_name(seed: int, cell: Genotype) -> str:
    """The name of a random cell with as many nodes as `cell`, whose depths have the same sum."""
    return f"{RANDOM}-{seed}-nodes{len(cell.nodes)}-depth{sum(cell.depths())}"


def matched_cell(seed: int, nodes: int, depth: int) -> Genotype | None:
    """A random cell whose node depths sum to `depth`; None where no cell of so many nodes has that sum.

    The first of MATCHED_DRAWS uniform cells with that sum, or, where it is so rare, the nearest of them. Its
    own sum stands in its provenance.
    """
    if not nodes <= depth <= nodes * (nodes + 1) // 2 or not nodes:
        return None
    drawn = np.random.PCG64([seed, MATCHED_STREAM]).random_raw((MATCHED_DRAWS, 2 * nodes))
    sources = (drawn[:, ::2] % np.arange(1, nodes + 1, dtype=np.uint64)).astype(int)
    depths = np.zeros((MATCHED_DRAWS, nodes + 1), int)
    for node in range(1, nodes + 1):
        depths[:, node] = np.take_along_axis(depths, sources[:, node - 1 : node], axis=1)[:, 0] + 1
    sums = depths.sum(axis=1)
    row = int(np.argmin(np.abs(sums - depth)))
    ops = (drawn[row, 1::2] % len(OP_NAMES)).astype(int)
    return Genotype(
        tuple(Node(int(source), OP_NAMES[op]) for source, op in zip(sources[row], ops, strict=True)),
        tuple(range(1, nodes + 1)),
        f"{RANDOM}-{seed}-nodes{nodes}-depth{depth}",
        provenance={"source": "uniform among cells of one depth", "seed": seed, "depth": int(sums[row])},
    )
