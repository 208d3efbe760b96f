"""Where the recipes of NAS-Bench-NLP lie: tables of one JSON object per line, and logs of the release.

Neither is part of this package (docs/nasbench_nlp.md). A cell that was found holds its whole recipe.
"""

import functools
import json
from pathlib import Path
from typing import Any

from bayesnas_tf.data import unpacking
from bayesnas_tf.errors import UserError, expanded
from bayesnas_tf.space import known
from bayesnas_tf.space import recipe as recipes
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.nasbench_nlp.space import NasBenchNlp, number_of

FOLDER = "nasbench_nlp"  # of the data folder
TABLES = ("ptb.jsonl", "wikitext2.jsonl")  # the first that has an id is taken
RELEASE = "https://github.com/fmsnew/nas-bench-nlp-release"
LOSSES = "https://github.com/aaronserianni/training-free-nas"
MOST_BYTES = 1 << 28  # of a table, unpacked; ours have 3 MB
ODD = (*unpacking.REFUSALS, TypeError)  # all that reading raises where a table or a log is none


def in_table(name: str) -> bool:
    """Whether the cell of that name lies in a table of the data folder: it is `nasbench-ID`, and no file."""
    return number_of(name) is not None and not expanded(name).is_file()


def find_genotype(name: str, seed: int, data_dir: str | Path) -> Genotype:
    """As `known.find_genotype`; also the cells `nasbench-ID`, from `data_dir`/nasbench_nlp.

    Raises:
      UserError: as there; or no table or log has the id, or what has it is damaged or no cell.
    """
    return find(name, data_dir) if in_table(name) else known.find_genotype(name, seed)


def find(name: str, data_dir: str | Path) -> Genotype:
    """The cell `nasbench-ID`; see `find_genotype`."""
    number, folder = number_of(name), Path(data_dir) / FOLDER
    assert number is not None
    for name_of_table in TABLES:
        path = table(data_dir, name_of_table)
        if path.is_file() and number in (rows := read(path)):
            return _cell(number, rows[number].get("recipe"), path)
    for path in sorted(folder.rglob(f"log_stats_model_{number}_*.json")):
        return _cell(number, _logged(path), path)
    raise lacking(f"recipe of {name}", data_dir)


def lacking(what: str, data_dir: str | Path) -> UserError:
    """That something is not there, and where it is to be had."""
    return UserError(
        f"no {what} in {Path(data_dir) / FOLDER}. Put a table there ({' or '.join(TABLES)}, plain or as .xz) "
        f"or the unpacked logs of {RELEASE}; published losses are at {LOSSES}. See docs/nasbench_nlp.md"
    )


def table(data_dir: str | Path, name: str) -> Path:
    """The file of a table: plain, or packed where that is there alone."""
    plain = Path(data_dir) / FOLDER / name
    packed = plain.with_name(f"{name}.xz")
    return packed if packed.is_file() and not plain.is_file() else plain


def _cell(number: int, recipe: Any, path: Path) -> Genotype:
    name, source = f"nasbench-{number}", f"NAS-Bench-NLP (Klyuchnikov et al. 2020), cell {number}"
    try:
        read = recipes.from_dict(recipe)
        return Genotype((), (), name, {"source": source}, NasBenchNlp.name, recipe=read)
    except ValueError as error:
        raise UserError(f"cannot use {name} of {path}. {error}. Choose another cell") from error


def read(path: Path) -> dict[int, dict[str, Any]]:
    """The lines of a table by id."""
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> dict[int, dict[str, Any]]:
    """The lines of a table as it was at that time: a sweep asks for forty cells of one."""
    del changed
    try:
        content = unpacking.content(path, MOST_BYTES).decode()
        lines = [json.loads(line) for line in content.splitlines() if line.strip()]
        return {int(line["id"]): line for line in lines}
    except ODD as error:
        raise UserError(f"{path} is not a table of cells: {_said(error)}. Replace it or remove it") from error


def _logged(path: Path) -> Any:
    """The recipe in a log of the release, which spells it `recepie` and holds it as a text."""
    try:
        return json.loads(json.loads(path.read_bytes())["recepie"])
    except ODD as error:
        raise UserError(f"{path} is not a log of a cell: {_said(error)}. Replace it or remove it") from error


def _said(error: Exception) -> str:
    """An error in a few words; of a missing key, which."""
    return f"no {error}" if isinstance(error, KeyError) else unpacking.reason(error)
