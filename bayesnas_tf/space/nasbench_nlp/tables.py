"""Where the recipes lie: tables of one JSON object per line, and the logs of the published release.

Neither is part of this package (docs/nasbench_nlp.md). A cell that was found holds its whole recipe.
"""

import functools
import json
import lzma
import re
from pathlib import Path
from typing import Any

from bayesnas_tf.errors import UserError
from bayesnas_tf.space import recipe as recipes
from bayesnas_tf.space.genotype import Genotype
from bayesnas_tf.space.nasbench_nlp.space import NasBenchNlp

FOLDER = "nasbench_nlp"  # of the data folder
TABLES = ("ptb.jsonl", "wikitext2.jsonl")  # the first that has an id is taken
RELEASE = "https://github.com/fmsnew/nas-bench-nlp-release"
LOSSES = "https://github.com/aaronserianni/training-free-nas"
MOST_BYTES = 1 << 28  # of a table, unpacked; ours have 3 MB
_NAME = re.compile(r"nasbench-(\d{1,9})")


def is_named(name: str) -> bool:
    """Whether a name is `nasbench-ID`."""
    return _NAME.fullmatch(name) is not None


def find(name: str, data_dir: str | Path) -> Genotype:
    """The cell `nasbench-ID`, from `data_dir`/nasbench_nlp.

    Raises:
      UserError: no table or log there has the id, or what has it is damaged or no cell.
    """
    found = _NAME.fullmatch(name)
    assert found is not None
    number, folder = int(found[1]), Path(data_dir) / FOLDER
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
        f"no {what} in {Path(data_dir) / FOLDER}. Put there a table ({' or '.join(TABLES)}, plain or as .xz) "
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
        raise UserError(f"cannot use {name} of {path}. {error}. Take another cell") from error


def read(path: Path) -> dict[int, dict[str, Any]]:
    """The lines of a table by id."""
    return _read(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _read(path: Path, changed: int) -> dict[int, dict[str, Any]]:
    """The lines of a table as it was at that time: a sweep asks for forty cells of one."""
    del changed
    try:
        with lzma.open(path) if path.suffix == ".xz" else path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:
            raise ValueError(f"it has more than {MOST_BYTES:,} bytes")
        lines = [json.loads(line) for line in content.decode().splitlines() if line.strip()]
        return {int(line["id"]): line for line in lines}
    except (OSError, EOFError, lzma.LZMAError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no table of cells: {_said(error)}. Replace it or remove it") from error


def _logged(path: Path) -> Any:
    """The recipe in a log of the release, which spells it `recepie` and holds it as a text."""
    try:
        return json.loads(json.loads(path.read_bytes())["recepie"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no log of a cell: {_said(error)}. Replace it or remove it") from error


def _said(error: Exception) -> str:
    """The first line of an error, or its kind."""
    kind = f"no {error}" if isinstance(error, KeyError) else str(error)
    return kind.splitlines()[0] if kind else type(error).__name__
