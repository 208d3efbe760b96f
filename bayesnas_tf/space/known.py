"""Cells by their name or their file, whatever their space, as users give them."""

import difflib
from pathlib import Path

from bayesnas_tf.errors import UserError, expanded
from bayesnas_tf.run_files import RunFiles
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.highway import published as highway
from bayesnas_tf.space.memory import published as memory
from bayesnas_tf.space.nasbench_nlp.space import number_of

FILE = RunFiles.genotype
BY_SPACE = {"highway": highway, "memory": memory}
NAMES = (*highway.NAMES, *memory.NAMES)


def named(name: str, seed: int = 0) -> Genotype | None:
    """The known or random cell of that name, of any space; None if there is none."""
    found = (cells.named(name, seed) for cells in BY_SPACE.values())
    return next((cell for cell in found if cell is not None), None)


def is_published(name: str) -> bool:
    """Whether others have published the cell of that name."""
    return name in NAMES or number_of(name) is not None


def is_uniform(name: str) -> bool:
    """Whether a cell of that name is a uniform draw from its space."""
    return any(cells.is_uniform(name) for cells in BY_SPACE.values())


def is_matched(name: str) -> bool:
    """Whether a cell of that name is a random one that matches another."""
    return any(cells.is_matched(name) for cells in BY_SPACE.values())


def matched_name(seed: int, cell: Genotype) -> str:
    """The name of a random cell of the space and size of `cell`; `UserError` where there are none."""
    if cell.space not in BY_SPACE:
        raise UserError(
            f"the space {cell.space!r} has no random cells to compare with. Set RankOptions.controls = 0"
        )
    return BY_SPACE[cell.space].matched_name(seed, cell)


def find_genotype(name: str, seed: int) -> Genotype:
    """The genotype in a file or of a name in `known`; a random one is drawn with `seed`.

    Raises:
      UserError: nothing is named, there is no such cell or file (with those that come near), or the file
        holds no cell.
    """
    if not name:
        raise UserError(
            "evaluate needs a cell. Add --genotype=NAME, such as DARTS_V2, or --genotype=FILE, such as "
            "runs/ptb-seed0/genotype.json, or choose a baseline: --gin_file=baselines/awd_lstm.gin"
        )
    path = expanded(name)
    if path.is_file():
        try:
            return Genotype.load(path)
        except (ValueError, OSError) as error:
            raise UserError(f"cannot use --genotype={name}. {error}. Give a genotype.json") from error
    if (cell := named(name, seed)) is not None:
        return cell
    near = difflib.get_close_matches(name.upper(), NAMES, n=1) or nearby(path)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    raise UserError(
        f"no genotype {name!r}. There is no such file in {Path.cwd()}{hint}. "
        f"Give a genotype.json, or one of {', '.join(NAMES)}, random, random-N, "
        "random-N-nodesK-depthD, memory-random-N, nasbench-ID"
    )


def nearby(path: Path) -> list[str]:
    """Genotype files that a mistyped path may have meant, at most two, the likeliest first."""
    found = {file for folder in (Path("."), path.parent) for file in folder.glob("*.json")}
    found |= {folder / FILE for folder in (path, path.parent) if (folder / FILE).is_file()}
    found |= set(Path("runs").glob(f"*/{FILE}")) | set(path.parent.parent.glob(f"*/{FILE}"))
    return difflib.get_close_matches(str(path), sorted(map(str, found)), n=2, cutoff=0.4)
